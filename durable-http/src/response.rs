//! What is answered.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use durable_core::{InstanceId, InvalidInstanceId, OrchestrationStatus, RuntimeStatus};
use http::header::{
    CACHE_CONTROL, CONTENT_TYPE, LOCATION, REFERRER_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use serde::Serialize;

use crate::api::HttpApi;
use crate::error::ApiError;
use crate::events::EventStream;
use crate::links::{LinkOptions, legal};
use crate::models::{Shown, StatusObject};

/// The body of every answer: JSON, or nothing, or a stream of server-sent events.
#[derive(Debug, Default)]
pub struct ResponseBody(Content);

#[derive(Debug)]
enum Content {
    Whole(Full<Bytes>),
    Events(EventStream),
}

impl Default for Content {
    fn default() -> Self {
        Self::Whole(Full::default())
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.0 {
            Content::Whole(whole) => Pin::new(whole).poll_frame(cx),
            Content::Events(events) => {
                let next = events.poll_next(cx);
                next.map(|event| event.map(|event| Ok(Frame::data(event))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Content::Whole(whole) => whole.is_end_stream(),
            Content::Events(events) => events.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Content::Whole(whole) => whole.size_hint(),
            Content::Events(_) => SizeHint::default(),
        }
    }
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response<ResponseBody> {
    finish(status, ResponseBody::default())
}

/// An answer in JSON.
pub(crate) fn json<T: Serialize + ?Sized>(status: StatusCode, body: &T) -> Response<ResponseBody> {
    match serde_json::to_vec(body) {
        Ok(body) => json_text(status, body),
        Err(error) => ApiError::Internal(error.to_string()).into_response(),
    }
}

/// An answer that goes on.
pub(crate) fn event_stream(events: EventStream) -> Response<ResponseBody> {
    let mut response = finish(StatusCode::OK, ResponseBody(Content::Events(events)));
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream; charset=utf-8"),
    );
    response
}

/// JSON text.
pub(crate) fn json_ok(text: String) -> Response<ResponseBody> {
    json_text(StatusCode::OK, text.into_bytes())
}

fn json_text(status: StatusCode, body: Vec<u8>) -> Response<ResponseBody> {
    let body = Content::Whole(Full::new(body.into()));
    let mut response = finish(status, ResponseBody(body));
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/json; charset=utf-8"),
    );
    response
}

/// What every answer has: it is not kept by anybody, its URL is not told to anybody, and it is not
/// taken for a page.
fn finish(status: StatusCode, body: ResponseBody) -> Response<ResponseBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Says where to look again, and when.
pub(crate) fn look_again(
    response: &mut Response<ResponseBody>,
    location: &str,
    retry_after: Duration,
) {
    let headers = response.headers_mut();
    let seconds = HeaderValue::from(whole_seconds(retry_after));
    headers.insert(RETRY_AFTER, seconds);
    // What is left after encoding can stand in a header.
    if let Ok(location) = HeaderValue::from_str(&legal(location)) {
        headers.insert(LOCATION, location);
    }
}

/// As `Retry-After` wants it, rounded up.
pub(crate) fn whole_seconds(duration: Duration) -> u64 {
    let fraction = u64::from(duration.subsec_nanos() > 0);
    duration.as_secs().saturating_add(fraction)
}

/// The status code that tells a client whether to ask again; and, if that is asked for, of a failure.
pub(crate) fn code_of(status: &OrchestrationStatus, failure_is_an_error: bool) -> StatusCode {
    let status = status.runtime_status();
    if status == RuntimeStatus::Failed && failure_is_an_error {
        StatusCode::INTERNAL_SERVER_ERROR
    } else if status.is_terminal() {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    }
}

/// The bare output of one that has completed; of one that has ended otherwise its status.
pub(crate) fn output_or_status(
    status: &OrchestrationStatus,
    shown: Shown,
    failure_is_an_error: bool,
) -> Response<ResponseBody> {
    let code = code_of(status, failure_is_an_error);
    match status.output_json() {
        Some(output) => json_text(code, output.as_bytes().to_vec()),
        None => json(code, &StatusObject::new(status, shown)),
    }
}

type Id = Result<InstanceId, InvalidInstanceId>;
type WriteBody = Box<dyn FnOnce(&OrchestrationStatus) -> serde_json::Result<Vec<u8>> + Send>;

/// An answer about to be made of an instance's status: await it. See
/// [`HttpApi::status_response`].
#[must_use = "there is no answer until this is awaited"]
pub struct StatusResponse {
    api: HttpApi,
    id: Id,
    location: Option<String>,
    retry_after: Duration,
    failure_is_an_error: bool,
    body: Option<WriteBody>,
}

impl StatusResponse {
    pub(crate) fn new(api: HttpApi, id: Id) -> Self {
        Self {
            api,
            id,
            location: None,
            retry_after: Duration::from_secs(5),
            failure_is_an_error: false,
            body: None,
        }
    }

    /// Where to look again: a route of the program's own, absolute or a path. Default: a link to
    /// the status route that shows status and output of this instance and nothing else.
    ///
    /// What cannot stand in a URL is encoded; an id that may hold `/`, `?`, `#` or `%` must be made
    /// a [`path_segment`](crate::path_segment) first.
    pub fn location(mut self, location: impl Into<String>) -> Self {
        self.location = Some(location.into());
        self
    }

    /// When to look again, in whole seconds. Default: 5.
    pub fn retry_after(mut self, retry_after: Duration) -> Self {
        self.retry_after = retry_after;
        self
    }

    /// Whether the answer is 500 if the instance has failed, for a client that understands only
    /// status codes. Default: no.
    pub fn internal_server_error_on_failure(mut self, yes: bool) -> Self {
        self.failure_is_an_error = yes;
        self
    }

    /// The body, whether the instance has ended or not. Default: the status object of the
    /// management API, with `input` null.
    pub fn body<T: Serialize>(
        mut self,
        body: impl FnOnce(&OrchestrationStatus) -> T + Send + 'static,
    ) -> Self {
        self.body = Some(Box::new(move |status| serde_json::to_vec(&body(status))));
        self
    }

    async fn answer(self) -> Result<Response<ResponseBody>, ApiError> {
        let status = find(&self.api, self.id).await?;
        let code = code_of(&status, self.failure_is_an_error);
        let mut response = match self.body {
            Some(body) => match body(&status) {
                Ok(body) => json_text(code, body),
                Err(error) => return Err(ApiError::Internal(error.to_string())),
            },
            None => json(code, &StatusObject::new(&status, LEAST)),
        };
        if code == StatusCode::ACCEPTED {
            let link = || self.api.links(None, &status).status();
            let location = self.location.unwrap_or_else(link);
            look_again(&mut response, &location, self.retry_after);
        }
        Ok(response)
    }
}

/// What a status link shows.
const LEAST: Shown = Shown {
    input: false,
    output: true,
    history: false,
};

/// What whoever is trusted with the management may see.
const ALL: Shown = Shown {
    input: true,
    output: true,
    history: true,
};

async fn find(api: &HttpApi, id: Id) -> Result<OrchestrationStatus, ApiError> {
    let id = id.map_err(|_| ApiError::NotFound)?;
    api.client().status(&id).await?.ok_or(ApiError::NotFound)
}

impl IntoFuture for StatusResponse {
    type Output = Response<ResponseBody>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let api = self.api.clone();
        Box::pin(async move {
            let answer = self.answer().await;
            answer.unwrap_or_else(|error| api.refusal(error))
        })
    }
}

impl fmt::Debug for StatusResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusResponse")
            .field("id", &self.id)
            .field("location", &self.location)
            .field("retry_after", &self.retry_after)
            .finish_non_exhaustive()
    }
}

