//! Compactions and backups run on a thread of their own; when a hub is compacted by itself.

use std::sync::{Arc, Mutex, PoisonError};

use crate::store::{Compacted, CopyError, Store};

/// Runs a copy on a thread of its own.
pub(super) fn spawn(copy: impl FnOnce() + Send + 'static) -> Result<(), CopyError> {
    let thread = std::thread::Builder::new().name("durable-copy".into());
    match thread.spawn(copy) {
        // Closing the hub ends the copy and waits for it.
        Ok(_) => Ok(()),
        Err(error) => Err(CopyError::Io {
            path: "a thread for the copy".into(),
            source: Arc::new(error),
        }),
    }
}

/// Smaller hubs are not compacted by themselves: there is little to gain.
const FLOOR: u64 = 4 << 20;
/// The files are looked at when so many bytes were written or became free since the last time.
const LOOK_AFTER: u64 = 1 << 20;
/// Of a small hub, whose live bytes are hardly more than that, half of them; but no fewer than these.
const LOOK_AT_LEAST: u64 = 64 << 10;
/// As before, when a compaction failed: the disk may be full.
const LOOK_AFTER_FAILURE: u64 = 64 << 20;

/// Compacts a hub when its files are much larger than what is in use. Nothing polls: the engine's
/// thread asks after a commit.
#[derive(Debug)]
pub(super) struct AutoCompaction {
    /// How many times as large; 0: never.
    factor: u64,
    looked: Sizes,
    /// How the last one went.
    last: Arc<Mutex<Last>>,
}

/// Bytes that were written in the hub's life, and that are in use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) written: u64,
    pub(super) live: u64,
}

#[derive(Clone, Copy, Debug)]
enum Last {
    None,
    Running,
    /// What was in use then, and how much its files took.
    Done {
        live: u64,
        disk: u64,
    },
    Failed,
}

impl AutoCompaction {
    /// For a hub in which so many bytes are in use.
    pub(super) fn new(factor: u64, live: u64) -> Self {
        Self {
            factor,
            looked: Sizes { written: 0, live },
            last: Arc::new(Mutex::new(Last::None)),
        }
    }

    /// Whether enough has happened to look at the files.
    pub(super) fn is_due(&self, now: Sizes) -> bool {
        let after = match *lock(&self.last) {
            // It looks itself when it is done.
            Last::Running => return false,
            Last::Failed => LOOK_AFTER_FAILURE,
            Last::None | Last::Done { .. } => {
                LOOK_AFTER.min((self.looked.live / 2).max(LOOK_AT_LEAST))
            }
        };
        let written = now.written.saturating_sub(self.looked.written);
        let freed = self.looked.live.saturating_sub(now.live);
        self.factor > 0 && written + freed >= after
    }

    /// Takes in how large the files are, and begins a compaction if that is too much.
    pub(super) fn looked<S: Store>(&mut self, now: Sizes, disk: u64, store: &Arc<S>) {
        self.looked = now;
        let last = *lock(&self.last);
        if !is_worthwhile(self.factor, last, now.live, disk) {
            return;
        }
        *lock(&self.last) = Last::Running;
        let (factor, last, store) = (self.factor, Arc::clone(&self.last), Arc::clone(store));
        let begun = spawn(move || {
            let done = compact(factor, &*store);
            *lock(&last) = done;
        });
        if let Err(error) = begun {
            report(&Err(error));
            *lock(&self.last) = Last::Failed;
        }
    }
}

/// Compacts until that gains nothing more: much may have been removed meanwhile, and perhaps
/// nothing is committed any more after which the files would be looked at.
fn compact(factor: u64, store: &impl Store) -> Last {
    loop {
        let before = store.live_bytes();
        let compacted = store.compact();
        report(&compacted);
        let Ok(Compacted { bytes_after, .. }) = compacted else {
            return Last::Failed;
        };
        let live = store.live_bytes();
        let done = Last::done(before, live, bytes_after);
        if !is_worthwhile(factor, done, live, bytes_after) {
            return done;
        }
    }
}

impl Last {
    /// What was in use before and after, and how much the files take. Both have been copied, what
    /// was removed meanwhile and what was written.
    fn done(before: u64, after: u64, disk: u64) -> Self {
        Self::Done {
            live: before.max(after),
            disk,
        }
    }
}

/// Whether the files would become much smaller.
fn is_worthwhile(factor: u64, last: Last, live: u64, disk: u64) -> bool {
    // Fresh files are larger than what is in them, too; how much depends on what it is.
    let fresh = match last {
        Last::Running => return false,
        Last::Done { live: then, disk } if disk > FLOOR => scale(live, disk, then),
        Last::Done { .. } | Last::None | Last::Failed => live,
    };
    disk > FLOOR && disk > live.saturating_mul(factor) && disk > fresh.saturating_mul(3) / 2
}

