//! Who may do what: the rule table, cell by cell.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use durable_http::{Access, Action, Actions, BuildError, HttpApi, HttpApiBuilder, Verdict};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{KEY, Reply, World, sign, world, world_with};

/// What comes with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Credential {
    Nothing,
    Blank,
    WrongHeader,
    WrongQuery,
    WrongHeaderRightQuery,
    TwoHeaders,
    RightHeader,
    RightHeaderWrongQuery,
    RightQuery,
    SecondKey,
    LinkInQuery,
    LinkInHeader,
    LinkForEverything,
    LinkOfAnotherInstance,
    LinkTooNarrow,
    LinkExpired,
    LinkOfAnEarlierIncarnation,
    LinkOfAnotherHub,
    LinkOfAnotherKeyId,
    LinkOverAKey,
    NoLinkAtAll,
}

use Credential as C;

const CREDENTIALS: [Credential; 21] = [
    C::Nothing,
    C::Blank,
    C::WrongHeader,
    C::WrongQuery,
    C::WrongHeaderRightQuery,
    C::TwoHeaders,
    C::RightHeader,
    C::RightHeaderWrongQuery,
    C::RightQuery,
    C::SecondKey,
    C::LinkInQuery,
    C::LinkInHeader,
    C::LinkForEverything,
    C::LinkOfAnotherInstance,
    C::LinkTooNarrow,
    C::LinkExpired,
    C::LinkOfAnEarlierIncarnation,
    C::LinkOfAnotherHub,
    C::LinkOfAnotherKeyId,
    C::LinkOverAKey,
    C::NoLinkAtAll,
];

/// How the service is set up.
#[derive(Clone, Copy, Debug)]
struct Mode {
    keys: bool,
    anonymous: bool,
    hook: Option<Verdict>,
}

const MODES: [Mode; 9] = [
    mode(true, false, None),
    mode(false, true, None),
    mode(true, true, None),
    mode(false, false, Some(Verdict::Allow)),
    mode(false, false, Some(Verdict::Unauthorized)),
    mode(false, false, Some(Verdict::Forbidden)),
    mode(false, false, Some(Verdict::NotFound)),
    mode(true, false, Some(Verdict::Allow)),
    mode(true, true, Some(Verdict::Forbidden)),
];

const fn mode(keys: bool, anonymous: bool, hook: Option<Verdict>) -> Mode {
    Mode {
        keys,
        anonymous,
        hook,
    }
}

/// Stands for purging whatever has ended.
const ALL_ENDED: Actions = Actions::NONE;

const SECOND: &str = "another key, for the time of a change";

impl Mode {
    fn apply(self, mut api: HttpApiBuilder) -> HttpApiBuilder {
        if self.keys {
            api = api.admin_key(KEY).admin_key(SECOND);
        }
        if self.anonymous {
            api = api.allow_anonymous(Actions::ALL);
        }
        if let Some(verdict) = self.hook {
            api = api.authorize(move |_| async move { verdict });
        }
        api
    }

    /// The rule table of the design, once more and in other words. 200 stands for success.
    fn expected(self, action: Actions, credential: Credential) -> u16 {
        // A link is for one instance.
        let of_all = [Actions::START, Actions::LIST, Actions::DESCRIBE, ALL_ENDED];
        let starts = of_all.contains(&action);
        match credential {
            C::LinkInQuery | C::LinkInHeader | C::LinkForEverything | C::LinkOverAKey => {
                if starts {
                    403
                } else {
                    200
                }
            }
            C::LinkOfAnotherInstance | C::LinkTooNarrow => 403,
            C::LinkOfAnEarlierIncarnation => {
                if starts {
                    403
                } else {
                    404
                }
            }
            C::LinkExpired | C::LinkOfAnotherHub | C::LinkOfAnotherKeyId | C::NoLinkAtAll => 401,
            C::RightHeader | C::RightHeaderWrongQuery | C::RightQuery | C::SecondKey => {
                if self.keys {
                    200
                } else {
                    self.without_credential()
                }
            }
            C::WrongHeader | C::WrongQuery | C::WrongHeaderRightQuery | C::TwoHeaders => {
                if self.keys {
                    401
                } else {
                    self.without_credential()
                }
            }
            C::Nothing | C::Blank => self.without_credential(),
        }
    }

