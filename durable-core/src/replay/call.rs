//! The futures of durable calls.
//!
//! A call is builder and future in one. What it depends on (id, input, deadline, place in the
//! code) is bound when it is made; nothing happens until it is first polled. Each holds numbers
//! and its request, never a reference to the execution.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::FusedFuture;
use serde::{Deserialize, Serialize};

use super::state::{
    ActivityCode, InlineStep, Key, Kind, Outcome, RetryIf, State, drop_op, poll_op, with_state,
};
use crate::failure::{ActivityError, FailureDetails, FailureKind, revive};
use crate::history::{Action, ActivityOptions};
use crate::id::{CallId, EventName};
use crate::payload::{Payload, Wire};
use crate::retry::RetryPolicy;
use crate::time::Timestamp;

/// What every call has.
pub(super) struct Call<R> {
    key: Key,
    id: CallId,
    location: &'static Location<'static>,
    phase: Phase<R>,
}

pub(super) enum Phase<R> {
    /// Not polled yet: the request waits here.
    Made(R),
    /// It cannot be made; polling says why.
    Refused(Box<FailureDetails>),
    Begun,
    Ended,
}

/// What a call asks for when it begins.
pub(super) trait Request {
    /// Or why it cannot be made.
    fn begin(self, call: CallId) -> Result<(Kind, Action), FailureDetails>;
}

impl<R: Request> Call<R> {
    pub(super) fn new(
        key: Key,
        location: &'static Location<'static>,
        request: impl FnOnce(CallId, Timestamp) -> Result<R, FailureDetails>,
    ) -> Self {
        let claimed = with_state(key, |state| (state.claim(), state.now));
        let (id, phase) = match claimed {
            Some((Some(id), now)) => match request(id, now) {
                Ok(request) => (id, Phase::Made(request)),
                Err(refused) => (id, Phase::Refused(Box::new(refused))),
            },
            Some((None, _)) => (CallId(CallId::MAX), Phase::Refused(Box::new(too_many()))),
            None => (CallId(0), Phase::Refused(Box::new(outside(location)))),
        };
        Self {
            key,
            id,
            location,
            phase,
        }
    }

    /// Begins it unless that was done. Outside its orchestrator it becomes refused.
    pub(super) fn begin(&mut self) {
        let (id, location) = (self.id, self.location);
        self.ask(|state, kind, action| {
            state.emit(action, Some(location));
            state.begin(id, kind);
        });
    }

