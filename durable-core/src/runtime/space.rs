//! The guard of the disk's free space: when to look, and what to say.
//!
//! Nothing polls. It looks when something was written, and, while space is short, when somebody
//! asks for something; and then no more often than [`EVERY`], or after each [`AFTER`] bytes.

use std::time::Duration;

use crate::engine::Shortage;
use crate::time::Timestamp;

/// Others may fill the disk while this hub writes little.
const EVERY: Duration = Duration::from_millis(100);
/// On the disk it may be a few times as much; thresholds are far larger.
const AFTER: u64 = 1 << 20;

#[derive(Debug)]
pub(super) struct SpaceGuard {
    /// The bytes that are to be free; 0: it never looks.
    needed: u64,
    /// When it last looked, and how much had been written in the hub's life.
    looked: Option<(Timestamp, u64)>,
    shortage: Option<Shortage>,
}

impl SpaceGuard {
    pub(super) fn new(needed: u64) -> Self {
        Self {
            needed,
            looked: None,
            shortage: None,
        }
    }

    pub(super) fn shortage(&self) -> Option<Shortage> {
        self.shortage
    }

    /// Whether it is time to look, after so many bytes were written in all.
    pub(super) fn is_due(&self, now: Timestamp, written: u64) -> bool {
        let Some((looked, before)) = self.looked else {
            return self.needed > 0;
        };
        // The clock may have been put back.
        self.needed > 0 && (now < looked || now.since(looked) >= EVERY || written - before >= AFTER)
    }

    /// Takes in how many bytes are free, if that is known. Returns whether it makes a difference
    /// to what is told.
    pub(super) fn looked(&mut self, now: Timestamp, written: u64, free: Option<u64>) -> bool {
        self.looked = Some((now, written));
        let needed = self.needed;
        let shortage = free
            .filter(|free| *free < needed)
            .map(|free| Shortage { free, needed });
        match (self.shortage, shortage) {
            (None, Some(Shortage { free, needed })) => {
                tracing::warn!(
                    free,
                    needed,
                    "the disk is nearly full: nothing new is started"
                );
            }
            (Some(_), None) => tracing::info!("the disk has room again"),
            (None, None) | (Some(_), Some(_)) => {}
        }
        let changed = self.shortage != shortage;
        self.shortage = shortage;
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000;

    #[test]
    fn it_looks_at_first_and_then_after_time_or_bytes() {
        let mut guard = SpaceGuard::new(10);
        let start = Timestamp(1_000_000 * MS);
        assert!(guard.is_due(start, 0));
        guard.looked(start, 0, Some(100));
        for (later, written, due) in [
            (0, 0, false),
            (99 * MS, AFTER - 1, false),
            (100 * MS, 1, true),
            (0, AFTER, true),
        ] {
            let now = Timestamp(start.0 + later);
            assert_eq!(guard.is_due(now, written), due, "{later} {written}");
        }
        assert!(guard.is_due(Timestamp(0), 0), "a clock that was put back");
    }

    #[test]
    fn switched_off_it_never_looks() {
        assert!(!SpaceGuard::new(0).is_due(Timestamp(5), 5));
    }

    #[test]
    fn what_is_not_known_is_not_short() {
        let mut guard = SpaceGuard::new(10);
        assert!(guard.looked(Timestamp(0), 0, Some(9)));
        assert_eq!(
            guard.shortage(),
            Some(Shortage {
                free: 9,
                needed: 10
            })
        );
        assert!(guard.looked(Timestamp(1), 0, None));
        assert_eq!(guard.shortage(), None);
        assert!(!guard.looked(Timestamp(2), 0, Some(10)));
    }
}