    fn without_credential(self) -> u16 {
        if self.anonymous {
            return 200;
        }
        match self.hook {
            Some(Verdict::Allow) => 200,
            Some(Verdict::Forbidden) => 403,
            Some(Verdict::NotFound) => 404,
            Some(Verdict::Unauthorized) | None => 401,
        }
    }
}

#[tokio::test]
async fn exactly_the_allowed_cells_succeed() {
    let mut cells = 0;
    for mode in MODES {
        // A stream ends with its first event.
        let world = world_with(|api| mode.apply(api).max_event_stream_time(Duration::ZERO)).await;
        for (action, method, path) in [
            (Actions::START, Method::POST, "/orchestrators/echo/{id}"),
            (Actions::STATUS, Method::GET, "/instances/{id}"),
            (Actions::STATUS, Method::GET, "/instances/{id}/events"),
            (Actions::RAISE, Method::POST, "/instances/{id}/raiseEvent/x"),
            (
                Actions::TERMINATE,
                Method::POST,
                "/instances/{id}/terminate",
            ),
            (Actions::SUSPEND, Method::POST, "/instances/{id}/suspend"),
            (Actions::RESUME, Method::POST, "/instances/{id}/resume"),
            (Actions::REWIND, Method::POST, "/instances/{id}/rewind"),
            (Actions::RESTART, Method::POST, "/instances/{id}/restart"),
            (Actions::RETRY, Method::POST, "/instances/{id}/retry"),
            (Actions::LIST, Method::GET, "/instances"),
            (Actions::DESCRIBE, Method::GET, "/openapi.json"),
            (Actions::PURGE, Method::DELETE, "/instances/{id}"),
            (
                ALL_ENDED,
                Method::DELETE,
                "/instances?createdTimeFrom=2020-01-01",
            ),
        ] {
            for credential in CREDENTIALS {
                let id = format!("{}-{credential:?}-{}", action_name(action), path.len());
                let incarnation = if action == Actions::START {
                    7
                } else if action == Actions::PURGE || action == ALL_ENDED {
                    world.ended(&id, "1").await.incarnation()
                } else if action == Actions::REWIND {
                    world.failed(&id).await.incarnation()
                } else {
                    world.waiting(&id).await.incarnation()
                };
                let path = path.replace("{id}", &id);
                let link = |claims: Value| world.forge(&claims);
                let brought = bring(credential, &id, incarnation, action, &link);
                let reply = ask(&world, method.clone(), &path, &brought).await;
                let expected = mode.expected(action, credential);
                let got = match reply.status.as_u16() {
                    200..300 => 200,
                    other => other,
                };
                assert_eq!(
                    got, expected,
                    "{mode:?} {method} {path} {credential:?}: {reply:?}"
                );
                cells += 1;
            }
        }
    }
    assert_eq!(cells, 9 * 14 * 21);
}

fn action_name(action: Actions) -> &'static str {
    match action {
        Actions::START => "start",
        Actions::STATUS => "status",
        Actions::RAISE => "raise",
        Actions::SUSPEND => "suspend",
        Actions::RESUME => "resume",
        Actions::REWIND => "rewind",
        Actions::RESTART => "restart",
        Actions::RETRY => "retry",
        Actions::LIST => "list",
        Actions::DESCRIBE => "describe",
        Actions::PURGE => "purge",
        ALL_ENDED => "all",
        _ => "terminate",
    }
}

