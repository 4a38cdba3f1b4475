//! The one place that reads the time.

#[cfg(feature = "testing")]
use std::sync::Arc;
#[cfg(feature = "testing")]
use std::sync::atomic::{AtomicU64, Ordering};
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

/// What a hub's clock says in a test.
#[cfg(feature = "testing")]
#[derive(Clone, Debug)]
pub(crate) struct Now(Arc<AtomicU64>);

#[cfg(feature = "testing")]
impl Now {
    pub(crate) fn get(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Acquire))
    }
}

/// A hub's time in a test: it moves when tokio's paused clock does, in whose runtime this is read.
#[cfg(feature = "testing")]
#[derive(Debug)]
pub(super) struct VirtualClock {
    /// The two clocks at the beginning.
    origin: (tokio::time::Instant, Timestamp),
    /// Tokio's, when it was last looked at.
    seen: tokio::time::Instant,
    now: Now,
}

#[cfg(feature = "testing")]
impl VirtualClock {
    pub(super) fn starting_at(start: Timestamp) -> Self {
        let seen = tokio::time::Instant::now();
        Self {
            origin: (seen, start),
            seen,
            now: Now(Arc::new(AtomicU64::new(start.0))),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now.get()
    }

    /// For others to read.
    pub(super) fn shared(&self) -> Now {
        self.now.clone()
    }

    /// Takes over tokio's time, if that has moved on.
    pub(super) fn look(&mut self) {
        let instant = tokio::time::Instant::now();
        if instant > self.seen {
            self.seen = instant;
            let since = instant.duration_since(self.origin.0).as_micros();
            let since = u64::try_from(since).unwrap_or(u64::MAX);
            self.set(Timestamp(self.origin.1.0.saturating_add(since)));
        }
    }

    /// It is `due`. Tokio counts milliseconds, and may say that it is a little later.
    pub(super) fn reached(&mut self, due: Option<Timestamp>) {
        self.seen = tokio::time::Instant::now();
        if let Some(due) = due {
            self.set(due);
        }
    }

    fn set(&self, time: Timestamp) {
        self.now.0.fetch_max(time.0, Ordering::AcqRel);
    }

    /// Never, if nothing is due or if no clock reaches so far.
    pub(super) fn sleep_until(&self, due: Option<Timestamp>) -> impl Future<Output = ()> + use<> {
        let (origin, start) = self.origin;
        let instant = due.and_then(|due| origin.checked_add(due.since(start)));
        async move {
            match instant {
                Some(instant) => tokio::time::sleep_until(instant).await,
                None => std::future::pending().await,
            }
        }
    }
}
