//! What is answered.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use durable_core::{OrchestrationStatus, RuntimeStatus};
use http::header::{
    CACHE_CONTROL, CONTENT_TYPE, LOCATION, REFERRER_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use serde::Serialize;

use crate::error::ApiError;
use crate::events::EventStream;
use crate::links::legal;
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

pub(crate) fn json_text(status: StatusCode, body: Vec<u8>) -> Response<ResponseBody> {
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
