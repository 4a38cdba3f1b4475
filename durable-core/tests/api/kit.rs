//! The hub for tests of orchestrations.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use durable_core::testing::{ReplayError, TestHub, TestHubBuilder, failure};
use durable_core::{
    ActivityContext, ActivityError, Client, FailureDetails, Health, HubError, InstanceError,
    NoError, OrchestrationContext, OrchestrationError, Problem, ProblemKind, RetryPolicy,
    RuntimeStatus, State, activity, orchestrator,
};
use futures_executor::block_on;
use tokio::sync::Semaphore;

use super::{chain, echo, listen, names, nap, soon, step};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Fails the test if it is really called.
#[activity]
async fn charge(cents: u64) -> Result<String, String> {
    unreachable!("{cents} are charged")
}

#[activity]
async fn print(label: String) -> Result<(), std::io::Error> {
    std::fs::write("/dev/full", label)
}

/// Charges so many at once, and returns the receipts in the order in which they came.
#[orchestrator]
async fn charge_all(ctx: OrchestrationContext, all: u64) -> Vec<String> {
    use futures_util::StreamExt;
    let calls = (0..all).map(|cents| ctx.call_activity::<charge>(cents));
    let calls: futures_util::stream::FuturesUnordered<_> = calls.collect();
    calls.map(|receipt| receipt.unwrap()).collect().await
}

/// Sleeps so many days, one after the other, and returns when it woke.
#[orchestrator]
async fn days(ctx: OrchestrationContext, days: u32) -> Vec<SystemTime> {
    let mut woke = Vec::new();
    for _ in 0..days {
        ctx.create_timer(DAY).await;
        woke.push(ctx.now());
    }
    woke
}

/// Who is first: a call of five attempts a day apart, or the timer.
#[orchestrator]
async fn race(ctx: OrchestrationContext, timer: Duration) -> String {
    let policy = RetryPolicy::fixed(5, DAY);
    tokio::select! { biased;
        charged = ctx.call_activity::<charge>(1).retry(policy) => format!("{charged:?}"),
        () = ctx.create_timer(timer) => "timer".to_owned(),
    }
}

fn receipts() -> TestHubBuilder {
    TestHub::builder()
        .register::<charge_all>()
        .register::<race>()
        .register::<days>()
        .register::<nap>()
        .register::<listen>()
        .mock::<charge>(|cents| Ok(format!("{cents} paid")))
}

async fn started(builder: TestHubBuilder) -> TestHub {
    soon(builder.start()).await.unwrap()
}

#[tokio::test]
async fn a_timer_of_thirty_days_takes_no_time() {
    let hub = started(receipts()).await;
    let began = hub.now();
    let slept = hub.client().start_orchestration::<days>(30);
    let woke = soon(slept.await.unwrap().wait_for_completion())
        .await
        .unwrap();
    for (day, woke) in (1..).zip(&woke) {
        let after = woke.duration_since(began).unwrap();
        assert!(after >= DAY * day, "never early: {after:?}");
        assert!(after < DAY * day + Duration::from_millis(1), "{after:?}");
    }
    assert_eq!(hub.now(), woke[29]);
    assert_eq!(woke.len(), 30);
}

#[tokio::test]
async fn a_timer_may_take_longer_than_any_clock_reaches() {
    let hub = started(receipts()).await;
    for years in [1, 3, 100, 10_000] {
        let sleep = Duration::from_secs(years * 365 * 24 * 3600);
        let began = hub.now();
        hub.mock_async::<charge, _>(async |_| std::future::pending().await);
        let slept = hub
            .client()
            .start_orchestration::<race>(sleep)
            .await
            .unwrap();
        soon(slept.wait_for_completion()).await.unwrap();
        assert!(hub.now().duration_since(began).unwrap() >= sleep);
    }
    let endless = hub.client().start_orchestration::<race>(Duration::MAX);
    let endless = endless.await.unwrap();
    hub.advance(DAY).await.unwrap();
    endless.terminate("enough").await.unwrap();
    soon(endless.wait_for_completion()).await.unwrap_err();
}

