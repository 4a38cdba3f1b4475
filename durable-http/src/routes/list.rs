//! `GET instances`: which instances there are, page by page.

use durable_core::{InstancePage, OrchestrationStatus, PageToken};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::exchange::Exchange;
use super::filter;
use crate::error::ApiError;
use crate::models::{Shown, StatusObject};
use crate::response::{ResponseBody, json};

/// Where a client says, and is told, where a page begins.
const TOKEN: &str = "x-ms-continuation-token";
/// A client that asks for longer pages gets these; only the token says whether there is more.
const MAX_TOP: usize = 1000;

pub(super) async fn list(exchange: Exchange<'_>) -> Result<Response<ResponseBody>, ApiError> {
    let mut query = filter::of(exchange.query)?;
    if let Some(token) = token(&exchange.parts.headers) {
        query = query.after(token);
    }
    let shown = exchange.shown(None).await;
    let page = exchange.api.client().query(
        query
            .page_size(page_size(&exchange))
            .payloads(shown.input || shown.output),
    );
    answer(page.await?, shown)
}

fn answer(page: InstancePage, shown: Shown) -> Result<Response<ResponseBody>, ApiError> {
    for id in &page.unreadable {
        tracing::error!(instance = %id, "its records are damaged, and it is not listed");
    }
    let objects = page
        .instances
        .iter()
        .map(|status: &OrchestrationStatus| StatusObject::new(status, shown));
    let objects: Vec<_> = objects.collect();
    let mut response = json(StatusCode::OK, &objects);
    if let Some(next) = page.next {
        let token = HeaderValue::from_str(next.as_str());
        let token = token.map_err(|error| ApiError::Internal(error.to_string()))?;
        response.headers_mut().insert(TOKEN, token);
    }
    Ok(response)
}

/// What cannot be a token is one of nobody's query.
fn token(headers: &HeaderMap) -> Option<PageToken> {
    let token = headers.get(TOKEN)?.to_str().unwrap_or("?").trim();
    (!token.is_empty()).then(|| PageToken::from(token))
}

fn page_size(exchange: &Exchange<'_>) -> usize {
    let top = exchange
        .query
        .get("top")
        .and_then(|top| top.trim().parse().ok());
    top.filter(|top| *top > 0)
        .unwrap_or(exchange.api.inner().page_size)
        .min(MAX_TOP)
}
