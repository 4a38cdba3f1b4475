//! The one record that every commit rewrites: how far the store has come, and what there must be.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::backend::Mark;
use crate::store::{RuntimeStatus, Suspicion};

/// With what the other records say, a full check notices one that is gone although every
/// remaining one is sound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub(super) commit: u64,
    /// The number of the next instance. One that was given and lost in a crash, before anything of its
    /// instance was stored, is not given again: how many there are says `counts`.
    pub(super) created: u64,
    pub(crate) purged: u64,
    /// The number of the active set's next record.
    pub(super) journal: u64,
    pub(super) counts: Counts,
    pub(super) suspicion: Suspicion,
}

impl Meta {
    #[cfg(test)]
    pub(crate) fn suspicion(&self) -> &Suspicion {
        &self.suspicion
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            commit: self.commit,
            created: self.created,
            purged: self.purged,
        }
    }
}

/// How many records of each kind there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    /// Headers, by the status in them; none of a status is no entry.
    pub(super) instances: BTreeMap<RuntimeStatus, u64>,
    pub(super) turns: u64,
    pub(super) messages: u64,
    pub(super) timers: u64,
    pub(super) attempts: u64,
    pub(super) letters: u64,
    /// Their keys and values.
    pub(super) bytes: u64,
    /// Entries of the index of what few instances are.
    pub(super) sparse: u64,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    Header(RuntimeStatus),
    Turn,
    Message,
    Timer,
    Attempts,
    Letter,
    Sparse,
}

impl Counts {
    /// A record of so many bytes, key included, is there from now on.
    pub(super) fn add(&mut self, what: Counted, bytes: u64) {
        self.bytes += bytes;
        match what {
            Counted::Header(status) => *self.instances.entry(status).or_default() += 1,
            Counted::Turn => self.turns += 1,
            Counted::Message => self.messages += 1,
            Counted::Timer => self.timers += 1,
            Counted::Attempts => self.attempts += 1,
            Counted::Letter => self.letters += 1,
            Counted::Sparse => self.sparse += 1,
        }
    }

    /// A record is there no longer. Where the data is damaged there may be more to remove than was
    /// ever counted.
    pub(super) fn remove(&mut self, what: Counted, bytes: u64) {
        let less = |count: &mut u64, by: u64| *count = count.saturating_sub(by);
        less(&mut self.bytes, bytes);
        match what {
            Counted::Header(status) => {
                if let Some(count) = self.instances.get_mut(&status) {
                    less(count, 1);
                    if *count == 0 {
                        self.instances.remove(&status);
                    }
                }
            }
            Counted::Turn => less(&mut self.turns, 1),
            Counted::Message => less(&mut self.messages, 1),
            Counted::Timer => less(&mut self.timers, 1),
            Counted::Attempts => less(&mut self.attempts, 1),
            Counted::Letter => less(&mut self.letters, 1),
            Counted::Sparse => less(&mut self.sparse, 1),
        }
    }
}
