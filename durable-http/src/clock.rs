//! The one place that reads the time.

use std::time::SystemTime;

#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

/// For what is kept for so long, whatever happens to the clock.
#[cfg(feature = "client")]
pub(crate) fn monotonic() -> tokio::time::Instant {
    tokio::time::Instant::now()
}
