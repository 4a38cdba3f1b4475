//! Where instances live: the seam between the engine and whatever keeps its data.
//!
//! A commit is a list of *domain operations* ([`Op`]), not of keys: a key-value engine turns them
//! into records once, in [`kv`]; a relational one would map them to tables. Preparing, applying and
//! syncing are apart, so that encoding happens off the commit thread and one sync serves many
//! commits.

mod children;
#[cfg(test)]
mod conformance;
mod detail;
mod error;
mod header;
pub(crate) mod kv;
mod loss;
mod query;
mod retention;
mod stats;
mod turns;
mod verification;

use std::collections::BTreeMap;
use std::path::Path;

use hmac::{KeyInit, Mac};

use crate::history::{Event, Letter, Turn};
use crate::id::{ActivityKey, CallId, ExecutionId, InstanceId, InstanceNumber};
use crate::payload::Payload;
use crate::time::Timestamp;

pub(crate) use children::{Child, ChildPlace, Children, FindChildren};
pub use detail::StatusDetail;
pub use error::{CopyError, OpenError, StoreError};
pub use header::RuntimeStatus;
pub(crate) use header::{Header, HeaderSize, Kind, Scheduled};
pub use loss::AcceptedLoss;
pub(crate) use query::{Count, Filter, List, Listed};
pub use retention::{Keep, Retention};
pub use stats::HubStats;
pub(crate) use turns::{ReadTurns, TurnPlace, TurnsRead};
pub use verification::{Damage, DamageKind, Verification};

/// One change, as the engine thinks of it. All of a commit's happen or none, in their order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Op {
    /// Adds a turn, encoded, to an execution's history. Turns are numbered densely from 1.
    AppendTurn {
        number: InstanceNumber,
        execution: ExecutionId,
        turn: u32,
        record: Vec<u8>,
    },
    /// Creates an instance's summary, or replaces the one that has this size.
    PutHeader {
        header: Box<Header>,
        replaces: Option<HeaderSize>,
    },
    /// There is no such entry yet.
    PutTimer(TimerKey),
    /// There is such an entry.
    RemoveTimer(TimerKey),
    /// Keeps an event for an instance that cannot run now.
    PutMessage {
        number: InstanceNumber,
        seq: u64,
        event: Event,
    },
    /// Lets go of such an event; `event` is the one that was put.
    TakeMessage {
        number: InstanceNumber,
        seq: u64,
        event: Event,
    },
    /// There are none of that call yet.
    PutAttempts {
        number: InstanceNumber,
        execution: ExecutionId,
        call: CallId,
        attempts: Attempts,
    },
    /// `attempts` are those that were put.
    RemoveAttempts {
        number: InstanceNumber,
        execution: ExecutionId,
        call: CallId,
        attempts: Attempts,
    },
    /// Whether the instance must be loaded after a restart for its work to go on.
    SetActive {
        number: InstanceNumber,
        active: bool,
    },
    /// Keeps a letter that was not dealt with yet.
    PutLetter { seq: u64, letter: Letter },
    /// Lets go of such a letter; `len` is what it takes when encoded.
    TakeLetter { seq: u64, len: u32 },
    /// Removes one turn of an execution that has been continued as new; its record has `len` bytes.
    DropTurn {
        number: InstanceNumber,
        execution: ExecutionId,
        turn: u32,
        len: u32,
    },
    /// Removes all that is kept of an instance: header, turns of every execution, messages,
    /// attempts. It has ended with `status`, so no timer of it is left.
    Purge {
        id: InstanceId,
        number: InstanceNumber,
        status: RuntimeStatus,
    },
    /// Replaces what is known of calls that may have the process die.
    SetSuspicion(Box<Suspicion>),
}

/// What is known of calls that may have the process die: it is part of the record that every commit
/// writes, and changes when a worker starts or stops, and while suspects run one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Suspicion {
    /// The worker that runs. If that is still there when the hub is opened, the process has died.
    pub(crate) run: Option<Run>,
    /// The suspect that runs, no other beside it.
    pub(crate) alone: Option<ActivityKey>,
    /// How often the process has died while this one ran alone.
    pub(crate) crashes: BTreeMap<ActivityKey, u32>,
}

/// A worker's time, from its start on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Run {
    pub(crate) began: Timestamp,
    /// The process had died before it.
    pub(crate) after_crash: bool,
}

/// What a [compaction](crate::TaskHub::compact) did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compacted {
    /// The bytes of the hub's files before.
    pub bytes_before: u64,
    /// The bytes of the hub's files after.
    pub bytes_after: u64,
}

