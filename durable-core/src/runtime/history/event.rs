//! What is shown of a history: one list of events, from turns of steps of an event and actions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::failure::FailureDetails;
use crate::history::{Action, Event, Started, StepIndex, Turn};
use crate::id::{CallId, ExecutionId, InstanceId};
use crate::payload::Payload;
use crate::replay::ParentInstance;
use crate::time::Timestamp;

/// Something that has happened to an instance, or that its orchestrator has asked for.
///
/// Written with serde it is one JSON object; see [`History::export`](super::History::export) for its
/// form. Read from that it is equal to what was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HistoryEvent {
    /// The execution (generation) of the instance.
    pub execution: ExecutionId,
    /// The turn it belongs to, counted from 1 in each execution. All of a turn became durable at once.
    pub turn: u32,
    /// When that turn was taken, in whole microseconds. It is the orchestrator's clock, and never goes
    /// back.
    #[serde(with = "moment")]
    pub time: SystemTime,
    /// What has happened.
    #[serde(rename = "event")]
    pub kind: HistoryEventKind,
}

/// What has happened.
///
/// The names are those of Durable Functions where it has the same thing. `call` is the number of the
/// orchestrator's call in this execution: it connects what was asked for with its answer. Numbers
/// rise in the order in which calls were made, and some may be missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[expect(missing_docs, reason = "a name of the field says what it is")]
pub enum HistoryEventKind {
    /// The first event of every execution.
    ExecutionStarted {
        name: String,
        /// Empty if it has none.
        version: String,
        input: Payload,
        /// Whose child it is.
        parent: Option<ParentInstance>,
        tags: BTreeMap<String, String>,
    },
    /// The orchestrator has called an activity.
    TaskScheduled {
        call: u32,
        name: String,
        input: Payload,
        /// It is a step in the orchestrator's own code.
        inline: bool,
    },
    /// An activity has ended with its output.
    TaskCompleted { call: u32, output: Payload },
    /// An activity has failed, and was not, or not again, retried.
    TaskFailed { call: u32, failure: FailureDetails },
    /// The orchestrator sleeps until then.
    TimerCreated {
        call: u32,
        #[serde(with = "moment")]
        fire_at: SystemTime,
    },
    /// It was woken.
    TimerFired { call: u32 },
    /// The orchestrator has begun another one.
    SubOrchestrationInstanceCreated {
        call: u32,
        /// The id of the first attempt; that of the n-th ends in `:n`.
        instance: InstanceId,
        name: String,
        /// Empty: the hub's default.
        version: String,
        input: Payload,
        /// Nobody waits for its end.
        detached: bool,
    },
    /// A child has ended with its output.
    SubOrchestrationInstanceCompleted { call: u32, output: Payload },
    /// A child has ended otherwise, or could not be started.
    SubOrchestrationInstanceFailed { call: u32, failure: FailureDetails },
    /// From now on the orchestrator waits for an event of this name.
    EventAwaited {
        call: u32,
        /// In lower case.
        name: String,
    },
    /// An external event was handed to the orchestrator.
    EventRaised {
        /// In lower case.
        name: String,
        data: Payload,
        /// What whoever raised it calls it.
        event_id: Option<String>,
    },
    /// The orchestrator has raised an event at another instance.
    EventSent {
        call: u32,
        instance: InstanceId,
        /// In lower case.
        name: String,
        data: Payload,
    },
    /// The orchestrator does not wait for this call any more.
    CallCancelled { call: u32 },
    /// The orchestrator has set its custom status.
    CustomStatusSet { status: Payload },
    /// This execution takes the changed path of this name.
    Patched { name: String },
    /// The orchestrator ends this execution and begins the next.
    ContinueAsNew {
        version: String,
        input: Payload,
        /// Events that were not taken are for the next execution.
        keep_events: bool,
    },
    /// It has ended with its output.
    ExecutionCompleted { output: Payload },
    /// It has ended with a failure.
    ExecutionFailed { failure: FailureDetails },
    /// It was ended from outside.
    ExecutionTerminated {
        reason: Option<String>,
        /// And the children it waited for, too.
        recursive: bool,
    },
    /// It had failed, and goes on: see [`Client::rewind`](crate::Client::rewind). What that takes back
    /// stays where it is.
    ExecutionRewound {
        reason: String,
        /// What had failed, and is asked for again by this: calls of activities and children. What was
        /// still open when it failed is asked for again, too, and is not among these.
        #[serde(default)]
        calls: Vec<u32>,
    },
}

/// Follows the turns of an execution, from its first.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// Which calls have failed, by where their failures stand: a rewind names those places.
    failed: BTreeMap<StepIndex, u32>,
}

