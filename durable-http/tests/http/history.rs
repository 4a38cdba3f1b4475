//! `showHistory`: what has happened to an instance, as Durable Functions shows it.

#![expect(clippy::unwrap_used, reason = "what is not as expected fails the test")]

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use durable_core::{
    ActivityError, FailureDetails, OrchestrationContext, RetryPolicy, activity, orchestrator,
};
use durable_http::Actions;
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt;

use crate::world::{KEY, Reply, World, echo, look, wait, world, world_with};

#[activity]
pub(crate) async fn twice(n: u32) -> Result<u32, std::io::Error> {
    match n {
        0 => Err(std::io::Error::other("nothing to double")),
        n => Ok(2 * n),
    }
}

/// Does one of everything that Durable Functions knows, and then waits for `Go`.
#[orchestrator]
pub(crate) async fn tour(ctx: OrchestrationContext, n: u32) -> Value {
    ctx.create_timer(Duration::from_millis(1)).await;
    let done = ctx.call_activity::<twice>(n).await.ok();
    let retry = RetryPolicy::fixed(2, Duration::ZERO);
    let failed = ctx.call_activity::<twice>(0).retry(retry).await;
    failed.unwrap_err();
    let child = ctx.call_sub_orchestrator::<echo>(json!({ "a": 1 }));
    child.id("child").await.unwrap();
    let _open = ctx
        .call_sub_orchestrator::<wait>(json!(null))
        .id("open")
        .start();
    let _timer = ctx.create_timer(Duration::from_secs(3600)).start();
    ctx.set_custom_status(&"waiting").unwrap();
    let end: Value = ctx.wait_for_external_event("Go").await.unwrap();
    json!([done, end])
}

async fn toured() -> World {
    let world = world().await;
    let start = world.client.start_orchestration::<tour>(21);
    start.id("t").await.unwrap();
    while world.status("t").await.custom_status_json().is_none() {
        tokio::task::yield_now().await;
    }
    world.client.raise_event("t", "GO", "end").await.unwrap();
    world.client.wait_for_completion("t").await.unwrap();
    world
}

async fn events(world: &World, query: &str) -> Vec<Value> {
    let uri = format!("/instances/t?showHistory=True{query}");
    let reply = world.admin(Method::GET, &uri, "").await;
    assert_eq!(reply.status, StatusCode::OK);
    let events = reply.json()["historyEvents"].take();
    let Value::Array(events) = events else {
        panic!("{reply:?}");
    };
    events
}

/// Times differ from run to run.
fn without_times(mut event: Value) -> Value {
    for key in ["Timestamp", "ScheduledTime", "FireAt"] {
        if let Some(time) = event.get_mut(key) {
            let text = time.as_str().unwrap();
            assert!(text.len() == 27 && text.ends_with('Z'), "{text}");
            *time = Value::from("a time");
        }
    }
    event
}

#[tokio::test]
async fn a_history_is_that_of_durable_functions() {
    let world = toured().await;
    let shown = events(&world, "&showHistoryOutput=true").await;
    let shown: Vec<_> = shown.into_iter().map(without_times).collect();
    let at = "a time";
    let failure = json!({
        "ErrorType": "std::io::error::Error", "ErrorMessage": "nothing to double",
        "InnerFailure": null, "IsNonRetriable": false,
    });
    let expected = json!([
        {"EventType": "ExecutionStarted", "Timestamp": at, "FunctionName": "tour", "Input": "21"},
        {"EventType": "TimerCreated", "Timestamp": at, "FireAt": at},
        {"EventType": "TimerFired", "Timestamp": at, "FireAt": at},
        {"EventType": "TaskCompleted", "Timestamp": at, "FunctionName": "twice",
         "ScheduledTime": at, "Input": "21", "Result": 42},
        {"EventType": "TaskFailed", "Timestamp": at, "FunctionName": "twice",
         "ScheduledTime": at, "Input": "0", "Reason": "nothing to double", "FailureDetails": failure},
        {"EventType": "SubOrchestrationInstanceCompleted", "Timestamp": at, "FunctionName": "echo",
         "ScheduledTime": at, "Input": "{\"a\":1}", "Result": {"a": 1}},
        {"EventType": "SubOrchestrationInstanceCreated", "Timestamp": at, "Name": "wait",
         "InstanceId": "open", "Input": "null"},
        {"EventType": "TimerCreated", "Timestamp": at, "FireAt": at},
        {"EventType": "EventRaised", "Timestamp": at, "Name": "go", "Input": "\"end\""},
        {"EventType": "ExecutionCompleted", "Timestamp": at, "OrchestrationStatus": "Completed",
         "Result": [42, "end"]},
    ]);
    assert_eq!(Value::from(shown), expected);

    // Nothing of what is not asked for.
    for event in events(&world, "").await {
        assert_eq!(event.get("Result"), None, "{event}");
    }
    for event in events(&world, "&showInput=false").await {
        assert_eq!(event.get("Input"), None, "{event}");
    }
    let reply = world.admin(Method::GET, "/instances/t", "").await;
    assert_eq!(reply.json().get("historyEvents"), None);
}

