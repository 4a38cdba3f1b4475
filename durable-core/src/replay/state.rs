//! The state of one live execution, and how its futures reach it.
//!
//! The state belongs to the [`Execution`](super::Execution). For the length of a poll or a feed it
//! is moved into a thread-local; contexts and futures hold numbers only. So there is no lock and no
//! reference cycle, everything is `Send` without unsafe code, and a future that has escaped from
//! its orchestrator finds somebody else's state or none, and is refused.
//!
//! One rule keeps the `RefCell` sound: nothing is woken, cloned by foreign code or dropped while
//! the state is borrowed. What must be dropped or woken is returned, and dropped or woken after.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::task::{Poll, Waker};

use crate::activity::ActivityFuture;
use crate::failure::FailureDetails;
use crate::history::{Action, Parent, Started, Tags};
use crate::id::{CallId, EventName, ExecutionId, InstanceId, InstanceNumber};
use crate::payload::Payload;
use crate::time::Timestamp;
use crate::weight;

thread_local! {
    static CURRENT: RefCell<Option<Box<State>>> = const { RefCell::new(None) };
    static CURRENT_KEY: Cell<u64> = const { Cell::new(NO_KEY) };
}

/// Names a live execution within this process.
pub(super) type Key = u64;

pub(super) const NO_KEY: Key = 0;

/// Who is running; fixed for the life of an execution.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// Tells its hub from every other.
    pub(crate) hub: u64,
    pub(crate) instance: InstanceId,
    pub(crate) number: InstanceNumber,
    pub(crate) execution: ExecutionId,
    pub(crate) name: String,
    pub(crate) version: String,
    /// Whose child it is.
    pub(crate) parent: Option<Parent>,
    pub(crate) tags: Tags,
}

impl Identity {
    /// Whether a history that begins so is of this execution.
    pub(super) fn began_with(&self, started: &Started) -> bool {
        let Started {
            instance,
            execution,
            name,
            version,
            parent,
            tags,
            ..
        } = started;
        (instance, execution, name, version, parent, tags)
            == (
                &self.instance,
                &self.execution,
                &self.name,
                &self.version,
                &self.parent,
                &self.tags,
            )
    }
}

/// An action, and where in the user's code the call was made.
#[derive(Clone, Debug)]
pub(crate) struct Emitted {
    pub(crate) action: Action,
    pub(crate) location: Option<&'static Location<'static>>,
}

/// What a call ends with.
#[derive(Debug)]
pub(super) enum Outcome {
    Activity(Result<Payload, FailureDetails>),
    Child(Result<Payload, FailureDetails>),
    Timer,
    Event(Arrived),
}

/// An external event, with its place in the order of arrival.
#[derive(Debug)]
pub(super) struct Arrived {
    order: u64,
    pub(super) data: Payload,
}

/// A step of an orchestrator's own code that runs as an activity: makes one attempt.
pub(crate) type InlineStep = Arc<dyn Fn() -> ActivityFuture + Send + Sync>;

/// An orchestrator's own code that decides whether a failed attempt is to be retried.
pub(crate) type RetryIf = Arc<dyn Fn(&FailureDetails) -> bool + Send + Sync>;

/// What the orchestrator's code adds to the call of an activity.
#[derive(Clone, Default)]
pub(super) struct ActivityCode {
    /// What runs, if it is part of the orchestrator.
    pub(super) step: Option<InlineStep>,
    pub(super) retry_if: Option<RetryIf>,
}

pub(super) enum Kind {
    Activity(ActivityCode),
    Timer,
    Event(EventName),
    Child(Option<RetryIf>),
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Activity(_) => "Activity",
            Self::Timer => "Timer",
            Self::Event(_) => "Event",
            Self::Child(_) => "Child",
        })
    }
}