/// Has the hub asked by a thread of no runtime, which it does not hear out: between two questions it
/// has nothing to do and nobody to mind.
async fn asked_from_nowhere(client: &Client) {
    let client = client.clone();
    let (done, is_done) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        for _ in 0..500 {
            block_on(client.status("nobody")).unwrap();
        }
        done.send(()).unwrap();
    });
    soon(is_done).await.unwrap();
}

#[tokio::test]
async fn time_stands_still_unless_somebody_waits_for_an_end() {
    let hub = started(receipts()).await;
    let (began, client) = (hub.now(), hub.client());
    let slept = client.start_orchestration::<days>(2).await.unwrap();
    for _ in 0..100 {
        tokio::task::yield_now().await;
        let status = slept.status().await.unwrap().unwrap();
        assert_eq!(status.runtime_status(), RuntimeStatus::Running);
        assert_eq!(hub.now(), began);
    }
    asked_from_nowhere(&client).await;
    assert_eq!(hub.now(), began);
    hub.advance(DAY.saturating_sub(Duration::from_micros(1)))
        .await
        .unwrap();
    let turns = hub.history(slept.id()).await.unwrap();
    assert!(
        !turns.iter().any(|line| line.contains("TimerFired")),
        "{turns:?}"
    );
    hub.advance(Duration::from_micros(2)).await.unwrap();
    let turns = hub.history(slept.id()).await.unwrap();
    let fired = turns.iter().filter(|line| line.contains("TimerFired"));
    assert_eq!(fired.count(), 1);
    let elsewhere = client
        .start_orchestration::<listen>("go".to_owned())
        .await
        .unwrap();
    // A wait that was given up is none.
    tokio::select! { biased;
        _ = elsewhere.wait_for_completion() => unreachable!("nobody raises it"),
        () = tokio::task::yield_now() => {}
    }
    let status = slept.status().await.unwrap().unwrap();
    assert_eq!(status.runtime_status(), RuntimeStatus::Running);
}

#[tokio::test]
async fn a_timer_is_due_when_the_time_was_advanced_by_as_much() {
    let hub = started(receipts().skip_time(false)).await;
    let began = hub.now();
    let slept = hub.client().start_orchestration::<days>(1).await.unwrap();
    hub.advance(DAY).await.unwrap();
    let status = slept.status().await.unwrap().unwrap();
    assert_eq!(status.runtime_status(), RuntimeStatus::Completed);
    assert!(status.created_at() >= began);
    assert!(status.last_updated_at() >= began + DAY);
}

#[tokio::test]
async fn without_skipping_only_advance_moves_the_time() {
    let hub = started(receipts().skip_time(false)).await;
    let slept = hub.client().start_orchestration::<nap>(1000).await.unwrap();
    let wait = slept.wait_for_completion();
    tokio::pin!(wait);
    for _ in 0..3 {
        tokio::select! { biased;
            _ = &mut wait => unreachable!("no time has passed"),
            passed = hub.advance(Duration::from_millis(300)) => passed.unwrap(),
        }
    }
    let (slept, passed) = tokio::join!(wait, hub.advance(Duration::from_millis(100)));
    assert_eq!((slept.unwrap(), passed.unwrap()), (1000, ()));
}

#[tokio::test]
async fn what_a_test_says_while_it_waits_comes_before_the_time_moves_on() {
    let hub = started(receipts().register::<hurry>()).await;
    for _ in 0..50 {
        let instance = hub.client().start_orchestration::<hurry>(()).await.unwrap();
        let (other, client) = (instance.clone(), hub.client());
        // In a task of its own, one word after the other.
        let raise = tokio::spawn(async move {
            other.raise_event("a", &1).await.unwrap();
            client.status("nobody").await.unwrap();
            other.raise_event("b", &2).await.unwrap();
        });
        let heard = soon(instance.wait_for_completion()).await.unwrap();
        raise.await.unwrap();
        assert_eq!(heard, [Some(1), Some(2)]);
    }
}

/// Takes two numbers, if they come within a microsecond.
#[orchestrator]
async fn hurry(ctx: OrchestrationContext) -> [Option<u32>; 2] {
    let mut heard = [None, None];
    for (heard, name) in heard.iter_mut().zip(["a", "b"]) {
        tokio::select! { biased;
            number = ctx.wait_for_external_event::<u32>(name) => *heard = number.ok(),
            () = ctx.create_timer(Duration::from_micros(1)) => {}
        }
    }
    heard
}

