//! What a hub says that it holds.

use durable_core::{HubStats, RuntimeStatus, TaskHub};

use super::{Place, Steps, echo, listen, nap, on_both, soon, worker};

/// An instance that has ended, one that waits for an event, one that sleeps.
async fn fill(hub: &TaskHub) {
    let client = hub.client();
    let ended = client.start_orchestration::<echo>("x".repeat(10_000));
    let ended = ended.id("ended").await.unwrap();
    soon(ended.wait_for_completion()).await.unwrap();
    let waits = client.start_orchestration::<listen>("go".to_owned());
    waits.id("waits").await.unwrap();
    let sleeps = client.start_orchestration::<nap>(1_000_000);
    sleeps.id("sleeps").await.unwrap();
}

fn by_status(stats: &HubStats) -> [u64; 4] {
    [
        RuntimeStatus::Pending,
        RuntimeStatus::Running,
        RuntimeStatus::Completed,
        RuntimeStatus::Terminated,
    ]
    .map(|status| stats.with_status(status))
}

#[tokio::test]
async fn instances_are_counted_by_status_and_bytes_come_and_go_with_them() {
    on_both(async |hub| {
        let empty = hub.stats().await.unwrap();
        assert_eq!((empty.total(), empty.live_bytes), (0, 0));
        let client = hub.client();
        let early = client.start_orchestration::<listen>("go".to_owned());
        early.id("early").await.unwrap();
        assert_eq!(by_status(&hub.stats().await.unwrap()), [1, 0, 0, 0]);

        let _worker = worker(hub, &Steps::free().0).start().await.unwrap();
        fill(hub).await;
        let full = hub.stats().await.unwrap();
        assert_eq!((full.total(), by_status(&full)), (4, [0, 3, 1, 0]));
        // The input and the output.
        assert!((20_000..25_000).contains(&full.live_bytes), "{full:?}");

        for id in ["early", "waits", "sleeps"] {
            client.terminate(id, "").await.unwrap();
        }
        assert_eq!(by_status(&hub.stats().await.unwrap()), [0, 0, 1, 3]);
        client.purge("ended").await.unwrap();
        let fewer = hub.stats().await.unwrap();
        assert_eq!(by_status(&fewer), [0, 0, 0, 3]);
        assert!(fewer.live_bytes < 5_000, "{fewer:?}");
        for id in ["early", "waits", "sleeps"] {
            client.purge(id).await.unwrap();
        }
        let none = hub.stats().await.unwrap();
        assert_eq!((none.total(), none.live_bytes), (0, 0));
        assert!(none.instances.is_empty());
    })
    .await;
}

#[tokio::test]
async fn what_is_counted_survives_a_restart() {
    let place = Place::new();
    let hub = place.open().await;
    let running = worker(&hub, &Steps::free().0).start().await.unwrap();
    fill(&hub).await;
    let before = hub.stats().await.unwrap();
    assert!(before.bytes_on_disk > before.live_bytes);
    drop((running, hub));
    let hub = place.open().await;
    let after = hub.stats().await.unwrap();
    assert_eq!(after.live_bytes, before.live_bytes);
    assert_eq!(after.instances, before.instances);
    let kept = hub.clone();
    hub.close().await.unwrap();
    assert!(kept.stats().await.is_err(), "it is closed");
}
