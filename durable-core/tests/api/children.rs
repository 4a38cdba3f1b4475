//! Sub-orchestrations: begun, ended, retried, terminated, nested, detached; also across a restart.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use durable_core::{
    ActivityError, Client, OrchestrationContext, OrchestrationError, RetryPolicy, RuntimeStatus,
    SubOrchestrationError, TaskHub, Worker, WorkerBuilder, activity, orchestrator,
};
use futures_util::future::{join_all, try_join_all};
use serde::{Deserialize, Serialize};

use super::{Place, listen, on_both, over_restarts, parent_of, soon, status_when};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("no {0}")]
struct Refused(u32);

/// Doubles; refuses what is odd.
#[orchestrator]
async fn double(_ctx: OrchestrationContext, n: u32) -> Result<u32, Refused> {
    if n % 2 == 1 {
        Err(Refused(n))
    } else {
        Ok(2 * n)
    }
}

#[orchestrator]
async fn double_all(
    ctx: OrchestrationContext,
    numbers: Vec<u32>,
) -> Result<u32, SubOrchestrationError<Refused>> {
    let calls = numbers
        .into_iter()
        .map(|n| ctx.call_sub_orchestrator::<double>(n));
    Ok(try_join_all(calls).await?.into_iter().sum())
}

async fn start_worker(hub: &TaskHub) -> Worker {
    hub.worker()
        .register::<double>()
        .register::<double_all>()
        .register::<parent_of>()
        .register::<listen>()
        .register::<try_it>()
        .register::<tries>()
        .register::<tries_again>()
        .register::<loses_interest>()
        .register::<detaches>()
        .register::<whose>()
        .register::<asks_whose>()
        .register::<dig>()
        .register::<dig_on>()
        .register::<adds_up>()
        .register::<tells>()
        .start()
        .await
        .unwrap()
}

#[tokio::test]
async fn the_results_of_children_come_back() {
    on_both(async |hub| {
        let _worker = start_worker(hub).await;
        let numbers = (0..500).map(|n| 2 * n).collect();
        let start = hub.client().start_orchestration::<double_all>(numbers);
        let sum = start.await.unwrap().wait_for_completion().await.unwrap();
        assert_eq!(sum, 2 * 2 * (499 * 500 / 2));
    })
    .await;
}

#[tokio::test]
async fn a_child_fails_with_its_own_error() {
    on_both(async |hub| {
        let _worker = start_worker(hub).await;
        let start = hub.client().start_orchestration::<double_all>(vec![2, 3]);
        let failed = start.await.unwrap().wait_for_completion().await;
        match failed {
            Err(OrchestrationError::Application(SubOrchestrationError::Application(error))) => {
                assert_eq!(error, Refused(3));
            }
            other => panic!("{other:?}"),
        }
    })
    .await;
}

#[tokio::test]
async fn parent_and_child_sleep_through_a_restart() {
    let place = Place::new();
    let hub = place.open().await;
    let running = start_worker(&hub).await;
    let start = hub
        .client()
        .start_orchestration::<parent_of>("kid".to_owned());
    start.id("parent").await.unwrap();
    let client = hub.client();
    let runs = status_when(&client, "kid", |status| {
        status.runtime_status() == RuntimeStatus::Running
    });
    runs.await;
    running.shutdown().await;
    soon(hub.close()).await.unwrap();

    // The child ends while nobody has its parent in memory.
    let hub = place.open().await;
    let _worker = start_worker(&hub).await;
    hub.client().raise_event("kid", "go", "now").await.unwrap();
    let parent = hub.client().instance::<parent_of>("parent").unwrap();
    assert_eq!(soon(parent.wait_for_completion()).await.unwrap(), "now");
}

#[tokio::test]
async fn an_id_that_is_taken_is_refused() {
    on_both(async |hub| {
        let _worker = start_worker(hub).await;
        let client = hub.client();
        let there = client.start_orchestration::<listen>("go".to_owned());
        there.id("taken").await.unwrap();
        let start = client.start_orchestration::<parent_of>("taken".to_owned());
        let failed = start.await.unwrap().wait_for_completion().await;
        assert!(
            matches!(
                failed,
                Err(OrchestrationError::Application(
                    SubOrchestrationError::AlreadyExists(_)
                ))
            ),
            "{failed:?}"
        );
        let start = client.start_orchestration::<parent_of>("a\nb".to_owned());
        let failed = start.await.unwrap().wait_for_completion().await;
        assert!(
            matches!(
                failed,
                Err(OrchestrationError::Application(
                    SubOrchestrationError::Data(_)
                ))
            ),
            "{failed:?}"
        );
    })
    .await;
}

