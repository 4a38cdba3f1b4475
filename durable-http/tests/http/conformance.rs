//! What else the wire format says, row by row.

#![expect(clippy::unwrap_used, reason = "what is not as expected fails the test")]

use durable_core::{EventError, OrchestrationContext, TaskHub, orchestrator};
use durable_http::HttpApi;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{KEY, World, echo, fail, world};

/// An instance in every state, under the name of that.
async fn in_every_state() -> World {
    let world = world().await;
    world.ended("Completed", "1").await;
    world.failed("Failed").await;
    for id in ["Running", "Suspended", "Terminated"] {
        world.waiting(id).await;
    }
    world.client.suspend("Suspended", "a break").await.unwrap();
    world.client.terminate("Terminated", "over").await.unwrap();
    let later = world.client.start_by_name("wait", "1").id("Pending");
    let day = std::time::Duration::from_secs(86_400);
    later.start_after(day).await.unwrap();
    world
}

#[tokio::test]
async fn a_status_says_by_its_code_and_headers_whether_to_ask_again() {
    let world = in_every_state().await;
    for (id, again) in [
        ("Pending", true),
        ("Running", true),
        ("Suspended", true),
        ("Completed", false),
        ("Failed", false),
        ("Terminated", false),
    ] {
        let uri = format!("/instances/{id}");
        let reply = world.admin(Method::GET, &uri, "").await;
        let status = if again { 202 } else { 200 };
        assert_eq!(reply.status.as_u16(), status, "{id}");
        assert_eq!(reply.json()["runtimeStatus"], id);
        for header in ["location", "retry-after"] {
            assert_eq!(reply.headers.contains_key(header), again, "{id}: {header}");
        }
        // The state alone decides, not that a failure is to be an error.
        let uri = format!("{uri}?returnInternalServerErrorOnFailure=true");
        let reply = world.admin(Method::GET, &uri, "").await;
        let status = if id == "Failed" { 500 } else { status };
        assert_eq!(reply.status.as_u16(), status, "{id}");
    }
}

#[tokio::test]
async fn what_can_be_done_to_an_instance_depends_on_its_state() {
    // What is done, and what is answered while it goes on, and once it has ended.
    for (method, what, going, ended) in [
        (Method::POST, "/raiseEvent/x", 202, 410),
        (Method::POST, "/terminate?reason=x", 202, 410),
        (Method::POST, "/suspend", 202, 410),
        (Method::POST, "/resume", 202, 410),
        (Method::POST, "/retry", 202, 410),
        (Method::POST, "/rewind", 412, 412),
        (Method::DELETE, "", 412, 200),
    ] {
        let world = in_every_state().await;
        for (id, status) in [
            ("Pending", going),
            ("Running", going),
            ("Suspended", going),
            ("Completed", ended),
            ("Failed", if what == "/rewind" { 202 } else { ended }),
            ("Terminated", ended),
        ] {
            let uri = format!("/instances/{id}{what}");
            let reply = world.admin(method.clone(), &uri, "1").await;
            assert_eq!(reply.status.as_u16(), status, "{uri}");
            // Nothing, or why not as a text, or how many.
            let said = match status {
                412 => reply.json().is_string(),
                200 => reply.json() == json!({ "instancesDeleted": 1 }),
                _ => reply.text.is_empty(),
            };
            assert!(said, "{uri}: {reply:?}");
        }
    }
}

#[tokio::test]
async fn the_content_type_of_a_start_is_not_looked_at() {
    let world = world().await;
    for types in [
        &[][..],
        &["text/plain"],
        &["application/x-www-form-urlencoded"],
        &["a", "b"],
    ] {
        let mut headers = vec![("x-functions-key", KEY)];
        headers.extend(types.iter().map(|value| ("content-type", *value)));
        let uri = "/orchestrators/echo?timeout=20";
        let reply = world.send(Method::POST, uri, &headers, "[1]").await;
        assert_eq!((reply.status, &*reply.text), (StatusCode::OK, "[1]"));
    }
}

#[tokio::test]
async fn an_event_needs_a_name() {
    let world = world().await;
    world.waiting("w").await;
    for uri in ["/instances/w/raiseEvent", "/instances/w/raiseEvent/"] {
        let reply = world.admin(Method::POST, uri, "1").await;
        assert_eq!(
            (reply.status, &*reply.text),
            (StatusCode::NOT_FOUND, ""),
            "{uri}"
        );
    }
}

