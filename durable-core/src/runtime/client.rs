//! The client: starts, queries and steers instances.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "each command has a few right answers, every other one is wrong"
)]

use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;

use super::error::{HubError, InstanceError, OrchestrationError, PurgeError};
use super::health::Health;
use super::history::History;
use super::hub::Shared;
use super::start::{Start, StartByName, StartOrchestration};
use super::status::OrchestrationStatus;
use super::watch::InstanceWatch;
use crate::engine::{Command, Response, Shortage};
use crate::failure::FailureDetails;
use crate::id::{EventName, InstanceId, InstanceNumber, InvalidInstanceId, MAX_NAME};
use crate::orchestrator::Orchestrator;
use crate::payload::{Payload, Wire};
use crate::store::{StatusDetail, StoreError};
use crate::text::cut;

/// Bytes of the reason that is kept: of a suspension it is part of the summary, which is one value of
/// the store.
pub(super) const MAX_REASON: usize = 512;

/// A handle to start, query and steer instances. Cheap to clone.
///
/// What a method returned `Ok` for has happened for good: it survives a kill and a power cut.
/// Dropping a method's future before it is done is safe: it has happened, or it has not.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) shared: Arc<Shared>,
}

impl Client {
    /// Starts an orchestration. The returned builder is awaited; give it an id with
    /// [`id`](StartOrchestration::id) first if there is a natural one, so that starting twice is
    /// refused.
    pub fn start_orchestration<O: Orchestrator>(&self, input: O::Input) -> StartOrchestration<O> {
        let (name, version) = (O::NAME.to_owned(), O::VERSION.to_owned());
        StartOrchestration::new(Start::new(self, name, version, input.to_payload()))
    }

    /// Starts an orchestration that is known by name only, with JSON text as its input (nothing
    /// stands for `null`). For dynamic use: a router, a tool; elsewhere
    /// [`start_orchestration`](Self::start_orchestration) is checked by the compiler.
    ///
    /// The input is not compared with the orchestrator's type: what it cannot read stops the
    /// instance with a [`Problem`](crate::Problem).
    pub fn start_by_name(&self, name: impl Into<String>, input: impl Into<Vec<u8>>) -> StartByName {
        let input = Payload::from_json(input.into());
        StartByName::new(Start::new(self, name.into(), String::new(), input))
    }

