//! `GET instances/{id}`: what is known of an instance.

use std::time::Duration;

use durable_core::{OrchestrationStatus, RuntimeStatus};
use http::{Response, StatusCode};

use super::exchange::Exchange;
use crate::auth::{Action, Caller};
use crate::error::ApiError;
use crate::links::{Grant, InstanceLinks, with_query};
use crate::models::{Shown, StatusObject};
use crate::response::{ResponseBody, code_of, json, look_again};

pub(super) async fn status(
    exchange: Exchange<'_>,
    id: &str,
) -> Result<Response<ResponseBody>, ApiError> {
    let status = exchange.find(id).await?;
    let has_history = status.problem().is_some() || status.progress().next().is_some();
    let shown = Shown {
        input: exchange.query.flag("showinput").unwrap_or(true)
            && exchange.may(Action::Input, Some(id)).await,
        output: exchange.may(Action::Output, Some(id)).await,
        history: has_history && exchange.may(Action::History, Some(id)).await,
    };
    let code = code(&exchange, &status);
    let mut response = json(code, &StatusObject::new(&status, shown));
    if code == StatusCode::ACCEPTED {
        let location = location(&exchange, &status);
        look_again(&mut response, &location, Duration::from_secs(5));
    }
    Ok(response)
}

fn code(exchange: &Exchange<'_>, status: &OrchestrationStatus) -> StatusCode {
    let failed = status.runtime_status() == RuntimeStatus::Failed;
    let asked = exchange.query.flag("returninternalservererroronfailure");
    if failed && asked == Some(true) {
        StatusCode::INTERNAL_SERVER_ERROR
    } else {
        code_of(status)
    }
}

/// The URL that was asked, but with a link in place of an admin key.
fn location(exchange: &Exchange<'_>, status: &OrchestrationStatus) -> String {
    let (api, parts) = (exchange.api, Some(exchange.parts));
    let query = exchange.query.without_code();
    match exchange.caller {
        Caller::Admin => api.links(parts, status).status_with(&query),
        Caller::Link(_, code) => {
            let links = InstanceLinks::new(&api.root(parts), status.instance_id(), Grant::Plain);
            with_query(&links.url, &[&query, &format!("code={code}")])
        }
        Caller::Other => {
            let links = InstanceLinks::new(&api.root(parts), status.instance_id(), Grant::Plain);
            with_query(&links.url, &[&query])
        }
    }
}
