//! A hub with a few orchestrators, and a client that looks at every answer.

use std::convert::Infallible;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use durable_core::{
    Client, EventError, OrchestrationContext, OrchestrationStatus, Progress, TaskHub, Worker,
    activity, orchestrator,
};
use durable_http::{HttpApi, HttpApiBuilder, Lenient, ResponseBody};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tower::ServiceExt;

use crate::history::{flaky, held, holds, picky, rely, tour, twice};

pub(crate) const KEY: &str = "an admin key of a good length";

pub(crate) struct World {
    pub(crate) hub: TaskHub,
    pub(crate) client: Client,
    pub(crate) api: HttpApi,
    pub(crate) worker: Worker,
}

/// A hub with one admin key.
pub(crate) async fn world() -> World {
    world_with(|api| api.admin_key(KEY)).await
}

pub(crate) async fn world_with(rules: impl FnOnce(HttpApiBuilder) -> HttpApiBuilder) -> World {
    world_on(TaskHub::in_memory().await.expect("a hub"), rules).await
}

pub(crate) async fn world_on(
    hub: TaskHub,
    rules: impl FnOnce(HttpApiBuilder) -> HttpApiBuilder,
) -> World {
    let worker = hub.worker();
    let worker = worker
        .register::<echo>()
        .register::<wait>()
        .register::<fail>()
        .register::<copy>()
        .register::<copies>()
        .register::<twice>()
        .register::<tour>()
        .register::<flaky>()
        .register::<rely>()
        .register::<held>()
        .register::<holds>()
        .register::<picky>()
        .register::<lenient>();
    let worker = worker.start().await.expect("a worker");
    let client = hub.client();
    let api = rules(HttpApi::builder(client.clone())).build();
    World {
        api: api.expect("rules"),
        client,
        hub,
        worker,
    }
}

/// Returns its input.
#[orchestrator]
pub(crate) async fn echo(input: Value) -> Value {
    input
}

/// Shows that it waits, and returns what the event `Go` brings.
#[orchestrator]
pub(crate) async fn wait(ctx: OrchestrationContext, _input: Value) -> Result<Value, EventError> {
    let shown = ctx.set_custom_status("waiting");
    drop(shown);
    ctx.wait_for_external_event("Go").await
}

#[orchestrator]
pub(crate) async fn fail(message: String) -> Result<(), std::io::Error> {
    Err(std::io::Error::other(message))
}

/// Returns the numbers of a client that may have written them twice.
#[orchestrator]
pub(crate) async fn lenient(Lenient(numbers): Lenient<Vec<u32>>) -> u32 {
    numbers.into_iter().sum()
}

/// Says how far it has come, and then has enough of it.
#[activity]
async fn copy(progress: Progress, files: u32) {
    let reported = progress.report(&serde_json::json!({ "files": files }));
    reported.expect("a report");
    std::future::pending::<()>().await;
}

/// Copies so many files, until the event `Go`.
#[orchestrator]
async fn copies(ctx: OrchestrationContext, files: u32) -> Result<Value, EventError> {
    let _copy = ctx.call_activity::<copy>(files).start();
    ctx.wait_for_external_event("Go").await
}

/// An answer, taken apart.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).expect("JSON")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        let value = value.unwrap_or_else(|| panic!("no {name} in {self:?}"));
        value.to_str().expect("text")
    }

    pub(crate) fn location(&self) -> String {
        self.header("location").to_owned()
    }
}

