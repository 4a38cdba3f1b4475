//! What survives closing the hub, dropping it, and stopping the worker: everything.

use std::collections::{BTreeMap, BTreeSet};
use std::future::IntoFuture;
use std::sync::Mutex;
use std::time::Duration;

use durable_core::{
    ActivityContext, ActivityError, Client, NoError, OrchestrationContext, RetryPolicy,
    RuntimeStatus, State, TaskHub, activity, orchestrator,
};

use tokio::sync::mpsc::{self, UnboundedSender};

use super::{Place, Steps, chain, echo, listen, names, nap, soon, status_when, worker};

/// How a process ends, as far as a test in one process can have it.
#[derive(Clone, Copy, Debug)]
enum End {
    /// Worker shut down, hub closed.
    Closed,
    /// Everything dropped, as when `main` returns early.
    Dropped,
}

const ENDS: [End; 2] = [End::Closed, End::Dropped];

async fn end(how: End, hub: TaskHub, worker: Option<durable_core::Worker>) {
    match how {
        End::Closed => {
            drop(worker);
            soon(hub.close()).await.unwrap();
        }
        End::Dropped => drop((worker, hub)),
    }
}

#[tokio::test]
async fn what_is_pending_begins_after_a_restart() {
    for how in ENDS {
        let place = Place::new();
        let hub = place.open().await;
        let start = hub.client().start_orchestration::<echo>("text".to_owned());
        start.id("x").await.unwrap();
        end(how, hub, None).await;

        let hub = place.open().await;
        let status = hub.client().status("x").await.unwrap().unwrap();
        assert_eq!(status.runtime_status(), RuntimeStatus::Pending);
        assert_eq!(
            status.input::<String>().unwrap().as_deref(),
            Some("text"),
            "{how:?}"
        );
        let _worker = worker(&hub, &Steps::free().0).start().await.unwrap();
        check_output(&hub.client(), "text").await;
    }
}

#[tokio::test]
async fn a_chain_goes_on_where_it_was() {
    for how in ENDS {
        let place = Place::new();
        let hub = place.open().await;
        let (steps, mut begun) = Steps::held();
        let running = worker(&hub, &steps).start().await.unwrap();
        let start = hub
            .client()
            .start_orchestration::<chain>(names(&["a", "b", "c"]));
        start.id("x").await.unwrap();
        steps.end(1);
        assert_eq!(begun.recv().await.unwrap(), "a");
        assert_eq!(begun.recv().await.unwrap(), "b");
        end(how, hub, Some(running)).await;

        let hub = place.open().await;
        let (steps, mut begun) = Steps::free();
        let status = hub.client().status("x").await.unwrap().unwrap();
        assert_eq!(status.runtime_status(), RuntimeStatus::Running);
        let _worker = worker(&hub, &steps).start().await.unwrap();
        check_output(&hub.client(), names(&["A", "B", "C"])).await;
        assert_eq!(begun.recv().await.unwrap(), "b", "{how:?}");
        assert_eq!(begun.recv().await.unwrap(), "c");
        assert!(begun.try_recv().is_err());
    }
}

#[tokio::test]
async fn a_chain_goes_on_under_the_next_worker_of_the_same_hub() {
    super::on_both(async |hub| {
        let (steps, mut begun) = Steps::held();
        let first = worker(hub, &steps).start().await.unwrap();
        let start = hub
            .client()
            .start_orchestration::<chain>(names(&["a", "b", "c"]));
        start.id("x").await.unwrap();
        steps.end(1);
        assert_eq!(begun.recv().await.unwrap(), "a");
        assert_eq!(begun.recv().await.unwrap(), "b");
        drop(first);

        let (steps, mut begun) = Steps::free();
        let _second = worker(hub, &steps).start().await.unwrap();
        check_output(&hub.client(), names(&["A", "B", "C"])).await;
        assert_eq!(begun.recv().await.unwrap(), "b");
        assert_eq!(begun.recv().await.unwrap(), "c");
        assert!(begun.try_recv().is_err());
    })
    .await;
}

#[tokio::test]
async fn a_timer_that_is_still_to_come_fires_after_a_restart() {
    for how in ENDS {
        let place = Place::new();
        let hub = place.open().await;
        let running = worker(&hub, &Steps::free().0).start().await.unwrap();
        start_nap(&hub.client(), 50).await;
        end(how, hub, Some(running)).await;

        let hub = place.open().await;
        let _worker = worker(&hub, &Steps::free().0).start().await.unwrap();
        check_output(&hub.client(), 50).await;
        let status = hub.client().status("x").await.unwrap().unwrap();
        let slept = status
            .last_updated_at()
            .duration_since(status.created_at())
            .unwrap();
        assert!(slept >= Duration::from_millis(50), "{slept:?}");
    }
}

