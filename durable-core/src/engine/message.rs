//! What goes into the engine and what comes out of it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::activity::Attempted;
use crate::engine::commit::Size;
use crate::engine::lifecycle::Happened;
use crate::failure::FailureDetails;
use crate::history::{Action, Event, Tags, Turn};
pub(crate) use crate::id::ActivityKey;
use crate::id::{EventName, InstanceId, InstanceNumber};
use crate::payload::Payload;
use crate::registry::Registry;
use crate::replay::InlineStep;
#[cfg(feature = "testing")]
use crate::replay::Problem;
use crate::store::{
    Expired, Glimpse, Header, HubStats, InstanceKey, Op, Reports, Retention, RuntimeStatus,
    StatusDetail, Store, StoreError, Stored, TimerKey,
};
use crate::time::Timestamp;

/// What happens outside. `R` is whatever the shell answers clients with.
#[derive(Debug)]
pub(crate) enum Input<R> {
    Client(Command, R),
    /// An attempt has ended.
    AttemptEnded {
        /// The worker that made it.
        worker: WorkerId,
        key: ActivityKey,
        attempt: u32,
        result: Result<Attempted, FailureDetails>,
        /// How far it has come, if that was not reported yet.
        progress: Option<Payload>,
    },
    /// An attempt that runs says how far it has come. Answered once that is durable, or is not heard.
    Reported(Reported, R),
    /// Somebody outside has woken the orchestrator of this instance.
    ForeignWake(InstanceNumber),
    /// From now on this can be run here.
    WorkerStarted(WorkerId, Arc<Registry>),
    /// Attempts that run go on, no new ones are dispatched.
    WorkerDraining,
    /// Nothing of this worker runs any more.
    WorkerStopped(WorkerId),
    /// What was sealed with [`Effect::Nudge`] is durable: loading can go on.
    Nudge,
}

/// How far an attempt has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reported {
    /// The worker that makes it.
    pub(crate) worker: WorkerId,
    pub(crate) key: ActivityKey,
    pub(crate) attempt: u32,
    pub(crate) progress: Payload,
}

/// Tells the workers of a hub's life apart, so that nothing meant for one reaches the next.
pub(crate) type WorkerId = u64;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Start(StartRequest),
    Raise {
        id: InstanceId,
        name: EventName,
        data: Payload,
        /// What the client calls this event: raised again it is the same.
        event: Option<Arc<str>>,
    },
    Terminate {
        id: InstanceId,
        reason: Option<String>,
        /// Also what it has begun.
        children: bool,
    },
    /// Holds an instance: it takes no turns.
    Suspend {
        id: InstanceId,
        reason: String,
    },
    Resume {
        id: InstanceId,
    },
    Status {
        id: InstanceId,
        /// The payloads that are wanted.
        detail: StatusDetail,
    },
    /// Answered when the instance has ended.
    Wait {
        id: InstanceId,
    },
    /// Removes everything of an instance that has ended.
    Purge {
        id: InstanceId,
        /// Only the instance of this number, if one is given.
        number: Option<InstanceNumber>,
    },
    /// Has what keeps an instance from going on be looked at again.
    Retry {
        id: InstanceId,
    },
    /// Answered when what is shown of an instance is something else than was seen; at once, if nothing
    /// was.
    Watch {
        id: InstanceId,
        seen: Option<Arc<Snapshot>>,
    },
    /// Has an instance that has failed go on.
    Rewind {
        id: InstanceId,
        reason: String,
    },
}

impl Command {
    /// The instance it is about.
    pub(crate) fn id(&self) -> &InstanceId {
        match self {
            Self::Start(StartRequest { id, .. })
            | Self::Raise { id, .. }
            | Self::Terminate { id, .. }
            | Self::Suspend { id, .. }
            | Self::Resume { id }
            | Self::Status { id, .. }
            | Self::Wait { id }
            | Self::Purge { id, .. }
            | Self::Retry { id }
            | Self::Watch { id, .. }
            | Self::Rewind { id, .. } => id,
        }
    }

    /// The bytes of payload that it brings.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Start(StartRequest { input, event, .. }) => {
                input.len() + event.as_ref().map_or(0, Event::bytes)
            }
            Self::Raise { data, .. } => data.len(),
            Self::Terminate { .. }
            | Self::Suspend { .. }
            | Self::Resume { .. }
            | Self::Status { .. }
            | Self::Wait { .. }
            | Self::Purge { .. }
            | Self::Retry { .. }
            | Self::Watch { .. }
            | Self::Rewind { .. } => 0,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StartRequest {
    pub(crate) id: InstanceId,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) input: Payload,
    pub(crate) tags: Tags,
    /// The id was generated and cannot exist: nothing is looked up.
    pub(crate) fresh: bool,
    pub(crate) begin: Begin,
    /// Raised at what is started, as part of the start, or at the instance that is there.
    pub(crate) event: Option<Event>,
    pub(crate) replaces: Replaces,
}

