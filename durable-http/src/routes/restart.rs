//! `POST instances/{id}/restart`: starts what was started once more, as another instance or, with
//! `restartWithNewInstanceId=false`, in its place.

use durable_core::RestartError;
use http::Response;

use super::exchange::Exchange;
use super::{start, wait};
use crate::error::ApiError;
use crate::response::ResponseBody;

pub(super) async fn restart(
    exchange: Exchange<'_>,
    id: &str,
) -> Result<Response<ResponseBody>, ApiError> {
    let timeout = wait::timeout(&exchange)?;
    exchange.check_link(id).await?;
    let new = exchange.query.flag("restartwithnewinstanceid");
    let mut restart = exchange.api.client().restart(id);
    if new.unwrap_or(true) {
        restart = restart.new_id();
    }
    let id = restart.await?;
    start::started(exchange, &id, timeout).await
}

/// The original's words; unlike for all other routes it is a 400.
fn no_instance() -> ApiError {
    let message = "InstanceId does not match a valid orchestration instance.";
    ApiError::BadRequest(message.to_owned())
}

impl From<RestartError> for ApiError {
    fn from(error: RestartError) -> Self {
        match error {
            RestartError::NotEnded { .. } | RestartError::AlreadyExists { .. } => {
                Self::Conflict(error.to_string())
            }
            RestartError::Start(error) => error.into(),
            RestartError::Hub(error) => error.into(),
            RestartError::InvalidId(_) | RestartError::NotFound { .. } | _ => no_instance(),
        }
    }
}
