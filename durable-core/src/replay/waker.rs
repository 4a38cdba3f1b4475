//! The waker of an orchestrator's root future.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

use super::state::{Key, current_key};

/// Told when somebody outside the engine wakes an orchestrator: it awaits something that is not
/// durable, and nothing else may ever say so.
pub(crate) type ForeignWake = Arc<dyn Fn() + Send + Sync>;

/// Legitimate wakes come from the thread that is polling or feeding this very execution. Any other
/// is foreign, whatever the moment: a flag "is being polled" would make that a race.
pub(super) struct RootWaker {
    key: Key,
    woken: AtomicBool,
    foreign: AtomicBool,
    closed: AtomicBool,
    on_foreign: ForeignWake,
}

impl RootWaker {
    pub(super) fn new(key: Key, on_foreign: ForeignWake) -> Arc<Self> {
        let [woken, foreign, closed] = [false; 3].map(AtomicBool::new);
        Arc::new(Self {
            key,
            woken,
            foreign,
            closed,
            on_foreign,
        })
    }

    /// Whether the root is to be polled; forgets it.
    pub(super) fn take_woken(&self) -> bool {
        self.woken.swap(false, Ordering::Relaxed)
    }

    pub(super) fn set_woken(&self) {
        self.woken.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_foreign(&self) -> bool {
        self.foreign.load(Ordering::Acquire)
    }

    /// From now on nobody is told of wakes: the future has ended or was evicted.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
}

impl Wake for RootWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if current_key() == self.key {
            self.set_woken();
        } else if !self.closed.load(Ordering::Acquire) && !self.foreign.swap(true, Ordering::AcqRel)
        {
            (self.on_foreign)();
        }
    }
}

impl fmt::Debug for RootWaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RootWaker")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
