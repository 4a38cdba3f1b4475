//! Who goes on next, and how the time is held.

use std::sync::{Arc, Mutex, PoisonError, mpsc};

use fastrand::Rng;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};

/// Whose turn it is among what runs on the hub's own runtime, and whether something runs elsewhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stage(Arc<OnStage>);

#[derive(Debug, Default)]
struct OnStage {
    state: Mutex<Cast>,
    ended_elsewhere: Notify,
}

#[derive(Debug, Default)]
struct Cast {
    waiting: Vec<oneshot::Sender<()>>,
    elsewhere: usize,
}

impl Stage {
    fn cast<R>(&self, f: impl FnOnce(&mut Cast) -> R) -> R {
        f(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until the caller is drawn to go on.
    pub(crate) async fn turn(&self) {
        let (go, may_go) = oneshot::channel();
        self.cast(|cast| cast.waiting.push(go));
        // If the hub is gone nobody minds what happens.
        let _ = may_go.await;
    }

    /// Lets one of those who wait go on. Says whether there was one.
    pub(super) fn draw(&self, rng: &mut Rng) -> bool {
        loop {
            let drawn = self.cast(|cast| match cast.waiting.len() {
                0 => None,
                waiting => Some(cast.waiting.swap_remove(rng.usize(..waiting))),
            });
            match drawn {
                Some(go) if go.is_closed() => {
                    // It was cancelled meanwhile.
                }
                Some(go) => return go.send(()).is_ok(),
                None => return false,
            }
        }
    }

    /// Something runs elsewhere, in real time, until what this returns is dropped.
    pub(crate) fn elsewhere(&self) -> Elsewhere {
        self.cast(|cast| cast.elsewhere += 1);
        Elsewhere(self.clone())
    }

    pub(super) fn is_all_here(&self) -> bool {
        self.cast(|cast| cast.elsewhere == 0)
    }

    /// Waits until something that ran elsewhere has ended.
    pub(super) async fn ended_elsewhere(&self) {
        self.0.ended_elsewhere.notified().await;
    }
}

/// See [`Stage::elsewhere`].
#[derive(Debug)]
pub(crate) struct Elsewhere(Stage);

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.0.cast(|cast| cast.elsewhere -= 1);
        self.0.0.ended_elsewhere.notify_one();
    }
}

/// Holds the time: tokio's paused clock does not move on by itself while a blocking task runs.
pub(super) struct Hold {
    runtime: Handle,
    /// Ends the task when dropped.
    held: Option<mpsc::Sender<()>>,
}

impl Hold {
    pub(super) fn new(runtime: Handle) -> Self {
        Self {
            runtime,
            held: None,
        }
    }

    pub(super) fn begin(&mut self) {
        if self.held.is_none() {
            let (release, released) = mpsc::channel::<()>();
            let wait = move || released.recv().is_ok();
            drop(self.runtime.spawn_blocking(wait));
            self.held = Some(release);
        }
    }

    pub(super) fn release(&mut self) {
        self.held = None;
    }
}
