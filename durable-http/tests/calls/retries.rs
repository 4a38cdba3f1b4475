use std::time::Duration;

use durable_core::RetryPolicy;
use durable_http::{HttpCallError, HttpCalls, HttpRequest};

use super::stub::{Stub, answer, calls, error, made, reply};

fn three() -> RetryPolicy {
    RetryPolicy::fixed(3, Duration::from_secs(60))
}

#[tokio::test]
async fn a_status_is_tried_again_if_it_is_one_of_the_list() {
    // Of no list: every one from 400.
    let cases: [(&[u16], u16, usize); 6] = [
        (&[], 400, 3),
        (&[], 503, 3),
        (&[], 302, 1),
        (&[429, 503], 503, 3),
        (&[429, 503], 500, 1),
        (&[200], 200, 3),
    ];
    for (list, status, requests) in cases {
        let stub = Stub::new(move |_, nth| reply(status, &[], &format!("{nth}"))).await;
        let request = HttpRequest::get(stub.at("/")).retry(three());
        let request = request.retry_statuses(list.iter().copied());
        if requests == 1 {
            assert_eq!(answer(request).await.status(), status);
        } else {
            let HttpCallError::Status(last) = error(calls(), request).await else {
                panic!("{list:?} {status}");
            };
            assert_eq!((last.status(), last.text()), (status, "2"));
        }
        assert_eq!(stub.seen().len(), requests, "{list:?} {status}");
    }
}

#[tokio::test]
async fn what_succeeds_in_the_end_is_the_answer() {
    let stub = Stub::new(|_, nth| reply(if nth < 2 { 503 } else { 200 }, &[], "")).await;
    let request = HttpRequest::post(stub.at("/")).content("x").retry(three());
    let ((answer, error), took) = made(calls(), request).await;
    assert_eq!(answer.map(|answer| answer.status()), Some(200), "{error:?}");
    assert_eq!((stub.seen().len(), took.as_secs()), (3, 120));
}

#[tokio::test]
async fn without_a_policy_nothing_is_tried_again() {
    let stub = Stub::always(503, &[]).await;
    let request = HttpRequest::get(stub.at("/")).retry_statuses([503]);
    let error = error(calls(), request).await;
    assert!(matches!(error, HttpCallError::Status(_)), "{error:?}");
    assert_eq!(answer(HttpRequest::get(stub.at("/"))).await.status(), 503);
    assert_eq!(stub.seen().len(), 2);
}

#[tokio::test]
async fn a_poll_that_is_tried_again_goes_on_as_a_poll() {
    let stub = Stub::new(|_, nth| match nth {
        0 => reply(202, &[("location", "/job"), ("retry-after", "1")], ""),
        1 | 2 => reply(500, &[], ""),
        _ => reply(200, &[], "done"),
    })
    .await;
    let answer = answer(HttpRequest::post(stub.at("/start")).retry(three())).await;
    assert_eq!(answer.text(), "done");
    assert_eq!(
        stub.lines(),
        ["POST /start", "GET /job", "GET /job", "GET /job"]
    );
}

#[tokio::test]
async fn no_answer_is_tried_again_and_a_wrong_request_is_not() {
    for (url, retried) in [
        ("http://no-such-host.invalid/", true),
        ("http://127.0.0.1:1/", false),
        ("nonsense", false),
    ] {
        let calls = HttpCalls::default();
        let ((_, error), took) = made(calls, HttpRequest::get(url).retry(three())).await;
        assert!(error.is_some());
        assert_eq!(
            took.as_secs(),
            if retried { 120 } else { 0 },
            "{url} {error:?}"
        );
    }
}
