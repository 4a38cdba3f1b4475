//! What happens to every request before its route does its part, in this order: path, route,
//! origin, credential, permission.

use durable_core::{OrchestrationStatus, StatusDetail};
use http::request::Parts;
use http::{Method, Response};

use super::table::Route;
use super::{describe, events, list, path, purge, restart, start, status, steer};
use crate::api::{HttpApi, Inner};
use crate::auth::{Action, Caller, Subject, is_foreign};
use crate::body::RequestBody;
use crate::error::ApiError;
use crate::models::Shown;
use crate::query::Query;
use crate::response::ResponseBody;

/// A request on its way through a route.
#[derive(Debug)]
pub(super) struct Exchange<'a> {
    pub(super) api: &'a HttpApi,
    pub(super) parts: &'a Parts,
    pub(super) query: &'a Query,
    pub(super) caller: &'a Caller,
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
    let decoded: Option<Vec<_>> = rest.iter().map(|segment| path::decode(segment)).collect();
    let Some(decoded) = decoded else {
        return Err(ApiError::BadRequest(
            "the path is not encoded well".to_owned(),
        ));
    };
    let served = |route: &Route| api.inner().served.contains(route.action());
    let route = Route::find(&parts.method, &decoded).filter(served);
    let route = route.ok_or(ApiError::NotFound)?;
    let reading = matches!(parts.method, Method::GET | Method::HEAD);
    if !reading && is_foreign(parts, &api.inner().own) {
        return Err(ApiError::Forbidden(
            "requests from other sites are not allowed",
        ));
    }
    let rewinds = matches!(route, Route::Rewind { .. });
    match permitted(api, parts, route, body).await {
        // One that is hidden from the caller is answered like one that is not there.
        Err(ApiError::NotFound) if rewinds => Err(ApiError::NoInstance),
        answer => answer,
    }
}

async fn permitted(
    api: &HttpApi,
    parts: &Parts,
    route: Route,
    body: RequestBody,
) -> Result<Response<ResponseBody>, ApiError> {
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
        Route::Suspend { id } => steer::suspend(exchange, &id).await,
        Route::Resume { id } => steer::resume(exchange, &id).await,
        Route::Rewind { id } => steer::rewind(exchange, &id).await,
        Route::Restart { id } => restart::restart(exchange, &id).await,
        Route::Retry { id } => steer::retry(exchange, &id).await,
        Route::List => list::list(exchange).await,
        Route::Purge { id } => purge::one(exchange, &id).await,
        Route::PurgeAll => purge::all(exchange).await,
        Route::Events { id } => events::events(exchange, &id).await,
        Route::Describe => Ok(describe::describe(&exchange)),
    }
}

impl Exchange<'_> {
    /// The instance's status, if the caller may know of it.
    pub(super) async fn find(&self, id: &str) -> Result<OrchestrationStatus, ApiError> {
        self.find_with(id, StatusDetail::NONE).await
    }

    /// The same, with these payloads.
    pub(super) async fn find_with(
        &self,
        id: &str,
        detail: StatusDetail,
    ) -> Result<OrchestrationStatus, ApiError> {
        let status = self.api.client().status_with(id, detail).await?;
        let status = status.ok_or(ApiError::NotFound)?;
        self.api.inner().rules.check_found(self.caller, &status)?;
        Ok(status)
    }

    /// Whether a link is for the instance that there is now. It knows of its own only, whether it is there;
    /// to everybody else what they want done says that.
    pub(super) async fn check_link(&self, id: &str) -> Result<(), ApiError> {
        if matches!(self.caller, Caller::Link(..)) {
            self.find(id).await?;
        }
        Ok(())
    }

    /// What is shown to the caller of an instance, or of all of them.
    pub(super) async fn shown(&self, id: Option<&str>) -> Shown {
        let input = self.query.flag("showinput").unwrap_or(true);
        Shown {
            input: input && self.may(Action::Input, id).await,
            output: self.may(Action::Output, id).await,
            history: self.may(Action::History, id).await,
        }
    }

    /// Whether the caller may do something more to the instance, or to all of them.
    pub(super) async fn may(&self, action: Action, id: Option<&str>) -> bool {
        let subject = Subject {
            parts: self.parts,
            instance: id,
            orchestrator: None,
        };
        let Inner { rules, served, .. } = self.api.inner();
        served.contains(action) && rules.check(self.caller, action, subject).await.is_ok()
    }
}