/// An entry of the time-ordered index of what is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimerKey {
    pub(crate) due: Timestamp,
    pub(crate) number: InstanceNumber,
    pub(crate) execution: ExecutionId,
    pub(crate) call: CallId,
    pub(crate) kind: TimerKind,
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TimerKind {
    /// A durable timer of an orchestrator.
    Orchestrator,
    /// The next attempt at an activity.
    Retry,
    /// The start of an instance that was put off.
    Start,
}

/// What is kept of the attempts at one call that goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Attempts {
    /// How many have failed.
    pub(crate) failed: u32,
    /// When the next one was, or is, due; there is a timer of kind [`TimerKind::Retry`] for it as long
    /// as this says so. `None`: none was put off, and one may be running.
    pub(crate) due: Option<Timestamp>,
    /// What the last one that has ended with "ask again" has left to it.
    pub(crate) state: Option<Payload>,
    /// How far they have come.
    pub(crate) progress: Option<Report>,
}

impl Attempts {
    /// The bytes of payload in it.
    pub(crate) fn bytes(&self) -> usize {
        let state = self.state.as_ref().map_or(0, Payload::len);
        let progress = self.progress.as_ref();
        state + progress.map_or(0, |report| report.progress.len())
    }
}

/// How far an activity has come, as one of its attempts has said.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Report {
    /// The activity's name. The history has it, too, but whoever looks at an instance does not read
    /// that.
    pub(crate) activity: String,
    /// Which attempt has said so, counted from 1.
    pub(crate) attempt: u32,
    /// When.
    pub(crate) at: Timestamp,
    pub(crate) progress: Payload,
}

/// The reports that are shown of an instance, in the order of its calls.
pub(crate) type Reports = Vec<(CallId, Report)>;

/// Of the first so many calls that have anything noted of their attempts ...
pub(crate) const LOOKED_AT: usize = 1_000;
/// ... the first so many reports are shown.
const SHOWN: usize = 100;

/// The reports that are shown, of what is kept of the attempts at an instance's calls in their order.
/// The same ones are shown of an instance in memory and of one on disk.
pub(crate) fn shown_reports<'a>(
    attempts: impl Iterator<Item = (CallId, &'a Attempts)>,
) -> impl Iterator<Item = (CallId, &'a Report)> {
    attempts
        .take(LOOKED_AT)
        .filter_map(|(call, attempts)| Some((call, attempts.progress.as_ref()?)))
        .take(SHOWN)
}

/// Which instance is meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum InstanceKey {
    Id(InstanceId),
    Number(InstanceNumber),
}

/// Everything that is kept of an instance whose work goes on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stored {
    pub(crate) header: Header,
    /// The turns of the current execution; empty if the instance has ended.
    pub(crate) turns: Vec<Turn>,
    /// The bytes of each turn's record.
    pub(crate) turn_lens: Vec<u32>,
    pub(crate) messages: Vec<(u64, Event)>,
    /// There are more messages than were asked for.
    pub(crate) more_messages: bool,
    pub(crate) attempts: Vec<(CallId, Attempts)>,
    /// Whether it is among those to be loaded after a restart.
    pub(crate) active: bool,
}

/// What is shown of an instance: its summary, and the turns that hold its input and its output.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Glimpse {
    pub(crate) header: Header,
    /// `None` while it is Pending: then the start is the first message.
    pub(crate) first_turn: Option<Turn>,
    /// Only of one that has ended.
    pub(crate) last_turn: Option<Turn>,
    pub(crate) first_message: Option<Event>,
    pub(crate) reports: Reports,
}

impl Glimpse {
    /// Of the summary alone.
    pub(crate) fn of(header: Header) -> Self {
        Self {
            header,
            first_turn: None,
            last_turn: None,
            first_message: None,
            reports: Reports::new(),
        }
    }
}

/// Instances that have ended and whose time is over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expired {
    pub(crate) due: Vec<InstanceId>,
    /// When the first of the others that were looked at is due.
    pub(crate) earliest: Option<Timestamp>,
    /// The last one that was looked at, if there may be more.
    pub(crate) last: Option<InstanceId>,
}

/// Where a store stands when it is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// The number of the last commit.
    pub(crate) commit: u64,
    /// Instances created so far; the next one's number follows.
    pub(crate) created: u64,
    /// Those whose work goes on at once, in creation order.
    pub(crate) active: Vec<InstanceNumber>,
    /// Letters between instances that were not dealt with, oldest first.
    pub(crate) letters: Vec<(u64, Letter)>,
    pub(crate) signing_key: SigningKey,
    /// Tells this hub from every other.
    pub(crate) hub: u64,
    pub(crate) suspicion: Suspicion,
}

type HmacSha256 = hmac::Hmac<sha2::Sha256>;

/// A secret that was made with the hub and stays in it.
#[derive(Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct SigningKey(pub(crate) [u8; 32]);

