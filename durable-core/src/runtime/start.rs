//! Starting an instance: what is asked for, put together step by step.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a start has a few right answers, every other one is wrong"
)]

use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::client::{Client, Instance, is_event_name, unexpected};
use super::error::StartError;
use crate::engine::{Begin, Command, Replaces, Response, Shortage, StartRequest};
use crate::history::{Event, Tags, tags_fit};
use crate::id::{EventName, InstanceId, InstanceNumber, InvalidInstanceId, MAX_NAME};
use crate::orchestrator::Orchestrator;
use crate::payload::Payload;
use crate::time::Timestamp;

/// What a start does if there is an instance of its id.
///
/// "Ended" is [terminal](crate::RuntimeStatus::is_terminal). What is replaced is purged, history and all,
/// by the very commit that stores the new instance: after a crash there is one of the two. Its children
/// stay, as with a [purge](Client::purge).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IdReusePolicy {
    /// The start is refused with [`StartError::AlreadyExists`]: what was begun once is not begun again.
    #[default]
    Refuse,
    /// That instance is returned, whatever it is doing or has done, and nothing is started.
    UseExisting,
    /// One that has ended is replaced, however it has; any other refuses the start. What Durable
    /// Functions calls `NonRunningStates`.
    ReplaceTerminal,
    /// One that has ended is replaced; any other is terminated, and then replaced. If this is dropped or
    /// the process dies in between, it is terminated and nothing was started. What Durable Functions
    /// calls `AnyState`.
    ReplaceAny,
}

impl IdReusePolicy {
    fn replaces(self) -> Replaces {
        match self {
            Self::Refuse | Self::UseExisting => Replaces::Nothing,
            Self::ReplaceTerminal | Self::ReplaceAny => Replaces::Ended,
        }
    }
}

/// What every start has.
#[derive(Debug)]
pub(super) struct Start {
    client: Client,
    name: String,
    version: String,
    input: Result<Payload, String>,
    id: Option<Result<InstanceId, InvalidInstanceId>>,
    reuse: IdReusePolicy,
    tags: Tags,
    begin: Begin,
    event: Option<Result<Event, StartError>>,
}

impl Start {
    pub(super) fn new(
        client: &Client,
        name: String,
        version: String,
        input: Result<Payload, serde_json::Error>,
    ) -> Self {
        Self {
            client: client.clone(),
            name,
            version,
            input: input.map_err(|error| error.to_string()),
            id: None,
            reuse: IdReusePolicy::Refuse,
            tags: Tags::new(),
            begin: Begin::AtOnce,
            event: None,
        }
    }

    /// Of what is there, so that it begins again.
    pub(super) fn anew(
        mut self,
        id: Option<Result<InstanceId, InvalidInstanceId>>,
        tags: Tags,
    ) -> Self {
        (self.id, self.tags) = (id, tags);
        self
    }

    async fn start(self) -> Result<(Client, InstanceId), StartError> {
        let (reuse, raises) = (self.reuse, self.event.is_some());
        let (client, mut request) = self.request()?;
        request.replaces = reuse.replaces();
        let (id, name) = (request.id.clone(), request.name.clone());
        loop {
            // It may have to be asked again, when what is there has made way.
            let again = (reuse == IdReusePolicy::ReplaceAny).then(|| request.clone());
            let response = client.shared.ask(Command::Start(request)).await?;
            match (response, again) {
                (Response::AlreadyExists(_), _)
                    if reuse == IdReusePolicy::UseExisting && !raises => {}
                (Response::AlreadyExists(status), Some(again)) if !status.is_terminal() => {
                    make_way(&client, &id).await?;
                    request = again;
                    continue;
                }
                // It was terminated before its first turn was taken.
                (Response::Ended(_), _) if !raises => {}
                (response, _) => begun(response, &id, name)?,
            }
            return Ok((client, id));
        }
    }

    /// Starts it in the place of the instance of this number, or, without one, of none.
    pub(super) async fn start_instead_of(
        self,
        number: Option<InstanceNumber>,
    ) -> Result<Result<InstanceId, Response>, StartError> {
        let (client, mut request) = self.request()?;
        request.replaces = number.map_or(Replaces::Nothing, Replaces::Only);
        let (id, name) = (request.id.clone(), request.name.clone());
        match client.shared.ask(Command::Start(request)).await? {
            Response::Ended(_) => {}
            refused @ (Response::AlreadyExists(_) | Response::NotFound) if number.is_some() => {
                return Ok(Err(refused));
            }
            response => begun(response, &id, name)?,
        }
        Ok(Ok(id))
    }

