//! The summary of an instance.

use serde::{Deserialize, Serialize};

use crate::history::Parent;
use crate::id::{ExecutionId, InstanceId, InstanceNumber};
use crate::payload::Payload;
use crate::replay::Problem;
use crate::time::Timestamp;

/// Where an instance is in its life, as in Durable Functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum RuntimeStatus {
    /// Started, and no turn was taken yet.
    Pending,
    /// Under way.
    Running,
    /// Ended with its output.
    Completed,
    /// Ending one execution and beginning the next.
    ContinuedAsNew,
    /// Ended with an error or a panic.
    Failed,
    /// Ended by cancellation; kept for clients of the protocol, nothing here sets it.
    Canceled,
    /// Ended from outside.
    Terminated,
    /// Held from outside; what arrives is kept.
    Suspended,
}

impl RuntimeStatus {
    /// Whether the instance has ended: nothing changes it any more.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Completed | Self::Failed | Self::Canceled | Self::Terminated => true,
            Self::Pending | Self::Running | Self::ContinuedAsNew | Self::Suspended => false,
        }
    }
}

impl std::fmt::Display for RuntimeStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Completed => "Completed",
            Self::ContinuedAsNew => "ContinuedAsNew",
            Self::Failed => "Failed",
            Self::Canceled => "Canceled",
            Self::Terminated => "Terminated",
            Self::Suspended => "Suspended",
        })
    }
}

/// What kind of thing a header stands for; entities will be another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    Orchestration,
}

/// The summary of an instance: what can be known of it without its history.
///
/// It is rewritten when something in it changes, not per turn: while activities are outstanding,
/// `turns` and `updated` may lag behind the history. Of an instance that is not active it is
/// exact, so a shortened history of one that sleeps is always noticed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) id: InstanceId,
    pub(crate) number: InstanceNumber,
    pub(crate) execution: ExecutionId,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) status: RuntimeStatus,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    /// Turns in the history of this execution.
    pub(crate) turns: u32,
    pub(crate) custom_status: Option<Payload>,
    pub(crate) problem: Option<(Problem, Timestamp)>,
    /// Whose child it is.
    pub(crate) parent: Option<Parent>,
}

/// What the store's counters hold of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeaderSize {
    pub(crate) status: RuntimeStatus,
    /// Its bytes when encoded.
    pub(crate) len: u32,
}

impl Header {
    pub(crate) fn size(&self) -> HeaderSize {
        // A length is known of whatever can be encoded, and what cannot be is never stored.
        let len = postcard::experimental::serialized_size(self).unwrap_or_default();
        HeaderSize {
            status: self.status,
            len: u32::try_from(len).unwrap_or(u32::MAX),
        }
    }
}
