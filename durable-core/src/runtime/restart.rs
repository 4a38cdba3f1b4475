//! Starting once more what was started before.

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use super::client::{Client, unexpected};
use super::error::RestartError;
use super::start::Start;
use crate::engine::Response;
use crate::id::{InstanceId, InvalidInstanceId};
use crate::store::StatusDetail;

impl Client {
    /// Starts the orchestrator of an instance once more, with its name, version, input and tags.
    /// The returned builder is awaited.
    ///
    /// Under its own id the new instance [replaces](crate::IdReusePolicy::ReplaceTerminal) the old one,
    /// which must have ended; [with another](RestartOrchestration::id) the old one, whatever it is doing,
    /// stays. The input is that of its last execution, if it has continued as new. A child that is
    /// started again has no parent.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// use durable_core::{OrchestrationContext, TaskHub, orchestrator};
    ///
    /// #[orchestrator]
    /// async fn double(_ctx: OrchestrationContext, n: u64) -> u64 {
    ///     n * 2
    /// }
    ///
    /// let hub = TaskHub::in_memory().await?;
    /// let _worker = hub.worker().register::<double>().start().await?;
    /// let client = hub.client();
    /// let first = client.start_orchestration::<double>(21).id("d-1").await?;
    /// first.wait_for_completion().await?;
    ///
    /// client.restart("d-1").await?;
    /// assert_eq!(first.wait_for_completion().await?, 42);
    /// let other = client.restart("d-1").new_id().await?;
    /// assert_ne!(&other, first.id());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn restart(
        &self,
        id: impl TryInto<InstanceId, Error: Into<InvalidInstanceId>>,
    ) -> RestartOrchestration {
        RestartOrchestration {
            client: self.clone(),
            of: id.try_into().map_err(Into::into),
            new: New::Same,
            version: None,
        }
    }
}

/// An orchestration about to be started once more: await it, and get the id of the new instance.
///
/// # Errors
///
/// [`RestartError`] if there is no such instance, if it has not ended and the new one is to have its id,
/// or if the new one cannot be started.
#[must_use = "nothing is started until this is awaited"]
#[derive(Debug)]
pub struct RestartOrchestration {
    client: Client,
    of: Result<InstanceId, InvalidInstanceId>,
    new: New,
    version: Option<String>,
}

/// The id of the new instance.
#[derive(Debug)]
enum New {
    Same,
    Generated,
    Given(Result<InstanceId, InvalidInstanceId>),
}

impl RestartOrchestration {
    /// The new instance's id; the one that is there stays. Default: the same id.
    pub fn id(mut self, id: impl TryInto<InstanceId, Error: Into<InvalidInstanceId>>) -> Self {
        self.new = New::Given(id.try_into().map_err(Into::into));
        self
    }

    /// The new instance gets a new id, made of a UUID; the one that is there stays. Default: the same id.
    pub fn new_id(mut self) -> Self {
        self.new = New::Generated;
        self
    }

    /// The new instance's version. Default: that of the one that is there.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    async fn restart(self) -> Result<InstanceId, RestartError> {
        let Self {
            client,
            of,
            new,
            version,
        } = self;
        let of = of?;
        loop {
            let there = client.status_with(&of, StatusDetail::NONE.input(true));
            let there = there.await?;
            let there = there.ok_or_else(|| RestartError::NotFound { id: of.clone() })?;
            let header = &there.snapshot().header;
            let (replaced, id) = match &new {
                New::Same if !header.status.is_terminal() => {
                    let status = header.status;
                    return Err(RestartError::NotEnded { id: of, status });
                }
                New::Same => (Some(header.number), Some(Ok(of.clone()))),
                New::Generated => (None, None),
                New::Given(id) => (None, Some(id.clone())),
            };
            let input = there.snapshot().input.clone();
            let input = input.ok_or_else(|| unexpected(&Response::NotFound))?;
            let version = version.as_ref().unwrap_or(&header.version).clone();
            let start = Start::new(&client, header.name.clone(), version, Ok(input));
            let start = start.anew(id, header.tags.clone());
            match start.start_instead_of(replaced).await? {
                Ok(id) => return Ok(id),
                Err(Response::NotFound) => return Err(RestartError::NotFound { id: of }),
                // Meanwhile another has taken its place, or it was rewound.
                Err(Response::AlreadyExists(_)) => {}
                Err(other) => return Err(unexpected(&other).into()),
            }
        }
    }
}

impl IntoFuture for RestartOrchestration {
    type Output = Result<InstanceId, RestartError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.restart())
    }
}
