//! Waiting for an external event no longer than a given time.

use std::time::Duration;

use durable_core::{EventError, OrchestrationContext, RuntimeStatus, TaskHub, orchestrator};

use super::{Place, on_both, soon, status_when};

const LONG: Duration = Duration::from_secs(3_600);

/// The event `first`, waited for so many milliseconds, and then `second`; and `first` again if it did not
/// come in time.
#[orchestrator]
async fn hurries(ctx: OrchestrationContext, ms: u64) -> Result<Vec<String>, EventError> {
    let first = ctx.wait_for_external_event::<String>("first");
    let first = first.timeout(Duration::from_millis(ms)).await;
    ctx.set_custom_status(&first).unwrap();
    let second = ctx.wait_for_external_event("second").await?;
    match first {
        Err(EventError::TimedOut) => {
            let late = ctx.wait_for_external_event("first").await?;
            Ok(vec!["timed out".to_owned(), second, late])
        }
        first => Ok(vec![first?, second]),
    }
}

async fn start(hub: &TaskHub, id: &str, limit: Duration) {
    let ms = u64::try_from(limit.as_millis()).unwrap();
    let start = hub.client().start_orchestration::<hurries>(ms);
    start.id(id).await.unwrap();
}

async fn raise(hub: &TaskHub, id: &str, name: &str) {
    hub.client().raise_event(id, name, name).await.unwrap();
}

async fn check_output(hub: &TaskHub, id: &str, output: &[&str]) {
    let instance = hub.client().instance::<hurries>(id).unwrap();
    assert_eq!(soon(instance.wait_for_completion()).await.unwrap(), output);
}

/// Waits until the first wait is over.
async fn decided(hub: &TaskHub, id: &str) {
    let client = hub.client();
    status_when(&client, id, |status| {
        status
            .custom_status::<serde_json::Value>()
            .unwrap()
            .is_some()
    })
    .await;
}

#[tokio::test]
async fn an_event_in_time_ends_the_wait_and_a_late_one_is_the_next_waits() {
    on_both(async |hub| {
        let _worker = hub.worker().register::<hurries>().start().await.unwrap();
        start(hub, "in time", LONG).await;
        raise(hub, "in time", "FIRST").await;
        raise(hub, "in time", "second").await;
        check_output(hub, "in time", &["FIRST", "second"]).await;
        start(hub, "late", Duration::from_millis(1)).await;
        decided(hub, "late").await;
        raise(hub, "late", "first").await;
        raise(hub, "late", "second").await;
        check_output(hub, "late", &["timed out", "second", "first"]).await;
    })
    .await;
}

#[tokio::test]
async fn an_event_that_is_there_beats_a_timeout_of_zero() {
    on_both(async |hub| {
        start(hub, "x", Duration::ZERO).await;
        raise(hub, "x", "first").await;
        raise(hub, "x", "second").await;
        let _worker = hub.worker().register::<hurries>().start().await.unwrap();
        // What is waiting is older than any timer.
        check_output(hub, "x", &["first", "second"]).await;
    })
    .await;
}

#[tokio::test]
async fn a_restart_neither_loses_the_event_nor_the_timeout() {
    let place = Place::new();
    for (id, limit) in [("in time", LONG), ("late", Duration::from_millis(300))] {
        let hub = place.open().await;
        let worker = hub.worker().register::<hurries>().start().await.unwrap();
        start(&hub, id, limit).await;
        status_when(&hub.client(), id, |status| {
            status.runtime_status() == RuntimeStatus::Running
        })
        .await;
        drop(worker);
        soon(hub.close()).await.unwrap();
    }
    let hub = place.open().await;
    let _worker = hub.worker().register::<hurries>().start().await.unwrap();
    raise(&hub, "in time", "first").await;
    decided(&hub, "late").await;
    raise(&hub, "late", "first").await;
    for id in ["in time", "late"] {
        raise(&hub, id, "second").await;
    }
    check_output(&hub, "in time", &["first", "second"]).await;
    check_output(&hub, "late", &["timed out", "second", "first"]).await;
    let instances = hub.stats().await.unwrap().instances;
    assert_eq!(instances.get(&RuntimeStatus::Completed), Some(&2));
}
