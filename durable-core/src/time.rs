//! Time as the engine knows it: microseconds since the Unix epoch, told by whoever drives it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A moment, in microseconds since the Unix epoch (UTC).
///
/// Deadlines are written to history once and never computed again, so a replay on another day reads
/// the same number. 64 bits reach half a million years; sums saturate.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub(crate) struct Timestamp(pub(crate) u64);

impl Timestamp {
    /// The moment `system` lies in, rounded down; the epoch for anything before it.
    pub(crate) fn from_system(system: SystemTime) -> Self {
        let since = system.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }

    /// The first moment that is not before `system`; the epoch for anything before it.
    pub(crate) fn from_system_up(system: SystemTime) -> Self {
        let since = system.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX))
    }

    /// `None` where the platform's clock cannot express it.
    pub(crate) fn to_system(self) -> Option<SystemTime> {
        UNIX_EPOCH.checked_add(Duration::from_micros(self.0))
    }

    /// The deadline of a timer of `delay` made at this moment: rounded up, and one more for the
    /// fraction that rounding this moment down has hidden. So a timer is never early.
    pub(crate) fn deadline_after(self, delay: Duration) -> Self {
        if delay.is_zero() {
            return self;
        }
        let delay = u64::try_from(delay.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(delay).saturating_add(1))
    }

    /// How long it is from `earlier` to this moment; zero if it is not later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_never_early() {
        let made = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_999);
        let deadline = Timestamp::from_system(made).deadline_after(Duration::from_nanos(1_500));
        let fires = deadline.to_system().expect("in range");
        assert!(fires >= made + Duration::from_nanos(1_500));
    }

    #[test]
    fn endless_delays_saturate() {
        assert_eq!(
            Timestamp(5).deadline_after(Duration::MAX),
            Timestamp(u64::MAX)
        );
        assert_eq!(Timestamp(5).deadline_after(Duration::ZERO), Timestamp(5));
    }
}
