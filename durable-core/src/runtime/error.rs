//! What clients and workers are told when something cannot be done.

use std::time::Duration;

use crate::failure::{FailureDetails, FailureKind, revive};
use crate::id::{InstanceId, InvalidInstanceId};
use crate::payload::Wire;
#[cfg(feature = "testing")]
use crate::replay::Problem;
use crate::store::{RuntimeStatus, StoreError};

/// The hub cannot do anything any more, or could not read what was asked for.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// The hub was closed. Open it again.
    #[error("the hub is closed")]
    Closed,
    /// The hub does not keep up: this waited for [its
    /// turn](crate::TaskHubOptions::admission_timeout) in vain, and nothing of it was done.
    #[error("the hub has too much to do; try again in {retry_after:?}")]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// The store failed or is damaged. Whether what was asked for has happened is not known; ask
    /// again after the hub was opened again.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Only of a [`TestHub`](crate::testing::TestHub): the instance whose end is waited for has a
    /// problem, and does not go on before other code is deployed. Any other hub waits for that.
    #[cfg(feature = "testing")]
    #[error("the instance does not go on: {}", problem.report())]
    Stuck {
        /// Why.
        problem: Box<Problem>,
    },
}

/// Why an orchestration was not started.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The id breaks a rule.
    #[error(transparent)]
    InvalidId(#[from] InvalidInstanceId),
    /// There is an instance of this id. Nothing was changed.
    #[error(
        "instance {id} exists and is {status}; take it with `.use_existing()` or `client.instance(id)`, or say with `.id_reuse(..)` what may be replaced"
    )]
    AlreadyExists {
        /// The id.
        id: InstanceId,
        /// What that instance is doing.
        status: RuntimeStatus,
    },
    /// The running worker has no such orchestrator: register it there.
    #[error(
        "the running worker has no orchestrator `{name}`; it has {known}; register it with `.register::<{name}>()`"
    )]
    NotRegistered {
        /// The orchestrator's name.
        name: String,
        /// The names that are registered.
        known: String,
    },
    /// A name or version, or the id of an event, is longer than 256 bytes, or a name is empty.
    #[error("a name has 1 to 256 bytes, a version at most 256")]
    InvalidName,
    /// A tag has no name, or the tags have more than 1,000 bytes.
    #[error("tags have names, and 1000 bytes in all")]
    InvalidTags,
    /// The input cannot be written as JSON.
    #[error("the input cannot be written as JSON: {message}")]
    Input {
        /// What serde says.
        message: String,
    },
    /// The data of the event cannot be written as JSON.
    #[error("the event's data cannot be written as JSON: {message}")]
    Data {
        /// What serde says.
        message: String,
    },
    /// The instance of this id [is there](crate::StartOrchestration::or_raise_event), does not go on, and
    /// keeps as many events as it may: see [`InstanceError::TooManyWaiting`].
    #[error("too many events wait for instance {id} already, which does not go on")]
    TooManyWaiting {
        /// The id.
        id: InstanceId,
    },
    /// The input, or the data of the event, is too large: pass a reference to where the data lies.
    #[error("the input or the event's data has {len} bytes, the limit is {limit}")]
    TooLarge {
        /// Its size as JSON.
        len: usize,
        /// The hub's limit.
        limit: usize,
    },
    /// The disk is nearly full. Nothing was started; try again once there is room.
    #[error("the disk is nearly full: {free} bytes are free, a start needs {needed}")]
    LowOnSpace {
        /// Bytes that are free.
        free: u64,
        /// Bytes that are to be free:
        /// [`TaskHubOptions::min_free_space`](crate::TaskHubOptions::min_free_space).
        needed: u64,
    },
    /// The hub failed.
    #[error(transparent)]
    Hub(#[from] HubError),
}

