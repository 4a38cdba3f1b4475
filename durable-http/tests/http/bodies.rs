//! Bodies: no one is taken that an orchestrator could not read, and none costs more than it may.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body::{Body, Frame};
use serde_json::{Value, json};

use crate::world::{KEY, Reply, World, world, world_with};

#[tokio::test]
async fn the_body_of_a_start_is_the_input_as_it_stands() {
    let world = world().await;
    for (at, (body, input)) in [
        ("", json!(null)),
        ("null", json!(null)),
        ("\"\"", json!("")),
        ("\"{\\\"a\\\": 1}\"", json!("{\"a\": 1}")),
        (" [1, 2] ", json!([1, 2])),
        (
            "{\"a\": {\"b\": [true, 1e3, \"\\u00e9\"]}}",
            json!({"a": {"b": [true, 1000.0, "é"]}}),
        ),
        (
            "{\"<script>\": \"</script>\"}",
            json!({"<script>": "</script>"}),
        ),
        (
            &nested(100),
            serde_json::from_str(&nested(100)).expect("JSON"),
        ),
    ]
    .iter()
    .enumerate()
    {
        let uri = format!("/orchestrators/echo/{at}");
        assert_eq!(
            world.admin(Method::POST, &uri, body).await.status,
            StatusCode::ACCEPTED
        );
        let status = world.client.wait_for_completion(at.to_string()).await;
        let status = status.expect("a hub").expect("an instance");
        assert_eq!(status.input::<Value>().expect("JSON").as_ref(), Some(input));
    }
}

#[tokio::test]
async fn a_body_that_no_orchestrator_could_read_is_400() {
    let world = world().await;
    world.waiting("w").await;
    let bodies: [(&str, Vec<u8>); 14] = [
        ("one brace", b"{".into()),
        ("text", b"go".into()),
        ("blank", b" ".into()),
        ("two values", b"1 2".into()),
        ("not UTF-8", b"\"\xff\xfe\"".into()),
        ("Latin-1", b"\"caf\xe9\"".into()),
        ("UTF-16", b"\xff\xfe1\0".into()),
        ("a byte order mark", b"\xef\xbb\xbf1".into()),
        ("half a surrogate pair", b"\"\\ud800\"".into()),
        ("a NUL", b"1\0".into()),
        ("gzip", b"\x1f\x8b\x08\0\0\0\0\0".into()),
        ("a form", b"reason=x&code=y".into()),
        ("nested and closed", nested(100_000).into_bytes()),
        ("nested and left open", "[".repeat(100_000).into_bytes()),
    ];
    for uri in ["/orchestrators/echo/x", "/instances/w/raiseEvent/go"] {
        for (what, body) in &bodies {
            let reply = send(&world, uri, Pieces::new([body.clone()])).await;
            assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{what}");
            assert!(reply.json()["ExceptionMessage"].is_string(), "{what}");
        }
    }
    assert!(world.client.status("x").await.expect("a hub").is_none());
    assert!(!world.status("w").await.runtime_status().is_terminal());
}

