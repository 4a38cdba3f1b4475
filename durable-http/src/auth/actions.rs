//! What a caller may be allowed to do.

use std::ops::BitOr;

/// One thing that can be done over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Start an orchestration.
    Start,
    /// See that an instance exists, its name, status, custom status and times.
    Status,
    /// See its input.
    Input,
    /// See its output, once it has ended.
    Output,
    /// See what happened in it, how far its activities have come, and the report of a problem that
    /// stops it.
    History,
    /// Raise an external event.
    Raise,
    /// End it.
    Terminate,
    /// Hold it.
    Suspend,
    /// Let it go on.
    Resume,
    /// Let it go on from before its failure.
    Rewind,
    /// Start it again with the same input: as another instance, or, once it has ended, in its place.
    Restart,
    /// Forget it.
    Purge,
    /// See which instances there are.
    List,
    /// See what can be asked for: the API's own description.
    Describe,
    /// Try again what stops it.
    Retry,
}

/// A set of [`Action`]s.
///
/// ```
/// use durable_http::{Action, Actions};
///
/// let watch = Actions::STATUS | Actions::OUTPUT;
/// assert!(watch.contains(Action::Status));
/// assert!(!watch.contains(Action::Terminate));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Actions(u16);

impl Actions {
    /// None.
    pub const NONE: Self = Self(0);
    /// [`Action::Start`].
    pub const START: Self = Self::one(Action::Start);
    /// [`Action::Status`].
    pub const STATUS: Self = Self::one(Action::Status);
    /// [`Action::Input`].
    pub const INPUT: Self = Self::one(Action::Input);
    /// [`Action::Output`].
    pub const OUTPUT: Self = Self::one(Action::Output);
    /// [`Action::History`].
    pub const HISTORY: Self = Self::one(Action::History);
    /// [`Action::Raise`].
    pub const RAISE: Self = Self::one(Action::Raise);
    /// [`Action::Terminate`].
    pub const TERMINATE: Self = Self::one(Action::Terminate);
    /// [`Action::Suspend`].
    pub const SUSPEND: Self = Self::one(Action::Suspend);
    /// [`Action::Resume`].
    pub const RESUME: Self = Self::one(Action::Resume);
    /// [`Action::Rewind`].
    pub const REWIND: Self = Self::one(Action::Rewind);
    /// [`Action::Restart`].
    pub const RESTART: Self = Self::one(Action::Restart);
    /// [`Action::Purge`].
    pub const PURGE: Self = Self::one(Action::Purge);
    /// [`Action::List`].
    pub const LIST: Self = Self::one(Action::List);
    /// [`Action::Describe`].
    pub const DESCRIBE: Self = Self::one(Action::Describe);
    /// [`Action::Retry`].
    pub const RETRY: Self = Self::one(Action::Retry);
    /// All of them.
    pub const ALL: Self = Self((1 << (Action::Retry as u16 + 1)) - 1);

    const fn one(action: Action) -> Self {
        Self(1 << action as u16)
    }

    /// Whether `action` is in the set.
    pub const fn contains(self, action: Action) -> bool {
        self.0 & Self::one(action).0 != 0
    }

    /// The set as it is written in a link.
    pub(crate) fn bits(self) -> u16 {
        self.0
    }

    pub(crate) fn from_bits(bits: u16) -> Self {
        Self(bits)
    }
}

impl BitOr for Actions {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl From<Action> for Actions {
    fn from(action: Action) -> Self {
        Self::one(action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_keep_their_bits_because_links_carry_them() {
        assert_eq!(Actions::START.bits(), 1);
        assert_eq!((Actions::STATUS | Actions::OUTPUT).bits(), 0b1010);
        assert_eq!(Actions::TERMINATE.bits(), 1 << 6);
        assert_eq!(Actions::RETRY.bits(), 1 << 14);
        assert_eq!(Actions::ALL.bits(), (1 << 15) - 1);
    }
}