/// A call that was begun and whose result was not taken yet.
#[derive(Debug)]
struct Op {
    kind: Kind,
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

#[derive(Debug)]
pub(super) struct State {
    key: Key,
    pub(super) identity: Arc<Identity>,
    pub(super) now: Timestamp,
    /// Events that were fed and changed something.
    pub(super) events: usize,
    pub(super) replaying: bool,
    /// A second copy that only watches; what it logs is logged by the first.
    pub(super) shadow: bool,
    next_call: u32,
    next_random: u32,
    ops: BTreeMap<CallId, Op>,
    /// How many of `ops` hold a waker, so that "nobody can wake this" is known in O(1).
    waiting: usize,
    buffered: BTreeMap<EventName, VecDeque<Arrived>>,
    waits: BTreeMap<EventName, BTreeSet<CallId>>,
    arrivals: u64,
    emitted: Vec<Emitted>,
    payload_bytes: usize,
    /// How the execution is to be continued: its end, whatever else it does.
    continuation: Option<Emitted>,
    /// The patches that recorded turns have a marker of.
    marked: BTreeSet<Cow<'static, str>>,
    /// What was said of each patch: it holds for the whole execution.
    patches: BTreeMap<Cow<'static, str>, bool>,
}

impl State {
    pub(super) fn new(key: Key, identity: Arc<Identity>) -> Self {
        Self {
            key,
            identity,
            now: Timestamp(0),
            events: 0,
            replaying: false,
            shadow: false,
            next_call: 0,
            next_random: 0,
            ops: BTreeMap::new(),
            waiting: 0,
            buffered: BTreeMap::new(),
            waits: BTreeMap::new(),
            arrivals: 0,
            emitted: Vec::new(),
            payload_bytes: 0,
            continuation: None,
            marked: BTreeSet::new(),
            patches: BTreeMap::new(),
        }
    }

    /// The next call's id; `None` after 2^31 calls.
    pub(super) fn claim(&mut self) -> Option<CallId> {
        let call = CallId(self.next_call);
        self.next_call += u32::from(self.next_call <= CallId::MAX);
        (call.0 <= CallId::MAX).then_some(call)
    }

    /// The next number of the sequence that random values are derived from.
    pub(super) fn next_random(&mut self) -> u32 {
        let random = self.next_random;
        self.next_random = self.next_random.wrapping_add(1);
        random
    }

    /// Tells of the patches that the turns to be replayed have a marker of.
    pub(super) fn mark_patches(&mut self, marked: BTreeSet<Cow<'static, str>>) {
        self.marked = marked;
    }

    /// Whether a changed path is taken: by code that is new, and where it was taken before. Code
    /// that came by here without asking went the old way, and stays on it.
    pub(super) fn patched(
        &mut self,
        name: Cow<'static, str>,
        location: &'static Location<'static>,
    ) -> bool {
        if let Some(patched) = self.patches.get(&name) {
            return *patched;
        }
        let patched = !self.replaying || self.marked.contains(&name);
        self.patches.insert(name.clone(), patched);
        if patched {
            self.emit(Action::Patched { name }, Some(location));
        }
        patched
    }

    pub(super) fn emit(&mut self, action: Action, location: Option<&'static Location<'static>>) {
        self.emitted.push(Emitted { action, location });
    }

    /// The execution ends with this action, once the current poll is over.
    pub(super) fn continue_with(
        &mut self,
        action: Action,
        location: Option<&'static Location<'static>>,
    ) {
        self.continuation
            .get_or_insert(Emitted { action, location });
    }

    pub(super) fn take_continuation(&mut self) -> Option<Emitted> {
        self.continuation.take()
    }

    /// The events that nobody has taken, by arrival.
    pub(super) fn take_events(&mut self) -> Vec<(EventName, Payload)> {
        let buffered = std::mem::take(&mut self.buffered).into_iter();
        let mut events: Vec<_> = buffered
            .flat_map(|(name, queue)| {
                queue
                    .into_iter()
                    .map(move |arrived| (name.clone(), arrived))
            })
            .collect();
        events.sort_unstable_by_key(|(_, arrived)| arrived.order);
        events
            .into_iter()
            .map(|(name, arrived)| {
                self.payload_bytes -= arrived.data.len();
                (name, arrived.data)
            })
            .collect()
    }

    pub(super) fn take_emitted(&mut self) -> Vec<Emitted> {
        std::mem::take(&mut self.emitted)
    }

    /// Begins a call. A wait takes the oldest event of its name that nobody has taken.
    pub(super) fn begin(&mut self, call: CallId, kind: Kind) {
        let mut outcome = None;
        if let Kind::Event(name) = &kind {
            if let Some(arrived) = self.take_buffered(name) {
                outcome = Some(Outcome::Event(arrived));
            } else {
                self.waits.entry(name.clone()).or_default().insert(call);
            }
        }
        self.ops.insert(
            call,
            Op {
                kind,
                outcome,
                waker: None,
            },
        );
    }

    fn take_buffered(&mut self, name: &EventName) -> Option<Arrived> {
        let queue = self.buffered.get_mut(name)?;
        let arrived = queue.pop_front();
        if queue.is_empty() {
            self.buffered.remove(name);
        }
        arrived
    }

