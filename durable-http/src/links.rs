//! Where the links in an answer lead.

use std::fmt::Display;

use durable_core::{InstanceId, OrchestrationStatus};
use http::header::HOST;
use http::request::Parts;
use http::{Response, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use std::time::Duration;

use crate::auth::{Actions, Claims, Signer};
use crate::models::CheckStatus;
use crate::response::{ResponseBody, json, look_again};

/// What URLs begin with.
#[derive(Clone, Debug)]
pub(crate) enum Base {
    /// With this, without a slash at its end.
    Url(String),
    /// With the host that was asked, if it is one of these (in lower case); else with the path.
    Hosts(Vec<String>),
    /// With the path.
    Path,
}

impl Base {
    /// What URLs in an answer to this request begin with, up to the path. Nothing of the request
    /// is in it but one of the names that were allowed.
    pub(crate) fn of(&self, parts: Option<&Parts>) -> String {
        match (self, parts) {
            (Self::Url(url), _) => url.clone(),
            (Self::Hosts(hosts), Some(parts)) => from_host(hosts, parts).unwrap_or_default(),
            (Self::Hosts(_), None) | (Self::Path, _) => String::new(),
        }
    }
}

fn from_host(allowed: &[String], parts: &Parts) -> Option<String> {
    let header = |name: &str| {
        let mut values = parts.headers.get_all(name).iter();
        let value = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(value)
    };
    let forwarded = header("x-forwarded-host").zip(header("x-forwarded-proto"));
    let scheme = parts.uri.scheme_str().unwrap_or("http");
    let (host, scheme) = forwarded.or(header(HOST.as_str()).map(|host| (host, scheme)))?;
    let host = allowed.iter().find(|own| own.eq_ignore_ascii_case(host))?;
    let scheme = if scheme == "https" { "https" } else { "http" };
    Some(format!("{scheme}://{host}"))
}

/// What may stand for itself in a segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What cannot stand in a URL at all.
const ILLEGAL: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A text, for example an instance id, as one segment of a URL's path.
///
/// ```
/// use durable_http::path_segment;
///
/// let location = format!("/api/orders/{}", path_segment("2026/11 é"));
/// assert_eq!(location, "/api/orders/2026%2F11%20%C3%A9");
/// ```
pub fn path_segment(text: &str) -> impl Display + '_ {
    utf8_percent_encode(text, SEGMENT)
}

/// A URL with what cannot stand in one encoded; what is encoded already stays so.
pub(crate) fn legal(url: &str) -> String {
    utf8_percent_encode(url, ILLEGAL).to_string()
}

/// `path?query`, or the path alone.
pub(crate) fn with_query(path: &str, query: &[&str]) -> String {
    let query: Vec<&str> = query
        .iter()
        .copied()
        .filter(|part| !part.is_empty())
        .collect();
    if query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", query.join("&"))
    }
}

/// What an instance's links permit.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Grant<'a> {
    /// Nothing by themselves: whoever follows them is judged by the other rules.
    Plain,
    /// Each what it is for, on one incarnation.
    Signed(&'a Signer, u64),
}

/// How links are handed out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinkOptions {
    /// When to look for the status first.
    pub(crate) retry_after: Duration,
    /// Whether the status answers 500 if the instance has failed.
    pub(crate) failure_is_an_error: bool,
}

impl Default for LinkOptions {
    fn default() -> Self {
        Self {
            retry_after: Duration::from_secs(10),
            failure_is_an_error: false,
        }
    }
}

/// The links of one instance.
#[derive(Debug)]
pub(crate) struct InstanceLinks<'a> {
    /// The URL of the instance's status.
    pub(crate) url: String,
    pub(crate) id: &'a InstanceId,
    pub(crate) grant: Grant<'a>,
}

impl<'a> InstanceLinks<'a> {
    /// Links under `root`, the URL of the management API.
    pub(crate) fn new(root: &str, id: &'a InstanceId, grant: Grant<'a>) -> Self {
        let url = format!("{root}/instances/{}", path_segment(id.as_str()));
        Self { url, id, grant }
    }

    /// The link that shows status and output and nothing else.
    pub(crate) fn status(&self) -> String {
        self.status_with("")
    }

    /// The same, with more in its query.
    pub(crate) fn status_with(&self, query: &str) -> String {
        let code = self.code(Actions::STATUS | Actions::OUTPUT);
        with_query(&self.url, &[query, &code])
    }

    /// 202 with all that can be done to the instance, each by a link for that alone.
    pub(crate) fn check_status_response(&self, options: LinkOptions) -> Response<ResponseBody> {
        let query = if options.failure_is_an_error {
            "returnInternalServerErrorOnFailure=true"
        } else {
            ""
        };
        let status = self.status_with(query);
        let mut response = json(StatusCode::ACCEPTED, &self.check_status(status.clone()));
        look_again(&mut response, &status, options.retry_after);
        response
    }

    fn check_status(&self, status_query_get_uri: String) -> CheckStatus<'_> {
        const REASON: &str = "reason={text}";
        CheckStatus {
            id: self.id.as_str(),
            status_query_get_uri,
            send_event_post_uri: self.link("/raiseEvent/{eventName}", "", Actions::RAISE),
            terminate_post_uri: self.link("/terminate", REASON, Actions::TERMINATE),
            purge_history_delete_uri: self.link("", "", Actions::PURGE),
            restart_post_uri: self.link("/restart", "", Actions::RESTART),
            suspend_post_uri: self.link("/suspend", REASON, Actions::SUSPEND),
            resume_post_uri: self.link("/resume", REASON, Actions::RESUME),
            rewind_post_uri: self.link("/rewind", REASON, Actions::REWIND),
        }
    }

    fn link(&self, path: &str, query: &str, actions: Actions) -> String {
        let url = format!("{}{path}", self.url);
        with_query(&url, &[query, &self.code(actions)])
    }

    fn code(&self, actions: Actions) -> String {
        match self.grant {
            Grant::Plain => String::new(),
            Grant::Signed(signer, incarnation) => {
                let instance = self.id.clone();
                let claims = Claims::new(instance, incarnation, actions);
                format!("code={}", signer.sign(&claims))
            }
        }
    }
}

impl<'a> Grant<'a> {
    /// Links to hand to somebody who is trusted with this instance.
    pub(crate) fn signed(signer: &'a Signer, status: &OrchestrationStatus) -> Self {
        Self::Signed(signer, status.incarnation())
    }
}
