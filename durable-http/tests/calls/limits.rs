use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use durable_core::{ActivityError, TaskHub};
use durable_http::{HttpActivity, HttpCallError, HttpCalls, HttpRequest};
use futures_util::stream;
use http::Response;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::stub::{Stub, answer, ask, calls, client, error, reply};

#[tokio::test]
async fn an_answer_is_as_large_as_it_may_be() {
    const MIB: usize = 1024 * 1024;
    for (bytes, fits) in [(MIB, true), (MIB + 1, false), (16 * MIB, false)] {
        let stub = Stub::new(move |_, _| reply(200, &[], &"x".repeat(bytes))).await;
        let request = HttpRequest::get(stub.at("/"));
        if fits {
            assert_eq!(answer(request).await.text().len(), bytes);
        } else {
            let error = error(calls(), request).await;
            assert_eq!(error, HttpCallError::TooLarge { limit: MIB });
        }
    }
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let stub = Stub::new(|_, _| {
        let chunk = Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 4096]));
        let endless = stream::repeat_with(move || {
            Ok::<_, std::io::Error>(chunk.as_ref().expect("bytes").clone())
        });
        Response::new(Body::from_stream(endless))
    })
    .await;
    let calls = HttpCalls::new(client().max_answer_size(10_000));
    let error = error(calls, HttpRequest::get(stub.at("/"))).await;
    assert_eq!(error, HttpCallError::TooLarge { limit: 10_000 });
}

/// On the hub's own clock nothing is late while a real activity runs, so this is on the real one.
async fn outcome(request: HttpRequest) -> ActivityError<HttpCallError> {
    let hub = TaskHub::in_memory().await.expect("a hub");
    let worker = hub.worker().state(calls()).register::<HttpActivity>();
    let _worker = worker.register::<ask>().start().await.expect("a worker");
    let start = hub.client().start_orchestration::<ask>(request);
    let instance = start.await.expect("a start");
    let (answer, error) = instance.wait_for_completion().await.expect("an end");
    error.unwrap_or_else(|| panic!("{answer:?}"))
}

#[tokio::test]
async fn an_answer_or_a_body_that_never_comes_is_a_time_out() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", silent.local_addr().expect("an address"));
    let request = HttpRequest::get(url).timeout(Duration::from_secs(1));
    let (error, closed) = tokio::join!(outcome(request), async {
        let (mut stream, _) = silent.accept().await.expect("a connection");
        let mut request = Vec::new();
        stream
            .read_to_end(&mut request)
            .await
            .map(|_| request.len())
    });
    assert!(matches!(error, ActivityError::TimedOut(_)), "{error:?}");
    assert!(closed.expect("it is closed") > 0);

    let stub = Stub::new(|_, _| {
        Response::new(Body::from_stream(stream::pending::<
            Result<Bytes, std::io::Error>,
        >()))
    })
    .await;
    let request = HttpRequest::get(stub.at("/")).timeout(Duration::from_secs(1));
    let error = outcome(request).await;
    assert!(matches!(error, ActivityError::TimedOut(_)), "{error:?}");
}

#[tokio::test]
async fn each_poll_has_the_time_of_a_request() {
    let stub = Stub::new(|seen, _| match seen.path.as_str() {
        "/" => reply(202, &[("location", "/job"), ("retry-after", "1")], ""),
        _ => Response::new(Body::from_stream(stream::pending::<
            Result<Bytes, std::io::Error>,
        >())),
    })
    .await;
    let request = HttpRequest::get(stub.at("/")).timeout(Duration::from_secs(3));
    let error = outcome(request).await;
    assert!(matches!(error, ActivityError::TimedOut(_)), "{error:?}");
    assert_eq!(stub.lines(), ["GET /", "GET /job"]);
}

#[tokio::test]
async fn a_connection_that_is_refused_or_breaks_off_is_an_error() {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!(
        "http://{}/secret?secret=1",
        free.local_addr().expect("an address")
    );
    drop(free);
    let refused = error(calls(), HttpRequest::get(&url)).await;
    assert!(
        matches!(refused, HttpCallError::Unreachable(_)),
        "{refused:?}"
    );
    let shown = format!("{refused} {refused:?}");
    assert!(
        shown.contains("refused") && !shown.contains("secret"),
        "{shown}"
    );

    let rude = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", rude.local_addr().expect("an address"));
    let dropping = async {
        loop {
            drop(rude.accept().await);
        }
    };
    let request = HttpRequest::get(url);
    let broken = tokio::select! {
        biased;
        broken = error(calls(), request) => broken,
        () = dropping => unreachable!(),
    };
    assert!(
        matches!(broken, HttpCallError::Unreachable(_)),
        "{broken:?}"
    );

    // What does not speak TLS is told nothing.
    let plain = Stub::always(200, &[]).await;
    let url = format!("https://127.0.0.1:{}/", plain.port);
    let untold = error(calls(), HttpRequest::get(url)).await;
    assert!(
        matches!(untold, HttpCallError::Unreachable(_)),
        "{untold:?}"
    );
    assert!(plain.seen().is_empty());

    let unknown = HttpRequest::get("http://no-such-host.invalid/");
    let unknown = error(calls(), unknown).await;
    assert!(
        matches!(unknown, HttpCallError::Unreachable(_)),
        "{unknown:?}"
    );
}

#[tokio::test]
async fn a_body_is_text_or_an_error() {
    let stub = Stub::new(|seen, _| {
        let (kind, body): (&str, &'static [u8]) = match seen.path.as_str() {
            "/utf8" => ("text/plain", "é".as_bytes()),
            "/latin1" => ("text/plain; charset=ISO-8859-1", b"\xe9"),
            "/utf8-that-says-latin1" => ("text/plain; charset=iso-8859-1", "é".as_bytes()),
            _ => ("text/plain", b"\xe9"),
        };
        let answer = Response::builder().status(201).header("content-type", kind);
        answer.body(Body::from(body)).expect("an answer")
    })
    .await;
    for path in ["/utf8", "/latin1", "/utf8-that-says-latin1"] {
        assert_eq!(
            answer(HttpRequest::get(stub.at(path))).await.text(),
            "é",
            "{path}"
        );
    }
    let error = error(calls(), HttpRequest::get(stub.at("/bytes"))).await;
    assert_eq!(error, HttpCallError::NotText { status: 201 });
    // So nothing is compressed that would have to be unpacked.
    assert!(
        stub.seen()
            .iter()
            .all(|seen| seen.header("accept-encoding").is_none())
    );
}