static TRIED: AtomicU64 = AtomicU64::new(0);

#[activity]
async fn try_it() -> Result<u64, Refused> {
    match TRIED.fetch_add(1, Ordering::Relaxed) % 3 {
        2 => Ok(7),
        n => Err(Refused(u32::try_from(n).unwrap())),
    }
}

#[orchestrator]
async fn tries(ctx: OrchestrationContext) -> Result<u64, ActivityError<Refused>> {
    ctx.call_activity::<try_it>(()).await
}

#[orchestrator]
async fn tries_again(
    ctx: OrchestrationContext,
    id: Option<String>,
) -> Result<u64, SubOrchestrationError<ActivityError<Refused>>> {
    let policy = RetryPolicy::fixed(3, Duration::from_millis(1));
    let mut call = ctx.call_sub_orchestrator::<tries>(()).retry(policy);
    if let Some(id) = id {
        call = call.id(id);
    }
    call.await
}

#[tokio::test]
async fn a_child_that_failed_is_begun_again_as_another_instance() {
    on_both(async |hub| {
        let _worker = start_worker(hub).await;
        let client = hub.client();
        for id in [None, Some("attempt".to_owned())] {
            let start = client.start_orchestration::<tries_again>(id.clone());
            let seven = start.await.unwrap().wait_for_completion().await;
            assert_eq!(seven.unwrap(), 7, "{id:?}");
        }
        for (id, expected) in [
            ("attempt", RuntimeStatus::Failed),
            ("attempt:2", RuntimeStatus::Failed),
            ("attempt:3", RuntimeStatus::Completed),
        ] {
            let status = client.status(id).await.unwrap().unwrap();
            assert_eq!(status.runtime_status(), expected, "{id}");
        }
    })
    .await;
}

/// Does what it is told: returns nothing, panics, or fails with a number.
#[orchestrator]
async fn obeys(ctx: OrchestrationContext) -> Result<(), Refused> {
    match ctx.wait_for_external_event("do").await.unwrap() {
        0 => Ok(()),
        99 => panic!("as told"),
        number => Err(Refused(number)),
    }
}

/// Begins it again if its number is small, and cannot stand 13.
#[orchestrator]
async fn insists(ctx: OrchestrationContext) -> Result<(), SubOrchestrationError<Refused>> {
    ctx.call_sub_orchestrator::<obeys>(())
        .id("kid")
        .retry(RetryPolicy::fixed(5, Duration::ZERO))
        .retry_if(|Refused(number)| {
            assert_ne!(*number, 13, "unlucky");
            *number < 10
        })
        .await
}

fn only_child(worker: WorkerBuilder) -> WorkerBuilder {
    worker.register::<obeys>()
}

fn insisting(worker: WorkerBuilder) -> WorkerBuilder {
    only_child(worker).register::<insists>()
}

#[tokio::test]
async fn a_child_that_failed_is_begun_again_if_its_parent_says_so() {
    use SubOrchestrationError::Application;
    let failed = OrchestrationError::Application;
    // The attempts, and whether each ends while its parent's code is not there to be asked.
    let rows = [
        (vec![(1, false), (0, false)], Ok(())),
        (
            vec![(1, false), (9, true), (10, false)],
            Err(failed(Application(Refused(10)))),
        ),
        (
            vec![(1, true), (2, false), (11, true)],
            Err(failed(Application(Refused(11)))),
        ),
        (vec![(13, true)], Err(failed(Application(Refused(13))))),
        // It is asked about its own error only, and not beyond the policy.
        (vec![(99, false), (99, true), (0, true)], Ok(())),
        (vec![(1, true); 5], Err(failed(Application(Refused(1))))),
    ];
    for (attempts, expected) in rows {
        over_restarts(TaskHub::options(), insisting, async |mut site| {
            let start = site.client().start_orchestration::<insists>(());
            start.id("parent").await.unwrap();
            for (number, (data, is_alone)) in (1..).zip(&attempts) {
                let id = if number == 1 {
                    "kid".to_owned()
                } else {
                    format!("kid:{number}")
                };
                status_when(&site.client(), &id, |_| true).await;
                if *is_alone {
                    site = site.restart_with(only_child).await;
                }
                site.client().raise_event(&id, "do", data).await.unwrap();
                soon(site.client().wait_for_completion(&id)).await.unwrap();
                if *is_alone {
                    site = site.restart_with(insisting).await;
                }
            }
            let parent = site.client().instance::<insists>("parent").unwrap();
            let ended = soon(parent.wait_for_completion()).await;
            assert_eq!(
                format!("{ended:?}"),
                format!("{expected:?}"),
                "{attempts:?}"
            );
            let more = format!("kid:{}", attempts.len() + 1);
            assert_eq!(site.client().status(&more).await.unwrap(), None);
            site
        })
        .await;
    }
}

