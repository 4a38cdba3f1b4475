//! How far the engine may be ahead of the commit thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Sealed commits that may wait for the commit thread. What is not sealed yet can still be joined,
/// and overtaken, by what arrives: so one is enough to have the thread go on.
pub(super) const SEALED_AHEAD: usize = 1;

/// Counts the commits that wait. Shared by the engine's thread, which seals only what has room, and
/// the commit thread, which says when there is some again.
#[derive(Clone, Debug, Default)]
pub(super) struct Room(Arc<State>);

#[derive(Debug, Default)]
struct State {
    waiting: AtomicUsize,
    /// The engine wants to be told.
    wanted: AtomicBool,
}

impl Room {
    /// Whether there is room. If not, [`leave`](Self::leave) says so once there is.
    pub(super) fn is_there(&self) -> bool {
        let there = || self.0.waiting.load(Ordering::SeqCst) < SEALED_AHEAD;
        if there() {
            return true;
        }
        self.0.wanted.store(true, Ordering::SeqCst);
        // It may have come about before it was wanted.
        there()
    }

    /// A commit begins to wait.
    pub(super) fn enter(&self) {
        self.0.waiting.fetch_add(1, Ordering::SeqCst);
    }

    /// A commit waits no more. Whether the engine is to be told.
    pub(super) fn leave(&self) -> bool {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
        self.0.wanted.swap(false, Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_finds_no_room_is_told_once_there_is() {
        let room = Room::default();
        for _ in 0..3 {
            assert!(room.is_there());
            room.enter();
            assert!(!room.is_there() && !room.is_there());
            assert!(room.leave());
            assert!(room.is_there());
            room.enter();
            assert!(!room.leave(), "nobody wanted it");
        }
    }
}