    /// Asks for it, and waits for nothing.
    pub(super) fn send(&mut self) -> Result<(), FailureDetails> {
        let location = self.location;
        self.ask(|state, _, action| state.emit(action, Some(location)));
        match std::mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Refused(refused) => Err(*refused),
            Phase::Made(_) | Phase::Begun | Phase::Ended => Ok(()),
        }
    }

    fn ask(&mut self, ask: impl FnOnce(&mut State, Kind, Action)) {
        if !matches!(self.phase, Phase::Made(_)) {
            return;
        }
        let Phase::Made(request) = std::mem::replace(&mut self.phase, Phase::Begun) else {
            return;
        };
        let asked = request.begin(self.id).and_then(|(kind, action)| {
            with_state(self.key, |state| ask(state, kind, action))
                .ok_or_else(|| outside(self.location))
        });
        if let Err(refused) = asked {
            self.phase = Phase::Refused(Box::new(refused));
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Outcome, FailureDetails>> {
        self.begin();
        if let Phase::Refused(refused) = &self.phase {
            let refused = (**refused).clone();
            self.phase = Phase::Ended;
            return Poll::Ready(Err(refused));
        }
        let Some(polled) = poll_op(self.key, self.id, cx.waker()) else {
            return Poll::Ready(Err(outside(self.location)));
        };
        if polled.is_ready() {
            self.phase = Phase::Ended;
        }
        polled.map(Ok)
    }
}

impl<R> Call<R> {
    pub(super) fn is_terminated(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }

    /// Lets go of it; a call that was begun and has not ended is cancelled.
    fn withdraw(&mut self) {
        let phase = std::mem::replace(&mut self.phase, Phase::Ended);
        if matches!(phase, Phase::Begun) {
            drop_op(self.key, self.id, self.location);
        }
    }

    pub(super) fn id(&self) -> CallId {
        self.id
    }

    pub(super) fn location(&self) -> &'static Location<'static> {
        self.location
    }

    /// What is asked for, until it is.
    pub(super) fn request_mut(&mut self) -> Option<&mut R> {
        match &mut self.phase {
            Phase::Made(request) => Some(request),
            Phase::Refused(_) | Phase::Begun | Phase::Ended => None,
        }
    }

    /// Why it cannot be made.
    pub(super) fn refusal(&self) -> FailureDetails {
        match &self.phase {
            Phase::Refused(refused) => (**refused).clone(),
            Phase::Made(_) | Phase::Begun | Phase::Ended => outside(self.location),
        }
    }
}

impl<R> Drop for Call<R> {
    fn drop(&mut self) {
        self.withdraw();
    }
}

const OUTSIDE: &str = "durable_core::OutsideOrchestrator";

pub(super) fn outside(location: &'static Location<'static>) -> FailureDetails {
    let text = format!(
        "the call made at {location} was used outside the orchestrator that its context belongs to"
    );
    FailureDetails::new(FailureKind::Cancelled, OUTSIDE, text).not_retryable()
}

pub(super) fn too_many() -> FailureDetails {
    FailureDetails::new(
        FailureKind::PayloadTooLarge,
        OUTSIDE,
        "an execution can make 2147483648 calls",
    )
}

pub(super) fn is_outside(details: &FailureDetails) -> bool {
    details.error_type() == OUTSIDE
}

/// The error of a failure's own is asked about; everything else may be retried.
pub(super) fn retry_if<E: Wire>(retryable: impl Fn(&E) -> bool + Send + Sync + 'static) -> RetryIf {
    Arc::new(move |failure: &FailureDetails| {
        let own = failure.kind() == FailureKind::Application;
        let error = own.then(|| revive::<E>(failure).ok()).flatten();
        error.is_none_or(|error| retryable(&error))
    })
}

/// A call of an activity or of an inline step: a future that ends with what that returned.
///
/// Made by [`OrchestrationContext::call_activity`](super::OrchestrationContext::call_activity) and
/// [`OrchestrationContext::run`](super::OrchestrationContext::run).
#[must_use = "a call does nothing until it is awaited (or `.start()`ed)"]
pub struct ActivityCall<T, E> {
    call: Call<ActivityRequest>,
    result: PhantomData<fn() -> (T, E)>,
}

struct ActivityRequest {
    name: Cow<'static, str>,
    input: Payload,
    options: ActivityOptions,
    code: ActivityCode,
}

impl Request for ActivityRequest {
    fn begin(self, call: CallId) -> Result<(Kind, Action), FailureDetails> {
        let Self {
            name,
            input,
            options,
            code,
        } = self;
        let inline = code.step.is_some();
        let action = Action::ScheduleActivity {
            call,
            name,
            input,
            options,
            inline,
        };
        Ok((Kind::Activity(code), action))
    }
}

impl<T: Wire, E: Wire> ActivityCall<T, E> {
    pub(super) fn new(
        key: Key,
        name: Cow<'static, str>,
        input: Result<Payload, serde_json::Error>,
        step: Option<InlineStep>,
        location: &'static Location<'static>,
    ) -> Self {
        let options = ActivityOptions::default();
        let request = |_, _| match input {
            Ok(input) => Ok(ActivityRequest {
                name,
                input,
                options,
                code: ActivityCode {
                    step,
                    retry_if: None,
                },
            }),
            Err(error) => Err(FailureDetails::serialization("input", &error)),
        };
        Self {
            call: Call::new(key, location, request),
            result: PhantomData,
        }
    }

    /// Tries a failed activity again as `policy` says. Attempts and delays survive a restart.
    ///
    /// Default: the first failure is the caller's.
    pub fn retry(self, policy: RetryPolicy) -> Self {
        self.with_request(|request| request.options.retry = Some(policy))
    }

    /// Tries it again after an error of its own only if `retryable` says so; without a
    /// [retry policy](Self::retry) it is never asked. Other failures (a panic, a timeout, an error
    /// that is not of the shape `E`) are retried as the policy says.
    ///
    /// It is part of the orchestrator's code: after a restart the code as it is then is asked. It
    /// must decide by the error alone, without the orchestrator's context; if it panics, the error is
    /// not retried.
    ///
    /// ```
    /// # use durable_core::{ActivityError, OrchestrationContext, RetryPolicy, activity, orchestrator};
    /// # use serde::{Deserialize, Serialize};
    /// # use std::time::Duration;
    /// #[derive(Debug, Serialize, Deserialize)]
    /// enum ChargeError {
    ///     Declined,
    ///     Busy,
    /// }
    ///
    /// #[activity]
    /// async fn charge(cents: u64) -> Result<(), ChargeError> {
    ///     if cents > 100 { Err(ChargeError::Declined) } else { Err(ChargeError::Busy) }
    /// }
    ///
    /// #[orchestrator]
    /// async fn order(ctx: OrchestrationContext, cents: u64) -> Result<(), ActivityError<ChargeError>> {
    ///     ctx.call_activity::<charge>(cents)
    ///         .retry(RetryPolicy::exponential(5, Duration::from_secs(1)))
    ///         .retry_if(|error| matches!(error, ChargeError::Busy))
    ///         .await
    /// }
    /// ```
    pub fn retry_if(self, retryable: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        self.with_request(|request| {
            request.options.retry_if = true;
            request.code.retry_if = Some(retry_if(retryable));
        })
    }

    /// The longest one attempt may take; after that its token fires and it counts as failed.
    ///
    /// Default: as long as it likes. On a `TestHub` time passes for mocks: a real activity never times out
    /// there.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.with_request(|request| request.options.timeout = Some(timeout))
    }

    /// The longest one attempt may go without [`heartbeat`](crate::ActivityContext::heartbeat): after
    /// that its token fires and it counts as failed, as after its [`timeout`](Self::timeout). So an
    /// activity that may take long, but not be stuck, is tried again soon.
    ///
    /// Default: as long as it likes. It counts from when the attempt begins to run.
    ///
    /// ```
    /// # use durable_core::{ActivityContext, ActivityError, NoError, OrchestrationContext, activity, orchestrator};
    /// # use std::time::Duration;
    /// #[activity]
    /// async fn import(ctx: ActivityContext, rows: u64) {
    ///     for _row in 0..rows {
    ///         ctx.heartbeat();
    ///     }
    /// }
    ///
    /// #[orchestrator]
    /// async fn nightly(ctx: OrchestrationContext) -> Result<(), ActivityError<NoError>> {
    ///     let call = ctx.call_activity::<import>(1_000_000);
    ///     call.heartbeat_timeout(Duration::from_secs(30)).await
    /// }
    /// ```
    pub fn heartbeat_timeout(self, timeout: Duration) -> Self {
        self.with_request(|request| request.options.heartbeat = Some(timeout))
    }

    fn with_request(mut self, change: impl FnOnce(&mut ActivityRequest)) -> Self {
        if let Some(request) = self.call.request_mut() {
            change(request);
        }
        self
    }

    /// Schedules the activity now, without waiting for it.
    pub fn start(mut self) -> Started<Self> {
        self.call.begin();
        Started(self)
    }
}

