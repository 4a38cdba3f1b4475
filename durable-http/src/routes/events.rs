//! `GET instances/{id}/events`: the status of an instance, again whenever there is news.

use std::sync::Arc;

use durable_core::StatusDetail;
use http::{Response, StatusCode};

use super::exchange::Exchange;
use crate::clock;
use crate::error::ApiError;
use crate::events::{END, EventStream, News};
use crate::response::{ResponseBody, empty, event_stream};

pub(super) async fn events(
    exchange: Exchange<'_>,
    id: &str,
) -> Result<Response<ResponseBody>, ApiError> {
    let status = exchange.find_with(id, StatusDetail::NONE).await?;
    let seen = exchange.parts.headers.get("last-event-id");
    if status.runtime_status().is_terminal() && seen.is_some_and(|seen| seen == END) {
        // What tells a browser not to come again.
        return Ok(empty(StatusCode::NO_CONTENT));
    }
    let inner = exchange.api.inner();
    let place = Arc::clone(&inner.streams).try_acquire_owned();
    let place = place.map_err(|_| ApiError::Overloaded {
        retry_after: inner.retry_after,
    })?;
    let until = clock::now().checked_add(inner.max_stream_time);
    Ok(event_stream(EventStream::new(News {
        watch: exchange.api.client().watch(status.instance_id()),
        incarnation: status.incarnation(),
        shown: exchange.shown(Some(id)).await,
        until: until.unwrap_or_else(clock::now),
        _place: place,
    })))
}
