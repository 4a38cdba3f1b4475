//! Waiting for the end of an instance while a request is open.

use std::time::Duration;

use durable_core::{InstanceId, OrchestrationStatus};

use super::exchange::Exchange;
use crate::error::ApiError;

/// How long the request asks to wait, no longer than is allowed.
///
/// Clients of the original say how often to look, too. Here the end is pushed; only that they cannot
/// look less often than they wait is kept.
pub(super) fn timeout(exchange: &Exchange<'_>) -> Result<Option<Duration>, ApiError> {
    let seconds = |name| {
        let seconds: f64 = exchange.query.get(name)?.trim().parse().ok()?;
        Duration::try_from_secs_f64(seconds).ok()
    };
    let (timeout, interval) = (seconds("timeout"), seconds("pollinginterval"));
    if timeout
        .zip(interval)
        .is_some_and(|(timeout, interval)| interval > timeout)
    {
        let message = "the pollingInterval must not be longer than the timeout";
        return Err(ApiError::BadRequest(message.to_owned()));
    }
    let longest = exchange.api.inner().max_wait_time;
    Ok(timeout
        .filter(|timeout| !timeout.is_zero())
        .map(|timeout| timeout.min(longest)))
}

/// The status of an instance that ends within that time. `None` also if the hub is closed meanwhile:
/// then whoever waits is told to look again.
pub(super) async fn end_of(
    exchange: &Exchange<'_>,
    id: &InstanceId,
    timeout: Duration,
) -> Option<OrchestrationStatus> {
    let end = exchange.api.client().wait_for_completion(id);
    tokio::time::timeout(timeout, end).await.ok()?.ok()?
}