#[tokio::test]
async fn mocks_see_inputs_and_decide_outputs() {
    let mut calls = 0;
    let hub = receipts().mock::<charge>(move |cents| {
        calls += 1;
        match calls {
            1 => Err(format!("{cents} are too few")),
            2 => panic!("no bank"),
            _ => Ok("paid".to_owned()),
        }
    });
    let hub = started(hub).await;
    let began = hub.now();
    let raced = hub
        .client()
        .start_orchestration::<race>(DAY * 9)
        .await
        .unwrap();
    let won = soon(raced.wait_for_completion()).await.unwrap();
    assert_eq!(won, "Ok(\"paid\")");
    assert_eq!(hub.calls::<charge>(), [1, 1, 1]);
    let took = hub.now().duration_since(began).unwrap();
    assert!(
        took >= DAY * 2 && took < DAY * 2 + Duration::from_secs(1),
        "{took:?}"
    );

    hub.mock::<charge>(|_| Err("closed".to_owned()));
    let raced = hub
        .client()
        .start_orchestration::<race>(DAY * 9)
        .await
        .unwrap();
    let won = soon(raced.wait_for_completion()).await.unwrap();
    assert_eq!(won, "Err(Application(\"closed\"))");
    assert_eq!(hub.calls::<charge>().len(), 8);
}

#[orchestrator]
async fn label(ctx: OrchestrationContext) -> Result<(), ActivityError<FailureDetails>> {
    ctx.call_activity::<print>("A4".to_owned()).await
}

#[tokio::test]
async fn a_mock_may_look_at_its_attempt() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let mock = move |ctx: ActivityContext, cents: u64| {
        let noted = Arc::clone(&noted);
        let note = move |what: String| noted.lock().unwrap().push(what);
        async move {
            note(format!("{} for {cents}", ctx.attempt()));
            if ctx.attempt() < 3 {
                return Err(ctx.idempotency_key());
            }
            ctx.cancellation_token().cancelled().await;
            note(ctx.idempotency_key());
            Err("cancelled".to_owned())
        }
    };
    let mut hub = started(receipts().mock_with::<charge, _>(mock)).await;
    let raced = hub.client().start_orchestration::<race>(10 * DAY).id("x");
    let raced = raced.await.unwrap();
    hub.advance(3 * DAY).await.unwrap();
    hub.restart().await.unwrap();
    assert_eq!(soon(raced.wait_for_completion()).await.unwrap(), "timer");
    hub.advance(Duration::ZERO).await.unwrap();
    let seen = seen.lock().unwrap().clone();
    let [first, second, third, cancelled, again, key] = &*seen else {
        panic!("{seen:?}");
    };
    assert_eq!([first, second], ["1 for 1", "2 for 1"]);
    // The third has no end, before the restart and after it.
    assert_eq!([third, again], ["3 for 1", "3 for 1"]);
    assert!(key.starts_with("x/") && cancelled == key, "{seen:?}");
    // One that stands in later.
    hub.mock_with::<charge, _>(async |ctx, _| Err(ctx.not_retryable("broke".to_owned())));
    let raced = hub.client().start_orchestration::<race>(DAY).await.unwrap();
    let broke = soon(raced.wait_for_completion()).await.unwrap();
    assert_eq!(broke, "Err(Application(\"broke\"))");
}

#[tokio::test]
async fn a_store_that_fails_is_told_to_everybody_and_stays_so() {
    let mut hub = started(receipts()).await;
    let client = hub.client();
    let start = client.start_orchestration::<listen>("go".to_owned());
    let instance = start.await.unwrap();
    let waits = tokio::spawn({
        let instance = instance.clone();
        async move { instance.wait_for_completion().await }
    });
    hub.advance(Duration::ZERO).await.unwrap();
    hub.fail_next_commit().await.unwrap();
    // What only reads goes on.
    let status = instance.status().await.unwrap().unwrap();
    assert_eq!(status.runtime_status(), RuntimeStatus::Running);
    assert!(matches!(client.health(), Health::Healthy));
    let raised = instance.raise_event("go", "now").await;
    assert!(
        matches!(raised, Err(InstanceError::Hub(HubError::Store(_)))),
        "{raised:?}"
    );
    let waited = soon(waits).await.unwrap();
    assert!(
        matches!(waited, Err(OrchestrationError::Hub(HubError::Store(_)))),
        "{waited:?}"
    );
    assert!(matches!(client.health(), Health::Failed { .. }));
    hub.advance(DAY).await.unwrap_err();
    hub.restart().await.unwrap_err();
}

