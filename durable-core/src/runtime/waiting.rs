//! The attempts that wait for a slot.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::engine::{ActivityKey, Dispatch};
use crate::id::{CallId, ExecutionId, InstanceNumber};

/// Attempts, of which one instance after the other has one made: so one with a hundred thousand
/// does not hold up another with one. Those of an instance are made in the order of its calls.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    attempts: BTreeMap<ActivityKey, Dispatch>,
    /// The instances that have some, and perhaps some that had.
    turns: VecDeque<InstanceNumber>,
    /// Those in `turns`.
    known: BTreeSet<InstanceNumber>,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.attempts.is_empty()
    }

    pub(super) fn push(&mut self, dispatch: Dispatch) {
        let number = dispatch.key.number;
        self.attempts.insert(dispatch.key, dispatch);
        if self.known.insert(number) {
            self.turns.push_back(number);
        }
    }

    pub(super) fn remove(&mut self, key: &ActivityKey) -> Option<Dispatch> {
        self.attempts.remove(key)
    }

    pub(super) fn pop(&mut self) -> Option<Dispatch> {
        while let Some(number) = self.turns.pop_front() {
            let next = self
                .first_of(number)
                .and_then(|key| self.attempts.remove(&key));
            if next.is_some() && self.first_of(number).is_some() {
                self.turns.push_back(number);
            } else {
                self.known.remove(&number);
            }
            if next.is_some() {
                return next;
            }
        }
        None
    }

    fn first_of(&self, number: InstanceNumber) -> Option<ActivityKey> {
        let first = ActivityKey {
            number,
            execution: ExecutionId(0),
            call: CallId(0),
        };
        let (key, _) = self.attempts.range(first..).next()?;
        (key.number == number).then_some(*key)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::id::InstanceId;
    use crate::payload::Payload;

    pub(in crate::runtime) fn dispatch(number: u64, call: u32) -> Dispatch {
        Dispatch {
            worker: 1,
            key: ActivityKey {
                number: InstanceNumber(number),
                execution: ExecutionId(0),
                call: CallId(call),
            },
            instance: InstanceId::new("x").expect("valid"),
            name: "step".into(),
            input: Payload::NULL,
            attempt: 1,
            state: None,
            timeout: None,
            progress: None,
            heartbeat: None,
            step: None,
        }
    }

    fn pops(waiting: &mut Waiting, most: usize) -> Vec<(u64, u32)> {
        let pop = |_| {
            waiting
                .pop()
                .map(|next| (next.key.number.0, next.key.call.0))
        };
        (0..most).map_while(pop).collect()
    }

    #[test]
    fn one_instance_after_the_other_and_each_in_order() {
        let mut waiting = Waiting::default();
        for call in [2, 1, 3, 4] {
            waiting.push(dispatch(7, call));
        }
        assert_eq!(pops(&mut waiting, 1), [(7, 1)]);
        waiting.push(dispatch(8, 1));
        waiting.push(dispatch(9, 1));
        waiting.push(dispatch(8, 2));
        let expected = [(7, 2), (8, 1), (9, 1), (7, 3), (8, 2), (7, 4)];
        assert_eq!(pops(&mut waiting, 9), expected);
        assert!(waiting.is_empty() && waiting.known.is_empty());
    }

    #[test]
    fn what_is_cancelled_is_not_made_and_leaves_little() {
        let mut waiting = Waiting::default();
        for _ in 0..100 {
            waiting.push(dispatch(7, 1));
            assert!(waiting.remove(&dispatch(7, 1).key).is_some());
        }
        assert!(waiting.is_empty() && waiting.turns.len() == 1);
        waiting.push(dispatch(7, 2));
        waiting.push(dispatch(8, 1));
        assert_eq!(pops(&mut waiting, 9), [(7, 2), (8, 1)]);
    }
}
