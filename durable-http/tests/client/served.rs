//! A hub that is served over sockets.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use durable_core::{EventError, OrchestrationContext, TaskHub, Worker, orchestrator};
use durable_http::client::{Client, ClientBuilder, Instance, Links};
use durable_http::{Actions, HttpApi, HttpApiBuilder};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::net::TcpListener;

pub(crate) const KEY: &str = "the key of these tests, and of no other";
const BASE: &str = "/runtime/webhooks/durabletask";

/// A hub in memory with a worker, and the paths that were asked for. The server ends with the test.
pub(crate) struct Served {
    pub(crate) api: HttpApi,
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<String>>>,
    _worker: (TaskHub, Worker),
}

/// Everybody may do everything.
pub(crate) async fn anonymous() -> Served {
    served(|api| api.allow_anonymous(Actions::ALL), true).await
}

pub(crate) async fn with_key() -> Served {
    served(|api| api.admin_key(KEY), true).await
}

/// As services are that have no streams of events.
pub(crate) async fn without_events() -> Served {
    served(|api| api.allow_anonymous(Actions::ALL), false).await
}

async fn served(rules: impl FnOnce(HttpApiBuilder) -> HttpApiBuilder, events: bool) -> Served {
    let hub = TaskHub::in_memory().await.expect("a hub");
    let worker = hub
        .worker()
        .register::<echo>()
        .register::<wait>()
        .register::<fail>()
        .start()
        .await
        .expect("a worker");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let origin = format!("http://{}", listener.local_addr().expect("an address"));
    let api = rules(HttpApi::builder(hub.client()).public_url(&origin)).build();
    let api = api.expect("rules");
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let watch = from_fn(move |request: Request, next: Next| {
        let path = request.uri().path().to_owned();
        let hidden = !events && path.ends_with("/events");
        seen.lock().expect("unpoisoned").push(path);
        async move {
            if hidden {
                return StatusCode::NOT_FOUND.into_response();
            }
            next.run(request).await
        }
    });
    let app = Router::new().nest_service(BASE, api.clone()).layer(watch);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Served {
        api,
        url: format!("{origin}{BASE}"),
        asked,
        _worker: (hub, worker),
    }
}

impl Served {
    pub(crate) fn client(&self) -> Client {
        self.client_with(|client| client)
    }

    pub(crate) fn client_with(&self, with: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Client {
        with(Client::builder(&self.url)).build().expect("a client")
    }

    /// The links that a route of a program's own hands out, and who has nothing else.
    pub(crate) async fn by_links(&self, id: &str) -> Instance {
        let payload = self.api.check_status_response(id).await.into_body();
        let payload = payload.collect().await.expect("a body").to_bytes();
        let links: Links = serde_json::from_slice(&payload).expect("links");
        self.client().follow(links)
    }

    /// How often this was asked for.
    pub(crate) fn times(&self, path: &str) -> usize {
        let asked = self.asked.lock().expect("unpoisoned");
        let path = format!("{BASE}{path}");
        asked.iter().filter(|asked| **asked == path).count()
    }
}

/// Returns its input.
#[orchestrator]
async fn echo(input: Value) -> Value {
    input
}

/// Returns what the event `Go` brings.
#[orchestrator]
async fn wait(ctx: OrchestrationContext, _input: Value) -> Result<Value, EventError> {
    drop(ctx.set_custom_status(&vec!["waiting"]));
    ctx.wait_for_external_event("Go").await
}

/// Fails the first time, and as often as it is not told better.
#[orchestrator]
async fn fail(ctx: OrchestrationContext, message: String) -> Result<(), std::io::Error> {
    ctx.create_timer(std::time::Duration::from_millis(1)).await;
    Err(std::io::Error::other(message))
}