#[tokio::test]
async fn an_error_that_is_no_value_can_be_mocked_too() {
    let hub = TestHub::builder()
        .register_all_of_label()
        .mock::<print>(|label| Err(failure(format!("no paper for {label}"))));
    let hub = started(hub).await;
    let instance = hub.client().start_orchestration::<label>(()).await.unwrap();
    let error = soon(instance.wait_for_completion()).await.unwrap_err();
    assert!(error.to_string().contains("no paper for A4"), "{error}");
}

trait RegisterLabel {
    fn register_all_of_label(self) -> Self;
}

impl RegisterLabel for TestHubBuilder {
    /// The mock takes the place of what is registered under its name.
    fn register_all_of_label(self) -> Self {
        self.register::<label>().register::<print>()
    }
}

#[tokio::test]
async fn a_mock_that_sleeps_or_hangs_takes_no_time() {
    let hub = started(receipts()).await;
    hub.mock_async::<charge, _>(async |cents| {
        tokio::time::sleep(DAY * 3).await;
        Ok(cents.to_string())
    });
    let client = hub.client();
    for (timer, wins) in [(DAY * 2, "timer"), (DAY * 4, "Ok(\"1\")")] {
        let raced = client.start_orchestration::<race>(timer).await.unwrap();
        assert_eq!(soon(raced.wait_for_completion()).await.unwrap(), wins);
    }
    hub.mock_async::<charge, _>(async |_| std::future::pending().await);
    let hangs = client.start_orchestration::<impatient>(()).await;
    assert!(hangs.is_err(), "it is not registered");
    let mut hub = hub;
    let code = receipts().register::<impatient>();
    hub.restart_with(code).await.unwrap();
    hub.mock_async::<charge, _>(async |_| std::future::pending().await);
    let began = hub.now();
    let hangs = hub
        .client()
        .start_orchestration::<impatient>(())
        .await
        .unwrap();
    assert!(soon(hangs.wait_for_completion()).await.unwrap());
    let took = hub.now().duration_since(began).unwrap();
    assert!(took >= DAY * 2, "two attempts of a day: {took:?}");
}

/// Whether a call times out.
#[orchestrator]
async fn impatient(ctx: OrchestrationContext) -> bool {
    let policy = RetryPolicy::fixed(2, Duration::ZERO);
    let called = ctx.call_activity::<charge>(1).timeout(DAY).retry(policy);
    matches!(called.await, Err(ActivityError::TimedOut(_)))
}

/// A run in which much happens at once: histories of all instances, and the calls in their order.
async fn busy_run(hub: &mut TestHub) -> (Vec<Vec<String>>, Vec<u64>) {
    let client = hub.client();
    hub.mock_async::<charge, _>(async |cents| {
        tokio::time::sleep(Duration::from_millis(cents % 3)).await;
        Ok(cents.to_string())
    });
    let mut ids = Vec::new();
    let all = [7, 11, 3].map(|all| client.start_orchestration::<charge_all>(all).into_future());
    for started in futures_util::future::join_all(all).await {
        ids.push(started.unwrap().id().clone());
    }
    let race = client.start_orchestration::<race>(DAY).await.unwrap();
    ids.push(race.id().clone());
    let waits = ids.iter().map(|id| client.wait_for_completion(id));
    futures_util::future::try_join_all(waits).await.unwrap();
    hub.restart().await.unwrap();
    let again = client.start_orchestration::<charge_all>(5).await.unwrap();
    again.wait_for_completion().await.unwrap();
    ids.push(again.id().clone());
    let mut histories = Vec::new();
    for id in &ids {
        let mut lines = hub.history(id).await.unwrap();
        lines.push(id.to_string());
        histories.push(lines);
    }
    (histories, hub.calls::<charge>())
}

