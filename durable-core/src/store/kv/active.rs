//! The set of instances that must be loaded after a restart.
//!
//! It changes at nearly every start and end, so it is kept as a journal: one small record per
//! commit with what that commit changed, whatever the number of instances, and now and then the
//! whole set in place of the journal so far. That costs nothing per instance, where a record of
//! each would cost a third of the speed of starting.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::id::InstanceNumber;

/// The set, and how much journal stands behind it.
#[derive(Debug, Default)]
pub(super) struct ActiveSet {
    members: BTreeSet<InstanceNumber>,
    /// The journal's records that are on disk and not yet part of a snapshot.
    journal: std::ops::Range<u64>,
    entries: usize,
}

/// One journal record.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Change {
    pub(super) added: Vec<InstanceNumber>,
    pub(super) removed: Vec<InstanceNumber>,
}

impl Change {
    fn split(self) -> Vec<Self> {
        let Self { added, removed } = self;
        if added.len() + removed.len() <= MOST_ENTRIES {
            return vec![Self { added, removed }];
        }
        let added = added.chunks(MOST_ENTRIES).map(|added| Self {
            added: added.to_vec(),
            ..Self::default()
        });
        let removed = removed.chunks(MOST_ENTRIES).map(|removed| Self {
            removed: removed.to_vec(),
            ..Self::default()
        });
        added.chain(removed).collect()
    }
}

/// The whole set, as of the journal record before `next`.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Snapshot {
    pub(super) next: u64,
    pub(super) members: Vec<InstanceNumber>,
}

/// What a commit writes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// These journal records; none if nothing has changed.
    Changes(Vec<(u64, Change)>),
    /// A snapshot replaces the journal records `obsolete`.
    Snapshot {
        snapshot: Snapshot,
        obsolete: std::ops::Range<u64>,
    },
}

/// Below this many entries a journal is never replaced.
const SMALL_JOURNAL: usize = 4096;

/// A record has no more entries than this, of up to ten bytes: always one value.
const MOST_ENTRIES: usize = 1024;

impl ActiveSet {
    /// Reads the set: the last snapshot, then the changes after it in order.
    pub(super) fn restore(snapshot: Snapshot, changes: impl IntoIterator<Item = Change>) -> Self {
        let first = snapshot.next;
        let mut set = Self {
            members: snapshot.members.into_iter().collect(),
            journal: first..first,
            entries: 0,
        };
        for change in changes {
            set.follow(change);
        }
        set
    }

    /// Takes in the next journal record.
    pub(super) fn follow(&mut self, change: Change) {
        self.journal.end += 1;
        self.entries += change.added.len() + change.removed.len();
        self.members.extend(change.added);
        for number in change.removed {
            self.members.remove(&number);
        }
    }

    pub(super) fn members(&self) -> impl Iterator<Item = InstanceNumber> {
        self.members.iter().copied()
    }

    /// The number of the next journal record.
    pub(super) fn next(&self) -> u64 {
        self.journal.end
    }

    pub(super) fn contains(&self, number: InstanceNumber) -> bool {
        self.members.contains(&number)
    }

    /// Takes in what a commit changes (the last word on each instance) and says what to write.
    pub(super) fn change(&mut self, changes: &BTreeMap<InstanceNumber, bool>) -> Written {
        let mut change = Change::default();
        for (number, active) in changes {
            if *active && self.members.insert(*number) {
                change.added.push(*number);
            } else if !*active && self.members.remove(number) {
                change.removed.push(*number);
            }
        }
        let entries = change.added.len() + change.removed.len();
        if entries == 0 {
            return Written::Changes(Vec::new());
        }
        self.entries += entries;
        if self.entries > SMALL_JOURNAL.max(2 * self.members.len()) {
            return self.snapshot();
        }
        let changes = change.split();
        let first = self.journal.end;
        self.journal.end += changes.len() as u64;
        Written::Changes((first..).zip(changes).collect())
    }

    fn snapshot(&mut self) -> Written {
        let obsolete = self.journal.clone();
        self.journal = obsolete.end..obsolete.end;
        self.entries = 0;
        let snapshot = Snapshot {
            next: obsolete.end,
            members: self.members().collect(),
        };
        Written::Snapshot { snapshot, obsolete }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays commits against a model of the disk and restores after each.
    #[test]
    fn what_is_restored_is_what_was_active() {
        let mut disk = (Snapshot::default(), BTreeMap::new());
        let mut set = ActiveSet::default();
        let mut model = BTreeSet::new();
        let mut snapshots = 0;
        for commit in 0..30_000_u64 {
            let number = InstanceNumber(commit / 2);
            let active = commit % 2 == 0 || commit % 7 == 0;
            if active {
                model.insert(number)
            } else {
                model.remove(&number)
            };
            match set.change(&BTreeMap::from([(number, active)])) {
                Written::Changes(changes) => {
                    for (seq, change) in changes {
                        assert!(disk.1.insert(seq, change).is_none());
                    }
                }
                Written::Snapshot { snapshot, obsolete } => {
                    snapshots += 1;
                    disk.1.retain(|seq, _| !obsolete.contains(seq));
                    disk.0 = snapshot;
                }
            }
            if commit % 1000 == 0 || commit > 29_900 {
                let snapshot = Snapshot {
                    next: disk.0.next,
                    members: disk.0.members.clone(),
                };
                let changes = disk.1.values().map(|change| Change {
                    added: change.added.clone(),
                    removed: change.removed.clone(),
                });
                let restored = ActiveSet::restore(snapshot, changes);
                assert!(
                    restored.members().eq(model.iter().copied()),
                    "commit {commit}"
                );
                assert_eq!(restored.journal.end, set.journal.end);
            }
        }
        assert!(snapshots > 2, "{snapshots}");
        assert!(disk.1.len() < 20_000);
    }
}
