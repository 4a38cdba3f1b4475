//! One request and its answer: in time, no larger than is allowed, and again where that is safe.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;

use super::backoff::Backoff;
use super::error::ClientError;
use crate::outbound::transport::{self, Transport};

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Connections, and what holds for all requests.
#[derive(Clone, Debug)]
pub(super) struct Http {
    pub(super) transport: Transport,
    pub(super) limits: Limits,
}

/// What a request may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) timeout: Duration,
    pub(super) max_answer_size: usize,
    pub(super) retries: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            max_answer_size: 16 * 1024 * 1024,
            retries: 3,
        }
    }
}

/// A request that can be sent more than once. Its URL and headers may hold secrets: it has no `Debug`.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// How much longer than usual the answer may take.
    pub(super) patience: Duration,
}

impl Call {
    /// One without a body.
    pub(super) fn new(method: Method, uri: Uri) -> Self {
        let headers = HeaderMap::from_iter([(ACCEPT, JSON)]);
        Self {
            method,
            uri,
            headers,
            body: Bytes::new(),
            patience: Duration::ZERO,
        }
    }

    pub(super) fn json(mut self, body: Bytes) -> Self {
        self.headers.insert(CONTENT_TYPE, JSON);
        self.body = body;
        self
    }

    /// Whether it has no other effect if it is sent once more after this. What changes something may have
    /// been done though there was no answer.
    fn may_follow(&self, error: &ClientError) -> bool {
        if let ClientError::Transport { sent_nothing, .. } = error {
            *sent_nothing || self.method == Method::GET
        } else {
            false
        }
    }

    fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        request.method_mut().clone_from(&self.method);
        request.uri_mut().clone_from(&self.uri);
        request.headers_mut().clone_from(&self.headers);
        request
    }
}

impl Http {
    /// The whole answer.
    pub(super) async fn ask(&self, call: &Call) -> Result<Response<Bytes>, ClientError> {
        let mut backoff = Backoff::up_to(Duration::from_secs(5));
        loop {
            match self.ask_once(call).await {
                Err(error) if call.may_follow(&error) && backoff.pauses() < self.limits.retries => {
                    tokio::time::sleep(backoff.pause()).await;
                }
                answer => return answer,
            }
        }
    }

    async fn ask_once(&self, call: &Call) -> Result<Response<Bytes>, ClientError> {
        let whole = async {
            let (head, body) = self.transport.send(call.request()).await?.into_parts();
            let body = transport::read(body, self.limits.max_answer_size).await?;
            Ok(Response::from_parts(head, body))
        };
        self.in_time(call, whole).await
    }

    /// An answer whose body is still on its way.
    pub(super) async fn open(&self, call: &Call) -> Result<Response<Incoming>, ClientError> {
        let head = async { Ok(self.transport.send(call.request()).await?) };
        self.in_time(call, head).await
    }

    async fn in_time<T>(
        &self,
        call: &Call,
        answer: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        let time = self.limits.timeout.saturating_add(call.patience);
        let answer = tokio::time::timeout(time, answer).await;
        answer.map_err(|_| ClientError::TimedOut)?
    }
}
