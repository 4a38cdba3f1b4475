//! What an activity can ask about the attempt it is running.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio_util::sync::CancellationToken;

use crate::activity::extract::{Rejection, States};
use crate::activity::progress::{Progress, Reports};
use crate::id::{CallId, ExecutionId, InstanceId, InstanceNumber};
use crate::payload::{Payload, Wire};

/// The attempt that is running: which instance it is for, which attempt it is, and the key that
/// makes its effects idempotent. Cheap to clone.
///
/// ```
/// use durable_core::ActivityContext;
///
/// let ctx = ActivityContext::for_test();
/// assert_eq!(ctx.attempt(), 1);
/// assert_eq!(ctx.idempotency_key(), ActivityContext::for_test().idempotency_key());
/// ```
#[derive(Clone, Debug)]
pub struct ActivityContext {
    attempt: Arc<Attempt>,
    /// What it has said so far.
    said: Arc<Said>,
    reports: Arc<Reports>,
    states: States,
    cancelled: CancellationToken,
    /// Weak: a context may be kept for longer than the attempt.
    slot: Weak<Occupied>,
}

/// What an attempt says of itself before it ends.
#[derive(Debug, Default)]
struct Said {
    /// What comes of it is final.
    last: AtomicBool,
    /// Told of every sign of life.
    heart: Notify,
}

/// What an attempt occupies of what may run at once.
#[derive(Debug)]
pub(crate) struct Occupied {
    _slot: OwnedSemaphorePermit,
    /// Of its activity's own limit, and who waits for that.
    own: Option<(OwnedSemaphorePermit, Arc<Notify>)>,
}

impl Occupied {
    pub(crate) fn new(
        slot: OwnedSemaphorePermit,
        own: Option<(OwnedSemaphorePermit, Arc<Notify>)>,
    ) -> Self {
        Self { _slot: slot, own }
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        if let Some((permit, freed)) = self.own.take() {
            drop(permit);
            freed.notify_one();
        }
    }
}

/// One attempt at a call of an activity.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) hub: u64,
    pub(crate) instance: InstanceId,
    pub(crate) number: InstanceNumber,
    pub(crate) execution: ExecutionId,
    pub(crate) call: CallId,
    pub(crate) activity: Cow<'static, str>,
    /// Counted from 1.
    pub(crate) nth: u32,
    /// What the attempt before has left.
    pub(crate) resumed: Option<Payload>,
}

impl ActivityContext {
    pub(crate) fn new(
        attempt: Attempt,
        reports: Arc<Reports>,
        states: States,
        cancelled: CancellationToken,
        slot: Weak<Occupied>,
    ) -> Self {
        Self {
            attempt: Arc::new(attempt),
            said: Arc::default(),
            reports,
            states,
            cancelled,
            slot,
        }
    }

