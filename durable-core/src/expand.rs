//! What the code that the attributes generate needs. Not part of the public interface.
//!
//! Stable Rust has no specialisation, but an inherent constant hides a trait's default constant of
//! the same name where its bounds hold. So a *probe* answers "is this type a `Result`?" or "can
//! serde write this error?" as a constant, and the answer picks an implementation as a const
//! generic argument. It works for concrete types only, which is why generated code must name them.

use std::error::Error;
use std::fmt::Display;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use crate::activity::{ActivityFuture, Attempted};
pub use crate::orchestrator::OrchestratorFuture;
pub use crate::payload::Payload;
pub use crate::registry::{Discovered, Registry};
pub use inventory::submit;

use crate::activity::{Activity, ActivityContext, FromActivity, Poll, Rejection, Requirements};
use crate::failure::{FailureDetails, FailureKind, NoError};
use crate::orchestrator::Orchestrator;
use crate::payload::Wire;

/// `ReturnProbe::<R>::IS_RESULT`: is `R` a `Result`, under whatever alias?
#[derive(Debug)]
pub struct ReturnProbe<R>(PhantomData<R>);

/// The answer "no".
pub trait NotResult {
    /// Whether it is a `Result`.
    const IS_RESULT: bool = false;
}

impl<R> NotResult for ReturnProbe<R> {}

impl<T, E> ReturnProbe<Result<T, E>> {
    /// Whether it is a `Result`.
    pub const IS_RESULT: bool = true;
}

/// Takes a return value apart; `IS_RESULT` comes from [`ReturnProbe`].
pub trait Returned<const IS_RESULT: bool> {
    /// What is returned when nothing goes wrong.
    type Output;
    /// What is returned when something does.
    type Error;

    /// The value as a `Result`.
    ///
    /// # Errors
    ///
    /// The error it is.
    fn split(self) -> Result<Self::Output, Self::Error>;
}

impl<T, E> Returned<true> for Result<T, E> {
    type Output = T;
    type Error = E;

    fn split(self) -> Self {
        self
    }
}

impl<T> Returned<false> for T {
    type Output = T;
    type Error = NoError;

    fn split(self) -> Result<T, NoError> {
        Ok(self)
    }
}

/// `PollProbe::<T>::IS_POLL`: is `T` a [`Poll`], under whatever alias?
#[derive(Debug)]
pub struct PollProbe<T>(PhantomData<T>);

/// The answer "no".
pub trait NotPoll {
    /// Whether it is a `Poll`.
    const IS_POLL: bool = false;
}

impl<T> NotPoll for PollProbe<T> {}

impl<T, S> PollProbe<Poll<T, S>> {
    /// Whether it is a `Poll`.
    pub const IS_POLL: bool = true;
}

/// Takes what an activity returned apart; `IS_POLL` comes from [`PollProbe`].
pub trait Polled<const IS_POLL: bool> {
    /// What its caller gets.
    type Output;
    /// What the next attempt gets.
    type State;

    /// The value as a `Poll`.
    fn polled(self) -> Poll<Self::Output, Self::State>;
}

impl<T, S> Polled<true> for Poll<T, S> {
    type Output = T;
    type State = S;

    fn polled(self) -> Self {
        self
    }
}

impl<T> Polled<false> for T {
    type Output = T;
    type State = ();

    fn polled(self) -> Poll<T> {
        Poll::Done(self)
    }
}

/// `ErrorProbe::<E>::IS_WIRE`: can serde write and read `E`?
#[derive(Debug)]
pub struct ErrorProbe<E>(PhantomData<E>);

/// The answer "no".
pub trait NotWire {
    /// Whether serde can write and read it.
    const IS_WIRE: bool = false;
}

impl<E> NotWire for ErrorProbe<E> {}

impl<E: Serialize + DeserializeOwned> ErrorProbe<E> {
    /// Whether serde can write and read it.
    pub const IS_WIRE: bool = true;
}

/// What an error comes back as; `IS_WIRE` comes from [`ErrorProbe`].
///
/// The compiler does not use the words of a trait whose associated type is asked for, but those of
/// the bounds on its impls. Hence one bound on each, a trait with words for this place.
pub trait Recorded<const IS_WIRE: bool> {
    /// What the caller gets back.
    type Error;
}

impl<E: Wire> Recorded<true> for E {
    type Error = E;
}

impl<E: StandardError> Recorded<false> for E {
    type Error = FailureDetails;
}

/// An error that serde cannot write but that has a text and a source.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of an activity or orchestrator",
    label = "neither `Serialize + Deserialize` nor a standard error",
    note = "derive `serde::Serialize` and `serde::Deserialize` for it, and it comes back to the caller as it is; or make it convert into `Box<dyn std::error::Error + Send + Sync>`"
)]
pub trait StandardError {}

#[diagnostic::do_not_recommend]
impl<E: Into<Box<dyn Error + Send + Sync>>> StandardError for E {}

/// `Raised(error).durable_record(text)`: the error as it is recorded. The first of three methods
/// that fits is taken: this type's own, then the traits', by value and by reference. The last one
/// fits every type, so that one which cannot be recorded is reported by [`Recorded`] only.
#[derive(Debug)]
pub struct Raised<E>(pub E);

impl<E: Serialize + DeserializeOwned> Raised<E> {
    /// With its value.
    pub fn durable_record(self, text: Option<String>) -> FailureDetails {
        FailureDetails::of_value(std::any::type_name::<E>(), Payload::encode(&self.0), text)
    }
}

