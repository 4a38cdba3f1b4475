//! Activities that say how far they have come.

use std::sync::Arc;
use std::time::Duration;

use durable_core::testing::TestHub;
use durable_core::{
    ActivityContext, ActivityError, Client, NoError, OrchestrationContext, OrchestrationStatus,
    Poll, Progress, RetryPolicy, State, TaskHub, Worker, activity, orchestrator,
};
use tokio::sync::{Mutex, mpsc};

use super::{Place, on_both, soon, status_when};

/// What a test has the activity [`told`] do next.
#[derive(Clone, Copy, Debug)]
enum Order {
    Report(u32),
    Fail,
    Panic,
    Again,
    Done,
}

/// What an attempt was, and how far the one before has come.
type Begun = (u32, Option<u32>);

/// The other side of a test's orders.
#[derive(Clone)]
struct Orders {
    begun: mpsc::UnboundedSender<Begun>,
    orders: Arc<Mutex<mpsc::UnboundedReceiver<Order>>>,
}

/// A test's side.
struct Tell {
    begun: mpsc::UnboundedReceiver<Begun>,
    orders: mpsc::UnboundedSender<Order>,
}

fn orders() -> (Orders, Tell) {
    let (says, begun) = mpsc::unbounded_channel();
    let (tells, told) = mpsc::unbounded_channel();
    let orders = Orders {
        begun: says,
        orders: Arc::new(Mutex::new(told)),
    };
    let tell = Tell {
        begun,
        orders: tells,
    };
    (orders, tell)
}

impl Tell {
    fn tell(&self, orders: &[Order]) {
        for order in orders {
            self.orders.send(*order).unwrap();
        }
    }

    async fn begun(&mut self) -> Begun {
        soon(self.begun.recv()).await.unwrap()
    }
}

#[activity]
async fn told(
    State(orders): State<Orders>,
    ctx: ActivityContext,
    progress: Progress,
) -> Result<Poll<u32>, String> {
    let last = progress.last().unwrap();
    orders.begun.send((ctx.attempt(), last)).unwrap();
    let mut told = orders.orders.lock().await;
    while let Some(order) = told.recv().await {
        match order {
            Order::Report(n) => progress.report(&n).unwrap(),
            Order::Fail => return Err("as told".to_owned()),
            Order::Panic => panic!("as told"),
            Order::Again => return Ok(Poll::again(Duration::ZERO, ())),
            Order::Done => break,
        }
    }
    Ok(Poll::Done(ctx.attempt()))
}

#[orchestrator]
async fn tells(ctx: OrchestrationContext) -> Result<u32, ActivityError<String>> {
    let policy = RetryPolicy::fixed(9, Duration::ZERO);
    ctx.call_activity::<told>(()).retry(policy).await
}

/// Gives the activity up when it is told to.
#[orchestrator]
async fn gives_up(ctx: OrchestrationContext) {
    tokio::select! { biased;
        _ = ctx.call_activity::<told>(()) => {}
        _ = ctx.wait_for_external_event::<()>("enough") => {}
    }
    let _ = ctx.wait_for_external_event::<()>("end").await;
}

async fn start_worker(hub: &TaskHub) -> (Worker, Tell) {
    let (orders, tell) = orders();
    let worker = hub.worker().state(orders);
    let worker = worker
        .register::<told>()
        .register::<tells>()
        .register::<gives_up>();
    (worker.start().await.unwrap(), tell)
}

/// Which attempts have reported what.
fn shown(status: &OrchestrationStatus) -> Vec<(u32, u32)> {
    let shown = status.progress();
    shown
        .map(|progress| (progress.attempt(), progress.value().unwrap()))
        .collect()
}

async fn status_that_shows(client: &Client, expected: &[(u32, u32)]) -> OrchestrationStatus {
    status_when(client, "x", |status| shown(status) == expected).await
}