    /// The call's outcome if it is there; else remembers who to wake. What it replaces or removes
    /// is returned to be dropped by the caller.
    fn poll_op(&mut self, call: CallId, waker: Waker) -> (Poll<Outcome>, Leftover) {
        let Some(op) = self.ops.get_mut(&call) else {
            return (Poll::Pending, (Some(waker), None));
        };
        if let Some(outcome) = op.outcome.take() {
            let (old, kind) = self
                .ops
                .remove(&call)
                .map_or((None, None), |op| (op.waker, Some(op.kind)));
            self.payload_bytes -= outcome_bytes(&outcome);
            self.waiting -= usize::from(old.is_some());
            return (Poll::Ready(outcome), (old, kind));
        }
        let old = op.waker.replace(waker);
        self.waiting += usize::from(old.is_none());
        (Poll::Pending, (old, None))
    }

    /// Gives a call its outcome. `None` if nobody waits for it: then nothing has changed.
    pub(super) fn complete(&mut self, call: CallId, outcome: Outcome) -> Option<Delivered> {
        let op = self.ops.get_mut(&call)?;
        let fits = matches!(
            (&op.kind, &outcome),
            (Kind::Activity(_), Outcome::Activity(_))
                | (Kind::Child(_), Outcome::Child(_))
                | (Kind::Timer, Outcome::Timer)
        );
        if !fits || op.outcome.is_some() {
            return None;
        }
        self.payload_bytes += outcome_bytes(&outcome);
        op.outcome = Some(outcome);
        let waker = op.waker.take();
        self.waiting -= usize::from(waker.is_some());
        Some(Delivered(waker))
    }

    /// Takes in an external event: it goes to the waiting call with the lowest id, or is kept.
    pub(super) fn arrive(&mut self, name: &EventName, data: Payload) -> Delivered {
        let arrived = Arrived {
            order: self.arrivals,
            data,
        };
        self.arrivals += 1;
        self.put(name, arrived)
    }

    fn put(&mut self, name: &EventName, arrived: Arrived) -> Delivered {
        self.payload_bytes += arrived.data.len();
        if let Some(call) = self.first_wait(name)
            && let Some(op) = self.ops.get_mut(&call)
        {
            op.outcome = Some(Outcome::Event(arrived));
            let waker = op.waker.take();
            self.waiting -= usize::from(waker.is_some());
            return Delivered(waker);
        }
        let queue = self.buffered.entry(name.clone()).or_default();
        let place = queue.partition_point(|other| other.order < arrived.order);
        queue.insert(place, arrived);
        Delivered(None)
    }

    fn first_wait(&mut self, name: &EventName) -> Option<CallId> {
        let calls = self.waits.get_mut(name)?;
        let call = calls.pop_first();
        if calls.is_empty() {
            self.waits.remove(name);
        }
        call
    }

    /// Lets go of a call. One that has not ended is cancelled; an event that was handed to it and
    /// not read goes back to its place, or on to the next who waits.
    fn drop_op(&mut self, call: CallId, location: Option<&'static Location<'static>>) -> Dropped {
        let Some(Op {
            kind,
            outcome,
            waker,
        }) = self.ops.remove(&call)
        else {
            return Dropped::default();
        };
        self.waiting -= usize::from(waker.is_some());
        let mut dropped = Dropped {
            waker,
            ..Dropped::default()
        };
        match (kind, outcome) {
            (Kind::Event(name), Some(Outcome::Event(arrived))) => {
                self.payload_bytes -= arrived.data.len();
                dropped.delivered = Some(self.put(&name, arrived));
            }
            (kind, Some(outcome)) => {
                self.payload_bytes -= outcome_bytes(&outcome);
                dropped.kind = Some(kind);
                dropped.outcome = Some(outcome);
            }
            (kind, None) => {
                if let Kind::Event(name) = &kind
                    && let Some(calls) = self.waits.get_mut(name)
                {
                    calls.remove(&call);
                    if calls.is_empty() {
                        self.waits.remove(name);
                    }
                }
                dropped.kind = Some(kind);
                self.emit(Action::Cancel { call }, location);
            }
        }
        dropped
    }

    /// What the orchestrator's code adds to the call of an activity that goes on.
    /// What runs, if it is part of the orchestrator.
    pub(super) fn inline(&self, call: CallId) -> Option<InlineStep> {
        match &self.ops.get(&call)?.kind {
            Kind::Activity(code) => code.step.clone(),
            Kind::Timer | Kind::Event(_) | Kind::Child(_) => None,
        }
    }