    /// How the hub is doing. Cheap, and never waits.
    ///
    /// For a route that tells a load balancer whether to send requests here:
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// use durable_core::{Client, Health, TaskHub};
    ///
    /// /// 200 or 503, and a word that gives nothing away.
    /// fn readiness(client: &Client) -> (u16, &'static str) {
    ///     match client.health() {
    ///         Health::Healthy => (200, "ready"),
    ///         // Only a restart mends it; the log says what happened.
    ///         Health::Failed { .. } => (503, "failed"),
    ///         _ => (503, "not ready"),
    ///     }
    /// }
    ///
    /// let hub = TaskHub::in_memory().await?;
    /// assert_eq!(readiness(&hub.client()), (200, "ready"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn health(&self) -> Health {
        self.shared.condition.get()
    }

    /// A key that was made with this hub, never leaves its directory, and differs for each
    /// `purpose`: for signing links and tokens that must hold across restarts.
    pub fn derive_key(&self, purpose: &str) -> [u8; 32] {
        self.shared.identity.signing_key.derive(purpose)
    }

    /// A handle on an instance of a known orchestrator, whether it exists or not.
    ///
    /// # Errors
    ///
    /// If the id breaks a rule.
    pub fn instance<O: Orchestrator>(
        &self,
        id: impl TryInto<InstanceId, Error: Into<InvalidInstanceId>>,
    ) -> Result<Instance<O>, InvalidInstanceId> {
        let id = id.try_into().map_err(Into::into)?;
        Ok(Instance::new(self.clone(), id))
    }

    /// What is known of an instance; `None` if there is none of that id.
    ///
    /// # Errors
    ///
    /// If the hub failed.
    pub async fn status(
        &self,
        id: impl TryInto<InstanceId, Error: Into<InvalidInstanceId>>,
    ) -> Result<Option<OrchestrationStatus>, HubError> {
        self.status_with(id, StatusDetail::ALL).await
    }

    /// As [`status`](Self::status), but of input, output and progress shows, and reads, only what is
    /// asked for: for whoever looks often, and at large ones. (The history is read with
    /// [`history`](Self::history).)
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// use durable_core::{StatusDetail, TaskHub};
    ///
    /// let hub = TaskHub::in_memory().await?;
    /// let client = hub.client();
    /// client.start_by_name("fulfil", "42").id("order-42").await?;
    /// let status = client.status_with("order-42", StatusDetail::NONE).await?.unwrap();
    /// assert_eq!(status.name(), "fulfil");
    /// assert_eq!(status.input_json(), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the hub failed.
    pub async fn status_with(
        &self,
        id: impl TryInto<InstanceId, Error: Into<InvalidInstanceId>>,
        detail: StatusDetail,
    ) -> Result<Option<OrchestrationStatus>, HubError> {
        // No instance can have an id that breaks a rule.
        let Ok(id) = id.try_into() else {
            return Ok(None);
        };
        self.read(Command::Status { id, detail }).await
    }

    /// Waits until an instance has ended and returns its last status; `None` if there is none of
    /// that id. There is no limit on the wait: use `tokio::time::timeout`.
    ///
    /// # Errors
    ///
    /// If the hub failed.
    pub async fn wait_for_completion(
        &self,
        id: impl TryInto<InstanceId, Error: Into<InvalidInstanceId>>,
    ) -> Result<Option<OrchestrationStatus>, HubError> {
        let Ok(id) = id.try_into() else {
            return Ok(None);
        };
        self.read(Command::Wait { id }).await
    }

    /// Waits until an instance has begun, that is, has taken its first turn, or has ended without, and
    /// returns its status then; `None` if there is none of that id. There is no limit on the wait: use
    /// `tokio::time::timeout`.
    ///
    /// # Errors
    ///
    /// If the hub failed.
    pub async fn wait_for_start(
        &self,
        id: impl TryInto<InstanceId, Error: Into<InvalidInstanceId>>,
    ) -> Result<Option<OrchestrationStatus>, HubError> {
        self.wait_for(id, OrchestrationStatus::has_begun).await
    }

    /// Waits until what is shown of an instance is as `condition` has it, and returns its status then; of
    /// one that has ended before, its last status. `None` if there is none of that id, or no longer.
    ///
    /// The condition is looked at now and whenever there is [news](Self::watch); in between nobody asks.
    /// Dropping the future ends the wait. There is no limit on it: use `tokio::time::timeout`.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// use std::time::Duration;
    /// use durable_core::{OrchestrationContext, TaskHub, orchestrator};
    ///
    /// #[orchestrator]
    /// async fn bake(ctx: OrchestrationContext) {
    ///     ctx.set_custom_status("in the oven").unwrap();
    ///     ctx.create_timer(Duration::from_secs(40 * 60)).await;
    /// }
    ///
    /// let hub = TaskHub::in_memory().await?;
    /// let _worker = hub.worker().register::<bake>().start().await?;
    /// let client = hub.client();
    /// client.start_orchestration::<bake>(()).id("bread-1").await?;
    /// let is_hot = client.wait_for("bread-1", |status| {
    ///     status.custom_status_json() == Some("\"in the oven\"")
    /// });
    /// let status = tokio::time::timeout(Duration::from_secs(10), is_hot).await??;
    /// assert!(status.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the hub failed.
    pub async fn wait_for(
        &self,
        id: impl TryInto<InstanceId, Error: Into<InvalidInstanceId>>,
        mut condition: impl FnMut(&OrchestrationStatus) -> bool,
    ) -> Result<Option<OrchestrationStatus>, HubError> {
        let mut watch = self.watch(id);
        while let Some(status) = watch.next().await? {
            if status.runtime_status().is_terminal() || condition(&status) {
                return Ok(Some(status));
            }
        }
        Ok(None)
    }

    /// Watches an instance: its status now, and again whenever there is news of it, up to its end.
    ///
    /// News is another status, custom status or execution, that it is suspended or has a problem or no
    /// longer, and how far its activities have come. Each is told once it is durable, and none is older
    /// than the one before. Who is slow misses what was in between, never the last.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # use durable_core::{TaskHub, OrchestrationContext, orchestrator};
    /// # #[orchestrator]
    /// # async fn fulfil(_ctx: OrchestrationContext, _order: u64) {}
    /// # let hub = TaskHub::in_memory().await?;
    /// # let _worker = hub.worker().register::<fulfil>().start().await?;
    /// let instance = hub.client().start_orchestration::<fulfil>(4_200).id("order-42").await?;
    /// let mut watch = hub.client().watch("order-42");
    /// while let Some(status) = watch.next().await? {
    ///     println!("{}: {:?}", status.runtime_status(), status.custom_status_json());
    /// }
    /// // Here it has ended.
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn watch(
        &self,
        id: impl TryInto<InstanceId, Error: Into<InvalidInstanceId>>,
    ) -> InstanceWatch {
        // No instance can have an id that breaks a rule.
        InstanceWatch::new(self.clone(), id.try_into().ok())
    }

    pub(super) async fn read(
        &self,
        command: Command,
    ) -> Result<Option<OrchestrationStatus>, HubError> {
        match self.shared.ask(command).await? {
            Response::Status(snapshot) => Ok(Some(OrchestrationStatus::new(*snapshot))),
            Response::NotFound => Ok(None),
            other => Err(unexpected(&other)),
        }
    }

    /// Raises an external event: hands `data` to an instance under a name, which is compared
    /// without case. It is kept until the orchestrator waits for it.
    ///
    /// # Errors
    ///
    /// [`InstanceError`] if there is no such instance, if it has ended, or if the data cannot be
    /// sent.
    pub async fn raise_event<T: Serialize + ?Sized>(
        &self,
        id: impl TryInto<InstanceId, Error: Into<InvalidInstanceId>>,
        name: &str,
        data: &T,
    ) -> Result<(), InstanceError> {
        let id = id.try_into().map_err(Into::into);
        let data = Payload::encode(data);
        self.raise(id, name, data, None).await
    }

    /// Raises an external event that has an id: raised again at the same instance, under the same
    /// `event_id`, it is harmless. For whoever cannot know whether the first time came through.
    ///
    /// An instance knows the last 1,000 ids. They are compared byte for byte, and have 1 to 256
    /// bytes.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// use durable_core::TaskHub;
    ///
    /// let hub = TaskHub::in_memory().await?;
    /// let client = hub.client();
    /// client.start_by_name("fulfil", "42").id("order-42").await?;
    /// for _delivery in 0..2 {
    ///     client.raise_event_once("order-42", "msg-7", "Paid", &true).await?;
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`raise_event`](Self::raise_event).
    pub async fn raise_event_once<T: Serialize + ?Sized>(
        &self,
        id: impl TryInto<InstanceId, Error: Into<InvalidInstanceId>>,
        event_id: &str,
        name: &str,
        data: &T,
    ) -> Result<(), InstanceError> {
        let id = id.try_into().map_err(Into::into);
        let data = Payload::encode(data);
        self.raise(id, name, data, Some(event_id)).await
    }

    async fn raise(
        &self,
        id: Result<InstanceId, InvalidInstanceId>,
        name: &str,
        data: Result<Payload, serde_json::Error>,
        event_id: Option<&str>,
    ) -> Result<(), InstanceError> {
        let id = id.map_err(InstanceError::InvalidId)?;
        let data = data.map_err(|error| InstanceError::Data {
            message: error.to_string(),
        })?;
        let (len, limit) = (data.len(), self.shared.config.max_payload);
        if len > limit {
            return Err(InstanceError::TooLarge { len, limit });
        }
        if !is_event_name(name) || !event_id.is_none_or(is_event_name) {
            return Err(InstanceError::InvalidName);
        }
        let name = EventName::new(name);
        let raise = Command::Raise {
            id: id.clone(),
            name,
            data,
            event: event_id.map(Into::into),
        };
        self.tell(id, raise).await
    }

    /// Ends an instance from outside, whatever it is doing. Of the reason 16 KiB are kept. Activities that run are told to stop,
    /// and what they still return is ignored.
    ///
    /// # Errors
    ///
    /// [`InstanceError`] if there is no such instance, or if it has ended.
    pub async fn terminate(
        &self,
        id: impl TryInto<InstanceId, Error: Into<InvalidInstanceId>>,
        reason: impl Into<String>,
    ) -> Result<(), InstanceError> {
        let id = id.try_into().map_err(Into::into);
        self.end(id, reason.into(), false).await
    }

    /// As [`terminate`](Self::terminate), and terminates the children that it waits for, and theirs.
    /// Without that they go on, and their results are ignored.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn terminate_recursive(
        &self,
        id: impl TryInto<InstanceId, Error: Into<InvalidInstanceId>>,
        reason: impl Into<String>,
    ) -> Result<(), InstanceError> {
        let id = id.try_into().map_err(Into::into);
        self.end(id, reason.into(), true).await
    }

    /// Suspends an instance: its orchestrator takes no turns until it is [resumed](Self::resume).
    /// Nothing is lost meanwhile: events are kept, timers fire, activities that run go on and are
    /// tried again, and all of that reaches the orchestrator afterwards. Of the reason, which the
    /// [status](OrchestrationStatus::suspend_reason) shows, 512 bytes are kept. One that is suspended
    /// stays as it is.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// use durable_core::{RuntimeStatus, TaskHub};
    ///
    /// let hub = TaskHub::in_memory().await?;
    /// let client = hub.client();
    /// client.start_by_name("fulfil", "42").id("order-42").await?;
    /// client.suspend("order-42", "the warehouse is closed").await?;
    /// let status = client.status("order-42").await?.unwrap();
    /// assert_eq!(status.runtime_status(), RuntimeStatus::Suspended);
    /// assert_eq!(status.suspend_reason(), Some("the warehouse is closed"));
    /// client.resume("order-42").await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`InstanceError`] if there is no such instance, or if it has ended.
    pub async fn suspend(
        &self,
        id: impl TryInto<InstanceId, Error: Into<InvalidInstanceId>>,
        reason: impl Into<String>,
    ) -> Result<(), InstanceError> {
        let id: InstanceId = id.try_into().map_err(Into::into)?;
        let mut reason = reason.into();
        cut(&mut reason, MAX_REASON);
        let suspend = Command::Suspend {
            id: id.clone(),
            reason,
        };
        self.tell(id, suspend).await
    }

    /// Lets a suspended instance go on. One that is not suspended stays as it is.
    ///
    /// # Errors
    ///
    /// As [`suspend`](Self::suspend).
    pub async fn resume(
        &self,
        id: impl TryInto<InstanceId, Error: Into<InvalidInstanceId>>,
    ) -> Result<(), InstanceError> {
        let id: InstanceId = id.try_into().map_err(Into::into)?;
        let resume = Command::Resume { id: id.clone() };
        self.tell(id, resume).await
    }

    async fn end(
        &self,
        id: Result<InstanceId, InvalidInstanceId>,
        reason: String,
        children: bool,
    ) -> Result<(), InstanceError> {
        let id = id.map_err(InstanceError::InvalidId)?;
        let terminate = Command::Terminate {
            id: id.clone(),
            reason: Some(FailureDetails::shortened(reason)),
            children,
        };
        self.tell(id, terminate).await
    }

    /// Has an instance that does not go on, or an activity of it, be tried again at once, for when what
    /// kept it from that was mended without a new worker. One with a
    /// [poisoned activity](crate::TaskHubOptions::poison_after) begins that anew, its crashes forgotten.
    /// An instance without a [`Problem`](crate::Problem) is left as it is.
    ///
    /// Done means that it is tried. Whether it still has a problem then shows in its
    /// [status](Self::status).
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// use durable_core::{ProblemKind, TaskHub};
    ///
    /// let hub = TaskHub::in_memory().await?;
    /// let client = hub.client();
    /// client.start_by_name("fulfil", "42").id("order-42").await?;
    /// if let Some(status) = client.status("order-42").await?
    ///     && status.problem().is_some_and(|problem| problem.kind() == ProblemKind::PoisonedActivity)
    /// {
    ///     client.retry("order-42").await?;
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`InstanceError`] if there is no such instance, or if it has ended.
    pub async fn retry(
        &self,
        id: impl TryInto<InstanceId, Error: Into<InvalidInstanceId>>,
    ) -> Result<(), InstanceError> {
        let id: InstanceId = id.try_into().map_err(Into::into)?;
        self.tell(id.clone(), Command::Retry { id }).await
    }

    /// Removes everything that is kept of an instance which has ended: its history, its output,
    /// its status. Its id can be used again then, for another instance.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// use durable_core::{PurgeError, RuntimeStatus, TaskHub};
    ///
    /// let hub = TaskHub::in_memory().await?;
    /// let client = hub.client();
    /// client.start_by_name("fulfil", "42").id("order-42").await?;
    /// let refused = client.purge("order-42").await;
    /// assert!(matches!(refused, Err(PurgeError::NotEnded { status: RuntimeStatus::Pending, .. })));
    ///
    /// client.terminate("order-42", "no longer wanted").await?;
    /// client.purge("order-42").await?;
    /// assert!(client.status("order-42").await?.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`PurgeError`] if there is no such instance, or if it has not ended.
    pub async fn purge(
        &self,
        id: impl TryInto<InstanceId, Error: Into<InvalidInstanceId>>,
    ) -> Result<(), PurgeError> {
        let id: InstanceId = id.try_into().map_err(Into::into)?;
        self.purge_only(id, None).await
    }

    /// Purges the instance of this id, if it has this number, where one is given.
    pub(super) async fn purge_only(
        &self,
        id: InstanceId,
        number: Option<InstanceNumber>,
    ) -> Result<(), PurgeError> {
        let purge = Command::Purge {
            id: id.clone(),
            number,
        };
        match self.shared.ask(purge).await? {
            Response::Done => Ok(()),
            Response::NotFound => Err(PurgeError::NotFound { id }),
            Response::NotEnded(status) => Err(PurgeError::NotEnded { id, status }),
            other => Err(unexpected(&other).into()),
        }
    }

    async fn tell(&self, id: InstanceId, command: Command) -> Result<(), InstanceError> {
        match self.shared.ask(command).await? {
            Response::Done => Ok(()),
            Response::NotFound => Err(InstanceError::NotFound { id }),
            Response::Ended(status) => Err(InstanceError::Ended { id, status }),
            Response::TooManyWaiting => Err(InstanceError::TooManyWaiting { id }),
            Response::LowOnSpace(Shortage { free, needed }) => {
                Err(InstanceError::LowOnSpace { free, needed })
            }
            other => Err(unexpected(&other).into()),
        }
    }
}

