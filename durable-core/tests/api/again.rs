//! Continue-as-new: the input, the events and the version of the next execution, and what is left of
//! the one before; events with ids; limits.

use std::time::Duration;

use durable_core::{
    NoError, OrchestrationContext, OrchestrationError, OrchestrationStatus, TaskHub, Worker,
    orchestrator,
};

use super::{Place, on_both, soon, status_when};

async fn start_worker(hub: &TaskHub) -> Worker {
    hub.worker()
        .register::<count_to>()
        .register::<sum>()
        .register::<picks>()
        .register::<grow>()
        .register::<v2::grow>()
        .register::<turns_into>()
        .register::<leaves_a_timer>()
        .register::<waits_for_ever>()
        .register::<collect>()
        .register::<asks_for_much>()
        .start()
        .await
        .unwrap()
}

/// Counts on, one execution a number, without waiting for anything.
#[orchestrator]
async fn count_to(ctx: OrchestrationContext, (n, end): (u32, u32)) -> (u32, u32) {
    if n < end {
        return ctx.continue_as_new::<count_to, _>((n + 1, end)).await;
    }
    (n, ctx.execution_id().generation())
}

#[tokio::test]
async fn each_execution_begins_with_the_input_it_is_given() {
    on_both(async |hub| {
        let _worker = start_worker(hub).await;
        let start = hub.client().start_orchestration::<count_to>((0, 300));
        let instance = start.id("x").await.unwrap();
        assert_eq!(instance.wait_for_completion().await.unwrap(), (300, 300));
        let status = hub.client().status("x").await.unwrap().unwrap();
        assert_eq!(status.input::<(u32, u32)>().unwrap(), Some((300, 300)));
        let left = hub.stats().await.unwrap();
        assert!(left.live_bytes < 4_000, "{left:?}");
    })
    .await;
}

/// Adds up events, one an execution, until it is told zero.
#[orchestrator]
async fn sum(ctx: OrchestrationContext, (so_far, keep): (u64, bool)) -> u64 {
    let n: u64 = ctx.wait_for_external_event("add").await.unwrap();
    if n == 0 {
        return so_far;
    }
    ctx.set_custom_status(&(so_far + n)).unwrap();
    let next = ctx.continue_as_new::<sum, _>((so_far + n, keep));
    next.preserve_events(keep).await
}

#[tokio::test]
async fn events_that_were_not_taken_are_there_for_the_next_execution() {
    let place = Place::new();
    let hub = place.open().await;
    let client = hub.client();
    let start = client.start_orchestration::<sum>((0, true));
    start.id("x").await.unwrap();
    // All of them wait when the worker starts, and more come while it works.
    for n in 1..=700 {
        client.raise_event("x", "add", &n).await.unwrap();
    }
    let running = start_worker(&hub).await;
    for n in 701..=1_000 {
        client.raise_event("x", "add", &n).await.unwrap();
    }
    running.shutdown().await;
    soon(hub.close()).await.unwrap();

    let hub = place.open().await;
    let _worker = start_worker(&hub).await;
    let client = hub.client();
    client.raise_event("x", "add", &0).await.unwrap();
    let instance = client.instance::<sum>("x").unwrap();
    let total = soon(instance.wait_for_completion()).await.unwrap();
    assert_eq!(total, 1_000 * 1_001 / 2);
}

fn shows(sum: u64) -> impl Fn(&OrchestrationStatus) -> bool {
    move |status| status.custom_status::<u64>().unwrap() == Some(sum)
}

#[tokio::test]
async fn events_are_dropped_if_that_is_asked_for() {
    on_both(async |hub| {
        let client = hub.client();
        let start = client.start_orchestration::<sum>((0, false));
        let instance = start.id("x").await.unwrap();
        // Fed in one turn: the first execution takes one, and lets go of none that comes later.
        for n in [1, 2, 3] {
            instance.raise_event("add", &n).await.unwrap();
        }
        let _worker = start_worker(hub).await;
        status_when(&client, "x", shows(6)).await;
        instance.raise_event("add", &0).await.unwrap();
        assert_eq!(instance.wait_for_completion().await.unwrap(), 6);
    })
    .await;
}

/// Takes two of a name, and leaves what is of the other to the next.
#[orchestrator]
async fn picks(ctx: OrchestrationContext, keep: bool) -> Vec<u64> {
    let wait = |name| ctx.wait_for_external_event::<u64>(name);
    if ctx.execution_id().generation() == 0 {
        wait("now").await.unwrap();
        let next = ctx.continue_as_new::<picks, _>(keep);
        return next.preserve_events(keep).await;
    }
    let mut taken = Vec::new();
    while let Ok(n) = wait("later").await {
        taken.push(n);
        if n == 9 {
            break;
        }
    }
    taken
}

#[tokio::test]
async fn what_had_arrived_and_was_not_taken_is_kept_or_dropped() {
    on_both(async |hub| {
        let client = hub.client();
        for (keep, expected) in [(true, vec![1, 2, 9]), (false, vec![9])] {
            let start = client.start_orchestration::<picks>(keep);
            let instance = start.await.unwrap();
            for (name, n) in [("later", 1), ("later", 2), ("now", 0)] {
                instance.raise_event(name, &n).await.unwrap();
            }
            let worker = start_worker(hub).await;
            let id = instance.id().as_str().to_owned();
            let continued = |status: &OrchestrationStatus| status.execution_id().generation() == 1;
            status_when(&client, &id, continued).await;
            instance.raise_event("later", &9).await.unwrap();
            assert_eq!(instance.wait_for_completion().await.unwrap(), expected);
            worker.shutdown().await;
        }
    })
    .await;
}

