//! The routing table, and what each route does in a file of its own.

mod path;
mod start;
mod status;
mod steer;

use http::request::Parts;
use http::{Method, Response};

pub(crate) use path::BasePath;

use crate::api::HttpApi;
use crate::auth::{Action, Caller, Subject, origin};
use crate::body::RequestBody;
use crate::error::ApiError;
use crate::query::Query;
use crate::response::ResponseBody;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Route {
    Start { name: String, id: Option<String> },
    Status { id: String },
    Raise { id: String, event: String },
    Terminate { id: String },
}

impl Route {
    /// The routing table. What is not in it, a wrong method included, is 404.
    fn find(method: &Method, segments: &[String]) -> Option<Self> {
        let lower: Vec<String> = segments.iter().map(|text| text.to_lowercase()).collect();
        let words: Vec<&str> = lower.iter().map(String::as_str).collect();
        let segment = |at: usize| segments[at].clone();
        Some(match (method.as_str(), words.as_slice()) {
            ("POST", ["orchestrators", _]) => Self::Start {
                name: segment(1),
                id: None,
            },
            ("POST", ["orchestrators", _, _]) => Self::Start {
                name: segment(1),
                id: Some(segment(2)),
            },
            ("GET" | "HEAD", ["instances", _]) => Self::Status { id: segment(1) },
            ("POST", ["instances", _, "raiseevent", _]) => Self::Raise {
                id: segment(1),
                event: segment(3),
            },
            ("POST", ["instances", _, "terminate"]) => Self::Terminate { id: segment(1) },
            // Not served yet: GET and DELETE instances (list, purge by filter), DELETE
            // instances/{id} (purge), POST instances/{id}/suspend, resume, rewind and restart,
            // and all of entities.
            _ => return None,
        })
    }

    fn action(&self) -> Action {
        match self {
            Self::Start { .. } => Action::Start,
            Self::Status { .. } => Action::Status,
            Self::Raise { .. } => Action::Raise,
            Self::Terminate { .. } => Action::Terminate,
        }
    }

    fn instance(&self) -> Option<&str> {
        match self {
            Self::Start { id, .. } => id.as_deref(),
            Self::Status { id } | Self::Raise { id, .. } | Self::Terminate { id } => Some(id),
        }
    }

    fn orchestrator(&self) -> Option<&str> {
        match self {
            Self::Start { name, .. } => Some(name),
            Self::Status { .. } | Self::Raise { .. } | Self::Terminate { .. } => None,
        }
    }
}

/// A request on its way through a route.
#[derive(Debug)]
struct Exchange<'a> {
    api: &'a HttpApi,
    parts: &'a Parts,
    query: &'a Query,
    caller: &'a Caller,
}

/// Whether a path is under the base path, so that nobody else should answer it.
pub(crate) fn is_under_base(api: &HttpApi, path: &str) -> bool {
    api.inner().base_path.strip(&path::split(path)).is_some()
}

/// Answers a request whose path has the base path or is without it.
pub(crate) async fn answer(
    api: &HttpApi,
    parts: &Parts,
    body: RequestBody,
) -> Result<Response<ResponseBody>, ApiError> {
    let segments = path::split(parts.uri.path());
    let rest = api.inner().base_path.strip(&segments).unwrap_or(&segments);
    let decoded: Option<Vec<String>> = rest.iter().map(|segment| path::decode(segment)).collect();
    let Some(decoded) = decoded else {
        return Err(ApiError::BadRequest(
            "the path is not encoded well".to_owned(),
        ));
    };
    let route = Route::find(&parts.method, &decoded).ok_or(ApiError::NotFound)?;
    let reading = matches!(parts.method, Method::GET | Method::HEAD);
    if !reading && origin::is_foreign(parts, &api.inner().own) {
        return Err(ApiError::Forbidden(
            "requests from other sites are not allowed",
        ));
    }
    let query = Query::parse(parts.uri.query());
    let rules = &api.inner().rules;
    let caller = rules.identify(parts, &query)?;
    let subject = Subject {
        parts,
        instance: route.instance(),
        orchestrator: route.orchestrator(),
    };
    rules.check(&caller, route.action(), subject).await?;
    let exchange = Exchange {
        api,
        parts,
        query: &query,
        caller: &caller,
    };
    match route {
        Route::Start { name, id } => start::start(exchange, name, id, body).await,
        Route::Status { id } => status::status(exchange, &id).await,
        Route::Raise { id, event } => steer::raise(exchange, &id, &event, body).await,
        Route::Terminate { id } => steer::terminate(exchange, &id).await,
    }
}

impl Exchange<'_> {
    /// The instance's status, if the caller may know of it.
    async fn find(&self, id: &str) -> Result<durable_core::OrchestrationStatus, ApiError> {
        let status = self.api.client().status(id).await?;
        let status = status.ok_or(ApiError::NotFound)?;
        self.api.inner().rules.check_found(self.caller, &status)?;
        Ok(status)
    }

    /// Whether the caller may do something more to the instance.
    async fn may(&self, action: Action, id: &str) -> bool {
        let subject = Subject {
            parts: self.parts,
            instance: Some(id),
            orchestrator: None,
        };
        let rules = &self.api.inner().rules;
        rules.check(self.caller, action, subject).await.is_ok()
    }
}