/// Whether this can be an event's name, or its id.
pub(super) fn is_event_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
}

/// The engine answers each command with one of a few responses; another one is a bug of ours, and
/// is reported rather than hidden in a panic.
pub(super) fn unexpected(response: &Response) -> HubError {
    HubError::Store(StoreError::fatal(format!("unexpected answer {response:?}")))
}

/// A handle on one instance of a known orchestrator.
pub struct Instance<O> {
    client: Client,
    id: InstanceId,
    orchestrator: PhantomData<fn() -> O>,
}

impl<O> Instance<O> {
    pub(super) fn new(client: Client, id: InstanceId) -> Self {
        Self {
            client,
            id,
            orchestrator: PhantomData,
        }
    }
}

impl<O: Orchestrator> Instance<O> {
    /// The instance's id.
    pub fn id(&self) -> &InstanceId {
        &self.id
    }

    /// Waits until the instance has ended and returns its output. There is no limit on the wait:
    /// use `tokio::time::timeout`.
    ///
    /// # Errors
    ///
    /// [`OrchestrationError`]: the orchestrator's own error, or why it has no output.
    pub async fn wait_for_completion(&self) -> Result<O::Output, OrchestrationError<O::Error>> {
        let status = self.client.wait_for_completion(&self.id).await?;
        let Some(status) = status else {
            return Err(OrchestrationError::NotFound {
                id: self.id.clone(),
            });
        };
        match status.result() {
            Some(Ok(output)) => output.decode().map_err(|error| {
                OrchestrationError::Data(FailureDetails::serialization("output", &error))
            }),
            Some(Err(failure)) => Err(OrchestrationError::from_details(failure.clone())),
            None => Err(OrchestrationError::Hub(unexpected(&Response::NotFound))),
        }
    }