#[tokio::test]
async fn a_timer_that_came_due_while_nothing_ran_fires_at_once() {
    for how in ENDS {
        let place = Place::new();
        let hub = place.open().await;
        let running = worker(&hub, &Steps::free().0).start().await.unwrap();
        start_nap(&hub.client(), 20).await;
        end(how, hub, Some(running)).await;

        let hub = place.open().await;
        let status = hub.client().status("x").await.unwrap();
        tokio::time::sleep(Duration::from_millis(25)).await;
        let later = hub.client().status("x").await.unwrap();
        assert_eq!(later, status, "without a worker no timer fires");
        let _worker = worker(&hub, &Steps::free().0).start().await.unwrap();
        check_output(&hub.client(), 20).await;
    }
}

#[tokio::test]
async fn a_timer_that_came_due_between_two_workers_fires() {
    super::on_both(async |hub| {
        let first = worker(hub, &Steps::free().0).start().await.unwrap();
        start_nap(&hub.client(), 20).await;
        first.shutdown().await;
        tokio::time::sleep(Duration::from_millis(25)).await;
        let _second = worker(hub, &Steps::free().0).start().await.unwrap();
        check_output(&hub.client(), 20).await;
    })
    .await;
}

async fn start_nap(client: &Client, ms: u64) {
    let start = client.start_orchestration::<nap>(ms);
    start.id("x").await.unwrap();
    status_when(client, "x", |status| {
        status.runtime_status() != RuntimeStatus::Pending
    })
    .await;
}

#[tokio::test]
async fn a_wait_for_an_event_survives() {
    for how in ENDS {
        let place = Place::new();
        let hub = place.open().await;
        let running = worker(&hub, &Steps::free().0).start().await.unwrap();
        start_listen(&hub.client()).await;
        end(how, hub, Some(running)).await;

        let hub = place.open().await;
        let _worker = worker(&hub, &Steps::free().0).start().await.unwrap();
        let client = hub.client();
        client.raise_event("x", "go", "later").await.unwrap();
        check_output(&client, "later").await;
    }
}

#[tokio::test]
async fn an_event_that_is_raised_while_no_worker_runs_is_kept() {
    for how in ENDS {
        let place = Place::new();
        let hub = place.open().await;
        let running = worker(&hub, &Steps::free().0).start().await.unwrap();
        start_listen(&hub.client()).await;
        end(how, hub, Some(running)).await;

        let hub = place.open().await;
        let client = hub.client();
        client.raise_event("x", "go", "meanwhile").await.unwrap();
        let status = client.status("x").await.unwrap().unwrap();
        assert_eq!(status.runtime_status(), RuntimeStatus::Running);
        drop(client);
        end(how, hub, None).await;

        let hub = place.open().await;
        let _worker = worker(&hub, &Steps::free().0).start().await.unwrap();
        check_output(&hub.client(), "meanwhile").await;
    }
}

async fn start_listen(client: &Client) {
    let start = client.start_orchestration::<listen>("go".to_owned());
    start.id("x").await.unwrap();
    status_when(client, "x", |status| {
        status.runtime_status() != RuntimeStatus::Pending
    })
    .await;
}

#[tokio::test]
async fn an_event_that_was_not_waited_for_yet_survives() {
    #[orchestrator]
    async fn later(ctx: OrchestrationContext) -> Vec<u32> {
        let mut got = vec![ctx.wait_for_external_event("first").await.unwrap()];
        for _ in 0..2 {
            got.push(ctx.wait_for_external_event("second").await.unwrap());
        }
        got
    }
    for how in ENDS {
        let place = Place::new();
        let hub = place.open().await;
        let running = hub.worker().register::<later>().start().await.unwrap();
        let client = hub.client();
        client
            .start_orchestration::<later>(())
            .id("x")
            .await
            .unwrap();
        client.raise_event("x", "second", &2).await.unwrap();
        client.raise_event("x", "second", &3).await.unwrap();
        drop(client);
        end(how, hub, Some(running)).await;

        let hub = place.open().await;
        let client = hub.client();
        let _worker = hub.worker().register::<later>().start().await.unwrap();
        client.raise_event("x", "first", &1).await.unwrap();
        check_output(&client, vec![1, 2, 3]).await;
    }
}

