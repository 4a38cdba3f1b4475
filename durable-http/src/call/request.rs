//! What is asked.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use durable_core::RetryPolicy;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method};
use serde::{Deserialize, Serialize};

use super::error::HttpCallError;
use super::fields::Fields;
use super::retry::RetryOptions;
use super::timespan;
use crate::outbound::outgoing::{self, Outgoing};
use crate::outbound::pattern;

/// A request that an orchestrator makes with [`call_http`](crate::CallHttp::call_http).
///
/// It is recorded in the instance's history as it stands here. So a secret does not belong into it: that
/// is what [`token_source`](Self::token_source) is for. Its `Debug` shows neither the query, nor the
/// values of headers, nor the content.
///
/// Nothing is checked before it is sent: what breaks a rule is an
/// [`HttpCallError::Invalid`](crate::HttpCallError::Invalid) then.
///
/// ```
/// use std::time::Duration;
/// use durable_core::RetryPolicy;
/// use durable_http::HttpRequest;
///
/// let request = HttpRequest::put("https://api.example/orders/42")
///     .header("if-match", "\"7\"")
///     .json(&serde_json::json!({ "paid": true }))?
///     .token_source("orders", "https://api.example")
///     .timeout(Duration::from_secs(20))
///     .retry(RetryPolicy::exponential(5, Duration::from_secs(2)))
///     .retry_statuses([429, 503]);
///
/// // With serde it has the field names of Durable Functions.
/// let written = serde_json::to_value(&request)?;
/// assert_eq!(written["uri"], "https://api.example/orders/42");
/// assert_eq!(written["retryOptions"]["statusCodesToRetry"][0], 429);
/// assert_eq!(serde_json::from_value::<HttpRequest>(written)?, request);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRequest {
    method: String,
    pub(super) uri: String,
    #[serde(default, skip_serializing_if = "Fields::is_empty")]
    headers: Fields,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) token_source: Option<TokenName>,
    #[serde(default = "yes")]
    pub(super) asynchronous_pattern_enabled: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) retry_options: Option<RetryOptions>,
    #[serde(default, with = "timespan", skip_serializing_if = "Option::is_none")]
    pub(super) timeout: Option<Duration>,
}

/// Which token is to be sent: the name of a source, and what the token is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct TokenName {
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) resource: String,
}

fn yes() -> bool {
    true
}