    /// Who decides whether it is retried, if that is part of the orchestrator.
    pub(super) fn retry_if(&self, call: CallId) -> Option<RetryIf> {
        match &self.ops.get(&call)?.kind {
            Kind::Activity(code) => code.retry_if.clone(),
            Kind::Child(retry_if) => retry_if.clone(),
            Kind::Timer | Kind::Event(_) => None,
        }
    }

    /// Whether a begun call could still wake the orchestrator.
    pub(super) fn can_be_woken(&self) -> bool {
        self.waiting > 0
    }

    /// Bytes of payload held: results and events that were not taken yet.
    #[cfg(test)]
    pub(super) fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    /// Begun calls whose outcome was not taken yet.
    #[cfg(test)]
    pub(super) fn open_calls(&self) -> usize {
        self.ops.len()
    }

    /// The bytes that it holds in memory, by estimate, together with the futures of the calls: one of them
    /// is part of the root, others have allocations of their own.
    pub(super) fn weight(&self) -> usize {
        /// Measured on fan-outs.
        const FUTURE: usize = 330;
        let calls = self.ops.len();
        // Mostly one wait of a name.
        let wait = weight::tree::<CallId, ()>(1);
        size_of::<Self>()
            + self.payload_bytes
            + weight::tree::<CallId, Op>(calls)
            + FUTURE * calls.saturating_sub(1)
            + weight::tree::<EventName, BTreeSet<CallId>>(self.waits.len())
            + self.waits.len() * wait
            + weight::tree::<EventName, VecDeque<Arrived>>(self.buffered.len())
    }
}

fn outcome_bytes(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Activity(Ok(output)) | Outcome::Child(Ok(output)) => output.len(),
        Outcome::Activity(Err(_)) | Outcome::Child(Err(_)) | Outcome::Timer => 0,
        Outcome::Event(arrived) => arrived.data.len(),
    }
}

/// The task that waits for what was just delivered, if any.
#[derive(Debug)]
#[must_use = "wake it once the state is no longer borrowed"]
pub(super) struct Delivered(Option<Waker>);

impl Delivered {
    pub(super) fn wake(self) {
        if let Some(waker) = self.0 {
            waker.wake();
        }
    }
}

/// What is left of a dropped call, to be dropped and woken outside the state.
#[derive(Debug, Default)]
struct Dropped {
    waker: Option<Waker>,
    kind: Option<Kind>,
    outcome: Option<Outcome>,
    delivered: Option<Delivered>,
}

/// A waker and a call's code, both foreign: to be dropped outside the state.
type Leftover = (Option<Waker>, Option<Kind>);

/// The key of the execution that this thread is polling or feeding.
pub(super) fn current_key() -> Key {
    CURRENT_KEY.try_with(Cell::get).unwrap_or(NO_KEY)
}

/// Runs `f` on the state named `key`, if this thread is polling or feeding that execution.
/// `f` must not run foreign code.
pub(super) fn with_state<R>(key: Key, f: impl FnOnce(&mut State) -> R) -> Option<R> {
    if current_key() != key || key == NO_KEY {
        return None;
    }
    CURRENT.with(|current| {
        let mut current = current.try_borrow_mut().ok()?;
        let state = current.as_deref_mut().filter(|state| state.key == key)?;
        Some(f(state))
    })
}

/// Polls a begun call.
pub(super) fn poll_op(key: Key, call: CallId, waker: &Waker) -> Option<Poll<Outcome>> {
    let waker = waker.clone();
    let (poll, old) = with_state(key, |state| state.poll_op(call, waker))?;
    drop(old);
    Some(poll)
}

/// Lets go of a begun call. Inert when its execution is not the one being polled: a call that has
/// escaped cancels nothing. (At eviction the cancellation is emitted and goes down with the state.)
pub(super) fn drop_op(key: Key, call: CallId, location: &'static Location<'static>) {
    if let Some(dropped) = with_state(key, |state| state.drop_op(call, Some(location))) {
        drop((dropped.waker, dropped.kind, dropped.outcome));
        if let Some(delivered) = dropped.delivered {
            delivered.wake();
        }
    }
}

/// Moves a state into the thread-local for as long as it lives; what was there comes back after.
#[derive(Debug)]
pub(super) struct Entered {
    outer: Option<Box<State>>,
    outer_key: Key,
}

impl Entered {
    pub(super) fn new(state: Box<State>) -> Self {
        let outer_key = CURRENT_KEY.replace(state.key);
        let outer = CURRENT.replace(Some(state));
        Self { outer, outer_key }
    }

    /// Takes the state out again.
    pub(super) fn leave(mut self) -> Option<Box<State>> {
        CURRENT_KEY.set(self.outer_key);
        CURRENT.replace(self.outer.take())
    }
}