/// For an error that has only the standard traits.
pub trait RecordError {
    /// With its text and its causes.
    fn durable_record(self, text: Option<String>) -> FailureDetails;
}

impl<E: Into<Box<dyn Error + Send + Sync>>> RecordError for Raised<E> {
    fn durable_record(self, _: Option<String>) -> FailureDetails {
        let error: Box<dyn Error + Send + Sync> = self.0.into();
        FailureDetails::of_error(std::any::type_name::<E>(), &*error)
    }
}

/// For an error that [`Recorded`] refuses.
pub trait RecordAny {
    /// With its text, if it has one.
    fn durable_record(&self, text: Option<String>) -> FailureDetails;
}

impl<E> RecordAny for Raised<E> {
    fn durable_record(&self, text: Option<String>) -> FailureDetails {
        let name = std::any::type_name::<E>();
        FailureDetails::new(FailureKind::Application, name, text.unwrap_or_default())
    }
}

/// `(&Describe(&error)).durable_text()`: the error's own text, if it has one (`Display`).
#[derive(Debug)]
pub struct Describe<'a, E>(pub &'a E);

impl<E: Display> Describe<'_, E> {
    /// The error's text.
    pub fn durable_text(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

/// The answer for an error without a text.
pub trait NoText {
    /// Nothing.
    fn durable_text(&self) -> Option<String>;
}

impl<E> NoText for &Describe<'_, E> {
    fn durable_text(&self) -> Option<String> {
        None
    }
}

// The four functions below name the type they are for, not its input or output. The bounds then
// follow from the trait, and a type that breaks one is reported only where it is declared.

/// The input of an activity as it takes it.
///
/// # Errors
///
/// If the recorded JSON is of another shape.
pub fn activity_input<A: Activity>(input: &Payload) -> Result<A::Input, FailureDetails> {
    decode_input(input)
}

/// What an activity returned, as it is recorded.
///
/// # Errors
///
/// The activity's own, or that its output cannot be written as JSON.
pub fn activity_output<A: Activity, S: Wire>(
    returned: Result<Poll<A::Output, S>, FailureDetails>,
) -> Result<Attempted, FailureDetails> {
    match returned? {
        Poll::Done(output) => encode_output(&output).map(Attempted::Done),
        Poll::Again { after, state } => {
            let state = state
                .to_payload()
                .map_err(|error| FailureDetails::serialization("state", &error))?;
            Ok(Attempted::Again { after, state })
        }
    }
}

/// The input of an orchestrator as it takes it.
///
/// # Errors
///
/// If the recorded JSON is of another shape.
pub fn orchestrator_input<O: Orchestrator>(input: &Payload) -> Result<O::Input, FailureDetails> {
    decode_input(input)
}

/// What an orchestrator returned, as it is recorded.
///
/// # Errors
///
/// The orchestrator's own, or that its output cannot be written as JSON.
pub fn orchestrator_output<O: Orchestrator>(
    returned: Result<O::Output, FailureDetails>,
) -> Result<Payload, FailureDetails> {
    encode_output(&returned?)
}

fn encode_output<T: Wire>(output: &T) -> Result<Payload, FailureDetails> {
    output
        .to_payload()
        .map_err(|error| FailureDetails::serialization("output", &error))
}

fn decode_input<T: Wire>(input: &Payload) -> Result<T, FailureDetails> {
    input
        .decode()
        .map_err(|error| FailureDetails::input(&error))
}

/// How an argument of an activity that is not part of its input is taken.
#[derive(Debug)]
pub struct Extractor<T> {
    take: fn(&ActivityContext) -> Result<T, Rejection>,
    require: fn(&mut Requirements),
}

/// The bound is stated here and nowhere else, so that an argument which does not meet it is one
/// error.
pub const fn extractor<T: FromActivity>() -> Extractor<T> {
    Extractor {
        take: T::from_activity,
        require: T::require,
    }
}

impl<T> Extractor<T> {
    /// Takes it for one attempt.
    ///
    /// # Errors
    ///
    /// The rejection as a failed attempt.
    pub fn take(&self, ctx: &ActivityContext) -> Result<T, FailureDetails> {
        (self.take)(ctx)
            .map_err(|rejection| FailureDetails::of_error("durable_core::Rejection", &rejection))
    }

    /// Names the state it needs.
    pub fn require(&self, requirements: &mut Requirements) {
        (self.require)(requirements);
    }
}

/// Runs a function that blocks away from the async threads. It occupies the attempt's slot until it
/// returns, also if the attempt was given up meanwhile: the thread is not free any sooner.
///
/// # Errors
///
/// Never; the type is the caller's. A panic of the function is handed on as a panic, and on a
/// runtime that is shutting down this never ends: the attempt is lost, and made again.
pub async fn blocking<T: Send + 'static>(
    ctx: &ActivityContext,
    function: impl FnOnce() -> T + Send + 'static,
) -> Result<T, FailureDetails> {
    let (slot, span) = (ctx.slot(), tracing::Span::current());
    let function = move || {
        let _slot = slot;
        span.in_scope(function)
    };
    match tokio::task::spawn_blocking(function).await {
        Ok(value) => Ok(value),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down: this attempt is lost, and made again.
            Err(_) => std::future::pending().await,
        },
    }
}