/// Tells of each attempt by its number.
#[derive(Clone)]
struct Attempts(UnboundedSender<u32>);

/// Fails until its fourth attempt.
#[activity]
async fn flaky(State(attempts): State<Attempts>, ctx: ActivityContext) -> Result<u32, String> {
    attempts.0.send(ctx.attempt()).unwrap();
    match ctx.attempt() {
        4.. => Ok(ctx.attempt()),
        attempt => Err(format!("attempt {attempt}")),
    }
}

#[orchestrator]
async fn patient(ctx: OrchestrationContext) -> Result<u32, ActivityError<String>> {
    ctx.call_activity::<flaky>(())
        .retry(RetryPolicy::fixed(5, Duration::from_millis(30)))
        .await
}

#[tokio::test]
async fn attempts_are_counted_on_across_restarts() {
    for how in ENDS {
        let place = Place::new();
        let (sender, mut attempts) = mpsc::unbounded_channel();
        // About one attempt a life, and the backoff outlives it.
        let mut seen = Vec::new();
        while seen.len() < 4 {
            let hub = place.open().await;
            let worker = hub
                .worker()
                .state(Attempts(sender.clone()))
                .register::<patient>()
                .register::<flaky>();
            let worker = worker.start().await.unwrap();
            if seen.is_empty() {
                let start = hub.client().start_orchestration::<patient>(());
                start.id("x").await.unwrap();
            }
            seen.extend(soon(attempts.recv()).await);
            // Lets the attempt end and be recorded.
            assert_eq!(worker.shutdown().await, 0);
            while let Ok(attempt) = attempts.try_recv() {
                seen.push(attempt);
            }
            end(how, hub, None).await;
        }
        assert_eq!(seen, [1, 2, 3, 4], "{how:?}");
        let hub = place.open().await;
        let running = hub.worker().register::<patient>().start().await.unwrap();
        check_output(&hub.client(), 4).await;
        end(how, hub, Some(running)).await;
        assert!(attempts.try_recv().is_err());
    }
}

#[tokio::test]
async fn what_has_ended_stays_as_it_was() {
    for how in ENDS {
        let place = Place::new();
        let hub = place.open().await;
        let running = worker(&hub, &Steps::free().0).start().await.unwrap();
        let client = hub.client();
        let start = client.start_orchestration::<chain>(names(&["a"]));
        start.id("x").await.unwrap();
        check_output(&client, names(&["A"])).await;
        let before = client.status("x").await.unwrap();
        drop(client);
        end(how, hub, Some(running)).await;

        for _ in 0..2 {
            let hub = place.open().await;
            let (steps, mut begun) = Steps::free();
            let running = worker(&hub, &steps).start().await.unwrap();
            assert_eq!(hub.client().status("x").await.unwrap(), before, "{how:?}");
            check_output(&hub.client(), names(&["A"])).await;
            let start = hub.client().start_orchestration::<echo>(String::new());
            assert!(start.id("x").await.is_err());
            end(how, hub, Some(running)).await;
            assert!(begun.try_recv().is_err());
        }
    }
}

#[tokio::test]
async fn what_was_terminated_does_not_begin_again() {
    let place = Place::new();
    let hub = place.open().await;
    let (steps, mut begun) = Steps::held();
    let running = worker(&hub, &steps).start().await.unwrap();
    let client = hub.client();
    let start = client.start_orchestration::<chain>(names(&["a"]));
    start.id("x").await.unwrap();
    assert_eq!(begun.recv().await.unwrap(), "a");
    client.terminate("x", "why").await.unwrap();
    drop(client);
    end(End::Dropped, hub, Some(running)).await;

    let hub = place.open().await;
    let (steps, mut begun) = Steps::free();
    let running = worker(&hub, &steps).start().await.unwrap();
    let status = hub.client().status("x").await.unwrap().unwrap();
    assert_eq!(status.runtime_status(), RuntimeStatus::Terminated);
    running.shutdown().await;
    assert!(begun.try_recv().is_err());
}