#[test]
fn one_seed_is_one_run_and_another_seed_another() {
    let run = |seed| receipts().seed(seed).run(busy_run).unwrap();
    let mut orders = BTreeSet::new();
    for seed in 0..10 {
        let (histories, calls) = run(seed);
        for _ in 0..5 {
            let again = run(seed);
            assert!(again == (histories.clone(), calls.clone()), "seed {seed}");
        }
        assert_eq!(calls.len(), 7 + 11 + 3 + 1 + 5);
        assert!(orders.insert(calls), "another order of calls");
    }
}

#[test]
fn the_same_histories_also_while_the_machine_is_busy() {
    let run = || receipts().seed(3).run(busy_run).unwrap();
    let calm = run();
    let over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let spin = |_| {
        let over = Arc::clone(&over);
        std::thread::spawn(move || while !over.load(std::sync::atomic::Ordering::Relaxed) {})
    };
    let spinning: Vec<_> = (0..4).map(spin).collect();
    let busy: Vec<_> = (0..5).map(|_| run()).collect();
    over.store(true, std::sync::atomic::Ordering::Relaxed);
    for thread in spinning {
        thread.join().unwrap();
    }
    assert!(busy.iter().all(|busy| *busy == calm));
}

#[tokio::test]
async fn completions_come_together_and_apart() {
    let mut together = BTreeSet::new();
    for seed in 0..20 {
        let hub = started(receipts().seed(seed)).await;
        let instance = hub
            .client()
            .start_orchestration::<charge_all>(4)
            .await
            .unwrap();
        soon(instance.wait_for_completion()).await.unwrap();
        let lines = hub.history(instance.id()).await.unwrap();
        together.insert(
            lines
                .iter()
                .filter(|line| line.starts_with("after"))
                .count(),
        );
    }
    assert!(together.len() >= 3, "turns: {together:?}");
}

#[tokio::test]
async fn time_stands_still_while_a_real_activity_runs() {
    let permits = Arc::new(Semaphore::new(0));
    let code = TestHub::builder()
        .register::<gated_race>()
        .register::<gated>()
        .state(Arc::clone(&permits));
    let hub = started(code).await;
    let began = hub.now();
    let raced = hub
        .client()
        .start_orchestration::<gated_race>(())
        .await
        .unwrap();
    let (won, ()) = tokio::join!(soon(raced.wait_for_completion()), async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
            // Real time passes, too.
            hub.client().status("nobody").await.unwrap();
            assert_eq!(hub.now(), began);
        }
        asked_from_nowhere(&hub.client()).await;
        assert_eq!(hub.now(), began);
        permits.add_permits(1);
    });
    assert_eq!(won.unwrap(), "activity");
    assert_eq!(hub.now(), began);

    // It is cancelled when nobody wants it any more, and holds up nothing then.
    let raced = hub
        .client()
        .start_orchestration::<gated_race>(())
        .await
        .unwrap();
    raced.terminate("enough").await.unwrap();
    let code = TestHub::builder().register::<nap>().start().await.unwrap();
    let slept = code
        .client()
        .start_orchestration::<nap>(5000)
        .await
        .unwrap();
    soon(slept.wait_for_completion()).await.unwrap();
}

/// Ends when the test says so.
#[activity]
async fn gated(State(permits): State<Arc<Semaphore>>) {
    permits.acquire().await.unwrap().forget();
}

#[orchestrator]
async fn gated_race(ctx: OrchestrationContext) -> String {
    tokio::select! { biased;
        _ = ctx.call_activity::<gated>(()).timeout(DAY) => "activity".to_owned(),
        () = ctx.create_timer(Duration::from_millis(1)) => "timer".to_owned(),
    }
}

