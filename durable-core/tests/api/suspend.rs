//! Holding an instance, and letting it go on.

use std::time::Duration;

use durable_core::testing::TestHub;
use durable_core::{InstanceError, InstanceQuery, OrchestrationStatus, RuntimeStatus};

use super::{Place, Steps, chain, echo, listen, names, nap, on_both, soon, status_when, worker};

const SUSPENDED: RuntimeStatus = RuntimeStatus::Suspended;

fn has_status(expected: RuntimeStatus) -> impl Fn(&OrchestrationStatus) -> bool {
    move |status| status.runtime_status() == expected
}

#[tokio::test]
async fn what_arrives_meanwhile_is_kept() {
    on_both(async |hub| {
        let (steps, mut begun) = Steps::held();
        let _worker = worker(hub, &steps).start().await.unwrap();
        let client = hub.client();
        let waits = client
            .start_orchestration::<listen>("Go".to_owned())
            .id("l")
            .await
            .unwrap();
        let works = client
            .start_orchestration::<chain>(names(&["a", "b"]))
            .id("c")
            .await
            .unwrap();
        assert_eq!(soon(begun.recv()).await.unwrap(), "a");
        for id in ["l", "c"] {
            client.suspend(id, "wait").await.unwrap();
            let status = client.status(id).await.unwrap().unwrap();
            assert_eq!(status.runtime_status(), SUSPENDED);
            assert_eq!(status.suspend_reason(), Some("wait"));
            // Once more is as good as once; the first reason stays.
            client.suspend(id, "again").await.unwrap();
        }
        waits.raise_event("go", "one").await.unwrap();
        steps.end(10);
        let found = client
            .query(InstanceQuery::new().status(SUSPENDED))
            .await
            .unwrap();
        assert_eq!(found.instances.len(), 2);
        for listed in found.instances {
            assert_eq!(listed.suspend_reason(), Some("wait"));
        }

        waits.resume().await.unwrap();
        assert_eq!(soon(waits.wait_for_completion()).await.unwrap(), "one");
        assert!(begun.try_recv().is_err(), "it takes no turns");
        works.resume().await.unwrap();
        works.resume().await.unwrap();
        assert_eq!(soon(works.wait_for_completion()).await.unwrap(), ["A", "B"]);
        let status = client.status("c").await.unwrap().unwrap();
        assert_eq!(status.suspend_reason(), None);
    })
    .await;
}

/// In each state that an instance can be in when a process ends.
#[tokio::test]
async fn it_is_suspended_for_as_long_as_nobody_resumes_it() {
    let place = Place::new();
    let hub = place.open().await;
    let client = hub.client();
    // Without a worker: never begun.
    client
        .start_orchestration::<echo>("x".to_owned())
        .id("pending")
        .await
        .unwrap();
    client.suspend("pending", "").await.unwrap();
    let (steps, mut begun) = Steps::held();
    let running = worker(&hub, &steps).start().await.unwrap();
    client
        .start_orchestration::<chain>(names(&["a", "b"]))
        .id("works")
        .await
        .unwrap();
    client
        .start_orchestration::<listen>("Go".to_owned())
        .id("waits")
        .await
        .unwrap();
    soon(begun.recv()).await.unwrap();
    for id in ["works", "waits"] {
        client.suspend(id, "for long").await.unwrap();
    }
    client.raise_event("waits", "go", "one").await.unwrap();
    drop((running, client, hub));

    for _ in 0..2 {
        let hub = place.open().await;
        let running = worker(&hub, &Steps::free().0).start().await.unwrap();
        let client = hub.client();
        // All that is there to be done was done once this one has ended.
        let other = client
            .start_orchestration::<echo>("x".to_owned())
            .await
            .unwrap();
        soon(other.wait_for_completion()).await.unwrap();
        for id in ["pending", "works", "waits"] {
            let status = client.status(id).await.unwrap().unwrap();
            assert_eq!(status.runtime_status(), SUSPENDED, "{id}");
            assert!(status.problem().is_none(), "{id}");
        }
        assert!(hub.verify().await.unwrap().is_sound());
        running.shutdown().await;
        soon(hub.close()).await.unwrap();
    }

    let hub = place.open().await;
    let client = hub.client();
    // Resumed without a worker they go on with the next one.
    for id in ["works", "waits"] {
        client.resume(id).await.unwrap();
        let status = client.status(id).await.unwrap().unwrap();
        assert_eq!(status.runtime_status(), RuntimeStatus::Running, "{id}");
    }
    let _worker = worker(&hub, &Steps::free().0).start().await.unwrap();
    client.resume("pending").await.unwrap();
    for id in ["pending", "works", "waits"] {
        let ended = soon(client.wait_for_completion(id)).await.unwrap().unwrap();
        assert_eq!(ended.runtime_status(), RuntimeStatus::Completed, "{id}");
    }
}

