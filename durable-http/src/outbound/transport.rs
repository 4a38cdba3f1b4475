//! Connections: one request, one answer. No proxy, no redirects, no cookies, no compression: nothing
//! happens that nobody asked for.

use std::error::Error;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use http::{Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

use super::gate::Gate;
use super::policy::{OutboundPolicy, Refused};
use super::trust::{InvalidCertificate, Trust, objection};

/// How many connections to a host are kept that nobody uses; each for 90 seconds.
const MAX_IDLE: usize = 64;

/// Why there is no answer. Neither the URL nor anything that was sent is in the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TransportError {
    #[error("TLS is not available: {0}")]
    Tls(String),
    #[error("there is no connection: {0}")]
    Connect(String),
    #[error(transparent)]
    Refused(Refused),
    #[error("the certificate is not accepted: {0}")]
    Untrusted(String),
    #[error("the connection broke off: {0}")]
    Broken(String),
    #[error("the answer has more than {limit} bytes")]
    TooLarge { limit: usize },
}

type Pool = Client<HttpsConnector<Gate>, Full<Bytes>>;

/// A pool of connections, made with the first request. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    policy: OutboundPolicy,
    trust: Trust,
    pool: Arc<OnceCell<Pool>>,
}

impl Transport {
    /// One that connects to any address.
    pub(crate) fn anywhere() -> Self {
        Self::new(OutboundPolicy::everything())
    }

    /// One that connects to what `policy` admits.
    pub(crate) fn new(policy: OutboundPolicy) -> Self {
        Self {
            policy,
            trust: Trust::default(),
            pool: Arc::default(),
        }
    }

    /// One that accepts what these have issued, too.
    pub(crate) fn trust(mut self, certificates: &[u8]) -> Result<Self, InvalidCertificate> {
        self.trust.add(certificates)?;
        self.pool = Arc::default();
        Ok(self)
    }

    /// Files are read for it, so that is done where it holds up nobody.
    async fn pool(&self) -> Result<Pool, TransportError> {
        let trust = self.trust.clone();
        let config = spawn_blocking(move || trust.config()).await;
        let config = config.map_err(|error| TransportError::Tls(error.to_string()))?;
        let config = config.map_err(|error| TransportError::Tls(error.to_string()))?;
        let tls = HttpsConnectorBuilder::new().with_tls_config(config);
        let connector = tls.https_or_http().enable_http1();
        Ok(Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(MAX_IDLE)
            .build(connector.wrap_connector(Gate::new(self.policy.clone()))))
    }

    /// Sends it; the answer's body is still on its way. There is no time-out.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, TransportError> {
        let pool = self.pool.get_or_try_init(|| self.pool()).await?;
        pool.request(request).await.map_err(|error| {
            if let Some(refused) = refusal(&error) {
                return TransportError::Refused(refused);
            }
            if let Some(what) = objection(&error) {
                return TransportError::Untrusted(what);
            }
            let text = causes(&error);
            if error.is_connect() {
                TransportError::Connect(text)
            } else {
                TransportError::Broken(text)
            }
        })
    }
}

/// Reads an answer's body to its end. There is no time-out.
pub(crate) async fn read(body: Incoming, limit: usize) -> Result<Bytes, TransportError> {
    match Limited::new(body, limit).collect().await {
        Ok(body) => {
            let mut body = body.aggregate();
            Ok(body.copy_to_bytes(body.remaining()))
        }
        Err(error) if error.is::<LengthLimitError>() => Err(TransportError::TooLarge { limit }),
        Err(error) => Err(TransportError::Broken(causes(&*error))),
    }
}

/// Whether it is the policy that is in the way.
fn refusal(error: &(dyn Error + 'static)) -> Option<Refused> {
    let mut error = Some(error);
    while let Some(cause) = error {
        if let Some(refused) = cause.downcast_ref::<Refused>() {
            return Some(refused.clone());
        }
        error = cause.source();
    }
    None
}

/// An error's text and those of its causes.
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_is_read_before_the_first_request_and_then_once_for_all_clones() {
        let transport = Transport::anywhere();
        let clone = transport.clone();
        assert!(!transport.pool.initialized());
        // Nobody listens there.
        let request = Request::get("http://127.0.0.1:1/").body(Full::default());
        let refused = clone.send(request.expect("a request")).await;
        assert!(matches!(refused, Err(TransportError::Connect(_))));
        assert!(transport.pool.initialized());
    }
}
