//! The asynchronous pattern of any service: it answers 202 and says where to look, until there is an end.

use std::fmt;
use std::future::IntoFuture;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderName, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};

use super::Client;
use super::absence::{self, Patience};
use super::backoff::Backoff;
use super::error::ClientError;
use super::http::{Call, Http, Limits};
use super::instance::Answer;
use super::target::NOT_A_URL;
use crate::clock;
use crate::outbound::outgoing::{self, MAX_REDIRECTS, Outgoing};
use crate::outbound::pattern;
use crate::outbound::transport::Transport;

/// Looks at a URL, and wherever it says to look next, until the answer is not 202: await it. See
/// [`UntilComplete`].
///
/// ```
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use durable_http::client::poll_until_complete;
///
/// let answer = poll_until_complete("https://jobs.example.com/status/7")
///     .timeout(Duration::from_secs(3600))
///     .await?;
/// assert_eq!(answer.status(), 200);
/// # Ok(())
/// # }
/// ```
pub fn poll_until_complete(location: impl Into<String>) -> UntilComplete {
    UntilComplete::new(Method::GET, location.into(), HeaderMap::new(), Bytes::new())
}

/// Sends a request, and if it is answered with 202, looks where that says, until the answer is not 202:
/// await it. See [`UntilComplete`].
///
/// ```
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// use durable_http::client::send_until_complete;
///
/// let request = http::Request::post("https://jobs.example.com/start")
///     .header("content-type", "application/json")
///     .body("{\"rows\": 1000}")?;
/// let answer = send_until_complete(request).await?;
/// println!("{}: {} bytes", answer.status(), answer.body().len());
/// # Ok(())
/// # }
/// ```
pub fn send_until_complete(request: Request<impl Into<Bytes>>) -> UntilComplete {
    let (head, body) = request.into_parts();
    UntilComplete::new(head.method, head.uri.to_string(), head.headers, body.into())
}

/// A request that is followed to its end, by the rules of the asynchronous pattern: await it. It comes to the
/// final answer, whatever its status code is.
///
/// * 202: its `Location` is asked next, by GET, after as long as `Retry-After` says (seconds or a date; 1 second to 1
///   hour). If it does not say, after 0.1 to 10 seconds, longer each time. Without a `Location` the same URL
///   is asked again if it was asked by GET; else, and if it is nowhere that can be asked, the 202 is the final answer.
/// * 429 and 503 with `Retry-After`: the same, later, if it was asked by GET.
/// * Redirects are followed, ten in a row at most; never from https to http. 301 and 302 make a POST a GET, 303 all but
///   a HEAD; other methods are kept.
/// * Headers go along to wherever has the scheme, host and port of the first URL; elsewhere credentials are left
///   out, and no redirect brings them back. No poll takes `x-functions-key` along.
/// * A GET that gets no answer is sent again, a few times in a row; after a 202 for
///   [5 minutes](Self::max_absence), in which a service may be restarted.
///
/// # Errors
///
/// [`ClientError::NotEnded`] if the time is over; [`ClientError::Invalid`] if the URL is not absolute, or not of
/// http or https, or a header belongs to the connection (`Host`, `Content-Length`, ..); [`ClientError::Transport`], [`ClientError::Untrusted`], [`ClientError::TimedOut`], [`ClientError::AnswerTooLarge`]
/// (16 MiB, unless a [client](Self::via) says otherwise); [`ClientError::InvalidAnswer`] of redirects without end.
#[must_use = "nothing is sent until this is awaited"]
pub struct UntilComplete {
    method: Method,
    url: String,
    headers: Result<HeaderMap, ClientError>,
    body: Bytes,
    timeout: Option<Duration>,
    poll_interval: Option<Duration>,
    max_absence: Duration,
    client: Option<Client>,
}

impl UntilComplete {
    fn new(method: Method, url: String, headers: HeaderMap, body: Bytes) -> Self {
        Self {
            method,
            url,
            headers: Ok(headers),
            body,
            timeout: None,
            poll_interval: None,
            max_absence: absence::USUAL,
            client: None,
        }
    }

