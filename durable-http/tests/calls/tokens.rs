use std::sync::{Arc, Mutex};

use axum::response::Response;
use durable_core::TaskHub;
use durable_http::{
    AccessToken, ClientCredentials, HttpActivity, HttpCallError, HttpCalls, HttpClient,
    HttpRequest, HttpResponse, ManagedIdentity, OutboundPolicy, TokenSource,
};

use super::stub::{Seen, Stub, ask, calls, error, made, reply};

/// Grants `token-0`, `token-1` and so on.
async fn issuer() -> Stub {
    Stub::new(|_, nth| reply(200, &[], &granted(nth))).await
}

fn granted(nth: usize) -> String {
    format!(r#"{{"access_token":"token-{nth}","token_type":"Bearer","expires_in":"3600"}}"#)
}

/// Says what it was asked with.
async fn service() -> Stub {
    Stub::new(|seen, _| reply(200, &[], seen.header("authorization").unwrap_or("none"))).await
}

async fn asked_with(source: impl TokenSource, resource: &str) -> String {
    let service = service().await;
    let request = HttpRequest::get(service.at("/"))
        .header("authorization", "Basic of-the-caller")
        .token_source("mine", resource);
    let ((answer, error), _) = made(calls().token_source("mine", source), request).await;
    answer.unwrap_or_else(|| panic!("{error:?}")).into_content()
}

#[tokio::test]
async fn a_fixed_token_is_sent() {
    let token = AccessToken::new("fixed").expect("a token");
    assert_eq!(asked_with(token, "").await, "Bearer fixed");
}

#[tokio::test]
async fn client_credentials_are_exchanged_for_a_token() {
    for (scope, expected) in [
        (
            "",
            "grant_type=client_credentials&client_id=me&client_secret=a%26b",
        ),
        (
            "https://a.test/.default",
            "grant_type=client_credentials&client_id=me&client_secret=a%26b&scope=https%3A%2F%2Fa.test%2F.default",
        ),
    ] {
        let issuer = issuer().await;
        let source = ClientCredentials::new(issuer.at("/token"), "me", "a&b");
        assert_eq!(asked_with(source, scope).await, "Bearer token-0");
        let seen = &issuer.seen()[0];
        assert_eq!(
            (seen.line().as_str(), seen.body.as_str()),
            ("POST /token", expected)
        );
        assert_eq!(
            seen.header("content-type"),
            Some("application/x-www-form-urlencoded")
        );
    }
}

#[tokio::test]
async fn a_virtual_machine_has_an_identity() {
    let issuer = issuer().await;
    let source = ManagedIdentity::virtual_machine().metadata_endpoint(&issuer.url);
    let source = source.client_id("one of two");
    assert_eq!(
        asked_with(source, "https://a.test/.default").await,
        "Bearer token-0"
    );
    let seen = &issuer.seen()[0];
    let expected = "GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fa.test&client_id=one+of+two";
    assert_eq!(
        (seen.line().as_str(), seen.header("metadata")),
        (expected, Some("true"))
    );
}

#[tokio::test]
async fn an_app_service_has_an_identity() {
    let issuer = issuer().await;
    let source = ManagedIdentity::app_service(issuer.at("/msi/token"), "proof");
    assert_eq!(asked_with(source, "https://a.test").await, "Bearer token-0");
    let seen = &issuer.seen()[0];
    let expected = "GET /msi/token?api-version=2019-08-01&resource=https%3A%2F%2Fa.test";
    assert_eq!(seen.line(), expected);
    assert_eq!(
        (seen.header("x-identity-header"), seen.header("metadata")),
        (Some("proof"), None)
    );
}

#[tokio::test]
async fn a_token_is_used_until_it_is_refused_and_then_once_more() {
    let issuer = issuer().await;
    let revoked = Arc::new(Mutex::new(Vec::<&str>::new()));
    let list = Arc::clone(&revoked);
    let service = Stub::new(move |seen: &Seen, _| -> Response {
        let token = seen.header("authorization").expect("a token");
        let refused = list.lock().expect("no panic").contains(&token);
        reply(if refused { 401 } else { 200 }, &[], token)
    })
    .await;
    let source = ClientCredentials::new(issuer.at("/"), "me", "secret");
    let calls = calls().token_source("mine", source);
    let ask = || {
        HttpRequest::post(service.at("/"))
            .content("text")
            .token_source("mine", "r")
    };
    for (newly_revoked, expected, status) in [
        (None, "Bearer token-0", 200),
        (None, "Bearer token-0", 200),
        (Some("Bearer token-0"), "Bearer token-1", 200),
        // The one that comes in its place is refused, too: so it is said.
        (Some("Bearer token-1"), "Bearer token-2", 200),
    ] {
        revoked.lock().expect("no panic").extend(newly_revoked);
        let ((answer, error), _) = made(calls.clone(), ask()).await;
        let answer = answer.unwrap_or_else(|| panic!("{error:?}"));
        assert_eq!((answer.text(), answer.status()), (expected, status));
    }
    revoked
        .lock()
        .expect("no panic")
        .extend(["Bearer token-2", "Bearer token-3"]);
    let ((answer, _), _) = made(calls, ask()).await;
    assert_eq!(answer.expect("an answer").status(), 401);
    assert_eq!((issuer.seen().len(), service.seen().len()), (4, 8));
    assert!(service.seen().iter().all(|seen| seen.body == "text"));
}

#[tokio::test]
async fn a_fixed_token_that_is_refused_is_not_sent_again() {
    let service = Stub::always(401, &[]).await;
    let token = AccessToken::new("fixed").expect("a token");
    let request = HttpRequest::get(service.at("/")).token_source("mine", "");
    let ((answer, _), _) = made(calls().token_source("mine", token), request).await;
    assert_eq!(answer.expect("an answer").status(), 401);
    assert_eq!(service.seen().len(), 1);
}

#[tokio::test]
async fn the_token_goes_to_the_origin_that_it_is_for() {
    let other = service().await;
    for (status, headers) in [(202, "location"), (307, "location")] {
        let location = other.at("/");
        let first =
            Stub::new(move |_, _| reply(status, &[(headers, &location), ("retry-after", "1")], ""))
                .await;
        let token = AccessToken::new("fixed").expect("a token");
        let request = HttpRequest::get(first.at("/")).token_source("mine", "");
        let ((answer, _), _) = made(calls().token_source("mine", token), request).await;
        assert_eq!(answer.expect("an answer").text(), "none");
        assert_eq!(
            first.seen()[0].header("authorization"),
            Some("Bearer fixed")
        );
    }
    // Polls at home have it.
    let home = Stub::new(|seen, nth| match nth {
        0 => reply(202, &[("location", "/job"), ("retry-after", "1")], ""),
        _ => reply(200, &[], seen.header("authorization").unwrap_or("none")),
    })
    .await;
    let token = AccessToken::new("fixed").expect("a token");
    let request = HttpRequest::get(home.at("/")).token_source("mine", "");
    let ((answer, _), _) = made(calls().token_source("mine", token), request).await;
    assert_eq!(answer.expect("an answer").text(), "Bearer fixed");
}

#[tokio::test]
async fn a_source_may_be_where_requests_may_not_go() {
    let issuer = issuer().await;
    let service = service().await;
    let source = ManagedIdentity::virtual_machine().metadata_endpoint(&issuer.url);
    let policy = OutboundPolicy::public().allow_host("localhost");
    let calls = HttpCalls::new(HttpClient::new(policy)).token_source("azure", source);
    let url = format!("http://localhost:{}/", service.port);
    let request = HttpRequest::get(url).token_source("azure", "r");
    let ((answer, error), _) = made(calls, request).await;
    assert_eq!(
        answer.map(HttpResponse::into_content).as_deref(),
        Some("Bearer token-0"),
        "{error:?}"
    );
}

#[tokio::test]
async fn without_a_token_nothing_is_sent_and_no_secret_is_said() {
    let service = service().await;
    let request = || HttpRequest::get(service.at("/")).token_source("mine", "r");
    let unknown = error(calls(), request()).await;
    assert_eq!(unknown, HttpCallError::NoTokenSource("mine".to_owned()));
    let answers: [(u16, &'static str, &str); 5] = [
        (
            400,
            r#"{"error":"invalid_client","error_description":"hush"}"#,
            "its endpoint answers 400: invalid_client",
        ),
        (400, r#"{"error":"hush HUSH"}"#, "its endpoint answers 400"),
        (500, "hush", "its endpoint answers 500"),
        (302, "hush", "its endpoint answers 302"),
        (
            200,
            r#"{"token":"hush"}"#,
            "its endpoint answers without a token",
        ),
    ];
    for (status, body, expected) in answers {
        let issuer = Stub::new(move |_, _| reply(status, &[("location", "/x")], body)).await;
        let source = ClientCredentials::new(issuer.at("/?code=hush"), "me", "hush");
        let error = error(calls().token_source("mine", source), request()).await;
        let HttpCallError::Token {
            source_name,
            message,
        } = error
        else {
            panic!("{error:?}");
        };
        assert_eq!((source_name.as_str(), message.as_str()), ("mine", expected));
        assert_eq!(issuer.seen().len(), 1);
    }
    let nowhere = ClientCredentials::new("http://127.0.0.1:1/?code=hush", "me", "hush");
    let shown = format!("{nowhere:?}").replace("?code=hush", "");
    assert!(!shown.contains("hush"), "{shown}");
    let error = error(calls().token_source("mine", nowhere), request()).await;
    assert!(!format!("{error:?} {error}").contains("hush"), "{error:?}");
    assert!(service.seen().is_empty());
}

#[tokio::test]
async fn no_secret_is_in_the_files_of_the_hub_or_logged() {
    const SECRETS: [&str; 2] = ["canary-of-the-client", "token-0"];
    let subscriber = tracing_subscriber::fmt().with_writer(|| Log);
    let subscriber = subscriber.with_max_level(tracing::Level::TRACE).finish();
    // Of all threads, so that what other tests log is looked at, too.
    tracing::subscriber::set_global_default(subscriber).expect("it is the only one");
    let issuer = issuer().await;
    let service = Stub::new(|_, nth| match nth {
        0 => reply(
            202,
            &[("location", "/job"), ("retry-after", "1")],
            "an answer",
        ),
        1 => reply(500, &[], "an answer"),
        _ => reply(200, &[], "an answer"),
    })
    .await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("hub.db");
    let hub = TaskHub::open(&path).await.expect("a hub");
    let source = ClientCredentials::new(issuer.at("/"), "me", SECRETS[0]);
    let calls = calls().token_source("mine", source);
    let worker = hub
        .worker()
        .state(calls)
        .register::<HttpActivity>()
        .register::<ask>();
    let worker = worker.start().await.expect("a worker");
    let request = HttpRequest::get(service.at("/")).token_source("mine", "r");
    let request = request.retry(durable_core::RetryPolicy::fixed(
        2,
        std::time::Duration::ZERO,
    ));
    let start = hub.client().start_orchestration::<ask>(request);
    let (answer, _) = start
        .await
        .expect("a start")
        .wait_for_completion()
        .await
        .expect("an end");
    assert_eq!(answer.expect("an answer").status(), 200);
    assert_eq!(
        service.seen()[2].header("authorization"),
        Some("Bearer token-0")
    );
    worker.shutdown().await;
    hub.close().await.expect("it closes");

    let mut bytes = Vec::new();
    read_all(&path, &mut bytes);
    let has = |text: &str| {
        bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    };
    assert!(has("an answer"), "it is not looked where things are");
    let log = LOGGED.lock().expect("no panic").clone();
    let log = String::from_utf8(log).expect("text");
    assert!(log.contains("durable_http::HttpActivity"), "{log}");
    for secret in SECRETS {
        assert!(!has(secret), "{secret}");
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

/// What is logged, at every level.
static LOGGED: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Log;

impl std::io::Write for Log {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        LOGGED.lock().expect("no panic").extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn read_all(path: &std::path::Path, into: &mut Vec<u8>) {
    for entry in std::fs::read_dir(path).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read_all(&path, into);
        } else {
            into.extend(std::fs::read(path).expect("a file"));
        }
    }
}