impl HttpRequest {
    /// A request with any method, such as `OPTIONS`. Default: no headers, no content, polling.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            uri: url.into(),
            headers: Fields::default(),
            content: None,
            token_source: None,
            asynchronous_pattern_enabled: true,
            retry_options: None,
            timeout: None,
        }
    }

    /// GET. The URL is absolute, of http or https, and without a user's name.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// HEAD.
    pub fn head(url: impl Into<String>) -> Self {
        Self::new("HEAD", url)
    }

    /// POST.
    pub fn post(url: impl Into<String>) -> Self {
        Self::new("POST", url)
    }

    /// PUT.
    pub fn put(url: impl Into<String>) -> Self {
        Self::new("PUT", url)
    }

    /// PATCH.
    pub fn patch(url: impl Into<String>) -> Self {
        Self::new("PATCH", url)
    }

    /// DELETE.
    pub fn delete(url: impl Into<String>) -> Self {
        Self::new("DELETE", url)
    }

    /// Adds a header; one that is there already gets a further value. Those that belong to the
    /// connection (`Host`, `Content-Length`, `Transfer-Encoding`, ..) cannot be sent, and no more than 100 can.
    #[must_use]
    pub fn header(mut self, name: impl AsRef<str>, value: impl Into<String>) -> Self {
        self.headers.add(name.as_ref(), value.into());
        self
    }

    /// The content, a text. It is sent as UTF-8 and, unless there is a `Content-Type`, as `text/plain`.
    /// A GET or HEAD has none, and it is not in several parts.
    #[must_use]
    pub fn content(mut self, text: impl Into<String>) -> Self {
        self.content = Some(text.into());
        self
    }

    /// The content as JSON, with the `Content-Type` for it unless there is one.
    ///
    /// # Errors
    ///
    /// What serde says if it cannot be written as JSON.
    pub fn json<T: Serialize + ?Sized>(self, content: &T) -> Result<Self, serde_json::Error> {
        let request = self.content(serde_json::to_string(content)?);
        Ok(match request.headers.get(CONTENT_TYPE.as_str()) {
            Some(_) => request,
            None => request.header(CONTENT_TYPE, "application/json"),
        })
    }

    /// Sends a bearer token of the source that the worker has under this name
    /// ([`HttpCalls::token_source`](crate::HttpCalls::token_source)), for a resource or scope as that
    /// source knows it. It takes the place of an `Authorization` header, and goes to the origin of this
    /// URL only. Default: none.
    #[must_use]
    pub fn token_source(mut self, name: impl Into<String>, resource: impl Into<String>) -> Self {
        self.token_source = Some(TokenName {
            kind: name.into(),
            resource: resource.into(),
        });
        self
    }

    /// How long one request may take, with its redirects and the whole answer; each poll has as long.
    /// Default: 100 seconds.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Tries again as `policy` says after a status of the [list](Self::retry_statuses), a time-out, and
    /// when there is no answer. A poll that is tried again goes on as a poll. At the last attempt the
    /// status is an [`HttpCallError::Status`](crate::HttpCallError::Status). Default: whatever the status
    /// is, it is the answer; no answer is an error at once, of a poll after ten more at the
    /// [worker's interval](crate::HttpCalls::poll_interval).
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry_options.get_or_insert_default().policy = Some(policy);
        self
    }

    /// Which statuses are tried again, as the [policy](Self::retry) says. Default, and if there are
    /// none: all from 400.
    #[must_use]
    pub fn retry_statuses(mut self, statuses: impl IntoIterator<Item = u16>) -> Self {
        self.retry_options.get_or_insert_default().statuses = statuses.into_iter().collect();
        self
    }

    /// Whether a 202 is [followed](crate::CallHttp#waiting-for-a-202). Default: true.
    #[must_use]
    pub fn polling(mut self, polling: bool) -> Self {
        self.asynchronous_pattern_enabled = polling;
        self
    }

    /// The URL as it was given.
    pub fn url(&self) -> &str {
        &self.uri
    }

    /// The method as it was given.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The first value of a header, its name in any letter case.
    pub fn header_value(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// The content, if there is one.
    pub fn content_text(&self) -> Option<&str> {
        self.content.as_deref()
    }

    /// Looks whether it can be sent.
    pub(super) fn prepare(&self) -> Result<Outgoing, HttpCallError> {
        self.checked().map_err(HttpCallError::Invalid)
    }

    fn checked(&self) -> Result<Outgoing, String> {
        let method = self.method.to_ascii_uppercase();
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| "the method")?;
        if method == Method::CONNECT {
            return Err("CONNECT is for proxies".to_owned());
        }
        let url = pattern::absolute(&self.uri).map_err(|error| format!("the URL: {error}"))?;
        let mut headers = self.headers.to_headers()?;
        if let Some(name) = outgoing::of_the_connection(&headers) {
            return Err(format!("the header `{name}` belongs to the connection"));
        }
        let Some(content) = &self.content else {
            return Ok(Outgoing {
                method,
                url,
                headers,
                body: Bytes::new(),
            });
        };
        if method == Method::GET || method == Method::HEAD {
            return Err(format!("a {method} has no content"));
        }
        let kind = headers
            .entry(CONTENT_TYPE)
            .or_insert(HeaderValue::from_static("text/plain; charset=utf-8"));
        if kind
            .as_bytes()
            .to_ascii_lowercase()
            .starts_with(b"multipart/")
        {
            return Err("content in several parts".to_owned());
        }
        let body = content.clone().into();
        Ok(Outgoing {
            method,
            url,
            headers,
            body,
        })
    }
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.uri.split(['?', '#']).next().unwrap_or_default();
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("HttpRequest")
            .field("method", &self.method)
            .field("url", &url)
            .field("headers", &names)
            .field("content", &self.content.as_ref().map(String::len))
            .field("token_source", &self.token_source)
            .finish_non_exhaustive()
    }
}