#[tokio::test]
async fn it_can_be_terminated_and_purged() {
    on_both(async |hub| {
        let _worker = worker(hub, &Steps::free().0).start().await.unwrap();
        let client = hub.client();
        client
            .start_orchestration::<listen>("Go".to_owned())
            .id("l")
            .await
            .unwrap();
        client.suspend("l", "wait").await.unwrap();
        client.raise_event("l", "go", "one").await.unwrap();
        client.terminate("l", "enough").await.unwrap();
        let ended = soon(client.wait_for_completion("l"))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(ended.runtime_status(), RuntimeStatus::Terminated);
        assert_eq!(ended.suspend_reason(), None);
        client.purge("l").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_held_is_refused_with_the_reason() {
    on_both(async |hub| {
        let _worker = worker(hub, &Steps::free().0).start().await.unwrap();
        let client = hub.client();
        let ended = client.start_orchestration::<echo>("x".to_owned()).id("e").await.unwrap();
        soon(ended.wait_for_completion()).await.unwrap();
        for refused in [client.suspend("e", "").await, client.resume("e").await] {
            let is_ended = matches!(
                &refused,
                Err(InstanceError::Ended { id, status: RuntimeStatus::Completed }) if id.as_str() == "e"
            );
            assert!(is_ended, "{refused:?}");
        }
        for refused in [client.suspend("nobody", "").await, client.resume("nobody").await] {
            assert!(matches!(refused, Err(InstanceError::NotFound { .. })), "{refused:?}");
        }
        for refused in [client.suspend("", "").await, client.resume("").await] {
            assert!(matches!(refused, Err(InstanceError::InvalidId(_))), "{refused:?}");
        }
        // Of a long reason the first part is kept, whole characters.
        client.start_orchestration::<listen>("Go".to_owned()).id("l").await.unwrap();
        client.suspend("l", "€".repeat(1_000)).await.unwrap();
        let status = client.status("l").await.unwrap().unwrap();
        assert_eq!(status.suspend_reason(), Some(&*"€".repeat(170)));
    })
    .await;
}

/// A timer fires meanwhile, and a retry is made; the orchestrator hears of it afterwards.
#[tokio::test]
async fn time_goes_on() {
    let mut hub = TestHub::builder()
        .register::<nap>()
        .skip_time(false)
        .start()
        .await
        .unwrap();
    let client = hub.client();
    let sleeps = client
        .start_orchestration::<nap>(60_000)
        .id("n")
        .await
        .unwrap();
    status_when(&client, "n", has_status(RuntimeStatus::Running)).await;
    sleeps.suspend("").await.unwrap();
    hub.advance(Duration::from_secs(3_600)).await.unwrap();
    hub.restart().await.unwrap();
    let client = hub.client();
    status_when(&client, "n", has_status(SUSPENDED)).await;
    client.resume("n").await.unwrap();
    let status = client.wait_for_completion("n").await.unwrap().unwrap();
    assert_eq!(status.output::<u64>().unwrap(), Some(60_000));
    let took = status
        .last_updated_at()
        .duration_since(status.created_at())
        .unwrap();
    assert!(took >= Duration::from_secs(3_600), "{took:?}");
}
