//! Faults of the store, made at the seam.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use durable_core::simulation::{StoreCall, StoreHook};
use serde::{Deserialize, Serialize};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fault {
    pub(super) call: Call,
    /// The how many-th of these calls, from 1 on.
    pub(super) nth: u64,
    pub(super) how: How,
}

/// A kind of call into the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Call {
    Get,
    Scan,
    Apply,
    Sync,
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum How {
    /// The call fails.
    Fails(Failure),
    /// It and every later one takes so long.
    Slow { ms: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failure {
    /// What the system says.
    pub(super) errno: i32,
    /// After the call has had its effect, rather than instead of it.
    pub(super) after: bool,
    /// Every later call fails, too.
    pub(super) for_good: bool,
}

/// Makes one fault.
#[derive(Debug)]
pub(super) struct Faulty {
    fault: Fault,
    seen: AtomicU64,
}

impl Faulty {
    pub(super) fn new(fault: Fault) -> Self {
        let seen = AtomicU64::new(0);
        Self { fault, seen }
    }

    fn pass(&self, call: StoreCall, after: bool) -> io::Result<()> {
        let Fault {
            call: wanted,
            nth,
            how,
        } = self.fault;
        let at = match how {
            How::Fails(failure) => failure.after,
            How::Slow { .. } => false,
        };
        if at != after || !wanted.is(call) {
            return Ok(());
        }
        let seen = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
        match how {
            How::Fails(Failure {
                errno, for_good, ..
            }) if seen == nth || for_good && seen > nth => Err(io::Error::from_raw_os_error(errno)),
            How::Slow { ms } if seen >= nth => {
                std::thread::sleep(Duration::from_millis(ms));
                Ok(())
            }
            How::Fails(_) | How::Slow { .. } => Ok(()),
        }
    }
}

impl StoreHook for Faulty {
    fn before(&self, call: StoreCall) -> io::Result<()> {
        self.pass(call, false)
    }

    fn after(&self, call: StoreCall) -> io::Result<()> {
        self.pass(call, true)
    }
}

impl Call {
    fn is(self, call: StoreCall) -> bool {
        match call {
            StoreCall::Get => self == Self::Get,
            StoreCall::Scan => self == Self::Scan,
            StoreCall::Apply => self == Self::Apply,
            StoreCall::Sync => self == Self::Sync,
            StoreCall::Close => self == Self::Close,
        }
    }
}
