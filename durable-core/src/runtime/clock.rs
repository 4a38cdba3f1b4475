//! The one place that reads the time.

use std::time::{Duration, Instant, SystemTime};

use crate::time::Timestamp;

/// Now, by the wall clock: durable timers mean times of day, and outlive the process.
pub(super) fn now() -> Timestamp {
    Timestamp::from_system(system())
}

/// The same, for people to read.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub(super) fn system() -> SystemTime {
    SystemTime::now()
}

/// Measures how long something takes, whatever is done to the wall clock.
#[derive(Debug)]
pub(super) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
