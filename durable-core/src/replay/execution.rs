//! One live orchestrator: fed events, it yields actions.
//!
//! Feeding recorded events is replay, feeding new ones is running; there is one code path. After
//! each event the root future is polled until nothing wakes it any more, and only then the next
//! event is fed. The root is polled only when it was woken. So the schedule of polls is a function
//! of the events alone, however they came in batches.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use super::compare::{Matching, compare};
use super::context::OrchestrationContext;
use super::panics::{self, Panicked, Scope, is_foreign_complaint};
use super::problem::{Difference, Place, Problem, ProblemKind, heading, unexpected};
use super::silence::silence;
use super::state::{Emitted, Entered, Identity, InlineStep, Key, Outcome, State};
use super::waker::{ForeignWake, RootWaker};
use crate::failure::{FailureDetails, FailureKind};
use crate::history::{Action, Event, Started, Step, Turn};
use crate::id::{CallId, EventName};
use crate::orchestrator::OrchestratorFuture;
use crate::payload::Payload;
use crate::registry::RunOrchestrator;
use crate::time::Timestamp;

/// More polls than this for one event are a busy loop. A legitimate one needed at most 13 with
/// 40,000 futures; ping-pong over a bounded channel needs two a message.
const MAX_POLLS_PER_EVENT: u32 = 1_000_000;

/// One live orchestrator.
pub(crate) struct Execution {
    run: RunOrchestrator,
    /// Here between turns, in the thread-local during one.
    state: Option<Box<State>>,
    root: Root,
    waker: Arc<RootWaker>,
    key: Key,
    polls: u32,
    scope: Scope,
}

enum Root {
    NotStarted,
    Live(OrchestratorFuture),
    Ended,
}

/// What one event led to.
#[derive(Debug)]
pub(crate) struct Fed {
    /// Whether the event changed anything. One that did not is not part of the history.
    pub(crate) changed: bool,
    pub(crate) actions: Vec<Emitted>,
}

impl Execution {
    pub(crate) fn new(
        identity: Arc<Identity>,
        run: RunOrchestrator,
        on_foreign: ForeignWake,
    ) -> Self {
        static NEXT_KEY: AtomicU64 = AtomicU64::new(super::state::NO_KEY + 1);
        let key = NEXT_KEY.fetch_add(1, Ordering::Relaxed);
        Self {
            run,
            state: Some(Box::new(State::new(key, identity))),
            root: Root::NotStarted,
            waker: RootWaker::new(key, on_foreign),
            key,
            polls: 0,
            scope: Scope::Orchestrator,
        }
    }

    /// Begins a turn: everything in it happens at `time`, or at the time of the turn before if the
    /// clock went back.
    pub(crate) fn begin_turn(&mut self, time: Timestamp) {
        if let Some(state) = &mut self.state {
            state.now = state.now.max(time);
        }
    }

    /// The time of the current turn.
    pub(crate) fn now(&self) -> Timestamp {
        self.state.as_ref().map_or(Timestamp(0), |state| state.now)
    }

    /// Feeds one event and polls until nothing is woken any more.
    ///
    /// # Errors
    ///
    /// A [`Problem`]: the execution is of no use any more and must be dropped. The event was not
    /// dealt with and must be kept.
    pub(crate) fn feed(&mut self, event: &Event) -> Result<Fed, Problem> {
        let Some(state) = self.state.take() else {
            return Err(given_up());
        };
        let identity = Arc::clone(&state.identity);
        let entered = Entered::new(state);
        let fed = panics::catch(|| self.advance(event));
        self.state = entered.leave();
        let fed = fed.unwrap_or_else(|panicked| Err(Trouble::PanicInReplay(panicked.text())));
        fed.map_err(|trouble| trouble.problem(&identity))
    }

    fn advance(&mut self, event: &Event) -> Result<Fed, Trouble> {
        self.polls = 0;
        let changed = self.deliver(event);
        self.with_state(|state| state.events += usize::from(changed));
        self.poll_until_quiet()?;
        let actions = self.with_state(State::take_emitted).unwrap_or_default();
        Ok(Fed { changed, actions })
    }

    fn with_state<R>(&self, f: impl FnOnce(&mut State) -> R) -> Option<R> {
        super::state::with_state(self.key, f)
    }

