//! Links: what each opens, where it leads, and what it never carries.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use durable_http::Actions;
use http::{Method, Request, StatusCode};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tower::ServiceExt;

use crate::world::{KEY, World, world, world_with};

#[tokio::test]
async fn each_link_of_a_start_opens_one_thing() {
    let world = world().await;
    // What is to be tried of each link: method, what follows the id, and the links that open it.
    let tries = [
        (Method::GET, "", "statusQueryGetUri"),
        (Method::POST, "/raiseEvent/x", "sendEventPostUri"),
        (Method::POST, "/terminate", "terminatePostUri"),
    ];
    for key in [
        "statusQueryGetUri",
        "sendEventPostUri",
        "terminatePostUri",
        "purgeHistoryDeleteUri",
        "restartPostUri",
        "suspendPostUri",
        "resumePostUri",
        "rewindPostUri",
    ] {
        for (method, path, opened_by) in &tries {
            let id = format!("{key}{}", path.replace('/', "-"));
            let uri = format!("/orchestrators/wait/{id}");
            let links = world.admin(Method::POST, &uri, "1").await.json();
            let (_, code) = links[key]
                .as_str()
                .expect("a link")
                .rsplit_once("code=")
                .expect("a code");
            let uri = format!("/instances/{id}{path}?code={code}");
            let reply = world.send(method.clone(), &uri, &[JSON], "1").await;
            let expected = if *opened_by == key {
                StatusCode::ACCEPTED
            } else {
                StatusCode::FORBIDDEN
            };
            assert_eq!(reply.status, expected, "{key} {method} {path}");
        }
    }
}

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn the_links_of_a_start_work_as_they_stand() {
    let world = world().await;
    let uri = "/orchestrators/wait/a%20b%2Fc";
    let links = world.admin(Method::POST, uri, "1").await.json();
    let link = |key: &str| links[key].as_str().expect("a link").to_owned();
    let raise = link("sendEventPostUri").replace("{eventName}", "other");
    assert_eq!(world.post(&raise, "1").await.status, StatusCode::ACCEPTED);
    let terminate = link("terminatePostUri").replace("{text}", "by%20link");
    assert_eq!(
        world.post(&terminate, "").await.status,
        StatusCode::ACCEPTED
    );
    let status = world.get(&link("statusQueryGetUri")).await;
    assert_eq!(status.status, StatusCode::OK);
    assert_eq!(status.json()["output"], "by link");
}

#[tokio::test]
async fn a_status_link_shows_the_output_and_no_input() {
    let world = world().await;
    world.waiting("w").await;
    let location = world
        .admin(Method::GET, "/instances/w", "")
        .await
        .location();
    let watch = async |query: &str| world.get(&format!("{location}{query}")).await;
    for query in ["", "&showInput=true", "&showHistory=true"] {
        let body = watch(query).await.json();
        assert_eq!(body["input"], Value::Null);
        assert_eq!(body["output"], Value::Null);
        assert_eq!(body["customStatus"], "waiting");
        assert!(body.get("historyEvents").is_none());
    }
    world
        .client
        .raise_event("w", "go", "the output")
        .await
        .expect("an event");
    world.client.wait_for_completion("w").await.expect("a hub");
    let body = watch("").await.json();
    assert_eq!(
        (&body["input"], &body["output"]),
        (&Value::Null, &json!("the output"))
    );

    // Without the output among its actions it shows that the instance has ended, and no more.
    let incarnation = world.status("w").await.incarnation();
    let only_status = world.forge(&json!([1, "w", incarnation, 2, null]));
    let body = world
        .get(&format!("/instances/w?code={only_status}"))
        .await
        .json();
    assert_eq!(body["runtimeStatus"], "Completed");
    assert_eq!(body["output"], Value::Null);
}

#[tokio::test]
async fn whoever_polls_with_a_link_is_sent_back_with_that_link() {
    let world = world().await;
    let first = world
        .admin(Method::POST, "/orchestrators/wait/w", "1")
        .await
        .location();
    let second = world.get(&first).await.location();
    let third = world.get(&second).await.location();
    assert_eq!((&first, &first), (&second, &third));
}

