//! Bugs that can be switched on, to see that the simulator finds them.

use std::cell::Cell;

/// A bug in the library's own code, behind `planted!(..)` at the place where it would be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Planted {
    /// Effects are released when a commit is applied, before it is synced.
    AcknowledgeBeforeSync,
    /// Nothing is ever synced.
    SkipSync,
}

thread_local! {
    static PLANTED: Cell<Option<Planted>> = const { Cell::new(None) };
}

/// Switches a bug on for this thread, or all of them off.
pub fn plant(bug: Option<Planted>) {
    PLANTED.set(bug);
}

pub(crate) fn is_planted(bug: Planted) -> bool {
    PLANTED.get() == Some(bug)
}
