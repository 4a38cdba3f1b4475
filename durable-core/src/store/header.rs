//! The summary of an instance.

use serde::{Deserialize, Serialize};

use crate::history::{Parent, Tags};
use crate::id::{ExecutionId, InstanceId, InstanceNumber};
use crate::payload::Payload;
use crate::replay::{Identity, Problem};
use crate::time::Timestamp;
use crate::weight;

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
    pub(crate) tags: Tags,
    /// Why it is suspended, while it is.
    pub(crate) suspended: Option<String>,
    /// When it was to begin, if its start was put off.
    pub(crate) scheduled: Option<Scheduled>,
}

/// A start that was put off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Scheduled {
    pub(crate) at: Timestamp,
    /// The time has come, for good, whatever the clock shows later. Until then there is a timer of
    /// kind [`TimerKind::Start`](super::TimerKind::Start) for it, unless the instance ends before.
    pub(crate) due: bool,
}

/// What the store's counters and its index hold of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeaderSize {
    pub(crate) status: RuntimeStatus,
    /// Its bytes when encoded.
    pub(crate) len: u32,
    /// Whether it has a problem.
    pub(crate) blocked: bool,
}

/// A header is one value of the store: this much is less than any engine takes.
const MAX_HEADER: usize = 16_000;

impl Header {
    /// Shortens what is told of a problem, if the whole would be too long: everything else is bounded
    /// so that it fits.
    pub(crate) fn fit(&mut self) {
        let len = self.size().len as usize;
        if let Some((problem, _)) = &mut self.problem {
            problem.cut(len.saturating_sub(MAX_HEADER));
        }
    }

    /// When it begins, if its time has not come: until then it takes no turns.
    pub(crate) fn begins_later(&self) -> Option<Timestamp> {
        let scheduled = self.scheduled.filter(|scheduled| !scheduled.due)?;
        (!self.status.is_terminal()).then_some(scheduled.at)
    }

    /// Whether it may go on although it has ended: anybody rewinds what has failed, a parent also a child
    /// that was terminated.
    pub(crate) fn may_be_rewound(&self) -> bool {
        self.status == RuntimeStatus::Failed
            || (self.status == RuntimeStatus::Terminated && self.parent.is_some())
    }

    /// The bytes of its texts in memory, by estimate, which an instance in memory has twice.
    pub(crate) fn weight(&self) -> usize {
        let tag = |(name, value): (&String, &String)| 2 * weight::SHARED + name.len() + value.len();
        let tags = self.tags.iter().map(tag).sum::<usize>();
        let texts = self.id.as_str().len() + self.name.len() + self.version.len();
        let custom = self.custom_status.as_ref().map_or(0, Payload::len);
        let tags = tags + weight::tree::<String, String>(self.tags.len());
        size_of::<Identity>() + custom + 2 * (texts + tags + 2 * weight::SHARED)
    }

    pub(crate) fn size(&self) -> HeaderSize {
        // A length is known of whatever can be encoded, and what cannot be is never stored.
        let len = postcard::experimental::serialized_size(self).unwrap_or_default();
        HeaderSize {
            status: self.status,
            len: u32::try_from(len).unwrap_or(u32::MAX),
            blocked: self.problem.is_some(),
        }
    }
}

#[cfg(test)]
impl Header {
    /// Some instance of this orchestrator.
    pub(crate) fn of_test(name: &str, status: RuntimeStatus) -> Self {
        Self {
            kind: Kind::Orchestration,
            id: InstanceId::new("x").expect("valid"),
            number: InstanceNumber(0),
            execution: ExecutionId::default(),
            name: name.to_owned(),
            version: String::new(),
            status,
            created: Timestamp(0),
            updated: Timestamp(0),
            turns: 1,
            custom_status: None,
            problem: None,
            parent: None,
            tags: Tags::new(),
            suspended: None,
            scheduled: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::CallId;
    use crate::replay::ProblemKind;

    /// Everything as long as it may be.
    #[test]
    fn a_header_always_fits_into_one_value() {
        let long = "ä".repeat(128);
        let id = InstanceId::new(long.clone()).expect("valid");
        let custom = format!("\"{}\"", "x".repeat(12 * 1024 - 2));
        let problem = Problem::new(
            ProblemKind::Divergence,
            "é".repeat(9_000),
            "ü".repeat(9_000),
        );
        let mut header = Header {
            kind: Kind::Orchestration,
            id: id.clone(),
            number: InstanceNumber(u64::MAX),
            execution: ExecutionId(u32::MAX),
            name: long.clone(),
            version: long.clone(),
            status: RuntimeStatus::Suspended,
            created: Timestamp(u64::MAX),
            updated: Timestamp(u64::MAX),
            turns: u32::MAX,
            custom_status: Some(Payload::from_json(custom).expect("JSON")),
            problem: Some((problem.shortened(), Timestamp(u64::MAX))),
            parent: Some(Parent {
                instance: id,
                number: InstanceNumber(u64::MAX),
                execution: ExecutionId(u32::MAX),
                call: CallId(CallId::MAX),
                attempt: u32::MAX,
                depth: u32::MAX,
            }),
            tags: (0..100)
                .map(|n| (format!("{n:05}"), "x".repeat(5)))
                .collect(),
            suspended: Some("s".repeat(512)),
            scheduled: Some(Scheduled {
                at: Timestamp(u64::MAX),
                due: true,
            }),
        };
        assert!(header.size().len as usize > MAX_HEADER);
        header.fit();
        let len = header.size().len as usize;
        assert!(len <= MAX_HEADER && len + 8 > MAX_HEADER, "{len}");
        let (problem, _) = header.problem.as_ref().expect("a problem");
        assert!(problem.message().len() > 500, "the report goes first");
        let before = header.clone();
        header.fit();
        assert_eq!(header, before);
    }
}
