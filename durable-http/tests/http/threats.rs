//! What somebody tries who means no good, as far as no other file has it.

#![expect(clippy::unwrap_used, reason = "what is not as expected fails the test")]

use std::io::Write;
use std::sync::{Arc, Mutex};

use http::{Method, StatusCode};
use tracing_subscriber::fmt::MakeWriter;

use crate::world::{KEY, World, look, world, world_with};

/// What is logged, at every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

const ROUTES: [(Method, &str); 16] = [
    (Method::POST, "/orchestrators/echo"),
    (Method::POST, "/orchestrators/nobody"),
    (Method::GET, "/instances/w"),
    (Method::GET, "/instances/w/events"),
    (Method::GET, "/instances"),
    (Method::POST, "/instances/w/raiseEvent/Other"),
    (Method::POST, "/instances/w/suspend"),
    (Method::POST, "/instances/w/resume"),
    (Method::POST, "/instances/w/retry"),
    (Method::POST, "/instances/w/restart"),
    (Method::POST, "/instances/w/rewind"),
    (Method::POST, "/instances/w/terminate"),
    (Method::DELETE, "/instances/w"),
    (Method::DELETE, "/instances?createdTimeFrom=2020-01-01"),
    (Method::GET, "/openapi.json"),
    (Method::GET, "/nowhere"),
];

#[tokio::test]
async fn no_key_and_no_link_is_logged() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .finish();
    // For all threads: what a hub logs on its own, and all other tests, are looked at, too.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let world = world_with(|api| api.admin_key(KEY).max_event_stream_time(<_>::default())).await;
    let incarnation = world.waiting("w").await.incarnation();
    let link = world.forge(&serde_json::json!([1, "w", incarnation, 0x7fff, null]));
    let wrong = "a key that is wrong but long";
    for _ in 0..2 {
        for (method, path) in ROUTES {
            for code in [KEY, wrong, &link] {
                let encoded = durable_http::path_segment(code);
                let and = if path.contains('?') { '&' } else { '?' };
                let uri = format!("{path}{and}code={encoded}");
                world.send(method.clone(), &uri, &[], "1").await;
                let headers = [("x-functions-key", code), ("referer", code)];
                world.send(method.clone(), path, &headers, "{").await;
            }
        }
        look(world.api.check_status_response("w").await).await;
        // The second time everything fails.
        world.hub.clone().close().await.unwrap();
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("a request could not be answered"), "{log}");
    let encoded = durable_http::path_segment(KEY).to_string();
    for secret in [KEY, &encoded, wrong, "dl1."] {
        assert!(!log.contains(secret), "`{secret}` in {log}");
    }
}

/// A page goes on for whoever was given its token, and for nothing that looks like one.
#[tokio::test]
async fn a_token_that_was_touched_is_refused() {
    let world = world_with(|api| api.admin_key(KEY).page_size(1)).await;
    for id in ["a", "b", "c"] {
        world.ended(id, "1").await;
    }
    let ask = async |token: &str| {
        let headers = [("x-functions-key", KEY), ("x-ms-continuation-token", token)];
        world.send(Method::GET, "/instances", &headers, "").await
    };
    let token = ask("").await.header("x-ms-continuation-token").to_owned();
    assert_eq!(ask(&token).await.json()[0]["instanceId"], "b");
    let mut rng = fastrand::Rng::with_seed(7);
    for _ in 0..5_000 {
        let mut bytes = token.clone().into_bytes();
        let at = rng.usize(0..bytes.len());
        match rng.u8(0..4) {
            0 => bytes[at] = rng.alphanumeric() as u8,
            1 => bytes.insert(at, rng.alphanumeric() as u8),
            2 => drop(bytes.remove(at)),
            _ => bytes.truncate(at.max(1)),
        }
        let touched = String::from_utf8(bytes).unwrap();
        if touched != token {
            let reply = ask(&touched).await;
            assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{touched}");
        }
    }
    // Of another hub it is as good as made up.
    let other = world_with(|api| api.admin_key(KEY).page_size(1)).await;
    other.ended("a", "1").await;
    let headers = [
        ("x-functions-key", KEY),
        ("x-ms-continuation-token", &token),
    ];
    let reply = other.send(Method::GET, "/instances", &headers, "").await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
}

/// Names, ids, reasons and events may hold what they like: it stays within them.
#[tokio::test]
async fn nothing_that_is_sent_becomes_a_header() {
    let world = world().await;
    for text in [
        "a%0D%0Aset-cookie:%20x=1",
        "a%0Aset-cookie: x".replace(' ', "%20").as_str(),
        "a%22%3E%3Cscript%3Ealert(1)%3C/script%3E"
            .replace('/', "%2F")
            .as_str(),
        "%E2%80%A8a",
        "%F0%9F%A6%80",
    ] {
        let waits = world.waiting("w").await;
        for (method, uri) in [
            (Method::POST, format!("/orchestrators/{text}")),
            (
                Method::POST,
                format!("/orchestrators/echo/{text}?timeout=20"),
            ),
            (Method::POST, format!("/orchestrators/echo?version={text}")),
            (Method::GET, format!("/instances/{text}")),
            (
                Method::GET,
                format!("/instances/w?showInput={text}&{text}={text}"),
            ),
            (Method::GET, format!("/instances?instanceIdPrefix={text}")),
            (Method::POST, format!("/instances/w/raiseEvent/{text}")),
            (Method::POST, format!("/instances/w/suspend?reason={text}")),
            (
                Method::POST,
                format!("/instances/w/terminate?reason={text}"),
            ),
        ] {
            let reply = world.admin(method, &uri, "1").await;
            assert!(!reply.status.is_server_error(), "{uri}: {reply:?}");
            assert!(!reply.headers.contains_key("set-cookie"), "{uri}");
            for value in reply.headers.values() {
                // Whatever there is of it is encoded.
                assert!(value.to_str().is_ok(), "{uri}: {value:?}");
                assert!(!value.as_bytes().contains(&b'<'), "{uri}: {value:?}");
            }
        }
        // Whatever the reason is, it is shown as it was given.
        let given = percent_encoding::percent_decode_str(text)
            .decode_utf8()
            .unwrap();
        let shown = ended(&world, "w").await;
        assert_eq!(shown["output"], *given);
        let purged = world.client.purge(waits.instance_id()).await;
        purged.unwrap();
    }
}

async fn ended(world: &World, id: &str) -> serde_json::Value {
    world.client.wait_for_completion(id).await.unwrap();
    let uri = format!("/instances/{id}");
    world.admin(Method::GET, &uri, "").await.json()
}
