//! Death at a moment that is a call into the store, not a time.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use durable_core::simulation::{StoreCall, StoreHook};
use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};

/// Which call a child does not survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Death {
    pub(crate) call: Call,
    /// The how many-th of these calls, from 1 on, counted from the opening of the hub.
    pub(crate) nth: u64,
    /// When it has succeeded, rather than before it is made.
    pub(crate) after: bool,
}

/// A kind of call into the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Call {
    Read,
    Apply,
    Sync,
}

/// Kills this process at the call it was told.
#[derive(Debug)]
pub(super) struct Doom {
    death: Death,
    passed: AtomicU64,
}

impl Doom {
    pub(super) fn new(death: Death) -> Self {
        Self {
            death,
            passed: AtomicU64::new(0),
        }
    }

    fn pass(&self, call: StoreCall, after: bool) -> io::Result<()> {
        let is_it = after == self.death.after && self.death.call.covers(call);
        if is_it && self.passed.fetch_add(1, Ordering::Relaxed) + 1 == self.death.nth {
            kill_process(getpid(), Signal::KILL)?;
            // Not a step further, whenever it comes.
            loop {
                std::thread::park();
            }
        }
        Ok(())
    }
}

impl StoreHook for Doom {
    fn before(&self, call: StoreCall) -> io::Result<()> {
        self.pass(call, false)
    }

    fn after(&self, call: StoreCall) -> io::Result<()> {
        self.pass(call, true)
    }
}

impl Call {
    fn covers(self, call: StoreCall) -> bool {
        match call {
            StoreCall::Get | StoreCall::Scan => self == Self::Read,
            StoreCall::Apply => self == Self::Apply,
            StoreCall::Sync => self == Self::Sync,
            StoreCall::Close => false,
        }
    }
}
