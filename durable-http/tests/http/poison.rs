//! What rests because the process has died of it shows over HTTP.

use std::time::Duration;

use durable_core::testing::TestHub;
use durable_core::{ActivityError, NoError, OrchestrationContext, activity, orchestrator};
use durable_http::HttpApi;
use http::{Method, Request};
use http_body_util::Empty;
use serde_json::Value;
use tower::ServiceExt;

use crate::world::{KEY, Reply, look};

#[activity]
async fn fatal() {
    unreachable!("it is mocked")
}

#[orchestrator]
async fn doomed(ctx: OrchestrationContext) -> Result<(), ActivityError<NoError>> {
    ctx.call_activity::<fatal>(()).await
}

async fn ask(api: &HttpApi, method: Method, uri: &str) -> Reply {
    let request = Request::builder().method(method).uri(uri);
    let request = request.header("x-functions-key", KEY);
    let request = request.body(Empty::<bytes::Bytes>::new());
    let request = request.expect("a request");
    let answer = api.clone().oneshot(request).await;
    look(answer.expect("never an error")).await
}

async fn shown(api: &HttpApi) -> Value {
    ask(api, Method::GET, "/instances/d").await.json()
}

/// Tries again what stops an instance: a status code, without a body.
async fn retry(api: &HttpApi, id: &str) -> u16 {
    let reply = ask(api, Method::POST, &format!("/instances/{id}/retry")).await;
    assert_eq!(reply.text, "");
    reply.status.as_u16()
}

#[tokio::test]
async fn an_activity_that_the_process_dies_of_shows_as_a_problem_until_it_is_tried_again() {
    let hub = TestHub::builder().register::<doomed>().register::<fatal>();
    let hub = hub.mock_async::<fatal, _>(async |()| std::future::pending().await);
    let mut hub = hub.start().await.expect("a hub");
    let api = HttpApi::builder(hub.client()).admin_key(KEY).build();
    let api = api.expect("rules");
    let start = hub.client().start_orchestration::<doomed>(()).id("d");
    start.await.expect("a start");
    for crash in 0..5 {
        assert!(shown(&api).await.get("problem").is_none(), "crash {crash}");
        // The pause is as long as the life before, and half a minute at most.
        let life = Duration::from_secs(1 << crash);
        hub.advance(life).await.expect("a hub");
        hub.restart().await.expect("a hub");
    }
    let body = shown(&api).await;
    assert_eq!(body["runtimeStatus"], "Running");
    assert_eq!(body["problem"]["kind"], "PoisonedActivity");
    let report = body["problem"]["report"].as_str().expect("a report");
    for part in [
        "activity `fatal` (call #0)",
        "died 3 times",
        "client.retry(\"d\")",
    ] {
        assert!(report.contains(part), "no `{part}` in {report}");
    }
    hub.mock::<fatal>(|()| Ok(()));
    assert_eq!(retry(&api, "d").await, 202);
    hub.client().wait_for_completion("d").await.expect("a hub");
    let body = shown(&api).await;
    assert_eq!(body["runtimeStatus"], "Completed");
    assert!(body.get("problem").is_none(), "{body}");
    assert_eq!(retry(&api, "d").await, 410);
    assert_eq!(retry(&api, "none").await, 404);
}
