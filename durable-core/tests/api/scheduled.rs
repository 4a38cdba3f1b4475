//! Instances that are to begin later.

use std::time::{Duration, SystemTime};

use durable_core::testing::TestHub;
use durable_core::{
    InstanceQuery, OrchestrationContext, OrchestrationStatus, RuntimeStatus, StartError, TaskHub,
    orchestrator,
};

use super::{Place, on_both, soon};

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// When it began, and so many events in the order in which they came.
#[orchestrator]
async fn report(ctx: OrchestrationContext, events: usize) -> (SystemTime, Vec<String>) {
    let began = ctx.now();
    let mut taken = Vec::new();
    for _ in 0..events {
        taken.push(ctx.wait_for_external_event("go").await.unwrap());
    }
    (began, taken)
}

async fn status(hub: &TaskHub, id: &str) -> OrchestrationStatus {
    hub.client().status(id).await.unwrap().unwrap()
}

/// It has not begun.
async fn check_waits(hub: &TaskHub, id: &str, expected: RuntimeStatus, events: usize) {
    let status = status(hub, id).await;
    assert_eq!(status.runtime_status(), expected, "{id}");
    assert!(status.scheduled_start().is_some(), "{id}");
    assert_eq!(status.input::<usize>().unwrap(), Some(events), "{id}");
    assert!(hub.verify().await.unwrap().is_sound());
}

/// It has, or does, and not before its time.
async fn check_began(hub: &TaskHub, id: &str, events: &[&str]) {
    let instance = hub.client().instance::<report>(id).unwrap();
    let (began, taken) = soon(instance.wait_for_completion()).await.unwrap();
    assert_eq!(taken, events, "{id}");
    let scheduled = status(hub, id).await.scheduled_start().unwrap();
    assert!(began >= scheduled, "{id}: {began:?} before {scheduled:?}");
    assert!(hub.verify().await.unwrap().is_sound());
}

fn test_hub(skip: bool) -> impl Future<Output = TestHub> {
    let hub = TestHub::builder().register::<report>().skip_time(skip);
    async { hub.start().await.unwrap() }
}

#[tokio::test]
async fn it_begins_at_its_time_with_the_events_that_came_before() {
    let mut hub = test_hub(false).await;
    let start = hub.client().start_orchestration::<report>(3);
    let instance = start.id("r").start_after(30 * DAY).await.unwrap();
    instance.raise_event("go", "one").await.unwrap();
    hub.restart().await.unwrap();
    let client = hub.client();
    client.raise_event("r", "GO", "two").await.unwrap();
    hub.advance(29 * DAY).await.unwrap();
    check_waits(hub.task_hub(), "r", RuntimeStatus::Pending, 3).await;
    hub.restart().await.unwrap();
    check_waits(hub.task_hub(), "r", RuntimeStatus::Pending, 3).await;
    hub.advance(DAY).await.unwrap();
    let begun = status(hub.task_hub(), "r").await;
    assert_eq!(begun.runtime_status(), RuntimeStatus::Running);
    let client = hub.client();
    client.raise_event("r", "go", "three").await.unwrap();
    check_began(hub.task_hub(), "r", &["one", "two", "three"]).await;
}

/// Whoever waits for its end lets virtual time pass.
#[tokio::test]
async fn a_time_that_has_passed_is_now_and_the_others_come_in_order() {
    let hub = test_hub(true).await;
    let now = hub.now();
    let times = [
        now - DAY,
        SystemTime::UNIX_EPOCH,
        now,
        now + DAY,
        now + 2 * DAY,
    ];
    for (n, time) in times.iter().enumerate() {
        let start = hub.client().start_by_name("report", "0");
        start.id(format!("r{n}")).start_at(*time).await.unwrap();
    }
    for (n, time) in times.iter().enumerate() {
        let id = format!("r{n}");
        check_began(hub.task_hub(), &id, &[]).await;
        let status = status(hub.task_hub(), &id).await;
        assert_eq!(status.scheduled_start(), Some(*time));
        let late = status
            .last_updated_at()
            .duration_since(*time.max(&now))
            .unwrap();
        assert!(late < Duration::from_secs(1), "{id}: {late:?}");
    }
    let at_once = hub.client().start_orchestration::<report>(0).id("x");
    at_once.start_after(Duration::ZERO).await.unwrap();
    check_began(hub.task_hub(), "x", &[]).await;
}

