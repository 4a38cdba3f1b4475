//! The one place that reads the clock: everything else is told.

use std::time::{Duration, Instant};

/// Measures how long something takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }

    /// What is left of `limit`; nothing once it has passed.
    pub(crate) fn left_of(self, limit: Duration) -> Option<Duration> {
        limit
            .checked_sub(self.elapsed())
            .filter(|left| !left.is_zero())
    }
}
