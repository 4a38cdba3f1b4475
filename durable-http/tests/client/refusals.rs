//! What is not done, and how that is told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use durable_http::client::{Client, ClientError, Instance};
use serde::Serialize;

use crate::script::{HANG_UP, SILENCE, Script, answer};
use crate::served::{KEY, with_key};

fn asking(script: &Script) -> Client {
    Client::new(&script.url).expect("a client")
}

#[tokio::test]
async fn what_a_service_answers_becomes_an_error_that_says_what_to_do() {
    let text = |message: &str| message.to_owned();
    for (status, headers, body, expected) in [
        ("404 Not Found", "", "", ClientError::NotFound),
        ("401 Unauthorized", "", "", ClientError::Unauthorized),
        ("410 Gone", "", "", ClientError::Ended),
        (
            "403 Forbidden",
            "",
            r#"{"Message": "not this"}"#,
            ClientError::Forbidden {
                message: text("not this"),
            },
        ),
        (
            "409 Conflict",
            "",
            r#"{"Message": "it is there"}"#,
            ClientError::Conflict {
                message: text("it is there"),
            },
        ),
        (
            "412 Precondition Failed",
            "",
            "\"it runs\"",
            ClientError::NotAsNeeded {
                message: text("it runs"),
            },
        ),
        (
            "400 Bad Request",
            "",
            r#"{"Message": "wrong", "ExceptionMessage": "that is", "ExceptionType": "X"}"#,
            ClientError::BadRequest {
                message: text("that is"),
            },
        ),
        (
            "413 Payload Too Large",
            "",
            "",
            ClientError::BadRequest {
                message: text("Payload Too Large"),
            },
        ),
        (
            "503 Service Unavailable",
            "retry-after: 7",
            "",
            ClientError::Unavailable {
                retry_after: Some(Duration::from_secs(7)),
            },
        ),
        (
            "429 Too Many Requests",
            "x: y",
            "",
            ClientError::Unavailable { retry_after: None },
        ),
        (
            "501 Not Implemented",
            "",
            "<html>\n</html>",
            ClientError::Unexpected {
                status: 501,
                message: text("Not Implemented"),
            },
        ),
        (
            "302 Found",
            "location: /elsewhere",
            "",
            ClientError::Unexpected {
                status: 302,
                message: text("Found"),
            },
        ),
        (
            "500 Internal Server Error",
            "",
            "\"two\\nlines\"",
            ClientError::Unexpected {
                status: 500,
                message: text("two lines"),
            },
        ),
    ] {
        let headers: &[&str] = if headers.is_empty() { &[] } else { &[headers] };
        let script = Script::of(&[&answer(status, headers, body)]).await;
        let instance = asking(&script).instance("w");
        for error in [
            instance.terminate("").await.expect_err("an error"),
            instance.status().await.expect_err("an error"),
            instance.purge().await.expect_err("an error"),
        ] {
            assert_eq!(error, expected, "{status}");
        }
        assert_eq!(script.lines().len(), 3);
    }
}