#[tokio::test]
async fn how_an_instance_has_ended_is_the_last_event() {
    let world = world().await;
    world.waiting("w").await;
    world.client.terminate("w", "enough").await.unwrap();
    let start = world.client.start_by_name("fail", "\"no\"").id("f");
    start.await.unwrap();
    world.client.wait_for_completion("f").await.unwrap();
    let last = async |id: &str| {
        let uri = format!("/instances/{id}?showHistory=true&showHistoryOutput=true");
        let reply = world.admin(Method::GET, &uri, "").await;
        let mut events = reply.json()["historyEvents"].as_array().unwrap().clone();
        let last = without_times(events.pop().unwrap());
        (without_times(events.pop().unwrap()), last)
    };
    let (before, end) = last("w").await;
    assert_eq!(
        before,
        json!({"EventType": "ExecutionTerminated", "Timestamp": "a time", "Input": "enough"})
    );
    assert_eq!(
        end,
        json!({"EventType": "ExecutionCompleted", "Timestamp": "a time",
               "OrchestrationStatus": "Terminated", "Result": "enough"})
    );
    let (_, end) = last("f").await;
    assert_eq!(end["OrchestrationStatus"], "Failed");
    assert_eq!(end["Result"], "no");
    assert_eq!(end["FailureDetails"]["ErrorMessage"], "no");
}

#[tokio::test]
async fn one_that_is_pending_has_no_history() {
    let World {
        api,
        client,
        worker,
        hub: _hub,
    } = world().await;
    worker.shutdown().await;
    client.start_by_name("wait", "1").id("p").await.unwrap();
    let request = Request::get("/instances/p?showHistory=true").header("x-functions-key", KEY);
    let answer = api.oneshot(request.body(String::new()).unwrap()).await;
    let reply = look(answer.unwrap()).await;
    assert_eq!(reply.status, StatusCode::ACCEPTED);
    assert_eq!(reply.json().get("historyEvents"), None);
}

