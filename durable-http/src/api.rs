//! The management API of a hub.

use std::sync::Arc;
use std::time::Duration;

use durable_core::{Client, IdReusePolicy, InstanceId, InvalidInstanceId, OrchestrationStatus};
use http::header::RETRY_AFTER;
use http::request::Parts;
use http::{HeaderValue, Response};

use crate::auth::{Actions, Own, Rules};
use crate::body::Limits;
use crate::builder::HttpApiBuilder;
use crate::error::ApiError;
use crate::links::{Base, Grant, InstanceLinks};
use crate::own_routes::{CheckStatusResponse, StatusResponse, WaitResponse};
use crate::response::{ResponseBody, whole_seconds};
use crate::routes::BasePath;

/// The management API of a hub, as a `tower` service; see the [crate](crate). Cheap to clone.
///
/// It runs inside a tokio runtime with timers.
#[derive(Clone, Debug)]
pub struct HttpApi {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) client: Client,
    pub(crate) rules: Rules,
    pub(crate) base: Base,
    pub(crate) base_path: BasePath,
    pub(crate) own: Own,
    pub(crate) limits: Limits,
    pub(crate) retry_after: Duration,
    pub(crate) id_reuse: IdReusePolicy,
    pub(crate) page_size: usize,
    pub(crate) max_history_size: usize,
    pub(crate) max_wait_time: Duration,
    pub(crate) served: Actions,
    pub(crate) streams: Arc<tokio::sync::Semaphore>,
    pub(crate) max_stream_time: Duration,
}

impl HttpApi {
    /// Builds one on a hub.
    pub fn builder(client: Client) -> HttpApiBuilder {
        HttpApiBuilder::new(client)
    }

    pub(crate) fn new(inner: Inner) -> Self {
        let inner = Arc::new(inner);
        Self { inner }
    }

    /// An answer from a program's own route that lets its caller watch one instance, and nothing
    /// else: 202 with `Location` and `Retry-After` while it goes on, 200 once it has ended, 404
    /// with no body if there is none.
    ///
    /// Who may see it is for the route to decide; the management API's rules are not asked.
    ///
    /// ```
    /// # use durable_http::{HttpApi, ResponseBody, path_segment};
    /// use axum::extract::{Path, State};
    ///
    /// async fn operation(State(api): State<HttpApi>, Path(id): Path<String>) -> http::Response<ResponseBody> {
    ///     api.status_response(&id)
    ///         .location(format!("/api/operations/{}", path_segment(&id)))
    ///         .body(|status| serde_json::json!({ "state": status.runtime_status().to_string() }))
    ///         .await
    /// }
    /// ```
    pub fn status_response(
        &self,
        id: impl TryInto<InstanceId, Error: Into<InvalidInstanceId>>,
    ) -> StatusResponse {
        StatusResponse::new(self.clone(), id.try_into().map_err(Into::into))
    }

    /// An answer from a program's own route that hands its caller the **management** of one
    /// instance: 202 with a link for each thing that can be done to it, terminating and purging
    /// it included. For callers that are trusted with that; for all others there is
    /// [`status_response`](Self::status_response).
    pub fn check_status_response(
        &self,
        id: impl TryInto<InstanceId, Error: Into<InvalidInstanceId>>,
    ) -> CheckStatusResponse {
        CheckStatusResponse::new(self.clone(), id.try_into().map_err(Into::into))
    }

    /// An answer from a program's own route that waits for the end of an instance: 200 with its bare
    /// output if it completes in time, 200 with its status if it ends otherwise, else as
    /// [`check_status_response`](Self::check_status_response), for callers that are trusted with that.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use durable_http::{HttpApi, ResponseBody};
    /// use axum::extract::{Path, State};
    ///
    /// async fn result(State(api): State<HttpApi>, Path(id): Path<String>) -> http::Response<ResponseBody> {
    ///     api.wait_for_completion_or_check_status_response(&id)
    ///         .timeout(Duration::from_secs(5))
    ///         .await
    /// }
    /// ```
    pub fn wait_for_completion_or_check_status_response(
        &self,
        id: impl TryInto<InstanceId, Error: Into<InvalidInstanceId>>,
    ) -> WaitResponse {
        WaitResponse::new(self.clone(), id.try_into().map_err(Into::into))
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// The answer to a request that is not done.
    pub(crate) fn refusal(&self, error: ApiError) -> Response<ResponseBody> {
        let retry_after = error.retry_after(self.inner.retry_after);
        let mut response = error.into_response();
        if let Some(retry_after) = retry_after {
            let seconds = HeaderValue::from(whole_seconds(retry_after));
            response.headers_mut().insert(RETRY_AFTER, seconds);
        }
        response
    }

    pub(crate) fn client(&self) -> &Client {
        &self.inner.client
    }

    /// The signed links of an instance, for an answer to this request.
    pub(crate) fn links<'a>(
        &'a self,
        parts: Option<&Parts>,
        status: &'a OrchestrationStatus,
    ) -> InstanceLinks<'a> {
        let grant = Grant::signed(&self.inner.rules.signer, status);
        InstanceLinks::new(&self.root(parts), status.instance_id(), grant)
    }

    /// What every link in an answer to this request begins with.
    pub(crate) fn root(&self, parts: Option<&Parts>) -> String {
        self.inner.base.of(parts) + self.inner.base_path.as_str()
    }
}
