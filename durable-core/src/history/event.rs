//! Events, actions, steps and turns.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::failure::FailureDetails;
use crate::history::StepIndex;
use crate::id::{CallId, EventName, ExecutionId, InstanceId, InstanceNumber};
use crate::payload::Payload;
use crate::retry::RetryPolicy;
use crate::time::Timestamp;

/// What reaches an execution from outside.
///
/// New kinds are added at the end: the position is what is written to disk.
#[expect(
    clippy::enum_variant_names,
    reason = "raising an event is what the field calls it"
)]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Event {
    /// The first event of every execution.
    Started(Box<Started>),
    ActivityCompleted {
        call: CallId,
        output: Payload,
    },
    ActivityFailed {
        call: CallId,
        failure: FailureDetails,
    },
    TimerFired {
        call: CallId,
    },
    EventRaised {
        name: EventName,
        data: Payload,
        /// What whoever raised it calls it: another of the same id is the same event.
        id: Option<Arc<str>>,
    },
    /// The last event of an execution that was terminated; no orchestrator sees it.
    Terminated {
        reason: Option<String>,
        /// Also what it has begun is to be terminated.
        children: bool,
    },
    /// A child of this call has ended with its output.
    ChildCompleted {
        call: CallId,
        output: Payload,
    },
    /// A child of this call has ended otherwise, or could not be started.
    ChildFailed {
        call: CallId,
        failure: FailureDetails,
    },
    /// The execution had failed, and goes on as if these steps had not been.
    Rewound {
        reason: String,
        takes_back: Vec<StepIndex>,
    },
}

impl Event {
    /// The call that it answers, if it is an answer.
    pub(crate) fn answers(&self) -> Option<CallId> {
        match self {
            Self::ActivityCompleted { call, .. }
            | Self::ActivityFailed { call, .. }
            | Self::TimerFired { call }
            | Self::ChildCompleted { call, .. }
            | Self::ChildFailed { call, .. } => Some(*call),
            Self::Started(_)
            | Self::EventRaised { .. }
            | Self::Terminated { .. }
            | Self::Rewound { .. } => None,
        }
    }

    /// Bytes of payload it carries.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Started(started) => started.input.len(),
            Self::ActivityCompleted { output, .. } | Self::ChildCompleted { output, .. } => {
                output.len()
            }
            Self::ActivityFailed { failure, .. } | Self::ChildFailed { failure, .. } => {
                failure.bytes()
            }
            Self::EventRaised { data, .. } => data.len(),
            Self::TimerFired { .. } | Self::Terminated { .. } => 0,
            Self::Rewound { reason, takes_back } => {
                reason.len() + takes_back.len() * size_of::<StepIndex>()
            }
        }
    }
}

/// What an execution began with. It names the instance, so that the first record of a history
/// says whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Started {
    pub(crate) instance: InstanceId,
    pub(crate) execution: ExecutionId,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) input: Payload,
    /// Whose child it is.
    pub(crate) parent: Option<Parent>,
    /// Ids of events that were raised at executions before this one, oldest first.
    pub(crate) event_ids: Vec<Arc<str>>,
    pub(crate) tags: Tags,
}

/// Names and values that an instance is given at its start.
pub(crate) type Tags = BTreeMap<String, String>;

/// The most bytes that all names and values of an instance's tags may have.
pub(crate) const MAX_TAGS: usize = 1_000;

/// Whether there may be so many tags.
pub(crate) fn tags_fit(tags: &Tags) -> bool {
    let bytes: usize = tags
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    bytes <= MAX_TAGS && !tags.contains_key("")
}

/// The call of an orchestrator that began an instance, and gets its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Parent {
    pub(crate) instance: InstanceId,
    pub(crate) number: InstanceNumber,
    pub(crate) execution: ExecutionId,
    pub(crate) call: CallId,
    /// Which attempt at the call this is, from 1.
    pub(crate) attempt: u32,
    /// How many there are above the child: 1 for the child of one that has no parent.
    pub(crate) depth: u32,
}