mod v2 {
    use super::{OrchestrationContext, orchestrator};

    #[orchestrator(name = "grow", version = "2")]
    pub(super) async fn grow(_ctx: OrchestrationContext, n: u32) -> String {
        format!("grown to {n}")
    }
}

#[orchestrator(version = "1")]
async fn grow(ctx: OrchestrationContext, n: u32) -> String {
    ctx.continue_as_new::<v2::grow, _>(n + 1).await
}

/// Cannot become something else.
#[orchestrator]
async fn turns_into(ctx: OrchestrationContext) -> String {
    ctx.continue_as_new::<v2::grow, _>(1).await
}

#[tokio::test]
async fn the_next_execution_may_have_another_version_but_not_another_name() {
    on_both(async |hub| {
        let _worker = start_worker(hub).await;
        let client = hub.client();
        let start = client.start_orchestration::<grow>(1).id("x");
        let grown = start.await.unwrap().wait_for_completion().await.unwrap();
        assert_eq!(grown, "grown to 2");
        let status = client.status("x").await.unwrap().unwrap();
        assert_eq!(status.version(), "2");
        let start = client.start_orchestration::<turns_into>(());
        let failed = start.await.unwrap().wait_for_completion().await;
        assert!(
            failed.as_ref().is_err_and(|error| error
                .to_string()
                .contains("`turns_into` cannot continue as `grow`")),
            "{failed:?}"
        );
    })
    .await;
}

/// What is open at the end of an execution is closed: a timer of an hour does not fire later.
#[orchestrator]
async fn leaves_a_timer(ctx: OrchestrationContext, again: bool) -> u32 {
    if again {
        let _timer = ctx.create_timer(Duration::from_secs(3600)).start();
        let _child = ctx
            .call_sub_orchestrator::<waits_for_ever>(())
            .id("forgotten")
            .start();
        return ctx.continue_as_new::<leaves_a_timer, _>(false).await;
    }
    1
}

#[orchestrator]
async fn waits_for_ever(ctx: OrchestrationContext) {
    ctx.wait_for_external_event::<()>("never").await.unwrap();
}

#[tokio::test]
async fn what_was_begun_ends_with_its_execution() {
    on_both(async |hub| {
        let _worker = start_worker(hub).await;
        let start = hub.client().start_orchestration::<leaves_a_timer>(true);
        assert_eq!(start.await.unwrap().wait_for_completion().await.unwrap(), 1);
        assert!(hub.client().status("forgotten").await.unwrap().is_none());
        let verification = hub.verify().await.unwrap();
        assert!(verification.damages.is_empty(), "{verification:?}");
    })
    .await;
}

/// The data of so many events, in the order of their arrival.
#[orchestrator]
async fn collect(ctx: OrchestrationContext, events: usize) -> Vec<u32> {
    let mut all = Vec::new();
    while all.len() < events {
        all.push(ctx.wait_for_external_event("n").await.unwrap());
    }
    all
}

#[tokio::test]
async fn an_event_that_is_raised_again_under_its_id_is_the_same() {
    let place = Place::new();
    let hub = place.open().await;
    let client = hub.client();
    client
        .start_orchestration::<collect>(3)
        .id("x")
        .await
        .unwrap();
    let raise = async |client: &durable_core::Client, event: &str, n: u32| {
        client.raise_event_once("x", event, "n", &n).await.unwrap();
    };
    // Before there is a worker, while one runs, and after a restart.
    raise(&client, "a", 1).await;
    raise(&client, "a", 100).await;
    let running = start_worker(&hub).await;
    raise(&client, "a", 100).await;
    raise(&client, "b", 2).await;
    running.shutdown().await;
    soon(hub.close()).await.unwrap();

    let hub = place.open().await;
    let _worker = start_worker(&hub).await;
    let client = hub.client();
    raise(&client, "b", 100).await;
    raise(&client, "c", 3).await;
    let instance = client.instance::<collect>("x").unwrap();
    let all = soon(instance.wait_for_completion()).await.unwrap();
    assert_eq!(all, [1, 2, 3]);
}

/// Asks for too much at once.
#[orchestrator]
async fn asks_for_much(ctx: OrchestrationContext, timers: usize) -> usize {
    let timers: Vec<_> = (0..timers)
        .map(|_| ctx.create_timer(Duration::from_secs(60)).start())
        .collect();
    timers.len()
}

#[tokio::test]
async fn there_is_a_limit_on_what_is_outstanding_at_once() {
    on_both(async |hub| {
        let _worker = start_worker(hub).await;
        let client = hub.client();
        let start = client.start_orchestration::<asks_for_much>(100_000);
        let begun = start.await.unwrap().wait_for_completion().await;
        assert_eq!(begun.unwrap(), 100_000);
        let start = client.start_orchestration::<asks_for_much>(100_001);
        let failed: Result<usize, OrchestrationError<NoError>> =
            start.await.unwrap().wait_for_completion().await;
        assert!(
            matches!(failed, Err(OrchestrationError::LimitExceeded(_))),
            "{failed:?}"
        );
    })
    .await;
}
