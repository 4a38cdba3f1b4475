//! Starts that take the place of an instance that has ended.
//!
//! The old one is purged by the commit that stores the new one: whatever happens there is one of the
//! two. As a purge does, it waits until the old one has left memory; what the new one asks for is
//! decided when it is its turn.

use crate::engine::message::{Replaces, StartRequest};
use crate::engine::{Answer, Engine, Want};
use crate::store::Header;

impl Replaces {
    /// Whether an instance may go, so that another gets its id.
    pub(super) fn may_replace(self, there: &Header) -> bool {
        let is_meant = match self {
            Self::Nothing => false,
            Self::Ended => true,
            Self::Only(number) => there.number == number || planted!(ReplaceAnother),
        };
        is_meant && there.status.is_terminal()
    }
}

impl<R: Answer> Engine<R> {
    pub(super) fn replace(&mut self, there: Header, request: StartRequest, reply: R) {
        if self.is_in_use(there.number) && !planted!(ReplaceEarly) {
            let id = request.id.clone();
            return self.once_out_of_memory(id, Want::Start(request, reply));
        }
        if planted!(ReplaceApart) {
            self.remove(there);
            return self.create(request, None, reply);
        }
        self.create(request, Some(there), reply);
    }
}