#[tokio::test]
async fn no_worker_needs_to_be_there_then() {
    let place = Place::new();
    let hub = place.open().await;
    let client = hub.client();
    for (id, wait) in [("soon", 50), ("later", 400)] {
        let start = client.start_orchestration::<report>(1).id(id);
        start
            .start_after(Duration::from_millis(wait))
            .await
            .unwrap();
        client.raise_event(id, "go", id).await.unwrap();
    }
    let never = client.start_orchestration::<report>(1).id("never");
    never.start_after(Duration::MAX).await.unwrap();
    // As a kill would: nothing is closed.
    drop((client, hub));

    let hub = place.open().await;
    check_waits(&hub, "never", RuntimeStatus::Pending, 1).await;
    let worker = hub.worker().register::<report>().start().await.unwrap();
    check_began(&hub, "soon", &["soon"]).await;
    worker.shutdown().await;
    soon(hub.close()).await.unwrap();

    let hub = place.open().await;
    let _worker = hub.worker().register::<report>().start().await.unwrap();
    check_began(&hub, "later", &["later"]).await;
    check_waits(&hub, "never", RuntimeStatus::Pending, 1).await;
}

/// Few are in memory at a time, and all of them begin.
#[tokio::test]
async fn many_of_one_time_begin_all() {
    let place = Place::new();
    let few = TaskHub::options().max_live_instances(20);
    let hub = place.open_with(few.clone()).await;
    let client = hub.client();
    let first = client.start_orchestration::<report>(0).id("first");
    first.start_after(Duration::from_millis(300)).await.unwrap();
    let begin = status(&hub, "first").await.scheduled_start().unwrap();
    let starts = (1..1_000).map(|n| {
        let start = client.start_orchestration::<report>(usize::from(n % 2 == 0));
        let start = start.id(format!("r{n}")).start_at(begin);
        async { start.await.unwrap() }
    });
    let instances = futures_util::future::join_all(starts).await;
    for instance in instances.iter().skip(1).step_by(2) {
        instance.raise_event("go", "x").await.unwrap();
    }
    drop((instances, client));
    soon(hub.close()).await.unwrap();

    let hub = place.open_with(few).await;
    let mut events = hub.subscribe();
    let worker = hub.worker().register::<report>().start().await.unwrap();
    for _ in 0..2 * 1_000 {
        let event = soon(events.next()).await.unwrap().unwrap();
        assert!(event.happened_at() >= begin, "{event:?}");
    }
    let completed = hub.stats().await.unwrap();
    assert_eq!(completed.with_status(RuntimeStatus::Completed), 1_000);
    assert!(hub.verify().await.unwrap().is_sound());
    worker.shutdown().await;
}

#[tokio::test]
async fn what_waits_can_be_found_and_ended() {
    on_both(async |hub| {
        let _worker = hub.worker().register::<report>().start().await.unwrap();
        let client = hub.client();
        let start = async |id: &str| {
            let start = client.start_orchestration::<report>(1).id(id).tag("a", "b");
            start.start_after(DAY).await
        };
        for id in ["terminated", "suspended", "kept"] {
            start(id).await.unwrap();
            client.raise_event(id, "go", id).await.unwrap();
            let again = start(id).await;
            assert!(
                matches!(
                    again,
                    Err(StartError::AlreadyExists {
                        status: RuntimeStatus::Pending,
                        ..
                    })
                ),
                "{again:?}"
            );
        }
        client.suspend("suspended", "wait").await.unwrap();
        check_waits(hub, "suspended", RuntimeStatus::Suspended, 1).await;
        let query = InstanceQuery::new().status(RuntimeStatus::Pending);
        let found = client.query(query).await.unwrap();
        assert_eq!(found.instances.len(), 2);
        for id in ["terminated", "suspended"] {
            assert!(client.purge(id).await.is_err(), "{id} has not ended");
            client.terminate(id, "enough").await.unwrap();
            let ended = soon(client.wait_for_completion(id)).await.unwrap().unwrap();
            assert_eq!(ended.runtime_status(), RuntimeStatus::Terminated, "{id}");
            assert!(ended.scheduled_start().is_some(), "{id}");
            client.purge(id).await.unwrap();
            start(id).await.unwrap();
        }
        for id in ["terminated", "suspended", "kept"] {
            check_waits(hub, id, RuntimeStatus::Pending, 1).await;
        }
    })
    .await;
}

#[tokio::test]
async fn suspending_neither_hastens_nor_loses_the_start() {
    let mut hub = test_hub(false).await;
    let client = hub.client();
    for id in ["before", "over"] {
        let start = client.start_orchestration::<report>(0).id(id);
        start.start_after(DAY).await.unwrap();
        client.suspend(id, "").await.unwrap();
    }
    client.resume("before").await.unwrap();
    client.retry("before").await.unwrap();
    hub.advance(DAY / 2).await.unwrap();
    check_waits(hub.task_hub(), "before", RuntimeStatus::Pending, 0).await;
    hub.restart().await.unwrap();
    hub.advance(DAY).await.unwrap();
    check_began(hub.task_hub(), "before", &[]).await;
    check_waits(hub.task_hub(), "over", RuntimeStatus::Suspended, 0).await;
    hub.restart().await.unwrap();
    check_waits(hub.task_hub(), "over", RuntimeStatus::Suspended, 0).await;
    hub.client().resume("over").await.unwrap();
    check_began(hub.task_hub(), "over", &[]).await;
}