#[tokio::test]
async fn many_instances_in_all_phases_go_on() {
    #[orchestrator]
    async fn phases(ctx: OrchestrationContext, n: u64) -> String {
        let done = ctx.call_activity::<super::step>(format!("s{n}"));
        let done = done.await.unwrap();
        ctx.create_timer(Duration::from_millis(n % 7)).await;
        let event: String = ctx.wait_for_external_event("go").await.unwrap();
        let again = ctx.call_activity::<super::step>(event).await.unwrap();
        format!("{done} {again}")
    }
    let place = Place::new();
    let mut events = BTreeMap::new();
    for life in 0..4_usize {
        let hub = place.open().await;
        let client = hub.client();
        let (steps, mut begun) = Steps::held();
        // In each life some steps end, the others are cut off.
        steps.end(if life == 3 { 10_000 } else { 30 });
        let running = worker(&hub, &steps).register::<phases>();
        let running = running.start().await.unwrap();
        for n in 0..60_u64 {
            let id = format!("i{n}");
            if life == 0 {
                let start = client.start_orchestration::<phases>(n);
                start.id(id.as_str()).await.unwrap();
            } else if usize::try_from(n).unwrap() % 3 == life - 1 {
                client.raise_event(id.as_str(), "go", "e").await.unwrap();
                events.insert(id, n);
            }
        }
        if life < 3 {
            soon(begun.recv()).await.unwrap();
        } else {
            for (id, n) in &events {
                let status = soon(client.wait_for_completion(id)).await.unwrap().unwrap();
                let output: Option<String> = status.output().unwrap();
                assert_eq!(output, Some(format!("S{n} E")), "{status:?}");
            }
        }
        drop(client);
        end(ENDS[life % 2], hub, Some(running)).await;
    }
    assert_eq!(events.len(), 60);
}

#[tokio::test]
async fn more_instances_than_fit_in_memory_all_go_on() {
    let place = Place::new();
    for hub in [
        TaskHub::options()
            .max_live_instances(1)
            .open_in_memory()
            .await
            .unwrap(),
        place
            .open_with(TaskHub::options().max_live_instances(1))
            .await,
    ] {
        let _worker = worker(&hub, &Steps::free().0).start().await.unwrap();
        let client = hub.client();
        for n in 0..50 {
            let nap = client.start_orchestration::<nap>(20 + n % 5);
            nap.id(format!("nap{n}")).await.unwrap();
            let listen = client.start_orchestration::<listen>("go".to_owned());
            listen.id(format!("listen{n}")).await.unwrap();
        }
        for n in 0..50 {
            let id = format!("listen{n}");
            client.raise_event(&id, "go", &id).await.unwrap();
        }
        for n in 0..50 {
            let id = format!("listen{n}");
            let listen = client.instance::<listen>(&id).unwrap();
            assert_eq!(soon(listen.wait_for_completion()).await.unwrap(), id);
            let nap = client.instance::<nap>(format!("nap{n}")).unwrap();
            assert_eq!(soon(nap.wait_for_completion()).await.unwrap(), 20 + n % 5);
        }
        soon(hub.close()).await.unwrap();
    }
}

#[tokio::test]
async fn an_instance_that_left_memory_is_waited_for_and_terminated_as_any_other() {
    let hub = TaskHub::options().max_live_instances(0).open_in_memory();
    let hub = hub.await.unwrap();
    let (steps, mut begun) = Steps::held();
    let _worker = worker(&hub, &steps).start().await.unwrap();
    let client = hub.client();
    let start = client.start_orchestration::<chain>(names(&["a", "b"]));
    let instance = start.id("x").await.unwrap();
    let mut wait = Box::pin(instance.wait_for_completion());
    assert!(futures_util::poll!(&mut wait).is_pending());
    assert_eq!(begun.recv().await.unwrap(), "a");
    for n in 0..20 {
        let start = client.start_orchestration::<echo>(String::new());
        start.id(format!("other{n}")).await.unwrap();
    }
    steps.end(1);
    assert_eq!(begun.recv().await.unwrap(), "b");
    instance.terminate("enough").await.unwrap();
    assert!(soon(wait).await.is_err());
    assert_eq!(begun.recv().await.unwrap(), "b cancelled");
    assert!(begun.try_recv().is_err(), "no step ran twice");
}

/// Instance `x` completes with this output.
async fn check_output<T>(client: &Client, expected: T)
where
    T: Into<serde_json::Value>,
{
    let waited = soon(client.wait_for_completion("x")).await;
    let status = waited.unwrap().unwrap();
    assert_eq!(
        status.runtime_status(),
        RuntimeStatus::Completed,
        "{status:?}"
    );
    assert_eq!(
        status.output::<serde_json::Value>().unwrap(),
        Some(expected.into())
    );
}

