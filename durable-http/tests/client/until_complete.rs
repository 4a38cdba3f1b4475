//! Services that answer 202, well and badly.

use std::time::Duration;

use durable_http::client::{ClientError, UntilComplete, poll_until_complete, send_until_complete};
use http::Request;

use crate::script::{HANG_UP, Script, answer};
use crate::served::anonymous;

/// Without having to wait where the service does not say so.
fn quick(asked: UntilComplete) -> UntilComplete {
    asked.poll_interval(Duration::from_millis(1))
}

#[tokio::test]
async fn a_202_leads_on_until_there_is_an_end() {
    let accepted = |location: &str| answer("202 Accepted", &[&format!("location: {location}")], "");
    let done = answer("200 OK", &["x-mine: 1"], "done");
    for (answers, asked) in [
        (vec![done.clone()], vec!["/a/b?c=d"]),
        // Without a place it is the same again.
        (
            vec![answer("202 Accepted", &[], ""), done.clone()],
            vec!["/a/b?c=d", "/a/b?c=d"],
        ),
        (
            vec![
                accepted("/x?y=z"),
                accepted("next"),
                accepted("{url}/z#part"),
                done.clone(),
            ],
            vec!["/a/b?c=d", "/x?y=z", "/next", "/z"],
        ),
        // Redirects, too, also in between.
        (
            vec![
                answer("302 Found", &["location: /r"], ""),
                accepted("/x"),
                answer("308 Permanent Redirect", &["location: /y"], ""),
                done.clone(),
            ],
            vec!["/a/b?c=d", "/r", "/x", "/y"],
        ),
        (
            vec![HANG_UP.to_owned(), done.clone()],
            vec!["/a/b?c=d", "/a/b?c=d"],
        ),
        // A service that is restarted meanwhile is away for longer than three attempts.
        (
            [
                vec![accepted("/x")],
                vec![HANG_UP.to_owned(); 6],
                vec![done.clone()],
            ]
            .concat(),
            [vec!["/a/b?c=d"], vec!["/x"; 7]].concat(),
        ),
    ] {
        let answers: Vec<_> = answers.iter().map(String::as_str).collect();
        let script = Script::of(&answers).await;
        let answer = quick(poll_until_complete(format!("{}/a/b?c=d", script.url))).await;
        let answer = answer.expect("an end");
        assert_eq!(
            (answer.status().as_u16(), &answer.body()[..]),
            (200, &b"done"[..])
        );
        assert_eq!(answer.headers()["x-mine"], "1");
        let asked: Vec<_> = asked.iter().map(|path| format!("GET {path}")).collect();
        assert_eq!(script.lines(), asked);
    }
}