/// `bytes * numerator / denominator`.
fn scale(bytes: u64, numerator: u64, denominator: u64) -> u64 {
    let scaled = u128::from(bytes) * u128::from(numerator) / u128::from(denominator.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

fn report(compacted: &Result<Compacted, CopyError>) {
    match compacted {
        Ok(Compacted {
            bytes_before,
            bytes_after,
        }) => tracing::info!(bytes_before, bytes_after, "the hub was compacted"),
        // The hub was closed, or somebody makes a copy already.
        Err(CopyError::Closed | CopyError::Busy) => {}
        Err(error) => tracing::warn!(%error, "the hub could not be compacted"),
    }
}

fn lock(last: &Mutex<Last>) -> std::sync::MutexGuard<'_, Last> {
    last.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn it_is_worthwhile_when_the_files_would_become_much_smaller() {
        let done = |live, disk| Last::Done { live, disk };
        for (last, live, disk, expected) in [
            (Last::None, 10 * MIB, 29 * MIB, false),
            (Last::None, 10 * MIB, 31 * MIB, true),
            (Last::Failed, 10 * MIB, 31 * MIB, true),
            (Last::Running, 10 * MIB, 99 * MIB, false),
            // Small hubs are left alone.
            (Last::None, 0, 4 * MIB, false),
            (Last::None, 0, 5 * MIB, true),
            // Fresh files took four times what is in use, and would again.
            (done(10 * MIB, 40 * MIB), 10 * MIB, 40 * MIB, false),
            (done(10 * MIB, 40 * MIB), 10 * MIB, 59 * MIB, false),
            (done(10 * MIB, 40 * MIB), 10 * MIB, 61 * MIB, true),
            (done(10 * MIB, 40 * MIB), 5 * MIB, 40 * MIB, true),
            // Of next to nothing it says nothing.
            (done(0, 4 * MIB), 10 * MIB, 31 * MIB, true),
            (done(1, 4 * MIB), 10 * MIB, 31 * MIB, true),
            (done(0, 4 * MIB), 0, 5 * MIB, true),
            // What was removed while it ran is not held against it later, and is removed next.
            (Last::done(10 * MIB, 0, 40 * MIB), 0, 40 * MIB, true),
            (Last::done(10 * MIB, 0, 40 * MIB), 10 * MIB, 61 * MIB, true),
            (
                Last::done(10 * MIB, 9 * MIB, 40 * MIB),
                9 * MIB,
                40 * MIB,
                false,
            ),
        ] {
            let worthwhile = is_worthwhile(3, last, live, disk);
            assert_eq!(worthwhile, expected, "{last:?} {live} {disk}");
        }
    }

    /// Else it would not look again at what is left of a small hub, with all its files.
    #[test]
    fn it_looks_when_half_of_a_small_hub_was_removed() {
        const KIB: u64 = 1 << 10;
        let auto = AutoCompaction::new(3, 900 * KIB);
        for (live, expected) in [(451, false), (450, true), (0, true)] {
            let now = Sizes {
                written: 0,
                live: live * KIB,
            };
            assert_eq!(auto.is_due(now), expected, "{live}");
        }
        let empty = AutoCompaction::new(3, 0);
        for (written, expected) in [(63, false), (64, true)] {
            let now = Sizes {
                written: written * KIB,
                live: 0,
            };
            assert_eq!(empty.is_due(now), expected, "{written}");
        }
    }

    #[test]
    fn it_looks_after_writes_and_after_removals() {
        let mut auto = AutoCompaction::new(3, 0);
        auto.looked = Sizes {
            written: 100 * MIB,
            live: 50 * MIB,
        };
        for (written, live, due) in [
            (100, 50, false),
            (101, 51, true),
            (100, 49, true),
            (100, 60, false),
        ] {
            let (written, live) = (written * MIB, live * MIB);
            let now = Sizes { written, live };
            assert_eq!(auto.is_due(now), due, "{now:?}");
            assert!(!AutoCompaction::new(0, 99 * MIB).is_due(now));
        }
    }

    #[test]
    fn it_looks_less_often_after_a_failure_and_not_while_it_runs() {
        let auto = AutoCompaction::new(3, 0);
        for (last, written, expected) in [
            (Last::None, 1, true),
            (Last::Failed, 63, false),
            (Last::Failed, 64, true),
            (Last::Running, 999, false),
        ] {
            *lock(&auto.last) = last;
            let now = Sizes {
                written: written * MIB,
                live: 0,
            };
            assert_eq!(auto.is_due(now), expected, "{last:?} {written}");
        }
    }
}
