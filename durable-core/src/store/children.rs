//! Finding those that an instance has begun and waited for.

use crate::id::{InstanceId, InstanceNumber};
use crate::store::RuntimeStatus;

/// Whose children are asked for.
#[derive(Clone, Debug)]
pub(crate) struct FindChildren {
    pub(crate) id: InstanceId,
    pub(crate) number: InstanceNumber,
    /// Only those behind this place.
    pub(crate) after: Option<ChildPlace>,
    /// After so many no other call, or page of instances, is looked at.
    pub(crate) limit: usize,
}

/// Where the search goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChildPlace {
    /// Behind so many of the children that this turn begins.
    Begun { turn: u32, skip: usize },
    /// Behind this attempt at the next of those.
    Tried {
        turn: u32,
        skip: usize,
        attempt: InstanceId,
    },
    /// Behind this one of all instances.
    Listed(InstanceId),
}

/// Some of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Children {
    pub(crate) found: Vec<Child>,
    /// If there may be more.
    pub(crate) next: Option<ChildPlace>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Child {
    pub(crate) id: InstanceId,
    pub(crate) number: InstanceNumber,
    pub(crate) status: RuntimeStatus,
}
