use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use durable_core::{HistoryEventKind, RetryPolicy, TaskHub};
use durable_http::{HttpActivity, HttpCallError, HttpCalls, HttpRequest};
use futures_util::TryStreamExt;
use http::{Request, Response};

use super::stub::{Seen, Stub, answer, ask, calls, made, reply};

/// Accepts `/start`, says so, and is done when `/job` is asked.
async fn job(headers: &'static [(&str, &str)]) -> Stub {
    Stub::new(move |seen, _| match seen.path.as_str() {
        "/start" => reply(202, headers, "accepted"),
        _ => reply(200, &[], "done"),
    })
    .await
}

#[tokio::test]
async fn a_202_is_followed_where_and_when_it_says() {
    const DATE: (&str, &str) = ("date", "Sun, 06 Nov 1994 08:49:30 GMT");
    const AT: (&str, &str) = ("location", "/job?x=1");
    let cases: [(&'static [(&str, &str)], u64); 8] = [
        (&[AT, ("retry-after", "7")], 7),
        (&[AT, ("retry-after", "0")], 1),
        (&[AT, ("retry-after", "1000000000000")], 3_600),
        (
            &[AT, DATE, ("retry-after", "Sun, 06 Nov 1994 08:50:30 GMT")],
            60,
        ),
        (
            &[AT, DATE, ("retry-after", "Sun, 06 Nov 1994 08:40:00 GMT")],
            1,
        ),
        (
            &[AT, DATE, ("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT")],
            3_600,
        ),
        (&[AT, ("retry-after", "soon")], 30),
        (&[AT], 30),
    ];
    for (headers, expected) in cases {
        let stub = job(headers).await;
        let request = HttpRequest::post(stub.at("/start")).content("go");
        let ((answer, _), took) = made(calls(), request).await;
        assert_eq!(answer.expect("an answer").text(), "done");
        assert_eq!(stub.lines(), ["POST /start", "GET /job?x=1"]);
        let poll = &stub.seen()[1];
        assert_eq!(
            (poll.body.as_str(), poll.header("content-type")),
            ("", None)
        );
        assert_eq!(took.as_secs(), expected, "{headers:?}");
    }
}

#[tokio::test]
async fn the_worker_says_how_long_to_wait_where_the_service_does_not() {
    let stub = job(&[("location", "/job")]).await;
    let calls = calls().poll_interval(Duration::from_secs(5));
    let (_, took) = made(calls, HttpRequest::get(stub.at("/start"))).await;
    assert_eq!(took.as_secs(), 5);
}

#[tokio::test]
async fn a_poll_may_lead_to_another_and_nothing_of_it_is_in_the_history() {
    let stub = Stub::new(|seen, nth| match nth {
        0..20 => reply(202, &[("location", "next"), ("retry-after", "9")], ""),
        _ => reply(200, &[], &seen.path),
    })
    .await;
    let hub = durable_core::testing::TestHub::builder().state(calls());
    let hub = hub.register::<HttpActivity>().register::<ask>();
    let hub = hub.start().await.expect("a hub");
    let request = HttpRequest::get(stub.at("/a/b"));
    let start = hub.client().start_orchestration::<ask>(request).id("x");
    let (answer, _) = start
        .await
        .expect("a start")
        .wait_for_completion()
        .await
        .expect("an end");
    assert_eq!(answer.expect("an answer").text(), "/a/next");
    assert_eq!(stub.seen().len(), 21);
    let client = hub.client();
    let events: Vec<_> = client
        .history("x")
        .into_stream()
        .try_collect()
        .await
        .expect("events");
    let scheduled =
        |kind: &HistoryEventKind| matches!(kind, HistoryEventKind::TaskScheduled { .. });
    assert_eq!(
        events.iter().filter(|event| scheduled(&event.kind)).count(),
        1
    );
    assert!(events.len() < 8, "{events:?}");
}

/// Answers 202 to the first request, to those after it as `answers` says of their number, from 1.
fn working(
    answers: impl Fn(usize) -> Result<u16, HttpCallError> + Send + Sync + 'static,
) -> (HttpCalls, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let calls = HttpCalls::new(move |_: Request<Bytes>| {
        let nth = count.fetch_add(1, Ordering::Relaxed);
        let status = if nth == 0 { Ok(202) } else { answers(nth) };
        let answer = status.map(|status| {
            let answer = Response::builder().status(status);
            let answer = answer.header("location", "/job").header("retry-after", "1");
            answer.body(Bytes::new()).expect("an answer")
        });
        async move { answer }
    });
    (calls, asked)
}

#[tokio::test]
async fn a_service_that_is_away_while_it_works_is_asked_again_but_not_for_ever() {
    let away = || Err(HttpCallError::Unreachable("away".to_owned()));
    let policy = RetryPolicy::fixed(2, Duration::from_secs(5));
    for (polls_away, policy, is_answered, requests, seconds) in [
        (10, None, true, 12, 1 + 10 * 30),
        (11, None, false, 12, 1 + 10 * 30),
        (1, Some(policy.clone()), true, 3, 1 + 5),
        (2, Some(policy), false, 3, 1 + 5),
    ] {
        let (calls, asked) = working(move |nth| if nth <= polls_away { away() } else { Ok(200) });
        let mut request = HttpRequest::post("https://a.test/start");
        if let Some(policy) = policy {
            request = request.retry(policy);
        }
        let ((answer, error), took) = made(calls, request).await;
        assert_eq!(answer.is_some(), is_answered, "{polls_away} {error:?}");
        assert_eq!(asked.load(Ordering::Relaxed), requests, "{polls_away}");
        assert_eq!(took.as_secs(), seconds, "{polls_away}");
    }
    // In a row: whoever answers in between is there.
    let (calls, asked) = working(move |nth| match nth {
        40.. => Ok(200),
        nth if nth % 2 == 1 => away(),
        _ => Ok(202),
    });
    let ((answer, error), _) = made(calls, HttpRequest::post("https://a.test/start")).await;
    assert!(answer.is_some(), "{error:?}");
    assert_eq!(asked.load(Ordering::Relaxed), 41);
}

#[tokio::test]
async fn a_202_that_cannot_be_followed_is_the_answer() {
    let cases: [&'static [(&str, &str)]; 5] = [
        &[],
        &[("location", "ftp://a.test/x")],
        &[("location", "http://me:word@127.0.0.1/x")],
        &[("location", "http://[/")],
        &[("location", "javascript:alert(1)")],
    ];
    for headers in cases {
        let stub = job(headers).await;
        let answer = answer(HttpRequest::get(stub.at("/start"))).await;
        assert_eq!(
            (answer.status(), answer.text()),
            (202, "accepted"),
            "{headers:?}"
        );
        assert_eq!(stub.seen().len(), 1);
    }
    let stub = job(&[("location", "/job")]).await;
    let answer = answer(HttpRequest::get(stub.at("/start")).polling(false)).await;
    assert_eq!(
        (answer.status(), answer.header_value("Location")),
        (202, Some("/job"))
    );
    assert_eq!(stub.seen().len(), 1);
}

fn with_secrets(url: String) -> HttpRequest {
    HttpRequest::post(url)
        .header("authorization", "Basic c2VjcmV0")
        .header("Cookie", "secret")
        .header("proxy-authorization", "secret")
        .header("x-api-key", "secret")
        .header("x-functions-key", "secret")
        .header("accept", "text/plain")
        .header("x-mine", "1")
}

#[tokio::test]
async fn secrets_are_not_sent_to_another_origin() {
    let other = Stub::always(200, &[]).await;
    let location = other.at("/job");
    let first =
        Stub::new(move |_, _| reply(202, &[("location", &location), ("retry-after", "1")], ""))
            .await;
    answer(with_secrets(first.at("/start"))).await;
    let poll = &other.seen()[0];
    let shown = format!("{:?}", poll.headers);
    assert!(
        !shown.contains("secret") && !shown.contains("c2VjcmV0"),
        "{shown}"
    );
    assert_eq!(
        (poll.header("accept"), poll.header("x-mine")),
        (Some("text/plain"), Some("1"))
    );
}

#[tokio::test]
async fn at_the_same_origin_all_headers_are_sent_but_the_key_of_functions() {
    let stub = job(&[("location", "/job")]).await;
    answer(with_secrets(stub.at("/start"))).await;
    let [first, poll] = &stub.seen()[..] else {
        panic!("{:?}", stub.lines());
    };
    for name in [
        "authorization",
        "cookie",
        "proxy-authorization",
        "x-api-key",
        "x-mine",
    ] {
        assert_eq!(first.header(name), poll.header(name), "{name}");
        assert!(poll.header(name).is_some(), "{name}");
    }
    assert_eq!(
        (
            first.header("x-functions-key"),
            poll.header("x-functions-key")
        ),
        (Some("secret"), None)
    );
}

/// The origin is the first request's, wherever polls have gone since.
#[tokio::test]
async fn who_comes_back_from_another_origin_is_at_home_again() {
    let away = Stub::new(|seen, _| {
        let back = seen.path.split_once('?').expect("a query").1.to_owned();
        reply(202, &[("location", &back), ("retry-after", "1")], "")
    })
    .await;
    let out = away.at("/job");
    let home = Stub::new(move |seen, nth| {
        let host = seen.header("host").expect("a host");
        let location = format!("{out}?http://{host}/back");
        let headers = [("location", &*location), ("retry-after", "1")];
        reply(if nth == 0 { 202 } else { 200 }, &headers, "")
    })
    .await;
    answer(with_secrets(home.at("/start"))).await;
    assert_eq!(home.lines(), ["POST /start", "GET /back"]);
    let sent = |seen: &Seen| seen.header("authorization").map(str::to_owned);
    let (home, away) = (home.seen(), away.seen());
    assert!(sent(&home[1]).is_some() && sent(&home[1]) == sent(&home[0]));
    assert_eq!((away.len(), sent(&away[0])), (1, None));
}

#[tokio::test]
async fn a_poll_goes_on_after_a_crash_without_the_first_request() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("hub.db");
    let mut stub = Stub::new(|seen, nth| match nth {
        0..4 => reply(202, &[("location", "/job"), ("retry-after", "1")], ""),
        _ => reply(200, &[], &seen.line()),
    })
    .await;
    for life in 0..2 {
        let hub = loop {
            match TaskHub::open(&path).await {
                Ok(hub) => break hub,
                Err(durable_core::OpenError::InUse { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        };
        let worker = hub.worker().state(calls()).register::<HttpActivity>();
        let worker = worker.register::<ask>().start().await.expect("a worker");
        let request = HttpRequest::post(stub.at("/start")).content("once");
        let start = hub
            .client()
            .start_orchestration::<ask>(request)
            .id("x")
            .use_existing();
        let instance = start.await.expect("a start");
        if life == 0 {
            // The second poll shows that what the first one left is durable.
            for _ in 0..3 {
                stub.next().await;
            }
            // Nothing is closed.
            drop((worker, hub));
            continue;
        }
        let (answer, _) = instance.wait_for_completion().await.expect("an end");
        assert_eq!(answer.expect("an answer").text(), "GET /job");
    }
    let lines = stub.lines();
    assert_eq!(
        lines.iter().filter(|line| *line == "POST /start").count(),
        1,
        "{lines:?}"
    );
}
