//! Tokens for requests: where they come from, and for how long they are kept. They are in memory only.

mod answer;
mod azure;
mod cache;
mod oauth;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use http::HeaderValue;

pub use azure::ManagedIdentity;
pub(crate) use cache::Tokens;
pub use oauth::ClientCredentials;

/// What [`TokenSource::fetch`] returns.
pub type TokenAnswer<'a> =
    Pin<Box<dyn Future<Output = Result<AccessToken, TokenError>> + Send + 'a>>;

/// Where bearer tokens come from. There are [`AccessToken`] itself (a fixed one), [`ClientCredentials`] and
/// [`ManagedIdentity`].
///
/// It is asked when a request is sent, by one request at a time for each resource, and has 30 seconds;
/// the token is kept until shortly before it expires. Where it asks is set by whoever runs the program,
/// so the [outbound policy](crate::OutboundPolicy) does not apply to it.
///
/// ```
/// use durable_http::{AccessToken, TokenAnswer, TokenSource};
/// use std::time::Duration;
///
/// struct Vault;
///
/// impl TokenSource for Vault {
///     fn fetch<'a>(&'a self, resource: &'a str) -> TokenAnswer<'a> {
///         Box::pin(async move {
///             let token = format!("for {resource}");
///             Ok(AccessToken::new(token)?.expires_in(Duration::from_secs(600)))
///         })
///     }
/// }
/// ```
pub trait TokenSource: Send + Sync + 'static {
    /// Gets a token for a resource, or scope, as the request names it.
    ///
    /// # Errors
    ///
    /// [`TokenError`], which is recorded: no secret belongs into it.
    fn fetch<'a>(&'a self, resource: &'a str) -> TokenAnswer<'a>;
}

/// A bearer token. As a [`TokenSource`] it is the same for ever. It is not shown by `Debug`.
///
/// ```
/// use durable_http::{AccessToken, HttpCalls};
///
/// # let from_environment = "secret";
/// let calls = HttpCalls::default().token_source("billing", AccessToken::new(from_environment)?);
/// # let _ = calls;
/// # Ok::<(), durable_http::TokenError>(())
/// ```
#[derive(Clone)]
pub struct AccessToken {
    bearer: Bearer,
    lifetime: Option<Duration>,
}

impl AccessToken {
    /// A token that does not expire.
    ///
    /// # Errors
    ///
    /// If it has characters that a header cannot have, such as a line break.
    pub fn new(token: impl AsRef<str>) -> Result<Self, TokenError> {
        let header = HeaderValue::from_str(&format!("Bearer {}", token.as_ref()));
        let mut header = header.map_err(|_| TokenError::new("the token has a line break"))?;
        header.set_sensitive(true);
        Ok(Self {
            bearer: Bearer(header),
            lifetime: None,
        })
    }

    /// It is good for so long from now. Default: for ever.
    #[must_use]
    pub fn expires_in(self, lifetime: Duration) -> Self {
        Self {
            lifetime: Some(lifetime),
            ..self
        }
    }
}

impl TokenSource for AccessToken {
    fn fetch<'a>(&'a self, _: &'a str) -> TokenAnswer<'a> {
        Box::pin(async { Ok(self.clone()) })
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken")
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TokenError {
    message: String,
}

impl TokenError {
    /// An error with a text for whoever reads the instance's history.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}

/// A token as it is sent.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Bearer(HeaderValue);

impl Bearer {
    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

/// Text that is sent and never shown.
#[derive(Clone)]
struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}
