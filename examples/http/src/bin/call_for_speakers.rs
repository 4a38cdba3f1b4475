//! Call for speakers: talks are submitted, moderated, shortlisted and selected, which takes a while; their
//! speakers watch how far theirs has come, and can do nothing else to it.
//!
//! ```text
//! cargo run --release -p durable-http-examples --bin call_for_speakers
//!
//! curl -i http://127.0.0.1:8000/api/submit -H 'content-type: application/json' -d '{
//!     "speaker": {"name": "Ada", "email": "ada@example.org", "bio": "Counts", "country": "UK"},
//!     "title": "Notes on an engine", "description": "What it may do", "track": "Machines"}'
//! curl -i http://127.0.0.1:8000/api/status/<id>
//! ```
//!
//! `call_for_speakers_client` does the same from Rust. The committee is quick here and judges by the seed;
//! with `--real-time` it takes 20, 15 and 10 seconds for a talk. Kill the server and start it again: no
//! talk is lost.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Json, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use durable_core::{
    Client, OrchestrationContext, OrchestrationStatus, RuntimeStatus, TaskHub, activity,
    orchestrator,
};
use durable_http::{HttpApi, path_segment};
use lexopt::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpListener;
use tracing::info;
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T = (), E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

#[tokio::main]
async fn main() -> Result {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let args = Args::parse()?;
    let hub = match &args.data {
        Some(directory) => TaskHub::open(directory).await?,
        None => TaskHub::in_memory().await?,
    };
    let worker = hub
        .worker()
        .state(args.committee)
        .register::<process_submission>()
        .register::<moderate>()
        .register::<shortlist>()
        .register::<select>()
        .start()
        .await?;
    let listener = TcpListener::bind(args.listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app(hub.client(), args.committee)?)
        .with_graceful_shutdown(async { drop(tokio::signal::ctrl_c().await) })
        .await?;
    worker.shutdown().await;
    hub.close().await?;
    Ok(())
}

/// What the program's own routes need.
#[derive(Clone)]
struct Office {
    client: Client,
    api: HttpApi,
    look_again: Duration,
}

fn app(client: Client, committee: Committee) -> Result<Router> {
    // Nobody is told the key: what is open there is what links open.
    let key = Uuid::new_v4().to_string();
    let api = HttpApi::builder(client.clone()).admin_key(key).build()?;
    let office = Office {
        client,
        api: api.clone(),
        look_again: committee.pause(20).max(Duration::from_secs(1)),
    };
    Ok(Router::new()
        .route("/api/submit", post(submit))
        .route("/api/status/{id}", get(status))
        .route("/api/rawcheckstatusresponse/{id}", get(raw))
        .with_state(office)
        .nest_service("/runtime/webhooks/durabletask", api))
}

/// `POST /api/submit`
async fn submit(
    State(office): State<Office>,
    talk: Result<Json<Presentation>, JsonRejection>,
) -> Response {
    let talk = match talk {
        Ok(Json(talk)) => talk,
        Err(error) => return message(error.status(), &error.body_text()),
    };
    let start = office
        .client
        .start_orchestration::<process_submission>(talk);
    match start.await {
        Ok(instance) => office.status(instance.id().as_str()).await,
        Err(error) => {
            tracing::error!(%error, "a talk was not taken");
            let again = "we cannot take your talk now, please try again";
            message(StatusCode::SERVICE_UNAVAILABLE, again)
        }
    }
}

/// `GET /api/status/{id}`: what whoever knows of a talk may know.
async fn status(State(office): State<Office>, Path(id): Path<String>) -> Response {
    office.status(&id).await
}

/// `GET /api/rawcheckstatusresponse/{id}`: **what not to publish.** With these links whoever asks may read
/// all that was submitted, decide in place of the committee, end it and wipe out its traces.
async fn raw(State(office): State<Office>, Path(id): Path<String>) -> Response {
    office.api.check_status_response(&id).await.into_response()
}

impl Office {
    /// 202 with where to look again while the committee is at it, then 200; 500 if it cannot decide.
    async fn status(&self, id: &str) -> Response {
        let response = self
            .api
            .status_response(id)
            .location(format!("/api/status/{}", path_segment(id)))
            .retry_after(self.look_again)
            .internal_server_error_on_failure(true)
            .body(News::of)
            .await;
        if response.status() == StatusCode::NOT_FOUND {
            return message(StatusCode::NOT_FOUND, "we know of no such talk");
        }
        response.into_response()
    }
}

/// All that is told of a talk.
#[derive(Debug, Serialize)]
struct News {
    stage: Option<String>,
    message: String,
}