#[tokio::test]
async fn an_event_needs_a_body_and_its_content_type() {
    let world = world().await;
    for (types, body, status) in [
        (&["application/json"][..], "", 400),
        (&["text/plain"], "1", 400),
        (&["application/x-www-form-urlencoded"], "1", 400),
        (&["multipart/form-data; boundary=x"], "1", 400),
        (&["application/jsonp"], "1", 400),
        (&["application/json, text/plain"], "1", 400),
        (&["application/json", "text/plain"], "1", 400),
        (&[""], "1", 400),
        (&[], "1", 400),
        (&["application/json"], "1", 202),
        (&["Application/JSON ; charset=utf-8"], "1", 202),
    ] {
        let id = format!("{types:?}{body}");
        world.waiting(&id).await;
        let mut headers = vec![("x-functions-key", KEY)];
        headers.extend(types.iter().map(|value| ("content-type", *value)));
        let uri = format!(
            "/instances/{}/raiseEvent/Go",
            durable_http::path_segment(&id)
        );
        let reply = world.send(Method::POST, &uri, &headers, body).await;
        assert_eq!(reply.status.as_u16(), status, "{types:?}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_however_it_comes() {
    let world = world_with(|api| api.admin_key(KEY).max_body_size(1000)).await;
    let text = |len: usize| format!("\"{}\"", "x".repeat(len - 2)).into_bytes();
    let halves = |len: usize| [text(len)[..500].to_vec(), text(len)[500..].to_vec()];
    for (body, status) in [
        (Pieces::new([text(1000)]), StatusCode::ACCEPTED),
        (Pieces::new(halves(1000)), StatusCode::ACCEPTED),
        (Pieces::new([text(1001)]), StatusCode::PAYLOAD_TOO_LARGE),
        (Pieces::new(halves(1001)), StatusCode::PAYLOAD_TOO_LARGE),
        (Pieces::endless(b"[["), StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        assert_eq!(
            send(&world, "/orchestrators/echo", body).await.status,
            status
        );
    }
    // A length that is announced is believed, and nothing is read.
    let announced = Announced(u64::MAX);
    let reply = send(&world, "/orchestrators/echo", announced).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_body_over_the_hubs_own_limit_is_413_too() {
    let world = world_with(|api| api.admin_key(KEY).max_body_size(usize::MAX)).await;
    let body = format!("\"{}\"", "x".repeat(3 * 1024 * 1024));
    let reply = world
        .admin(Method::POST, "/orchestrators/echo", &body)
        .await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    world.waiting("w").await;
    let reply = world
        .admin(Method::POST, "/instances/w/raiseEvent/go", &body)
        .await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_408() {
    let world = world_with(|api| api.admin_key(KEY).max_body_time(Duration::from_millis(50))).await;
    for body in [Pieces::stalled(), Pieces::endless(b"")] {
        let reply = send(&world, "/orchestrators/echo/slow", body).await;
        assert_eq!(reply.status, StatusCode::REQUEST_TIMEOUT);
    }
    assert!(world.client.status("slow").await.expect("a hub").is_none());
}

#[tokio::test]
async fn a_body_that_breaks_off_starts_nothing() {
    let world = world().await;
    let reply = send(
        &world,
        "/orchestrators/echo/broken",
        Pieces::broken(b"[1, 2]"),
    )
    .await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert!(
        world
            .client
            .status("broken")
            .await
            .expect("a hub")
            .is_none()
    );
}

#[tokio::test]
async fn a_compressed_body_is_415_and_is_not_unpacked() {
    let world = world().await;
    for (encoding, status) in [
        ("gzip", 415),
        ("br", 415),
        ("identity, gzip", 415),
        ("identity", 202),
        ("", 202),
    ] {
        let headers = [("x-functions-key", KEY), ("content-encoding", encoding)];
        let reply = world
            .send(Method::POST, "/orchestrators/echo", &headers, "1")
            .await;
        assert_eq!(reply.status.as_u16(), status, "{encoding:?}");
    }
}

#[tokio::test]
async fn a_body_is_not_read_for_whoever_may_not() {
    let world = world().await;
    for uri in [
        "/orchestrators/echo",
        "/instances/x/raiseEvent/go",
        "/nowhere",
    ] {
        let request = Request::post(uri)
            .body(Pieces::stalled())
            .expect("a request");
        assert!(world.ask(request).await.status.is_client_error());
    }
    // Nor where there is nothing to raise an event in.
    let reply = send(&world, "/instances/none/raiseEvent/go", Pieces::stalled()).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
}

fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

async fn send<B: Body + Send + 'static>(world: &World, uri: &str, body: B) -> Reply {
    let request = Request::post(uri)
        .header("x-functions-key", KEY)
        .header("content-type", "application/json");
    world.ask(request.body(body).expect("a request")).await
}

/// A body in pieces, of which nobody knows the length.
struct Pieces {
    pieces: Vec<Bytes>,
    then: Then,
}

#[derive(Clone)]
enum Then {
    End,
    Stall,
    Break,
    Repeat(Bytes),
}

impl Pieces {
    fn new<const N: usize>(pieces: [Vec<u8>; N]) -> Self {
        let pieces = pieces.into_iter().rev().map(Bytes::from).collect();
        Self {
            pieces,
            then: Then::End,
        }
    }

    fn stalled() -> Self {
        Self {
            then: Then::Stall,
            ..Self::new([b"[".to_vec()])
        }
    }

    fn broken(start: &[u8]) -> Self {
        Self {
            then: Then::Break,
            ..Self::new([start.to_vec()])
        }
    }

    fn endless(piece: &'static [u8]) -> Self {
        Self {
            then: Then::Repeat(Bytes::from_static(piece)),
            ..Self::new([])
        }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if let Some(piece) = self.pieces.pop() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match self.then.clone() {
            Then::End => Poll::Ready(None),
            Then::Stall => Poll::Pending,
            Then::Break => Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into()))),
            Then::Repeat(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
        }
    }
}

/// A body that says how long it is, and must not be read.
struct Announced(u64);

impl Body for Announced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        panic!("the body was read");
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.0)
    }
}

#[tokio::test]
async fn an_input_that_was_written_twice_is_read_by_whoever_allows_it() {
    let world = world().await;
    for (body, input) in [("[1, 2]", json!([1, 2])), ("\"[1, 2]\"", json!("[1, 2]"))] {
        let uri = "/orchestrators/lenient?timeout=20";
        let reply = world.admin(Method::POST, uri, body).await;
        assert_eq!((reply.status, reply.json()), (StatusCode::OK, json!(3)));
        let listed = world.admin(Method::GET, "/instances", "").await.json();
        let shown = |status: &Value| status["name"] == "lenient" && status["input"] == input;
        assert!(listed.as_array().is_some_and(|all| all.iter().any(shown)));
    }
}