#[tokio::test]
async fn whoever_polls_with_a_key_is_sent_back_with_a_link_and_the_rest_of_the_query() {
    let world = world().await;
    world.waiting("w").await;
    let key = durable_http::path_segment(KEY).to_string();
    let uri = format!("/instances/w?showInput=False&code={key}&taskHub=a%26b");
    let location = world.get(&uri).await.location();
    let start = "/runtime/webhooks/durabletask/instances/w?showinput=False&taskhub=a%26b&code=dl1.";
    assert!(location.starts_with(start), "{location}");
    assert!(!location.contains(&key));
    assert_eq!(world.get(&location).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn anonymous_callers_and_those_of_a_hook_are_given_plain_links() {
    let anonymous = world_with(|api| api.allow_anonymous(Actions::ALL)).await;
    let hook = world_with(|api| api.authorize(|_| async { durable_http::Verdict::Allow })).await;
    for world in [anonymous, hook] {
        let reply = world.post("/orchestrators/wait/w?code=ignored", "1").await;
        assert_eq!(reply.status, StatusCode::ACCEPTED);
        assert!(!reply.text.contains("code"), "{}", reply.text);
        let base = "/runtime/webhooks/durabletask/instances/w";
        assert_eq!(reply.location(), base);
        let links = reply.json();
        assert_eq!(
            links["terminatePostUri"],
            format!("{base}/terminate?reason={{text}}")
        );
        assert_eq!(
            links["sendEventPostUri"],
            format!("{base}/raiseEvent/{{eventName}}")
        );
        let reply = world
            .get(&format!("{base}?code=ignored&showInput=false"))
            .await;
        assert_eq!(reply.location(), format!("{base}?showinput=false"));
    }
}

#[tokio::test]
async fn links_survive_the_process_and_belong_to_one_hub() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("hub");
    let mut codes = Vec::new();
    for _ in 0..2 {
        let hub = durable_core::TaskHub::open(&path).await.expect("a hub");
        codes.push(hub.client().derive_key("durable-http links"));
        hub.close().await.expect("a close");
    }
    assert_eq!(codes[0], codes[1]);
    let other = world().await;
    assert_ne!(codes[0], other.client.derive_key("durable-http links"));
}

#[tokio::test]
async fn links_begin_with_what_the_service_is_called() {
    let location = async |world: World, headers: &[(&str, &str)]| {
        let mut all = vec![("x-functions-key", KEY)];
        all.extend_from_slice(headers);
        let reply = world
            .send(Method::POST, "/orchestrators/echo/x", &all, "")
            .await;
        let location = reply.location();
        assert_eq!(reply.json()["statusQueryGetUri"], location);
        location
            .split_once("/instances/")
            .expect("a path")
            .0
            .to_owned()
    };
    let public = world_with(|api| api.admin_key(KEY).public_url("https://api.test/orders/")).await;
    let evil = [
        ("host", "evil.test"),
        ("x-forwarded-host", "evil.test"),
        ("x-forwarded-proto", "http"),
    ];
    assert_eq!(
        location(public, &evil).await,
        "https://api.test/orders/runtime/webhooks/durabletask"
    );
    let root = world_with(|api| api.admin_key(KEY).base_path("/")).await;
    assert_eq!(location(root, &evil).await, "");

    let own = || {
        world_with(|api| {
            api.admin_key(KEY)
                .base_path("/m")
                .links_from_host(["Api.test", "inside:80"])
        })
    };
    for (headers, expected) in [
        (&[("host", "API.TEST")][..], "http://api.test/m"),
        (&[("host", "inside:80")], "http://inside:80/m"),
        (&[("host", "inside")], "/m"),
        (&[("host", "evil.test")], "/m"),
        (&[("host", "api.test"), ("host", "evil.test")], "/m"),
        (
            &[("host", "api.test"), ("x-forwarded-proto", "https")],
            "http://api.test/m",
        ),
        (&evil, "/m"),
        (
            &[
                ("host", "inside:80"),
                ("x-forwarded-host", "api.test"),
                ("x-forwarded-proto", "https"),
            ],
            "https://api.test/m",
        ),
        (
            &[
                ("host", "inside:80"),
                ("x-forwarded-host", "api.test"),
                ("x-forwarded-proto", "javascript"),
            ],
            "http://api.test/m",
        ),
    ] {
        assert_eq!(
            location(own().await, headers).await,
            expected,
            "{headers:?}"
        );
    }
}

/// The bits of these actions in a link.
const STATUS: u16 = 1 << 1;
const RAISE: u16 = 1 << 5;

/// Ends the instance, and puts another of its id in its place.
async fn replace(world: &World, id: &str) {
    world.client.terminate(id, "").await.expect("a hub");
    world.client.purge(id).await.expect("it has ended");
    world.waiting(id).await;
}

/// A body that comes when it is let come, and says when it is first asked for.
struct Late {
    asked: Option<oneshot::Sender<()>>,
    data: Option<oneshot::Receiver<Bytes>>,
}

impl Body for Late {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(asked) = self.asked.take() {
            asked.send(()).expect("somebody waits for it");
        }
        let Some(data) = &mut self.data else {
            return Poll::Ready(None);
        };
        let data = ready!(Pin::new(data).poll(cx));
        self.data = None;
        Poll::Ready(Some(Ok(Frame::data(data.expect("it is sent")))))
    }
}

/// While a body is on its way another instance may take the place of the one that the link is for.
#[tokio::test]
async fn a_link_is_for_one_incarnation_however_late_the_body_comes() {
    for (replaced, expected) in [(false, StatusCode::ACCEPTED), (true, StatusCode::NOT_FOUND)] {
        let world = world().await;
        let incarnation = world.waiting("w").await.incarnation();
        let code = world.forge(&json!([1, "w", incarnation, RAISE, null]));
        let (asked, is_asked) = oneshot::channel();
        let (send, data) = oneshot::channel();
        let request = Request::post(format!("/instances/w/raiseEvent/Go?code={code}"))
            .header("content-type", "application/json")
            .body(Late {
                asked: Some(asked),
                data: Some(data),
            });
        let reply = world.ask(request.expect("a request"));
        let meanwhile = async {
            is_asked.await.expect("it is read");
            if replaced {
                replace(&world, "w").await;
            }
            send.send(Bytes::from_static(b"7"))
                .expect("it is waited for");
        };
        let (reply, ()) = tokio::join!(reply, meanwhile);
        assert_eq!(reply.status, expected);
    }
}

/// A stream that nobody has read from yet shows nothing of another instance of the id either.
#[tokio::test]
async fn a_stream_is_of_the_incarnation_that_its_link_is_for() {
    for replaced in [false, true] {
        let world = world().await;
        let incarnation = world.waiting("w").await.incarnation();
        let code = world.forge(&json!([1, "w", incarnation, STATUS, null]));
        let request = Request::get(format!("/instances/w/events?code={code}"));
        let request = request.body(String::new()).expect("a request");
        let answer = world.api.clone().oneshot(request).await;
        let answer = answer.expect("never an error");
        assert_eq!(answer.status(), StatusCode::OK);
        if replaced {
            replace(&world, "w").await;
        }
        let first = answer.into_body().frame().await;
        assert_eq!(first.is_none(), replaced, "{first:?}");
    }
}
