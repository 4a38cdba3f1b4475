//! What an activity can ask about the attempt it is running.

use std::borrow::Cow;
use std::sync::{Arc, Weak};

use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use crate::activity::extract::States;
use crate::id::{CallId, ExecutionId, InstanceId, InstanceNumber};

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
    states: States,
    cancelled: CancellationToken,
    /// Weak: a context may be kept for longer than the attempt.
    slot: Weak<OwnedSemaphorePermit>,
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
}

impl ActivityContext {
    pub(crate) fn new(
        attempt: Attempt,
        states: States,
        cancelled: CancellationToken,
        slot: Weak<OwnedSemaphorePermit>,
    ) -> Self {
        Self {
            attempt: Arc::new(attempt),
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
        let attempt = Attempt {
            hub: 0,
            instance: InstanceId::new("test").unwrap_or_else(|_| InstanceId::generate()),
            number: InstanceNumber(0),
            execution: ExecutionId(0),
            call: CallId(0),
            activity: "test".into(),
            nth: 1,
        };
        Self::new(
            attempt,
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