impl SigningKey {
    /// A key for one purpose: HMAC-SHA-256 of the purpose's name.
    pub(crate) fn derive(&self, purpose: &str) -> [u8; 32] {
        // HMAC pads a short key with zeros to the hash's block.
        let mut block = [0; 64];
        block[..self.0.len()].copy_from_slice(&self.0);
        let mut mac = HmacSha256::new(&block.into());
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

/// What is done beside everything else, by whoever asks for it. Each blocks for as long as it takes.
pub(crate) trait Aside: Send + Sync + 'static {
    /// Gives back the space of what was removed. One of these two happens at a time.
    fn compact(&self) -> Result<Compacted, CopyError>;

    /// Makes a copy as of one moment in the missing or empty directory `path`.
    fn backup(&self, path: &Path) -> Result<(), CopyError>;

    /// Some of the instances that are asked for. What is shown was applied, and may not be durable
    /// yet.
    fn list(&self, list: &List) -> Result<Listed, StoreError>;

    /// Some turns of an instance, if there is one. What is read was applied, and may not be durable
    /// yet.
    fn turns(&self, read: &ReadTurns) -> Result<Option<TurnsRead>, StoreError>;

    /// How many of those that are looked at for such a list match. Its limit does not matter, nor
    /// whether payloads are wanted.
    fn count(&self, list: &List) -> Result<Count, StoreError>;

    /// Some of the instances that one which has ended has begun and waited for, every attempt.
    fn children(&self, find: &FindChildren) -> Result<Children, StoreError>;
}

/// Called by a check after so many bytes were read.
pub(crate) type Pause<'a> = dyn FnMut(u64) -> Result<(), StoreError> + 'a;

/// Keeps instances. Every method may block on the disk and none panics.
///
/// `prepare` is called in commit order by one thread; `apply` in the same order, perhaps by
/// another; `sync` covers everything applied before. After an error of one of the three nothing
/// more is committed. Reads see what was applied; an instance is read only when nothing of it is
/// prepared and not applied, and `prepare` may read one that is to be purged.
pub(crate) trait Store: Aside {
    /// A commit in the store's own form.
    type Prepared: Send + 'static;

    fn recover(&self) -> Result<Recovered, StoreError>;

    fn prepare(&self, commit: u64, ops: Vec<Op>) -> Result<Self::Prepared, StoreError>;

    fn apply(&self, prepared: Self::Prepared) -> Result<(), StoreError>;

    /// Makes everything applied durable.
    fn sync(&self) -> Result<(), StoreError>;

    /// With the first messages, at most so many. Of an instance that has ended only its summary.
    fn load(&self, key: &InstanceKey, messages: usize) -> Result<Option<Stored>, StoreError>;

    /// The same, and also the history of an instance that has ended.
    fn load_ended(&self, key: &InstanceKey, messages: usize) -> Result<Option<Stored>, StoreError>;

    /// At most `limit` messages of an instance behind number `after`, in order.
    fn messages(
        &self,
        number: InstanceNumber,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Event)>, StoreError>;

    /// What is shown of an instance, all of it.
    #[cfg(any(test, feature = "simulation"))]
    fn glimpse(&self, id: &InstanceId) -> Result<Option<Glimpse>, StoreError> {
        self.glimpse_of(id, StatusDetail::ALL)
    }

    /// What is shown of an instance, with these payloads.
    fn glimpse_of(
        &self,
        id: &InstanceId,
        detail: StatusDetail,
    ) -> Result<Option<Glimpse>, StoreError>;

    /// At most `limit` timers later than `after` (from the first if `None`), in order.
    fn timers(&self, after: Option<TimerKey>, limit: usize) -> Result<Vec<TimerKey>, StoreError>;

    /// The first instances behind `after` that have ended and whose time is over `now`: among so many
    /// that are looked at, at most so many.
    fn expired(
        &self,
        retention: &Retention,
        now: Timestamp,
        after: Option<&InstanceId>,
        bounds: (usize, usize),
    ) -> Result<Expired, StoreError>;

    /// Called once, after the last sync.
    fn close(&self) -> Result<(), StoreError>;

    /// Reads and compares everything while commits go on. `pause` is told how many bytes were read,
    /// and may wait or end it with an error.
    fn verify(&self, pause: &mut Pause<'_>) -> Result<Verification, StoreError>;

    /// What there is, as of everything that was prepared. Scans nothing.
    fn stats(&self) -> Result<HubStats, StoreError>;

    /// Bytes of what was prepared so far and not removed.
    fn live_bytes(&self) -> u64;

    /// Bytes of the files.
    fn size_on_disk(&self) -> Result<u64, StoreError>;

    /// Bytes that are free where it is kept, if that is known.
    fn free_space(&self) -> Option<u64>;
}
