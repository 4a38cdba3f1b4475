//! The plain starter: a route of the program's own that starts whatever orchestrator is named in it, and answers
//! with where to watch and steer what was started.
//!
//! ```text
//! cargo run --release -p durable-http-examples --bin http_start
//! cargo run --release -p durable-http-examples --bin http_start -- --listen 127.0.0.1:8000
//!
//! curl -i -d '"Ada"' http://127.0.0.1:8000/api/start/greet
//! ```
//!
//! Without `--listen` it asks itself, and looks at the answers. The answer to a start gives away the
//! management of one instance: a route like this one is for callers who may do everything to what they start.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header::LOCATION;
use axum::http::{Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use durable_core::{
    ActivityError, Client, NoError, OrchestrationContext, StartError, TaskHub, activity,
    orchestrator,
};
use durable_http::HttpApi;
use http_body_util::BodyExt;
use lexopt::prelude::*;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::ServiceExt;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T = (), E = Box<dyn Error>> = std::result::Result<T, E>;

const BASE: &str = "/runtime/webhooks/durabletask";
const KEY: &str = "an example's key: make your own of random bytes";

#[tokio::main]
async fn main() -> Result {
    let listen = listen()?;
    let hub = TaskHub::in_memory().await?;
    let worker = hub
        .worker()
        .register::<greet>()
        .register::<countdown>()
        .register::<say_hello>()
        .start()
        .await?;
    let app = app(hub.client())?;
    match listen {
        Some(address) => {
            let listener = TcpListener::bind(address).await?;
            println!("listening on http://{}", listener.local_addr()?);
            axum::serve(listener, app)
                .with_graceful_shutdown(async { drop(tokio::signal::ctrl_c().await) })
                .await?;
        }
        None => ask_itself(&app).await?,
    }
    worker.shutdown().await;
    hub.close().await?;
    Ok(())
}

fn app(client: Client) -> Result<Router> {
    let api = HttpApi::builder(client.clone()).admin_key(KEY).build()?;
    let start = get(start).post(start);
    Ok(Router::new()
        .route("/api/start/{orchestrator}", start)
        .with_state((client, api.clone()))
        // The links in the answers lead here; each opens one thing.
        .nest_service(BASE, api))
}

/// `GET` or `POST /api/start/{orchestrator}`, with the input as the body, if there is any.
async fn start(
    State((client, api)): State<(Client, HttpApi)>,
    Path(orchestrator): Path<String>,
    input: Bytes,
) -> Response {
    match client.start_by_name(orchestrator, input).await {
        Ok(id) => api.check_status_response(id).await.into_response(),
        Err(StartError::NotRegistered { name, .. }) => {
            let message = format!("there is no orchestrator {name}\n");
            (StatusCode::NOT_FOUND, message).into_response()
        }
        Err(error @ StartError::Input { .. }) => {
            (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response()
        }
        Err(error) => {
            println!("not started: {error}");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

/// Starts each of them, and one that is not there, as clients do.
async fn ask_itself(app: &Router) -> Result {
    for (method, uri, input, output) in [
        (
            Method::POST,
            "/api/start/greet",
            "\"Ada\"",
            json!("Hello, Ada!"),
        ),
        (Method::GET, "/api/start/countdown", "", json!("lift-off")),
        (Method::POST, "/api/start/countdown", "3", json!("lift-off")),
    ] {
        let started = ask(app, &method, uri, input).await?;
        assert_eq!(started.status(), StatusCode::ACCEPTED);
        let location = started.headers()[LOCATION].to_str()?.to_owned();
        let links = json_of(started).await?;
        assert_eq!(links["statusQueryGetUri"], location);

        // Answered when it has ended, so that there is no need to ask again and again.
        let ended = ask(app, &Method::GET, &format!("{location}&timeout=60"), "").await?;
        assert_eq!(ended.status(), StatusCode::OK);
        let status = json_of(ended).await?;
        println!("{method} {uri} {input}: {status}");
        assert_eq!(status["output"], output);
    }
    for (uri, input, code) in [
        ("/api/start/nobody", "1", StatusCode::NOT_FOUND),
        ("/api/start/greet", "{", StatusCode::BAD_REQUEST),
    ] {
        let refused = ask(app, &Method::POST, uri, input).await?;
        assert_eq!(refused.status(), code, "{uri}");
    }
    Ok(())
}

async fn ask(app: &Router, method: &Method, uri: &str, body: &'static str) -> Result<Response> {
    let request = Request::builder().method(method).uri(uri);
    Ok(app.clone().oneshot(request.body(Body::from(body))?).await?)
}

async fn json_of(response: Response) -> Result<Value> {
    let body = response.into_body().collect().await?.to_bytes();
    Ok(serde_json::from_slice(&body)?)
}

/// Greets somebody.
#[orchestrator]
async fn greet(ctx: OrchestrationContext, name: String) -> Result<String, ActivityError<NoError>> {
    ctx.call_activity::<say_hello>(name).await
}

#[activity]
async fn say_hello(name: String) -> String {
    format!("Hello, {name}!")
}

/// Counts down, each number for ten milliseconds; from 10 if it is not told from where.
#[orchestrator]
async fn countdown(ctx: OrchestrationContext, from: Option<u32>) -> String {
    for _ in 0..from.unwrap_or(10) {
        ctx.create_timer(std::time::Duration::from_millis(10)).await;
    }
    "lift-off".to_owned()
}

fn listen() -> Result<Option<SocketAddr>> {
    let (mut listen, mut parser) = (None, lexopt::Parser::from_env());
    while let Some(arg) = parser.next()? {
        match arg {
            Long("listen") => listen = Some(parser.value()?.parse()?),
            Short(_) | Long(_) | Value(_) => return Err(arg.unexpected().into()),
        }
    }
    Ok(listen)
}
