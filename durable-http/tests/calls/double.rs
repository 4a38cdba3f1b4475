//! What stands in for the client, or for the whole call.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use durable_core::testing::TestHub;
use durable_http::{HttpActivity, HttpAnswer, HttpCaller, HttpCalls, HttpRequest, HttpResponse};
use http::{Request, Response};

use super::stub::{ask, made};

/// Answers without a network, and accepts once.
#[derive(Clone, Default)]
struct Double(Arc<Mutex<Vec<String>>>);

impl HttpCaller for Double {
    fn send(&self, request: Request<Bytes>) -> HttpAnswer<'_> {
        Box::pin(async move {
            let mut asked = self.0.lock().expect("no panic");
            asked.push(format!("{} {}", request.method(), request.uri()));
            let answer = Response::builder();
            let answer = match asked.len() {
                1 => answer
                    .status(202)
                    .header("location", "/job")
                    .header("retry-after", "86"),
                2 => answer.status(307).header("location", "https://b.test/x"),
                _ => answer.status(200),
            };
            Ok(answer
                .body(Bytes::from_static(b"double"))
                .expect("an answer"))
        })
    }
}

#[tokio::test]
async fn the_client_can_be_replaced() {
    let double = Double::default();
    let request = HttpRequest::post("http://169.254.169.254/start");
    let ((answer, error), took) = made(HttpCalls::new(double.clone()), request).await;
    assert_eq!(
        answer.map(HttpResponse::into_content).as_deref(),
        Some("double"),
        "{error:?}"
    );
    let asked = double.0.lock().expect("no panic").clone();
    let expected = [
        "POST http://169.254.169.254/start",
        "GET http://169.254.169.254/job",
        "GET https://b.test/x",
    ];
    assert_eq!(
        (asked.as_slice(), took.as_secs()),
        (expected.map(str::to_owned).as_slice(), 86)
    );
}

#[tokio::test]
async fn a_closure_is_a_client() {
    let calls = HttpCalls::new(|request: Request<Bytes>| async move {
        Ok(Response::new(Bytes::from(request.uri().path().to_owned())))
    });
    let ((answer, _), _) = made(calls, HttpRequest::get("http://a.test/path")).await;
    assert_eq!(answer.expect("an answer").text(), "/path");
}

#[tokio::test]
async fn the_whole_call_can_be_mocked() {
    let hub = TestHub::builder()
        .register::<ask>()
        .mock::<HttpActivity>(|request| {
            assert_eq!(request.url(), "http://a.test/");
            Ok(HttpResponse::new(404).content("no such thing"))
        });
    let hub = hub.start().await.expect("a hub");
    let start = hub
        .client()
        .start_orchestration::<ask>(HttpRequest::get("http://a.test/"));
    let (answer, _) = start
        .await
        .expect("a start")
        .wait_for_completion()
        .await
        .expect("an end");
    assert_eq!(answer.expect("an answer").status(), 404);
    assert_eq!(hub.calls::<HttpActivity>().len(), 1);
}

#[tokio::test]
async fn a_worker_without_the_activity_says_which_one_it_lacks() {
    let hub = TestHub::builder()
        .register::<ask>()
        .start()
        .await
        .expect("a hub");
    let start = hub
        .client()
        .start_orchestration::<ask>(HttpRequest::get("http://a.test/"));
    let instance = start.await.expect("a start");
    let problem = instance
        .status()
        .await
        .expect("a status")
        .expect("an instance")
        .problem()
        .cloned();
    let problem = format!("{:?}", problem.expect("a problem"));
    assert!(problem.contains("durable_http::HttpActivity"), "{problem}");
}
