//! What makes replay come out as the first time, and what finds code that does not.

#![expect(
    clippy::disallowed_types,
    reason = "what must not be used is used here, to be found"
)]

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, SystemTime};

use durable_core::{
    ActivityError, NoError, OrchestrationContext, ProblemKind, TaskHub, orchestrator,
};
use futures_util::future::join_all;

use super::{Place, Steps, echo, on_both, soon, status_when, step, worker};

/// A helper that no attribute sees: the order of the keys is another one in each map.
async fn pay_in_any_order(ctx: OrchestrationContext, payees: u32) -> usize {
    let payees: HashMap<u32, String> = (0..payees).map(|n| (n, format!("payee {n}"))).collect();
    let calls = payees
        .into_values()
        .map(|payee| ctx.call_activity::<step>(payee));
    join_all(calls).await.len()
}

#[orchestrator]
async fn payday(ctx: OrchestrationContext, payees: u32) -> usize {
    pay_in_any_order(ctx, payees).await
}

#[tokio::test]
async fn calls_in_the_order_of_a_hash_map_are_found_in_the_turn_that_makes_them() {
    let place = Place::new();
    let options = TaskHub::options().shadow_execution(true);
    let in_memory = options.clone().open_in_memory().await.unwrap();
    for hub in [in_memory, place.open_with(options).await] {
        let (steps, mut begun) = Steps::free();
        let worker = worker(&hub, &steps).register::<payday>();
        let worker = worker.start().await.unwrap();
        let client = hub.client();
        let start = client.start_orchestration::<payday>(50).id("x");
        start.await.unwrap();
        let status = status_when(&client, "x", |status| status.problem().is_some()).await;
        let problem = status.problem().unwrap();
        assert_eq!(problem.kind(), ProblemKind::Nondeterminism);
        for text in ["payday", "payee", "determinism.rs:", "HashMap", "BTreeMap"] {
            assert!(problem.report().contains(text), "{text}: {problem:?}");
        }
        let start = client.start_orchestration::<echo>("other".to_owned());
        let other = start.await.unwrap();
        assert_eq!(soon(other.wait_for_completion()).await.unwrap(), "other");
        worker.shutdown().await;
        assert!(begun.try_recv().is_err(), "nobody was paid");
        hub.close().await.unwrap();
    }
}

#[tokio::test]
async fn without_a_second_copy_such_code_runs() {
    let options = TaskHub::options().shadow_execution(false);
    let hub = options.open_in_memory().await.unwrap();
    let worker = worker(&hub, &Steps::free().0).register::<payday>();
    let _worker = worker.start().await.unwrap();
    let start = hub.client().start_orchestration::<payday>(50);
    let instance = start.await.unwrap();
    assert_eq!(soon(instance.wait_for_completion()).await.unwrap(), 50);
}

/// All that is drawn from the context, before and after it was waited for something.
type Drawn = Vec<(SystemTime, String, u64)>;

/// Draws before each wait, and gives what it saw when it ends.
#[orchestrator]
async fn draws(ctx: OrchestrationContext) -> Result<Drawn, ActivityError<NoError>> {
    let mut drawn = Drawn::new();
    let draw = || (ctx.now(), ctx.new_uuid().to_string(), ctx.random_u64());
    drawn.push(draw());
    // Clients see what was drawn the first time.
    ctx.set_custom_status(&drawn).unwrap();
    ctx.call_activity::<step>("a".to_owned()).await?;
    drawn.push(draw());
    ctx.create_timer(Duration::from_millis(2)).await;
    drawn.push(draw());
    let () = ctx.wait_for_external_event("go").await.unwrap();
    drawn.push(draw());
    Ok(drawn)
}

#[tokio::test]
async fn time_ids_and_numbers_are_the_same_after_a_restart() {
    let place = Place::new();
    let mut first = None;
    for life in 0..3 {
        let hub = place.open().await;
        let (steps, mut begun) = Steps::held();
        let running = worker(&hub, &steps).register::<draws>();
        let running = running.start().await.unwrap();
        let client = hub.client();
        if life == 0 {
            let start = client.start_orchestration::<draws>(());
            start.id("x").await.unwrap();
        }
        assert_eq!(soon(begun.recv()).await.unwrap(), "a");
        let status = client.status("x").await.unwrap().unwrap();
        let drawn: Drawn = status.custom_status().unwrap().unwrap();
        let first = first.get_or_insert_with(|| drawn.clone());
        assert_eq!(&drawn, first);
        if life == 2 {
            steps.end(1);
            client.raise_event("x", "go", &()).await.unwrap();
            let instance = client.instance::<draws>("x").unwrap();
            let drawn = soon(instance.wait_for_completion()).await.unwrap();
            assert_eq!(drawn[0], first[0]);
            assert!(drawn.is_sorted_by_key(|(now, ..)| *now), "{drawn:?}");
            assert!(drawn[2].0 >= drawn[1].0 + Duration::from_millis(2));
            let ids: BTreeSet<_> = drawn.iter().map(|(_, id, _)| id).collect();
            let numbers: BTreeSet<_> = drawn.iter().map(|(.., number)| number).collect();
            assert_eq!((ids.len(), numbers.len()), (4, 4), "{drawn:?}");
        }
        drop(client);
        drop(running);
        hub.close().await.unwrap();
    }
}

#[tokio::test]
async fn no_two_instances_draw_the_same() {
    on_both(async |hub| {
        let worker = worker(hub, &Steps::free().0).register::<draws>();
        let _worker = worker.start().await.unwrap();
        let mut drawn = BTreeSet::new();
        for n in 0..20 {
            let start = hub.client().start_orchestration::<draws>(());
            let instance = start.id(format!("i{n}")).await.unwrap();
            instance.raise_event("go", &()).await.unwrap();
            for (_, id, number) in instance.wait_for_completion().await.unwrap() {
                drawn.insert(id);
                drawn.insert(number.to_string());
            }
        }
        assert_eq!(drawn.len(), 20 * 4 * 2);
    })
    .await;
}

#[tokio::test]
async fn what_is_logged_once_is_told_from_what_is_replayed() {
    use std::sync::Mutex;
    static LOGGED: Mutex<Vec<String>> = Mutex::new(Vec::new());

    /// Logs as an orchestrator should, from helpers as well.
    fn log(ctx: OrchestrationContext, text: &str) {
        if !ctx.is_replaying() {
            LOGGED.lock().unwrap().push(text.to_owned());
        }
    }

    #[orchestrator]
    async fn logs(ctx: OrchestrationContext) {
        for text in ["one", "two", "three"] {
            log(ctx, text);
            let () = ctx.wait_for_external_event("go").await.unwrap();
        }
        log(ctx, "end");
    }

    let place = Place::new();
    for life in 0..3 {
        let hub = place.open().await;
        let running = hub.worker().register::<logs>().start().await.unwrap();
        let client = hub.client();
        if life == 0 {
            client
                .start_orchestration::<logs>(())
                .id("x")
                .await
                .unwrap();
        }
        client.raise_event("x", "go", &()).await.unwrap();
        if life == 2 {
            soon(client.wait_for_completion("x")).await.unwrap();
        }
        drop(running);
        hub.close().await.unwrap();
    }
    assert_eq!(
        LOGGED.lock().unwrap().clone(),
        ["one", "two", "three", "end"]
    );
}
