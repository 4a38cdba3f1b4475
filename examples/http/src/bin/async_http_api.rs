//! The async HTTP API pattern: a request starts work that takes longer than a request may, and
//! the answer says where to look until it is done.
//!
//! ```text
//! cargo run --release -p durable-http-examples --bin async_http_api
//!
//! curl -i -d '{"processing_time": 10}' -H 'content-type: application/json' \
//!     http://127.0.0.1:8000/api/start-operation
//! curl -i http://127.0.0.1:8000/api/operations/<id>
//! ```
//!
//! The two routes under `/api` are the program's own, for everybody, and give away nothing but
//! what they say. The management routes lie under `/runtime/webhooks/durabletask` and want the key.
//! Kill the server while an operation is under way and start it again: the operation goes on.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Json, Path, State};
use axum::http::StatusCode;
use axum::http::header::{LOCATION, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use durable_core::{
    Activity, ActivityError, Client, NoError, OrchestrationContext, OrchestrationStatus,
    Orchestrator, RuntimeStatus, TaskHub, activity, orchestrator,
};
use durable_http::{HttpApi, path_segment};
use lexopt::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tracing::info;
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// When a client should look again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().init();
    let args = Args::parse()?;
    let hub = TaskHub::open(&args.data).await?;
    let worker = hub
        .worker()
        .register::<async_http_api_orchestrator>()
        .register::<process_long_running_operation>()
        .start()
        .await?;
    info!(
        orchestrator = <async_http_api_orchestrator as Orchestrator>::NAME,
        activity = <process_long_running_operation as Activity>::NAME,
        "registered"
    );

    let api = HttpApi::builder(hub.client())
        .admin_key(&args.key)
        .build()?;
    let app = Router::new()
        .route("/api/start-operation", post(start_operation))
        .route("/api/operations/{id}", get(operation))
        .with_state(Server {
            client: hub.client(),
            api: api.clone(),
        })
        .nest_service("/runtime/webhooks/durabletask", api);
    let listener = tokio::net::TcpListener::bind(args.listen).await?;
    info!(address = %listener.local_addr()?, data = %args.data.display(), "listening");
    axum::serve(listener, app)
        .with_graceful_shutdown(interrupted())
        .await?;

    info!("draining: operations that run may finish, the others go on at the next start");
    let dropped = worker.shutdown().await;
    hub.close().await?;
    info!(dropped, "stopped");
    Ok(())
}

async fn interrupted() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        tracing::error!(%error, "Ctrl-C cannot be heard");
        std::future::pending::<()>().await;
    }
}

#[derive(Clone)]
struct Server {
    client: Client,
    api: HttpApi,
}

/// `POST /api/start-operation`
#[derive(Debug, Deserialize)]
struct StartOperation {
    /// In seconds.
    #[serde(default = "five")]
    processing_time: u64,
}

fn five() -> u64 {
    5
}

async fn start_operation(
    State(server): State<Server>,
    body: Result<Json<StartOperation>, JsonRejection>,
) -> Response {
    let processing_time = match body {
        Ok(Json(body)) => body.processing_time,
        Err(error) => return detail(error.status(), &error.body_text()),
    };
    let operation_id = Uuid::new_v4().to_string();
    let operation = Job {
        operation_id: operation_id.clone(),
        processing_time,
    };
    let start = server
        .client
        .start_orchestration::<async_http_api_orchestrator>(operation)
        .id(&operation_id);
    if let Err(error) = start.await {
        tracing::error!(operation_id, %error, "operation not started");
        return detail(
            StatusCode::SERVICE_UNAVAILABLE,
            "the operation was not started",
        );
    }
    info!(operation_id, processing_time, "operation started");
    let status_url = location(&operation_id);
    let headers = [
        (LOCATION, status_url.clone()),
        (RETRY_AFTER, LOOK_AGAIN.as_secs().to_string()),
    ];
    let body = json!({ "operation_id": operation_id, "status_url": status_url });
    (StatusCode::ACCEPTED, headers, Json(body)).into_response()
}

