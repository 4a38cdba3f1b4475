//! HTTP calls of orchestrators: [`CallHttp::call_http`].
//!
//! A call is one activity, [`HttpActivity`]. Following a 202 is that activity asking to be run again
//! later ([`Poll::again`](durable_core::Poll::again)), so nothing of it is in the orchestrator's history,
//! and what it goes on from survives a restart. One attempt makes one exchange (`exchange.rs`): redirects,
//! the token, what may be sent where. Connections are made by an [`HttpCaller`].

#[expect(
    unreachable_pub,
    reason = "the type that the attribute makes is as public as its function, and so is what that takes"
)]
mod activity;
mod caller;
mod error;
mod exchange;
mod fields;
mod request;
mod response;
mod retry;
mod timespan;

use std::time::Duration;

use durable_core::{ActivityCall, OrchestrationContext};

pub use activity::HttpActivity;
pub use caller::{HttpAnswer, HttpCaller, HttpClient};
pub use error::HttpCallError;
pub use exchange::HttpCalls;
pub use request::HttpRequest;
pub(crate) use request::TokenName;
pub use response::HttpResponse;

/// How long a request may take that does not say.
const TIMEOUT: Duration = Duration::from_secs(100);

/// Calls over HTTP from an orchestrator.
///
/// ```
/// use durable_core::{ActivityError, OrchestrationContext, TaskHub, orchestrator};
/// use durable_http::{CallHttp, HttpActivity, HttpCallError, HttpRequest};
///
/// #[orchestrator]
/// async fn check_site(ctx: OrchestrationContext, url: String) -> Result<bool, ActivityError<HttpCallError>> {
///     let answer = ctx.call_http(HttpRequest::get(url)).await?;
///     Ok(answer.is_success())
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// # let hub = TaskHub::in_memory().await?;
/// let worker = hub.worker().register::<check_site>().register::<HttpActivity>().start().await?;
/// # worker.shutdown().await;
/// # hub.close().await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// What a worker calls with, its token sources and its limits are [`HttpCalls`]; without one it calls
/// public addresses.
///
/// # Waiting for a 202
///
/// While the answer is 202 and says with `Location` where to ask next, that is asked, with GET, when
/// `Retry-After` says (from a second to an hour), else after the worker's
/// [`poll_interval`](HttpCalls::poll_interval). The caller's headers go with it, but never
/// `x-functions-key`. To another origin (scheme, host and port of the *first* request) go neither
/// the token nor what looks like a secret: `Authorization`, `Cookie`, and headers with such words as
/// `key` or `token` in their names. A `Location` that cannot be used, or leads from https to http, ends
/// it: the 202 is the answer, as it is with [`polling(false)`](HttpRequest::polling).
///
/// Between two polls the call holds nothing but its record in the store. It goes on after a restart
/// without sending the first request again. A poll that gets no answer, because the service is restarted,
/// is made again after the worker's interval, ten times in a row; with a [policy](HttpRequest::retry), as
/// that says. There is no limit on how long a service may take; where one
/// is wanted, it is an orchestrator's timer, and dropping the call ends the polling:
///
/// ```
/// use std::time::Duration;
/// use durable_core::{ActivityError, OrchestrationContext, orchestrator};
/// use durable_http::{CallHttp, HttpCallError, HttpRequest};
///
/// #[orchestrator]
/// async fn render(ctx: OrchestrationContext, url: String) -> Result<Option<String>, ActivityError<HttpCallError>> {
///     tokio::select! { biased;
///         answer = ctx.call_http(HttpRequest::post(url)) => Ok(Some(answer?.into_content())),
///         _ = ctx.create_timer(Duration::from_secs(24 * 3600)) => Ok(None),
///     }
/// }
/// ```
///
/// # At least once
///
/// As every activity a request may be sent twice: a crash after it was sent, and before its answer was
/// recorded, sends it again. Give a request that must have one effect a key that its service knows, in a
/// header, from [`new_uuid`](OrchestrationContext::new_uuid).
pub trait CallHttp: sealed::Sealed {
    /// Sends a request and ends with its answer, whatever its status; see [the trait](CallHttp).
    ///
    /// The request's retry policy and time-out are the call's, and may be changed while instances are
    /// under way.
    ///
    /// # Errors
    ///
    /// [`ActivityError::TimedOut`](durable_core::ActivityError::TimedOut) if a request took longer than
    /// its [`timeout`](HttpRequest::timeout), else an [`HttpCallError`] in
    /// [`ActivityError::Application`](durable_core::ActivityError::Application).
    fn call_http(self, request: HttpRequest) -> ActivityCall<HttpResponse, HttpCallError>;
}

impl CallHttp for OrchestrationContext {
    #[track_caller]
    fn call_http(self, mut request: HttpRequest) -> ActivityCall<HttpResponse, HttpCallError> {
        // Neither is input: what a replay asks for may have others.
        let timeout = request.timeout.take().unwrap_or(TIMEOUT);
        let policy = request
            .retry_options
            .as_mut()
            .and_then(|retry| retry.policy.take());
        let call = self.call_activity::<HttpActivity>(request).timeout(timeout);
        match policy {
            Some(policy) => call.retry(policy),
            None => call,
        }
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for durable_core::OrchestrationContext {}
}
