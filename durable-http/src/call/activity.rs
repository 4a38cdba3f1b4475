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
    /// How often in a row there was no answer.
    #[serde(default)]
    unanswered: u32,
}

/// How often in a row a poll may have no answer, where the request has no policy of its own: at the usual
/// interval five minutes, in which a service is deployed anew.
const UNANSWERED: u32 = 10;

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
        Some(polling) => match calls.poll(request, &polling.next).await {
            Err(error) if outlasts(request, &polling, &error) => {
                let Polling { next, unanswered } = polling;
                let unanswered = unanswered + 1;
                return Ok(Poll::again(calls.interval(), Polling { next, unanswered }));
            }
            answered => answered?,
        },
    };
    if let Some((after, next)) = goes_on(request, &answered, calls.interval()) {
        let unanswered = 0;
        return Ok(Poll::again(after, Polling { next, unanswered }));
    }
    let response = HttpResponse::of(answered.answer)?;
    match &request.retry_options {
        Some(retry) if retry.covers(response.status()) => {
            Err(HttpCallError::Status(Box::new(response)))
        }
        _ => Ok(Poll::Done(response)),
    }
}

/// Whether what the service does is not given up yet, though it does not answer just now.
fn outlasts(request: &HttpRequest, polling: &Polling, error: &HttpCallError) -> bool {
    // With a policy, which is not known here, that says how often.
    let has_policy = request.retry_options.is_some();
    !has_policy && error.is_retryable() && polling.unanswered < UNANSWERED
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
