//! The way to the hub's thread.

use std::thread::ThreadId;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::MemoryStore;
use crate::runtime::error::{HubError, WorkerError};
use crate::runtime::inbox::Gone;
use crate::runtime::shell::ToEngine;
use crate::runtime::worker::{Worker, WorkerBuilder};

/// What the hub's thread is sent.
pub(in crate::runtime) enum Message {
    Engine(Box<ToEngine>),
    /// Have so much time pass.
    Advance(Duration, oneshot::Sender<()>),
    Deploy(Box<Deployment>),
    /// Have the store refuse the next commit.
    FailNextCommit(oneshot::Sender<()>),
    /// Show somebody the store.
    Look(Box<dyn FnOnce(&MemoryStore) + Send>),
}

/// Starts a worker. If one runs, everything that is not stored is forgotten before.
pub(in crate::runtime) struct Deployment {
    pub(super) before: Option<Worker>,
    pub(super) next: WorkerBuilder,
    pub(super) done: oneshot::Sender<Result<Worker, WorkerError>>,
}

/// A message from outside, and the runtime of whoever sent it.
pub(super) type Letter = (Message, Option<Handle>);

/// Where the hub's thread is reached. What comes from outside is looked at when nothing is left to
/// do, so that it does not matter when exactly it comes; what the hub says to itself at once.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    inside: UnboundedSender<Message>,
    outside: UnboundedSender<Letter>,
    /// The hub's own.
    thread: ThreadId,
}

/// The other side of the door.
pub(super) struct Mail {
    pub(super) inside: UnboundedReceiver<Message>,
    pub(super) outside: UnboundedReceiver<Letter>,
}

/// A door, once it is known whose it is.
pub(super) fn door() -> (impl Fn(ThreadId) -> Door + Clone + Send, Mail) {
    let (inside, from_inside) = unbounded_channel();
    let (outside, from_outside) = unbounded_channel();
    let mail = Mail {
        inside: from_inside,
        outside: from_outside,
    };
    let door = move |thread| Door {
        inside: inside.clone(),
        outside: outside.clone(),
        thread,
    };
    (door, mail)
}

impl Door {
    /// Has so much time pass.
    pub(crate) async fn advance(&self, by: Duration) -> Result<(), HubError> {
        self.ask(|done| Message::Advance(by, done)).await
    }

    /// Starts a worker; in the place of another it is as if the process had been killed before.
    pub(crate) async fn deploy(
        &self,
        before: Option<Worker>,
        next: WorkerBuilder,
    ) -> Result<Worker, WorkerError> {
        let deployment = |done| Deployment { before, next, done };
        self.ask(|done| Message::Deploy(Box::new(deployment(done))))
            .await?
    }

    /// Has the store refuse the next commit.
    pub(crate) async fn fail_next_commit(&self) -> Result<(), HubError> {
        self.ask(Message::FailNextCommit).await
    }

    /// Looks at what is stored.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&MemoryStore) -> T + Send + 'static,
    ) -> Result<T, HubError> {
        self.ask(|seen| {
            Message::Look(Box::new(move |store| {
                // Nobody may wait for it any more.
                drop(seen.send(look(store)));
            }))
        })
        .await
    }

    async fn ask<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<T>) -> Message,
    ) -> Result<T, HubError> {
        let (done, is_done) = oneshot::channel();
        self.send(message(done)).map_err(|_| HubError::Closed)?;
        is_done.await.map_err(|_| HubError::Closed)
    }

    pub(in crate::runtime) fn send(&self, message: Message) -> Result<(), Gone> {
        if std::thread::current().id() == self.thread {
            return self.inside.send(message).map_err(|_| Gone);
        }
        let letter = (message, Handle::try_current().ok());
        self.outside.send(letter).map_err(|_| Gone)
    }
}
