//! Who makes the connections.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http::header::USER_AGENT;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;

use super::error::HttpCallError;
use crate::outbound::policy::OutboundPolicy;
use crate::outbound::transport::{Transport, TransportError, read};
use crate::outbound::trust::InvalidCertificate;

/// What [`HttpCaller::send`] returns.
pub type HttpAnswer<'a> =
    Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpCallError>> + Send + 'a>>;

/// Sends the requests of [`call_http`](crate::CallHttp::call_http): the place for a client of your own,
/// with a proxy, certificates or headers, and for a test double. A closure is one, too.
///
/// It is given one request at a time and answers it, without following a redirect: redirects,
/// polling, tokens and time-outs are done around it. It may be dropped before it has ended. What may be
/// connected to is its own affair.
///
/// ```
/// use durable_http::{HttpCallError, HttpCalls};
/// use http::{Request, Response};
/// use bytes::Bytes;
///
/// let calls = HttpCalls::new(|request: Request<Bytes>| async move {
///     let status = if request.uri().path() == "/up" { 200 } else { 404 };
///     let answer = Response::builder().status(status).body(Bytes::from("from a test"));
///     answer.map_err(|error| HttpCallError::Unreachable(error.to_string()))
/// });
/// # let _ = calls;
/// ```
pub trait HttpCaller: Send + Sync + 'static {
    /// Sends a request and reads the whole answer.
    fn send(&self, request: Request<Bytes>) -> HttpAnswer<'_>;
}

impl<F, A> HttpCaller for F
where
    F: Fn(Request<Bytes>) -> A + Send + Sync + 'static,
    A: Future<Output = Result<Response<Bytes>, HttpCallError>> + Send + 'static,
{
    fn send(&self, request: Request<Bytes>) -> HttpAnswer<'_> {
        Box::pin(self(request))
    }
}

/// The client that is used if there is no other: HTTP/1.1, with TLS and the certificates that this
/// machine trusts; connections are kept and used again. No proxy, no cookies, no compression.
///
/// The first request reads the machine's certificates (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others). Cheap to
/// clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct HttpClient {
    transport: Transport,
    max_answer: usize,
}

impl HttpClient {
    /// A client that connects to what `policy` allows.
    pub fn new(policy: OutboundPolicy) -> Self {
        Self {
            transport: Transport::new(policy),
            max_answer: 1024 * 1024,
        }
    }

    /// Accepts what these have issued, too, besides those that this machine trusts: the root of a company's
    /// own authority. One certificate in DER, or any number in PEM; what else is in a PEM is ignored.
    ///
    /// ```no_run
    /// use durable_http::{HttpCalls, HttpClient, OutboundPolicy};
    ///
    /// let client = HttpClient::new(OutboundPolicy::public().allow_host("billing.internal"));
    /// let calls = HttpCalls::new(client.trust(std::fs::read("company-root.pem")?)?);
    /// # let _ = calls;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidCertificate`](crate::InvalidCertificate) if one cannot be read, or there is none.
    pub fn trust(self, certificates: impl AsRef<[u8]>) -> Result<Self, InvalidCertificate> {
        Ok(Self {
            transport: self.transport.trust(certificates.as_ref())?,
            ..self
        })
    }

    /// The most bytes that the body of an answer may have. As every payload it must fit into the hub's
    /// limit for those, too. Default: 1 MiB.
    #[must_use]
    pub fn max_answer_size(self, bytes: usize) -> Self {
        Self {
            max_answer: bytes,
            ..self
        }
    }

    async fn ask(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpCallError> {
        let agent = HeaderValue::from_static(concat!("durable-http/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().entry(USER_AGENT).or_insert(agent);
        let answer = self.transport.send(request.map(Full::new)).await;
        let (parts, body) = answer.map_err(TransportError::into_call)?.into_parts();
        let body = read(body, self.max_answer).await;
        Ok(Response::from_parts(
            parts,
            body.map_err(TransportError::into_call)?,
        ))
    }
}

impl HttpCaller for HttpClient {
    fn send(&self, request: Request<Bytes>) -> HttpAnswer<'_> {
        Box::pin(self.ask(request))
    }
}

impl TransportError {
    fn into_call(self) -> HttpCallError {
        match self {
            Self::Refused(refused) => HttpCallError::Refused { host: refused.host },
            Self::TooLarge { limit } => HttpCallError::TooLarge { limit },
            Self::Untrusted(what) => HttpCallError::Untrusted(what),
            Self::Tls(_) | Self::Connect(_) | Self::Broken(_) => {
                HttpCallError::Unreachable(self.to_string())
            }
        }
    }
}