/// What a start may take the place of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Replaces {
    #[default]
    Nothing,
    /// An instance that has ended.
    Ended,
    /// This one, once it has ended; without it nothing is started.
    Only(InstanceNumber),
}

/// When what is started begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Begin {
    #[default]
    AtOnce,
    At(Timestamp),
    After(Duration),
}

impl Begin {
    /// The moment, if it is not at once.
    pub(super) fn moment(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::AtOnce => None,
            Self::At(at) => Some(at),
            Self::After(delay) => Some(now.deadline_after(delay)),
        }
    }
}

/// What a client is told.
#[derive(Clone, Debug)]
pub(crate) enum Response {
    /// It is done, and durable.
    Done,
    Status(Box<Snapshot>),
    Stats(HubStats),
    AlreadyExists(RuntimeStatus),
    NotFound,
    /// The instance has ended and takes nothing any more.
    Ended(RuntimeStatus),
    /// It has not, and is not purged.
    NotEnded(RuntimeStatus),
    /// It has not failed, and is not rewound.
    NotFailed(RuntimeStatus),
    /// The instance takes no turns, and no more events are kept for it.
    TooManyWaiting,
    /// The running worker has no such orchestrator; the text lists those it has.
    NotRegistered {
        known: String,
    },
    Failed(StoreError),
    /// The disk is nearly full, and this would fill it further.
    LowOnSpace(Shortage),
    /// What was waited for does not happen, for this reason.
    #[cfg(feature = "testing")]
    Stuck(Box<Problem>),
}

/// How little room is left where the store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shortage {
    /// Bytes that are free.
    pub(crate) free: u64,
    /// Bytes that are to be free for something new to be started.
    pub(crate) needed: u64,
}

impl Shortage {
    /// Half of what a start needs: what runs is to end, and may wait for an event.
    pub(crate) fn for_events(self) -> Option<Self> {
        let needed = self.needed / 2;
        (self.free < needed).then_some(Self { needed, ..self })
    }
}

/// An instance as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) header: Header,
    pub(crate) input: Option<Payload>,
    pub(crate) result: Option<Result<Payload, FailureDetails>>,
    pub(crate) reports: Reports,
}

impl Snapshot {
    /// Whether whoever has seen `before` is to be told of this: it is another instance or execution,
    /// another status or custom status, it is suspended or has a problem where it was not, or an activity
    /// has come further. Not of every turn.
    pub(crate) fn is_news_after(&self, before: &Self) -> bool {
        let (new, old) = (&self.header, &before.header);
        (new.number, new.execution, new.status) != (old.number, old.execution, old.status)
            || (new.turns > 0) != (old.turns > 0)
            || new.custom_status != old.custom_status
            || new.suspended != old.suspended
            || new.problem != old.problem
            || self.reports != before.reports
    }

    pub(crate) fn of_glimpse(glimpse: Glimpse) -> Self {
        let Glimpse {
            header,
            first_turn,
            last_turn,
            first_message,
            reports,
        } = glimpse;
        let first = first_turn
            .and_then(|turn| turn.steps.into_iter().next())
            .map(|step| step.event)
            .or(first_message);
        let input = match first {
            Some(Event::Started(started)) => Some(started.input),
            _ => None,
        };
        let result = last_turn.as_ref().and_then(result_of);
        Self {
            header,
            input,
            result,
            reports,
        }
    }
}

impl Snapshot {
    /// Only so much of it.
    pub(crate) fn only(self, detail: StatusDetail) -> Self {
        Self {
            input: self.input.filter(|_| detail.input),
            result: self.result.filter(|_| detail.output),
            reports: if detail.progress {
                self.reports
            } else {
                Reports::new()
            },
            ..self
        }
    }
}

