//! Requests made at random of what may stand in one: no panic, and no 5xx for a client's mistake.

use std::fmt::Write as _;
use std::time::Duration;

use fastrand::Rng;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::json;
use tower::ServiceExt;

use crate::world::{KEY, World, world_with};

const CASES: u64 = 4_000;

const WORDS: &[&str] = &[
    "orchestrators",
    "ORCHESTRATORS",
    "instances",
    "raiseEvent",
    "terminate",
    "suspend",
    "resume",
    "rewind",
    "retry",
    "restart",
    "entities",
    "openapi.json",
    "events",
    "echo",
    "wait",
    "tour",
    "w",
    "e",
    "Go",
    "",
    ".",
    "..",
    "@x@y",
    "runtime",
    "webhooks",
    "durabletask",
];

const NAMES: &[&str] = &[
    "code",
    "showInput",
    "showHistory",
    "showHistoryOutput",
    "timeout",
    "pollingInterval",
    "top",
    "createdTimeFrom",
    "createdTimeTo",
    "runtimeStatus",
    "instanceIdPrefix",
    "reason",
    "version",
    "taskHub",
    "connection",
    "restartWithNewInstanceId",
    "x",
];

const VALUES: &[&str] = &[
    "true",
    "False",
    "0",
    "1",
    "-1",
    "0.001",
    "1e309",
    "NaN",
    "inf",
    "99999999999999999999",
    "2026-01-01T00:00:00Z",
    "1-01-01",
    "2026-13-45T99:99:99Z",
    "Completed,Running",
    "Nonsense",
    "7",
    "w",
    "",
];

const BODIES: &[&str] = &[
    "",
    "null",
    "1",
    "{}",
    "{",
    "\"text\"",
    "[1,",
    "{\"a\":1}",
    "\u{0}",
    " ",
    "\u{feff}1",
    "tru",
];

/// Bytes that are special somewhere.
const ODD: &[u8] = b"%/?#&=+;\\\"'<>{}|^`~ \t\r\n\0\x7f.@:,a\xc3\xa9\xff";

fn pick<'a>(rng: &mut Rng, from: &[&'a str]) -> &'a str {
    from[rng.usize(0..from.len())]
}

/// Some bytes, most of them encoded.
fn odd(rng: &mut Rng) -> String {
    let mut text = String::new();
    for _ in 0..rng.usize(0..12) {
        let byte = match rng.u8(0..4) {
            0 => rng.u8(..),
            _ => ODD[rng.usize(0..ODD.len())],
        };
        let plain = byte.is_ascii_alphanumeric() || (rng.bool() && b"%.@:,+;=&~".contains(&byte));
        if plain {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02x}");
        }
    }
    text
}

fn path(rng: &mut Rng) -> String {
    let mut path = String::new();
    if rng.u8(0..4) == 0 {
        path.push_str("/runtime/webhooks/durabletask");
    }
    // Half of them are a route, but for what is in them.
    let template: &[&str] = match rng.u8(0..9) {
        0 => &["orchestrators", "?"],
        1 => &["orchestrators", "?", "?"],
        2 => &["instances", "?"],
        3 => &["instances"],
        4 => &["instances", "?", "raiseEvent", "?"],
        5 => &["instances", "?", "?"],
        6 => &["openapi.json"],
        _ => &["?", "?", "?", "?", "?"][..rng.usize(0..6)],
    };
    for segment in template {
        path.push('/');
        match (*segment, rng.u8(0..4)) {
            ("?", 0) => path.push_str(&odd(rng)),
            ("?", 1) => {
                let _ = write!(path, "{}{}", pick(rng, WORDS), odd(rng));
            }
            ("?", 2) => path.push_str(pick(rng, WORDS)),
            ("?", _) => path.push_str(pick(rng, &["w", "e", "echo", "terminate"])),
            (word, _) => path.push_str(word),
        }
    }
    if rng.u8(0..4) == 0 || path.is_empty() {
        path.push('/');
    }
    path
}

