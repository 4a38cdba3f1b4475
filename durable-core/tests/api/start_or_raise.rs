//! One command that raises an event, or starts who takes it.

use std::time::Duration;

use durable_core::{
    Client, OrchestrationContext, RuntimeStatus, StartError, TaskHub, TaskHubOptions,
    WorkerBuilder, orchestrator,
};
use futures_util::future::join_all;

use super::{Place, on_both, over_restarts, soon};

/// Takes what is put into it until there is so much.
#[orchestrator]
async fn cart(ctx: OrchestrationContext, size: usize) -> Vec<u32> {
    let mut items = Vec::new();
    while items.len() < size {
        items.push(ctx.wait_for_external_event::<u32>("Put").await.unwrap());
    }
    items
}

async fn put(client: &Client, id: &str, size: usize, item: u32) -> Result<(), StartError> {
    let start = client.start_orchestration::<cart>(size).id(id);
    start.or_raise_event("put", &item).await.map(drop)
}

async fn check_items(hub: &TaskHub, id: &str, expected: &[u32]) {
    let instance = hub.client().instance::<cart>(id).unwrap();
    let mut items = soon(instance.wait_for_completion()).await.unwrap();
    items.sort_unstable();
    assert_eq!(items, expected);
}

/// Whoever is first opens the cart, and nothing is lost or there twice, whether a worker is there.
#[tokio::test]
async fn of_many_at_once_one_starts_it_and_all_are_heard() {
    on_both(async |hub| {
        let client = hub.client();
        let items: Vec<u32> = (0..100).collect();
        for (round, with_worker) in [false, true, true].into_iter().enumerate() {
            let running = async || hub.worker().register::<cart>().start().await.unwrap();
            let worker = if with_worker {
                Some(running().await)
            } else {
                None
            };
            let id = format!("cart-{round}");
            let puts = items.iter().map(|item| put(&client, &id, 100, *item));
            for put in join_all(puts).await {
                put.unwrap();
            }
            let worker = match worker {
                Some(worker) => worker,
                None => running().await,
            };
            check_items(hub, &id, &items).await;
            worker.shutdown().await;
        }
        assert_eq!(hub.stats().await.unwrap().total(), 3);
    })
    .await;
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    over_restarts(
        TaskHubOptions::default(),
        WorkerBuilder::register::<cart>,
        async |mut site| {
            for item in 0..4 {
                let client = site.client();
                // Raised again under its id it is the same.
                for _ in 0..2 {
                    let start = client.start_by_name("cart", "5").id("c");
                    let event = format!("delivery {item}");
                    start
                        .or_raise_event_once(&event, "Put", &item)
                        .await
                        .unwrap();
                }
                drop(client);
                site = site.restart().await;
            }
            put(&site.client(), "c", 5, 4).await.unwrap();
            check_items(&site.hub, "c", &[0, 1, 2, 3, 4]).await;
            site
        },
    )
    .await;
}

/// A start that was put off has its event from the beginning.
#[tokio::test]
async fn it_may_begin_later() {
    let place = Place::new();
    let hub = place.open().await;
    let start = hub.client().start_orchestration::<cart>(2).id("c");
    let start = start
        .or_raise_event("Put", &1)
        .start_after(Duration::from_millis(200));
    start.await.unwrap();
    put(&hub.client(), "c", 2, 2).await.unwrap();
    let status = hub.client().status("c").await.unwrap().unwrap();
    assert_eq!(status.runtime_status(), RuntimeStatus::Pending);
    drop(hub);
    let hub = place.open().await;
    let _worker = hub.worker().register::<cart>().start().await.unwrap();
    let instance = hub.client().instance::<cart>("c").unwrap();
    assert_eq!(soon(instance.wait_for_completion()).await.unwrap(), [1, 2]);
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_and_changes_nothing() {
    on_both(async |hub| {
        let _worker = hub.worker().register::<cart>().start().await.unwrap();
        let client = hub.client();
        put(&client, "ended", 1, 7).await.unwrap();
        check_items(hub, "ended", &[7]).await;
        put(&client, "terminated", 2, 7).await.unwrap();
        client.terminate("terminated", "enough").await.unwrap();
        for (id, expected) in [
            ("ended", RuntimeStatus::Completed),
            ("terminated", RuntimeStatus::Terminated),
        ] {
            let start = || client.start_orchestration::<cart>(1).id(id);
            for refused in [
                put(&client, id, 1, 8).await,
                start().use_existing().or_raise_event("Put", &8).await.map(drop),
            ] {
                assert!(
                    matches!(&refused, Err(StartError::AlreadyExists { status, .. }) if *status == expected),
                    "{refused:?}"
                );
            }
            // Without an event it is taken as it is.
            start().use_existing().await.unwrap();
            client.start_by_name("cart", "1").id(id).use_existing().await.unwrap();
        }
        let start = || client.start_orchestration::<cart>(1).id("new");
        for name in ["", &"x".repeat(257)] {
            let refused = start().or_raise_event(name, &1).await;
            assert!(matches!(refused, Err(StartError::InvalidName)), "{refused:?}");
            let refused = start().or_raise_event_once(name, "Put", &1).await;
            assert!(matches!(refused, Err(StartError::InvalidName)), "{refused:?}");
        }
        let no_json = std::collections::BTreeMap::from([((1, 2), 3)]);
        let refused = start().or_raise_event("Put", &no_json).await;
        assert!(matches!(refused, Err(StartError::Data { .. })), "{refused:?}");
        let large = "x".repeat(3 << 20);
        let refused = start().or_raise_event("Put", &large).await;
        assert!(matches!(refused, Err(StartError::TooLarge { .. })), "{refused:?}");
        assert!(client.status("new").await.unwrap().is_none());
    })
    .await;
}
