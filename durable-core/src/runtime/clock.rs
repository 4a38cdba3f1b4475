//! The one place that reads the time.

use crate::time::Timestamp;

/// Now, by the wall clock: durable timers mean times of day, and outlive the process.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub(super) fn now() -> Timestamp {
    Timestamp::from_system(std::time::SystemTime::now())
}
