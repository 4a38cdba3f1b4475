//! Restarts a virtual machine through Azure's management API, with the identity of the machine that this runs
//! on, and waits until it is up again.
//!
//! ```text
//! cargo run --release -p durable-http-examples --bin restart_vm
//! ```
//!
//! Metadata and management endpoints are stand-ins that it starts itself. What differs in Azure: neither
//! `metadata_endpoint` nor `allow_network` is said, and the URL begins with `https://management.azure.com`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::extract::{Query, State};
use axum::http::header::{AUTHORIZATION, LOCATION, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use durable_core::{ActivityError, OrchestrationContext, TaskHub, orchestrator};
use durable_http::{
    CallHttp, HttpActivity, HttpCallError, HttpCalls, HttpClient, HttpRequest, ManagedIdentity,
    OutboundPolicy,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T = (), E = Box<dyn Error>> = std::result::Result<T, E>;

const RESOURCE: &str = "https://management.azure.com";
const VM: &str =
    "/subscriptions/s1/resourceGroups/g1/providers/Microsoft.Compute/virtualMachines/vm1";
const TOKEN: &str = "a-token-of-the-stand-in";

#[tokio::main]
async fn main() -> Result {
    let cloud = Arc::new(Cloud::default());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let origin = format!("http://{}", listener.local_addr()?);
    let app = cloud_app(Arc::clone(&cloud));
    let server = tokio::spawn(async { axum::serve(listener, app).await });

    let directory = tempfile::tempdir()?;
    let path = directory.path().join("operations.db");
    let hub = TaskHub::open(&path).await?;
    let policy = OutboundPolicy::public().allow_network("127.0.0.0/8")?;
    let identity = ManagedIdentity::virtual_machine().metadata_endpoint(&origin);
    let calls = HttpCalls::new(HttpClient::new(policy)).token_source("azure", identity);
    let worker = hub
        .worker()
        .state(calls)
        .register::<restart_vm>()
        .register::<HttpActivity>()
        .start()
        .await?;

    let start = hub
        .client()
        .start_orchestration::<restart_vm>(format!("{origin}{VM}"));
    let state = start.id("restart-vm1").await?.wait_for_completion().await?;
    println!("the machine is {state}");
    assert_eq!(state, "PowerState/running");

    // One restart, followed to its end; one token for all of it, and none in the history.
    let times = |count: &AtomicU32| count.load(Ordering::SeqCst);
    assert_eq!(
        (
            times(&cloud.restarts),
            times(&cloud.polls),
            times(&cloud.tokens)
        ),
        (1, 3, 1)
    );
    let mut history = Vec::new();
    hub.client()
        .history("restart-vm1")
        .export(&mut history)
        .await?;
    let history = String::from_utf8(history)?;
    assert!(history.contains("virtualMachines/vm1/restart") && !history.contains(TOKEN));

    worker.shutdown().await;
    hub.close().await?;
    server.abort();
    Ok(())
}

#[derive(Debug, thiserror::Error, serde::Serialize, Deserialize)]
enum RestartError {
    #[error(transparent)]
    Call(#[from] ActivityError<HttpCallError>),
    #[error("the management API answers {0}")]
    Refused(u16),
    #[error("the management API's answer is not understood")]
    NotUnderstood,
}

/// Restarts the machine of this URL, and says in which state it is afterwards.
#[orchestrator]
async fn restart_vm(
    ctx: OrchestrationContext,
    vm: String,
) -> std::result::Result<String, RestartError> {
    // Answered with 202: asked on until the restart is over, however long that takes, also over restarts of
    // this program.
    let request = HttpRequest::post(format!("{vm}/restart?api-version=2024-07-01"));
    let restarted = ctx
        .call_http(request.token_source("azure", RESOURCE))
        .await?;
    if !restarted.is_success() {
        return Err(RestartError::Refused(restarted.status()));
    }
    let request = HttpRequest::get(format!("{vm}/instanceView?api-version=2024-07-01"));
    let view = ctx
        .call_http(request.token_source("azure", RESOURCE))
        .await?;
    let view: Value = view.json().map_err(|_| RestartError::NotUnderstood)?;
    let statuses = view["statuses"].as_array().into_iter().flatten();
    let mut codes = statuses.filter_map(|status| status["code"].as_str());
    let power = codes.find(|code| code.starts_with("PowerState/"));
    power.map(str::to_owned).ok_or(RestartError::NotUnderstood)
}

/// What stands in for the cloud, and what was asked of it.
#[derive(Default)]
struct Cloud {
    tokens: AtomicU32,
    restarts: AtomicU32,
    polls: AtomicU32,
}

fn cloud_app(cloud: Arc<Cloud>) -> Router {
    Router::new()
        .route("/metadata/identity/oauth2/token", get(grant))
        .route(&format!("{VM}/restart"), post(restart))
        .route("/operations/1", get(operation))
        .route(&format!("{VM}/instanceView"), get(instance_view))
        .with_state(cloud)
}

#[derive(Deserialize)]
struct Wanted {
    resource: String,
}

async fn grant(
    State(cloud): State<Arc<Cloud>>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Response {
    // Which keeps out whoever can only make this machine ask a URL.
    if !headers.contains_key("metadata") || wanted.resource != RESOURCE {
        return StatusCode::BAD_REQUEST.into_response();
    }
    cloud.tokens.fetch_add(1, Ordering::SeqCst);
    let token = json!({ "access_token": TOKEN, "expires_in": "86399", "token_type": "Bearer" });
    Json(token).into_response()
}

fn is_allowed(headers: &HeaderMap) -> bool {
    let bearer = format!("Bearer {TOKEN}");
    headers
        .get(AUTHORIZATION)
        .is_some_and(|given| given.as_bytes() == bearer.as_bytes())
}

async fn restart(State(cloud): State<Arc<Cloud>>, headers: HeaderMap) -> Response {
    if !is_allowed(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    cloud.restarts.fetch_add(1, Ordering::SeqCst);
    println!("restarting");
    accepted()
}

/// It takes two looks until it is up.
async fn operation(State(cloud): State<Arc<Cloud>>, headers: HeaderMap) -> Response {
    if !is_allowed(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    match cloud.polls.fetch_add(1, Ordering::SeqCst) {
        0 | 1 => {
            println!("still restarting");
            accepted()
        }
        _ => StatusCode::OK.into_response(),
    }
}

fn accepted() -> Response {
    let headers = [(LOCATION, "/operations/1"), (RETRY_AFTER, "1")];
    (StatusCode::ACCEPTED, headers).into_response()
}

async fn instance_view(headers: HeaderMap) -> Response {
    if !is_allowed(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let statuses = json!([
        { "code": "ProvisioningState/succeeded" },
        { "code": "PowerState/running" },
    ]);
    Json(json!({ "statuses": statuses })).into_response()
}