#[tokio::test]
async fn whatever_is_no_202_is_the_final_answer() {
    for (status, headers) in [
        ("404 Not Found", &[][..]),
        ("500 Internal Server Error", &[]),
        ("503 Service Unavailable", &[]),
        ("204 No Content", &[]),
        ("201 Created", &["location: /x"]),
        ("304 Not Modified", &["location: /x"]),
        ("302 Found", &[]),
        // A 202 that leads nowhere that can be asked.
        ("202 Accepted", &["location: ftp://x/"]),
        ("202 Accepted", &["location: http://me@x/"]),
        ("202 Accepted", &["location: http://[/"]),
    ] {
        let script = Script::of(&[&answer(status, headers, "")]).await;
        let answer = quick(poll_until_complete(&script.url))
            .await
            .expect("an end");
        assert_eq!(answer.status().as_str(), &status[..3]);
        assert_eq!(script.lines().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_request_is_sent_once_and_then_it_is_only_looked() {
    let script = Script::of(&[
        &answer("202 Accepted", &["location: /status"], ""),
        &answer("200 OK", &[], "done"),
    ])
    .await;
    let request = Request::put(format!("{}/start", script.url))
        .header("content-type", "text/plain")
        .header("x-trace", "t")
        .header("x-functions-key", "secret")
        .body("the body");
    let done = quick(send_until_complete(request.expect("a request"))).await;
    assert_eq!(&done.expect("an end").body()[..], b"done");
    let asked = script.asked();
    assert_eq!(script.lines(), ["PUT /start", "GET /status"]);
    assert!(asked[0].ends_with("\r\n\r\nthe body") && asked[0].contains("x-functions-key: secret"));
    assert!(asked[1].contains("x-trace: t") && asked[1].ends_with("\r\n\r\n"));
    for gone in ["content-type", "content-length", "secret"] {
        assert!(!asked[1].contains(gone), "{gone}: {}", asked[1]);
    }

    // But not for ever.
    let accepted = answer("202 Accepted", &["location: /x"], "");
    let gone = Script::of(&[&accepted, HANG_UP]).await;
    let looks = quick(poll_until_complete(&gone.url)).max_absence(Duration::from_millis(50));
    let error = looks.await.expect_err("no answer");
    assert!(
        matches!(error, ClientError::Transport { .. } | ClientError::TimedOut),
        "{error:?}"
    );

    // It may have been done: it is not sent again, and a 202 without a place has nothing to look at.
    let script = Script::of(&[HANG_UP]).await;
    let request = Request::post(&script.url).body("").expect("a request");
    let error = quick(send_until_complete(request))
        .await
        .expect_err("no answer");
    assert!(
        matches!(
            error,
            ClientError::Transport {
                sent_nothing: false,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(script.lines().len(), 1);
    for status in ["202 Accepted", "503 Service Unavailable"] {
        let headers: &[&str] = if status.starts_with('5') {
            &["retry-after: 1"]
        } else {
            &[]
        };
        let script = Script::of(&[&answer(status, headers, "")]).await;
        let request = Request::post(&script.url).body("").expect("a request");
        let answer = quick(send_until_complete(request))
            .await
            .expect("an answer");
        assert_eq!(answer.status().as_str(), &status[..3]);
        assert_eq!(script.lines().len(), 1);
    }
}

#[tokio::test]
async fn redirects_keep_what_they_must_and_do_not_go_on_for_ever() {
    for (status, method, second) in [
        ("307 Temporary Redirect", "POST", "POST"),
        ("308 Permanent Redirect", "POST", "POST"),
        ("301 Moved Permanently", "POST", "GET"),
        ("302 Found", "POST", "GET"),
        ("303 See Other", "POST", "GET"),
        ("301 Moved Permanently", "PUT", "PUT"),
        ("302 Found", "DELETE", "DELETE"),
        ("303 See Other", "PUT", "GET"),
    ] {
        let first = answer(status, &["location: /x"], "");
        let script = Script::of(&[&first, &answer("200 OK", &[], "")]).await;
        let request = Request::builder().method(method).uri(&script.url);
        let request = request.header("x-functions-key", "k").body("body");
        let sent = send_until_complete(request.expect("a request"));
        quick(sent).await.expect("an end");
        let expected = [format!("{method} /"), format!("{second} /x")];
        assert_eq!(script.lines(), expected, "{status}");
        let sent = &script.asked()[1];
        assert_eq!(sent.ends_with("body"), second == method, "{status}");
        assert!(sent.contains("x-functions-key: k"), "{status}");
    }
    let script = Script::of(&[&answer("302 Found", &["location: /"], "")]).await;
    let error = quick(poll_until_complete(&script.url))
        .await
        .expect_err("no end");
    assert!(
        matches!(error, ClientError::InvalidAnswer { .. }),
        "{error:?}"
    );
    assert_eq!(script.lines().len(), 11);
}

#[tokio::test]
async fn secrets_stay_with_the_origin_that_they_were_given_for() {
    let other = Script::of(&[&answer("200 OK", &[], "")]).await;
    for status in ["202 Accepted", "307 Temporary Redirect"] {
        let elsewhere = format!("location: {}/x", other.url);
        let script = Script::of(&[
            &answer("202 Accepted", &["location: /same"], ""),
            &answer(status, &[&elsewhere], ""),
        ])
        .await;
        let poll = poll_until_complete(&script.url)
            .header("authorization", "Bearer secret")
            .header("cookie", "secret")
            .header("x-api-key", "secret")
            .header("accept", "text/plain");
        quick(poll).await.expect("an end");
        assert!(script.asked()[1].contains("authorization: Bearer secret"));
        let sent = other.asked().pop().expect("a request");
        assert!(
            sent.contains("accept: text/plain") && !sent.contains("secret"),
            "{sent}"
        );
    }
}

/// The origin is the first request's, wherever polls have gone since; as it is for orchestrators' calls.
#[tokio::test]
async fn who_comes_back_from_another_origin_is_at_home_again() {
    let home = Script::of(&[
        &answer("200 OK", &[], "never"),
        &answer("200 OK", &[], "done"),
    ])
    .await;
    let back = format!("location: {}/back", home.url);
    let away = Script::of(&[&answer("202 Accepted", &[&back], "")]).await;
    let out = format!("location: {}/out", away.url);
    home.answer_first(&answer("202 Accepted", &[&out], ""));
    let poll = poll_until_complete(&home.url).header("authorization", "hush");
    let done = quick(poll).await.expect("an end");
    assert_eq!(&done.body()[..], b"done");
    assert_eq!(home.lines(), ["GET /", "GET /back"]);
    assert!(home.asked()[1].contains("authorization: hush"));
    assert!(!away.asked()[0].contains("hush"));
}

#[tokio::test]
async fn the_time_that_is_given_is_for_all_of_it() {
    let script = Script::of(&[&answer("202 Accepted", &[], "")]).await;
    let poll = quick(poll_until_complete(&script.url)).timeout(Duration::from_millis(100));
    assert!(matches!(poll.await, Err(ClientError::NotEnded)));
    assert!(script.lines().len() > 1);
    // A service that wants to be asked in an hour.
    let script = Script::of(&[&answer("202 Accepted", &["retry-after: 3600"], "")]).await;
    let poll = quick(poll_until_complete(&script.url)).timeout(Duration::from_millis(100));
    assert!(matches!(poll.await, Err(ClientError::NotEnded)));
    assert_eq!(script.lines().len(), 1);
}

/// One second, which a service may ask for.
#[tokio::test]
async fn a_service_says_when_it_wants_to_be_asked() {
    let check = async |status: &str, headers: &[&str]| {
        let script = Script::of(&[&answer(status, headers, ""), &answer("200 OK", &[], "")]).await;
        let begun = tokio::time::Instant::now();
        let answer = quick(poll_until_complete(&script.url))
            .await
            .expect("an end");
        assert_eq!(answer.status(), 200);
        assert!(begun.elapsed() >= Duration::from_secs(1), "{status}");
    };
    tokio::join!(
        check("202 Accepted", &["retry-after: 1", "location: /"]),
        check("503 Service Unavailable", &["retry-after: 1"]),
        check("429 Too Many Requests", &["retry-after: 0.5"]),
    );
}

#[tokio::test]
async fn what_is_no_request_is_not_sent() {
    for url in [
        "",
        "/x",
        "x.test",
        "ftp://x.test",
        "http://me@x.test",
        "http://",
    ] {
        let error = poll_until_complete(url).await.expect_err(url);
        assert!(
            matches!(error, ClientError::Invalid { .. }),
            "{url}: {error:?}"
        );
    }
    let script = Script::of(&[&answer("200 OK", &[], "")]).await;
    for (name, value) in [("a b", "x"), ("", "x"), ("a", "x\r\ny: z")] {
        let poll = poll_until_complete(&script.url).header(name, value);
        assert!(
            matches!(poll.await, Err(ClientError::Invalid { .. })),
            "{name}"
        );
    }
    for name in ["host", "content-length", "transfer-encoding", "connection"] {
        let poll = poll_until_complete(&script.url).header(name, "1");
        let error = poll.await.expect_err(name);
        assert!(matches!(error, ClientError::Invalid { .. }), "{error:?}");
    }
    assert_eq!(script.lines(), [""; 0]);
}

#[tokio::test]
async fn a_path_is_completed_with_the_host_of_a_client() {
    let served = anonymous().await;
    let client = served.client();
    let start = client.start("echo").id("e").input(&[1]);
    start.wait(Duration::from_secs(60)).await.expect("an end");
    let path = "/runtime/webhooks/durabletask/instances/e";
    let answer = poll_until_complete(path)
        .via(&client)
        .await
        .expect("an end");
    let status: serde_json::Value = serde_json::from_slice(answer.body()).expect("JSON");
    assert_eq!(status["output"], serde_json::json!([1]));
}