/// What an orchestrator asks for. Calls carry the id that was bound when the call was made.
///
/// New kinds are added at the end: the position is what is written to disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Action {
    ScheduleActivity {
        call: CallId,
        name: Cow<'static, str>,
        input: Payload,
        options: ActivityOptions,
        /// What runs is part of the orchestrator's code, not a registered activity.
        inline: bool,
    },
    CreateTimer {
        call: CallId,
        due: Timestamp,
    },
    /// A note: from now on the orchestrator waits for an event of this name.
    AwaitEvent {
        call: CallId,
        name: EventName,
    },
    /// The call was begun and is no longer wanted.
    Cancel {
        call: CallId,
    },
    SetCustomStatus {
        status: Payload,
    },
    Complete {
        output: Payload,
    },
    Fail {
        failure: FailureDetails,
    },
    /// Begins another orchestration.
    StartChild {
        call: CallId,
        id: InstanceId,
        name: Cow<'static, str>,
        version: Cow<'static, str>,
        input: Payload,
        options: ChildOptions,
    },
    /// Raises an event at another instance.
    SendEvent {
        call: CallId,
        to: InstanceId,
        name: EventName,
        data: Payload,
    },
    /// Ends this execution; the next one of the instance begins with `input`.
    ContinueAsNew {
        version: Cow<'static, str>,
        input: Payload,
        /// Events that were not taken are for the next execution.
        keep_events: bool,
    },
    /// A note: this execution takes the changed path of this name.
    Patched {
        name: Cow<'static, str>,
    },
}

impl Action {
    /// Bytes of payload it carries.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Fail { failure } => failure.bytes(),
            Self::ScheduleActivity { .. }
            | Self::SetCustomStatus { .. }
            | Self::Complete { .. }
            | Self::StartChild { .. }
            | Self::SendEvent { .. }
            | Self::ContinueAsNew { .. }
            | Self::CreateTimer { .. }
            | Self::AwaitEvent { .. }
            | Self::Cancel { .. }
            | Self::Patched { .. } => self.payload().map_or(0, Payload::len),
        }
    }

    /// The payload it carries to the store, for the limit on its size.
    pub(crate) fn payload(&self) -> Option<&Payload> {
        match self {
            Self::ScheduleActivity { input, .. }
            | Self::StartChild { input, .. }
            | Self::ContinueAsNew { input, .. } => Some(input),
            Self::SendEvent { data, .. } => Some(data),
            Self::SetCustomStatus { status } => Some(status),
            Self::Complete { output } => Some(output),
            Self::Fail { failure } => failure.value(),
            Self::CreateTimer { .. }
            | Self::AwaitEvent { .. }
            | Self::Cancel { .. }
            | Self::Patched { .. } => None,
        }
    }
}

/// How an activity is to be run. Who runs it keeps attempts and delays as its own state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ActivityOptions {
    pub(crate) retry: Option<RetryPolicy>,
    /// The longest one attempt may take.
    pub(crate) timeout: Option<Duration>,
    /// The orchestrator's code is asked whether an error is to be retried.
    pub(crate) retry_if: bool,
    /// The longest that one attempt may give no sign of life.
    pub(crate) heartbeat: Option<Duration>,
}

/// How a child is to be begun.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChildOptions {
    pub(crate) retry: Option<RetryPolicy>,
    /// Nobody waits for its result, and it goes on when its parent ends.
    pub(crate) detached: bool,
    /// The id was given, so there may be another instance of it.
    pub(crate) named: bool,
    pub(crate) tags: Tags,
    /// The orchestrator's code is asked whether an error is to be retried.
    pub(crate) retry_if: bool,
}

/// One event and what the orchestrator asked for when it was fed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) event: Event,
    pub(crate) actions: Vec<Action>,
}

/// What one commit adds to a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Turn {
    /// The clock of everything the orchestrator did in it.
    pub(crate) time: Timestamp,
    pub(crate) steps: Vec<Step>,
}
