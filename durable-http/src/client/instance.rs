//! One instance: what is known of it, and what is done to it.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use serde::Serialize;

use super::error::ClientError;
use super::http::Call;
use super::models::{Links, Purged, Status};
use super::target::{Pairs, Target, Verb};
use super::wait::WaitRequest;
use super::{Client, start};

/// What awaiting a request comes to.
pub(super) type Answer<T> = Pin<Box<dyn Future<Output = Result<T, ClientError>> + Send>>;

/// An instance, by its id or by its links. Cheap to clone. Nothing is known of it until it is asked.
#[derive(Clone)]
pub struct Instance {
    client: Client,
    target: Target,
}

impl Instance {
    pub(super) fn new(client: Client, target: Target) -> Self {
        Self { client, target }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        self.target.id()
    }

    /// What is known of it; await it. See [`StatusRequest`].
    pub fn status(&self) -> StatusRequest {
        StatusRequest {
            instance: self.clone(),
            pairs: Pairs::default(),
        }
    }

    /// Waits for its end; await it. See [`WaitRequest`].
    ///
    /// The status is asked for once. If the instance has not ended, the service's stream of events is listened
    /// to; one that has none is asked again and again, as often as its `Retry-After` says.
    pub fn wait_for_completion(&self) -> WaitRequest {
        WaitRequest::new(self.clone())
    }

    /// Raises an event.
    ///
    /// # Errors
    ///
    /// [`ClientError::NotFound`]; [`ClientError::Ended`]; [`ClientError::Data`] if `data` cannot be written as
    /// JSON. After a [`Transport`](ClientError::Transport) that may have sent something and a
    /// [`TimedOut`](ClientError::TimedOut) it may have been raised all the same.
    pub async fn raise_event<T: Serialize + ?Sized>(
        &self,
        name: &str,
        data: &T,
    ) -> Result<(), ClientError> {
        let data = start::json(data)?;
        let call = self.call(Method::POST, &Verb::Raise(name), Pairs::default())?;
        self.done(&call.json(data)).await
    }

    /// Ends it. The answer means that this was asked for, not that it has happened.
    ///
    /// # Errors
    ///
    /// As [`raise_event`](Self::raise_event).
    pub async fn terminate(&self, reason: &str) -> Result<(), ClientError> {
        self.post(&Verb::Terminate(reason)).await
    }

    /// Has it take no turns until it is resumed; events are kept for it.
    ///
    /// # Errors
    ///
    /// As [`raise_event`](Self::raise_event).
    pub async fn suspend(&self, reason: &str) -> Result<(), ClientError> {
        self.post(&Verb::Suspend(reason)).await
    }

    /// Has it go on after it was suspended.
    ///
    /// # Errors
    ///
    /// As [`raise_event`](Self::raise_event).
    pub async fn resume(&self, reason: &str) -> Result<(), ClientError> {
        self.post(&Verb::Resume(reason)).await
    }

    /// Has one that has failed go on where it failed.
    ///
    /// # Errors
    ///
    /// [`ClientError::NotFound`]; [`ClientError::NotAsNeeded`] if it has not failed.
    pub async fn rewind(&self, reason: &str) -> Result<(), ClientError> {
        self.post(&Verb::Rewind(reason)).await
    }

    /// Has what stops it tried again, after it was mended: an activity that was not registered, for example. Services
    /// of this crate can do that, others answer [`ClientError::NotFound`].
    ///
    /// # Errors
    ///
    /// As [`raise_event`](Self::raise_event); [`ClientError::NoLink`] of an instance that is known by its links.
    pub async fn retry(&self) -> Result<(), ClientError> {
        self.post(&Verb::Retry).await
    }

    /// Starts its orchestrator once more with its input; await it. See [`RestartRequest`].
    pub fn restart(&self) -> RestartRequest {
        RestartRequest {
            instance: self.clone(),
            same_id: false,
        }
    }

    /// Forgets it. Its id is free then.
    ///
    /// # Errors
    ///
    /// [`ClientError::NotFound`]; [`ClientError::NotAsNeeded`] if it has not ended.
    pub async fn purge(&self) -> Result<(), ClientError> {
        let call = self.call(Method::DELETE, &Verb::Purge, Pairs::default())?;
        let Purged { instances_deleted } = json(&self.http().ask(&call).await?)?;
        // Older services do not say what is in the way.
        let message = "nothing was purged".to_owned();
        match instances_deleted {
            0 => Err(ClientError::NotAsNeeded { message }),
            _ => Ok(()),
        }
    }

    async fn post(&self, verb: &Verb<'_>) -> Result<(), ClientError> {
        let call = self.call(Method::POST, verb, Pairs::default())?;
        self.done(&call).await
    }