#[tokio::test]
async fn termination_reaches_children_when_it_is_asked_to() {
    on_both(async |hub| {
        let _worker = start_worker(hub).await;
        let client = hub.client();
        for recursive in [true, false] {
            let (parent, child) = (format!("parent {recursive}"), format!("child {recursive}"));
            let start = client.start_orchestration::<parent_of>(child.clone());
            start.id(parent.as_str()).await.unwrap();
            let runs = status_when(&client, &child, |status| {
                status.runtime_status() == RuntimeStatus::Running
            });
            runs.await;
            if recursive {
                client
                    .terminate_recursive(parent.as_str(), "enough")
                    .await
                    .unwrap();
                let ended = client.wait_for_completion(child.as_str()).await.unwrap();
                let status = ended.unwrap().runtime_status();
                assert_eq!(status, RuntimeStatus::Terminated);
            } else {
                client.terminate(parent.as_str(), "enough").await.unwrap();
                client
                    .raise_event(child.as_str(), "go", "on")
                    .await
                    .unwrap();
                let ended = client.wait_for_completion(child.as_str()).await.unwrap();
                let status = ended.unwrap().runtime_status();
                assert_eq!(status, RuntimeStatus::Completed);
            }
        }
    })
    .await;
}

/// Has children that nobody waits for any more: one is dropped, one is open at the end.
#[orchestrator]
async fn loses_interest(ctx: OrchestrationContext, names: Vec<String>) -> bool {
    let mut calls = names.iter().map(|name| {
        let call = ctx.call_sub_orchestrator::<listen>("go".to_owned());
        call.id(name.as_str()).start()
    });
    let (dropped, _open) = (calls.next(), calls.next());
    ctx.wait_for_external_event::<()>("drop").await.unwrap();
    drop(dropped);
    ctx.wait_for_external_event::<()>("end").await.unwrap();
    true
}

#[tokio::test]
async fn a_child_ends_with_the_interest_in_it() {
    on_both(async |hub| {
        let _worker = start_worker(hub).await;
        let client = hub.client();
        let names = ["dropped".to_owned(), "open".to_owned()];
        let start = client.start_orchestration::<loses_interest>(names.to_vec());
        let parent = start.id("parent").await.unwrap();
        let is_there = |id| status_when(&client, id, |_| true);
        is_there("dropped").await;
        is_there("open").await;
        for (event, child) in [("drop", "dropped"), ("end", "open")] {
            let running = client.status(child).await.unwrap().unwrap();
            assert!(!running.runtime_status().is_terminal());
            parent.raise_event(event, &()).await.unwrap();
            let ended = soon(client.wait_for_completion(child)).await.unwrap();
            assert_eq!(ended.unwrap().runtime_status(), RuntimeStatus::Terminated);
        }
        assert!(parent.wait_for_completion().await.unwrap());
    })
    .await;
}

#[orchestrator]
async fn detaches(ctx: OrchestrationContext, id: String) -> Option<String> {
    let call = ctx.call_sub_orchestrator::<whose>(());
    let id = call.id(id.as_str()).detach();
    id.ok().map(|id| id.to_string())
}

/// Whose child it is.
#[orchestrator]
async fn whose(ctx: OrchestrationContext) -> Option<String> {
    ctx.parent().map(|parent| parent.id.to_string())
}

#[orchestrator]
async fn asks_whose(ctx: OrchestrationContext) -> Option<Option<String>> {
    ctx.call_sub_orchestrator::<whose>(()).await.ok()
}