#[tokio::test]
async fn real_activities_run_as_ever() {
    let (steps, mut begun) = super::Steps::free();
    let hub = TestHub::builder()
        .state(steps)
        .register::<step>()
        .register::<chain>()
        .register::<in_trouble>()
        .register::<trouble>();
    let hub = started(hub).await;
    let chained = hub
        .client()
        .start_orchestration::<chain>(names(&["a", "b"]))
        .await
        .unwrap();
    assert_eq!(
        soon(chained.wait_for_completion()).await.unwrap(),
        ["A", "B"]
    );
    assert_eq!(begun.recv().await.unwrap(), "a");

    let troubled = hub
        .client()
        .start_orchestration::<in_trouble>(())
        .await
        .unwrap();
    let trouble = soon(troubled.wait_for_completion()).await.unwrap();
    assert!(
        trouble.contains("no luck (at ") && trouble.contains("kit.rs:"),
        "{trouble}"
    );
}

#[activity]
async fn trouble() {
    panic!("no luck");
}

#[orchestrator]
async fn in_trouble(ctx: OrchestrationContext) -> String {
    format!("{:?}", ctx.call_activity::<trouble>(()).await)
}

#[tokio::test]
async fn a_missing_state_is_an_error_but_not_of_a_mock() {
    let chain = || TestHub::builder().register::<chain>().register::<step>();
    let error = chain().start().await.unwrap_err();
    assert!(error.to_string().contains("Steps"), "{error}");
    let hub = started(chain().mock::<step>(|name| Ok(name + "!"))).await;
    let chained = hub
        .client()
        .start_orchestration::<chain>(names(&["a"]))
        .await
        .unwrap();
    assert_eq!(soon(chained.wait_for_completion()).await.unwrap(), ["a!"]);
}

/// Waits for an event, between two charges.
#[orchestrator]
async fn order(ctx: OrchestrationContext) -> Result<String, ActivityError<String>> {
    let first = ctx.call_activity::<charge>(1).await?;
    ctx.create_timer(DAY).await;
    let more: u64 = ctx.wait_for_external_event("More").await.unwrap();
    let id = ctx.new_uuid();
    Ok(first + &ctx.call_activity::<charge>(more).await? + &id.to_string()[..0])
}

/// The same order, with other things done.
#[orchestrator(name = "order", type = ChangedOrder)]
async fn changed_order(ctx: OrchestrationContext) -> Result<String, ActivityError<String>> {
    let first = ctx.call_activity::<charge>(2).await?;
    ctx.create_timer(DAY).await;
    Ok(first)
}

#[tokio::test]
async fn a_restart_replays_and_forgets_what_ran() {
    let mut hub = started(receipts().register::<order>()).await;
    let ordered = hub.client().start_orchestration::<order>(()).await.unwrap();
    hub.restart().await.unwrap();
    ordered.raise_event("more", &2).await.unwrap();
    hub.restart().await.unwrap();
    hub.mock_async::<charge, _>(async |_| std::future::pending().await);
    hub.advance(DAY).await.unwrap();
    assert_eq!(hub.calls::<charge>(), [1, 2]);
    hub.restart().await.unwrap();
    assert_eq!(hub.calls::<charge>(), [1, 2, 2], "the attempt was lost");
    hub.mock::<charge>(|cents| Ok(format!("{cents} again")));
    hub.restart().await.unwrap();
    let paid = soon(ordered.wait_for_completion()).await.unwrap();
    assert_eq!(paid, "1 paid2 again");
    assert_eq!(hub.calls::<charge>(), [1, 2, 2, 2]);
    assert_eq!(hub.check_replay().await.unwrap(), 1);
}

#[tokio::test]
async fn who_waits_while_it_restarts_is_told_so() {
    let mut hub = started(receipts()).await;
    let client = hub.client();
    client
        .start_orchestration::<listen>("go".to_owned())
        .id("x")
        .await
        .unwrap();
    let waits = tokio::spawn(async move { client.wait_for_completion("x").await });
    hub.advance(Duration::ZERO).await.unwrap();
    hub.restart().await.unwrap();
    let told = soon(waits).await.unwrap();
    assert!(matches!(told, Err(HubError::Closed)), "{told:?}");
    hub.client().raise_event("x", "go", "now").await.unwrap();
    let status = soon(hub.client().wait_for_completion("x")).await.unwrap();
    assert_eq!(status.unwrap().output().unwrap(), Some("now".to_owned()));
}

