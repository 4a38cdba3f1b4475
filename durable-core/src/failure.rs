//! How a failure is recorded, and how it comes back to whoever called.

use std::any::Any;
use std::error::Error;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::payload::Payload;
use crate::text::cut;

/// The most bytes that a failure's message and each of its causes keep.
const MAX_TEXT: usize = 16 * 1024;
/// The most causes it keeps.
const MAX_CAUSES: usize = 64;

/// What kind of failure was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum FailureKind {
    /// The user's function returned an error.
    Application,
    /// The user's function panicked.
    Panic,
    /// It took longer than it may.
    Timeout,
    /// It was cancelled before it ended.
    Cancelled,
    /// The worker that took the call has no such activity.
    NotRegistered,
    /// The input is not of the shape the function takes.
    Input,
    /// A value could not be written as JSON, or a result could not be read back.
    Serialization,
    /// An input or output is larger than the hub allows.
    PayloadTooLarge,
    /// The instance was terminated; the message is the reason that was given.
    Terminated,
    /// A child could not be started: there is an instance of its id already.
    AlreadyExists,
    /// A bound was exceeded: calls at once, events in a history, or children below children.
    LimitExceeded,
    /// The worker does not take the instance's version.
    VersionMismatch,
}

/// A failure as it stands in history: what kind, the error's type and message, and its causes.
///
/// This is what comes back for an error type that serde cannot write and read (for example
/// `std::io::Error` or `anyhow::Error`); the others come back as themselves.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureDetails {
    kind: FailureKind,
    error_type: String,
    message: String,
    causes: Vec<String>,
    value: Option<Payload>,
    retryable: bool,
}

impl FailureDetails {
    /// A text as it is kept: whoever made an error of it may have put anything in.
    pub(crate) fn shortened(mut text: String) -> String {
        if text.len() > MAX_TEXT {
            cut(&mut text, MAX_TEXT);
            text.push('…');
        }
        text
    }

    pub(crate) fn new(
        kind: FailureKind,
        error_type: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            error_type: error_type.into(),
            message: Self::shortened(message.into()),
            causes: Vec::new(),
            value: None,
            retryable: true,
        }
    }

    /// The details of an error that is known by its standard traits only.
    pub(crate) fn of_error(error_type: &str, error: &(dyn Error + 'static)) -> Self {
        let mut causes = Vec::new();
        let mut cause = error.source();
        while let Some(error) = cause.filter(|_| causes.len() < MAX_CAUSES) {
            causes.push(Self::shortened(error.to_string()));
            cause = error.source();
        }
        Self {
            causes,
            ..Self::new(FailureKind::Application, error_type, error.to_string())
        }
    }

    /// Keeps the error itself beside its description, so that it can come back as a value.
    pub(crate) fn with_value(self, value: Payload) -> Self {
        Self {
            value: Some(value),
            ..self
        }
    }

    /// Marks a failure that another attempt cannot mend.
    pub(crate) fn not_retryable(self) -> Self {
        Self {
            retryable: false,
            ..self
        }
    }

    /// An error that was written as JSON, so that it can come back as it is.
    pub(crate) fn of_value(
        error_type: &str,
        value: Result<Payload, serde_json::Error>,
        text: Option<String>,
    ) -> Self {
        match value {
            Ok(value) => {
                let json = || String::from_utf8_lossy(value.as_bytes()).into_owned();
                let text = text.unwrap_or_else(json);
                Self::new(FailureKind::Application, error_type, text).with_value(value)
            }
            Err(error) => Self::serialization("error", &error),
        }
    }

    pub(crate) fn serialization(what: &str, error: &serde_json::Error) -> Self {
        Self::json(FailureKind::Serialization, what, error)
    }

    pub(crate) fn input(error: &serde_json::Error) -> Self {
        Self::json(FailureKind::Input, "input", error)
    }

    fn json(kind: FailureKind, what: &str, error: &serde_json::Error) -> Self {
        Self::new(kind, "serde_json::Error", format!("{what}: {error}")).not_retryable()
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// The name of the error's Rust type, for a person to read; it may change with the compiler.
    pub fn error_type(&self) -> &str {
        &self.error_type
    }

    /// The error's own text.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The texts of the error's [`source`](Error::source) chain, nearest first.
    pub fn causes(&self) -> &[String] {
        &self.causes
    }

    /// Whether another attempt may succeed.
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }

    /// Bytes it takes in history.
    pub(crate) fn bytes(&self) -> usize {
        let texts = self.causes.iter().map(String::len).sum::<usize>();
        self.message.len() + texts + self.value.as_ref().map_or(0, Payload::len)
    }

    pub(crate) fn value(&self) -> Option<&Payload> {
        self.value.as_ref()
    }
}

impl fmt::Display for FailureDetails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for FailureDetails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({}: {}", self.kind, self.error_type, self.message)?;
        for cause in &self.causes {
            write!(f, "; {cause}")?;
        }
        f.write_str(")")
    }
}

impl Error for FailureDetails {}

/// The error of a function that cannot fail. It has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoError {}

