//! Status codes and bodies, as clients of Durable Functions expect them.

use durable_core::{
    Client, EventError, OrchestrationContext, OrchestrationStatus, RuntimeStatus, TaskHub,
    orchestrator,
};
use durable_http::{HttpApiBuilder, Verdict};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{KEY, fail, keys, world, world_on, world_with};

#[tokio::test]
async fn a_start_answers_202_with_every_link_of_the_original() {
    let world = world().await;
    let uri = "/runtime/webhooks/durabletask/orchestrators/wait/order-42";
    let reply = world.admin(Method::POST, uri, "{\"a\": 1}").await;
    assert_eq!(reply.status, StatusCode::ACCEPTED);
    assert_eq!(reply.header("retry-after"), "10");
    let body = reply.json();
    assert_eq!(
        keys(&reply),
        [
            "id",
            "statusQueryGetUri",
            "sendEventPostUri",
            "terminatePostUri",
            "purgeHistoryDeleteUri",
            "restartPostUri",
            "suspendPostUri",
            "resumePostUri",
            "rewindPostUri"
        ]
    );
    assert_eq!(body["id"], "order-42");
    assert_eq!(body["statusQueryGetUri"], reply.location());
    let base = "/runtime/webhooks/durabletask/instances/order-42";
    for (key, start) in [
        ("statusQueryGetUri", "?code=dl1."),
        ("sendEventPostUri", "/raiseEvent/{eventName}?code=dl1."),
        ("terminatePostUri", "/terminate?reason={text}&code=dl1."),
        ("purgeHistoryDeleteUri", "?code=dl1."),
        ("restartPostUri", "/restart?code=dl1."),
        ("suspendPostUri", "/suspend?reason={text}&code=dl1."),
        ("resumePostUri", "/resume?reason={text}&code=dl1."),
        ("rewindPostUri", "/rewind?reason={text}&code=dl1."),
    ] {
        let link = body[key].as_str().expect("a link");
        assert!(link.starts_with(&format!("{base}{start}")), "{key}: {link}");
    }
}

#[tokio::test]
async fn a_start_without_an_id_makes_one_of_32_hexadecimal_digits() {
    let world = world().await;
    for uri in ["/orchestrators/echo", "/orchestrators/echo/"] {
        let reply = world.admin(Method::POST, uri, "").await;
        assert_eq!(reply.status, StatusCode::ACCEPTED);
        let id = reply.json()["id"].as_str().expect("an id").to_owned();
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        assert!(id.len() == 32 && id.bytes().all(is_hex), "{id}");
    }
}

/// An orchestrator without a version serves all.
#[tokio::test]
async fn a_version_is_that_of_the_instance() {
    let world = world().await;
    let uri = "/orchestrators/echo/x?version=9";
    let reply = world.admin(Method::POST, uri, "").await;
    assert_eq!(reply.status, StatusCode::ACCEPTED);
    let status = world.client.status("x").await;
    let status = status.expect("a status").expect("an instance");
    assert_eq!(status.version(), "9");
}