#[tokio::test]
async fn a_history_that_is_too_long_is_refused() {
    let world = world_with(|api| api.admin_key(KEY).max_history_size(3_000)).await;
    let long = format!("\"{}\"", "x".repeat(3_000));
    world.ended("long", &long).await;
    let look = async |query: &str| {
        let uri = format!("/instances/long?showHistory=true{query}");
        world.admin(Method::GET, &uri, "").await
    };
    assert_eq!(look("").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(look("&showInput=false").await.status, StatusCode::OK);
    let with_output = look("&showInput=false&showHistoryOutput=true").await;
    assert_eq!(with_output.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn whoever_may_not_see_the_history_sees_none() {
    let history = Actions::STATUS | Actions::HISTORY;
    for (actions, serve, shown, inputs) in [
        (Actions::ALL, Actions::ALL, true, true),
        (history, Actions::ALL, true, false),
        (Actions::STATUS, Actions::ALL, false, false),
        (Actions::ALL, Actions::STATUS, false, false),
    ] {
        let rules = |api: durable_http::HttpApiBuilder| api.allow_anonymous(actions).serve(serve);
        let world = world_with(rules).await;
        world.ended("e", "1").await;
        let uri = "/instances/e?showHistory=true&showHistoryOutput=true";
        let reply: Reply = world.get(uri).await;
        assert_eq!(reply.status, StatusCode::OK);
        let body = reply.json();
        assert_eq!(body.get("historyEvents").is_some(), shown, "{actions:?}");
        assert_eq!(reply.text.contains("\"Input\""), inputs, "{actions:?}");
        assert_eq!(reply.text.contains("\"Result\""), inputs, "{actions:?}");
    }
}

static MENDED: AtomicBool = AtomicBool::new(false);

#[activity]
pub(crate) async fn flaky(n: u32) -> Result<u32, std::io::Error> {
    if MENDED.load(Ordering::Relaxed) {
        return Ok(n);
    }
    Err(std::io::Error::other("broken"))
}

#[orchestrator]
pub(crate) async fn rely(
    ctx: OrchestrationContext,
    n: u32,
) -> Result<u32, ActivityError<FailureDetails>> {
    ctx.call_activity::<flaky>(n).await
}

/// A call that is made again is answered again, and each answer says of which call it is.
#[tokio::test]
async fn a_rewind_is_in_the_history_and_hides_nothing() {
    let world = world().await;
    let end = async || world.client.wait_for_completion("r").await.unwrap();
    let start = world.client.start_orchestration::<rely>(7);
    start.id("r").await.unwrap();
    end().await;
    MENDED.store(true, Ordering::Relaxed);
    world.client.rewind("r", "mended").await.unwrap();
    end().await;
    let uri = "/instances/r?showHistory=true&showHistoryOutput=true&showInput=true";
    let shown = world.admin(Method::GET, uri, "").await.json();
    let events = shown["historyEvents"].as_array().unwrap();
    let events: Vec<_> = events.iter().cloned().map(without_times).collect();
    let [_started, failed, ended, rewound, completed, _ended] = &*events else {
        panic!("{events:?}");
    };
    assert_eq!(failed["EventType"], "TaskFailed");
    assert_eq!(failed["FunctionName"], "flaky");
    assert_eq!(ended["OrchestrationStatus"], "Failed");
    let at = "a time";
    assert_eq!(
        *rewound,
        json!({"EventType": "ExecutionRewound", "Timestamp": at, "Reason": "mended"})
    );
    assert_eq!(
        *completed,
        json!({"EventType": "TaskCompleted", "Timestamp": at, "FunctionName": "flaky",
               "ScheduledTime": at, "Input": "7", "Result": 7})
    );
}

/// Whether `held` fails, and who is told when it waits.
static HELD: LazyLock<watch::Sender<Held>> = LazyLock::new(|| watch::Sender::new(Held::Fails));

#[derive(Clone, Copy, Debug, PartialEq)]
enum Held {
    Fails,
    Waits,
    Waiting,
    Released,
}

/// Fails; then it waits until it is released.
#[activity]
pub(crate) async fn held(n: u32) -> Result<u32, std::io::Error> {
    if *HELD.borrow() == Held::Fails {
        return Err(std::io::Error::other("broken"));
    }
    HELD.send_if_modified(|held| {
        let begins = *held == Held::Waits;
        if begins {
            *held = Held::Waiting;
        }
        begins
    });
    let mut news = HELD.subscribe();
    let released = news.wait_for(|held| *held == Held::Released).await;
    released.unwrap();
    Ok(n)
}

/// Relies on `held`, directly or by a child.
#[orchestrator]
pub(crate) async fn holds(ctx: OrchestrationContext, child: Option<String>) -> Result<u32, String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let Some(id) = child else {
        let call = ctx.call_activity::<held>(7).await;
        return call.map_err(|error| text(&error));
    };
    let call = ctx.call_sub_orchestrator::<holds>(None).id(id).await;
    call.map_err(|error| text(&error))
}

/// What is asked for again has a row of its own until it is answered, and that says since when.
#[tokio::test]
async fn what_a_rewind_asks_for_again_is_open_again() {
    let world = world().await;
    let start = world
        .client
        .start_orchestration::<holds>(Some("kid".to_owned()));
    start.id("dad").await.unwrap();
    world.client.wait_for_completion("dad").await.unwrap();
    let shown = async |id: &str| {
        let uri = format!("/instances/{id}?showHistory=true&showHistoryOutput=true");
        let shown = world.admin(Method::GET, &uri, "").await.json();
        shown["historyEvents"].as_array().unwrap().clone()
    };
    HELD.send_replace(Held::Waits);
    world.client.rewind("dad", "mended").await.unwrap();
    let mut news = HELD.subscribe();
    news.wait_for(|held| *held == Held::Waiting).await.unwrap();

    let (dad, kid) = (shown("dad").await, shown("kid").await);
    let (asked_dad, asked_kid) = (dad.last().unwrap(), kid.last().unwrap());
    let types = |events: &[Value]| -> Vec<String> {
        let types = events.iter().map(|event| event["EventType"].as_str());
        types.map(|kind| kind.unwrap().to_owned()).collect()
    };
    let failed = ["ExecutionStarted", "TaskFailed", "ExecutionCompleted"];
    let again = ["ExecutionRewound", "TaskScheduled"];
    assert_eq!(types(&kid), [&failed[..], &again].concat());
    assert_eq!(
        without_times(asked_dad.clone()),
        json!({"EventType": "SubOrchestrationInstanceCreated", "Timestamp": "a time",
               "Name": "holds", "InstanceId": "kid", "Input": "null"})
    );
    assert_eq!(
        without_times(asked_kid.clone()),
        json!({"EventType": "TaskScheduled", "Timestamp": "a time", "Name": "held", "Input": "7"})
    );

    HELD.send_replace(Held::Released);
    world.client.wait_for_completion("dad").await.unwrap();
    for (id, asked, name) in [("dad", asked_dad, "holds"), ("kid", asked_kid, "held")] {
        let events = shown(id).await;
        let [.., rewound, answer, _end] = &*events else {
            panic!("{events:?}");
        };
        // The row of the call is gone, and there is one of its answer.
        assert_eq!(rewound["EventType"], "ExecutionRewound");
        let found = (&answer["FunctionName"], &answer["Input"], &answer["Result"]);
        assert_eq!(found, (&json!(name), &asked["Input"], &json!(7)));
        assert_eq!(answer["ScheduledTime"], asked["Timestamp"], "{id}");
    }
}

static GENEROUS: AtomicBool = AtomicBool::new(false);

/// Has what it asked for, and fails by itself.
#[orchestrator]
pub(crate) async fn picky(ctx: OrchestrationContext, n: u32) -> Result<u32, String> {
    ctx.create_timer(Duration::from_millis(1)).await;
    let twice = ctx.call_activity::<twice>(n).await;
    match twice {
        Ok(twice) if GENEROUS.load(Ordering::Relaxed) => Ok(twice),
        other => Err(format!("{other:?}")),
    }
}

/// The answer that led to a failure is fed again: its row says as much as the first.
#[tokio::test]
async fn an_answer_that_is_fed_again_says_of_which_call_it_is() {
    let world = world().await;
    let start = world.client.start_orchestration::<picky>(4);
    start.id("t").await.unwrap();
    world.client.wait_for_completion("t").await.unwrap();
    GENEROUS.store(true, Ordering::Relaxed);
    world.client.rewind("t", "mended").await.unwrap();
    world.client.wait_for_completion("t").await.unwrap();
    let events = events(&world, "&showHistoryOutput=true").await;
    let answers = events
        .iter()
        .filter(|event| event["EventType"] == "TaskCompleted")
        .map(|event| (&event["FunctionName"], &event["Input"], &event["Result"]));
    let (name, input, result) = (json!("twice"), json!("4"), json!(8));
    let expected = (&name, &input, &result);
    assert_eq!(
        answers.collect::<Vec<_>>(),
        [expected, expected],
        "{events:?}"
    );
}