    /// Hands the event to whom it concerns. `false` if it concerns nobody.
    fn deliver(&mut self, event: &Event) -> bool {
        if matches!(self.root, Root::Ended) {
            // A call may have leaked and still be there; the end is final all the same.
            return false;
        }
        let delivered = match event {
            Event::Started(started) => return self.start(started),
            Event::ActivityCompleted { call, output } => {
                let outcome = Outcome::Activity(Ok(output.clone()));
                self.with_state(|state| state.complete(*call, outcome))
                    .flatten()
            }
            Event::ActivityFailed { call, failure } => {
                let outcome = Outcome::Activity(Err(failure.clone()));
                self.with_state(|state| state.complete(*call, outcome))
                    .flatten()
            }
            Event::TimerFired { call } => self
                .with_state(|state| state.complete(*call, Outcome::Timer))
                .flatten(),
            Event::ChildCompleted { call, output } => {
                let outcome = Outcome::Child(Ok(output.clone()));
                self.with_state(|state| state.complete(*call, outcome))
                    .flatten()
            }
            Event::ChildFailed { call, failure } => {
                let outcome = Outcome::Child(Err(failure.clone()));
                self.with_state(|state| state.complete(*call, outcome))
                    .flatten()
            }
            Event::EventRaised { name, data, .. } => {
                self.with_state(|state| state.arrive(name, data.clone()))
            }
            // Not fed by the engine, which ends an instance without asking its code; for replaying
            // a history that has ended so.
            Event::Terminated { .. } => {
                self.end();
                // What its locals cancelled while being dropped: the engine closes all anyway.
                drop(self.with_state(State::take_emitted));
                return true;
            }
            // What it takes back was not fed to this execution.
            Event::Rewound { .. } => return true,
        };
        let changed = delivered.is_some();
        if let Some(delivered) = delivered {
            delivered.wake();
        }
        changed
    }

    fn start(&mut self, started: &Started) -> bool {
        if !matches!(self.root, Root::NotStarted) {
            return false;
        }
        let input = started.input.clone();
        self.root = Root::Live((self.run)(OrchestrationContext::new(self.key), input));
        self.waker.set_woken();
        true
    }

    fn poll_until_quiet(&mut self) -> Result<(), Trouble> {
        let waker = Waker::from(Arc::clone(&self.waker));
        let mut cx = Context::from_waker(&waker);
        while self.waker.take_woken() {
            let Root::Live(future) = &mut self.root else {
                return Ok(());
            };
            self.polls += 1;
            if self.polls > MAX_POLLS_PER_EVENT {
                return Err(Trouble::BusyLoop);
            }
            // Makes `futures::executor::block_on` in an orchestrator panic instead of killing
            // the engine's thread; it fails only where one is being blocked on already.
            let guard = futures_executor::enter();
            let polled = panics::catch_in(self.scope, || future.as_mut().poll(&mut cx));
            drop(guard);
            if self.waker.is_foreign() {
                // What came from outside may already have been read: nothing that was done with
                // it may be recorded.
                return Err(Trouble::ForeignAwait(polled.err()));
            }
            if let Some(continuation) = self.with_state(State::take_continuation).flatten() {
                self.end();
                self.with_state(|state| state.emit(continuation.action, continuation.location));
                return Ok(());
            }
            match polled {
                Ok(Poll::Pending) => {}
                Ok(Poll::Ready(result)) => return self.finish(result),
                Err(panicked) => return self.panicked(panicked),
            }
        }
        self.check_awaits()
    }

    /// A pending root that no begun call can wake would wait for ever.
    fn check_awaits(&self) -> Result<(), Trouble> {
        if !matches!(self.root, Root::Live(_)) {
            return Ok(());
        }
        let can_be_woken = self.with_state(|state| state.can_be_woken());
        if self.waker.is_foreign() || can_be_woken != Some(true) {
            return Err(Trouble::ForeignAwait(None));
        }
        Ok(())
    }

    fn finish(
        &mut self,
        result: Result<crate::payload::Payload, FailureDetails>,
    ) -> Result<(), Trouble> {
        self.end();
        let action = match result {
            Ok(output) => Action::Complete { output },
            Err(failure) if failure.kind() == FailureKind::Input => {
                return Err(Trouble::Input(failure));
            }
            Err(failure) => Action::Fail { failure },
        };
        self.with_state(|state| state.emit(action, None));
        Ok(())
    }