impl<T: Wire, E: Wire> Future for ActivityCall<T, E> {
    type Output = Result<T, ActivityError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let location = self.call.location;
        self.call.poll(cx).map(|outcome| match outcome {
            Ok(Outcome::Activity(Ok(output))) => output.decode().map_err(|error| {
                ActivityError::Data(FailureDetails::serialization("output", &error))
            }),
            Ok(Outcome::Activity(Err(failure))) => Err(ActivityError::from_details(failure)),
            Ok(Outcome::Timer | Outcome::Event(_) | Outcome::Child(_)) => {
                Err(ActivityError::OutsideOrchestrator(outside(location)))
            }
            Err(refused) if is_outside(&refused) => {
                Err(ActivityError::OutsideOrchestrator(refused))
            }
            Err(refused) => Err(ActivityError::from_details(refused)),
        })
    }
}

impl<T: Wire, E: Wire> FusedFuture for ActivityCall<T, E> {
    fn is_terminated(&self) -> bool {
        self.call.is_terminated()
    }
}

impl<T, E> fmt::Debug for ActivityCall<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActivityCall({})", self.call.id)
    }
}

/// A durable timer.
///
/// Made by [`OrchestrationContext::create_timer`](super::OrchestrationContext::create_timer).
///
/// # Panics
///
/// Polling it outside the orchestrator that made it panics: it has no error to return.
#[must_use = "a timer does nothing until it is awaited (or `.start()`ed)"]
pub struct TimerCall {
    call: Call<TimerRequest>,
}

struct TimerRequest {
    due: Timestamp,
}

impl Request for TimerRequest {
    fn begin(self, call: CallId) -> Result<(Kind, Action), FailureDetails> {
        let due = self.due;
        Ok((Kind::Timer, Action::CreateTimer { call, due }))
    }
}

impl TimerCall {
    pub(super) fn new(
        key: Key,
        due: impl FnOnce(Timestamp) -> Timestamp,
        location: &'static Location<'static>,
    ) -> Self {
        Self {
            call: Call::new(key, location, |_, now| Ok(TimerRequest { due: due(now) })),
        }
    }

    /// Sets the timer now, without waiting for it.
    pub fn start(mut self) -> Started<Self> {
        self.call.begin();
        Started(self)
    }
}

impl Future for TimerCall {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.call.poll(cx).map(|outcome| {
            if let Err(refused) = outcome {
                panic!("{refused}");
            }
        })
    }
}

impl FusedFuture for TimerCall {
    fn is_terminated(&self) -> bool {
        self.call.is_terminated()
    }
}

impl fmt::Debug for TimerCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TimerCall({})", self.call.id)
    }
}