/// Why an instance could not be told something.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstanceError {
    /// The id breaks a rule, so there is no such instance.
    #[error(transparent)]
    InvalidId(#[from] InvalidInstanceId),
    /// There is no such instance.
    #[error("there is no instance {id}")]
    NotFound {
        /// The id.
        id: InstanceId,
    },
    /// The instance has ended and takes nothing any more.
    #[error("instance {id} has ended: it is {status}")]
    Ended {
        /// The id.
        id: InstanceId,
        /// How it has ended.
        status: RuntimeStatus,
    },
    /// The instance does not go on, and keeps as many events as it may (100,000, or 64 MiB of
    /// data). Its status says why it does not; try again once it does.
    #[error("too many events wait for instance {id} already, which does not go on")]
    TooManyWaiting {
        /// The id.
        id: InstanceId,
    },
    /// The disk is nearly full, and an event is more to be kept. Terminating an instance is
    /// possible all the same.
    #[error("the disk is nearly full: {free} bytes are free, an event needs {needed}")]
    LowOnSpace {
        /// Bytes that are free.
        free: u64,
        /// Bytes that are to be free, half of
        /// [`TaskHubOptions::min_free_space`](crate::TaskHubOptions::min_free_space).
        needed: u64,
    },
    /// The event's name is empty or longer than 256 bytes.
    #[error("an event's name has 1 to 256 bytes")]
    InvalidName,
    /// The data cannot be written as JSON.
    #[error("the data cannot be written as JSON: {message}")]
    Data {
        /// What serde says.
        message: String,
    },
    /// The data is too large: pass a reference to where it lies.
    #[error("the data has {len} bytes, the limit is {limit}")]
    TooLarge {
        /// Its size as JSON.
        len: usize,
        /// The hub's limit.
        limit: usize,
    },
    /// The hub failed.
    #[error(transparent)]
    Hub(#[from] HubError),
}

/// Why an instance was not purged. Nothing of it was removed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PurgeError {
    /// The id breaks a rule, so there is no such instance.
    #[error(transparent)]
    InvalidId(#[from] InvalidInstanceId),
    /// There is no such instance: it never was, or was purged before.
    #[error("there is no instance {id}")]
    NotFound {
        /// The id.
        id: InstanceId,
    },
    /// The instance, or one below it that was to be purged with it, has not ended: wait for its end, or
    /// terminate it first.
    #[error(
        "instance {id} has not ended: it is {status}; wait for its end or terminate it before it is purged"
    )]
    NotEnded {
        /// The id.
        id: InstanceId,
        /// What it is doing.
        status: RuntimeStatus,
    },
    /// The hub failed.
    #[error(transparent)]
    Hub(#[from] HubError),
}

