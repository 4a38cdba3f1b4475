//! The attempts that wait, and which of them may begin.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::waiting::Waiting;
use crate::engine::{ActivityKey, Dispatch};

/// A queue for each activity that has a limit of its own, and one for all the others: what waits
/// for a busy activity does not hold up the rest. One queue after the other has an attempt made.
#[derive(Debug, Default)]
pub(super) struct Queues {
    others: Queue,
    limited: BTreeMap<&'static str, Queue>,
    /// The limited activity that was last, if `others` was not.
    last: Option<&'static str>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Waiting,
    /// What its attempts need one of each.
    permits: Option<Arc<Semaphore>>,
}

impl Queue {
    fn can_begin(&self) -> bool {
        let room = |permits: &Arc<Semaphore>| permits.available_permits() > 0;
        !self.waiting.is_empty() && self.permits.as_ref().is_none_or(room)
    }

    /// Permits are taken here only, so one that is there stays there.
    fn pop(&mut self) -> Option<(Dispatch, Option<OwnedSemaphorePermit>)> {
        let permit = match &self.permits {
            Some(permits) => Some(Arc::clone(permits).try_acquire_owned().ok()?),
            None => None,
        };
        self.waiting.pop().map(|dispatch| (dispatch, permit))
    }
}

impl Queues {
    /// With the most attempts at an activity that run at once, for those that have a limit.
    pub(super) fn new(limits: &BTreeMap<&'static str, usize>) -> Self {
        let queue = |(name, limit): (&&'static str, &usize)| {
            let permits = Semaphore::new((*limit).clamp(1, Semaphore::MAX_PERMITS));
            let queue = Queue {
                waiting: Waiting::default(),
                permits: Some(Arc::new(permits)),
            };
            (*name, queue)
        };
        Self {
            limited: limits.iter().map(queue).collect(),
            ..Self::default()
        }
    }

    pub(super) fn push(&mut self, dispatch: Dispatch) {
        // A step of an orchestrator may be called like an activity.
        let limited = match dispatch.step {
            None => self.limited.get_mut(&*dispatch.name),
            Some(_) => None,
        };
        limited.unwrap_or(&mut self.others).waiting.push(dispatch);
    }

    pub(super) fn remove(&mut self, key: &ActivityKey) -> Option<Dispatch> {
        let mut queues = self.all();
        queues.find_map(|queue| queue.waiting.remove(key))
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Queue> {
        std::iter::once(&mut self.others).chain(self.limited.values_mut())
    }

    pub(super) fn is_empty(&self) -> bool {
        let mut limited = self.limited.values();
        self.others.waiting.is_empty() && limited.all(|queue| queue.waiting.is_empty())
    }

    /// Whether one may begin, if there is a slot.
    pub(super) fn can_begin(&self) -> bool {
        self.others.can_begin() || self.limited.values().any(Queue::can_begin)
    }

    /// The next one that may begin, with what it occupies of its activity's limit.
    pub(super) fn pop(&mut self) -> Option<(Dispatch, Option<OwnedSemaphorePermit>)> {
        let after = self.last.map_or(Bound::Unbounded, Bound::Excluded);
        let mut later = self.limited.range_mut::<str, _>((after, Bound::Unbounded));
        if let Some((name, queue)) = later.find(|(_, queue)| queue.can_begin()) {
            self.last = Some(*name);
            return queue.pop();
        }
        self.last = None;
        if self.others.can_begin() {
            return self.others.pop();
        }
        let (name, queue) = self
            .limited
            .iter_mut()
            .find(|(_, queue)| queue.can_begin())?;
        self.last = Some(*name);
        queue.pop()
    }

    /// Any of them, whether it may begin or not.
    pub(super) fn discard(&mut self) -> Option<Dispatch> {
        self.all().find_map(|queue| queue.waiting.pop())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::waiting::tests::dispatch;

    fn named(name: &'static str, call: u32) -> Dispatch {
        Dispatch {
            name: name.into(),
            ..dispatch(1, call)
        }
    }

    fn call((dispatch, _): &(Dispatch, Option<OwnedSemaphorePermit>)) -> (String, u32) {
        (dispatch.name.to_string(), dispatch.key.call.0)
    }

    #[test]
    fn queues_take_turns_and_a_full_one_is_passed_over() {
        let mut queues = Queues::new(&BTreeMap::from([("a", 1), ("b", 2)]));
        for (n, name) in ["x", "x", "x", "a", "a", "b", "b", "b"]
            .into_iter()
            .enumerate()
        {
            queues.push(named(name, u32::try_from(n).expect("few")));
        }
        let mut running = Vec::new();
        while queues.can_begin() {
            running.push(queues.pop().expect("can begin"));
        }
        let begun: Vec<_> = running.iter().map(call).collect();
        let expected = [("a", 3), ("b", 5), ("x", 0), ("b", 6), ("x", 1), ("x", 2)];
        assert_eq!(begun, expected.map(|(name, n)| (name.to_owned(), n)));
        assert!(!queues.is_empty() && queues.pop().is_none());
        // Whoever ends makes room for one of its own.
        drop(running.remove(3));
        let next = queues.pop().expect("there is room");
        assert_eq!(call(&next), ("b".to_owned(), 7));
        assert!(!queues.can_begin());
        assert!(queues.remove(&dispatch(1, 4).key).is_some());
        drop(running);
        assert!(queues.is_empty() && !queues.can_begin());
    }

    #[test]
    fn what_may_not_begin_can_be_discarded() {
        let mut queues = Queues::new(&BTreeMap::from([("a", 1)]));
        for n in 0..3 {
            queues.push(named("a", n));
        }
        let _running = queues.pop().expect("the first");
        assert!(queues.pop().is_none());
        assert!(queues.discard().is_some() && queues.discard().is_some());
        assert!(queues.discard().is_none() && queues.is_empty());
    }
}