impl fmt::Display for NoError {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl Error for NoError {}

/// How an activity failed, as its caller sees it.
///
/// `E` is the activity's own error type where serde can write and read it, else
/// [`FailureDetails`].
/// It can itself be the error of an orchestrator, and comes back to whoever waits for that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ActivityError<E> {
    /// The activity returned this error (on its last attempt, if it was retried).
    #[error("the activity failed: {0}")]
    Application(E),
    /// The activity panicked.
    #[error("the activity panicked: {0}")]
    Panicked(FailureDetails),
    /// The activity took longer than it may.
    #[error("the activity timed out: {0}")]
    TimedOut(FailureDetails),
    /// The activity was cancelled.
    #[error("the activity was cancelled: {0}")]
    Cancelled(FailureDetails),
    /// The worker that took the call has no such activity.
    #[error("no such activity: {0}")]
    NotRegistered(FailureDetails),
    /// The input, the output or the error could not be written or read as JSON, or is too large.
    #[error("the activity's data could not be used: {0}")]
    Data(FailureDetails),
    /// The call was polled outside the orchestrator that made it; nothing was scheduled.
    #[error("a call was polled outside its orchestrator: {0}")]
    OutsideOrchestrator(FailureDetails),
}

impl<E: crate::payload::Wire> ActivityError<E> {
    pub(crate) fn from_details(details: FailureDetails) -> Self {
        match details.kind {
            FailureKind::Application => match revive(&details) {
                Ok(error) => Self::Application(error),
                Err(undecodable) => Self::Data(undecodable),
            },
            FailureKind::Panic => Self::Panicked(details),
            FailureKind::Timeout => Self::TimedOut(details),
            FailureKind::Cancelled | FailureKind::Terminated => Self::Cancelled(details),
            FailureKind::NotRegistered => Self::NotRegistered(details),
            FailureKind::Input
            | FailureKind::Serialization
            | FailureKind::PayloadTooLarge
            | FailureKind::AlreadyExists
            | FailureKind::LimitExceeded
            | FailureKind::VersionMismatch => Self::Data(details),
        }
    }
}

/// How a sub-orchestration failed, as its parent sees it.
///
/// `E` is the child's own error type where serde can write and read it, else [`FailureDetails`].
/// It can itself be the error of an orchestrator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SubOrchestrationError<E> {
    /// The child returned this error (on its last attempt, if it was retried).
    #[error("the sub-orchestration failed: {0}")]
    Application(E),
    /// The child panicked.
    #[error("the sub-orchestration panicked: {0}")]
    Panicked(FailureDetails),
    /// The child was terminated; the message is the reason that was given.
    #[error("the sub-orchestration was terminated: {0}")]
    Terminated(FailureDetails),
    /// It was not started: there is an instance of the id that was given.
    #[error("the sub-orchestration was not started: {0}")]
    AlreadyExists(FailureDetails),
    /// It was not started, or failed, at a bound: how deep children may be nested, how much an
    /// instance may have outstanding, how long a history may be.
    #[error("a limit was exceeded: {0}")]
    LimitExceeded(FailureDetails),
    /// The worker does not take the child's version.
    #[error("the sub-orchestration's version was refused: {0}")]
    VersionMismatch(FailureDetails),
    /// The input, the output or the error could not be written or read as JSON, or is too large; or
    /// the id that was given breaks a rule.
    #[error("the sub-orchestration's data could not be used: {0}")]
    Data(FailureDetails),
    /// The call was polled outside the orchestrator that made it; nothing was started.
    #[error("a call was polled outside its orchestrator: {0}")]
    OutsideOrchestrator(FailureDetails),
}

impl<E: crate::payload::Wire> SubOrchestrationError<E> {
    pub(crate) fn from_details(details: FailureDetails) -> Self {
        match details.kind {
            FailureKind::Application => match revive(&details) {
                Ok(error) => Self::Application(error),
                Err(undecodable) => Self::Data(undecodable),
            },
            FailureKind::Panic => Self::Panicked(details),
            FailureKind::Terminated | FailureKind::Cancelled | FailureKind::Timeout => {
                Self::Terminated(details)
            }
            FailureKind::AlreadyExists => Self::AlreadyExists(details),
            FailureKind::LimitExceeded => Self::LimitExceeded(details),
            FailureKind::Input
            | FailureKind::Serialization
            | FailureKind::PayloadTooLarge
            | FailureKind::NotRegistered => Self::Data(details),
            FailureKind::VersionMismatch => Self::VersionMismatch(details),
        }
    }
}

/// The error value that an application failure carries. A caller that asks for
/// [`FailureDetails`] gets them whatever was recorded.
pub(crate) fn revive<E: crate::payload::Wire>(
    details: &FailureDetails,
) -> Result<E, FailureDetails> {
    let details = match (Box::new(details.clone()) as Box<dyn Any>).downcast::<E>() {
        Ok(details) => return Ok(*details),
        Err(_) => details,
    };
    let value = details.value.clone().unwrap_or(Payload::NULL);
    value.decode().map_err(|error| {
        let what = format!(
            "the recorded error `{}` ({}) does not fit",
            details.error_type, details.message
        );
        FailureDetails::serialization(&what, &error)
    })
}
