//! The full check beside everything else.

use std::future::IntoFuture as _;
use std::sync::atomic::{AtomicBool, Ordering};

use durable_core::{Client, HubError, TaskHub};

use super::{Place, Steps, chain, echo, listen, names, nap, on_both, soon, worker};

/// One of each kind of thing that can happen, many times over.
async fn load(client: &Client, round: usize) {
    let id = |what: &str| format!("{what} {round}");
    let steps = client.start_orchestration::<chain>(names(&["a", "b", "c"]));
    let steps = steps.id(id("chain")).await.unwrap();
    let naps = client.start_orchestration::<nap>(5).id(id("nap"));
    let naps = naps.await.unwrap();
    let listens = client.start_orchestration::<listen>("go".to_owned());
    let listens = listens.id(id("listen")).await.unwrap();
    let large = client.start_orchestration::<echo>("x".repeat(40_000));
    let large = large.id(id("large")).await.unwrap();
    let sleeps = client.start_orchestration::<nap>(1_000_000);
    let sleeps = sleeps.id(id("sleep")).await.unwrap();
    listens.raise_event("go", "there").await.unwrap();
    sleeps.terminate("enough").await.unwrap();
    soon(steps.wait_for_completion()).await.unwrap();
    soon(naps.wait_for_completion()).await.unwrap();
    soon(listens.wait_for_completion()).await.unwrap();
    soon(large.wait_for_completion()).await.unwrap();
    if round.is_multiple_of(2) {
        for what in ["chain", "nap", "listen", "large", "sleep"] {
            client.purge(id(what)).await.unwrap();
        }
    }
}

async fn check(hub: &TaskHub) -> u64 {
    let checked = soon(hub.verify()).await.unwrap();
    assert!(checked.is_sound(), "{:#?}", checked.damages);
    checked.instances
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sound_hub_is_sound_while_everything_goes_on() {
    on_both(async |hub| {
        let running = worker(hub, &Steps::free().0).start().await.unwrap();
        let client = hub.client();
        for (id, ms) in [("s1", 1_000_000), ("s2", 2_000_000)] {
            client.start_orchestration::<nap>(ms).id(id).await.unwrap();
        }
        let done = AtomicBool::new(false);
        let everything = async {
            for rounds in 0..6 {
                let rounds = (0..8).map(|n| load(&client, rounds * 8 + n));
                futures_util::future::join_all(rounds).await;
            }
            done.store(true, Ordering::Relaxed);
        };
        let checks = async {
            let mut checks = 0;
            while !done.load(Ordering::Relaxed) {
                check(hub).await;
                checks += 1;
            }
            checks
        };
        let ((), checks) = tokio::join!(everything, checks);
        assert!(checks > 0);
        running.shutdown().await;
        // Also what waits for a worker.
        client.raise_event("s1", "go", &1).await.unwrap();
        let late = client.start_orchestration::<listen>("go".to_owned());
        late.id("late").await.unwrap();
        assert_eq!(check(hub).await, hub.stats().await.unwrap().total());
    })
    .await;
}

#[tokio::test]
async fn what_was_read_is_told() {
    let place = Place::new();
    let hub = place.open().await;
    let empty = soon(hub.verify()).await.unwrap();
    assert!(empty.is_sound());
    assert_eq!((empty.instances, empty.turns), (0, 0));
    let running = worker(&hub, &Steps::free().0).start().await.unwrap();
    for round in 0..10 {
        load(&hub.client(), round).await;
    }
    running.shutdown().await;
    let stats = hub.stats().await.unwrap();
    let checked = soon(hub.verify()).await.unwrap();
    assert_eq!((checked.instances, stats.total()), (25, 25));
    assert!(checked.turns >= 25 && checked.records > checked.turns);
    // Besides what is counted there is what the hub itself needs.
    assert!(checked.bytes > stats.live_bytes && checked.bytes < stats.live_bytes + 10_000);
    hub.close().await.unwrap();
}

/// One byte a second: it would take days.
#[tokio::test]
async fn a_slow_check_ends_with_who_waits_and_with_the_hub() {
    on_both(async |hub| {
        let client = hub.client();
        client.start_by_name("any", "1").id("a").await.unwrap();
        let slow = || hub.verify().bytes_per_second(1).into_future();
        let mut dropped = slow();
        assert!(futures_util::poll!(&mut dropped).is_pending());
        let second = hub.verify();
        drop(dropped);
        soon(second).await.unwrap();
        // Nobody has waited for it; still it is not in the way.
        let mut closed = slow();
        assert!(futures_util::poll!(&mut closed).is_pending());
        soon(hub.clone().close()).await.unwrap();
        let ended = soon(closed).await;
        assert!(matches!(ended, Err(HubError::Closed)), "{ended:?}");
        let late = soon(hub.verify()).await;
        assert!(matches!(late, Err(HubError::Closed)), "{late:?}");
    })
    .await;
}
