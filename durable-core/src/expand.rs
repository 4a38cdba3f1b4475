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

pub use crate::activity::ActivityFuture;
pub use crate::orchestrator::OrchestratorFuture;
pub use crate::payload::Payload;
pub use crate::registry::Registry;

use crate::failure::{FailureDetails, FailureKind, NoError};
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

/// How an error is recorded; `IS_WIRE` comes from [`ErrorProbe`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of an activity or orchestrator",
    label = "neither `Serialize + Deserialize` nor a standard error",
    note = "derive `serde::Serialize` and `serde::Deserialize` for it, and it comes back to the caller as it is; or make it convert into `Box<dyn std::error::Error + Send + Sync>`"
)]
pub trait Recorded<const IS_WIRE: bool> {
    /// What the caller gets back.
    type Error: Wire;

    /// The error as it is recorded.
    fn record(self, text: Option<String>) -> FailureDetails;
}

#[diagnostic::do_not_recommend]
impl<E: Wire> Recorded<true> for E {
    type Error = E;

    fn record(self, text: Option<String>) -> FailureDetails {
        let name = std::any::type_name::<E>();
        match Payload::encode(&self) {
            Ok(value) => {
                let text =
                    text.unwrap_or_else(|| String::from_utf8_lossy(value.as_bytes()).into_owned());
                FailureDetails::new(FailureKind::Application, name, text).with_value(value)
            }
            Err(error) => FailureDetails::serialization("error", &error),
        }
    }
}

#[diagnostic::do_not_recommend]
impl<E: Into<Box<dyn Error + Send + Sync>>> Recorded<false> for E {
    type Error = FailureDetails;

    fn record(self, _: Option<String>) -> FailureDetails {
        let error: Box<dyn Error + Send + Sync> = self.into();
        FailureDetails::of_error(std::any::type_name::<E>(), &*error)
    }
}

/// `(&Describe(&error)).text()`: the error's own text, if it has one (`Display`).
#[derive(Debug)]
pub struct Describe<'a, E>(pub &'a E);

impl<E: Display> Describe<'_, E> {
    /// The error's text.
    pub fn text(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

/// The answer for an error without a text.
pub trait NoText {
    /// Nothing.
    fn text(&self) -> Option<String>;
}

impl<E> NoText for &Describe<'_, E> {
    fn text(&self) -> Option<String> {
        None
    }
}

/// The output of a function as it is recorded.
///
/// # Errors
///
/// If it cannot be written as JSON.
pub fn encode_output<T: Serialize>(output: &T) -> Result<Payload, FailureDetails> {
    Payload::encode(output).map_err(|error| FailureDetails::serialization("output", &error))
}

/// The input of a function as it takes it.
///
/// # Errors
///
/// If the recorded JSON is of another shape.
pub fn decode_input<T: DeserializeOwned + 'static>(input: &Payload) -> Result<T, FailureDetails> {
    input
        .decode()
        .map_err(|error| FailureDetails::input(&error))
}

/// An argument of an activity that is not part of its input.
///
/// # Errors
///
/// The rejection as a failed attempt.
pub fn extract<T: crate::FromActivity>(ctx: &crate::ActivityContext) -> Result<T, FailureDetails> {
    T::from_activity(ctx)
        .map_err(|rejection| FailureDetails::of_error("durable_core::Rejection", &rejection))
}

/// Runs a function that blocks away from the async threads.
///
/// # Errors
///
/// A panic of the function is handed on as a panic; a runtime that is shutting down cancels it.
pub async fn blocking<T: Send + 'static>(
    function: impl FnOnce() -> T + Send + 'static,
) -> Result<T, FailureDetails> {
    match tokio::task::spawn_blocking(function).await {
        Ok(value) => Ok(value),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(FailureDetails::new(
                FailureKind::Cancelled,
                "tokio::task::JoinError",
                "the runtime is shutting down",
            )),
        },
    }
}