/// Why a history, or the rest of it, was not read.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The id breaks a rule, so there is no such instance.
    #[error(transparent)]
    InvalidId(#[from] InvalidInstanceId),
    /// There is no such instance; or no longer, if something of it was read before.
    #[error("there is no instance {id}")]
    NotFound {
        /// The id.
        id: InstanceId,
    },
    /// What was being read is no more: meanwhile the instance has continued as new, or its id was used
    /// again. Begin anew to read what there is now.
    #[error("the history of instance {id} that was being read is not kept any more")]
    Superseded {
        /// The id.
        id: InstanceId,
    },
    /// The hub failed, or the history is damaged
    /// ([`StoreError::Corrupt`](crate::StoreError::Corrupt)).
    #[error(transparent)]
    Hub(#[from] HubError),
}

/// Why a history was not, or not wholly, exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// It could not be read.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// It could not be written.
    #[error("the history cannot be written: {0}")]
    Write(#[from] std::io::Error),
}

/// Why an instance was not rewound. It is as it was.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RewindError {
    /// The id breaks a rule, so there is no such instance.
    #[error(transparent)]
    InvalidId(#[from] InvalidInstanceId),
    /// There is no such instance.
    #[error("there is no instance {id}")]
    NotFound {
        /// The id.
        id: InstanceId,
    },
    /// Only an instance that has failed goes on where it did: one that has completed or was terminated
    /// can be started anew, another is under way.
    #[error("instance {id} has not failed: it is {status}")]
    NotFailed {
        /// The id.
        id: InstanceId,
        /// What it is doing, or how it has ended.
        status: RuntimeStatus,
    },
    /// The hub failed.
    #[error(transparent)]
    Hub(#[from] HubError),
}

/// Why an instance was not started once more. It is as it was.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestartError {
    /// The id breaks a rule, so there is no such instance.
    #[error(transparent)]
    InvalidId(#[from] InvalidInstanceId),
    /// There is no such instance.
    #[error("there is no instance {id}")]
    NotFound {
        /// The id.
        id: InstanceId,
    },
    /// Its id is free for another one only once it has ended.
    #[error("instance {id} has not ended: it is {status}")]
    NotEnded {
        /// The id.
        id: InstanceId,
        /// What it is doing.
        status: RuntimeStatus,
    },
    /// The new instance cannot be started.
    #[error(transparent)]
    Start(StartError),
    /// The hub failed.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// There is an instance of the id that was given for the new one; it stays.
    #[error("instance {id} exists and is {status}; purge it, or give another id")]
    AlreadyExists {
        /// The id.
        id: InstanceId,
        /// What that instance is doing.
        status: RuntimeStatus,
    },
}

impl From<StartError> for RestartError {
    fn from(error: StartError) -> Self {
        // That one advises what a start can do, and a restart cannot.
        if let StartError::AlreadyExists { id, status } = error {
            return Self::AlreadyExists { id, status };
        }
        Self::Start(error)
    }
}

/// Why no page of instances was found.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// A page has at least one instance.
    #[error("a page has 1 to {max} instances")]
    InvalidPageSize {
        /// The most that it has.
        max: usize,
    },
    /// The token was not made by this hub for a query with these conditions: begin again without
    /// one.
    #[error("the page token is not one of this query; begin again without it")]
    InvalidToken,
    /// The hub failed.
    #[error(transparent)]
    Hub(#[from] HubError),
}

/// How an orchestration ended, if not with its output, as whoever waits for it sees it.
///
/// `E` is the orchestrator's own error type where serde can write and read it, else
/// [`FailureDetails`].
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OrchestrationError<E> {
    /// The orchestrator returned this error.
    #[error("the orchestration failed: {0}")]
    Application(E),
    /// The orchestrator panicked.
    #[error("the orchestrator panicked: {0}")]
    Panicked(FailureDetails),
    /// It was terminated; the message is the reason that was given.
    #[error("the orchestration was terminated: {0}")]
    Terminated(FailureDetails),
    /// It asked for more than an instance may: see the limits of
    /// [`TaskHubOptions`](crate::TaskHubOptions).
    #[error("the orchestration exceeded a limit: {0}")]
    LimitExceeded(FailureDetails),
    /// The worker does not take its version:
    /// [`WorkerBuilder::version_mismatch`](crate::WorkerBuilder::version_mismatch).
    #[error("the orchestration's version was refused: {0}")]
    VersionMismatch(FailureDetails),
    /// Its output or error could not be written or read as JSON, or is too large.
    #[error("the orchestration's data could not be used: {0}")]
    Data(FailureDetails),
    /// There is no such instance.
    #[error("there is no instance {id}")]
    NotFound {
        /// The id.
        id: InstanceId,
    },
    /// The hub failed.
    #[error(transparent)]
    Hub(#[from] HubError),
}

impl<E: Wire> OrchestrationError<E> {
    pub(super) fn from_details(details: FailureDetails) -> Self {
        match details.kind() {
            FailureKind::Application => match revive(&details) {
                Ok(error) => Self::Application(error),
                Err(undecodable) => Self::Data(undecodable),
            },
            FailureKind::Panic => Self::Panicked(details),
            FailureKind::Terminated | FailureKind::Cancelled => Self::Terminated(details),
            FailureKind::Timeout
            | FailureKind::NotRegistered
            | FailureKind::Input
            | FailureKind::Serialization
            | FailureKind::PayloadTooLarge
            | FailureKind::AlreadyExists => Self::Data(details),
            FailureKind::LimitExceeded => Self::LimitExceeded(details),
            FailureKind::VersionMismatch => Self::VersionMismatch(details),
        }
    }
}

/// Why a worker did not start.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// A worker runs on this hub already: shut it down first, or register everything on one.
    #[error("a worker runs on this hub already")]
    AlreadyRunning,
    /// Two definitions have one name: rename one with `#[activity(name = \"..\")]` or give it
    /// another version.
    #[error("registered twice with different code: {names}", names = names.join(", "))]
    Duplicate {
        /// What was registered twice.
        names: Vec<String>,
    },
    /// An activity needs state that was not given: add `.state(..)`.
    #[error(
        "activity `{activity}` needs a state of type `{state}`: give it to the worker with `.state(..)`"
    )]
    MissingState {
        /// The activity's name.
        activity: String,
        /// The type of the state.
        state: &'static str,
    },
    /// Activities run on tokio, and this is not inside a tokio runtime.
    #[error("a worker must be started inside a tokio runtime")]
    NoRuntime,
    /// The hub failed.
    #[error(transparent)]
    Hub(#[from] HubError),
}
