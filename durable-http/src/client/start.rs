//! Starting an orchestration.

use std::future::IntoFuture;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::error::ClientError;
use super::instance::{self, Answer, Instance};
use super::models::{Links, Status};
use super::target::Pairs;
use super::{Client, RuntimeStatus};
use crate::links::path_segment;

/// Starts an orchestration: await it, or [wait](Self::wait) for its end, too. It comes to the instance.
///
/// ```
/// # async fn f(client: durable_http::client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// let instance = client.start("fulfil").id("order-42").version("2").input(&4200).await?;
/// assert_eq!(instance.id(), "order-42");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`ClientError::BadRequest`] if there is no such orchestrator, or the id breaks a rule;
/// [`ClientError::Conflict`] if an instance of this id is in the way; [`ClientError::Data`] if the input cannot
/// be written as JSON.
///
/// A start that may have reached the service is not sent again. With an id of your own you can look
/// whether it has begun.
#[must_use = "nothing is started until this is awaited"]
#[derive(Debug)]
pub struct StartRequest {
    client: Client,
    orchestrator: String,
    id: Option<String>,
    pairs: Pairs,
    input: Result<Bytes, ClientError>,
}

impl StartRequest {
    pub(super) fn new(client: Client, orchestrator: String) -> Self {
        Self {
            client,
            orchestrator,
            id: None,
            pairs: Pairs::default(),
            input: Ok(Bytes::new()),
        }
    }

    /// The instance's id. Default: the service makes one.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The orchestrator's version. Default: as the service has it.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.pairs = self.pairs.with("version", version);
        self
    }

    /// The input. Default: none.
    pub fn input<T: Serialize + ?Sized>(mut self, input: &T) -> Self {
        self.input = json(input);
        self
    }

    /// The input as JSON, sent as it is; it is for the service to refuse what is none.
    pub fn input_json(mut self, json: impl Into<String>) -> Self {
        self.input = Ok(json.into().into());
        self
    }

    async fn send(self) -> Result<Instance, ClientError> {
        let client = self.client.clone();
        let answer = self.ask(Duration::ZERO).await?;
        let links: Links = read(&answer)?;
        Ok(client.instance(links.id()))
    }

    async fn ask(self, patience: Duration) -> Result<http::Response<Bytes>, ClientError> {
        let mut path = format!("/orchestrators/{}", path_segment(&self.orchestrator));
        if self.orchestrator.is_empty() || self.id.as_deref() == Some("") {
            let what = "an orchestrator has a name, and an instance an id";
            return Err(ClientError::Invalid { what });
        }
        if let Some(id) = &self.id {
            path = format!("{path}/{}", path_segment(id));
        }
        let uri = self.client.base().url(&path, &self.pairs)?;
        let mut call = self.client.call(Method::POST, uri).json(self.input?);
        call.patience = patience;
        self.client.http().ask(&call).await
    }

    /// Starts it and has the service wait for its end, no longer than this; services have limits of their
    /// own, this crate's one of 5 minutes. If no id is given one is made here.
    ///
    /// ```
    /// # async fn f(client: durable_http::client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use durable_http::client::Outcome;
    ///
    /// match client.start("fulfil").input(&4200).wait(Duration::from_secs(10)).await? {
    ///     Outcome::Completed { output } => println!("{output}"),
    ///     Outcome::Ended(status) => println!("{}: {:?}", status.runtime_status(), status.output_json()),
    ///     Outcome::Running(instance) => println!("{} goes on", instance.id()),
    ///     _ => {}
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As the start alone.
    pub async fn wait(mut self, timeout: Duration) -> Result<Outcome, ClientError> {
        let made = || Uuid::now_v7().simple().to_string();
        let id = self.id.get_or_insert_with(made).clone();
        let seconds = timeout.as_secs_f64();
        // The original looks again so often, and must not look less often than it waits.
        let interval = (seconds / 10.0).clamp(0.1, 1.0).min(seconds);
        let pairs = std::mem::take(&mut self.pairs);
        self.pairs = pairs
            .with("timeout", seconds.to_string())
            .with("pollingInterval", interval.to_string());
        let client = self.client.clone();
        let answer = self.ask(timeout).await?;
        if answer.status() == StatusCode::ACCEPTED {
            let links: Links = read(&answer)?;
            return Ok(Outcome::Running(client.instance(links.id())));
        }
        if let Some(status) = ended_otherwise(answer.body(), &id) {
            return Ok(Outcome::Ended(Box::new(status)));
        }
        let output: Box<RawValue> = read(&answer)?;
        let output = output.get().to_owned();
        Ok(Outcome::Completed { output })
    }
}

fn read<T: DeserializeOwned>(answer: &http::Response<Bytes>) -> Result<T, ClientError> {
    instance::json(answer).map_err(ClientError::unless_elsewhere)
}

/// The same code is the answer to a bare output and to the status of one that has not completed.
fn ended_otherwise(body: &[u8], id: &str) -> Option<Status> {
    let status: Status = serde_json::from_slice(body).ok()?;
    let completed = *status.runtime_status() == RuntimeStatus::Completed;
    (status.instance_id() == id && !completed).then_some(status)
}

pub(super) fn json<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, ClientError> {
    let json = serde_json::to_vec(value);
    json.map(Bytes::from).map_err(|error| ClientError::Data {
        message: error.to_string(),
    })
}

impl IntoFuture for StartRequest {
    type Output = Result<Instance, ClientError>;
    type IntoFuture = Answer<Instance>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

/// What a start has come to in the time that was given.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// It has completed.
    Completed {
        /// What it returned, as JSON.
        output: String,
    },
    /// It has ended otherwise: it failed, or was terminated.
    Ended(Box<Status>),
    /// It goes on.
    Running(Instance),
}