    async fn done(&self, call: &Call) -> Result<(), ClientError> {
        let answer = self.http().ask(call).await?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            _ => Err(ClientError::of(&answer)),
        }
    }

    /// A request about it; with the key, unless it is known by its links.
    pub(super) fn call(
        &self,
        method: Method,
        verb: &Verb<'_>,
        pairs: Pairs,
    ) -> Result<Call, ClientError> {
        let uri = self.target.url(self.client.base(), verb, pairs)?;
        Ok(match &self.target {
            Target::Id(_) => self.client.call(method, uri),
            Target::Links(_) => Call::new(method, uri),
        })
    }

    pub(super) fn http(&self) -> &super::http::Http {
        self.client.http()
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

/// What an answer of 200 holds.
pub(super) fn json<T: serde::de::DeserializeOwned>(
    answer: &Response<Bytes>,
) -> Result<T, ClientError> {
    if !answer.status().is_success() {
        return Err(ClientError::of(answer));
    }
    serde_json::from_slice(answer.body()).map_err(ClientError::not_understood)
}

/// The status in an answer, whatever its code: a failure may be told by 500, and was by 400.
pub(super) fn status_of(answer: &Response<Bytes>) -> Result<Status, ClientError> {
    match answer.status() {
        StatusCode::INTERNAL_SERVER_ERROR | StatusCode::BAD_REQUEST => {
            serde_json::from_slice(answer.body()).map_err(|_| ClientError::of(answer))
        }
        _ => json(answer),
    }
}

/// Asks what is known of an instance: await it.
///
/// ```
/// # async fn f(instance: durable_http::client::Instance) -> Result<(), Box<dyn std::error::Error>> {
/// let status = instance.status().show_input(false).show_history(true).await?;
/// for event in status.history().unwrap_or_default() {
///     println!("{:?} {}", event.timestamp(), event.event_type());
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`ClientError::NotFound`] if there is none, [`ClientError::Unauthorized`] and so on.
#[must_use = "nothing is asked until this is awaited"]
#[derive(Debug)]
pub struct StatusRequest {
    instance: Instance,
    pairs: Pairs,
}

impl StatusRequest {
    /// Whether the input is shown. Default: yes, as services do.
    pub fn show_input(mut self, yes: bool) -> Self {
        self.pairs = self.pairs.with("showInput", yes.to_string());
        self
    }

    /// Whether the [history](Status::history) is shown. Default: no.
    pub fn show_history(mut self, yes: bool) -> Self {
        self.pairs = self.pairs.with("showHistory", yes.to_string());
        self
    }

    /// Whether the history has the outputs of activities and children. Default: no.
    pub fn show_history_output(mut self, yes: bool) -> Self {
        self.pairs = self.pairs.with("showHistoryOutput", yes.to_string());
        self
    }
}

impl IntoFuture for StatusRequest {
    type Output = Result<Status, ClientError>;
    type IntoFuture = Answer<Status>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Self { instance, pairs } = self;
            let call = instance.call(Method::GET, &Verb::Status, pairs)?;
            status_of(&instance.http().ask(&call).await?)
        })
    }
}

/// Starts an orchestrator once more with the input of an instance: await it. It comes to the instance that
/// was started.
///
/// # Errors
///
/// [`ClientError::NotFound`]; [`ClientError::Conflict`] if the same id is asked for and it has not ended.
#[must_use = "nothing is restarted until this is awaited"]
#[derive(Debug)]
pub struct RestartRequest {
    instance: Instance,
    same_id: bool,
}

impl RestartRequest {
    /// Whether the new instance takes the place of the old one. Default: no, it has a new id.
    pub fn same_id(mut self, yes: bool) -> Self {
        self.same_id = yes;
        self
    }

    async fn send(self) -> Result<Instance, ClientError> {
        let Self { instance, same_id } = self;
        let pairs = Pairs::default().with("restartWithNewInstanceId", (!same_id).to_string());
        let call = instance.call(Method::POST, &Verb::Restart, pairs)?;
        let answer = instance.http().ask(&call).await?;
        match json::<Links>(&answer) {
            Ok(links) => Ok(match instance.target {
                Target::Id(_) => instance.client.instance(links.id()),
                Target::Links(_) => instance.client.follow(links),
            }),
            // That is how the original says that there is none.
            Err(ClientError::BadRequest { .. }) => Err(ClientError::NotFound),
            Err(error) => Err(error),
        }
    }
}

impl IntoFuture for RestartRequest {
    type Output = Result<Instance, ClientError>;
    type IntoFuture = Answer<Instance>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}