impl World {
    /// Starts an instance that waits, and looks that it does.
    pub(crate) async fn waiting(&self, id: &str) -> OrchestrationStatus {
        let start = self
            .client
            .start_orchestration::<wait>(Value::from("secret input"));
        start.id(id).await.expect("a start");
        loop {
            let status = self.status(id).await;
            if status.custom_status_json().is_some() {
                return status;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Starts an instance that ends at once, and waits for that.
    pub(crate) async fn ended(&self, id: &str, input: &str) -> OrchestrationStatus {
        let start = self.client.start_by_name("echo", input).id(id);
        start.await.expect("a start");
        let status = self.client.wait_for_completion(id).await;
        status.expect("a hub").expect("an instance")
    }

    /// Starts an instance that fails at once, and waits for that.
    pub(crate) async fn failed(&self, id: &str) -> OrchestrationStatus {
        let start = self.client.start_by_name("fail", "\"no\"").id(id);
        start.await.expect("a start");
        let status = self.client.wait_for_completion(id).await;
        status.expect("a hub").expect("an instance")
    }

    pub(crate) async fn status(&self, id: &str) -> OrchestrationStatus {
        let status = self.client.status(id).await;
        status.expect("a hub").expect("an instance")
    }

    pub(crate) async fn get(&self, uri: &str) -> Reply {
        self.send(Method::GET, uri, &[], "").await
    }

    pub(crate) async fn post(&self, uri: &str, body: &str) -> Reply {
        let json = ("content-type", "application/json");
        self.send(Method::POST, uri, &[json], body).await
    }

    /// `method uri`, by an admin.
    pub(crate) async fn admin(&self, method: Method, uri: &str, body: &str) -> Reply {
        let json = ("content-type", "application/json");
        let key = ("x-functions-key", KEY);
        self.send(method, uri, &[json, key], body).await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        uri: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Full::new(body.to_owned().into_bytes().into());
        let body: Full<bytes::Bytes> = body;
        let request = request.body(body).expect("a request");
        self.ask(request).await
    }

    pub(crate) async fn ask<B>(&self, request: Request<B>) -> Reply
    where
        B: http_body::Body + Send + 'static,
    {
        let answer: Result<Response<ResponseBody>, Infallible> =
            self.api.clone().oneshot(request).await;
        look(answer.expect("never an error")).await
    }

    /// A link's credential, signed with the hub's own key.
    pub(crate) fn forge(&self, claims: &Value) -> String {
        let key = self.client.derive_key("durable-http links");
        sign(&key, claims)
    }
}

pub(crate) fn sign(key: &[u8], claims: &Value) -> String {
    let signed = format!("dl1.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let mac = Hmac::<sha2::Sha256>::new_from_slice(key).expect("any length");
    let mac = mac.chain_update(&signed).finalize().into_bytes();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac))
}

/// What holds for every answer there is.
pub(crate) async fn look(response: Response<ResponseBody>) -> Reply {
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.expect("a body").to_bytes();
    let reply = Reply {
        status: parts.status,
        headers: parts.headers,
        text: String::from_utf8(bytes.to_vec()).expect("UTF-8"),
    };
    assert_eq!(reply.header("cache-control"), "no-store");
    assert_eq!(reply.header("referrer-policy"), "no-referrer");
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
    if reply.text.is_empty() {
        assert!(!reply.headers.contains_key("content-type"), "{reply:?}");
    } else if reply
        .header("content-type")
        .starts_with("text/event-stream")
    {
        assert_eq!(reply.status, StatusCode::OK);
    } else {
        assert_eq!(
            reply.header("content-type"),
            "application/json; charset=utf-8"
        );
        let json: Value = serde_json::from_str(&reply.text).expect("JSON or nothing");
        let is_error = reply.status.is_client_error() || json.get("CorrelationId").is_some();
        // Some errors of the original are a text.
        let is_text = json.is_string() && !reply.status.is_success();
        let says_why = json.get("Message").is_some() || is_text;
        assert_eq!(says_why, is_error, "{reply:?}");
    }
    let cors = |name: &http::HeaderName| name.as_str().starts_with("access-control");
    assert!(!reply.headers.keys().any(cors), "{reply:?}");
    assert!(!reply.text.contains(KEY), "the key is echoed: {reply:?}");
    for value in reply.headers.values() {
        assert!(
            !value
                .as_bytes()
                .windows(KEY.len())
                .any(|part| part == KEY.as_bytes())
        );
    }
    reply
}

/// The keys of an answer, in the order in which they stand there.
pub(crate) fn keys(reply: &Reply) -> Vec<String> {
    let Value::Object(body) = reply.json() else {
        panic!("not an object: {reply:?}");
    };
    let mut keys: Vec<String> = body.keys().cloned().collect();
    keys.sort_by_key(|key| reply.text.find(&format!("\"{key}\":")));
    keys
}