    /// Adds a header.
    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        let name = HeaderName::from_bytes(name.as_ref()).ok();
        let value = HeaderValue::from_bytes(value.as_ref()).ok();
        if let (Ok(headers), Some(name), Some(value)) = (&mut self.headers, name, value) {
            headers.append(name, value);
        } else {
            let what = "a header cannot be sent";
            self.headers = Err(ClientError::Invalid { what });
        }
        self
    }

    /// How long all of it may take. Default: as long as it takes.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How long to pause where a 202 does not say. Default: 0.1 to 10 seconds, longer each time.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = Some(interval);
        self
    }

    /// How long a service that has answered 202 may give no answer, at a stretch. After that it ends with what
    /// stands in the way. Default: 5 minutes.
    pub fn max_absence(mut self, time: Duration) -> Self {
        self.max_absence = time;
        self
    }

    /// Uses the connections and limits of a client, and completes a path with its host. Its key is not
    /// sent. Default: connections of its own, and a client's default limits.
    pub fn via(mut self, client: &Client) -> Self {
        self.client = Some(client.clone());
        self
    }

    async fn run(self) -> Result<Response<Bytes>, ClientError> {
        let url = match &self.client {
            Some(client) => client.base().resolve(&self.url),
            None => self.url.as_str().into(),
        };
        let url = pattern::absolute(&url).map_err(|_| NOT_A_URL)?;
        let http = match &self.client {
            Some(client) => client.http().clone(),
            None => Http {
                transport: Transport::anywhere(),
                limits: Limits::default(),
            },
        };
        let headers = self.headers?;
        if outgoing::of_the_connection(&headers).is_some() {
            return Err(OF_THE_CONNECTION);
        }
        let first = Outgoing {
            method: self.method,
            url,
            headers,
            body: self.body,
        };
        let chase = Chase {
            http,
            asks: first.clone(),
            first,
            interval: self.poll_interval,
            pauses: Backoff::up_to(Duration::from_secs(10)),
            patience: Patience::Tries(0),
            max_absence: self.max_absence,
        };
        let Some(timeout) = self.timeout else {
            return chase.run().await;
        };
        let answer = tokio::time::timeout(timeout, chase.run()).await;
        answer.map_err(|_| ClientError::NotEnded)?
    }
}

const OF_THE_CONNECTION: ClientError = ClientError::Invalid {
    what: "a header belongs to the connection, as `Host` and `Content-Length` do",
};

impl IntoFuture for UntilComplete {
    type Output = Result<Response<Bytes>, ClientError>;
    type IntoFuture = Answer<Response<Bytes>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl fmt::Debug for UntilComplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UntilComplete")
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// The way from answer to answer.
struct Chase {
    http: Http,
    first: Outgoing,
    /// What is asked next.
    asks: Outgoing,
    interval: Option<Duration>,
    pauses: Backoff,
    patience: Patience,
    max_absence: Duration,
}

impl Chase {
    async fn run(mut self) -> Result<Response<Bytes>, ClientError> {
        let mut redirects = 0;
        loop {
            let answer = self.ask().await?;
            if self.asks.redirect(&answer) {
                redirects += 1;
                if redirects > MAX_REDIRECTS {
                    return Err(ClientError::not_understood("redirects without end"));
                }
                continue;
            }
            redirects = 0;
            let Some(pause) = self.poll(&answer) else {
                return Ok(answer);
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn ask(&self) -> Result<Response<Bytes>, ClientError> {
        absence::outlast(self.patience, || self.ask_once()).await
    }

    async fn ask_once(&self) -> Result<Response<Bytes>, ClientError> {
        let request = self.asks.request().map_err(|_| NOT_A_URL)?;
        let (head, body) = request.into_parts();
        let call = Call {
            method: head.method,
            uri: head.uri,
            headers: head.headers,
            body,
            patience: Duration::ZERO,
        };
        self.http.ask(&call).await
    }

    /// Turns to where this answer wants to be asked again, and says after how long; `None` if it is the
    /// last.
    fn poll(&mut self, answer: &Response<Bytes>) -> Option<Duration> {
        let headers = answer.headers();
        let same = || (self.asks.method == Method::GET).then(|| self.asks.url.clone());
        let next = match answer.status() {
            StatusCode::ACCEPTED if headers.contains_key(LOCATION) => {
                pattern::location(headers, &self.asks.url)
            }
            StatusCode::ACCEPTED => same(),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
                if headers.contains_key(RETRY_AFTER) =>
            {
                same()
            }
            _ => None,
        }?;
        self.asks = self.first.poll(next);
        // It works for us by now: what it does is not given up because it is restarted.
        self.patience = Patience::Time(self.max_absence);
        let said = pattern::retry_after(headers, clock::now()).or(self.interval);
        Some(said.unwrap_or_else(|| self.pauses.pause()))
    }
}
