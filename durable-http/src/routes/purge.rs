//! `DELETE instances/{id}` and `DELETE instances`: forgets what has ended.

use http::{Response, StatusCode};

use super::exchange::Exchange;
use super::filter;
use crate::error::ApiError;
use crate::models::Purged;
use crate::response::{ResponseBody, json};

pub(super) async fn one(
    exchange: Exchange<'_>,
    id: &str,
) -> Result<Response<ResponseBody>, ApiError> {
    exchange.check_link(id).await?;
    exchange.api.client().purge(id).await?;
    Ok(purged(1))
}

pub(super) async fn all(exchange: Exchange<'_>) -> Result<Response<ResponseBody>, ApiError> {
    let query = exchange.query;
    if filter::time(query, "createdTimeFrom")?.is_none() {
        return Err(ApiError::BadParameter(
            "Please provide value for 'createdTimeFrom' parameter.",
        ));
    }
    // The original would take a status that is written wrong for none, and purge everything.
    if filter::statuses(query).is_some_and(|statuses| statuses.is_empty()) {
        return Err(ApiError::BadParameter(
            "'runtimeStatus' names no status that there is.",
        ));
    }
    let found = filter::of(query)?;
    match exchange.api.client().purge_all(found).await? {
        0 => Err(ApiError::NotFound),
        instances => Ok(purged(instances)),
    }
}

fn purged(instances: u64) -> Response<ResponseBody> {
    json(StatusCode::OK, &Purged::new(instances))
}