impl News {
    fn of(status: &OrchestrationStatus) -> Self {
        let stage: Option<String> = status.custom_status().unwrap_or_default();
        let message = match (status.runtime_status(), stage.as_deref()) {
            (RuntimeStatus::Completed, Some("Approved")) => {
                "congratulations, your talk was selected".to_owned()
            }
            (RuntimeStatus::Completed, _) => "we are sorry, not this time".to_owned(),
            (RuntimeStatus::Failed | RuntimeStatus::Terminated, _) => {
                "something went wrong, please write to us".to_owned()
            }
            (_, Some(stage)) => format!("your talk is in {}", stage.to_lowercase()),
            (_, None) => "we have your talk".to_owned(),
        };
        Self { stage, message }
    }
}

fn message(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "message": message }))).into_response()
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Presentation {
    /// That of its instance; what is submitted has none.
    #[serde(default)]
    id: String,
    speaker: Speaker,
    title: String,
    description: String,
    track: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Speaker {
    name: String,
    email: String,
    bio: String,
    country: String,
}

/// Whether a talk is selected.
#[orchestrator(name = "ProcessSubmission")]
async fn process_submission(ctx: OrchestrationContext, talk: Presentation) -> Result<bool> {
    let talk = Presentation {
        id: ctx.instance_id().to_string(),
        ..talk
    };
    let approved = passes(ctx, &talk).await?;
    let verdict = if approved { "Approved" } else { "Rejected" };
    ctx.set_custom_status(verdict)?;
    info!(talk.id, talk.title, verdict, "decided");
    Ok(approved)
}

async fn passes(ctx: OrchestrationContext, talk: &Presentation) -> Result<bool> {
    ctx.set_custom_status("Moderation")?;
    if !ctx.call_activity::<moderate>(talk.clone()).await? {
        return Ok(false);
    }
    ctx.set_custom_status("Shortlisting")?;
    if !ctx.call_activity::<shortlist>(talk.clone()).await? {
        return Ok(false);
    }
    ctx.set_custom_status("Selection")?;
    Ok(ctx.call_activity::<select>(talk.clone()).await?)
}

#[activity(name = "Moderate")]
async fn moderate(
    durable_core::State(committee): durable_core::State<Committee>,
    talk: Presentation,
) -> bool {
    tokio::time::sleep(committee.pause(20)).await;
    committee.likes(&talk, 5)
}

#[activity(name = "Shortlist")]
async fn shortlist(
    durable_core::State(committee): durable_core::State<Committee>,
    talk: Presentation,
) -> bool {
    tokio::time::sleep(committee.pause(15)).await;
    committee.likes(&talk, 3)
}

#[activity(name = "Select")]
async fn select(
    durable_core::State(committee): durable_core::State<Committee>,
    talk: Presentation,
) -> bool {
    tokio::time::sleep(committee.pause(10)).await;
    committee.likes(&talk, 4)
}

/// In place of people: their moods are in the seed, and the same talk fares the same again.
#[derive(Clone, Copy, Debug)]
struct Committee {
    seed: u64,
    real_time: bool,
}

impl Committee {
    fn pause(self, seconds: u64) -> Duration {
        if self.real_time {
            Duration::from_secs(seconds)
        } else {
            Duration::from_millis(10 * seconds)
        }
    }

    /// In so many of six moods.
    fn likes(self, talk: &Presentation, moods: u8) -> bool {
        let letters = talk.title.bytes().map(u64::from);
        let impression = letters.fold(self.seed, |all, letter| {
            all.wrapping_mul(31).wrapping_add(letter)
        });
        let impression = impression.wrapping_add(u64::from(moods));
        fastrand::Rng::with_seed(impression).u8(0..6) < moods
    }
}

/// The command line.
struct Args {
    listen: SocketAddr,
    data: Option<PathBuf>,
    committee: Committee,
}

impl Args {
    fn parse() -> Result<Self> {
        const USAGE: &str = "usage: call_for_speakers [--listen ADDRESS] [--data DIRECTORY] [--seed N] [--real-time]";
        let mut args = Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8000)),
            data: None,
            committee: Committee {
                seed: fastrand::u64(..),
                real_time: false,
            },
        };
        let mut parser = lexopt::Parser::from_env();
        while let Some(arg) = parser.next()? {
            match arg {
                Long("listen") => args.listen = parser.value()?.parse()?,
                Long("data") => args.data = Some(parser.value()?.into()),
                Long("seed") => args.committee.seed = parser.value()?.parse()?,
                Long("real-time") => args.committee.real_time = true,
                Short(_) | Long(_) | Value(_) => return Err(USAGE.into()),
            }
        }
        Ok(args)
    }
}
