//! `GET instances/{id}`: what is known of an instance.

use std::time::Duration;

use durable_core::{OrchestrationStatus, RuntimeStatus, StatusDetail};
use http::{Response, StatusCode};

use super::exchange::Exchange;
use super::wait;
use crate::auth::{Action, Caller};
use crate::error::ApiError;
use crate::history::{self, Payloads, Row};
use crate::links::{Grant, InstanceLinks, with_query};
use crate::models::{Shown, StatusObject};
use crate::response::{ResponseBody, code_of, json, look_again};

pub(super) async fn status(
    exchange: Exchange<'_>,
    id: &str,
) -> Result<Response<ResponseBody>, ApiError> {
    let input = exchange.query.flag("showinput").unwrap_or(true)
        && exchange.may(Action::Input, Some(id)).await;
    let output = exchange.may(Action::Output, Some(id)).await;
    let detail = StatusDetail::ALL.input(input).output(output);
    let mut status = exchange.find_with(id, detail).await?;
    if let Some(timeout) = wait::timeout(&exchange)?
        && !status.runtime_status().is_terminal()
        && wait::end_of(&exchange, status.instance_id(), timeout)
            .await
            .is_some()
    {
        status = exchange.find_with(id, detail).await?;
    }
    let has_history = status.problem().is_some() || status.progress().next().is_some();
    let asked = exchange.query.flag("showhistory") == Some(true);
    let may_history = (has_history || asked) && exchange.may(Action::History, Some(id)).await;
    let events = if asked && may_history {
        events(&exchange, &status, input, output).await?
    } else {
        None
    };
    let shown = Shown {
        input,
        output,
        history: may_history,
    };
    let code = code_of(&status, failure_is_an_error(&exchange));
    let mut response = json(
        code,
        &StatusObject::new(&status, shown).with_history(events),
    );
    if code == StatusCode::ACCEPTED {
        let location = location(&exchange, &status);
        look_again(&mut response, &location, Duration::from_secs(5));
    }
    Ok(response)
}

/// Whether a client that understands only status codes is to be told of a failure by them.
pub(super) fn failure_is_an_error(exchange: &Exchange<'_>) -> bool {
    exchange.query.flag("returninternalservererroronfailure") == Some(true)
}

/// What has happened in it; one that is Pending has no history.
async fn events(
    exchange: &Exchange<'_>,
    status: &OrchestrationStatus,
    input: bool,
    output: bool,
) -> Result<Option<Vec<Row>>, ApiError> {
    /// How often one that continues as new meanwhile is read again.
    const ATTEMPTS: usize = 5;
    if status.runtime_status() == RuntimeStatus::Pending {
        return Ok(None);
    }
    let id = status.instance_id();
    let payloads = Payloads {
        input,
        output: output && exchange.query.flag("showhistoryoutput") == Some(true),
    };
    let limit = exchange.api.inner().max_history_size;
    let mut read = Err(ApiError::Superseded);
    for _ in 0..ATTEMPTS {
        read = history::read(exchange.api.client().history(id), payloads, limit).await;
        if !matches!(read, Err(ApiError::Superseded)) {
            break;
        }
    }
    let rows = read?;
    // The id may stand for another instance by now, of which this caller may know nothing.
    let now = exchange.find(id.as_str()).await?;
    if now.incarnation() != status.incarnation() {
        return Err(ApiError::NotFound);
    }
    Ok(Some(rows))
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
