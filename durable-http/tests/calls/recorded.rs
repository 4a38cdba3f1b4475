//! What a call leaves in the history, and what code it fits.

use std::time::Duration;

use durable_core::testing::TestHub;
use durable_core::{ActivityError, OrchestrationContext, RetryPolicy, orchestrator};
use durable_http::{CallHttp, HttpActivity, HttpCallError, HttpRequest, HttpResponse};

use futures_util::TryStreamExt;

use super::stub::{Stub, ask, calls, reply};

/// A history with a call in it, without its times and the port.
const GOLDEN: &str = include_str!("golden.jsonl");

type Answer = Result<HttpResponse, ActivityError<HttpCallError>>;

fn request(url: String) -> HttpRequest {
    HttpRequest::post(url)
        .header("X-Mine", "1")
        .content("text")
        .token_source("mine", "https://a.test")
        .timeout(Duration::from_secs(50))
        .retry(RetryPolicy::fixed(3, Duration::from_secs(1)))
        .retry_statuses([503])
}

#[orchestrator(name = "call")]
async fn call(ctx: OrchestrationContext, url: String) -> Answer {
    ctx.call_http(request(url)).await
}

#[orchestrator(name = "call")]
async fn call_with_other_times(ctx: OrchestrationContext, url: String) -> Answer {
    let request = request(url).timeout(Duration::from_secs(7));
    let policy = RetryPolicy::exponential(9, Duration::from_secs(5));
    ctx.call_http(request.retry(policy)).await
}

#[orchestrator(name = "call")]
async fn call_something_else(ctx: OrchestrationContext, url: String) -> Answer {
    ctx.call_http(request(url + "x")).await
}

fn hub() -> durable_core::testing::TestHubBuilder {
    let token = durable_http::AccessToken::new("a secret").expect("a token");
    TestHub::builder()
        .state(calls().token_source("mine", token))
        .register::<HttpActivity>()
}

#[tokio::test]
async fn what_is_recorded_stays_as_it_is() {
    let stub = Stub::new(|_, nth| match nth {
        0 => reply(202, &[("location", "/job"), ("retry-after", "1")], ""),
        1 => reply(503, &[], ""),
        _ => reply(200, &[("date", "then"), ("x-a", "1"), ("x-a", "2")], "done"),
    })
    .await;
    let hub = hub().register::<call>().start().await.expect("a hub");
    let start = hub
        .client()
        .start_orchestration::<call>(stub.at("/start"))
        .id("x");
    start
        .await
        .expect("a start")
        .wait_for_completion()
        .await
        .expect("an answer");
    let client = hub.client();
    let events = client.history("x").into_stream().try_collect::<Vec<_>>();
    let events = events.await.expect("a history");
    let lines = events
        .iter()
        .map(|event| serde_json::to_string(&event.kind).expect("JSON") + "\n");
    let history = lines.collect::<String>().replace(&stub.url, "http://stub");
    assert_eq!(history, GOLDEN, "{history}");
    assert!(
        stub.seen()
            .iter()
            .all(|seen| seen.header("authorization") == Some("Bearer a secret"))
    );
    assert!(!history.contains("a secret"));

    for (code, fits) in [
        (self::hub().register::<call>(), true),
        (self::hub().register::<call_something_else>(), false),
    ] {
        let replayed = hub.check_replay_with(&code).await;
        assert_eq!(replayed.is_ok(), fits, "{replayed:?}");
    }
}

#[tokio::test]
async fn times_can_be_changed_while_it_polls() {
    let stub = Stub::new(|_, nth| match nth {
        0 => reply(202, &[("location", "/job"), ("retry-after", "600")], ""),
        _ => reply(200, &[], "done"),
    })
    .await;
    let mut hub = hub()
        .register::<call>()
        .skip_time(false)
        .start()
        .await
        .expect("a hub");
    let start = hub
        .client()
        .start_orchestration::<call>(stub.at("/start"))
        .id("x");
    start.await.expect("a start");
    hub.advance(Duration::from_secs(300)).await.expect("a hub");
    let deployed = self::hub()
        .register::<call_with_other_times>()
        .register::<ask>();
    hub.restart_with(deployed).await.expect("a hub");
    hub.advance(Duration::from_secs(300)).await.expect("a hub");
    let status = hub
        .client()
        .status("x")
        .await
        .expect("a hub")
        .expect("an instance");
    assert!(
        status.problem().is_none()
            && status.runtime_status() == durable_core::RuntimeStatus::Completed,
        "{status:?}"
    );
    assert_eq!(stub.lines(), ["POST /start", "GET /job"]);
}
