//! `POST orchestrators/{name}/{id?}`: starts an orchestration with the body as its input.

use durable_core::InstanceId;
use http::Response;

use super::exchange::Exchange;
use crate::auth::Caller;
use crate::body::RequestBody;
use crate::error::ApiError;
use crate::links::{Grant, InstanceLinks};
use crate::response::ResponseBody;

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
    let id = start.await?;
    links_for(&exchange, &id).await
}

/// Whoever has an admin key is given signed links, so that the key itself can stay where it is.
async fn links_for(
    exchange: &Exchange<'_>,
    id: &InstanceId,
) -> Result<Response<ResponseBody>, ApiError> {
    let (api, parts) = (exchange.api, Some(exchange.parts));
    if matches!(exchange.caller, Caller::Admin)
        && let Some(status) = api.client().status(id).await?
    {
        return Ok(api.links(parts, &status).check_status_response());
    }
    let links = InstanceLinks::new(&api.root(parts), id, Grant::Plain);
    Ok(links.check_status_response())
}