#[tokio::test]
async fn a_list_shows_no_history_and_needs_no_hub_by_name() {
    let world = in_every_state().await;
    let uri = "/instances/?showHistory=true&taskHub=other&connection=Storage&top=50";
    let reply = world.admin(Method::GET, uri, "").await;
    assert_eq!(reply.status, StatusCode::OK);
    let all = reply.json();
    assert_eq!(all.as_array().map(Vec::len), Some(6));
    assert!(!reply.text.contains("historyEvents"), "{all}");
}

/// The Python client has no zeros before a year, and asks for everything by the year 1.
#[tokio::test]
async fn a_year_of_fewer_than_four_digits_is_understood() {
    let world = in_every_state().await;
    let count = async |query: &str| {
        let uri = format!("/instances?{query}&top=50");
        let reply = world.admin(Method::GET, &uri, "").await;
        assert_eq!(reply.status, StatusCode::OK, "{query}: {reply:?}");
        reply.json().as_array().unwrap().len()
    };
    assert_eq!(count("createdTimeFrom=1-01-01T00:00:00.000000Z").await, 6);
    assert_eq!(count("createdTimeFrom=70-01-01T00:00:00Z").await, 6);
    assert_eq!(count("createdTimeTo=970-01-01T00:00:00Z").await, 0);
    let purge = async |query: &str| {
        let uri = format!("/instances?{query}");
        world.admin(Method::DELETE, &uri, "").await
    };
    // The end is looked at, too.
    let reply = purge("createdTimeFrom=1-01-01&createdTimeTo=2000-01-01").await;
    assert_eq!((reply.status, &*reply.text), (StatusCode::NOT_FOUND, ""));
    let from = "createdTimeFrom=1-01-01T00:00:00.000000Z";
    let reply = purge(&format!("{from}&runtimeStatus=Completed,Failed")).await;
    assert_eq!(reply.json(), json!({ "instancesDeleted": 2 }));
    assert_eq!(count(from).await, 4);
}

#[orchestrator]
async fn send_and_fail(ctx: OrchestrationContext, to: String) -> Result<(), EventError> {
    ctx.raise_event(&*to, "Go", &7).ok();
    let child = ctx.call_sub_orchestrator::<fail>("no".to_owned());
    child.id("child").await.unwrap_err();
    ctx.wait_for_external_event("Go").await
}

/// What the tour through a history does not come by.
#[tokio::test]
async fn events_that_are_sent_and_children_that_fail_are_in_the_history() {
    let hub = TaskHub::in_memory().await.unwrap();
    let worker = hub.worker().register::<send_and_fail>().register::<fail>();
    let worker = worker.register::<echo>().start().await.unwrap();
    let client = hub.client();
    let api = HttpApi::builder(client.clone()).admin_key(KEY);
    let world = World {
        api: api.build().unwrap(),
        client: client.clone(),
        hub,
        worker,
    };
    let start = client.start_orchestration::<send_and_fail>("nobody".to_owned());
    start.id("s").await.unwrap();
    client.wait_for_completion("child").await.unwrap();
    client.raise_event("s", "GO", &()).await.unwrap();
    client.wait_for_completion("s").await.unwrap();
    let uri = "/instances/s?showHistory=true&showHistoryOutput=true";
    let shown = world.admin(Method::GET, uri, "").await.json();
    let events = shown["historyEvents"].as_array().unwrap();
    let of = |event_type: &str| {
        let mut found = events
            .iter()
            .filter(|event| event["EventType"] == event_type);
        let (Some(only), None) = (found.next(), found.next()) else {
            panic!("{event_type}: {shown}");
        };
        let mut only = only.as_object().unwrap().clone();
        only.retain(|key, _| key != "Timestamp" && key != "ScheduledTime");
        Value::Object(only)
    };
    assert_eq!(
        of("EventSent"),
        json!({"EventType": "EventSent", "InstanceId": "nobody", "Name": "go", "Input": "7"})
    );
    let failed = of("SubOrchestrationInstanceFailed");
    assert_eq!(failed["FunctionName"], "fail");
    assert_eq!(
        (&failed["Input"], &failed["Reason"]),
        (&json!("\"no\""), &json!("no"))
    );
    assert_eq!(failed["FailureDetails"]["ErrorMessage"], "no");
    for inside in [
        "EventId",
        "IsPlayed",
        "TaskScheduledId",
        "TimerId",
        "OrchestratorStarted",
    ] {
        assert!(!shown.to_string().contains(inside), "{inside}");
    }
}