/// What an activity makes of being stopped is not what it does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_activity_that_fails_because_it_is_stopped_has_not_failed() {
    #[activity]
    async fn obeys(ctx: ActivityContext, State(stop): State<bool>) -> Result<(), String> {
        if stop {
            return Ok(());
        }
        ctx.cancellation_token().cancelled().await;
        Err("stopped".to_owned())
    }

    #[orchestrator]
    async fn calls_obeys(ctx: OrchestrationContext) -> Result<(), ActivityError<String>> {
        ctx.call_activity::<obeys>(()).await
    }

    let hub = TaskHub::in_memory().await.unwrap();
    let worker = || hub.worker().register::<calls_obeys>().register::<obeys>();
    let first = worker()
        .state(false)
        .shutdown_timeout(Duration::from_millis(20));
    let first = first.start().await.unwrap();
    let mut instances = Vec::new();
    for _ in 0..200 {
        let start = hub.client().start_orchestration::<calls_obeys>(());
        instances.push(start.await.unwrap());
    }
    first.shutdown().await;
    let _second = worker().state(true).start().await.unwrap();
    for instance in instances {
        instance.wait_for_completion().await.unwrap();
    }
}

/// What was dispatched to a worker that is gone is not run by the next one, which runs it itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_follows_at_once_runs_nothing_twice() {
    static RUNNING: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

    struct Runs(String);
    impl Drop for Runs {
        fn drop(&mut self) {
            RUNNING.lock().unwrap().remove(&self.0);
        }
    }

    #[activity]
    async fn alone(ctx: ActivityContext, State(worker): State<usize>) {
        let key = format!("{worker} {}", ctx.idempotency_key());
        assert!(
            RUNNING.lock().unwrap().insert(key.clone()),
            "{key} runs twice"
        );
        let _runs = Runs(key);
        tokio::time::sleep(Duration::from_millis(30)).await;
    }

    #[orchestrator]
    async fn calls_alone(ctx: OrchestrationContext) -> Result<(), ActivityError<NoError>> {
        // One after the other, so that whenever the worker goes some are on their way to it.
        for _ in 0..3 {
            ctx.call_activity::<alone>(()).await?;
        }
        Ok(())
    }

    let place = Place::new();
    let hub = place.open().await;
    let worker = |n: usize| {
        hub.worker()
            .state(n)
            .register::<calls_alone>()
            .register::<alone>()
    };
    let mut instances = Vec::new();
    let mut running = worker(0).start().await.unwrap();
    for n in 1..30 {
        // Not waited for: when the worker goes, what they dispatch is on its way.
        for _ in 0..20 {
            let start = hub.client().start_orchestration::<calls_alone>(());
            instances.push(tokio::spawn(start.into_future()));
        }
        tokio::time::sleep(Duration::from_micros(500)).await;
        drop(running);
        running = worker(n).start().await.unwrap();
    }
    for instance in instances {
        let instance = instance.await.unwrap().unwrap();
        instance.wait_for_completion().await.unwrap();
    }
    drop(running);
}

/// Withdrawing all timers that are known must not make the others forgotten.
#[tokio::test]
async fn a_timer_is_not_forgotten_when_all_before_it_are_withdrawn() {
    #[orchestrator]
    async fn sleeps(ctx: OrchestrationContext, timers: u32, ms: u64) {
        let timers = (0..timers).map(|_| ctx.create_timer(Duration::from_millis(ms)));
        futures_util::future::join_all(timers).await;
    }

    let place = Place::new();
    let hub = place.open().await;
    let worker = hub.worker().register::<sleeps>().start().await.unwrap();
    let client = hub.client();
    let crowd = client
        .start_orchestration::<sleeps>((4096, 2_000))
        .id("crowd")
        .await
        .unwrap();
    let last = client
        .start_orchestration::<sleeps>((1, 2_100))
        .id("last")
        .await
        .unwrap();
    worker.shutdown().await;
    hub.close().await.unwrap();

    let hub = place.open().await;
    let _worker = hub.worker().register::<sleeps>().start().await.unwrap();
    let (crowd, last) = (crowd.id().clone(), last.id().clone());
    let client = hub.client();
    // After the termination nothing is asked any more: nothing but the timer can wake the hub.
    let mut ended = Box::pin(client.wait_for_completion(&last));
    assert!(futures_util::poll!(&mut ended).is_pending());
    client.terminate(&crowd, "withdraw").await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(20), ended).await;
    assert!(ended.expect("it fires").unwrap().is_some());
}
