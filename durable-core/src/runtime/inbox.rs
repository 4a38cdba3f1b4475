//! How everybody reaches the engine.

use std::sync::mpsc;

#[cfg(feature = "testing")]
use super::lockstep;
use super::shell::ToEngine;

/// Where the engine's thread is sent things. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) enum Inbox {
    /// Of a hub with threads of its own.
    Threads(mpsc::Sender<ToEngine>),
    /// Of a hub in virtual time.
    #[cfg(feature = "testing")]
    Lockstep(lockstep::Door),
}

/// The engine's thread has ended.
#[derive(Debug)]
pub(super) struct Gone;

impl Inbox {
    pub(super) fn send(&self, message: ToEngine) -> Result<(), Gone> {
        match self {
            Self::Threads(engine) => engine.send(message).map_err(|_| Gone),
            #[cfg(feature = "testing")]
            Self::Lockstep(door) => door.send(lockstep::Message::Engine(Box::new(message))),
        }
    }
}
