//! A client of the management API, for programs in another process than the hub; behind the feature
//! `client`.
//!
//! It asks a service of this crate, or any other that speaks the management API of Durable Functions:
//! what such a service leaves out or adds is no error.
//!
//! ```
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! use durable_http::client::Client;
//!
//! let client = Client::builder("http://127.0.0.1:7071/runtime/webhooks/durabletask")
//!     .key("an admin key of this service")
//!     .build()?;
//! let instance = client.start("fulfil").id("order-42").input(&4200).await?;
//! instance.raise_event("Approval", &true).await?;
//! let status = instance.wait_for_completion().await?;
//! assert_eq!(status.output::<String>()?.as_deref(), Some("receipt 4200"));
//! # Ok(())
//! # }
//! ```
//!
//! Waiting listens to the service's [stream of events](Instance::wait_for_completion) where there is one, and
//! asks again and again where there is none, as often as the service wants it.
//!
//! An orchestration that is not one, a service that answers 202 and says where to look, is followed with
//! [`poll_until_complete`] and [`send_until_complete`].
//!
//! A request that reached nobody is sent again, and so is one that only reads; what may have been
//! done is never repeated. Nothing goes through a proxy, and no redirect is followed but by the last two.

mod absence;
mod backoff;
mod error;
mod http;
mod instance;
mod list;
mod models;
mod poll;
mod purge;
mod sse;
mod start;
mod target;
mod wait;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderValue, Method, Uri};

use self::http::{Call, Http, Limits};
use self::target::{Base, Target};
use crate::outbound::transport::Transport;

pub use error::ClientError;
pub use instance::{Instance, RestartRequest, StatusRequest};
pub use list::{Instances, ListRequest, Page};
pub use models::{HistoryEvent, Links, RuntimeStatus, Status};
pub use poll::{UntilComplete, poll_until_complete, send_until_complete};
pub use purge::PurgeRequest;
pub use start::{Outcome, StartRequest};
pub use wait::WaitRequest;

/// A client of the management API of one hub; see the [module](self). Cheap to clone; clones share their
/// connections. Its futures run inside a tokio runtime with timers and I/O, and always the same one.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    http: Http,
    base: Base,
    key: Option<HeaderValue>,
}

impl Client {
    /// One without a key, and with the limits as they are by default.
    ///
    /// # Errors
    ///
    /// As [`ClientBuilder::build`].
    pub fn new(base_url: impl Into<String>) -> Result<Self, ClientError> {
        Self::builder(base_url).build()
    }

    /// Builds one for the API at this URL, as in
    /// `https://host/runtime/webhooks/durabletask`. What it has in its query, `taskHub` for example, is in the
    /// query of every request.
    pub fn builder(base_url: impl Into<String>) -> ClientBuilder {
        ClientBuilder {
            base_url: base_url.into(),
            key: None,
            roots: Vec::new(),
            limits: Limits::default(),
        }
    }

    /// Starts an orchestration; await it. See [`StartRequest`].
    pub fn start(&self, orchestrator: impl Into<String>) -> StartRequest {
        StartRequest::new(self.clone(), orchestrator.into())
    }

    /// An instance, whether there is one of this id or not. Nothing is asked.
    pub fn instance(&self, id: impl Into<String>) -> Instance {
        Instance::new(self.clone(), Target::Id(id.into()))
    }

    /// An instance by the links that a service has handed out: what there is no link for cannot be done,
    /// and the key is not sent. Links that are paths are completed with the host of this client's URL. Nothing
    /// is asked.
    ///
    /// ```
    /// # fn f(payload: &str) -> Result<(), Box<dyn std::error::Error>> {
    /// use durable_http::client::{Client, Links};
    ///
    /// let links: Links = serde_json::from_str(payload)?;
    /// let instance = Client::new("https://orders.example.com")?.follow(links);
    /// # Ok(())
    /// # }
    /// ```
    pub fn follow(&self, links: Links) -> Instance {
        Instance::new(self.clone(), Target::Links(Box::new(links)))
    }

    /// Which instances there are. See [`ListRequest`].
    pub fn list(&self) -> ListRequest {
        ListRequest::new(self.clone())
    }

    /// Purges all that have ended, or those of them that are asked for; await it. See [`PurgeRequest`].
    pub fn purge_all(&self) -> PurgeRequest {
        PurgeRequest::new(self.clone())
    }

    fn http(&self) -> &Http {
        &self.inner.http
    }

    fn base(&self) -> &Base {
        &self.inner.base
    }

    /// A request with the key.
    fn call(&self, method: Method, uri: Uri) -> Call {
        let mut call = Call::new(method, uri);
        if let Some(key) = &self.inner.key {
            call.headers.insert("x-functions-key", key.clone());
        }
        call
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("base", &self.inner.base.shown())
            .finish_non_exhaustive()
    }
}

/// Builds a [`Client`].
#[must_use = "nothing is built until `build`"]
pub struct ClientBuilder {
    base_url: String,
    key: Option<String>,
    roots: Vec<Vec<u8>>,
    limits: Limits,
}

impl ClientBuilder {
    /// The key to send, as the header `x-functions-key`: a service of this crate calls it an admin key, Azure a
    /// system key. It is in no URL, no error and no log.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// How long an answer may take, from connecting (10 seconds at most) to its last byte; a request that has the
    /// service wait may take so much longer. A stream of events must say something every two minutes. Default: 30 seconds.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.limits.timeout = time;
        self
    }

    /// The most bytes an answer may have. Default: 16 MiB.
    pub fn max_answer_size(mut self, bytes: usize) -> Self {
        self.limits.max_answer_size = bytes;
        self
    }

    /// How often a request is sent again that reached nobody, or that only reads and got no answer because a
    /// connection broke off, after pauses of 0.1 to 5 seconds. Also how often
    /// a wait asks a service again that has never answered. Default: 3.
    pub fn retries(mut self, retries: u32) -> Self {
        self.limits.retries = retries;
        self
    }

    /// Accepts what these have issued, too, besides those that this machine trusts: the root of a company's
    /// own authority. One certificate in DER, or any number in PEM; what else is in a PEM is ignored.
    /// Default: none.
    pub fn trust(mut self, certificates: impl Into<Vec<u8>>) -> Self {
        self.roots.push(certificates.into());
        self
    }

    /// Builds it. The first request reads the certificates that this machine trusts (`SSL_CERT_FILE` and
    /// `SSL_CERT_DIR` name others).
    ///
    /// # Errors
    ///
    /// [`ClientError::Invalid`] if the URL is not one of http or https, the key cannot be sent, or what is to be
    /// trusted is no certificate.
    pub fn build(self) -> Result<Client, ClientError> {
        let base = Base::parse(&self.base_url)?;
        let key = self.key.map(secret).transpose()?;
        let mut transport = Transport::anywhere();
        for root in &self.roots {
            let what = "what is to be trusted is not a certificate, in PEM or DER";
            let trusting = transport.trust(root);
            transport = trusting.map_err(|_| ClientError::Invalid { what })?;
        }
        let http = Http {
            transport,
            limits: self.limits,
        };
        let inner = Arc::new(Inner { http, base, key });
        Ok(Client { inner })
    }
}

fn secret(key: String) -> Result<HeaderValue, ClientError> {
    let what = "a key is made of visible characters";
    let invalid = ClientError::Invalid { what };
    if key.is_empty() || key.trim() != key {
        return Err(invalid);
    }
    let mut key = HeaderValue::try_from(key).map_err(|_| invalid)?;
    key.set_sensitive(true);
    Ok(key)
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder").finish_non_exhaustive()
    }
}
