//! One request and its answer: with its token, over redirects, within the limits.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Response, StatusCode};
use url::Url;

use super::caller::{HttpCaller, HttpClient};
use super::error::HttpCallError;
use super::request::{HttpRequest, TokenName};
use crate::outbound::outgoing::{MAX_REDIRECTS, Outgoing};
use crate::outbound::pattern;
use crate::outbound::policy::OutboundPolicy;
use crate::token::{Bearer, TokenSource, Tokens};

/// What a worker makes its [`call_http`](crate::CallHttp::call_http)s with: a client, token sources, a
/// default. Given to the worker as a [state](durable_core::WorkerBuilder::state); without one its calls
/// go to public addresses, and have no token. Cheap to clone.
///
/// ```
/// use durable_http::{HttpActivity, HttpCalls, HttpClient, ManagedIdentity, OutboundPolicy};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// # let hub = durable_core::TaskHub::in_memory().await?;
/// let policy = OutboundPolicy::public().allow_host("billing.internal");
/// let calls = HttpCalls::new(HttpClient::new(policy))
///     .token_source("azure", ManagedIdentity::virtual_machine());
/// let worker = hub.worker().state(calls).register::<HttpActivity>().start().await?;
/// # worker.shutdown().await;
/// # hub.close().await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct HttpCalls {
    caller: Arc<dyn HttpCaller>,
    tokens: Tokens,
    poll_interval: Duration,
}

impl HttpCalls {
    /// Calls through this client.
    pub fn new(caller: impl HttpCaller) -> Self {
        Self {
            caller: Arc::new(caller),
            tokens: Tokens::default(),
            poll_interval: Duration::from_secs(30),
        }
    }

    /// Gives requests that [name](HttpRequest::token_source) it a token of this source. A second one of
    /// a name replaces the first. A token is kept until shortly before it expires, or is refused with a
    /// 401, in memory only.
    #[must_use]
    pub fn token_source(mut self, name: impl Into<String>, source: impl TokenSource) -> Self {
        self.tokens.add(name.into(), source);
        self
    }

    /// How long to wait before a poll if the service does not say. Default: 30 seconds.
    #[must_use]
    pub fn poll_interval(self, interval: Duration) -> Self {
        Self {
            poll_interval: interval,
            ..self
        }
    }

    pub(super) fn interval(&self) -> Duration {
        self.poll_interval
    }

    /// Sends a request for the first time.
    pub(super) async fn begin(&self, request: &HttpRequest) -> Result<Answered, HttpCallError> {
        self.ask(request.prepare()?, request.token_source.as_ref())
            .await
    }

    /// Asks where an answer said to ask.
    pub(super) async fn poll(
        &self,
        request: &HttpRequest,
        next: &str,
    ) -> Result<Answered, HttpCallError> {
        let first = request.prepare()?;
        let wrong = |error| HttpCallError::Invalid(format!("the URL to poll: {error}"));
        let next = pattern::absolute(next).map_err(wrong)?;
        let at_home = pattern::same_origin(&first.url, &next);
        let token = request.token_source.as_ref().filter(|_| at_home);
        self.ask(first.poll(next), token).await
    }

    /// With a token, and once more with another if that is refused.
    async fn ask(
        &self,
        outgoing: Outgoing,
        token: Option<&TokenName>,
    ) -> Result<Answered, HttpCallError> {
        let Some(token) = token else {
            return self.follow(outgoing).await;
        };
        let bearer = self.tokens.get(token, None).await?;
        let answered = self.follow(with(outgoing.clone(), &bearer)).await?;
        let refused = answered.answer.status() == StatusCode::UNAUTHORIZED;
        if !refused || !pattern::same_origin(&outgoing.url, &answered.url) {
            return Ok(answered);
        }
        let fresh = self.tokens.get(token, Some(&bearer)).await?;
        if fresh == bearer {
            return Ok(answered);
        }
        self.follow(with(outgoing, &fresh)).await
    }

    /// Over redirects, to the answer that is none.
    async fn follow(&self, mut outgoing: Outgoing) -> Result<Answered, HttpCallError> {
        for _ in 0..=MAX_REDIRECTS {
            let unusable = |_| HttpCallError::Invalid("the URL cannot be asked".to_owned());
            let request = outgoing.request().map_err(unusable)?;
            let answer = self.caller.send(request).await?;
            if !outgoing.redirect(&answer) {
                let url = outgoing.url;
                return Ok(Answered { url, answer });
            }
        }
        Err(HttpCallError::TooManyRedirects {
            limit: MAX_REDIRECTS,
        })
    }
}

/// Public addresses only, and no tokens.
impl Default for HttpCalls {
    fn default() -> Self {
        Self::new(HttpClient::new(OutboundPolicy::public()))
    }
}

impl fmt::Debug for HttpCalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCalls")
            .field("tokens", &self.tokens)
            .field("poll_interval", &self.poll_interval)
            .finish_non_exhaustive()
    }
}

/// An answer, and who gave it.
pub(super) struct Answered {
    pub(super) url: Url,
    pub(super) answer: Response<Bytes>,
}

fn with(mut outgoing: Outgoing, bearer: &Bearer) -> Outgoing {
    outgoing.headers.insert(AUTHORIZATION, bearer.header());
    outgoing
}
