//! The service inside real servers: nested in axum, laid around axum, and under plain hyper.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use durable_http::{HttpApiLayer, HttpApiMiddleware};
use http::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::Layer;

use crate::world::{KEY, World, world, world_with};

const BASE: &str = "/runtime/webhooks/durabletask";

#[test]
fn the_service_can_be_shared_and_sent() {
    fn check<T: Clone + Send + Sync + 'static>() {}
    check::<durable_http::HttpApi>();
    check::<HttpApiMiddleware<Router>>();
}

#[tokio::test]
async fn nested_in_axum_it_answers_below_its_path() {
    let world = world().await;
    let app = Router::new()
        .route("/", get(|| async { "own" }))
        .nest_service(BASE, world.api.clone());
    let server = Server::axum(app).await;
    server.check(&world).await;
    assert!(server.get("/").await.ends_with("own"));
    assert!(server.get("/other").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn laid_around_axum_it_takes_its_path_and_nothing_else() {
    let world = world().await;
    let app = Router::new()
        .route("/", get(|| async { "own" }))
        .route("/instances/{id}", get(|| async { "own instances" }))
        .route("/%zz", get(|| async { "own" }));
    let layer = HttpApiLayer::new(world.api.clone());
    let service = layer.layer(app.clone());
    let server = Server::axum(Router::new().fallback_service(service)).await;
    server.check(&world).await;
    assert!(server.get("/").await.ends_with("own"));
    assert!(server.get("/instances/x").await.ends_with("own instances"));
    let unknown = server.get(&format!("{BASE}/unknown")).await;
    assert!(unknown.starts_with("HTTP/1.1 404"));
    assert!(
        unknown.contains("nosniff"),
        "it is the management API that does not know it"
    );

    // As a layer of axum's own router it works as well.
    let server = Server::axum(app.fallback(|| async {}).layer(layer)).await;
    server.check(&world).await;
}

#[tokio::test]
async fn under_plain_hyper_it_answers_with_its_base_path_and_without() {
    let world = world().await;
    let server = Server::hyper(&world).await;
    server.check(&world).await;
    assert!(
        server
            .get("/instances/none")
            .await
            .starts_with("HTTP/1.1 401")
    );
}

#[tokio::test]
async fn bytes_on_the_wire_that_are_no_good_body_start_nothing() {
    let world = world_with(|api| {
        let api = api.admin_key(KEY).max_body_time(Duration::from_millis(100));
        api.max_body_size(10_000)
    })
    .await;
    let server = Server::hyper(&world).await;
    let head =
        format!("POST /orchestrators/echo/x HTTP/1.1\r\nhost: x\r\nx-functions-key: {KEY}\r\n");

    let slow = server
        .send(&format!("{head}content-length: 10\r\n\r\n[1"))
        .await;
    assert!(slow.starts_with("HTTP/1.1 408"), "{slow}");
    let huge = server
        .send(&format!("{head}content-length: 10000000000\r\n\r\n["))
        .await;
    assert!(huge.starts_with("HTTP/1.1 413"), "{huge}");
    let chunk = format!("2000\r\n{}\r\n", " ".repeat(0x2000));
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n{chunk}{chunk}");
    let chunked = server.send(&chunked).await;
    assert!(chunked.starts_with("HTTP/1.1 413"), "{chunked}");
    let bad = server
        .send(&format!("{head}transfer-encoding: chunked\r\n\r\nzz\r\n"))
        .await;
    assert!(bad.starts_with("HTTP/1.1 400"), "{bad}");

    // Closed in the middle: nobody is there to be answered.
    let mut stream = TcpStream::connect(server.0).await.expect("a connection");
    let half = format!("{head}content-length: 10\r\n\r\n[1");
    stream.write_all(half.as_bytes()).await.expect("sent");
    drop(stream);

    let good = server
        .send(&format!(
            "{head}content-length: 1\r\nconnection: close\r\n\r\n1"
        ))
        .await;
    assert!(
        good.starts_with("HTTP/1.1 202"),
        "nothing was started before: {good}"
    );
}

/// Where a server listens. It ends with the test's runtime.
struct Server(SocketAddr);

impl Server {
    async fn axum(app: Router) -> Self {
        let (listener, server) = Self::listen().await;
        tokio::spawn(async move { axum::serve(listener, app).await });
        server
    }

    async fn hyper(world: &World) -> Self {
        let (listener, server) = Self::listen().await;
        let service = TowerToHyperService::new(world.api.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service.clone());
                tokio::spawn(connection);
            }
        });
        server
    }

    async fn listen() -> (TcpListener, Self) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        (listener, Self(address))
    }

    /// Starts, watches and steers an instance.
    async fn check(&self, world: &World) {
        let id = format!("a b/{}", self.0.port());
        let id = durable_http::path_segment(&id);
        let start = format!("{BASE}/orchestrators/wait/{id}");
        let unknown = self
            .get(&format!("{BASE}/instances/{id}?code={}", "x".repeat(20)))
            .await;
        assert!(unknown.starts_with("HTTP/1.1 401"), "{unknown}");
        let started = self.post(&start, "[1]").await;
        assert!(started.starts_with("HTTP/1.1 202"), "{started}");
        let location = started
            .lines()
            .find_map(|line| line.strip_prefix("location: "))
            .expect("a location");
        assert!(self.get(location).await.starts_with("HTTP/1.1 202"));
        let raise = format!("{BASE}/instances/{id}/raiseEvent/GO/");
        let raised = self.post(&raise, "\"done\"").await;
        assert!(raised.starts_with("HTTP/1.1 202"), "{raised}");
        let id = format!("a b/{}", self.0.port());
        world.client.wait_for_completion(id).await.expect("a hub");
        let ended = self.get(location).await;
        assert!(ended.starts_with("HTTP/1.1 200"), "{ended}");
        assert!(ended.contains("\"output\":\"done\""), "{ended}");
    }

    async fn get(&self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        self.send(&request).await
    }

    async fn post(&self, path: &str, body: &str) -> String {
        let len = body.len();
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-functions-key: {KEY}\r\n\
             content-type: application/json\r\ncontent-length: {len}\r\n\r\n{body}"
        ))
        .await
    }

    /// Sends bytes and reads until the server closes.
    async fn send(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.0).await.expect("a connection");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut reply = Vec::new();
        // A server that refuses a body may close so early that the rest is lost.
        let read = stream.read_to_end(&mut reply);
        let _ = tokio::time::timeout(Duration::from_secs(10), read).await;
        String::from_utf8(reply).expect("UTF-8")
    }
}

#[tokio::test]
async fn the_description_says_where_it_is_mounted() {
    for (api, base) in [
        (None, "/runtime/webhooks/durabletask"),
        (
            Some("https://api.example.com/x"),
            "https://api.example.com/x/runtime/webhooks/durabletask",
        ),
    ] {
        let world = world_with(|builder| match api {
            Some(url) => builder.admin_key(KEY).public_url(url),
            None => builder.admin_key(KEY),
        })
        .await;
        let reply = world.admin(Method::GET, "/openapi.json", "").await;
        assert_eq!(reply.status, StatusCode::OK);
        let document = reply.json();
        assert_eq!(document["openapi"], "3.1.0");
        assert_eq!(document["servers"][0]["url"], base);
    }
}