#[tokio::test]
async fn changed_code_that_does_not_fit_old_histories_is_found() {
    let mut hub = started(receipts().register::<order>()).await;
    let ordered = hub
        .client()
        .start_orchestration::<order>(())
        .id("o")
        .await
        .unwrap();
    assert_eq!(hub.check_replay().await.unwrap(), 1);
    let changed = receipts().register::<ChangedOrder>();
    let found = hub.check_replay_with(&changed).await.unwrap_err();
    let ReplayError::Instance { id, problem } = &found else {
        panic!("{found:?}");
    };
    assert_eq!(
        (id.as_str(), problem.kind()),
        ("o", ProblemKind::Divergence)
    );
    assert!(found.to_string().contains("kit.rs:"), "{found}");
    let missing = hub.check_replay_with(&receipts()).await.unwrap_err();
    assert!(
        missing.to_string().contains("no orchestrator `order`"),
        "{missing}"
    );

    hub.restart_with(changed).await.unwrap();
    hub.advance(DAY).await.unwrap();
    let status = ordered.status().await.unwrap().unwrap();
    assert_eq!(
        status.problem().map(Problem::kind),
        Some(ProblemKind::Divergence)
    );
    hub.restart_with(receipts().register::<order>())
        .await
        .unwrap();
    ordered.raise_event("more", &3).await.unwrap();
    soon(ordered.wait_for_completion()).await.unwrap();
    assert_eq!(hub.check_replay().await.unwrap(), 1);
}

/// Which of two calls it makes first is not decided by its history.
#[orchestrator(allow_nondeterminism = "it is what is tested")]
async fn unbiased(ctx: OrchestrationContext) -> Result<u64, ActivityError<String>> {
    for _ in 0..50 {
        tokio::select! {
            _ = async { ctx.call_activity::<charge>(1).await } => {}
            _ = async { ctx.call_activity::<charge>(2).await } => {}
        }
    }
    Ok(0)
}

#[tokio::test]
async fn an_orchestrator_that_chooses_at_random_is_found_at_once() {
    let hub = started(receipts().register::<unbiased>()).await;
    let instance = hub
        .client()
        .start_orchestration::<unbiased>(())
        .await
        .unwrap();
    let status = instance.status().await.unwrap().unwrap();
    let kind = status.problem().map(Problem::kind);
    assert_eq!(kind, Some(ProblemKind::Nondeterminism), "{status:?}");
}

#[tokio::test]
async fn who_waits_for_what_does_not_go_on_is_told_why() {
    let mut hub = started(receipts().register::<unbiased>().register::<order>()).await;
    let stuck = async |hub: &TestHub, id: &str| {
        let waited = soon(hub.client().wait_for_completion(id)).await;
        let Err(HubError::Stuck { problem }) = waited else {
            panic!("{waited:?}");
        };
        problem.kind()
    };
    let client = hub.client();
    let start = client.start_orchestration::<unbiased>(()).id("race");
    start.await.unwrap();
    let start = client.start_orchestration::<order>(()).id("order");
    start.await.unwrap();
    assert_eq!(stuck(&hub, "race").await, ProblemKind::Nondeterminism);
    hub.restart_with(receipts().register::<ChangedOrder>())
        .await
        .unwrap();
    hub.advance(DAY).await.unwrap();
    assert_eq!(stuck(&hub, "order").await, ProblemKind::Divergence);

    let code = TestHub::builder().register::<order>().register::<race>();
    let hub = started(code).await;
    let start = hub.client().start_orchestration::<order>(()).id("order");
    start.await.unwrap();
    let kind = stuck(&hub, "order").await;
    assert_eq!(kind, ProblemKind::ActivityNotRegistered);
    // But what may still happen is waited for.
    let raced = hub.client().start_orchestration::<race>(DAY).await.unwrap();
    assert_eq!(soon(raced.wait_for_completion()).await.unwrap(), "timer");
}

#[test]
fn a_runtime_that_is_not_driven_any_more_holds_up_nobody() {
    let driven = || {
        let runtime = tokio::runtime::Builder::new_current_thread();
        { runtime }.enable_all().build().unwrap()
    };
    let (first, second) = (driven(), driven());
    let hub = first.block_on(receipts().start()).unwrap();
    let client = hub.client();
    let rest = async || {
        let slept = client.start_orchestration::<days>(2).await.unwrap();
        soon(slept.wait_for_completion()).await.unwrap().len()
    };
    assert_eq!(first.block_on(rest()), 2);
    assert_eq!(second.block_on(rest()), 2);
    assert!(block_on(client.status("x")).is_ok());
    assert_eq!(first.block_on(rest()), 2);
}

