//! A server that answers as a test says and notes what it was asked, and an orchestrator that asks it.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use axum::serve::Listener;
use durable_core::testing::TestHub;
use durable_core::{ActivityError, OrchestrationContext, orchestrator};
use durable_http::{
    CallHttp, HttpActivity, HttpCallError, HttpCalls, HttpClient, HttpRequest, HttpResponse,
    OutboundPolicy,
};
use http::HeaderMap;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .get(name)
            .map(|value| value.to_str().expect("text"))
    }
}

pub(crate) struct Stub {
    /// `http://127.0.0.1:port`, or `https://..`
    pub(crate) url: String,
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    news: mpsc::UnboundedReceiver<Seen>,
    _task: AbortOnDropHandle<()>,
}

impl Stub {
    /// Answers with what `answer` makes of a request and of its number, from 0.
    pub(crate) async fn new(
        answer: impl Fn(&Seen, usize) -> Response + Clone + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        Self::on(listener, "http", port, answer)
    }

    /// The same on a listener that is there already.
    pub(crate) fn on<L: Listener<Addr: Debug>>(
        listener: L,
        scheme: &str,
        port: u16,
        answer: impl Fn(&Seen, usize) -> Response + Clone + Send + Sync + 'static,
    ) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (sender, news) = mpsc::unbounded_channel();
        let all = Arc::clone(&seen);
        let app = Router::new().fallback(move |request: Request| async move {
            let (parts, body) = request.into_parts();
            let body = to_bytes(body, 1 << 20).await.expect("a body");
            let path = parts.uri.path_and_query().expect("a path").to_string();
            let seen = Seen {
                method: parts.method.to_string(),
                path,
                headers: parts.headers,
                body: String::from_utf8(body.into()).expect("text"),
            };
            let nth = {
                let mut all = all.lock().expect("no panic");
                all.push(seen.clone());
                all.len() - 1
            };
            let answer = answer(&seen, nth);
            drop(sender.send(seen));
            answer
        });
        let serving = async { axum::serve(listener, app).await.expect("a server") };
        Self {
            url: format!("{scheme}://127.0.0.1:{port}"),
            port,
            seen,
            news,
            _task: AbortOnDropHandle::new(tokio::spawn(serving)),
        }
    }

    /// Answers everything with this.
    pub(crate) async fn always(status: u16, headers: &'static [(&str, &str)]) -> Self {
        Self::new(move |_, _| reply(status, headers, "")).await
    }

    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no panic").clone()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen().iter().map(Seen::line).collect()
    }

    /// Waits for the next request.
    pub(crate) async fn next(&mut self) -> Seen {
        self.news.recv().await.expect("a request")
    }
}

pub(crate) fn reply(status: u16, headers: &[(&str, &str)], body: &str) -> Response {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response
        .body(Body::from(body.to_owned()))
        .expect("a response")
}

/// A client that may connect to this machine.
pub(crate) fn client() -> HttpClient {
    HttpClient::new(OutboundPolicy::everything())
}

pub(crate) fn calls() -> HttpCalls {
    HttpCalls::new(client())
}

pub(crate) type Outcome = (Option<HttpResponse>, Option<ActivityError<HttpCallError>>);

/// Asks, and says what came of it.
#[orchestrator]
pub(crate) async fn ask(ctx: OrchestrationContext, request: HttpRequest) -> Outcome {
    match ctx.call_http(request).await {
        Ok(answer) => (Some(answer), None),
        Err(error) => (None, Some(error)),
    }
}

/// What came of a request, and how long it took on the hub's clock.
pub(crate) async fn made(calls: HttpCalls, request: HttpRequest) -> (Outcome, Duration) {
    let hub = TestHub::builder().state(calls).register::<HttpActivity>();
    let hub = hub.register::<ask>().start().await.expect("a hub");
    let began = hub.now();
    let start = hub.client().start_orchestration::<ask>(request);
    let instance = start.await.expect("a start");
    let outcome = instance.wait_for_completion().await.expect("an outcome");
    let replayed = hub.check_replay().await.expect("it replays");
    assert_eq!(replayed, 1);
    (outcome, hub.now().duration_since(began).expect("later"))
}

pub(crate) async fn answer(request: HttpRequest) -> HttpResponse {
    let ((answer, error), _) = made(calls(), request).await;
    answer.unwrap_or_else(|| panic!("{error:?}"))
}

pub(crate) async fn error(calls: HttpCalls, request: HttpRequest) -> HttpCallError {
    match made(calls, request).await.0 {
        (None, Some(ActivityError::Application(error))) => error,
        other => panic!("{other:?}"),
    }
}
