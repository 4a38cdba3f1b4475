//! Watching one instance.

use std::sync::Arc;

use super::client::Client;
use super::error::HubError;
use super::status::OrchestrationStatus;
use crate::engine::{Command, Snapshot};
use crate::id::InstanceId;
use crate::store::StatusDetail;

/// News of one instance; see [`Client::watch`].
///
/// Each [`next`](Self::next) asks the hub once, and is answered when there is news: nothing gathers while
/// nobody asks, and nothing is left of one that is dropped.
#[derive(Debug)]
pub struct InstanceWatch {
    client: Client,
    /// `None` once nothing can follow.
    id: Option<InstanceId>,
    seen: Option<Arc<Snapshot>>,
}

impl InstanceWatch {
    pub(super) fn new(client: Client, id: Option<InstanceId>) -> Self {
        Self {
            client,
            id,
            seen: None,
        }
    }

    /// What is shown of the instance: at first as it is, and then as soon as there is news. `None` after
    /// its end, if there is no such instance (any more), or if its id stands for another one by now.
    ///
    /// Dropping the future loses nothing: what it would have returned is what the next one returns, or
    /// something newer.
    ///
    /// # Errors
    ///
    /// If the hub failed, or was closed.
    pub async fn next(&mut self) -> Result<Option<OrchestrationStatus>, HubError> {
        let Some(id) = self.id.clone() else {
            return Ok(None);
        };
        let seen = self.seen.clone();
        let status = self.client.read(Command::Watch { id, seen }).await?;
        let number = self.seen.as_ref().map(|seen| seen.header.number);
        let is_same = |status: &OrchestrationStatus| {
            number.is_none_or(|number| number == status.snapshot().header.number)
        };
        let status = status.filter(is_same);
        match &status {
            Some(status) if !status.runtime_status().is_terminal() => {
                // All that news is looked for in.
                let shown = StatusDetail::NONE.progress(true);
                self.seen = Some(Arc::new(status.snapshot().clone().only(shown)));
            }
            Some(_) | None => self.id = None,
        }
        Ok(status)
    }
}
