//! The timers that are due next. The store has them all; memory has a window.

use std::collections::{BTreeSet, VecDeque};

use crate::store::TimerKey;
use crate::time::Timestamp;

/// How far the window reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Horizon {
    /// Nothing was read yet.
    Unread,
    /// Everything up to this one is in the window.
    At(TimerKey),
    /// Everything there is.
    End,
}

/// A window on the store's index of timers.
#[derive(Debug)]
pub(super) struct Timers {
    near: BTreeSet<TimerKey>,
    horizon: Horizon,
    /// Timers beyond the horizon whose commit may not be readable yet, with that commit: the next
    /// read could miss them.
    recent: VecDeque<(u64, TimerKey)>,
    limit: usize,
}

impl Timers {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            near: BTreeSet::new(),
            horizon: Horizon::Unread,
            recent: VecDeque::new(),
            limit,
        }
    }

    fn in_window(&self, timer: &TimerKey) -> bool {
        match self.horizon {
            Horizon::Unread => false,
            Horizon::At(last) => *timer <= last,
            Horizon::End => true,
        }
    }

    /// A timer that is put by commit number `commit`.
    pub(super) fn insert(&mut self, timer: TimerKey, commit: u64) {
        if !self.in_window(&timer) {
            if planted!(ForgetRecentTimers) {
                return;
            }
            self.recent.push_back((commit, timer));
            return;
        }
        self.near.insert(timer);
        if self.near.len() > 2 * self.limit {
            self.shrink(commit);
        }
    }

    /// Lets go of the far half. Its timers may stem from commits up to `commit`.
    fn shrink(&mut self, commit: u64) {
        let Some(first_far) = self.near.iter().nth(self.limit).copied() else {
            return;
        };
        let far = self.near.split_off(&first_far);
        self.recent
            .extend(far.into_iter().map(|timer| (commit, timer)));
        if let Some(last) = self.near.last() {
            self.horizon = Horizon::At(*last);
        }
    }

    pub(super) fn remove(&mut self, timer: &TimerKey) {
        self.near.remove(timer);
    }

    /// Takes the next timer that is due.
    pub(super) fn pop_due(&mut self, now: Timestamp) -> Option<TimerKey> {
        let next = self.near.first().filter(|timer| timer.due <= now)?;
        let next = *next;
        self.near.remove(&next);
        Some(next)
    }

    /// When there is something to do next, as far as the window shows.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.near.first().map(|timer| timer.due)
    }

    /// The last that the window is sure to have, of a window that has an end.
    fn end(&self) -> Option<TimerKey> {
        match self.horizon {
            Horizon::At(last) => Some(last),
            Horizon::Unread | Horizon::End => None,
        }
    }

    /// Where to read on, if the window is running low: after which timer, and how many.
    pub(super) fn wanted(&self) -> Option<(Option<TimerKey>, usize)> {
        let after = match self.horizon {
            Horizon::Unread => None,
            Horizon::At(last) if self.near.len() <= self.limit / 2 => Some(last),
            Horizon::At(_) | Horizon::End => return None,
        };
        Some((after, self.limit))
    }

    /// What was read after this one. `durable` is a commit that the read is sure to have seen.
    pub(super) fn read(&mut self, after: Option<TimerKey>, timers: Vec<TimerKey>, durable: u64) {
        // The window may have shrunk since that was asked for: what lies between would be in it by its
        // horizon, and is not.
        if self.end() != after {
            return;
        }
        self.horizon = match timers.last() {
            Some(last) if timers.len() >= self.limit => Horizon::At(*last),
            _ => Horizon::End,
        };
        self.near.extend(timers);
        for (commit, timer) in std::mem::take(&mut self.recent) {
            if self.in_window(&timer) {
                self.near.insert(timer);
            } else if commit > durable {
                self.recent.push_back((commit, timer));
            }
        }
    }

    /// Forgets what the next read is sure to see.
    pub(super) fn durable(&mut self, durable: u64) {
        while self
            .recent
            .front()
            .is_some_and(|(commit, _)| *commit <= durable)
        {
            self.recent.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{CallId, ExecutionId, InstanceNumber};
    use crate::store::TimerKind;

    fn at(due: u64) -> TimerKey {
        TimerKey {
            due: Timestamp(due),
            number: InstanceNumber(due),
            execution: ExecutionId(0),
            call: CallId(0),
            kind: TimerKind::Orchestrator,
        }
    }

    /// A store that sees a commit some commits late, and random inserts: every timer fires, in
    /// order of what was known, and none early.
    #[test]
    fn no_timer_is_lost_between_window_and_store() {
        for lag in [0, 1, 5] {
            let mut timers = Timers::new(8);
            let (mut disk, mut fired) = (BTreeSet::new(), BTreeSet::new());
            let mut in_flight: VecDeque<(u64, TimerKey)> = VecDeque::new();
            let mut all = BTreeSet::new();
            let mut state = 7_u64;
            for commit in 1..4_000_u64 {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let timer = at(commit + (state >> 33) % 300);
                if all.insert(timer) {
                    timers.insert(timer, commit);
                    in_flight.push_back((commit, timer));
                }
                while in_flight
                    .front()
                    .is_some_and(|(other, _)| other + lag <= commit)
                {
                    disk.extend(in_flight.pop_front().map(|(_, timer)| timer));
                }
                let durable = commit.saturating_sub(lag);
                timers.durable(durable);
                loop {
                    while let Some((after, limit)) = timers.wanted() {
                        let later = |timer: &&TimerKey| after.is_none_or(|after| **timer > after);
                        let read = disk.iter().filter(later).take(limit).copied().collect();
                        timers.read(after, read, durable);
                    }
                    let Some(timer) = timers.pop_due(Timestamp(commit)) else {
                        break;
                    };
                    disk.remove(&timer);
                    in_flight.retain(|(_, other)| *other != timer);
                    assert!(fired.insert(timer), "twice: {timer:?}");
                }
                let overdue = all.iter().take_while(|timer| timer.due.0 <= commit);
                assert!(
                    overdue.clone().all(|timer| fired.contains(timer)),
                    "lag {lag} commit {commit}"
                );
            }
        }
    }

    /// More is being read when so much is put before that, that what is far is let go of.
    #[test]
    fn a_window_that_shrinks_while_more_is_read_has_no_gap() {
        let mut timers = Timers::new(2);
        timers.read(None, vec![at(10), at(100)], 0);
        assert_eq!(timers.pop_due(Timestamp(10)), Some(at(10)));
        let asked = timers.wanted();
        assert_eq!(asked, Some((Some(at(100)), 2)));

        let mut disk: BTreeSet<_> = [20, 30, 40, 50, 100, 200].map(at).into();
        for due in [20, 30, 40, 50] {
            timers.insert(at(due), 1);
        }
        timers.durable(1);
        timers.read(Some(at(100)), vec![at(200)], 1);

        let mut fired = Vec::new();
        for now in 11..=200 {
            while let Some((after, limit)) = timers.wanted() {
                let later = |timer: &&TimerKey| after.is_none_or(|after| **timer > after);
                let read = disk.iter().filter(later).take(limit).copied().collect();
                timers.read(after, read, 1);
            }
            while let Some(timer) = timers.pop_due(Timestamp(now)) {
                disk.remove(&timer);
                fired.push((now, timer.due.0));
            }
        }
        assert_eq!(fired, [20, 30, 40, 50, 100, 200].map(|due| (due, due)));
    }
}
