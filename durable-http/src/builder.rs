//! Building an [`HttpApi`].

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use durable_core::{Client, IdReusePolicy};
use http::Uri;
use http::uri::{PathAndQuery, Scheme};
use tokio::sync::Semaphore;

use crate::api::{HttpApi, Inner};
use crate::auth::{Access, Actions, AdminKeys, Hook, Own, Rules, Signer, Verdict};
use crate::body::Limits;
use crate::links::{Base, legal};
use crate::routes::BasePath;

/// Builds an [`HttpApi`]: who may do what, where it is mounted, and its limits.
#[must_use = "nothing is built until `build`"]
#[derive(Debug)]
pub struct HttpApiBuilder {
    client: Client,
    keys: Keys,
    anonymous: Actions,
    hook: Option<Hook>,
    link_ttl: Duration,
    base_path: String,
    public_url: Option<String>,
    hosts: Vec<String>,
    limits: Limits,
    retry_after: Duration,
    id_reuse: IdReusePolicy,
    page_size: usize,
    max_history_size: usize,
    max_wait_time: Duration,
    served: Actions,
    max_streams: usize,
    max_stream_time: Duration,
}

impl HttpApiBuilder {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            keys: Keys(Vec::new()),
            anonymous: Actions::NONE,
            hook: None,
            link_ttl: Duration::from_secs(7 * 24 * 60 * 60),
            base_path: "/runtime/webhooks/durabletask".to_owned(),
            public_url: None,
            hosts: Vec::new(),
            limits: Limits {
                bytes: 2 * 1024 * 1024,
                time: Duration::from_secs(30),
            },
            retry_after: Duration::from_secs(10),
            id_reuse: IdReusePolicy::ReplaceTerminal,
            page_size: 100,
            max_history_size: 16 * 1024 * 1024,
            max_wait_time: Duration::from_secs(5 * 60),
            served: Actions::ALL,
            max_streams: 1_000,
            max_stream_time: Duration::from_secs(60 * 60),
        }
    }

    /// Adds an admin key: whoever sends it, in the header `x-functions-key` or as `code` in the
    /// query, may do everything. At least 16 bytes. Several may be in force, so that one can be
    /// replaced without a gap.
    pub fn admin_key(mut self, key: impl AsRef<[u8]>) -> Self {
        self.keys.0.push(key.as_ref().to_owned());
        self
    }

    /// Lets everyone who can reach this service do these things. Those given before stay allowed.
    pub fn allow_anonymous(mut self, actions: Actions) -> Self {
        self.anonymous = self.anonymous | actions;
        self
    }

    /// Asks `decide` about every action of every request that comes without a link or an admin
    /// key and is not allowed for everyone. A request with a wrong key is refused without asking,
    /// where there are admin keys.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # let hub = durable_core::TaskHub::in_memory().await?;
    /// use durable_http::{Access, Action, HttpApi, Verdict};
    ///
    /// /// Left in the request's extensions by a layer that knows who asks.
    /// #[derive(Clone)]
    /// struct User { is_operator: bool }
    ///
    /// let api = HttpApi::builder(hub.client())
    ///     .authorize(|access: Access| async move {
    ///         match (access.request().extensions.get::<User>(), access.action()) {
    ///             (None, _) => Verdict::Unauthorized,
    ///             (Some(User { is_operator: true }), _) | (_, Action::Status) => Verdict::Allow,
    ///             _ => Verdict::Forbidden,
    ///         }
    ///     })
    ///     .build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn authorize<F, V>(mut self, decide: F) -> Self
    where
        F: Fn(Access) -> V + Send + Sync + 'static,
        V: Future<Output = Verdict> + Send + 'static,
    {
        self.hook = Some(Hook::new(decide));
        self
    }

    /// How long after the end of an instance links to it still work. Default: 7 days.
    pub fn link_ttl(mut self, ttl: Duration) -> Self {
        self.link_ttl = ttl;
        self
    }

    /// The path this is mounted under. Default: `/runtime/webhooks/durabletask`.
    ///
    /// Links are made with it, and requests match with it; without it they match too, because
    /// routers that nest services strip it.
    pub fn base_path(mut self, path: impl Into<String>) -> Self {
        self.base_path = path.into();
        self
    }

    /// What clients call this server, for example `https://api.example.com`: links begin with it.
    /// Default: links are paths, which a client completes with the host it asked.
    pub fn public_url(mut self, url: impl Into<String>) -> Self {
        self.public_url = Some(url.into());
        self
    }

    /// Begins links with the host that was asked (`Host`, or `X-Forwarded-Host` with
    /// `X-Forwarded-Proto`) if it is one of these, as in `api.example.com` or `localhost:8000`.
    /// Whatever else a request says of its host is in no answer.
    pub fn links_from_host<H: Into<String>>(
        mut self,
        allowed: impl IntoIterator<Item = H>,
    ) -> Self {
        let hosts = allowed.into_iter();
        self.hosts = hosts.map(|host| host.into().to_lowercase()).collect();
        self
    }

    /// What a start does if there is an instance of the id that it gives. Default:
    /// [`IdReusePolicy::ReplaceTerminal`], as in Durable Functions: one that has ended is replaced, and
    /// its history is gone; 409 for any other.
    ///
    /// A client that sends a start again, because it did not hear whether the first one came through,
    /// may so run it twice; [`IdReusePolicy::Refuse`] and [`IdReusePolicy::UseExisting`] do not. Who may
    /// not purge the instance replaces nothing, and is refused.
    pub fn id_reuse(mut self, policy: IdReusePolicy) -> Self {
        self.id_reuse = policy;
        self
    }

    /// The most instances in a list where a request does not say, 1 to 1,000. Default: 100, as in
    /// Durable Functions.
    pub fn page_size(mut self, instances: usize) -> Self {
        self.page_size = instances.clamp(1, 1000);
        self
    }

    /// Serves these actions only: the routes of all others are not there (404), for whoever asks.
    /// Default: all of them.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # let hub = durable_core::TaskHub::in_memory().await?;
    /// use durable_http::{Actions, HttpApi};
    ///
    /// // Shows how instances stand and what they return, to everybody, and does nothing.
    /// let api = HttpApi::builder(hub.client())
    ///     .serve(Actions::STATUS | Actions::OUTPUT)
    ///     .allow_anonymous(Actions::ALL)
    ///     .build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn serve(mut self, actions: Actions) -> Self {
        self.served = actions;
        self
    }

    /// The most bytes of a history that are shown with a status (`showHistory`); a longer one is
    /// refused with 400. Default: 16 MiB.
    pub fn max_history_size(mut self, bytes: usize) -> Self {
        self.max_history_size = bytes;
        self
    }

    /// The longest that a request may wait for the end of an instance (`timeout`): who asks for more
    /// is answered then. Default: 5 minutes.
    pub fn max_wait_time(mut self, time: Duration) -> Self {
        self.max_wait_time = time;
        self
    }

    /// The most streams of events (`GET instances/{id}/events`) at a time; one more is answered 503 with
    /// `Retry-After`. Default: 1,000.
    pub fn max_event_streams(mut self, streams: usize) -> Self {
        self.max_streams = streams;
        self
    }

    /// After how long a stream of events ends at its next event or moment of silence: then its client
    /// asks again, and it is looked at again whether it may. Default: 1 hour.
    pub fn max_event_stream_time(mut self, time: Duration) -> Self {
        self.max_stream_time = time;
        self
    }

    /// The most bytes a request's body may have. Default: 2 MiB, as the hub's own limit.
    pub fn max_body_size(mut self, bytes: usize) -> Self {
        self.limits.bytes = bytes;
        self
    }

    /// How long a request's body may take to arrive. Default: 30 seconds.
    ///
    /// What is before the body is the server's affair; with hyper, set `header_read_timeout`.
    pub fn max_body_time(mut self, time: Duration) -> Self {
        self.limits.time = time;
        self
    }

    /// When a client should try again that was answered 503: because the hub was closed, because its
    /// store failed, because its disk is nearly full; or 429, because too many events wait for an instance
    /// already. (A hub that has too much to do says itself when.) Sent as `Retry-After` in whole seconds. Default: 10.
    pub fn retry_after(mut self, retry_after: Duration) -> Self {
        self.retry_after = retry_after;
        self
    }

    /// Builds it.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if nobody could use it, or if something is malformed.
    pub fn build(self) -> Result<HttpApi, BuildError> {
        if self.keys.0.is_empty() && self.hook.is_none() && self.anonymous == Actions::NONE {
            return Err(BuildError::NobodyAllowed);
        }
        if self.keys.0.iter().any(|key| key.len() < AdminKeys::MIN_LEN) {
            return Err(BuildError::ShortKey);
        }
        if self.keys.0.iter().any(|key| is_unsendable(key)) {
            return Err(BuildError::UnsendableKey);
        }
        let base_path = BasePath::parse(&self.base_path).ok_or(BuildError::BasePath)?;
        let (base, own) = match self.public_url {
            Some(url) => {
                let url = public_url(&url).ok_or(BuildError::PublicUrl)?;
                let text = url.to_string().trim_end_matches('/').to_owned();
                (Base::Url(text), Own::Url(url))
            }
            None if self.hosts.is_empty() => (Base::Path, Own::Asked),
            None => (Base::Hosts(self.hosts.clone()), Own::Hosts(self.hosts)),
        };
        let rules = Rules {
            signer: Signer::new(self.client.derive_key("durable-http links")),
            keys: AdminKeys::new(self.client.derive_key("durable-http keys"), &self.keys.0),
            anonymous: self.anonymous,
            hook: self.hook,
            link_ttl: self.link_ttl,
        };
        Ok(HttpApi::new(Inner {
            client: self.client,
            rules,
            base,
            base_path,
            own,
            limits: self.limits,
            retry_after: self.retry_after,
            id_reuse: self.id_reuse,
            page_size: self.page_size,
            max_history_size: self.max_history_size,
            max_wait_time: self.max_wait_time,
            served: self.served,
            streams: Arc::new(Semaphore::new(self.max_streams.min(Semaphore::MAX_PERMITS))),
            max_stream_time: self.max_stream_time,
        }))
    }
}