    /// What keeps the attempt's slot occupied, also once the attempt itself is over.
    pub(crate) fn slot(&self) -> Option<impl Send + Sync + 'static> {
        self.slot.upgrade()
    }

    /// A context for calling an activity directly in a unit test: instance `test`, first attempt,
    /// no state, never cancelled.
    pub fn for_test() -> Self {
        Self::of_test(None, None)
    }

    fn of_test(resumed: Option<Payload>, progress: Option<Payload>) -> Self {
        let attempt = Attempt {
            hub: 0,
            instance: InstanceId::new("test").unwrap_or_else(|_| InstanceId::generate()),
            number: InstanceNumber(0),
            execution: ExecutionId(0),
            call: CallId(0),
            activity: "test".into(),
            nth: 1,
            resumed,
        };
        Self::new(
            attempt,
            Reports::after(progress),
            States::default(),
            CancellationToken::new(),
            Weak::new(),
        )
    }

    /// The instance whose orchestrator called this activity.
    pub fn instance_id(&self) -> &InstanceId {
        &self.attempt.instance
    }

    /// The execution (generation) of that instance.
    pub fn execution_id(&self) -> ExecutionId {
        self.attempt.execution
    }

    /// The name this activity is registered under.
    pub fn activity_name(&self) -> &str {
        &self.attempt.activity
    }

    /// Which attempt this is, counted from 1.
    ///
    /// An attempt that was lost because the process died is not counted: the one that follows it
    /// has the same number.
    pub fn attempt(&self) -> u32 {
        self.attempt.nth
    }

    /// What the attempt before has left with [`Poll::again`](crate::Poll::again), `None` for the
    /// first. As an argument: [`Resumed`](crate::Resumed).
    ///
    /// # Errors
    ///
    /// If it is of another shape than `S`.
    pub fn resumed<S: Wire>(&self) -> Result<Option<S>, Rejection> {
        let resumed = self.attempt.resumed.as_ref();
        let state = resumed.map(Payload::decode).transpose();
        state.map_err(|error| Rejection::new(format!("the state to go on from: {error}")))
    }

    /// Marks an error as one that another attempt cannot mend, and hands it back: if this attempt
    /// fails, its caller is told so at once, whatever its retry policy says.
    ///
    /// ```
    /// use durable_core::{ActivityContext, activity};
    ///
    /// #[activity]
    /// async fn charge(ctx: ActivityContext, cents: u64) -> Result<(), String> {
    ///     if cents > 1_000_000 {
    ///         return Err(ctx.not_retryable("nobody has so much".to_owned()));
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn not_retryable<E>(&self, error: E) -> E {
        self.said.last.store(true, Ordering::Release);
        error
    }

    /// A sign of life: for an activity that is called with a
    /// [`heartbeat_timeout`](crate::ActivityCall::heartbeat_timeout). It costs little and nothing is
    /// stored. A [report](Progress::report) is one, too.
    pub fn heartbeat(&self) {
        self.said.heart.notify_one();
    }

    /// Where this attempt says how far it has come, and reads where the one before has got to. As an
    /// argument: [`Progress`].
    pub fn progress(&self) -> Progress {
        Progress::of(self.clone())
    }

    pub(super) fn reports(&self) -> &Reports {
        &self.reports
    }

    /// Ends when there was no sign of life for so long.
    pub(crate) async fn silent(&self, limit: Duration) {
        while tokio::time::timeout(limit, self.said.heart.notified())
            .await
            .is_ok()
        {}
    }

    /// Whether a failure of this attempt is final.
    pub(crate) fn is_last(&self) -> bool {
        self.said.last.load(Ordering::Acquire)
    }

    /// A key that is the same for every attempt at this call and different for every other call
    /// of any instance in any hub, also of one that has used the same id before.
    ///
    /// An activity may run more than once for one call: after a failed attempt that is retried,
    /// and after a crash before its result was recorded. Hand this key to the service it calls
    /// (most payment APIs take one), and the second run has no second effect.
    ///
    /// It begins with the instance's id and is at most 64 bytes longer; where a service allows less,
    /// or only ASCII, hash it.
    pub fn idempotency_key(&self) -> String {
        let Attempt {
            hub,
            instance,
            number,
            execution,
            call,
            ..
        } = &*self.attempt;
        let (number, call) = (number.0, call.0);
        format!("{instance}/{hub:016x}/{number}/{execution}/{call}")
    }

    /// Fires when nobody waits for this attempt any more: the orchestrator dropped the call, the
    /// instance ended, or the worker is shutting down and its deadline has passed. An activity may
    /// ignore it; what it then returns is not recorded.
    pub fn cancellation_token(&self) -> &CancellationToken {
        &self.cancelled
    }

    /// A context for a test of an activity that goes on from `state`, as
    /// [`resumed`](Self::resumed) gives it; as with [`for_test`](Self::for_test) otherwise.
    ///
    /// # Errors
    ///
    /// What serde says if `state` cannot be written as JSON.
    pub fn for_test_resumed<S: Wire>(state: &S) -> Result<Self, serde_json::Error> {
        let resumed = state.to_payload()?;
        Ok(Self::of_test(Some(resumed), None))
    }

    /// A context for a test of an activity that goes on from the last report of an attempt before, as
    /// [`Progress::last`] gives it; as with [`for_test`](Self::for_test) otherwise.
    ///
    /// # Errors
    ///
    /// What serde says if `progress` cannot be written as JSON.
    pub fn for_test_with_progress<T: Wire>(progress: &T) -> Result<Self, serde_json::Error> {
        let progress = progress.to_payload()?;
        Ok(Self::of_test(None, Some(progress)))
    }

    pub(crate) fn states(&self) -> &States {
        &self.states
    }

    /// This context with `state` in it, for a test of an activity that extracts
    /// [`State<T>`](crate::State).
    #[must_use]
    pub fn with_state<T: Clone + Send + Sync + 'static>(self, state: T) -> Self {
        Self {
            states: self.states.with(state),
            ..self
        }
    }
}