/// A wait for an external event.
///
/// Made by
/// [`OrchestrationContext::wait_for_external_event`](super::OrchestrationContext::wait_for_external_event).
#[must_use = "a wait does nothing until it is awaited (or `.start()`ed)"]
pub struct EventCall<T> {
    call: Call<EventRequest>,
    limit: Option<TimerCall>,
    data: PhantomData<fn() -> T>,
}

struct EventRequest {
    name: EventName,
}

impl Request for EventRequest {
    fn begin(self, call: CallId) -> Result<(Kind, Action), FailureDetails> {
        let name = self.name;
        let kind = Kind::Event(name.clone());
        Ok((kind, Action::AwaitEvent { call, name }))
    }
}

/// Why a wait for an external event ended without its data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum EventError {
    /// The event's data is not of the shape that was waited for. The event is used up.
    #[error("the event's data could not be used: {0}")]
    Data(FailureDetails),
    /// The wait was polled outside the orchestrator that made it.
    #[error("a wait was polled outside its orchestrator: {0}")]
    OutsideOrchestrator(FailureDetails),
    /// No event came [in time](EventCall::timeout). One that comes later is the next wait's.
    #[error("no event came in time")]
    TimedOut,
}

impl<T: Wire> EventCall<T> {
    pub(super) fn new(key: Key, name: EventName, location: &'static Location<'static>) -> Self {
        Self {
            call: Call::new(key, location, |_, _| Ok(EventRequest { name })),
            limit: None,
            data: PhantomData,
        }
    }

    /// Waits no longer than this, counted from here, and then ends with [`EventError::TimedOut`].
    ///
    /// An event that is there wins, also over a time that has passed: so no event is lost, and a
    /// timeout of zero takes an event if there is one. An event that comes after the timeout is kept
    /// for the next wait. The timer behind it survives the process, as
    /// [`create_timer`](super::OrchestrationContext::create_timer) does, and is withdrawn when the
    /// event comes.
    ///
    /// Default: as long as it takes.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use durable_core::{EventError, OrchestrationContext, orchestrator};
    ///
    /// #[orchestrator]
    /// async fn approved(ctx: OrchestrationContext) -> Result<bool, EventError> {
    ///     let approval = ctx.wait_for_external_event::<bool>("Approval");
    ///     match approval.timeout(Duration::from_secs(3600)).await {
    ///         Err(EventError::TimedOut) => Ok(false),
    ///         answered => answered,
    ///     }
    /// }
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        let Call { key, location, .. } = self.call;
        let due = |now: Timestamp| now.deadline_after(timeout);
        self.limit = Some(TimerCall::new(key, due, location));
        self
    }

    /// Begins to wait now, so that an event of this name comes here and to no later wait.
    pub fn start(mut self) -> Started<Self> {
        self.call.begin();
        if let Some(limit) = &mut self.limit {
            limit.call.begin();
        }
        Started(self)
    }

    /// Whether the time is up; then it no longer waits.
    fn poll_limit(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, EventError>> {
        let Some(limit) = &mut self.limit else {
            return Poll::Pending;
        };
        limit.call.poll(cx).map(|fired| {
            self.call.withdraw();
            match fired {
                Ok(_) => Err(EventError::TimedOut),
                Err(refused) => Err(EventError::OutsideOrchestrator(refused)),
            }
        })
    }
}

impl<T: Wire> Future for EventCall<T> {
    type Output = Result<T, EventError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Poll::Ready(outcome) = self.call.poll(cx) else {
            return self.poll_limit(cx);
        };
        self.limit = None;
        Poll::Ready(match outcome {
            Ok(Outcome::Event(arrived)) => arrived
                .data
                .decode()
                .map_err(|error| EventError::Data(FailureDetails::serialization("data", &error))),
            Ok(Outcome::Activity(_) | Outcome::Timer | Outcome::Child(_)) => {
                Err(EventError::OutsideOrchestrator(outside(self.call.location)))
            }
            Err(refused) => Err(EventError::OutsideOrchestrator(refused)),
        })
    }
}

impl<T: Wire> FusedFuture for EventCall<T> {
    fn is_terminated(&self) -> bool {
        self.call.is_terminated()
    }
}

impl<T> fmt::Debug for EventCall<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventCall({})", self.call.id)
    }
}

/// A call that was begun with `.start()`: a future of the same result, whose options can no longer
/// be changed. Dropping it cancels the call.
#[must_use = "dropping a call that was started cancels it"]
#[derive(Debug)]
pub struct Started<C>(C);

impl<C> Started<C> {
    pub(super) fn new(call: C) -> Self {
        Self(call)
    }
}

impl<C: Future + Unpin> Future for Started<C> {
    type Output = C::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<C: FusedFuture + Unpin> FusedFuture for Started<C> {
    fn is_terminated(&self) -> bool {
        self.0.is_terminated()
    }
}