/// A credential: right, wrong, or a link that somebody has made up or changed.
fn credential(rng: &mut Rng, world: &World, incarnation: u64) -> String {
    let claims = [
        json!([1, "w", incarnation, 0xffff_u32, null]),
        json!([1, "w", incarnation, -1, null]),
        json!([1, "w", u64::MAX, 2, 0]),
        json!([1, "", incarnation, 2, "soon"]),
        json!([[[[]]]]),
        json!({ "a": 1 }),
        json!(null),
    ];
    match rng.u8(0..10) {
        0..=5 => KEY.to_owned(),
        6 => format!("dl1.{}", odd(rng)),
        7 => {
            let mut link = world.forge(&claims[rng.usize(0..claims.len())]);
            let cut = rng.usize(0..link.len());
            link.truncate(cut);
            link
        }
        8 => world.forge(&claims[rng.usize(0..claims.len())]),
        _ => odd(rng),
    }
}

fn query(rng: &mut Rng, code: &str) -> String {
    let mut query = String::new();
    for _ in 0..rng.usize(0..5) {
        query.push(if query.is_empty() { '?' } else { '&' });
        let name = match rng.u8(0..6) {
            0 => odd(rng),
            _ => pick(rng, NAMES).to_owned(),
        };
        let value = match (name.as_str(), rng.u8(0..4)) {
            ("code", _) => code.replace(' ', "+"),
            (_, 0) => odd(rng),
            _ => pick(rng, VALUES).to_owned(),
        };
        let _ = write!(query, "{name}={value}");
    }
    query
}

fn request(rng: &mut Rng, world: &World, incarnation: u64) -> Option<Request<Full<bytes::Bytes>>> {
    let code = credential(rng, world, incarnation);
    let path = path(rng);
    let last = path.rsplit('/').next().unwrap_or_default();
    let steers = path.contains("orchestrators") || path.contains("raiseEvent");
    let method = match rng.u8(0..10) {
        0..=6 if steers || WORDS[4..9].contains(&last) => Method::POST,
        0..=5 => Method::GET,
        6 => Method::DELETE,
        7 => Method::POST,
        _ => [Method::HEAD, Method::PUT, Method::PATCH, Method::OPTIONS][rng.usize(0..4)].clone(),
    };
    let uri = path + &query(rng, &code);
    let mut request = Request::builder().method(method).uri(uri);
    if rng.u8(0..4) > 0 {
        request = request.header("x-functions-key", code);
    }
    for name in [
        "content-type",
        "origin",
        "host",
        "x-ms-continuation-token",
        "content-encoding",
    ] {
        if rng.u8(0..6) == 0 {
            let value = match rng.u8(0..3) {
                0 => "application/json; charset=x".to_owned(),
                1 => odd(rng),
                _ => pick(rng, VALUES).to_owned(),
            };
            request = request.header(name, value);
        } else if name == "content-type" {
            request = request.header(name, "application/json");
        }
    }
    let mut body = pick(rng, BODIES).as_bytes().to_vec();
    if rng.u8(0..6) == 0 {
        body.extend((0..rng.usize(0..5_000)).map(|_| rng.u8(..)));
    }
    // What no HTTP library lets through does not come here.
    request.body(Full::new(body.into())).ok()
}

#[tokio::test]
async fn no_request_makes_it_fail() {
    let rules = |api: durable_http::HttpApiBuilder| {
        let api = api.admin_key(KEY).max_wait_time(Duration::from_millis(1));
        let api = api.max_event_stream_time(Duration::ZERO);
        api.max_body_size(4_096)
    };
    let world = world_with(rules).await;
    world.ended("e", "1").await;
    let incarnation = world.waiting("w").await.incarnation();
    let mut by_class = [0_u32; 6];
    for seed in 0..CASES {
        let mut rng = Rng::with_seed(seed);
        let Some(request) = request(&mut rng, &world, incarnation) else {
            continue;
        };
        let shown = format!("{seed}: {request:?}");
        let status = if request.method() == Method::HEAD {
            let answer = world.api.clone().oneshot(request).await;
            answer.expect("never an error").status()
        } else {
            // What holds for every answer is looked at there.
            world.ask(request).await.status
        };
        assert!(!status.is_server_error(), "{shown}: {status}");
        by_class[usize::from(status.as_u16() / 100)] += 1;
    }
    let [_, _, success, _, refused, _] = by_class;
    assert!(success > 100 && refused > 1_000, "{by_class:?}");
}
