//! How a hub is doing: what its threads say of it, and what a program sees.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use super::clock;
use super::error::HubError;
use crate::engine::Shortage;
use crate::store::StoreError;

/// How a hub is doing, as [`TaskHub::health`](crate::TaskHub::health) and
/// [`Client::health`](crate::Client::health) tell.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Health {
    /// It does what it is asked for.
    #[default]
    Healthy,
    /// The disk is nearly full. Nothing new is started, and below half of what is needed no events
    /// are taken; what runs goes on, and everything can be read. It passes by itself once there is
    /// room.
    LowOnSpace {
        /// Bytes that are free on the hub's file system.
        free: u64,
        /// Bytes that are to be free: [`TaskHubOptions::min_free_space`](crate::TaskHubOptions::min_free_space).
        needed: u64,
    },
    /// The store failed, and the hub is closed for the life of the process: nothing is retried,
    /// because after a failed sync nobody knows what is on the disk. Activities that ran were
    /// stopped. Nothing that was acknowledged is lost; drop this hub and open it again.
    Failed {
        /// The first failure.
        error: StoreError,
        /// When it was noticed, by this machine's clock.
        since: SystemTime,
    },
    /// It was closed. Open it again.
    Closed,
}

impl Health {
    /// Whether it takes new work: what a load balancer wants to know.
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Healthy)
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Healthy => f.write_str("healthy"),
            Self::LowOnSpace { free, needed } => {
                write!(
                    f,
                    "low on space: {free} bytes are free, {needed} are needed"
                )
            }
            Self::Failed { error, .. } => error.fmt(f),
            Self::Closed => f.write_str("the hub is closed"),
        }
    }
}

/// What a hub's handles and its threads know of its health. Whoever lets go of an answer that
/// somebody waits for says here why, *before*.
#[derive(Clone, Debug, Default)]
pub(super) struct Condition(Arc<Mutex<Health>>);

impl Condition {
    fn with<R>(&self, f: impl FnOnce(&mut Health) -> R) -> R {
        // Held for a copy at most.
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn get(&self) -> Health {
        self.with(|health| health.clone())
    }

    /// The first failure is the cause; whatever it was, the hub is closed by it.
    pub(super) fn fail(&self, error: StoreError) {
        let error = match error {
            StoreError::Fatal { detail } => StoreError::fatal(detail),
            error @ (StoreError::Corrupt { .. } | StoreError::NewerFormat { .. }) => {
                StoreError::fatal(error.to_string())
            }
        };
        let since = clock::system();
        self.with(|health| {
            if !matches!(health, Health::Failed { .. }) {
                tracing::error!(%error, "the hub is closed; open it again");
                *health = Health::Failed { error, since };
            }
        });
    }

    pub(super) fn tell_space(&self, shortage: Option<Shortage>) {
        self.with(|health| {
            if matches!(health, Health::Healthy | Health::LowOnSpace { .. }) {
                *health = shortage.map_or(Health::Healthy, |Shortage { free, needed }| {
                    Health::LowOnSpace { free, needed }
                });
            }
        });
    }

    pub(super) fn close(&self) {
        self.with(|health| {
            if !matches!(health, Health::Failed { .. }) {
                *health = Health::Closed;
            }
        });
    }

    /// Why nobody answers any more.
    pub(super) fn why_closed(&self) -> HubError {
        match self.check_open() {
            Err(error) => error,
            Ok(()) => HubError::Closed,
        }
    }

    pub(super) fn check_open(&self) -> Result<(), HubError> {
        match self.get() {
            Health::Healthy | Health::LowOnSpace { .. } => Ok(()),
            Health::Failed { error, .. } => Err(HubError::Store(error)),
            Health::Closed => Err(HubError::Closed),
        }
    }

    /// To be held by a thread of the hub for as long as it runs: should it die, which is a bug of
    /// ours, the hub has failed.
    pub(super) fn watch(&self) -> Watch {
        Watch(self.clone())
    }
}

/// See [`Condition::watch`].
pub(super) struct Watch(Condition);

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let died = StoreError::fatal("a thread of the hub died; what was acknowledged is safe");
            self.0.fail(died);
        }
    }
}
