//! `POST orchestrators/{name}/{id?}`: starts an orchestration with the body as its input.

use std::time::Duration;

use durable_core::{IdReusePolicy, InstanceId, OrchestrationStatus, StatusDetail};
use http::Response;

use super::exchange::Exchange;
use super::status::failure_is_an_error;
use super::wait;
use crate::auth::{Action, Caller};
use crate::body::RequestBody;
use crate::error::ApiError;
use crate::links::{Grant, InstanceLinks, LinkOptions};
use crate::models::Shown;
use crate::response::{ResponseBody, output_or_status};

pub(super) async fn start(
    exchange: Exchange<'_>,
    name: String,
    id: Option<String>,
    body: RequestBody,
) -> Result<Response<ResponseBody>, ApiError> {
    let id = id.map(InstanceId::try_from).transpose();
    let id = id.map_err(|error| ApiError::BadRequest(error.to_string()))?;
    let api = exchange.api;
    let limits = api.inner().limits;
    let input = body.json(&exchange.parts.headers, limits).await?;
    let mut start = api.client().start_by_name(name, input.unwrap_or_default());
    if let Some(id) = &id {
        start = start.id(id);
    }
    if let Some(version) = exchange.query.get("version") {
        start = start.version(version);
    }
    let timeout = wait::timeout(&exchange)?;
    let policy = id_reuse(&exchange, id.as_ref()).await;
    let id = start.id_reuse(policy).await?;
    started(exchange, &id, timeout).await
}

/// What is replaced is purged: who may not do that replaces nothing.
async fn id_reuse(exchange: &Exchange<'_>, id: Option<&InstanceId>) -> IdReusePolicy {
    let policy = exchange.api.inner().id_reuse;
    let replaces = matches!(
        policy,
        IdReusePolicy::ReplaceTerminal | IdReusePolicy::ReplaceAny
    );
    match id {
        Some(id) if replaces && !exchange.may(Action::Purge, Some(id.as_str())).await => {
            IdReusePolicy::Refuse
        }
        _ => policy,
    }
}

/// Answers with how to look for its end, or with that if it comes in time.
pub(super) async fn started(
    exchange: Exchange<'_>,
    id: &InstanceId,
    timeout: Option<Duration>,
) -> Result<Response<ResponseBody>, ApiError> {
    // Before it can be gone, or another one of that id be there.
    let grant = grant(&exchange, id).await?;
    if let Some(timeout) = timeout
        && let Some(status) = wait::end_of(&exchange, id, timeout).await
        && exchange.may(Action::Output, Some(id.as_str())).await
    {
        return Ok(ended(&exchange, &status).await);
    }
    let root = exchange.api.root(Some(exchange.parts));
    Ok(InstanceLinks::new(&root, id, grant).check_status_response(LinkOptions::default()))
}

/// What has ended while its start was answered.
async fn ended(exchange: &Exchange<'_>, status: &OrchestrationStatus) -> Response<ResponseBody> {
    let id = Some(status.instance_id().as_str());
    let shown = Shown {
        input: exchange.may(Action::Input, id).await,
        output: true,
        history: false,
    };
    output_or_status(status, shown, failure_is_an_error(exchange))
}

/// Whoever has an admin key is given signed links, so that the key itself can stay where it is.
async fn grant<'a>(exchange: &Exchange<'a>, id: &InstanceId) -> Result<Grant<'a>, ApiError> {
    if !matches!(exchange.caller, Caller::Admin) {
        return Ok(Grant::Plain);
    }
    let api = exchange.api;
    let status = api.client().status_with(id, StatusDetail::NONE).await?;
    let signer = &api.inner().rules.signer;
    Ok(status.map_or(Grant::Plain, |status| Grant::signed(signer, &status)))
}
