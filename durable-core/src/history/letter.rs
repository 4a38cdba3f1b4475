//! What one instance sends to another.

use serde::{Deserialize, Serialize};

use crate::failure::FailureDetails;
use crate::history::{Parent, Started};
use crate::id::{EventName, InstanceId};
use crate::payload::Payload;

/// A message between instances. It is part of the commit of whoever sends it: either the turn it
/// causes is in that commit, too, or it is stored there until it was dealt with. So it arrives once.
///
/// New kinds are added at the end: the position is what is written to disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Letter {
    /// Begins an instance.
    Start {
        started: Box<Started>,
        /// There may be an instance of this id already.
        named: bool,
        /// The call is made again: its child goes on, if there is one that has failed.
        again: bool,
    },
    /// Raises an event.
    Event {
        to: InstanceId,
        name: EventName,
        data: Payload,
    },
    /// Terminates an instance, if it is the child of this call.
    Terminate {
        to: InstanceId,
        parent: Parent,
        reason: String,
    },
    /// Tells a parent how the child of this call has ended.
    Ended {
        parent: Parent,
        result: Result<Payload, FailureDetails>,
    },
}

impl Letter {
    /// The bytes that it takes when encoded.
    pub(crate) fn len(&self) -> u32 {
        // A length is known of whatever can be encoded, and what cannot be is never stored.
        let len = postcard::experimental::serialized_size(self).unwrap_or_default();
        u32::try_from(len).unwrap_or(u32::MAX)
    }

    /// The bytes of payload that it carries.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Start { started, .. } => started.input.len(),
            Self::Event { data, .. } => data.len(),
            Self::Terminate { reason, .. } => reason.len(),
            Self::Ended { result, .. } => match result {
                Ok(output) => output.len(),
                Err(failure) => failure.bytes(),
            },
        }
    }
}
