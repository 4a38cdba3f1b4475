//! Why a call has no answer.

use serde::{Deserialize, Serialize};

use super::response::HttpResponse;

/// Why an HTTP call has no answer. What is sent, URL and token are in none of these texts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum HttpCallError {
    /// The request breaks a rule, and was not sent. Another attempt is not made.
    #[error("the request cannot be sent: {0}")]
    Invalid(String),
    /// The host has no address that requests may go to: see
    /// [`OutboundPolicy`](crate::OutboundPolicy). Another attempt is not made.
    #[error("`{host}` has no address that requests may go to")]
    Refused {
        /// The host, of the request or of a redirect.
        host: String,
    },
    /// The worker has no token source of this name. Another attempt is not made.
    #[error("the worker has no token source `{0}`")]
    NoTokenSource(String),
    /// A token source has no token.
    #[error("the token source `{source_name}`: {message}")]
    Token {
        /// The name it is registered under.
        source_name: String,
        /// What it says.
        message: String,
    },
    /// There is no connection, or it broke off before the answer was there.
    #[error("there is no answer: {0}")]
    Unreachable(String),
    /// More than ten redirects. Another attempt is not made.
    #[error("there are more than {limit} redirects")]
    TooManyRedirects {
        /// How many are followed.
        limit: usize,
    },
    /// The answer's body is too large. Another attempt is not made.
    #[error("the answer has more than {limit} bytes")]
    TooLarge {
        /// How many bytes it may have.
        limit: usize,
    },
    /// The answer's body is no text. Another attempt is not made.
    #[error("the answer, of status {status}, is not text in UTF-8 or ISO-8859-1")]
    NotText {
        /// The answer's status.
        status: u16,
    },
    /// A status that was to be tried again, at the last attempt.
    #[error("the answer is {}", .0.status())]
    Status(Box<HttpResponse>),
    /// Nobody waits for the answer any more.
    #[error("nobody waits for the answer")]
    Cancelled,
    /// The service's certificate is not accepted, so nothing was sent: it has expired, is for another name, or
    /// was issued by nobody who is [trusted](crate::HttpClient::trust). Another attempt may reach a machine
    /// that has a better one.
    #[error("the service's certificate is not accepted: {0}")]
    Untrusted(String),
}

impl HttpCallError {
    /// Whether another attempt may end otherwise.
    pub(super) fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Token { .. } | Self::Unreachable(_) | Self::Status(_) | Self::Untrusted(_)
        )
    }
}