impl Shown {
    /// What a turn shows; it is counted from 1.
    pub(super) fn events(
        &mut self,
        execution: ExecutionId,
        turn: u32,
        Turn { time, steps }: Turn,
    ) -> Vec<HistoryEvent> {
        let mut kinds = Vec::new();
        for (at, step) in (0..).zip(steps) {
            let index = StepIndex {
                turn: turn.saturating_sub(1),
                step: at,
            };
            let calls = self.asked_again(index, &step.event);
            kinds.push(of_event(step.event, calls));
            kinds.extend(step.actions.into_iter().map(of_action));
        }
        let event = |kind| HistoryEvent {
            execution,
            turn,
            time: system(time),
            kind,
        };
        kinds.into_iter().map(event).collect()
    }

    /// The calls that this event has made again.
    fn asked_again(&mut self, at: StepIndex, event: &Event) -> Vec<u32> {
        if let Event::ActivityFailed { call, .. } | Event::ChildFailed { call, .. } = event {
            self.failed.insert(at, call.0);
        }
        let Event::Rewound { takes_back, .. } = event else {
            return Vec::new();
        };
        let calls = takes_back.iter().filter_map(|at| self.failed.get(at));
        let calls: BTreeSet<_> = calls.copied().collect();
        calls.into_iter().collect()
    }
}

/// `calls`: what it asks for again.
fn of_event(event: Event, calls: Vec<u32>) -> HistoryEventKind {
    use HistoryEventKind as Kind;
    match event {
        Event::Started(started) => of_start(*started),
        Event::ActivityCompleted {
            call: CallId(call),
            output,
        } => Kind::TaskCompleted { call, output },
        Event::ActivityFailed {
            call: CallId(call),
            failure,
        } => Kind::TaskFailed { call, failure },
        Event::TimerFired { call: CallId(call) } => Kind::TimerFired { call },
        Event::EventRaised { name, data, id } => Kind::EventRaised {
            name: name.to_string(),
            data,
            event_id: id.map(|id| id.as_ref().to_owned()),
        },
        Event::Terminated { reason, children } => Kind::ExecutionTerminated {
            reason,
            recursive: children,
        },
        Event::ChildCompleted {
            call: CallId(call),
            output,
        } => Kind::SubOrchestrationInstanceCompleted { call, output },
        Event::ChildFailed {
            call: CallId(call),
            failure,
        } => Kind::SubOrchestrationInstanceFailed { call, failure },
        Event::Rewound {
            reason,
            takes_back: _,
        } => Kind::ExecutionRewound { reason, calls },
    }
}

fn of_start(started: Started) -> HistoryEventKind {
    let Started {
        instance: _,
        execution: _,
        name,
        version,
        input,
        parent,
        event_ids: _,
        tags,
    } = started;
    HistoryEventKind::ExecutionStarted {
        name,
        version,
        input,
        parent: parent.map(|parent| ParentInstance {
            id: parent.instance,
            execution: parent.execution,
        }),
        tags,
    }
}

fn of_action(action: Action) -> HistoryEventKind {
    use HistoryEventKind as Kind;
    match action {
        Action::ScheduleActivity {
            call: CallId(call),
            name,
            input,
            options: _,
            inline,
        } => Kind::TaskScheduled {
            call,
            name: name.into_owned(),
            input,
            inline,
        },
        Action::CreateTimer {
            call: CallId(call),
            due,
        } => Kind::TimerCreated {
            call,
            fire_at: system(due),
        },
        Action::AwaitEvent {
            call: CallId(call),
            name,
        } => Kind::EventAwaited {
            call,
            name: name.to_string(),
        },
        Action::Cancel { call: CallId(call) } => Kind::CallCancelled { call },
        Action::SetCustomStatus { status } => Kind::CustomStatusSet { status },
        Action::Complete { output } => Kind::ExecutionCompleted { output },
        Action::Fail { failure } => Kind::ExecutionFailed { failure },
        Action::StartChild {
            call: CallId(call),
            id,
            name,
            version,
            input,
            options,
        } => Kind::SubOrchestrationInstanceCreated {
            call,
            instance: id,
            name: name.into_owned(),
            version: version.into_owned(),
            input,
            detached: options.detached,
        },
        Action::SendEvent {
            call: CallId(call),
            to,
            name,
            data,
        } => Kind::EventSent {
            call,
            instance: to,
            name: name.to_string(),
            data,
        },
        Action::ContinueAsNew {
            version,
            input,
            keep_events,
        } => Kind::ContinueAsNew {
            version: version.into_owned(),
            input,
            keep_events,
        },
        Action::Patched { name } => Kind::Patched {
            name: name.into_owned(),
        },
    }
}

fn system(time: Timestamp) -> SystemTime {
    time.to_system().unwrap_or(UNIX_EPOCH)
}

/// Moments as text: RFC 3339 in UTC, to the microsecond. Its years end with 9999.
mod moment {
    use std::time::SystemTime;

    use jiff::Timestamp;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de};

    pub(super) fn serialize<S: Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
        let time = Timestamp::try_from(*time).unwrap_or(Timestamp::MAX);
        format!("{time:.6}").serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SystemTime, D::Error> {
        let text = String::deserialize(from)?;
        let time: Timestamp = text.parse().map_err(de::Error::custom)?;
        Ok(time.into())
    }
}