/// How the execution ended, from its last turn.
pub(crate) fn result_of(turn: &Turn) -> Option<Result<Payload, FailureDetails>> {
    let last = turn.steps.last()?;
    if let Event::Terminated { reason, .. } = &last.event {
        return Some(Err(terminated(reason.as_deref())));
    }
    // What ends an execution is the last thing it does.
    match last.actions.last()? {
        Action::Complete { output } => Some(Ok(output.clone())),
        Action::Fail { failure } => Some(Err(failure.clone())),
        Action::ScheduleActivity { .. }
        | Action::CreateTimer { .. }
        | Action::AwaitEvent { .. }
        | Action::Cancel { .. }
        | Action::SetCustomStatus { .. }
        | Action::StartChild { .. }
        | Action::SendEvent { .. }
        | Action::ContinueAsNew { .. }
        | Action::Patched { .. } => None,
    }
}

pub(super) fn terminated(reason: Option<&str>) -> FailureDetails {
    let reason = reason.unwrap_or("terminated");
    FailureDetails::new(
        crate::failure::FailureKind::Terminated,
        "terminated",
        reason,
    )
}

/// What the shell does once the commit it waits for is durable.
#[derive(Debug)]
pub(crate) enum Effect<R> {
    Reply(R, Response),
    Dispatch(Dispatch),
    /// Nobody waits for this call any more.
    CancelActivity(ActivityKey),
    /// Send [`Input::Nudge`].
    Nudge,
    /// Tell whoever listens.
    Announce(Box<Happened>),
}

/// One attempt to be run.
#[derive(Clone)]
pub(crate) struct Dispatch {
    pub(crate) worker: WorkerId,
    pub(crate) key: ActivityKey,
    pub(crate) instance: InstanceId,
    pub(crate) name: Cow<'static, str>,
    pub(crate) input: Payload,
    pub(crate) attempt: u32,
    /// What the attempt before has left to this one.
    pub(crate) state: Option<Payload>,
    /// How far the attempts before have come.
    pub(crate) progress: Option<Payload>,
    pub(crate) timeout: Option<Duration>,
    /// The longest it may give no sign of life.
    pub(crate) heartbeat: Option<Duration>,
    /// What runs, if it is not the registered activity of that name.
    pub(crate) step: Option<InlineStep>,
}

impl std::fmt::Debug for Dispatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            key,
            instance,
            name,
            attempt,
            ..
        } = self;
        write!(
            f,
            "Dispatch({key:?} of {instance}: attempt {attempt} at {name})"
        )
    }
}

/// What the engine must read before it can go on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fetch {
    /// With its first messages.
    Instance {
        key: InstanceKey,
        messages: usize,
        /// Also the history of one that has ended.
        ended: bool,
    },
    /// More messages of an instance that is being loaded.
    Messages {
        number: InstanceNumber,
        after: u64,
        limit: usize,
    },
    /// With these payloads.
    Glimpse(InstanceId, StatusDetail),
    Timers {
        after: Option<TimerKey>,
        limit: usize,
    },
    /// What is over by now, among a few instances.
    Expired {
        retention: Arc<Retention>,
        now: Timestamp,
        after: Option<InstanceId>,
        budget: usize,
        limit: usize,
    },
}

/// What was read.
#[derive(Debug)]
pub(crate) enum Fetched {
    Instance(Option<Stored>),
    Messages(Vec<(u64, Event)>),
    Glimpse(Option<Glimpse>),
    Timers(Vec<TimerKey>),
    Expired(Expired),
}

impl Fetch {
    /// Reads it.
    pub(crate) fn read(&self, store: &impl Store) -> Result<Fetched, StoreError> {
        match self {
            Self::Instance {
                key,
                messages,
                ended,
            } => match ended {
                true => store.load_ended(key, *messages),
                false => store.load(key, *messages),
            }
            .map(Fetched::Instance),
            Self::Messages {
                number,
                after,
                limit,
            } => store
                .messages(*number, *after, *limit)
                .map(Fetched::Messages),
            Self::Glimpse(id, detail) => store.glimpse_of(id, *detail).map(Fetched::Glimpse),
            Self::Timers { after, limit } => store.timers(*after, *limit).map(Fetched::Timers),
            Self::Expired {
                retention,
                now,
                after,
                budget,
                limit,
            } => store
                .expired(retention, *now, after.as_ref(), (*budget, *limit))
                .map(Fetched::Expired),
        }
    }
}

/// A commit, and what it causes.
#[derive(Debug)]
pub(crate) struct Sealed<R> {
    /// Its number; of one without operations, that of an earlier commit, which its effects wait for.
    pub(crate) commit: u64,
    pub(crate) size: Size,
    pub(crate) ops: Vec<Op>,
    pub(crate) effects: Vec<Effect<R>>,
}