    fn panicked(&mut self, panicked: Panicked) -> Result<(), Trouble> {
        // Locals were dropped while unwinding; never poll it again.
        self.end();
        if is_foreign_complaint(&panicked.message) {
            return Err(Trouble::ForeignAwait(Some(panicked)));
        }
        let failure = FailureDetails::new(FailureKind::Panic, "panic", panicked.text());
        self.with_state(|state| state.emit(Action::Fail { failure }, None));
        Ok(())
    }

    /// Lets go of the future. User code runs in its `Drop`, which may panic.
    fn end(&mut self) {
        self.waker.close();
        let root = std::mem::replace(&mut self.root, Root::Ended);
        let _ = panics::catch(move || drop(root));
    }

    /// Replays one recorded turn. Of patches [`mark_patches`](Self::mark_patches) must have told.
    ///
    /// Returns how many inputs differed in a way that is tolerated.
    ///
    /// # Errors
    ///
    /// A [`Problem`] if the code asks for something else than was recorded.
    pub(crate) fn replay(
        &mut self,
        turn: &Turn,
        number: usize,
        matching: Matching,
    ) -> Result<u64, Problem> {
        self.begin_turn(turn.time);
        self.set_replaying(true);
        let mut drifted = 0;
        for (index, step) in turn.steps.iter().enumerate() {
            let fed = self.feed(&step.event)?;
            let place = Place {
                turn: number,
                step: index + 1,
            };
            drifted += match compare(&step.actions, &fed.actions, matching) {
                Ok(drifted) => drifted,
                Err(difference) => return Err(self.explain(*difference, step, &fed, place)),
            };
            // What concerned nobody was not recorded.
            let identity = self.identity();
            let is_other = |started: &Started| !identity.began_with(started);
            let of_another = matches!(&step.event, Event::Started(started) if is_other(started));
            if !fed.changed || of_another {
                return Err(unexpected(&step.event, &identity, place));
            }
        }
        self.set_replaying(false);
        Ok(drifted)
    }

    /// A panic that history knows nothing of explains every other difference of its step.
    fn explain(&self, difference: Difference, step: &Step, fed: &Fed, place: Place) -> Problem {
        let identity = self.identity();
        let new_panic = fed.actions.iter().find_map(|emitted| {
            let Action::Fail { failure } = &emitted.action else {
                return None;
            };
            let new =
                failure.kind() == FailureKind::Panic && !step.actions.contains(&emitted.action);
            new.then(|| failure.message().to_owned())
        });
        match new_panic {
            Some(text) => Trouble::PanicInReplay(text).problem(&identity),
            None => difference.problem(ProblemKind::Divergence, &identity, place),
        }
    }

    /// Tells of the patches that the turns to be replayed have a marker of.
    pub(super) fn mark_patches(&mut self, turns: &[Turn]) {
        let steps = turns.iter().flat_map(|turn| &turn.steps);
        let actions = steps.flat_map(|step| &step.actions);
        let marked = actions.filter_map(|action| {
            let Action::Patched { name } = action else {
                return None;
            };
            Some(name.clone())
        });
        if let Some(state) = &mut self.state
            && !planted!(ForgetPatches)
        {
            state.mark_patches(marked.collect());
        }
    }

    pub(super) fn set_replaying(&mut self, replaying: bool) {
        if let Some(state) = &mut self.state {
            state.replaying = replaying;
        }
    }

    /// Whose execution this is.
    pub(crate) fn identity(&self) -> Arc<Identity> {
        match &self.state {
            Some(state) => Arc::clone(&state.identity),
            None => unreachable!("between turns the state is here"),
        }
    }

    /// Marks this as the second copy of a pair: it reports itself as replaying, so that what the
    /// orchestrator logs is logged once.
    pub(super) fn mark_as_shadow(&mut self) {
        self.scope = Scope::Shadow;
        if let Some(state) = &mut self.state {
            state.shadow = true;
        }
    }

    /// The events that nobody has taken, by arrival: for the next execution, when this one has
    /// ended.
    pub(crate) fn take_events(&mut self) -> Vec<(EventName, Payload)> {
        self.state
            .as_mut()
            .map_or_else(Vec::new, |state| state.take_events())
    }

    /// The code of a call that runs inline.
    pub(crate) fn inline(&self, call: CallId) -> Option<InlineStep> {
        self.state.as_ref()?.inline(call)
    }

