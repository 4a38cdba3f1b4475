//! Who goes next, so that nobody who wants little waits for those who want much.

use std::collections::VecDeque;

/// A queue of parties that want to be served again and again, of two kinds: the quiet and the busy.
///
/// The quiet go first, but of two served one at least is busy, if one waits: a stream of quiet ones
/// does not starve the busy. Among its kind it is first come, first served.
#[derive(Debug)]
pub(crate) struct FairQueue<T> {
    quiet: VecDeque<T>,
    busy: VecDeque<T>,
    /// The last one served was quiet.
    was_quiet: bool,
    /// How many were served, ever.
    served: u64,
}

/// How a party stands with the queue.
///
/// It is quiet if somebody from outside wants something of it, or if it was not served lately; and
/// may then be served a few times before it counts as busy. "Lately" is without a clock: before all
/// who waited when it was served were served, too.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Standing {
    waits: bool,
    turns_left: u8,
    lately_until: u64,
}

/// An orchestration of a few steps is not held up by those of many.
const TURNS_OF_THE_QUIET: u8 = 4;

impl Standing {
    pub(crate) fn waits(&self) -> bool {
        self.waits
    }
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self {
            quiet: VecDeque::new(),
            busy: VecDeque::new(),
            was_quiet: false,
            served: 0,
        }
    }
}

impl<T> FairQueue<T> {
    /// It wants to be served, once, if it does not wait already; `from_outside` says that somebody
    /// else wants something of it.
    pub(crate) fn push(&mut self, party: T, standing: &mut Standing, from_outside: bool) {
        if from_outside || standing.lately_until <= self.served {
            standing.turns_left = TURNS_OF_THE_QUIET;
        }
        if !std::mem::replace(&mut standing.waits, true) {
            let quiet = standing.turns_left > 0;
            self.queue(quiet).push_back(party);
        }
    }

    /// Who is served next; to be followed by [`note_served`](Self::note_served).
    pub(crate) fn pop(&mut self) -> Option<T> {
        let quiet = match (self.quiet.is_empty(), self.busy.is_empty()) {
            (false, false) => !self.was_quiet,
            (none, _) => !none,
        };
        let party = self.queue(quiet).pop_front()?;
        self.was_quiet = quiet;
        self.served += 1;
        Some(party)
    }

    pub(crate) fn note_served(&self, standing: &mut Standing) {
        let waiting = self.quiet.len() + self.busy.len();
        *standing = Standing {
            waits: false,
            turns_left: standing.turns_left.saturating_sub(1),
            lately_until: self.served + waiting as u64,
        };
    }

    /// Nobody wants to be served.
    pub(crate) fn is_empty(&self) -> bool {
        self.quiet.is_empty() && self.busy.is_empty()
    }

    fn queue(&mut self, quiet: bool) -> &mut VecDeque<T> {
        if quiet {
            &mut self.quiet
        } else {
            &mut self.busy
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FairQueue, Standing};

    /// A queue, and how each party stands with it.
    #[derive(Default)]
    struct World {
        queue: FairQueue<usize>,
        standings: Vec<Standing>,
    }

    impl World {
        /// Parties from 0 that all want to be served again at once, until they count as busy.
        fn busy(parties: usize) -> Self {
            let mut world = Self::default();
            (0..parties).for_each(|party| world.push(party, false));
            world.serve(parties * 10, parties);
            world
        }

        fn push(&mut self, party: usize, from_outside: bool) {
            if self.standings.len() <= party {
                self.standings.resize(party + 1, Standing::default());
            }
            self.queue
                .push(party, &mut self.standings[party], from_outside);
        }

        /// Serves so many; those below `busy` want to be served again at once.
        fn serve(&mut self, turns: usize, busy: usize) -> Vec<usize> {
            let mut served = Vec::new();
            for _ in 0..turns {
                let Some(party) = self.queue.pop() else { break };
                self.queue.note_served(&mut self.standings[party]);
                served.push(party);
                if party < busy {
                    self.push(party, false);
                }
            }
            served
        }
    }

    #[test]
    fn first_come_first_served() {
        let mut world = World::default();
        for party in [3, 1, 2] {
            world.push(party, false);
        }
        assert_eq!(world.serve(9, 0), [3, 1, 2]);
        let mut world = World::busy(50);
        assert_eq!(world.serve(50, 50), world.serve(50, 50));
    }

    #[test]
    fn whoever_wants_to_be_served_twice_is_served_once() {
        let mut world = World::default();
        for party in [1, 1, 2, 1] {
            world.push(party, true);
        }
        assert_eq!(world.serve(9, 0), [1, 2]);
    }

    #[test]
    fn the_quiet_do_not_wait_for_the_busy() {
        let mut world = World::busy(1000);
        // It was never seen before, or not lately; a few turns more and it counts as busy, too.
        for _ in 0..3 {
            for _ in 0..4 {
                world.push(5000, false);
                assert!(world.serve(2, 1000).contains(&5000));
            }
            world.push(5000, false);
            assert!(!world.serve(990, 1000).contains(&5000));
            assert!(world.serve(20, 1000).contains(&5000));
            world.serve(1010, 1000);
        }
    }

    #[test]
    fn who_is_asked_from_outside_does_not_wait_for_the_busy() {
        let mut world = World::busy(1000);
        for _ in 0..100 {
            world.push(5000, true);
            assert!(world.serve(2, 1000).contains(&5000));
        }
    }

    #[test]
    fn the_busy_do_not_starve_under_a_stream_of_quiet_ones() {
        let mut world = World::busy(2);
        let mut served = Vec::new();
        for new in 0..100 {
            world.push(100 + new, true);
            world.push(1000 + new, true);
            served.extend(world.serve(1, 2));
        }
        let busy = served.iter().filter(|served| **served < 2).count();
        assert!(busy >= 49, "{served:?}");
    }
}