/// An answer about to be made that gives away the management of an instance: await it. See
/// [`HttpApi::check_status_response`].
#[must_use = "there is no answer until this is awaited"]
#[derive(Debug)]
pub struct CheckStatusResponse {
    api: HttpApi,
    id: Id,
    links: LinkOptions,
}

impl CheckStatusResponse {
    pub(crate) fn new(api: HttpApi, id: Id) -> Self {
        let links = LinkOptions::default();
        Self { api, id, links }
    }

    /// When to look for the status first, in whole seconds. Default: 10.
    pub fn retry_after(mut self, retry_after: Duration) -> Self {
        self.links.retry_after = retry_after;
        self
    }

    /// Whether the link to the status answers 500 if the instance has failed, for a client that
    /// understands only status codes. Default: no.
    pub fn internal_server_error_on_failure(mut self, yes: bool) -> Self {
        self.links.failure_is_an_error = yes;
        self
    }

    async fn answer(self) -> Result<Response<ResponseBody>, ApiError> {
        let status = find(&self.api, self.id).await?;
        let links = self.api.links(None, &status);
        Ok(links.check_status_response(self.links))
    }
}

/// An answer about to be made once an instance has ended: await it. See
/// [`HttpApi::wait_for_completion_or_check_status_response`].
#[must_use = "there is no answer until this is awaited"]
#[derive(Debug)]
pub struct WaitResponse {
    api: HttpApi,
    id: Id,
    timeout: Duration,
    links: LinkOptions,
}

impl WaitResponse {
    pub(crate) fn new(api: HttpApi, id: Id) -> Self {
        Self {
            api,
            id,
            timeout: Duration::from_secs(10),
            links: LinkOptions::default(),
        }
    }

    /// How long to wait. Default: 10 seconds.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// When to look for the status, if it has not ended in time, in whole seconds. Default: 10.
    pub fn retry_after(mut self, retry_after: Duration) -> Self {
        self.links.retry_after = retry_after;
        self
    }

    /// Whether the answer is 500 if the instance has failed, now or later, for a client that
    /// understands only status codes. Default: no.
    pub fn internal_server_error_on_failure(mut self, yes: bool) -> Self {
        self.links.failure_is_an_error = yes;
        self
    }

    async fn answer(self) -> Result<Response<ResponseBody>, ApiError> {
        let id = self.id.map_err(|_| ApiError::NotFound)?;
        let end = self.api.client().wait_for_completion(&id);
        if let Ok(end) = tokio::time::timeout(self.timeout, end).await {
            let status = end?.ok_or(ApiError::NotFound)?;
            let failure_is_an_error = self.links.failure_is_an_error;
            return Ok(output_or_status(&status, ALL, failure_is_an_error));
        }
        let status = find(&self.api, Ok(id)).await?;
        let links = self.api.links(None, &status);
        Ok(links.check_status_response(self.links))
    }
}

impl IntoFuture for WaitResponse {
    type Output = Response<ResponseBody>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let api = self.api.clone();
        Box::pin(async move {
            let answer = self.answer().await;
            answer.unwrap_or_else(|error| api.refusal(error))
        })
    }
}

impl IntoFuture for CheckStatusResponse {
    type Output = Response<ResponseBody>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let api = self.api.clone();
        Box::pin(async move {
            let answer = self.answer().await;
            answer.unwrap_or_else(|error| api.refusal(error))
        })
    }
}