    /// Whether the orchestrator's code would retry a call that failed so. Its own code runs here.
    pub(crate) fn retries(&self, call: CallId, failure: &FailureDetails) -> bool {
        let code = |state: &State| state.retry_if(call);
        let Some(retry_if) = self.state.as_deref().and_then(code) else {
            return true;
        };
        // Dropping what it holds is foreign code, too.
        panics::catch(move || retry_if(failure)).unwrap_or_else(|panicked| {
            let text = panicked.text();
            tracing::error!(%call, "the predicate of a retry panicked: {text}");
            false
        })
    }

    /// Payload bytes held.
    #[cfg(test)]
    pub(crate) fn payload_bytes(&self) -> usize {
        self.state.as_ref().map_or(0, |state| state.payload_bytes())
    }

    /// Begun calls.
    #[cfg(test)]
    pub(crate) fn open_calls(&self) -> usize {
        self.state.as_ref().map_or(0, |state| state.open_calls())
    }

    /// The bytes that it holds in memory, by estimate: the orchestrator's future, and its calls.
    pub(crate) fn weight(&self) -> usize {
        let root = match &self.root {
            Root::Live(future) => size_of_val(&**future),
            Root::NotStarted | Root::Ended => 0,
        };
        let state = self.state.as_ref().map_or(0, |state| state.weight());
        root + size_of::<RootWaker>() + state
    }

    /// Whether somebody outside has woken this very execution.
    pub(crate) fn is_foreign(&self) -> bool {
        self.waker.is_foreign()
    }

    /// The problem to report when somebody outside has woken this execution.
    pub(crate) fn foreign_wake(&self) -> Problem {
        Trouble::ForeignAwait(None).problem(&self.identity())
    }
}

fn given_up() -> Problem {
    Problem::new(ProblemKind::Undecodable, "this execution was given up", "")
}

impl Drop for Execution {
    /// Eviction. User code runs in `Drop` and may use its context there, so the state is where it
    /// always is; what it asks for goes down with the state. (Were it refused instead, two `Drop`s
    /// that read the time would panic one in the other, and that aborts the process.)
    ///
    /// What it logs there it logs again at its end.
    fn drop(&mut self) {
        let _silent = silence();
        let entered = self.state.take().map(Entered::new);
        self.end();
        let state = entered.map(Entered::leave);
        // Wakers are dropped with it, and with them what they hold.
        let _ = panics::catch(move || drop(state));
    }
}

impl fmt::Debug for Execution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Execution")
            .field("key", &self.key)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Why a turn cannot go on.
enum Trouble {
    ForeignAwait(Option<Panicked>),
    BusyLoop,
    PanicInReplay(String),
    Input(FailureDetails),
}

impl Trouble {
    fn problem(self, identity: &Identity) -> Problem {
        let name = &identity.name;
        let (kind, message, more) = match self {
            Self::ForeignAwait(panicked) => {
                let what = panicked
                    .map(|panicked| format!(": {}", panicked.text()))
                    .unwrap_or_default();
                (
                    ProblemKind::ForeignAwait,
                    format!("orchestrator `{name}` awaits something that is not durable{what}"),
                    FOREIGN_REMEDY,
                )
            }
            Self::BusyLoop => (
                ProblemKind::BusyLoop,
                format!(
                    "orchestrator `{name}` was polled {MAX_POLLS_PER_EVENT} times for one event"
                ),
                "likely cause: a loop that yields or sends to itself without waiting for a durable call\n",
            ),
            Self::PanicInReplay(text) => (
                ProblemKind::PanicInReplay,
                format!("orchestrator `{name}` panicked in replay: {text}"),
                "likely cause: the code was changed while this instance was under way, or it depends on its surroundings\n\
                 remedy: start a worker with mended code\n",
            ),
            Self::Input(failure) => (
                ProblemKind::Undecodable,
                format!(
                    "orchestrator `{name}` cannot read its {}",
                    failure.message()
                ),
                "likely cause: it was started with another shape of input, or its input type was changed\n\
                 remedy: start a worker whose input type reads it, or terminate the instance\n",
            ),
        };
        let report = format!("{}{message}\n{more}", heading(identity));
        Problem::new(kind, message, report)
    }
}

const FOREIGN_REMEDY: &str = "likely cause: `tokio::time::sleep` or `timeout`, a socket, a lock or a channel that code outside the \
     orchestrator drives\n\
     remedy: use `ctx.create_timer(..)` with `select! { biased; .. }`, move I/O into an activity, bring news in with an \
     external event; the instance goes on when a worker with the mended code starts\n";
