//! `GET openapi.json`: what can be asked for.

use http::Response;

use super::exchange::Exchange;
use crate::response::{ResponseBody, json_ok};

/// An `OpenAPI` 3.1 document, but for where this is mounted.
pub(super) const DOCUMENT: &str = include_str!("../openapi.json");

pub(super) fn describe(exchange: &Exchange<'_>) -> Response<ResponseBody> {
    // A base that can be in a URL can be in a JSON text.
    let base = exchange.api.root(Some(exchange.parts));
    json_ok(DOCUMENT.replace("{base}", &base))
}
