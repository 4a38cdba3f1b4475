//! Telling a program what happens in the lives of instances.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::broadcast::{self, Receiver, Sender};
use tokio_util::sync::CancellationToken;

use super::status::system;
use crate::engine::{Happened, LifecycleKind, Listeners};
use crate::id::{ExecutionId, InstanceId};

/// Events that are kept for who is slow: one more and it has missed the oldest.
const KEPT: usize = 4_096;

/// Where what happens is told. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Lifecycle {
    /// There is none, and nothing is kept, until somebody listens.
    sender: Arc<OnceLock<Sender<LifecycleEvent>>>,
    listeners: Listeners,
}

impl Lifecycle {
    pub(super) fn listeners(&self) -> Listeners {
        Arc::clone(&self.listeners)
    }

    /// Never waits: who does not keep up misses the oldest.
    pub(super) fn tell(&self, happened: Happened) {
        if let Some(sender) = self.sender.get() {
            // Nobody may listen any more.
            drop(sender.send(LifecycleEvent(Arc::new(happened))));
        }
    }

    pub(super) fn subscribe(&self, ended: CancellationToken) -> LifecycleEvents {
        let sender = self.sender.get_or_init(|| broadcast::channel(KEPT).0);
        let receiver = sender.subscribe();
        self.listeners.fetch_add(1, Ordering::Release);
        LifecycleEvents {
            receiver,
            ended,
            _listening: Listening(self.listeners()),
        }
    }
}

/// Counted for as long as it lives.
#[derive(Debug)]
struct Listening(Arc<AtomicUsize>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

/// What happens in the lives of a hub's instances, one event after the other; see
/// [`TaskHub::subscribe`](crate::TaskHub::subscribe).
#[derive(Debug)]
pub struct LifecycleEvents {
    receiver: Receiver<LifecycleEvent>,
    /// The hub is closed, and tells nothing more.
    ended: CancellationToken,
    _listening: Listening,
}

impl LifecycleEvents {
    /// The next event, in the order in which they became durable. `None` once the hub is closed, and
    /// everything before was told.
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// [`Lagged`] once, if more than 4,096 events were waiting: the oldest are gone, and the next one
    /// follows on them.
    pub async fn next(&mut self) -> Option<Result<LifecycleEvent, Lagged>> {
        let received = tokio::select! { biased;
            received = self.receiver.recv() => received,
            () = self.ended.cancelled() => match self.receiver.try_recv() {
                Ok(event) => Ok(event),
                Err(TryRecvError::Lagged(missed)) => Err(RecvError::Lagged(missed)),
                Err(TryRecvError::Empty | TryRecvError::Closed) => Err(RecvError::Closed),
            },
        };
        match received {
            Ok(event) => Some(Ok(event)),
            Err(RecvError::Lagged(missed)) => Some(Err(Lagged { missed })),
            Err(RecvError::Closed) => None,
        }
    }
}

/// Whoever listens was too slow, and has missed some events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{missed} events were missed")]
#[non_exhaustive]
pub struct Lagged {
    /// How many.
    pub missed: u64,
}

/// Something has happened in the life of an instance, for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LifecycleEvent(Arc<Happened>);

impl LifecycleEvent {
    /// What has happened.
    pub fn kind(&self) -> LifecycleKind {
        self.0.kind
    }

    /// The instance's id.
    pub fn instance_id(&self) -> &InstanceId {
        &self.0.id
    }

    /// Which of all instances that have had this id, as
    /// [`OrchestrationStatus::incarnation`](crate::OrchestrationStatus::incarnation).
    pub fn incarnation(&self) -> u64 {
        self.0.number.0
    }

    /// The execution that it is in.
    pub fn execution_id(&self) -> ExecutionId {
        self.0.execution
    }

    /// The orchestrator's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// When it happened. Of one instance none is before the one before it.
    pub fn happened_at(&self) -> SystemTime {
        system(self.0.at)
    }
}