#[tokio::test]
async fn starts_that_cannot_be_are_refused_with_what_clients_read() {
    let world = world().await;
    world.waiting("taken").await;
    for (uri, body, status) in [
        ("/orchestrators/nobody", "", StatusCode::BAD_REQUEST),
        ("/orchestrators/echo/@entity@1", "", StatusCode::BAD_REQUEST),
        ("/orchestrators/echo/%2e%2e", "", StatusCode::BAD_REQUEST),
        ("/orchestrators/echo/x", "{", StatusCode::BAD_REQUEST),
        ("/orchestrators/echo/taken", "", StatusCode::CONFLICT),
    ] {
        let reply = world.admin(Method::POST, uri, body).await;
        assert_eq!(reply.status, status, "{uri}");
        let expected: &[&str] = match status {
            StatusCode::CONFLICT => &["Message"],
            _ => &["Message", "ExceptionMessage", "ExceptionType"],
        };
        assert_eq!(keys(&reply), expected, "{uri}");
        // Neither what else is registered nor where our code lies.
        for inside in ["fail", "register", ".rs", "panicked", "use_existing"] {
            assert!(!reply.text.contains(inside), "{uri}: {}", reply.text);
        }
    }
    let long = format!("/orchestrators/echo/{}", "x".repeat(257));
    assert_eq!(
        world.admin(Method::POST, &long, "").await.status,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn a_status_has_every_key_while_it_runs_and_when_it_has_ended() {
    let world = world().await;
    world.waiting("w").await;
    let reply = world.admin(Method::GET, "/instances/w", "").await;
    assert_eq!(reply.status, StatusCode::ACCEPTED);
    assert_eq!(reply.header("retry-after"), "5");
    let location = reply.location();
    assert!(location.starts_with("/runtime/webhooks/durabletask/instances/w?code=dl1."));
    let mut body = reply.json();
    assert_eq!(keys(&reply), STATUS_KEYS);
    for key in ["createdTime", "lastUpdatedTime"] {
        let time = body[key].take();
        let time = time.as_str().expect("a time");
        let shape: String = time
            .chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect();
        assert_eq!(shape, "0000-00-00T00:00:00Z");
    }
    let expected = json!({
        "name": "wait", "instanceId": "w", "runtimeStatus": "Running", "input": "secret input",
        "customStatus": "waiting", "output": null, "createdTime": null, "lastUpdatedTime": null,
    });
    assert_eq!(body, expected);

    let raised = world
        .admin(Method::POST, "/instances/w/raiseEvent/go", "[1, 2]")
        .await;
    assert_eq!(
        (raised.status, raised.text.as_str()),
        (StatusCode::ACCEPTED, "")
    );
    world.client.wait_for_completion("w").await.expect("a hub");
    let reply = world.admin(Method::GET, "/instances/w", "").await;
    assert_eq!(reply.status, StatusCode::OK);
    assert!(!reply.headers.contains_key("location"));
    assert!(!reply.headers.contains_key("retry-after"));
    assert_eq!(keys(&reply), STATUS_KEYS);
    assert_eq!(reply.json()["output"], json!([1, 2]));
    assert_eq!(reply.json()["runtimeStatus"], "Completed");
}

#[tokio::test]
async fn the_input_is_shown_unless_told_not_to_and_its_text_is_kept() {
    let world = world().await;
    let input = "{\"b\": 1.0, \"a\": \"{\\\"x\\\": 1}\"}";
    world.ended("e", input).await;
    for (query, shown) in [
        ("", true),
        ("?showInput=True", true),
        ("?showInput=maybe", true),
        ("?showInput=", true),
        ("?showInput=False", false),
        ("?SHOWINPUT=%20false%20", false),
    ] {
        let reply = world
            .admin(Method::GET, &format!("/instances/e{query}"), "")
            .await;
        assert_eq!(keys(&reply), STATUS_KEYS);
        assert_eq!(
            reply.text.contains(&format!("\"input\":{input}")),
            shown,
            "{query}"
        );
        assert_eq!(reply.json()["input"].is_null(), !shown, "{query}");
        assert!(reply.text.contains("\"output\":{\"a\":"), "{}", reply.text);
    }
}

#[tokio::test]
async fn a_failure_is_shown_as_its_text_and_is_500_only_when_asked_for() {
    let world = world().await;
    let start = world
        .client
        .start_orchestration::<fail>("no stock".to_owned());
    start.id("f").await.expect("a start");
    world.client.wait_for_completion("f").await.expect("a hub");
    for (query, status) in [
        ("", StatusCode::OK),
        ("?returnInternalServerErrorOnFailure=false", StatusCode::OK),
        (
            "?returnInternalServerErrorOnFailure=True",
            StatusCode::INTERNAL_SERVER_ERROR,
        ),
    ] {
        let reply = world
            .admin(Method::GET, &format!("/instances/f{query}"), "")
            .await;
        assert_eq!(reply.status, status);
        assert_eq!(keys(&reply), STATUS_KEYS);
        assert_eq!(reply.json()["runtimeStatus"], "Failed");
        assert_eq!(reply.json()["output"], "no stock");
    }
}

#[tokio::test]
async fn what_stops_an_instance_is_an_extra_key() {
    let world = world().await;
    let start = world.client.start_by_name("fail", "{\"not\": \"text\"}");
    start.id("p").await.expect("a start");
    until(&world.client, "p", |status| status.problem().is_some()).await;
    let body = world.admin(Method::GET, "/instances/p", "").await.json();
    let problem = body["problem"].as_object().expect("a problem");
    let keys: Vec<&String> = problem.keys().collect();
    assert_eq!(keys, ["kind", "message", "report", "since"]);
    assert_eq!(problem["kind"], "Undecodable");

    let location = world
        .admin(Method::GET, "/instances/p", "")
        .await
        .location();
    assert!(world.get(&location).await.json().get("problem").is_none());
}

/// `wait`, as it was before.
#[orchestrator(name = "wait")]
async fn waited_differently(ctx: OrchestrationContext, _input: Value) -> Result<Value, EventError> {
    ctx.wait_for_external_event("Stop").await
}

#[tokio::test]
async fn changed_code_is_explained_and_mended_while_events_are_kept() {
    let hub = TaskHub::in_memory().await.expect("a hub");
    let deploy = async || {
        let worker = hub.worker().register::<waited_differently>();
        worker.start().await.expect("a worker")
    };
    let first = deploy().await;
    let client = hub.client();
    let start = client.start_orchestration::<waited_differently>(Value::Null);
    start.id("w").await.expect("a start");
    until(&client, "w", |status| {
        status.runtime_status() == RuntimeStatus::Running
    })
    .await;
    first.shutdown().await;
    let world = world_on(hub.clone(), |api| api.admin_key(KEY)).await;
    let reply = world.admin(Method::POST, "/instances/w/raiseEvent/stop", "7");
    assert_eq!(reply.await.status, StatusCode::ACCEPTED);
    until(&client, "w", |status| status.problem().is_some()).await;
    let body = world.admin(Method::GET, "/instances/w", "").await.json();
    assert_eq!(body["runtimeStatus"], "Running");
    assert_eq!(body["problem"]["kind"], "Divergence");
    let report = body["problem"]["report"].as_str().expect("a report");
    for part in [
        "history recorded: wait #0 for event `stop`",
        "the code now asks for: wait #0 for event `go` (call made at durable-http/tests/http/world.rs:",
    ] {
        assert!(report.contains(part), "no `{part}` in {report}");
    }
    world.worker.shutdown().await;
    let _mended = deploy().await;
    let ended = client.wait_for_completion("w").await.expect("a hub");
    let ended = ended.expect("an instance");
    assert_eq!((ended.problem(), ended.output_json()), (None, Some("7")));
}

async fn until(client: &Client, id: &str, is: impl Fn(&OrchestrationStatus) -> bool) {
    loop {
        let status = client.status(id).await.expect("a hub");
        if is(&status.expect("an instance")) {
            break;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn how_far_activities_have_come_is_an_extra_key() {
    let world = world().await;
    let start = world.client.start_by_name("copies", "3");
    start.id("c").await.expect("a start");
    while world.status("c").await.progress().next().is_none() {
        tokio::task::yield_now().await;
    }
    let reply = world.admin(Method::GET, "/instances/c", "").await;
    let mut progress = reply.json()["progress"].clone();
    let reported = progress[0]["reportedTime"].take();
    let reported = reported.as_str().expect("a time");
    assert!(
        reported.len() == 20 && reported.ends_with('Z'),
        "{reported}"
    );
    let expected = json!([{
        "call": 0,
        "activity": "copy",
        "attempt": 1,
        "reportedTime": null,
        "value": { "files": 3 },
    }]);
    assert_eq!(progress, expected);
    // It may say more than what whoever holds the link is to know.
    let linked = world.get(&reply.location()).await;
    assert_eq!(keys(&linked), STATUS_KEYS);

    let raised = world.client.raise_event("c", "Go", &1).await;
    raised.expect("an event");
    while !world.status("c").await.runtime_status().is_terminal() {
        tokio::task::yield_now().await;
    }
    let ended = world.admin(Method::GET, "/instances/c", "").await;
    assert_eq!(keys(&ended), STATUS_KEYS);
}

#[tokio::test]
async fn steering_answers_404_then_410_then_400_then_202() {
    let world = world().await;
    world.waiting("w").await;
    world.ended("e", "1").await;
    for (id, status) in [
        ("none", StatusCode::NOT_FOUND),
        ("@e@1", StatusCode::NOT_FOUND),
        ("e", StatusCode::GONE),
        ("w", StatusCode::BAD_REQUEST),
    ] {
        let uri = format!("/instances/{id}/raiseEvent/go");
        let reply = world.admin(Method::POST, &uri, "not JSON").await;
        assert_eq!(reply.status, status, "{id}");
        assert_eq!(reply.text.is_empty(), status != StatusCode::BAD_REQUEST);
    }
    for (id, status) in [
        ("none", StatusCode::NOT_FOUND),
        ("e", StatusCode::GONE),
        ("w", StatusCode::ACCEPTED),
        ("w", StatusCode::GONE),
    ] {
        let uri = format!("/instances/{id}/terminate?reason=no+longer%20%22needed%22");
        let reply = world.admin(Method::POST, &uri, "").await;
        assert_eq!((reply.status, reply.text.as_str()), (status, ""), "{id}");
    }
    let body = world.admin(Method::GET, "/instances/w", "").await.json();
    assert_eq!(body["runtimeStatus"], "Terminated");
    assert_eq!(body["output"], "no longer \"needed\"");
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let world = world().await;
    world.ended("e", "1").await;
    let reply = world.admin(Method::HEAD, "/instances/none", "").await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    let request = http::Request::head("/instances/e").header("x-functions-key", KEY);
    let request = request.body(String::new()).expect("a request");
    let response = tower::ServiceExt::oneshot(world.api.clone(), request).await;
    let response = response.expect("never an error");
    assert_eq!(response.status(), StatusCode::OK);
    assert!(http_body::Body::is_end_stream(response.body()));
}

const STATUS_KEYS: [&str; 8] = [
    "name",
    "instanceId",
    "runtimeStatus",
    "input",
    "customStatus",
    "output",
    "createdTime",
    "lastUpdatedTime",
];

#[tokio::test]
async fn an_instance_is_suspended_and_resumed() {
    let world = world().await;
    world.waiting("w").await;
    let post = async |what: &str| {
        let reply = world
            .admin(Method::POST, &format!("/instances/w/{what}"), "")
            .await;
        assert_eq!(
            (reply.status, &*reply.text),
            (StatusCode::ACCEPTED, ""),
            "{what}"
        );
        world.admin(Method::GET, "/instances/w", "").await
    };
    // Twice is as good as once, also what clients of the original do not try.
    for what in ["suspend?reason=a%20break", "suspend?reason=another"] {
        let shown = post(what).await;
        assert_eq!(shown.status, StatusCode::ACCEPTED);
        let body = shown.json();
        assert_eq!(body["runtimeStatus"], "Suspended");
        assert_eq!(body["output"], "a break");
    }
    for what in ["resume", "resume?reason=why"] {
        let body = post(what).await.json();
        assert_eq!(body["runtimeStatus"], "Running");
        assert!(body["output"].is_null(), "{body}");
    }
    let raise = "/instances/w/raiseEvent/go";
    world.admin(Method::POST, raise, "7").await;
    let ended = world.client.wait_for_completion("w").await;
    let ended = ended.expect("a hub").expect("an instance");
    assert_eq!(ended.output_json(), Some("7"));
    for (id, status) in [("w", StatusCode::GONE), ("nobody", StatusCode::NOT_FOUND)] {
        for what in ["suspend", "resume"] {
            let uri = format!("/instances/{id}/{what}");
            let reply = world.admin(Method::POST, &uri, "").await;
            assert_eq!((reply.status, &*reply.text), (status, ""), "{uri}");
        }
    }
}

#[tokio::test]
async fn an_instance_that_has_failed_is_rewound() {
    let world = world().await;
    world.failed("f").await;
    let post = async |id: &str| {
        let uri = format!("/instances/{id}/rewind?reason=the%20bank%20is%20up");
        world.admin(Method::POST, &uri, "").await
    };
    // What it has done itself it does again; of a call it would be another one.
    let reply = post("f").await;
    assert_eq!((reply.status, &*reply.text), (StatusCode::ACCEPTED, ""));
    let ended = world.client.wait_for_completion("f").await;
    let ended = ended.expect("a hub").expect("an instance");
    assert_eq!(ended.runtime_status(), RuntimeStatus::Failed);
    let uri = "/instances/f?showHistory=true&showHistoryOutput=true";
    let shown = world.admin(Method::GET, uri, "").await.json();
    let events = shown["historyEvents"].as_array().expect("events");
    let types: Vec<_> = events.iter().map(|event| &event["EventType"]).collect();
    let (failed, rewound) = ("ExecutionCompleted", "ExecutionRewound");
    assert_eq!(
        types,
        [
            "ExecutionStarted",
            failed,
            rewound,
            "ExecutionStarted",
            failed
        ]
    );
    assert_eq!(events[2]["Reason"], "the bank is up");
    assert_eq!(events[2].as_object().expect("an object").len(), 3);

    world.waiting("w").await;
    world.ended("e", "1").await;
    for (id, status, why) in [
        (
            "w",
            StatusCode::PRECONDITION_FAILED,
            "has not failed: it is Running",
        ),
        (
            "e",
            StatusCode::PRECONDITION_FAILED,
            "has not failed: it is Completed",
        ),
        ("nobody", StatusCode::NOT_FOUND, "there is no such instance"),
        ("@e@1", StatusCode::NOT_FOUND, "there is no such instance"),
    ] {
        let reply = post(id).await;
        assert_eq!(reply.status, status, "{id}");
        let told = reply.json();
        assert!(told.as_str().expect("a text").contains(why), "{told}");
    }
}

#[tokio::test]
async fn one_that_is_hidden_is_not_told_from_one_that_is_not_there() {
    let hides = |api: HttpApiBuilder| api.authorize(async |_| Verdict::NotFound);
    let world = world_with(hides).await;
    world.failed("f").await;
    for id in ["f", "nobody"] {
        let reply = world.post(&format!("/instances/{id}/rewind"), "").await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND);
        assert_eq!(reply.text, "\"there is no such instance\"", "{id}");
    }
}