/// A key that could never match: header values are trimmed on their way, and what begins as a link
/// is taken for one.
fn is_unsendable(key: &[u8]) -> bool {
    key.trim_ascii() != key
        || http::HeaderValue::from_bytes(key).is_err()
        || key.starts_with(b"dl1.")
}

fn public_url(url: &str) -> Option<Uri> {
    let parsed: Uri = url.parse().ok()?;
    let web = [Some(&Scheme::HTTP), Some(&Scheme::HTTPS)].contains(&parsed.scheme());
    let plain = parsed.query().is_none() && !parsed.authority()?.as_str().contains('@');
    (web && plain && legal(url) == url).then_some(parsed)
}

/// Whether a path can be in a URL as it is.
pub(crate) fn is_path(path: &str) -> bool {
    path.starts_with('/')
        && legal(path) == path
        && path
            .parse::<PathAndQuery>()
            .is_ok_and(|parsed| parsed.query().is_none() && parsed.path() == path)
}

/// The keys, while they are collected.
struct Keys(Vec<Vec<u8>>);

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

/// Why an [`HttpApi`] was not built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Every request would be refused: give an admin key, a hook or anonymous actions.
    #[error("nobody could use this: call `admin_key`, `authorize` or `allow_anonymous`")]
    NobodyAllowed,
    /// An admin key is too short to be safe: make one of random bytes.
    #[error("an admin key has at least 16 bytes")]
    ShortKey,
    /// An admin key cannot be sent in a header as it is, or looks like a link.
    #[error("an admin key is made of visible characters and does not begin with `dl1.`")]
    UnsendableKey,
    /// The base path is not a path that a URL can have.
    #[error("the base path is not a path of a URL, as in `/manage/orders`")]
    BasePath,
    /// The public URL cannot begin a link.
    #[error("the public URL is not of the form `https://host` or `https://host/path`")]
    PublicUrl,
}