    /// What is asked of the engine, if it can be.
    fn request(self) -> Result<(Client, StartRequest), StartError> {
        let Self {
            client,
            name,
            version,
            input,
            id,
            reuse: _,
            tags,
            begin,
            event,
        } = self;
        let fresh = id.is_none();
        let id = id.unwrap_or_else(|| Ok((client.shared.new_id)()))?;
        if name.is_empty() || name.len() > MAX_NAME || version.len() > MAX_NAME {
            return Err(StartError::InvalidName);
        }
        if !tags_fit(&tags) {
            return Err(StartError::InvalidTags);
        }
        let input = input.map_err(|message| StartError::Input { message })?;
        let event = event.transpose()?;
        let limit = client.shared.config.max_payload;
        let event_len = event.as_ref().map_or(0, Event::bytes);
        let len = input.len().max(event_len);
        if len > limit {
            return Err(StartError::TooLarge { len, limit });
        }
        let request = StartRequest {
            id,
            name,
            version,
            input,
            tags,
            fresh,
            begin,
            event,
            replaces: Replaces::Nothing,
        };
        Ok((client, request))
    }
}

/// Whether it was started.
fn begun(response: Response, id: &InstanceId, name: String) -> Result<(), StartError> {
    let id = id.clone();
    match response {
        Response::Done => Ok(()),
        Response::AlreadyExists(status) | Response::Ended(status) => {
            Err(StartError::AlreadyExists { id, status })
        }
        Response::TooManyWaiting => Err(StartError::TooManyWaiting { id }),
        Response::LowOnSpace(Shortage { free, needed }) => {
            Err(StartError::LowOnSpace { free, needed })
        }
        Response::NotRegistered { known } => Err(StartError::NotRegistered { name, known }),
        other => Err(unexpected(&other).into()),
    }
}

/// Ends an instance that another is to replace.
async fn make_way(client: &Client, id: &InstanceId) -> Result<(), StartError> {
    let terminate = Command::Terminate {
        id: id.clone(),
        reason: Some("replaced by another instance".to_owned()),
        children: false,
    };
    match client.shared.ask(terminate).await? {
        // It may have ended, or been purged, meanwhile.
        Response::Done | Response::Ended(_) | Response::NotFound => Ok(()),
        other => Err(unexpected(&other).into()),
    }
}

fn event<T: Serialize + ?Sized>(
    name: &str,
    data: &T,
    id: Option<&str>,
) -> Result<Event, StartError> {
    if !is_event_name(name) || !id.is_none_or(is_event_name) {
        return Err(StartError::InvalidName);
    }
    let data = Payload::encode(data).map_err(|error| StartError::Data {
        message: error.to_string(),
    })?;
    Ok(Event::EventRaised {
        name: EventName::new(name),
        data,
        id: id.map(Into::into),
    })
}

