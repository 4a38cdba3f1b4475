//! Somebody who follows the history of an instance, piece by piece, as
//! [`Client::history`](crate::Client::history) does.

use super::process::Store;
use crate::history::Turn;
use crate::id::InstanceId;
use crate::store::{Aside as _, ReadTurns, StoreError, TurnPlace, TurnsRead};

#[derive(Debug)]
pub(super) struct Follower {
    pub(super) id: InstanceId,
    /// What was read, and told.
    told: Vec<Turn>,
    /// Where that ends.
    place: Option<TurnPlace>,
    /// What was read since.
    read: Option<TurnsRead>,
}

impl Follower {
    pub(super) fn new(id: InstanceId) -> Self {
        Self {
            id,
            told: Vec::new(),
            place: None,
            read: None,
        }
    }

    /// Whether it waits to be told what it has read.
    pub(super) fn waits(&self) -> bool {
        self.read.is_some()
    }

    /// Reads some turns. Says whether there was an instance.
    pub(super) fn read(&mut self, store: &Store, limit: usize) -> Result<bool, StoreError> {
        self.read = store.turns(&ReadTurns {
            id: self.id.clone(),
            after: self.place,
            limit,
            bytes: usize::MAX,
        })?;
        Ok(self.read.is_some())
    }

    /// The process has died: what was not told may not have happened.
    pub(super) fn unanswered(&mut self) {
        self.read = None;
    }

    /// What was read is durable, and goes on where it had ended.
    pub(super) fn told(&mut self, durable: &Store) {
        let Some(TurnsRead { next, turns, .. }) = self.read.take() else {
            return;
        };
        if self.place.is_some_and(|place| !place.is_of(&next)) {
            let later = self.place < Some(next);
            assert!(later && turns.is_empty(), "{}: it went back", self.id);
            self.told.clear();
        }
        self.place = Some(next);
        self.told.extend(turns.into_iter().map(|(_, turn)| turn));
        assert_eq!(
            self.told.len(),
            next.turn as usize,
            "{}: turns are missing, or come again",
            self.id
        );
        let whole = durable.turns(&ReadTurns {
            id: self.id.clone(),
            after: None,
            limit: usize::MAX,
            bytes: usize::MAX,
        });
        // It may have been purged meanwhile, or have continued as new.
        let Some(whole) = whole.expect("reads") else {
            return;
        };
        if whole.next.is_of(&next) {
            let whole = whole.turns.into_iter().map(|(_, turn)| turn);
            let whole: Vec<_> = whole.collect();
            assert!(
                whole.starts_with(&self.told),
                "{}: a history that was read is not durable, or has changed",
                self.id
            );
        } else {
            assert!(
                whole.next > next,
                "{}: it is older than what was read",
                self.id
            );
        }
    }
}