#[orchestrator]
async fn sleeps_for_real(_ctx: OrchestrationContext) {
    super::kit::doze().await;
}

async fn doze() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn an_orchestrator_is_polled_where_tokio_is_not_as_in_a_program() {
    let hub = started(TestHub::builder().register::<sleeps_for_real>()).await;
    let dozing = hub
        .client()
        .start_orchestration::<sleeps_for_real>(())
        .await
        .unwrap();
    let status = dozing.status().await.unwrap().unwrap();
    let problem = status.problem().expect("a problem");
    assert_eq!(problem.kind(), ProblemKind::ForeignAwait);
    assert!(
        problem.report().contains("no reactor running"),
        "{}",
        problem.report()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_works_from_a_runtime_of_many_threads() {
    let hub = started(receipts().register::<echo>()).await;
    let client = hub.client();
    let all = (0..50).map(|number| {
        let client = client.clone();
        tokio::spawn(async move {
            let slept = client
                .start_orchestration::<days>(number % 7)
                .await
                .unwrap();
            slept.wait_for_completion().await.unwrap().len()
        })
    });
    let all: Vec<_> = all.collect();
    for (number, slept) in all.into_iter().enumerate() {
        assert_eq!(soon(slept).await.unwrap(), number % 7);
    }
}

#[test]
fn a_hub_serves_any_executor_and_outlives_the_runtime_it_was_made_on() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let hub = runtime.block_on(receipts().start()).unwrap();
    drop(runtime);
    let client = hub.client();
    let slept = block_on(async {
        let slept = client.start_orchestration::<days>(3).await.unwrap();
        slept.wait_for_completion().await.unwrap()
    });
    assert_eq!(slept.len(), 3);
    let other = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let slept = other.block_on(async {
        let slept = client.start_orchestration::<days>(2).await.unwrap();
        slept.wait_for_completion().await.unwrap()
    });
    assert_eq!(slept.len(), 2);
    drop(hub);
}

#[tokio::test]
async fn without_a_runtime_it_is_not_started() {
    let error = std::thread::spawn(|| block_on(receipts().start()));
    let error = error.join().unwrap().unwrap_err();
    assert!(error.to_string().contains("tokio runtime"), "{error}");
}

#[tokio::test]
async fn nothing_is_left_of_it() {
    let hub = started(receipts()).await;
    let client = hub.client();
    client
        .start_orchestration::<listen>("go".to_owned())
        .id("x")
        .await
        .unwrap();
    drop(hub);
    // The client keeps the hub, but nothing runs any more.
    client.raise_event("x", "go", "now").await.unwrap();
    let status = client.status("x").await.unwrap().unwrap();
    assert_eq!(status.runtime_status(), RuntimeStatus::Running);
}

#[tokio::test]
async fn its_hub_is_sound_and_has_its_statistics() {
    let hub = started(receipts()).await;
    let slept = hub.client().start_orchestration::<days>(3).await.unwrap();
    soon(slept.wait_for_completion()).await.unwrap();
    assert!(soon(hub.task_hub().verify()).await.unwrap().is_sound());
    let stats = hub.task_hub().stats().await.unwrap();
    assert_eq!(stats.with_status(RuntimeStatus::Completed), 1);
}

/// Never fails.
#[activity]
async fn certain() -> u32 {
    1
}

#[orchestrator]
async fn surely(ctx: OrchestrationContext) -> Result<u32, ActivityError<NoError>> {
    ctx.call_activity::<certain>(()).await
}

#[tokio::test]
async fn what_cannot_fail_is_mocked_with_ok() {
    let hub = TestHub::builder()
        .register::<surely>()
        .mock::<certain>(|()| Ok(7));
    let hub = started(hub).await;
    let instance = hub
        .client()
        .start_orchestration::<surely>(())
        .await
        .unwrap();
    assert_eq!(soon(instance.wait_for_completion()).await.unwrap(), 7);
}