/// What can be said of a start, whatever is started.
macro_rules! options {
    ($start:tt) => {
        /// The instance's id. Default: a new one, made of a UUID.
        pub fn id(mut self, id: impl TryInto<InstanceId, Error: Into<InvalidInstanceId>>) -> Self {
            self.$start.id = Some(id.try_into().map_err(Into::into));
            self
        }

        /// The instance's version. Default: the orchestrator's; of one that has none, or that is known
        /// by name only, the [hub's](crate::TaskHubOptions::default_version).
        pub fn version(mut self, version: impl Into<String>) -> Self {
            self.$start.version = version.into();
            self
        }

        /// Gives the instance a tag, which its orchestrator and its status show; of one name the last
        /// one holds. Names are not empty, and all names and values have at most 1,000 bytes.
        pub fn tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
            self.$start.tags.insert(name.into(), value.into());
            self
        }

        /// What happens if there is an instance of this id. Default: [`IdReusePolicy::Refuse`].
        ///
        /// ```
        /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        /// use durable_core::{IdReusePolicy, StartError, TaskHub};
        ///
        /// let hub = TaskHub::in_memory().await?;
        /// let client = hub.client();
        /// client.start_by_name("report", "2024").id("report").await?;
        /// client.terminate("report", "the wrong year").await?;
        ///
        /// let again = || client.start_by_name("report", "2025").id("report");
        /// assert!(matches!(again().await, Err(StartError::AlreadyExists { .. })));
        /// again().id_reuse(IdReusePolicy::ReplaceTerminal).await?;
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// # })?;
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        pub fn id_reuse(mut self, policy: IdReusePolicy) -> Self {
            self.$start.reuse = policy;
            self
        }

        /// If there is an instance of this id, that one is returned and nothing is started: for a program
        /// that may have been killed after it started it. Short for
        /// [`id_reuse`](Self::id_reuse)`(`[`IdReusePolicy::UseExisting`]`)`.
        pub fn use_existing(self) -> Self {
            self.id_reuse(IdReusePolicy::UseExisting)
        }

        /// An event that is raised at the instance of this id, which is started for it if there is none:
        /// one of the two happens, in one commit. What is started has the event from its beginning on; of
        /// one that is there nothing else is changed, whatever its orchestrator is.
        ///
        /// One that has ended takes no events: then it is [replaced](IdReusePolicy), or the start is refused
        /// with [`StartError::AlreadyExists`], also with [`use_existing`](Self::use_existing). One that has
        /// not is given the event, whatever the policy.
        ///
        /// ```
        /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        /// use durable_core::TaskHub;
        ///
        /// let hub = TaskHub::in_memory().await?;
        /// for item in ["bread", "butter"] {
        ///     // Who comes first opens the cart.
        ///     let start = hub.client().start_by_name("cart", "null").id("cart-7");
        ///     start.or_raise_event("Put", &item).await?;
        /// }
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// # })?;
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        pub fn or_raise_event<T: Serialize + ?Sized>(mut self, name: &str, data: &T) -> Self {
            self.$start.event = Some(event(name, data, None));
            self
        }

        /// As [`or_raise_event`](Self::or_raise_event), with an event that has an id, as that of
        /// [`raise_event_once`](Client::raise_event_once): done again with the same `event_id`, for
        /// example by a program that was killed before it knew the answer, it is harmless.
        pub fn or_raise_event_once<T: Serialize + ?Sized>(
            mut self,
            event_id: &str,
            name: &str,
            data: &T,
        ) -> Self {
            self.$start.event = Some(event(name, data, Some(event_id)));
            self
        }

        /// When the instance is to begin: until then it is
        /// [`Pending`](crate::RuntimeStatus::Pending), takes no turn, and costs disk only. It is there
        /// for good all the same: events are kept for it, and it can be terminated, suspended and, once
        /// it has ended, purged. Its status [shows](crate::OrchestrationStatus::scheduled_start) the
        /// time. Default: at once, and so is any time that has passed.
        ///
        /// It is never early, and late if no worker runs then. That the time has come is noted for
        /// good: a clock that is set back afterwards changes nothing.
        ///
        /// ```
        /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        /// use std::time::{Duration, SystemTime};
        /// use durable_core::{RuntimeStatus, TaskHub};
        ///
        /// let hub = TaskHub::in_memory().await?;
        /// let tomorrow = SystemTime::now() + Duration::from_secs(24 * 3_600);
        /// let start = hub.client().start_by_name("send_report", "42");
        /// let id = start.id("report-42").start_at(tomorrow).await?;
        /// let status = hub.client().status(id).await?.unwrap();
        /// assert_eq!(status.runtime_status(), RuntimeStatus::Pending);
        /// assert!(status.scheduled_start().is_some());
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// # })?;
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        pub fn start_at(mut self, time: SystemTime) -> Self {
            self.$start.begin = Begin::At(Timestamp::from_system_up(time));
            self
        }

        /// As [`start_at`](Self::start_at), so long after the hub has taken the start in, by its clock.
        /// [`Duration::ZERO`] is at once; there is no longest one.
        pub fn start_after(mut self, delay: Duration) -> Self {
            self.$start.begin = Begin::After(delay);
            self
        }
    };
}

/// An orchestration about to be started: await it.
#[must_use = "nothing is started until this is awaited"]
pub struct StartOrchestration<O> {
    start: Start,
    orchestrator: PhantomData<fn() -> O>,
}

impl<O> StartOrchestration<O> {
    pub(super) fn new(start: Start) -> Self {
        Self {
            start,
            orchestrator: PhantomData,
        }
    }
}

impl<O: Orchestrator> StartOrchestration<O> {
    options!(start);
}

// Without a bound: an activity started by mistake is then one error, not two.
impl<O: 'static> IntoFuture for StartOrchestration<O> {
    type Output = Result<Instance<O>, StartError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let (client, id) = self.start.start().await?;
            Ok(Instance::new(client, id))
        })
    }
}

impl<O> std::fmt::Debug for StartOrchestration<O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("StartOrchestration")
            .field(&self.start)
            .finish()
    }
}

/// An orchestration, known by name, about to be started: await it.
#[must_use = "nothing is started until this is awaited"]
#[derive(Debug)]
pub struct StartByName {
    start: Start,
}

impl StartByName {
    pub(super) fn new(start: Start) -> Self {
        Self { start }
    }

    options!(start);
}

impl IntoFuture for StartByName {
    type Output = Result<InstanceId, StartError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.start.start().await.map(|(_, id)| id) })
    }
}
