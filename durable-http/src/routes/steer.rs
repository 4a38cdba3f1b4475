//! What is done to an instance that runs: `POST instances/{id}/raiseEvent/{name}`,
//! `POST instances/{id}/terminate`, `suspend`, `resume` and `retry`; and to one that has failed: `rewind`.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response, StatusCode};
use serde_json::value::RawValue;

use super::exchange::Exchange;
use crate::body::RequestBody;
use crate::error::ApiError;
use crate::response::{ResponseBody, empty};

pub(super) async fn raise(
    exchange: Exchange<'_>,
    id: &str,
    event: &str,
    body: RequestBody,
) -> Result<Response<ResponseBody>, ApiError> {
    // Looked at before the body is read.
    let status = exchange.find(id).await?;
    if status.runtime_status().is_terminal() {
        return Err(ApiError::Gone);
    }
    if !is_json(&exchange.parts.headers) {
        let message = "the content type must be application/json";
        return Err(ApiError::BadRequest(message.to_owned()));
    }
    let limits = exchange.api.inner().limits;
    let data = body.json(&exchange.parts.headers, limits).await?;
    let malformed = |what: &str| ApiError::BadRequest(format!("the body: {what}"));
    let data = data.ok_or_else(|| malformed("it is empty"))?;
    let data = RawValue::from_string(data).map_err(|error| malformed(&error.to_string()))?;
    // While its body came another instance may have taken its place.
    exchange.check_link(id).await?;
    exchange.api.client().raise_event(id, event, &data).await?;
    Ok(empty(StatusCode::ACCEPTED))
}

pub(super) async fn terminate(
    exchange: Exchange<'_>,
    id: &str,
) -> Result<Response<ResponseBody>, ApiError> {
    exchange.check_link(id).await?;
    let reason = exchange.query.get("reason").unwrap_or_default();
    exchange.api.client().terminate(id, reason).await?;
    Ok(empty(StatusCode::ACCEPTED))
}

/// One that is suspended already stays so, and is no error.
pub(super) async fn suspend(
    exchange: Exchange<'_>,
    id: &str,
) -> Result<Response<ResponseBody>, ApiError> {
    exchange.check_link(id).await?;
    let reason = exchange.query.get("reason").unwrap_or_default();
    exchange.api.client().suspend(id, reason).await?;
    Ok(empty(StatusCode::ACCEPTED))
}

pub(super) async fn resume(
    exchange: Exchange<'_>,
    id: &str,
) -> Result<Response<ResponseBody>, ApiError> {
    exchange.check_link(id).await?;
    exchange.api.client().resume(id).await?;
    Ok(empty(StatusCode::ACCEPTED))
}

/// Of ours, for one that is stopped by a problem; one that is not is left as it is.
pub(super) async fn retry(
    exchange: Exchange<'_>,
    id: &str,
) -> Result<Response<ResponseBody>, ApiError> {
    exchange.check_link(id).await?;
    exchange.api.client().retry(id).await?;
    Ok(empty(StatusCode::ACCEPTED))
}

/// One that has not failed is not as it must be.
pub(super) async fn rewind(
    exchange: Exchange<'_>,
    id: &str,
) -> Result<Response<ResponseBody>, ApiError> {
    exchange.check_link(id).await?;
    let reason = exchange.query.get("reason").unwrap_or_default();
    exchange.api.client().rewind(id, reason).await?;
    Ok(empty(StatusCode::ACCEPTED))
}

/// `application/json`, with any parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(only), None) = (types.next(), types.next()) else {
        return false;
    };
    let essence = only.as_bytes().split(|&byte| byte == b';').next();
    essence.is_some_and(|essence| {
        essence
            .trim_ascii()
            .eq_ignore_ascii_case(b"application/json")
    })
}
