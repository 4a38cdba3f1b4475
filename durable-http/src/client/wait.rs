//! Waiting for the end of an instance: by its stream of events, else by asking again and again.

use std::future::IntoFuture;
use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::absence::{self, LONGEST_PAUSE, Patience};
use super::backoff::Backoff;
use super::error::ClientError;
use super::instance::{Answer, Instance, status_of};
use super::models::{RuntimeStatus, Status};
use super::sse::Parser;
use super::target::{Pairs, Verb};
use crate::clock;
use crate::outbound::pattern;

/// How long a stream of events may be silent. This crate's services say something every 15 seconds.
const SILENCE: Duration = Duration::from_secs(120);

/// Waits for the end of an instance: await it. It comes to the status of what has ended, however that was.
///
/// ```
/// # async fn f(instance: durable_http::client::Instance) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use durable_http::client::{ClientError, RuntimeStatus};
///
/// match instance.wait_for_completion().timeout(Duration::from_secs(3600)).await {
///     Ok(status) if *status.runtime_status() == RuntimeStatus::Completed => println!("done"),
///     Ok(status) => println!("{}: {:?}", status.runtime_status(), status.output_json()),
///     Err(ClientError::NotEnded) => println!("it goes on"),
///     Err(error) => return Err(error.into()),
/// }
/// # Ok(())
/// # }
/// ```
///
/// A service that has answered once and is away for a while, as when it is restarted, is waited for, too:
/// [5 minutes](Self::max_absence). One that has never answered is asked as often as
/// [`retries`](super::ClientBuilder::retries) says.
///
/// # Errors
///
/// [`ClientError::NotEnded`] if the time is over; [`ClientError::NotFound`] if there is no such instance, or it
/// was purged meanwhile; whatever else its status could not be asked for.
#[must_use = "nobody waits until this is awaited"]
#[derive(Debug)]
pub struct WaitRequest {
    instance: Instance,
    timeout: Option<Duration>,
    poll_interval: Option<Duration>,
    max_absence: Duration,
    listens: bool,
}

impl WaitRequest {
    pub(super) fn new(instance: Instance) -> Self {
        Self {
            instance,
            timeout: None,
            poll_interval: None,
            max_absence: absence::USUAL,
            listens: true,
        }
    }

    /// How long to wait. Default: as long as it takes.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How long to pause before asking again. Default: as long as the service says, a minute at most; if
    /// it does not say so, 0.1 to 10 seconds, longer each time.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = Some(interval);
        self
    }

    /// How long a service that has answered before may be away, or in trouble, at a stretch. After that the
    /// wait ends with what stands in the way. Default: 5 minutes.
    pub fn max_absence(mut self, time: Duration) -> Self {
        self.max_absence = time;
        self
    }

    /// Whether to listen to the service's stream of events, if it has one. Default: yes.
    pub fn listen(mut self, yes: bool) -> Self {
        self.listens = yes;
        self
    }

    async fn wait(self) -> Result<Status, ClientError> {
        let Some(timeout) = self.timeout else {
            return self.end().await;
        };
        let end = tokio::time::timeout(timeout, self.end()).await;
        end.map_err(|_| ClientError::NotEnded)?
    }

    async fn end(&self) -> Result<Status, ClientError> {
        let mut listens = self.listens;
        let mut polls = Backoff::up_to(Duration::from_secs(10));
        let mut cuts = Backoff::up_to(Duration::from_secs(10));
        let mut patience = Patience::Tries(self.instance.http().limits.retries);
        loop {
            let pause = match absence::outlast(patience, || self.look()).await? {
                Look::Ended(status) => return Ok(*status),
                Look::GoesOn { retry_after } => {
                    let polled = self.poll_interval.or(retry_after);
                    polled.unwrap_or_else(|| polls.pause())
                }
            };
            patience = Patience::Time(self.max_absence);
            if listens {
                match self.listen_to_events().await {
                    Heard::Ended(status) => return Ok(*status),
                    Heard::Something => {
                        tokio::time::sleep(cuts.pause()).await;
                        continue;
                    }
                    Heard::Nothing => listens = false,
                }
            }
            tokio::time::sleep(pause.min(LONGEST_PAUSE)).await;
        }
    }

    async fn look(&self) -> Result<Look, ClientError> {
        let call = self
            .instance
            .call(Method::GET, &Verb::Status, Pairs::default())?;
        let answer = self.instance.http().ask(&call).await?;
        let status = status_of(&answer)?;
        let ended = if let RuntimeStatus::Unknown(_) = status.runtime_status() {
            // The service knows, and says it by the code.
            answer.status() != StatusCode::ACCEPTED
        } else {
            status.runtime_status().is_terminal()
        };
        Ok(if ended {
            Look::Ended(Box::new(status))
        } else {
            let retry_after = pattern::retry_after(answer.headers(), clock::now());
            Look::GoesOn { retry_after }
        })
    }

    /// Whatever is wrong with a stream, asking for the status tells more of it.
    async fn listen_to_events(&self) -> Heard {
        let call = self
            .instance
            .call(Method::GET, &Verb::Events, Pairs::default());
        let Ok(mut call) = call else {
            return Heard::Nothing;
        };
        call.headers
            .insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        match self.instance.http().open(&call).await {
            Ok(answer) if answer.status() == StatusCode::OK && is_stream(answer.headers()) => {
                self.hear(answer.into_body()).await
            }
            Ok(_) => Heard::Nothing,
            Err(_) => Heard::Something,
        }
    }

    async fn hear(&self, mut body: Incoming) -> Heard {
        let mut parser = Parser::new(self.instance.http().limits.max_answer_size);
        loop {
            let frame = tokio::time::timeout(SILENCE, body.frame()).await;
            let Ok(Some(Ok(frame))) = frame else {
                return Heard::Something;
            };
            let bytes = frame.into_data().unwrap_or_default();
            let Ok(events) = parser.feed(&bytes) else {
                return Heard::Nothing;
            };
            for event in events {
                match serde_json::from_str::<Status>(&event) {
                    Ok(status) if status.runtime_status().is_terminal() => {
                        return Heard::Ended(Box::new(status));
                    }
                    Ok(_) => {}
                    Err(_) => return Heard::Nothing,
                }
            }
        }
    }
}

enum Look {
    Ended(Box<Status>),
    GoesOn { retry_after: Option<Duration> },
}

enum Heard {
    Ended(Box<Status>),
    /// It was cut off, or the service wants to be asked anew.
    Something,
    /// There is no such stream, or it is not understood.
    Nothing,
}

fn is_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

impl IntoFuture for WaitRequest {
    type Output = Result<Status, ClientError>;
    type IntoFuture = Answer<Status>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.wait())
    }
}
