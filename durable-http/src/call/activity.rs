//! The activity that a call is.

use std::sync::OnceLock;
use std::time::Duration;

use durable_core::{ActivityContext, FromActivity, Poll, Rejection, Resumed, State, activity};
use http::header::DATE;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

use super::error::HttpCallError;
use super::exchange::{Answered, HttpCalls};
use super::request::HttpRequest;
use super::response::HttpResponse;
use crate::clock;
use crate::outbound::pattern;

/// What a call goes on from when it is run again.
#[derive(Debug, Serialize, Deserialize)]
pub struct Polling {
    /// Where to ask.
    next: String,
}

/// The worker's own [`HttpCalls`], or the defaults.
pub struct Calls(HttpCalls);

impl FromActivity for Calls {
    fn from_activity(ctx: &ActivityContext) -> Result<Self, Rejection> {
        static DEFAULT: OnceLock<HttpCalls> = OnceLock::new();
        let given = State::from_activity(ctx).map(|State(calls)| calls);
        let default = |_| DEFAULT.get_or_init(HttpCalls::default).clone();
        Ok(Self(given.unwrap_or_else(default)))
    }
}

/// One request of a call: the first, or a poll.
#[activity(name = "durable_http::HttpActivity", type = HttpActivity)]
pub async fn http_activity(
    ctx: ActivityContext,
    #[extract] calls: Calls,
    Resumed(polling): Resumed<Polling>,
    request: HttpRequest,
) -> Result<Poll<HttpResponse, Polling>, HttpCallError> {
    let made = make(&calls.0, &request, polling);
    let made = ctx.cancellation_token().run_until_cancelled(made).await;
    made.unwrap_or(Err(HttpCallError::Cancelled))
        .map_err(|error| {
            if error.is_retryable() {
                error
            } else {
                ctx.not_retryable(error)
            }
        })
}

async fn make(
    calls: &HttpCalls,
    request: &HttpRequest,
    polling: Option<Polling>,
) -> Result<Poll<HttpResponse, Polling>, HttpCallError> {
    let answered = match polling {
        None => calls.begin(request).await?,
        Some(Polling { next }) => calls.poll(request, &next).await?,
    };
    if let Some((after, next)) = goes_on(request, &answered, calls.interval()) {
        return Ok(Poll::again(after, Polling { next }));
    }
    let response = HttpResponse::of(answered.answer)?;
    match &request.retry_options {
        Some(retry) if retry.covers(response.status()) => {
            Err(HttpCallError::Status(Box::new(response)))
        }
        _ => Ok(Poll::Done(response)),
    }
}

/// When and where to ask next, if this was not the last word.
fn goes_on(
    request: &HttpRequest,
    answered: &Answered,
    usual: Duration,
) -> Option<(Duration, String)> {
    let Answered { url, answer } = answered;
    if !request.asynchronous_pattern_enabled || answer.status() != StatusCode::ACCEPTED {
        return None;
    }
    let next = pattern::location(answer.headers(), url)?;
    let after = wait(answer.headers()).unwrap_or(usual);
    Some((after, next.into()))
}

/// By the service's own clock, if it says what that shows.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let date = headers.get(DATE).and_then(|date| date.to_str().ok());
    let date = date.and_then(|date| httpdate::parse_http_date(date).ok());
    pattern::retry_after(headers, date.unwrap_or_else(clock::now))
}
