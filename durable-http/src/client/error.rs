//! What can go wrong between a client and the API.

use std::time::Duration;

use http::{Response, StatusCode};
use serde::Deserialize;

use crate::clock;
use crate::outbound::pattern;
use crate::outbound::transport::TransportError;

/// Why a request was not done, by what to do about it.
///
/// Neither a key nor the query of a URL is ever in one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// There is no such instance; for whoever may not see it there is none either.
    #[error("there is no such instance")]
    NotFound,
    /// No key, or a wrong one; or a link that has expired.
    #[error("a key is needed, and this was none, or not the right one")]
    Unauthorized,
    /// The link is for something else.
    #[error("this is not allowed: {message}")]
    Forbidden {
        /// What the service says.
        message: String,
    },
    /// There is an instance of this id, and it is in the way.
    #[error("there is an instance of this id: {message}")]
    Conflict {
        /// What the service says.
        message: String,
    },
    /// The instance has ended already.
    #[error("the instance has ended")]
    Ended,
    /// The instance is not as it must be for this: only what has ended is purged, only what has failed is
    /// rewound.
    #[error("the instance is not as it must be: {message}")]
    NotAsNeeded {
        /// What the service says.
        message: String,
    },
    /// The service does not understand it, or has no such orchestrator. Trying again is of no use.
    #[error("the service refuses it: {message}")]
    BadRequest {
        /// What the service says.
        message: String,
    },
    /// The service has too much to do, or is not there just now. Try again later.
    #[error("the service cannot do it now")]
    Unavailable {
        /// When to try again, if the service says so: 1 second to 1 hour.
        retry_after: Option<Duration>,
    },
    /// An answer that this API does not have.
    #[error("the service answered {status}: {message}")]
    Unexpected {
        /// The status code.
        status: u16,
        /// What the service says.
        message: String,
    },
    /// The answer has more bytes than [`max_answer_size`](super::ClientBuilder::max_answer_size).
    #[error("the answer has more than {limit} bytes")]
    AnswerTooLarge {
        /// The limit.
        limit: usize,
    },
    /// The answer is not what this API answers: is it the right URL?
    #[error("the answer is not understood: {message}")]
    InvalidAnswer {
        /// What is wrong with it.
        message: String,
    },
    /// There was no answer in the time that a request may take.
    #[error("there was no answer in time")]
    TimedOut,
    /// What was waited for has not come in the time that was given.
    #[error("it has not ended in the time that was given")]
    NotEnded,
    /// No connection, or it broke off.
    #[error("the service was not reached: {message}")]
    Transport {
        /// What is known of it.
        message: String,
        /// Nothing was sent: there was no connection.
        sent_nothing: bool,
    },
    /// What was given cannot be sent. Nothing was.
    #[error("{what}")]
    Invalid {
        /// What is wrong, of what.
        what: &'static str,
    },
    /// What was given cannot be written as JSON. Nothing was sent.
    #[error("it cannot be written as JSON: {message}")]
    Data {
        /// What serde says.
        message: String,
    },
    /// The instance is known by its links only, and none is for this.
    #[error("there is no link to do this with")]
    NoLink,
    /// The service's certificate is not accepted, so nothing was sent: it has expired, is for another name, or
    /// was issued by nobody who is [trusted](super::ClientBuilder::trust).
    #[error("the service's certificate is not accepted: {message}")]
    Untrusted {
        /// What is wrong with it.
        message: String,
    },
}

impl ClientError {
    /// Whether the same request may succeed later.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::TimedOut | Self::Transport { .. } => true,
            Self::Unexpected { status, .. } => *status >= 500,
            Self::NotFound
            | Self::Unauthorized
            | Self::Forbidden { .. }
            | Self::Conflict { .. }
            | Self::Ended
            | Self::NotAsNeeded { .. }
            | Self::BadRequest { .. }
            | Self::AnswerTooLarge { .. }
            | Self::InvalidAnswer { .. }
            | Self::NotEnded
            | Self::Invalid { .. }
            | Self::Data { .. }
            | Self::NoLink
            | Self::Untrusted { .. } => false,
        }
    }

    /// When to try again, if the service says so.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        if let Self::Unavailable { retry_after } = self {
            *retry_after
        } else {
            None
        }
    }

    /// Of a request that is about no instance: whatever there is at this URL, it is not the API.
    pub(super) fn unless_elsewhere(self) -> Self {
        if self == Self::NotFound {
            return Self::not_understood("there is nothing at this URL (404)");
        }
        self
    }

    pub(super) fn not_understood(error: impl ToString) -> Self {
        let message = error.to_string();
        Self::InvalidAnswer { message }
    }

    /// What an answer says that is not the one that was hoped for.
    pub(super) fn of(answer: &Response<impl AsRef<[u8]>>) -> Self {
        let message = message(answer);
        match answer.status() {
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::UNAUTHORIZED => Self::Unauthorized,
            StatusCode::FORBIDDEN => Self::Forbidden { message },
            StatusCode::CONFLICT => Self::Conflict { message },
            StatusCode::GONE => Self::Ended,
            StatusCode::PRECONDITION_FAILED => Self::NotAsNeeded { message },
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => Self::BadRequest { message },
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => Self::Unavailable {
                retry_after: pattern::retry_after(answer.headers(), clock::now()),
            },
            status => Self::Unexpected {
                status: status.as_u16(),
                message,
            },
        }
    }
}

impl From<TransportError> for ClientError {
    fn from(error: TransportError) -> Self {
        match error {
            TransportError::TooLarge { limit } => Self::AnswerTooLarge { limit },
            TransportError::Untrusted(message) => Self::Untrusted { message },
            TransportError::Connect(message) | TransportError::Tls(message) => Self::Transport {
                message,
                sent_nothing: true,
            },
            // Everything is admitted here, so this is not seen; it would have sent nothing.
            TransportError::Refused(refused) => Self::Transport {
                message: refused.to_string(),
                sent_nothing: true,
            },
            TransportError::Broken(message) => Self::Transport {
                message,
                sent_nothing: false,
            },
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Says {
    Text(String),
    Error {
        #[serde(rename = "ExceptionMessage")]
        exception: Option<String>,
        #[serde(rename = "Message")]
        message: String,
    },
}

/// What an answer says in words: one line of it, not a page that a proxy may have put there.
fn message(answer: &Response<impl AsRef<[u8]>>) -> String {
    const LONGEST: usize = 500;
    let said = match serde_json::from_slice(answer.body().as_ref()) {
        Ok(Says::Text(text)) => text,
        Ok(Says::Error { exception, message }) => exception.unwrap_or(message),
        Err(_) => {
            let reason = answer.status().canonical_reason();
            reason.unwrap_or("no reason is given").to_owned()
        }
    };
    let line = said.chars().map(|c| if c.is_control() { ' ' } else { c });
    line.take(LONGEST).collect()
}