#[tokio::test]
async fn who_is_detached_has_no_parent_and_a_child_knows_its_own() {
    on_both(async |hub| {
        let _worker = start_worker(hub).await;
        let client = hub.client();
        let start = client.start_orchestration::<detaches>("alone".to_owned());
        let id = start.await.unwrap().wait_for_completion().await.unwrap();
        assert_eq!(id.as_deref(), Some("alone"));
        let alone = client.instance::<whose>("alone").unwrap();
        assert_eq!(soon(alone.wait_for_completion()).await.unwrap(), None);
        let start = client.start_orchestration::<asks_whose>(()).id("asks");
        let parent = start.await.unwrap().wait_for_completion().await.unwrap();
        assert_eq!(parent, Some(Some("asks".to_owned())));
    })
    .await;
}

/// So many levels below this one.
#[orchestrator]
async fn dig(ctx: OrchestrationContext, levels: u32) -> Result<u32, SubOrchestrationError<String>> {
    if levels == 0 {
        return Ok(0);
    }
    let below = ctx.call_sub_orchestrator::<dig_on>(levels - 1).await;
    Ok(below? + 1)
}

/// An orchestrator cannot name itself while its own future is being made.
#[orchestrator]
async fn dig_on(ctx: OrchestrationContext, levels: u32) -> Result<u32, String> {
    if levels == 0 {
        return Ok(0);
    }
    let below = ctx.call_sub_orchestrator::<dig_on>(levels - 1).await;
    Ok(below.map_err(|error| error.to_string())? + 1)
}

async fn dug(client: &Client, levels: u32) -> Result<u32, String> {
    let start = client.start_orchestration::<dig>(levels);
    let dug = soon(start.await.unwrap().wait_for_completion()).await;
    dug.map_err(|error| error.to_string())
}

#[tokio::test]
async fn children_nest_a_thousand_deep_and_no_deeper() {
    on_both(async |hub| {
        let _worker = start_worker(hub).await;
        assert_eq!(dug(&hub.client(), 1_000).await, Ok(1_000));
        let refused = dug(&hub.client(), 1_001).await.unwrap_err();
        assert!(refused.contains("1001 levels deep"), "{refused}");
    })
    .await;
}

/// A counter that is told by others.
#[orchestrator]
async fn adds_up(ctx: OrchestrationContext, events: u32) -> u32 {
    let mut sum = 0;
    for _ in 0..events {
        sum += ctx.wait_for_external_event::<u32>("add").await.unwrap();
    }
    sum
}

#[orchestrator]
async fn tells(ctx: OrchestrationContext, numbers: Vec<u32>) -> bool {
    for n in numbers {
        ctx.raise_event("sum", "Add", &n).unwrap();
    }
    // Nobody is there, and the id is none.
    ctx.raise_event("nobody", "Add", &1).unwrap();
    ctx.raise_event("a\nb", "Add", &1).is_err() && ctx.raise_event("sum", "", &1).is_err()
}

#[tokio::test]
async fn orchestrators_raise_events_at_others() {
    on_both(async |hub| {
        let _worker = start_worker(hub).await;
        let client = hub.client();
        let sum = client.start_orchestration::<adds_up>(600).id("sum").await;
        let tellers = (0..3).map(|_| client.start_orchestration::<tells>((0..200).collect()));
        let tellers = join_all(tellers.map(std::future::IntoFuture::into_future)).await;
        for teller in tellers {
            assert!(teller.unwrap().wait_for_completion().await.unwrap());
        }
        let sum = soon(sum.unwrap().wait_for_completion()).await.unwrap();
        assert_eq!(sum, 3 * (199 * 200 / 2));
    })
    .await;
}

#[tokio::test]
async fn an_event_for_one_that_sleeps_on_disk_arrives() {
    let place = Place::new();
    let hub = place.open().await;
    let running = start_worker(&hub).await;
    let client = hub.client();
    client
        .start_orchestration::<adds_up>(2)
        .id("sum")
        .await
        .unwrap();
    client.raise_event("sum", "add", &1).await.unwrap();
    running.shutdown().await;
    soon(hub.close()).await.unwrap();

    let hub = place.open().await;
    let _worker = start_worker(&hub).await;
    let client = hub.client();
    let start = client.start_orchestration::<tells>(vec![41]);
    start.await.unwrap().wait_for_completion().await.unwrap();
    let sum = client.instance::<adds_up>("sum").unwrap();
    assert_eq!(soon(sum.wait_for_completion()).await.unwrap(), 42);
}