/// `GET /api/operations/{id}`
async fn operation(State(server): State<Server>, Path(id): Path<String>) -> Response {
    let response = server
        .api
        .status_response(&id)
        .location(location(&id))
        .retry_after(LOOK_AGAIN)
        .body(OperationBody::new)
        .await;
    info!(
        operation_id = id,
        code = response.status().as_u16(),
        "status check"
    );
    if response.status() == StatusCode::NOT_FOUND {
        return detail(StatusCode::NOT_FOUND, &format!("Operation {id} not found"));
    }
    response.into_response()
}

/// What everybody may know of an operation.
#[derive(Debug, Serialize)]
struct OperationBody {
    operation_id: String,
    status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_updated: Option<String>,
}

impl OperationBody {
    fn new(status: &OrchestrationStatus) -> Self {
        let state = status.runtime_status();
        let failed = state == RuntimeStatus::Failed;
        let ended = failed || state == RuntimeStatus::Completed;
        let failure = status.failure().filter(|_| failed);
        let last_updated = jiff::Timestamp::try_from(status.last_updated_at()).ok();
        Self {
            operation_id: status.instance_id().to_string(),
            status: state.to_string(),
            result: status.output().unwrap_or_default(),
            error: failure.map(ToString::to_string),
            last_updated: last_updated.filter(|_| !ended).map(|time| time.to_string()),
        }
    }
}

fn location(operation_id: &str) -> String {
    format!("/api/operations/{}", path_segment(operation_id))
}

fn detail(status: StatusCode, detail: &str) -> Response {
    (status, Json(json!({ "detail": detail }))).into_response()
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Job {
    operation_id: String,
    /// In seconds.
    processing_time: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Outcome {
    operation_id: String,
    status: String,
    result: String,
    /// Seconds since 1970.
    processed_at: u64,
}

/// Has one operation processed.
#[orchestrator]
async fn async_http_api_orchestrator(
    ctx: OrchestrationContext,
    operation: Job,
) -> Result<Outcome, ActivityError<NoError>> {
    ctx.call_activity::<process_long_running_operation>(operation)
        .await
}

/// Takes as long as it is told to.
#[activity]
async fn process_long_running_operation(operation: Job) -> Outcome {
    let Job {
        operation_id,
        processing_time,
    } = operation;
    info!(operation_id, processing_time, "operation begins");
    tokio::time::sleep(Duration::from_secs(processing_time)).await;
    info!(operation_id, processing_time, "operation ends");
    Outcome {
        status: "completed".to_owned(),
        result: format!("Operation {operation_id} completed successfully"),
        processed_at: unix_time(),
        operation_id,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "an activity may look at the clock"
)]
fn unix_time() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

/// The command line.
struct Args {
    listen: SocketAddr,
    data: PathBuf,
    key: String,
}

impl Args {
    fn parse() -> Result<Self, Box<dyn Error>> {
        let mut listen = SocketAddr::from(([127, 0, 0, 1], 8000));
        let mut data = PathBuf::from("target/async_http_api.hub");
        let mut key = None;
        let mut parser = lexopt::Parser::from_env();
        while let Some(arg) = parser.next()? {
            match arg {
                Long("listen") => listen = parser.value()?.parse()?,
                Long("data") => data = parser.value()?.into(),
                Long("key") => key = Some(parser.value()?.string()?),
                Short(_) | Long(_) | Value(_) => {
                    return Err(
                        "usage: async_http_api [--listen ADDRESS] [--data DIRECTORY] [--key KEY]"
                            .into(),
                    );
                }
            }
        }
        let key = key.map_or_else(new_key, Ok)?;
        Ok(Self { listen, data, key })
    }
}

/// A key that nobody knows, printed for whoever started this.
fn new_key() -> Result<String, Box<dyn Error>> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    let key = format!("{:032x}", u128::from_be_bytes(bytes));
    println!("admin key: {key}");
    Ok(key)
}