#[tokio::test]
async fn a_404_that_is_of_no_instance_says_that_the_url_is_wrong() {
    let script = Script::of(&[&answer("404 Not Found", &[], "")]).await;
    let client = asking(&script);
    for error in [
        client.start("echo").await.expect_err("start"),
        client
            .start("echo")
            .wait(Duration::ZERO)
            .await
            .expect_err("start and wait"),
        client.list().page(None).await.expect_err("list"),
    ] {
        assert!(
            matches!(&error, ClientError::InvalidAnswer { message } if message.contains("URL")),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn what_is_not_of_this_api_is_not_understood() {
    for body in [
        "",
        "{}",
        "[]",
        "<html>",
        "{\"runtimeStatus\": \"Running\"",
        "null",
    ] {
        let script = Script::of(&[&answer("200 OK", &[], body)]).await;
        let client = asking(&script);
        let invalid = |error: ClientError| matches!(error, ClientError::InvalidAnswer { .. });
        assert!(
            invalid(client.instance("w").status().await.expect_err("status")),
            "{body}"
        );
        assert!(
            invalid(client.instance("w").purge().await.expect_err("purge")),
            "{body}"
        );
        assert!(
            invalid(client.start("echo").await.expect_err("start")),
            "{body}"
        );
        if body != "[]" {
            assert!(
                invalid(client.list().page(None).await.expect_err("list")),
                "{body}"
            );
        }
    }
    // A page that leads to itself.
    let page = answer("200 OK", &["x-ms-continuation-token: 1"], "[]");
    let script = Script::of(&[&page]).await;
    let next = asking(&script).list().instances().next().await;
    assert!(
        matches!(next, Err(ClientError::InvalidAnswer { .. })),
        "{next:?}"
    );
    assert_eq!(script.lines().len(), 2);
}

#[tokio::test]
async fn answers_have_a_limit_and_a_time() {
    let large = answer("200 OK", &[], &format!("\"{}\"", "x".repeat(1000)));
    let begun = "x".repeat(2000);
    let endless = format!("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n{begun}");
    for (script, expected) in [
        (large.as_str(), ClientError::AnswerTooLarge { limit: 1000 }),
        (&endless, ClientError::AnswerTooLarge { limit: 1000 }),
        (SILENCE, ClientError::TimedOut),
    ] {
        let script = Script::of(&[script]).await;
        let client = Client::builder(&script.url).max_answer_size(1000);
        let client = client
            .timeout(Duration::from_millis(200))
            .retries(0)
            .build();
        let status = client.expect("a client").instance("w").status().await;
        assert_eq!(status.expect_err("an error"), expected);
    }
}

#[tokio::test]
async fn only_what_reads_is_sent_again_after_it_may_have_arrived() {
    let ended = answer("200 OK", &[], r#"{"runtimeStatus": "Completed"}"#);
    let script = Script::of(&[HANG_UP, HANG_UP, &ended]).await;
    let status = asking(&script).instance("w").status().await;
    assert!(status.is_ok(), "{status:?}");
    assert_eq!(script.lines().len(), 3);

    let done = answer("202 Accepted", &[], r#"{"id": "w"}"#);
    for what in ["start", "raise", "terminate", "purge", "purge all"] {
        let script = Script::of(&[HANG_UP, &done]).await;
        let client = asking(&script);
        let instance = client.instance("w");
        let error = match what {
            "start" => client.start("echo").id("w").await.expect_err(what),
            "raise" => instance.raise_event("Go", &1).await.expect_err(what),
            "terminate" => instance.terminate("").await.expect_err(what),
            "purge" => instance.purge().await.expect_err(what),
            _ => client.purge_all().await.expect_err(what),
        };
        let sent = matches!(
            error,
            ClientError::Transport {
                sent_nothing: false,
                ..
            }
        );
        assert!(sent, "{what}: {error:?}");
        assert_eq!(script.lines().len(), 1, "{what}");
    }
}

#[tokio::test]
async fn where_nobody_listens_nothing_is_sent() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let url = format!("http://{address}/?code={}", KEY.replace(' ', "+"));
    let client = Client::builder(url)
        .key(KEY)
        .retries(1)
        .build()
        .expect("a client");
    let error = client
        .instance("w")
        .terminate("")
        .await
        .expect_err("nobody");
    assert!(
        matches!(
            error,
            ClientError::Transport {
                sent_nothing: true,
                ..
            }
        ),
        "{error:?}"
    );
    no_key_in(&format!(
        "{error:?} {error} {client:?} {:?}",
        client.start("echo")
    ));
}

#[tokio::test]
async fn a_key_is_in_no_url_no_error_and_no_debug() {
    let served = with_key().await;
    let wrong = "a key that opens nothing here";
    let client = served.client_with(|client| client.key(wrong));
    let error = client.start("echo").await.expect_err("not allowed");
    assert_eq!(error, ClientError::Unauthorized);
    assert!(!format!("{error:?} {error} {client:?}").contains(wrong));

    let script = Script::of(&[&answer("202 Accepted", &[], r#"{"id": "w"}"#)]).await;
    let builder = Client::builder(&script.url).key(KEY);
    no_key_in(&format!("{builder:?}"));
    let instance: Instance = builder
        .build()
        .expect("a client")
        .start("echo")
        .await
        .expect("a start");
    no_key_in(&format!(
        "{instance:?} {:?} {:?}",
        instance.status(),
        instance.wait_for_completion()
    ));
    let asked = script.asked();
    assert!(
        asked[0].contains(&format!("x-functions-key: {KEY}\r\n")),
        "{asked:?}"
    );
    no_key_in(&script.lines().join(" "));
}

/// By nobody in this process: what the other tests do, and the service that is in it, too, is looked at.
#[tokio::test]
async fn a_key_is_not_logged() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone());
    let subscriber = subscriber.with_max_level(tracing::Level::TRACE).finish();
    // For all threads: one of this thread alone would not hear what another has passed first.
    tracing::subscriber::set_global_default(subscriber).expect("it is the only one");
    let served = with_key().await;
    let client = served.client_with(|client| client.key(KEY));
    let instance = client.start("echo").input(&1).await.expect("a start");
    instance.wait_for_completion().await.expect("an end");
    instance.status().await.expect("a status");
    let wrong = "a key that opens nothing here";
    let client = served.client_with(|client| client.key(wrong));
    client.start("echo").await.expect_err("not allowed");
    let script = Script::of(&[HANG_UP]).await;
    let client = Client::builder(&script.url).key(KEY).retries(0).build();
    let away = client.expect("a client").instance("w");
    away.status().await.expect_err("no answer");
    let log = String::from_utf8(log.0.lock().expect("unpoisoned").clone()).expect("text");
    // Beneath, connections are logged.
    assert!(log.contains("hyper_util"), "it is not listened: {log}");
    no_key_in(&log);
    assert!(!log.contains(wrong), "{log}");
}

/// What is logged, at every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("unpoisoned").extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn no_key_in(text: &str) {
    let encoded = KEY.replace(' ', "+");
    assert!(!text.contains(KEY) && !text.contains(&encoded), "{text}");
}

#[tokio::test]
async fn what_cannot_be_sent_is_not() {
    struct Unwritable;
    impl Serialize for Unwritable {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("never"))
        }
    }
    let script = Script::of(&[&answer("202 Accepted", &[], r#"{"id": "w"}"#)]).await;
    let client = asking(&script);
    let instance = client.instance("w");
    let data = ClientError::Data {
        message: "never".to_owned(),
    };
    assert_eq!(
        instance.raise_event("Go", &Unwritable).await,
        Err(data.clone())
    );
    assert_eq!(
        client
            .start("echo")
            .input(&Unwritable)
            .await
            .expect_err("data"),
        data
    );
    for error in [
        client.instance("").purge().await.expect_err("an id"),
        client
            .instance("..")
            .terminate("")
            .await
            .expect_err("an id"),
        client.start("").await.expect_err("a name"),
        client.start("echo").id("").await.expect_err("an id"),
        instance.raise_event("", &1).await.expect_err("a name"),
        Client::new("example.com").expect_err("a URL"),
        Client::new("ftp://example.com").expect_err("a URL"),
        Client::new("http://me:word@example.com").expect_err("a URL"),
        Client::builder(&script.url)
            .key("a\nb")
            .build()
            .expect_err("a key"),
        Client::builder(&script.url)
            .key(" a")
            .build()
            .expect_err("a key"),
        Client::builder(&script.url)
            .key("")
            .build()
            .expect_err("a key"),
    ] {
        assert!(matches!(error, ClientError::Invalid { .. }), "{error:?}");
    }
    assert_eq!(script.lines(), [""; 0]);
}
