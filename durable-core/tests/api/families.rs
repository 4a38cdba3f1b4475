//! Purging an instance with its children, and theirs.

use std::time::Duration;

use durable_core::{
    Client, NoError, OrchestrationContext, PurgeError, RetryPolicy, RuntimeStatus,
    SubOrchestrationError, TaskHub, Worker, orchestrator,
};
use futures_util::future::join_all;

use super::{Place, echo, listen, on_both, parent_of, soon, status_when};

#[orchestrator]
async fn fails(_ctx: OrchestrationContext) -> Result<(), String> {
    Err("no".to_owned())
}

/// Has children of all kinds: more than are found at once, one that is tried three times, and one that
/// is detached.
#[orchestrator]
async fn many(ctx: OrchestrationContext, count: u32) -> usize {
    let policy = RetryPolicy::fixed(3, Duration::ZERO);
    let tried = ctx.call_sub_orchestrator::<fails>(()).retry(policy);
    tried.await.unwrap_err();
    let alone = ctx.call_sub_orchestrator::<echo>("alone".to_owned());
    alone.id("alone").detach().unwrap();
    let calls = (0..count).map(|n| ctx.call_sub_orchestrator::<echo>(n.to_string()));
    join_all(calls).await.len()
}

#[orchestrator]
async fn grandparent(
    ctx: OrchestrationContext,
    count: u32,
) -> Result<usize, SubOrchestrationError<NoError>> {
    ctx.call_sub_orchestrator::<many>(count).id("parent").await
}

/// Has one child in each execution.
#[orchestrator]
async fn eternal(
    ctx: OrchestrationContext,
    rounds: u32,
) -> Result<(), SubOrchestrationError<NoError>> {
    let id = format!("of-round-{rounds}");
    ctx.call_sub_orchestrator::<echo>(id.clone())
        .id(id.as_str())
        .await?;
    match rounds {
        0 => Ok(()),
        rounds => ctx.continue_as_new::<eternal, _>(rounds - 1).await,
    }
}

async fn start_worker(hub: &TaskHub) -> Worker {
    let worker = hub.worker().register::<fails>().register::<many>();
    let worker = worker.register::<grandparent>().register::<eternal>();
    let worker = worker.register::<parent_of>().register::<echo>();
    worker.register::<listen>().start().await.unwrap()
}

async fn total(hub: &TaskHub) -> u64 {
    hub.stats().await.unwrap().total()
}

async fn run(client: &Client, name: &str, input: &str) {
    client.start_by_name(name, input).id(name).await.unwrap();
    let status = soon(client.wait_for_completion(name)).await.unwrap();
    assert_eq!(status.unwrap().runtime_status(), RuntimeStatus::Completed);
}

#[tokio::test]
async fn a_family_is_purged_after_a_restart() {
    let place = Place::new();
    let hub = place.open().await;
    let running = start_worker(&hub).await;
    run(&hub.client(), "grandparent", "150").await;
    soon(hub.client().wait_for_completion("alone"))
        .await
        .unwrap();
    soon(running.shutdown()).await;
    soon(hub.close()).await.unwrap();

    let hub = place.open().await;
    assert_eq!(total(&hub).await, 2 + 150 + 3 + 1);
    let purged = soon(hub.client().purge_recursive("grandparent")).await;
    assert_eq!(purged.unwrap(), 2 + 150 + 3);
    assert_eq!(total(&hub).await, 1);
    assert!(hub.client().status("alone").await.unwrap().is_some());
    let again = hub.client().purge_recursive("grandparent").await;
    assert!(
        matches!(again, Err(PurgeError::NotFound { .. })),
        "{again:?}"
    );
    let found = soon(hub.verify()).await.unwrap();
    assert!(found.is_sound(), "{found:?}");
    hub.close().await.unwrap();
}

#[tokio::test]
async fn what_is_cut_off_is_begun_again() {
    on_both(async |hub| {
        let _worker = start_worker(hub).await;
        let client = hub.client();
        run(&client, "grandparent", "120").await;
        soon(client.wait_for_completion("alone")).await.unwrap();
        // Whoever asks gives up, again and again.
        let mut cut = 0;
        while tokio::time::timeout(
            Duration::from_millis(cut),
            client.purge_recursive("grandparent"),
        )
        .await
        .is_err()
        {
            cut = 2 * cut + 1;
        }
        assert!(cut > 0);
        assert_eq!(total(hub).await, 1);
    })
    .await;
}

#[tokio::test]
async fn children_of_every_execution_are_found_and_no_others() {
    on_both(async |hub| {
        let _worker = start_worker(hub).await;
        let client = hub.client();
        run(&client, "eternal", "5").await;
        run(&client, "echo", "\"of-round-9\"").await;
        assert_eq!(total(hub).await, 1 + 6 + 1);
        // One was purged before, and its id is another's.
        client.purge("of-round-3").await.unwrap();
        let other = client.start_orchestration::<echo>(String::new());
        let other = other.id("of-round-3").await.unwrap();
        soon(other.wait_for_completion()).await.unwrap();
        assert_eq!(
            soon(client.purge_recursive("eternal")).await.unwrap(),
            1 + 5
        );
        assert!(other.status().await.unwrap().is_some());
        assert_eq!(total(hub).await, 2);
    })
    .await;
}

#[tokio::test]
async fn while_a_child_goes_on_nothing_is_purged() {
    on_both(async |hub| {
        let _worker = start_worker(hub).await;
        let client = hub.client();
        let refused = client.purge_recursive("parent_of").await;
        assert!(matches!(refused, Err(PurgeError::NotFound { .. })), "{refused:?}");
        client.start_by_name("parent_of", "\"kid\"").id("parent_of").await.unwrap();
        status_when(&client, "kid", |status| {
            status.runtime_status() == RuntimeStatus::Running
        })
        .await;
        let refused = client.purge_recursive("parent_of").await;
        assert!(
            matches!(&refused, Err(PurgeError::NotEnded { id, .. }) if id.as_str() == "parent_of"),
            "{refused:?}"
        );
        client.terminate("parent_of", "enough").await.unwrap();
        let refused = client.purge_recursive("parent_of").await;
        assert!(
            matches!(&refused, Err(PurgeError::NotEnded { id, status: RuntimeStatus::Running }) if id.as_str() == "kid"),
            "{refused:?}"
        );
        assert_eq!(total(hub).await, 2);
        client.terminate("kid", "enough").await.unwrap();
        assert_eq!(client.purge_recursive("parent_of").await.unwrap(), 2);
        assert_eq!(total(hub).await, 0);
    })
    .await;
}
