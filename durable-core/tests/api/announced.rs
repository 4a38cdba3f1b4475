//! Listening to what happens in the lives of instances.

use std::collections::BTreeMap;

use durable_core::{
    Client, LifecycleEvent, LifecycleEvents, LifecycleKind, OrchestrationContext, RuntimeStatus,
    TaskHub, orchestrator,
};
use futures_util::FutureExt;

use super::{Place, echo, listen, on_both, soon};
use LifecycleKind::{
    Blocked, Completed, ContinuedAsNew, Failed, Purged, Resumed, Started, Suspended, Terminated,
    Unblocked,
};

/// Goes on as new so many times.
#[orchestrator]
async fn rounds(ctx: OrchestrationContext, left: u32) -> u32 {
    if left > 0 {
        return ctx.continue_as_new::<rounds, _>(left - 1).await;
    }
    left
}

/// Fails.
#[orchestrator]
async fn refuses(_ctx: OrchestrationContext) -> Result<(), String> {
    Err("as told".to_owned())
}

async fn next(events: &mut LifecycleEvents) -> LifecycleEvent {
    soon(events.next()).await.unwrap().unwrap()
}

/// The next events are these, of this instance.
async fn check(events: &mut LifecycleEvents, id: &str, name: &str, expected: &[LifecycleKind]) {
    let mut last = std::time::UNIX_EPOCH;
    for expected in expected {
        let event = next(events).await;
        assert_eq!(event.instance_id().as_str(), id, "{event:?}");
        assert_eq!((event.kind(), event.name()), (*expected, name), "{event:?}");
        assert!(event.happened_at() >= last, "{event:?}");
        last = event.happened_at();
    }
}

async fn start(client: &Client, name: &str, id: &str, input: &str) {
    client.start_by_name(name, input).id(id).await.unwrap();
}

#[tokio::test]
async fn a_life_is_told_from_its_start_to_its_purge() {
    on_both(async |hub| {
        let mut events = hub.subscribe();
        let client = hub.client();
        // Without a worker nothing begins; and what has ended was never begun.
        start(&client, "listen", "l", "\"go\"").await;
        start(&client, "listen", "t", "\"go\"").await;
        client.terminate("t", "enough").await.unwrap();
        check(&mut events, "t", "listen", &[Terminated]).await;
        client.purge("t").await.unwrap();
        check(&mut events, "t", "listen", &[Purged]).await;

        let worker = hub.worker().register::<rounds>().start().await.unwrap();
        check(&mut events, "l", "listen", &[Blocked]).await;
        worker.shutdown().await;
        let worker = hub.worker().register::<listen>().register::<rounds>();
        let worker = worker.register::<refuses>().start().await.unwrap();
        check(&mut events, "l", "listen", &[Started, Unblocked]).await;
        client.suspend("l", "wait").await.unwrap();
        client.suspend("l", "once more").await.unwrap();
        client.resume("l").await.unwrap();
        client.resume("l").await.unwrap();
        client.raise_event("l", "go", "one").await.unwrap();
        check(&mut events, "l", "listen", &[Suspended, Resumed, Completed]).await;
        // What is told is so.
        let status = client.status("l").await.unwrap().unwrap();
        assert_eq!(status.runtime_status(), RuntimeStatus::Completed);

        start(&client, "rounds", "r", "2").await;
        let all = [Started, ContinuedAsNew, ContinuedAsNew, Completed];
        for (kind, execution) in all.into_iter().zip([0, 1, 2, 2]) {
            let event = next(&mut events).await;
            assert_eq!(
                (event.kind(), event.execution_id().to_string()),
                (kind, execution.to_string())
            );
        }
        start(&client, "refuses", "f", "null").await;
        check(&mut events, "f", "refuses", &[Started, Failed]).await;
        worker.shutdown().await;
        assert!(
            events.next().now_or_never().is_none(),
            "no more has happened"
        );
    })
    .await;
}

/// Each listener for itself, and whoever comes later hears what comes later.
#[tokio::test]
async fn all_who_listen_are_told_and_the_end_of_the_hub_is_the_end() {
    let place = Place::new();
    let hub = place.open().await;
    let worker = hub.worker().register::<echo>().start().await.unwrap();
    let client = hub.client();
    let run = async |id: &str| {
        start(&client, "echo", id, "\"x\"").await;
        soon(client.wait_for_completion(id)).await.unwrap().unwrap();
    };
    run("unheard").await;
    let mut first = hub.subscribe();
    drop(hub.subscribe());
    run("a").await;
    let mut second = hub.subscribe();
    run("b").await;
    worker.shutdown().await;
    soon(hub.clone().close()).await.unwrap();
    check(&mut first, "a", "echo", &[Started, Completed]).await;
    for events in [&mut first, &mut second] {
        check(events, "b", "echo", &[Started, Completed]).await;
        for _ in 0..2 {
            assert!(soon(events.next()).await.is_none());
        }
    }
    assert!(soon(hub.subscribe().next()).await.is_none(), "it is closed");

    // What was before is not told again.
    let hub = place.open().await;
    let mut events = hub.subscribe();
    let _worker = hub.worker().register::<echo>().start().await.unwrap();
    start(&hub.client(), "echo", "c", "\"x\"").await;
    check(&mut events, "c", "echo", &[Started, Completed]).await;
}

/// Nothing waits for it; it knows how many it has missed, and all the others are in order.
#[tokio::test]
async fn who_does_not_keep_up_is_told_how_many_were_missed() {
    on_both(async |hub| {
        let mut events = hub.subscribe();
        let _worker = hub.worker().register::<echo>().start().await.unwrap();
        let client = hub.client();
        let ids: Vec<_> = (0..3_000).map(|n| format!("e{n}")).collect();
        for ids in ids.chunks(500) {
            let runs = ids.iter().map(async |id| {
                start(&client, "echo", id, "\"x\"").await;
                soon(client.wait_for_completion(id.as_str())).await.unwrap();
            });
            futures_util::future::join_all(runs).await;
        }
        let lagged = soon(events.next()).await.unwrap().unwrap_err();
        assert_eq!(lagged.missed, 6_000 - 4_096);
        let mut lives: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for _ in 0..4_096 {
            let event = next(&mut events).await;
            let life = lives.entry(event.instance_id().clone()).or_default();
            life.push(event.kind());
        }
        for (id, life) in &lives {
            assert!([Started, Completed].ends_with(life), "{id}: {life:?}");
        }
        assert!(events.next().now_or_never().is_none());
        run_one(hub, &mut events).await;
    })
    .await;
}

async fn run_one(hub: &TaskHub, events: &mut LifecycleEvents) {
    start(&hub.client(), "echo", "last", "\"x\"").await;
    check(events, "last", "echo", &[Started, Completed]).await;
}
