//! Answers of a program's own routes, put together step by step.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use durable_core::{InstanceId, InvalidInstanceId, OrchestrationStatus};
use http::{Response, StatusCode};
use serde::Serialize;

use crate::api::HttpApi;
use crate::error::ApiError;
use crate::links::LinkOptions;
use crate::models::{Shown, StatusObject};
use crate::response::{ResponseBody, code_of, json, json_text, look_again, output_or_status};

type Id = Result<InstanceId, InvalidInstanceId>;
type WriteBody = Box<dyn FnOnce(&OrchestrationStatus) -> serde_json::Result<Vec<u8>> + Send>;

/// What every answer has.
#[derive(Debug)]
struct Common {
    api: HttpApi,
    id: Id,
    options: LinkOptions,
}

/// What can be said of every answer, and that awaiting it makes it.
macro_rules! answer {
    ($answer:ty, $seconds:literal, $failed:literal) => {
        impl $answer {
            #[doc = concat!("When to look again, in whole seconds. Default: ", $seconds, ".")]
            pub fn retry_after(mut self, retry_after: Duration) -> Self {
                self.common.options.retry_after = retry_after;
                self
            }

            #[doc = concat!("Whether ", $failed, " is 500 if the instance has failed,")]
            /// for a client that understands only status codes. Default: no.
            pub fn internal_server_error_on_failure(mut self, yes: bool) -> Self {
                self.common.options.failure_is_an_error = yes;
                self
            }
        }

        impl IntoFuture for $answer {
            type Output = Response<ResponseBody>;
            type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

            fn into_future(self) -> Self::IntoFuture {
                let api = self.common.api.clone();
                Box::pin(async move {
                    let answer = self.answer().await;
                    answer.unwrap_or_else(|error| api.refusal(error))
                })
            }
        }
    };
}

answer!(StatusResponse, "5", "the answer");
answer!(
    CheckStatusResponse,
    "10",
    "the answer of the link to the status"
);
answer!(WaitResponse, "10", "the answer, now or later,");

/// An answer about to be made of an instance's status: await it. See
/// [`HttpApi::status_response`].
#[must_use = "there is no answer until this is awaited"]
pub struct StatusResponse {
    common: Common,
    location: Option<String>,
    body: Option<WriteBody>,
}

impl StatusResponse {
    pub(crate) fn new(api: HttpApi, id: Id) -> Self {
        let options = LinkOptions {
            retry_after: Duration::from_secs(5),
            ..LinkOptions::default()
        };
        Self {
            common: Common { api, id, options },
            location: None,
            body: None,
        }
    }

    /// Where to look again: a route of the program's own, absolute or a path. Default: a link to
    /// the status route that shows status and output of this instance and nothing else.
    ///
    /// What cannot stand in a URL is encoded; an id that may hold `/`, `?`, `#` or `%` must be made
    /// a [`path_segment`](crate::path_segment) first.
    pub fn location(mut self, location: impl Into<String>) -> Self {
        self.location = Some(location.into());
        self
    }

    /// The body, whether the instance has ended or not. Default: the status object of the
    /// management API, with `input` null.
    pub fn body<T: Serialize>(
        mut self,
        body: impl FnOnce(&OrchestrationStatus) -> T + Send + 'static,
    ) -> Self {
        self.body = Some(Box::new(move |status| serde_json::to_vec(&body(status))));
        self
    }

    async fn answer(self) -> Result<Response<ResponseBody>, ApiError> {
        let Common { api, id, options } = self.common;
        let status = find(&api, id).await?;
        let code = code_of(&status, options.failure_is_an_error);
        let mut response = match self.body {
            Some(body) => match body(&status) {
                Ok(body) => json_text(code, body),
                Err(error) => return Err(ApiError::Internal(error.to_string())),
            },
            None => json(code, &StatusObject::new(&status, LEAST)),
        };
        if code == StatusCode::ACCEPTED {
            let link = || api.links(None, &status).status();
            let location = self.location.unwrap_or_else(link);
            look_again(&mut response, &location, options.retry_after);
        }
        Ok(response)
    }
}

/// What a status link shows.
const LEAST: Shown = Shown {
    input: false,
    output: true,
    history: false,
};

/// What whoever is trusted with the management may see.
const ALL: Shown = Shown {
    input: true,
    output: true,
    history: true,
};

async fn find(api: &HttpApi, id: Id) -> Result<OrchestrationStatus, ApiError> {
    let id = id.map_err(|_| ApiError::NotFound)?;
    api.client().status(&id).await?.ok_or(ApiError::NotFound)
}

impl fmt::Debug for StatusResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusResponse")
            .field("common", &self.common)
            .field("location", &self.location)
            .finish_non_exhaustive()
    }
}

/// An answer about to be made that gives away the management of an instance: await it. See
/// [`HttpApi::check_status_response`].
#[must_use = "there is no answer until this is awaited"]
#[derive(Debug)]
pub struct CheckStatusResponse {
    common: Common,
}

impl CheckStatusResponse {
    pub(crate) fn new(api: HttpApi, id: Id) -> Self {
        let options = LinkOptions::default();
        let common = Common { api, id, options };
        Self { common }
    }

    async fn answer(self) -> Result<Response<ResponseBody>, ApiError> {
        let Common { api, id, options } = self.common;
        let status = find(&api, id).await?;
        Ok(api.links(None, &status).check_status_response(options))
    }
}

/// An answer about to be made once an instance has ended: await it. See
/// [`HttpApi::wait_for_completion_or_check_status_response`].
#[must_use = "there is no answer until this is awaited"]
#[derive(Debug)]
pub struct WaitResponse {
    common: Common,
    timeout: Duration,
}

impl WaitResponse {
    pub(crate) fn new(api: HttpApi, id: Id) -> Self {
        let options = LinkOptions::default();
        Self {
            common: Common { api, id, options },
            timeout: Duration::from_secs(10),
        }
    }

    /// How long to wait. Default: 10 seconds.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    async fn answer(self) -> Result<Response<ResponseBody>, ApiError> {
        let Common { api, id, options } = self.common;
        let id = id.map_err(|_| ApiError::NotFound)?;
        let end = api.client().wait_for_completion(&id);
        if let Ok(end) = tokio::time::timeout(self.timeout, end).await {
            let status = end?.ok_or(ApiError::NotFound)?;
            return Ok(output_or_status(&status, ALL, options.failure_is_an_error));
        }
        let status = find(&api, Ok(id)).await?;
        Ok(api.links(None, &status).check_status_response(options))
    }
}