#[tokio::test]
async fn each_attempt_goes_on_from_the_last_report_of_the_one_before() {
    on_both(async |hub| {
        let (_worker, mut tell) = start_worker(hub).await;
        let client = hub.client();
        let instance = client.start_orchestration::<tells>(()).id("x");
        let instance = instance.await.unwrap();
        assert_eq!(tell.begun().await, (1, None));
        status_that_shows(&client, &[]).await;

        tell.tell(&[Order::Report(10)]);
        let status = status_that_shows(&client, &[(1, 10)]).await;
        let progress = status.progress().next().unwrap();
        assert_eq!(progress.activity_name(), "told");
        assert_eq!((progress.call(), progress.json()), (0, "10"));
        assert!(progress.reported_at() >= status.created_at());
        assert!(progress.value::<String>().is_err());

        // Too soon after the other to be stored by itself: each goes with the attempt's end.
        tell.tell(&[Order::Report(20), Order::Fail]);
        assert_eq!(tell.begun().await, (2, Some(20)));
        status_that_shows(&client, &[(1, 20)]).await;
        tell.tell(&[Order::Report(30), Order::Report(31), Order::Panic]);
        assert_eq!(tell.begun().await, (3, Some(31)));
        tell.tell(&[Order::Panic]);
        assert_eq!(tell.begun().await, (4, Some(31)));
        tell.tell(&[Order::Report(40), Order::Again]);
        assert_eq!(tell.begun().await, (4, Some(40)), "that was no failure");
        status_that_shows(&client, &[(4, 40)]).await;
        assert!(hub.verify().await.unwrap().is_sound());

        tell.tell(&[Order::Report(50), Order::Done]);
        assert_eq!(instance.wait_for_completion().await.unwrap(), 4);
        status_that_shows(&client, &[]).await;
        assert!(hub.verify().await.unwrap().is_sound());
    })
    .await;
}