/// A header and a query.
type Brought = (Vec<(&'static str, String)>, String);

fn bring(
    credential: Credential,
    id: &str,
    incarnation: u64,
    action: Actions,
    link: &dyn Fn(Value) -> String,
) -> Brought {
    let header = |value: &str| (vec![("x-functions-key", value.to_owned())], String::new());
    let query = |value: &str| (Vec::new(), format!("?code={}", encode(value)));
    let both = |in_header: &str, in_query: &str| (header(in_header).0, query(in_query).1);
    let bits = bits(action);
    let all = bits_of(Actions::ALL);
    let right = || link(json!([1, id, incarnation, bits, null]));
    match credential {
        C::Nothing => (Vec::new(), String::new()),
        C::Blank => both(" ", ""),
        C::WrongHeader => header("not the key at all"),
        C::WrongQuery => query("an admin key of a good lengtH"),
        C::WrongHeaderRightQuery => both("not the key at all", KEY),
        C::TwoHeaders => {
            let value = |text: &str| ("x-functions-key", text.to_owned());
            (vec![value(KEY), value("another")], String::new())
        }
        C::RightHeader => header(KEY),
        C::RightHeaderWrongQuery => both(KEY, "not the key at all"),
        C::RightQuery => query(KEY),
        C::SecondKey => header(SECOND),
        C::LinkInQuery => query(&right()),
        C::LinkInHeader => header(&right()),
        C::LinkForEverything => query(&link(json!([1, id, incarnation, all, null]))),
        C::LinkOfAnotherInstance => query(&link(json!([1, "other", incarnation, all, null]))),
        C::LinkTooNarrow => query(&link(json!([1, id, incarnation, all & !bits, null]))),
        C::LinkExpired => query(&link(json!([1, id, incarnation, bits, 1_000_000_000]))),
        C::LinkOfAnEarlierIncarnation => query(&link(json!([1, id, incarnation - 1, bits, null]))),
        C::LinkOfAnotherHub => query(&sign(&[7; 32], &json!([1, id, incarnation, bits, null]))),
        C::LinkOfAnotherKeyId => query(&link(json!([2, id, incarnation, bits, null]))),
        C::LinkOverAKey => both(&right(), KEY),
        C::NoLinkAtAll => both("dl1.", KEY),
    }
}

/// The place of an action in a link, fixed for ever.
fn bits(action: Actions) -> u16 {
    match action {
        Actions::START => 1,
        Actions::STATUS => 1 << 1,
        Actions::RAISE => 1 << 5,
        Actions::SUSPEND => 1 << 7,
        Actions::RESUME => 1 << 8,
        Actions::REWIND => 1 << 9,
        Actions::RESTART => 1 << 10,
        Actions::PURGE | ALL_ENDED => 1 << 11,
        Actions::LIST => 1 << 12,
        Actions::DESCRIBE => 1 << 13,
        Actions::RETRY => 1 << 14,
        _ => 1 << 6,
    }
}

fn bits_of(_all: Actions) -> u16 {
    (1 << 15) - 1
}

fn encode(text: &str) -> String {
    durable_http::path_segment(text).to_string()
}

async fn ask(world: &World, method: Method, path: &str, (headers, query): &Brought) -> Reply {
    let mut all = vec![("content-type", "application/json")];
    all.extend(headers.iter().map(|(name, value)| (*name, value.as_str())));
    let query = if path.contains('?') {
        query.replacen('?', "&", 1)
    } else {
        query.clone()
    };
    world
        .send(method, &format!("{path}{query}"), &all, "1")
        .await
}

#[tokio::test]
async fn a_link_that_was_touched_opens_nothing() {
    let world = world().await;
    let status = world.waiting("w").await;
    let link = world.forge(&json!([1, "w", status.incarnation(), 2, null]));
    assert_eq!(by_header(&world, &link).await.status, StatusCode::ACCEPTED);
    let mut random = Random(42);
    for _ in 0..10_000 {
        let touched = random.mutate(&link);
        if touched != link {
            let reply = by_header(&world, &touched).await;
            assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{touched}");
        }
    }
}

async fn by_header(world: &World, key: &str) -> Reply {
    let headers = [("x-functions-key", key)];
    world.send(Method::GET, "/instances/w", &headers, "").await
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(self.0 >> 33).expect("31 bits") % end
    }

    fn letter(&mut self) -> u8 {
        const LETTERS: &[u8] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/~,";
        LETTERS[self.below(LETTERS.len())]
    }

    /// The text with one to three small changes.
    fn mutate(&mut self, text: &str) -> String {
        let mut text = text.as_bytes().to_vec();
        for _ in 0..=self.below(3) {
            let at = self.below(text.len());
            match self.below(6) {
                0 => text[at] = self.letter(),
                1 => text.insert(at, self.letter()),
                2 if text.len() > 1 => drop(text.remove(at)),
                3 => text.truncate(at.max(1)),
                4 => text[at] ^= 0x20,
                _ => text.swap(at, 5.min(at)),
            }
            for byte in &mut text {
                *byte = (*byte).clamp(b'!', b'~');
            }
        }
        String::from_utf8(text).expect("ASCII")
    }
}

#[tokio::test]
async fn the_hub_is_not_asked_for_whoever_is_refused() {
    let world = world().await;
    let link = world.forge(&json!([1, "other", 1, 8191, null]));
    let narrow = world.forge(&json!([1, "w", 1, 1, null]));
    // Whatever asked the hub would now answer 503.
    world.hub.clone().close().await.expect("a close");
    for (code, status) in [
        (link.as_str(), StatusCode::FORBIDDEN),
        (&narrow, StatusCode::FORBIDDEN),
        ("dl1.x.y", StatusCode::UNAUTHORIZED),
        ("not the key at all", StatusCode::UNAUTHORIZED),
        (KEY, StatusCode::SERVICE_UNAVAILABLE),
    ] {
        assert_eq!(by_header(&world, code).await.status, status);
    }
}

#[tokio::test]
async fn an_instance_that_is_gone_and_one_that_was_replaced_look_the_same() {
    let world = world().await;
    let incarnation = world.waiting("w").await.incarnation();
    let earlier = world.forge(&json!([1, "w", incarnation + 1, 2, null]));
    let gone = world.forge(&json!([1, "gone", incarnation, 2, null]));
    let one = world.get(&format!("/instances/w?code={earlier}")).await;
    let other = world.get(&format!("/instances/gone?code={gone}")).await;
    assert_eq!(format!("{one:?}"), format!("{other:?}"));
    assert_eq!(one.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_link_ends_some_time_after_its_instance() {
    for (days, after) in [(0, StatusCode::UNAUTHORIZED), (7, StatusCode::OK)] {
        let ttl = std::time::Duration::from_secs(days * 24 * 60 * 60);
        let world = world_with(|api| api.admin_key(KEY).link_ttl(ttl)).await;
        world.waiting("w").await;
        let location = world
            .admin(Method::GET, "/instances/w", "")
            .await
            .location();
        assert_eq!(world.get(&location).await.status, StatusCode::ACCEPTED);
        world.client.terminate("w", "enough").await.expect("an end");
        assert_eq!(world.get(&location).await.status, after);
    }
}

#[tokio::test]
async fn what_a_status_shows_depends_on_who_asks() {
    const SHOWN: [(Actions, bool, bool); 4] = [
        (Actions::STATUS, false, false),
        (Actions::INPUT, true, false),
        (Actions::OUTPUT, false, true),
        (Actions::ALL, true, true),
    ];
    for (more, input, output) in SHOWN {
        let allowed = Actions::STATUS | more;
        let anonymous = world_with(|api| api.allow_anonymous(allowed)).await;
        let hook = world_with(|api| {
            api.authorize(move |access: Access| async move {
                assert_eq!(access.instance(), Some("e"));
                assert_eq!(access.request().method, Method::GET);
                if allowed.contains(access.action()) {
                    Verdict::Allow
                } else {
                    Verdict::Forbidden
                }
            })
        })
        .await;
        for world in [anonymous, hook] {
            world.ended("e", "\"in and out\"").await;
            let body = world.get("/instances/e").await.json();
            assert_eq!(body["input"] == "in and out", input, "{allowed:?}");
            assert_eq!(body["output"] == "in and out", output, "{allowed:?}");
            assert_eq!(body["input"].is_null(), !input);
            assert_eq!(body["output"].is_null(), !output);
        }
    }
}

#[tokio::test]
async fn a_hook_is_asked_only_when_no_rule_before_it_decides() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let world = world_with(|api| {
        api.admin_key(KEY)
            .allow_anonymous(Actions::STATUS | Actions::INPUT | Actions::OUTPUT)
            .authorize(move |access| {
                count.fetch_add(1, Ordering::Relaxed);
                async move {
                    assert_eq!(access.action(), Action::Start);
                    assert_eq!(access.orchestrator(), Some("echo"));
                    Verdict::Allow
                }
            })
    })
    .await;
    world.ended("e", "1").await;
    for (key, uri) in [
        (Some(KEY), "/orchestrators/echo"),
        (Some("wrong, and long enough"), "/orchestrators/echo"),
        (None, "/instances/e/unknown"),
    ] {
        let headers: Vec<_> = key
            .into_iter()
            .map(|key| ("x-functions-key", key))
            .collect();
        world.send(Method::POST, uri, &headers, "").await;
    }
    world.get("/instances/e").await;
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    let reply = world.post("/orchestrators/echo", "").await;
    assert_eq!(reply.status, StatusCode::ACCEPTED);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_hook_that_panics_refuses_and_the_service_goes_on() {
    let world = world_with(|api| {
        api.authorize(|access: Access| async move {
            assert_ne!(access.instance(), Some("panic"), "/secret/path");
            Verdict::Allow
        })
    })
    .await;
    let reply = world.get("/instances/panic").await;
    assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
    for inside in ["secret", "panic", ".rs"] {
        assert!(!reply.text.contains(inside), "{}", reply.text);
    }
    assert_eq!(
        world.get("/instances/x").await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_request_that_another_site_sent_changes_nothing() {
    const HOST: (&str, &str) = ("host", "api.test:8000");
    for (origin, allowed) in [
        ("http://api.test:8000", true),
        ("http://API.test:8000", true),
        ("http://api.test", false),
        ("http://api.test:8001", false),
        ("https://evil.test", false),
        ("http://api.test:8000.evil.test", false),
        ("http://user@api.test:8000", false),
        ("null", false),
        ("", false),
        ("api.test:8000", false),
        ("file://", false),
        ("chrome-extension://abc", false),
    ] {
        for mode in MODES {
            let world = world_with(|api| mode.apply(api)).await;
            world.waiting("w").await;
            let headers = [HOST, ("origin", origin), ("x-functions-key", KEY)];
            for uri in ["/orchestrators/echo", "/instances/w/terminate"] {
                let reply = world.send(Method::POST, uri, &headers, "").await;
                if !allowed {
                    assert_eq!(reply.status, StatusCode::FORBIDDEN, "{origin} {mode:?}");
                } else if mode.keys || mode.anonymous {
                    assert!(reply.status.is_success(), "{origin} {mode:?}");
                }
            }
            if mode.keys {
                let reply = world.send(Method::GET, "/instances/w", &headers, "").await;
                assert!(reply.status.is_success(), "reading is not changing");
            }
        }
    }
}

#[tokio::test]
async fn the_origin_is_compared_with_what_the_service_is_called() {
    let public = || world_with(|api| api.admin_key(KEY).public_url("https://api.test/orders"));
    let hosts = || world_with(|api| api.admin_key(KEY).links_from_host(["api.test"]));
    for (world, origin, host, allowed) in [
        (public().await, "https://api.test", "inside:80", true),
        (public().await, "https://api.test:443", "inside:80", true),
        (public().await, "http://api.test", "api.test", false),
        (public().await, "http://evil.test", "evil.test", false),
        (hosts().await, "https://api.test", "inside:80", true),
        // A name that was made to point here.
        (hosts().await, "http://evil.test", "evil.test", false),
    ] {
        let headers = [("host", host), ("origin", origin), ("x-functions-key", KEY)];
        let reply = world
            .send(Method::POST, "/orchestrators/echo", &headers, "")
            .await;
        assert_eq!(
            reply.status.is_success(),
            allowed,
            "{origin} {host}: {reply:?}"
        );
    }
}

#[tokio::test]
async fn what_nobody_could_use_or_nobody_should_is_not_built() {
    let hub = durable_core::TaskHub::in_memory().await.expect("a hub");
    let builder = || HttpApi::builder(hub.client());
    let keyed = || builder().admin_key(KEY);
    for (builder, expected) in [
        (builder(), BuildError::NobodyAllowed),
        (
            builder().allow_anonymous(Actions::NONE),
            BuildError::NobodyAllowed,
        ),
        (builder().admin_key(""), BuildError::ShortKey),
        (builder().admin_key("fifteen bytes.."), BuildError::ShortKey),
        (keyed().admin_key("short"), BuildError::ShortKey),
        (
            builder().admin_key("a key that has a\nnewline"),
            BuildError::UnsendableKey,
        ),
        (
            builder().admin_key(" a key with a space before"),
            BuildError::UnsendableKey,
        ),
        (
            builder().admin_key("dl1.looks.like a link"),
            BuildError::UnsendableKey,
        ),
        (keyed().base_path("manage"), BuildError::BasePath),
        (keyed().base_path("/a b"), BuildError::BasePath),
        (keyed().public_url("api.test"), BuildError::PublicUrl),
        (keyed().public_url("ftp://api.test"), BuildError::PublicUrl),
        (
            keyed().public_url("https://user:pw@api.test"),
            BuildError::PublicUrl,
        ),
        (
            keyed().public_url("https://api.test/?a=b"),
            BuildError::PublicUrl,
        ),
    ] {
        assert_eq!(builder.build().err(), Some(expected));
    }
    let shown = format!("{:?}", keyed().build());
    assert!(!shown.contains(KEY) && !format!("{:?}", keyed()).contains(KEY));
    assert!(builder().admin_key("sixteen bytes...").build().is_ok());
}