    /// See [`Client::status`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn status(&self) -> Result<Option<OrchestrationStatus>, HubError> {
        self.client.status(&self.id).await
    }

    /// See [`Client::history`].
    pub fn history(&self) -> History {
        self.client.history(&self.id)
    }

    /// See [`Client::wait_for_start`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn wait_for_start(&self) -> Result<Option<OrchestrationStatus>, HubError> {
        self.client.wait_for_start(&self.id).await
    }

    /// See [`Client::wait_for`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn wait_for(
        &self,
        condition: impl FnMut(&OrchestrationStatus) -> bool,
    ) -> Result<Option<OrchestrationStatus>, HubError> {
        self.client.wait_for(&self.id, condition).await
    }

    /// See [`Client::watch`].
    pub fn watch(&self) -> InstanceWatch {
        self.client.watch(&self.id)
    }

    /// See [`Client::raise_event`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn raise_event<T: Serialize + ?Sized>(
        &self,
        name: &str,
        data: &T,
    ) -> Result<(), InstanceError> {
        self.client.raise_event(&self.id, name, data).await
    }

    /// See [`Client::terminate`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn terminate(&self, reason: impl Into<String>) -> Result<(), InstanceError> {
        self.client.terminate(&self.id, reason).await
    }

    /// See [`Client::suspend`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn suspend(&self, reason: impl Into<String>) -> Result<(), InstanceError> {
        self.client.suspend(&self.id, reason).await
    }

    /// See [`Client::resume`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn resume(&self) -> Result<(), InstanceError> {
        self.client.resume(&self.id).await
    }

    /// See [`Client::purge`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn purge(&self) -> Result<(), PurgeError> {
        self.client.purge(&self.id).await
    }
}

impl<O> Clone for Instance<O> {
    fn clone(&self) -> Self {
        Self {
            client: self.client.clone(),
            id: self.id.clone(),
            orchestrator: PhantomData,
        }
    }
}

impl<O> std::fmt::Debug for Instance<O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Instance").field(&self.id).finish()
    }
}
