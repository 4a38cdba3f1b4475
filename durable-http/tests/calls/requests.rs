use std::time::Duration;

use durable_core::RetryPolicy;
use durable_http::{HttpCallError, HttpRequest, HttpResponse};
use serde_json::{Value, json};

use super::stub::{Stub, answer, calls, error};

#[tokio::test]
async fn a_request_is_sent_as_it_was_made() {
    let stub = Stub::always(200, &[]).await;
    let request = HttpRequest::new("patch", stub.at("/a%20b?x=%2F&y=1#part"))
        .header("X-Two", "1")
        .header("x-two", "2")
        .content("text é");
    answer(request).await;
    let seen = &stub.seen()[0];
    assert_eq!(seen.line(), "PATCH /a%20b?x=%2F&y=1");
    assert_eq!(seen.headers.get_all("x-two").iter().count(), 2);
    assert_eq!(
        seen.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(
        (seen.body.as_str(), seen.header("content-length")),
        ("text é", Some("7"))
    );
    let agent = seen.header("user-agent").expect("an agent");
    assert!(agent.starts_with("durable-http/"), "{agent}");

    let json = HttpRequest::post(stub.at("/"))
        .json(&json!({ "a": [1] }))
        .expect("JSON");
    answer(json.header("user-agent", "mine")).await;
    let seen = &stub.seen()[1];
    assert_eq!(
        (seen.header("content-type"), seen.body.as_str()),
        (Some("application/json"), "{\"a\":[1]}")
    );
    assert_eq!(seen.header("user-agent"), Some("mine"));

    let typed =
        HttpRequest::put(stub.at("/")).header("Content-Type", "application/merge-patch+json");
    answer(typed.json(&1).expect("JSON")).await;
    assert_eq!(
        stub.seen()[2].header("content-type"),
        Some("application/merge-patch+json")
    );

    for method in ["GET", "HEAD", "DELETE", "OPTIONS"] {
        answer(HttpRequest::new(method, stub.at("/"))).await;
        let seen = stub.seen().pop().expect("a request");
        assert_eq!(
            (seen.method.as_str(), seen.header("content-type")),
            (method, None)
        );
    }
}

#[tokio::test]
async fn every_status_is_an_answer() {
    let stub = Stub::new(|seen, _| {
        let status = seen.path[1..].parse().expect("a number");
        super::stub::reply(status, &[("x-a", "1"), ("x-a", "2"), ("X-B", "3")], "")
    })
    .await;
    for status in [200, 204, 304, 400, 401, 404, 418, 429, 500, 503, 599] {
        let answer = answer(HttpRequest::get(stub.at(&format!("/{status}")))).await;
        assert_eq!(
            (answer.status(), answer.is_success()),
            (status, status < 300)
        );
        let values: Vec<_> = answer
            .headers()
            .filter(|(name, _)| *name == "x-a")
            .collect();
        assert_eq!(values, [("x-a", "1"), ("x-a", "2")]);
        assert_eq!((answer.header_value("x-b"), answer.text()), (Some("3"), ""));
    }
}

#[tokio::test]
async fn a_request_that_breaks_a_rule_is_not_sent() {
    let stub = Stub::always(200, &[]).await;
    let get = || HttpRequest::get(stub.at("/"));
    let post = || HttpRequest::post(stub.at("/"));
    let mut cases = vec![
        HttpRequest::new("", stub.at("/")),
        HttpRequest::new("GE T", stub.at("/")),
        HttpRequest::new("GET\r\nX: y", stub.at("/")),
        HttpRequest::new("CONNECT", stub.at("/")),
        get().header("", "x"),
        get().header("a b", "x"),
        get().header("a:b", "x"),
        get().header("x-a", "b\r\nx-c: d"),
        get().header("x-a", "b\0"),
        get().content("text"),
        HttpRequest::head(stub.at("/")).content("text"),
        post()
            .header("content-type", "Multipart/form-data; boundary=x")
            .content("x"),
    ];
    for name in [
        "Host",
        "content-length",
        "Transfer-Encoding",
        "connection",
        "te",
        "trailer",
        "upgrade",
        "expect",
    ] {
        cases.push(post().header(name, "1"));
    }
    let many = (0..101).fold(get(), |request, n| request.header(format!("x-{n}"), "1"));
    let repeated = (0..40_000).fold(get(), |request, _| request.header("x", "1"));
    cases.extend([many, repeated]);
    for request in cases {
        let shown = format!("{request:?}");
        let error = error(calls(), request).await;
        assert!(
            matches!(error, HttpCallError::Invalid(_)),
            "{shown}: {error:?}"
        );
    }
    assert!(stub.seen().is_empty());
}

#[test]
fn requests_and_answers_are_written_with_the_names_of_durable_functions() {
    let request = HttpRequest::post("https://a.test/")
        .header("X-One", "1")
        .header("x-two", "1")
        .header("x-two", "2")
        .content("text")
        .token_source("AzureManagedIdentity", "https://b.test")
        .timeout(Duration::from_millis(90_500))
        .polling(false)
        .retry(
            RetryPolicy::exponential(5, Duration::from_secs(2))
                .max_interval(Duration::from_secs(3_600))
                .retry_timeout(Duration::from_secs(86_400)),
        )
        .retry_statuses([429, 503]);
    let expected = json!({
        "method": "POST",
        "uri": "https://a.test/",
        "headers": { "x-one": "1", "x-two": ["1", "2"] },
        "content": "text",
        "tokenSource": { "kind": "AzureManagedIdentity", "resource": "https://b.test" },
        "asynchronousPatternEnabled": false,
        "retryOptions": {
            "firstRetryInterval": "00:00:02",
            "maxNumberOfAttempts": 5,
            "backoffCoefficient": 2.0,
            "maxRetryInterval": "01:00:00",
            "retryTimeout": "1.00:00:00",
            "statusCodesToRetry": [429, 503],
        },
        "timeout": "00:01:30.5",
    });
    let written = serde_json::to_value(&request).expect("JSON");
    assert_eq!(written, expected);
    assert_eq!(
        serde_json::from_value::<HttpRequest>(written).expect("a request"),
        request
    );

    let least = json!({ "method": "GET", "uri": "http://a.test/", "headers": null });
    let least: HttpRequest = serde_json::from_value(least).expect("a request");
    assert_eq!(least, HttpRequest::get("http://a.test/"));
    let numbers = json!({ "method": "GET", "uri": "", "timeout": 1.5, "retryOptions": {
        "firstRetryInterval": 2, "maxNumberOfAttempts": 3 } });
    let numbers: HttpRequest = serde_json::from_value(numbers).expect("a request");
    let same = HttpRequest::get("").timeout(Duration::from_millis(1_500));
    assert_eq!(
        numbers,
        same.retry(RetryPolicy::fixed(3, Duration::from_secs(2)))
    );

    let answer = HttpResponse::new(200).header("A", "1").content("x");
    let expected = json!({ "statusCode": 200, "headers": { "a": "1" }, "content": "x" });
    assert_eq!(serde_json::to_value(&answer).expect("JSON"), expected);
    let answer: HttpResponse =
        serde_json::from_value(json!({ "statusCode": 204 })).expect("an answer");
    assert_eq!((answer.status(), answer.text()), (204, ""));
}

#[test]
fn what_is_no_request_is_refused() {
    for wrong in [
        json!({ "uri": "http://a.test/" }),
        json!({ "method": "GET" }),
        json!({ "method": "GET", "uri": "", "headers": { "a": 1 } }),
        json!({ "method": "GET", "uri": "", "content": { "a": 1 } }),
        json!({ "method": "GET", "uri": "", "timeout": "soon" }),
        json!({ "method": "GET", "uri": "", "timeout": -1 }),
        json!({ "method": "GET", "uri": "", "tokenSource": {} }),
        json!({ "method": "GET", "uri": "", "retryOptions": { "maxNumberOfAttempts": 3 } }),
        json!({ "method": "GET", "uri": "", "retryOptions": { "statusCodesToRetry": [70_000] } }),
    ] {
        let read = serde_json::from_value::<HttpRequest>(wrong.clone());
        assert!(read.is_err(), "{wrong}");
    }
}

#[test]
fn what_may_be_a_secret_is_not_shown() {
    let request = HttpRequest::post("https://a.test/x?sig=secret#secret")
        .header("authorization", "secret")
        .content("secret")
        .token_source("azure", "https://b.test");
    let answer = HttpResponse::new(200)
        .header("set-cookie", "secret")
        .content("secret");
    let error = HttpCallError::Status(Box::new(answer.clone()));
    let shown = format!("{request:?} {answer:?} {error:?} {error}");
    assert!(!shown.contains("secret"), "{shown}");
    for word in [
        "POST",
        "https://a.test/x",
        "authorization",
        "azure",
        "set-cookie",
        "200",
    ] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    assert_eq!(answer.json::<Value>().ok(), None);
}