#[tokio::test]
async fn what_was_shown_is_there_after_a_restart() {
    for closed in [true, false] {
        let place = Place::new();
        let hub = place.open().await;
        let (worker, mut tell) = start_worker(&hub).await;
        let start = hub.client().start_orchestration::<tells>(()).id("x");
        start.await.unwrap();
        assert_eq!(tell.begun().await, (1, None));
        tell.tell(&[Order::Report(5)]);
        status_that_shows(&hub.client(), &[(1, 5)]).await;
        drop(worker);
        if closed {
            soon(hub.close()).await.unwrap();
        } else {
            drop(hub);
        }

        let hub = place.open().await;
        // Nobody runs it: this is read from the disk.
        let status = hub.client().status("x").await.unwrap().unwrap();
        assert_eq!(shown(&status), [(1, 5)]);
        let (worker, mut tell) = start_worker(&hub).await;
        assert_eq!(tell.begun().await, (1, Some(5)), "that was no attempt");
        status_that_shows(&hub.client(), &[(1, 5)]).await;
        // The next worker, too.
        drop(worker);
        let (_worker, mut tell) = start_worker(&hub).await;
        assert_eq!(tell.begun().await, (1, Some(5)));
        tell.tell(&[Order::Report(6)]);
        status_that_shows(&hub.client(), &[(1, 6)]).await;
        tell.tell(&[Order::Done]);
        let instance = hub.client().instance::<tells>("x").unwrap();
        assert_eq!(soon(instance.wait_for_completion()).await.unwrap(), 1);
        assert!(hub.verify().await.unwrap().is_sound());
    }
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_not_shown() {
    on_both(async |hub| {
        let (_worker, mut tell) = start_worker(hub).await;
        let client = hub.client();
        let instance = client.start_orchestration::<gives_up>(()).id("x");
        let instance = instance.await.unwrap();
        assert_eq!(tell.begun().await, (1, None));
        tell.tell(&[Order::Report(1)]);
        status_that_shows(&client, &[(1, 1)]).await;
        instance.raise_event("enough", &()).await.unwrap();
        status_that_shows(&client, &[]).await;
        // It runs on, and nobody hears it.
        tell.tell(&[Order::Report(2), Order::Report(3), Order::Done]);
        instance.raise_event("end", &()).await.unwrap();
        instance.wait_for_completion().await.unwrap();
        let status = client.status("x").await.unwrap().unwrap();
        assert_eq!(shown(&status), []);
        assert!(hub.verify().await.unwrap().is_sound());
    })
    .await;
}

#[cfg(feature = "simulation")]
#[tokio::test]
async fn a_hundred_thousand_reports_cost_a_few_commits() {
    use std::sync::atomic::{AtomicU64, Ordering};

    use durable_core::simulation::{StoreCall, StoreHook};

    #[derive(Debug, Default)]
    struct Commits(AtomicU64);

    impl StoreHook for Commits {
        fn before(&self, call: StoreCall) -> std::io::Result<()> {
            let commits = u64::from(call == StoreCall::Apply);
            self.0.fetch_add(commits, Ordering::SeqCst);
            Ok(())
        }
    }

    #[activity]
    async fn hurries(progress: Progress, reports: u32) {
        for n in 0..reports {
            progress.report(&(n, "x".repeat(1_000))).unwrap();
            if n % 10 == 0 {
                tokio::task::yield_now().await;
            }
        }
    }

    #[orchestrator]
    async fn hurry(ctx: OrchestrationContext, reports: u32) {
        let calls = (0..10).map(|_| ctx.call_activity::<hurries>(reports));
        for ended in futures_util::future::join_all(calls).await {
            ended.unwrap();
        }
    }

    let commits = Arc::new(Commits::default());
    let hub = TaskHub::options().store_hook(Arc::clone(&commits) as Arc<dyn StoreHook>);
    let hub = hub.open_in_memory().await.unwrap();
    let worker = hub.worker().register::<hurries>().register::<hurry>();
    let _worker = worker.start().await.unwrap();
    let began = tokio::time::Instant::now();
    let start = hub.client().start_orchestration::<hurry>(10_000);
    soon(start.await.unwrap().wait_for_completion())
        .await
        .unwrap();
    let rounds = u64::try_from(began.elapsed().as_millis() / 500).unwrap() + 1;
    // Each ends in a commit of its own at the most, and reports once in each round.
    let (commits, most) = (commits.0.load(Ordering::SeqCst), 5 + 10 + 10 * rounds);
    assert!(commits <= most, "{commits} of {most}");
    soon(hub.close()).await.unwrap();
}

#[tokio::test]
async fn a_synchronous_activity_reports_too_until_its_time_is_up() {
    type Go = Arc<Mutex<mpsc::Receiver<()>>>;

    #[activity]
    fn grind(progress: Progress, ctx: ActivityContext, State(go): State<Go>) -> Option<u32> {
        let last = progress.last().unwrap();
        progress.report(&ctx.attempt()).unwrap();
        if ctx.attempt() == 1 {
            // Its attempt has timed out long before.
            go.blocking_lock().blocking_recv().unwrap();
            progress.report(&99).unwrap();
        }
        last
    }

    #[orchestrator]
    async fn grinds(ctx: OrchestrationContext) -> Result<Option<u32>, ActivityError<NoError>> {
        let policy = RetryPolicy::fixed(2, Duration::from_secs(3600));
        let call = ctx.call_activity::<grind>(()).retry(policy);
        call.timeout(Duration::from_millis(200)).await
    }

    on_both(async |hub| {
        let (go, wait) = mpsc::channel::<()>(1);
        let worker = hub.worker().state::<Go>(Arc::new(Mutex::new(wait)));
        let worker = worker.register::<grind>().register::<grinds>();
        let worker = worker.start().await.unwrap();
        let client = hub.client();
        client
            .start_orchestration::<grinds>(())
            .id("x")
            .await
            .unwrap();
        status_that_shows(&client, &[(1, 1)]).await;
        // The attempt has ended when the worker has nothing to wait for.
        assert_eq!(worker.shutdown().await, 0);
        go.send(()).await.unwrap();
        let status = client.status("x").await.unwrap().unwrap();
        assert_eq!(shown(&status), [(1, 1)]);
    })
    .await;
}

#[tokio::test]
async fn of_very_many_the_first_are_shown() {
    #[activity]
    async fn reports(progress: Progress, State(go): State<Arc<tokio::sync::Semaphore>>, n: u32) {
        progress.report(&n).unwrap();
        go.acquire().await.unwrap().forget();
    }

    #[orchestrator]
    async fn crowd(ctx: OrchestrationContext, all: u32) {
        let calls = (0..all).map(|n| ctx.call_activity::<reports>(n));
        futures_util::future::join_all(calls).await;
    }

    let place = Place::new();
    let hub = place.open().await;
    let worker = async |hub: &TaskHub| {
        let go = Arc::new(tokio::sync::Semaphore::new(0));
        let worker = hub.worker().state(Arc::clone(&go));
        let worker = worker.register::<reports>().register::<crowd>();
        (worker.start().await.unwrap(), go)
    };
    let running = worker(&hub).await;
    let start = hub.client().start_orchestration::<crowd>(150).id("x");
    start.await.unwrap();
    let expected: Vec<_> = (0..100).map(|n| (1, n)).collect();
    status_that_shows(&hub.client(), &expected).await;
    drop(running);
    soon(hub.close()).await.unwrap();

    let hub = place.open().await;
    let status = hub.client().status("x").await.unwrap().unwrap();
    assert_eq!(shown(&status), expected);
    let (_worker, go) = worker(&hub).await;
    go.add_permits(150);
    let instance = hub.client().instance::<crowd>("x").unwrap();
    soon(instance.wait_for_completion()).await.unwrap();
}

#[tokio::test]
async fn in_virtual_time_it_is_the_same() {
    let (orders, mut tell) = orders();
    let hub = TestHub::builder().state(orders);
    let hub = hub.register::<told>().register::<tells>();
    let mut hub = soon(hub.start()).await.unwrap();
    let client = hub.client();
    client
        .start_orchestration::<tells>(())
        .id("x")
        .await
        .unwrap();
    assert_eq!(tell.begun().await, (1, None));
    tell.tell(&[Order::Report(1)]);
    let status = status_that_shows(&client, &[(1, 1)]).await;
    assert_eq!(status.progress().next().unwrap().reported_at(), hub.now());
    tell.tell(&[Order::Report(2), Order::Fail]);
    assert_eq!(tell.begun().await, (2, Some(2)));
    // As if the process had been killed.
    hub.restart().await.unwrap();
    let client = hub.client();
    assert_eq!(tell.begun().await, (2, Some(2)));
    status_that_shows(&client, &[(1, 2)]).await;
    tell.tell(&[Order::Done]);
    let instance = client.instance::<tells>("x").unwrap();
    assert_eq!(soon(instance.wait_for_completion()).await.unwrap(), 2);
}

#[orchestrator]
async fn watches(ctx: OrchestrationContext) -> Result<u32, ActivityError<String>> {
    ctx.call_activity::<told>(())
        .retry(RetryPolicy::fixed(2, Duration::ZERO))
        .heartbeat_timeout(Duration::from_secs(30))
        .await
}

#[tokio::test]
async fn a_mock_reports_and_each_report_is_a_sign_of_life() {
    let hub = TestHub::builder().register::<watches>();
    let hub = hub.mock_with::<told, _>(async |ctx: ActivityContext, ()| {
        let progress = ctx.progress();
        let from = progress.last::<u32>().unwrap().unwrap_or(0);
        for n in from..10 {
            progress.report(&(n + 1)).unwrap();
            if ctx.attempt() == 1 && n == 6 {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
        Ok(from)
    });
    let hub = soon(hub.start()).await.unwrap();
    let began = hub.now();
    let client = hub.client();
    let instance = client.start_orchestration::<watches>(()).id("x");
    let instance = instance.await.unwrap();
    for (seconds, shown) in [(0, (1, 1)), (21, (1, 2)), (100, (1, 7))] {
        hub.advance(Duration::from_secs(seconds)).await.unwrap();
        status_that_shows(&client, &[shown]).await;
    }
    assert_eq!(soon(instance.wait_for_completion()).await.unwrap(), 7);
    // Six pauses, silence, and the other three.
    let took = hub.now().duration_since(began).unwrap();
    assert_eq!(took.as_secs(), 6 * 20 + 30 + 3 * 20);
}
