//! How activities run: how many, with what, how often, and what becomes of how they end.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use durable_core::testing::TestHub;
use durable_core::{
    ActivityContext, ActivityError, CancellationToken, FailureDetails, FailureKind, NoError,
    OrchestrationContext, OrchestrationError, RetryPolicy, RuntimeStatus, State, TaskHub,
    WorkerBuilder, WorkerError, activity, orchestrator,
};
use futures_util::future::{join_all, try_join_all};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::{Place, Steps, chain, echo, names, on_both, soon, status_when, step, worker};

/// Takes all steps at once.
#[orchestrator]
async fn fan_out(
    ctx: OrchestrationContext,
    names: Vec<String>,
) -> Result<Vec<String>, ActivityError<NoError>> {
    let calls = names
        .into_iter()
        .map(|name| ctx.call_activity::<step>(name));
    try_join_all(calls).await
}

#[tokio::test]
async fn never_more_attempts_run_than_are_allowed() {
    /// How many run now, and the most there were.
    #[derive(Clone, Default)]
    struct Running(Arc<[AtomicUsize; 2]>);

    #[activity]
    async fn crowd(State(Running(running)): State<Running>, _n: usize) {
        let now = running[0].fetch_add(1, Ordering::SeqCst) + 1;
        running[1].fetch_max(now, Ordering::SeqCst);
        for _ in 0..5 {
            tokio::task::yield_now().await;
        }
        running[0].fetch_sub(1, Ordering::SeqCst);
    }

    #[orchestrator]
    async fn crowds(ctx: OrchestrationContext, size: usize) -> usize {
        join_all((0..size).map(|n| ctx.call_activity::<crowd>(n)))
            .await
            .into_iter()
            .flatten()
            .count()
    }

    on_both(async |hub| {
        let running = Running::default();
        let worker = hub.worker().register::<crowds>().register::<crowd>();
        let worker = worker.state(running.clone()).max_concurrent_activities(3);
        let _worker = worker.start().await.unwrap();
        let client = hub.client();
        let first = client.start_orchestration::<crowds>(40).await.unwrap();
        let second = client.start_orchestration::<crowds>(40).await.unwrap();
        assert_eq!(first.wait_for_completion().await.unwrap(), 40);
        assert_eq!(second.wait_for_completion().await.unwrap(), 40);
        assert_eq!(running.0[1].load(Ordering::SeqCst), 3);
    })
    .await;
}

#[tokio::test]
async fn an_attempt_without_a_sign_of_life_is_given_up_and_one_that_beats_is_not() {
    /// The first attempt says nothing any more; the second takes long, and says so.
    #[activity]
    async fn beat(State(steps): State<Steps>, ctx: ActivityContext) -> u32 {
        if ctx.attempt() == 1 {
            let token = ctx.cancellation_token().clone();
            tokio::spawn(async move {
                token.cancelled().await;
                steps.say("cancelled");
            });
            std::future::pending::<()>().await;
        }
        for _ in 0..90 {
            ctx.heartbeat();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        ctx.attempt()
    }

    #[orchestrator]
    async fn watches(
        ctx: OrchestrationContext,
        attempts: u32,
    ) -> Result<u32, ActivityError<NoError>> {
        ctx.call_activity::<beat>(())
            .retry(RetryPolicy::fixed(attempts, Duration::ZERO))
            .heartbeat_timeout(Duration::from_millis(600))
            .await
    }

    on_both(async |hub| {
        let (steps, mut said) = Steps::held();
        let worker = hub.worker().state(steps);
        let worker = worker.register::<watches>().register::<beat>();
        let _worker = worker.start().await.unwrap();
        let client = hub.client();
        let start = client.start_orchestration::<watches>(2);
        let output = start.await.unwrap().wait_for_completion().await;
        assert_eq!(output.unwrap(), 2);
        assert_eq!(said.recv().await.unwrap(), "cancelled");

        let start = client.start_orchestration::<watches>(1);
        match start.await.unwrap().wait_for_completion().await {
            Err(OrchestrationError::Application(ActivityError::TimedOut(details))) => {
                assert_eq!(details.message(), "it gave no sign of life for 600ms");
            }
            other => panic!("{other:?}"),
        }
    })
    .await;
}

#[derive(Clone)]
struct Narrow(Steps);

#[activity(max_concurrent = 2)]
async fn narrow(State(Narrow(steps)): State<Narrow>, n: usize) -> usize {
    steps.say("narrow");
    steps.permits.acquire().await.unwrap().forget();
    n
}

#[orchestrator]
async fn squeeze(
    ctx: OrchestrationContext,
    size: usize,
) -> Result<Vec<usize>, ActivityError<NoError>> {
    try_join_all((0..size).map(|n| ctx.call_activity::<narrow>(n))).await
}

#[tokio::test]
async fn an_activity_with_a_limit_of_its_own_keeps_it_and_holds_up_no_other() {
    for limit in [None, Some(1), Some(3)] {
        on_both(async |hub| {
            let (steps, mut begun) = Steps::held();
            let worker = worker(hub, &Steps::free().0).state(Narrow(steps.clone()));
            let worker = worker.register::<narrow>().register::<squeeze>();
            let worker = match limit {
                Some(limit) => worker.max_concurrent::<narrow>(limit),
                None => worker,
            };
            let _worker = worker.max_concurrent_activities(4).start().await.unwrap();
            let client = hub.client();
            let squeezed = client.start_orchestration::<squeeze>(6).await.unwrap();
            for _ in 0..limit.unwrap_or(2) {
                begun.recv().await.unwrap();
            }
            let chain = client.start_orchestration::<chain>(names(&["a", "b", "c"]));
            let done = chain.await.unwrap().wait_for_completion().await;
            assert_eq!(done.unwrap(), ["A", "B", "C"]);
            assert!(begun.try_recv().is_err(), "more than {limit:?}");
            steps.end(1);
            begun.recv().await.unwrap();
            steps.end(5);
            let squeezed = squeezed.wait_for_completion().await;
            assert_eq!(squeezed.unwrap(), [0, 1, 2, 3, 4, 5]);
        })
        .await;
    }
}

#[tokio::test]
async fn what_waits_for_the_limit_of_its_activity_at_shutdown_runs_later() {
    on_both(async |hub| {
        let (steps, mut begun) = Steps::held();
        let with = |steps: &Steps| {
            let worker = hub.worker().state(Narrow(steps.clone()));
            worker.register::<narrow>().register::<squeeze>()
        };
        let first = with(&steps).start().await.unwrap();
        let start = hub.client().start_orchestration::<squeeze>(5);
        let instance = start.await.unwrap();
        begun.recv().await.unwrap();
        begun.recv().await.unwrap();
        let mut shutdown = Box::pin(first.shutdown());
        assert!(futures_util::poll!(&mut shutdown).is_pending());
        steps.end(2);
        assert_eq!(soon(shutdown).await, 0);
        assert!(begun.try_recv().is_err(), "nothing new is begun");

        let _second = with(&Steps::free().0).start().await.unwrap();
        let squeezed = instance.wait_for_completion().await;
        assert_eq!(squeezed.unwrap(), [0, 1, 2, 3, 4]);
    })
    .await;
}

#[tokio::test]
async fn what_waits_for_a_slot_begins_in_the_order_of_its_calls() {
    on_both(async |hub| {
        let (steps, mut begun) = Steps::free();
        let worker = worker(hub, &steps).register::<fan_out>();
        let _worker = worker.max_concurrent_activities(1).start().await.unwrap();
        let all: Vec<String> = (0..50).map(|n| n.to_string()).collect();
        let start = hub.client().start_orchestration::<fan_out>(all.clone());
        let instance = start.await.unwrap();
        assert_eq!(instance.wait_for_completion().await.unwrap(), all);
        for expected in all {
            assert_eq!(begun.recv().await.unwrap(), expected);
        }
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_attempt_does_not_stand_in_the_way() {
    #[orchestrator]
    async fn gives_up(ctx: OrchestrationContext) -> String {
        tokio::select! { biased;
            _ = ctx.call_activity::<step>("second".to_owned()) => unreachable!(),
            go = ctx.wait_for_external_event::<String>("go") => go.unwrap(),
        }
    }
    on_both(async |hub| {
        let (steps, mut begun) = Steps::held();
        let worker = worker(hub, &steps).register::<gives_up>();
        let _worker = worker.max_concurrent_activities(1).start().await.unwrap();
        let client = hub.client();
        let first = client
            .start_orchestration::<chain>(names(&["first", "third"]))
            .await
            .unwrap();
        assert_eq!(begun.recv().await.unwrap(), "first");
        let second = client.start_orchestration::<gives_up>(()).await.unwrap();
        second.raise_event("go", "on").await.unwrap();
        assert_eq!(second.wait_for_completion().await.unwrap(), "on");
        steps.end(1);
        // The news of the cancellation may come after the slot is free.
        while begun.recv().await.unwrap() != "third" {}
        steps.end(1);
        first.wait_for_completion().await.unwrap();
    })
    .await;
}

#[derive(Clone)]
struct Pool(&'static str);

#[activity]
async fn query(
    table: String,
    State(pool): State<Pool>,
    token: CancellationToken,
    limit: u32,
    ctx: ActivityContext,
) -> String {
    assert!(!token.is_cancelled());
    assert_eq!(ctx.activity_name(), "query");
    assert_eq!(ctx.attempt(), 1);
    format!("{} {table} {limit} {}", pool.0, ctx.instance_id())
}

/// A synchronous one.
#[activity]
fn digest(State(pool): State<Pool>, text: String) -> Result<usize, String> {
    match text.len() {
        0 => Err(format!("{}: nothing to digest", pool.0)),
        len => Ok(len),
    }
}

#[orchestrator]
async fn report(ctx: OrchestrationContext) -> (String, usize, Failed) {
    let text = ctx.call_activity::<query>(("orders".to_owned(), 3)).await;
    let text = text.unwrap();
    let len = ctx.call_activity::<digest>(text.clone()).await.unwrap();
    let error = ctx.call_activity::<digest>(String::new()).await;
    (text, len, Failed::of(error.unwrap_err()))
}

/// How a call failed, as text that survives.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Failed {
    variant: String,
    text: String,
}

impl Failed {
    fn of<E: fmt::Debug>(error: ActivityError<E>) -> Self {
        let details = |details: FailureDetails| format!("{details:?}");
        let (variant, text) = match error {
            ActivityError::Application(error) => ("Application", format!("{error:?}")),
            ActivityError::Panicked(failure) => ("Panicked", details(failure)),
            ActivityError::TimedOut(failure) => ("TimedOut", details(failure)),
            ActivityError::Cancelled(failure) => ("Cancelled", details(failure)),
            ActivityError::NotRegistered(failure) => ("NotRegistered", details(failure)),
            ActivityError::Data(failure) => ("Data", details(failure)),
            other => ("?", format!("{other:?}")),
        };
        let variant = variant.to_owned();
        Self { variant, text }
    }
}

#[tokio::test]
async fn activities_get_their_state_and_their_context_wherever_they_name_them() {
    on_both(async |hub| {
        let worker = with_report(hub).state(Pool("old")).state(Pool("db"));
        let _worker = worker.start().await.unwrap();
        let start = hub.client().start_orchestration::<report>(());
        let instance = start.id("x").await.unwrap();
        let (text, len, error) = instance.wait_for_completion().await.unwrap();
        assert_eq!(text, "db orders 3 x");
        assert_eq!(len, text.len());
        assert_eq!(error.variant, "Application");
        assert_eq!(error.text, "\"db: nothing to digest\"");
    })
    .await;
}

fn with_report(hub: &TaskHub) -> WorkerBuilder {
    hub.worker()
        .register::<report>()
        .register::<query>()
        .register::<digest>()
}

#[tokio::test]
async fn a_missing_state_is_an_error_when_the_worker_starts() {
    let hub = TaskHub::in_memory().await.unwrap();
    let error = with_report(&hub).start().await.unwrap_err();
    match &error {
        WorkerError::MissingState { activity, state } => {
            assert_eq!(activity, "digest");
            assert!(state.ends_with("activities::Pool"), "{state}");
        }
        other => panic!("{other:?}"),
    }
    assert!(error.to_string().contains(".state("), "{error}");
    // The refusal leaves room for a better one.
    let _worker = with_report(&hub).state(Pool("")).start().await.unwrap();
}

/// What one attempt does.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Do {
    Return,
    Fail(u32),
    Panic(String),
    /// Panics with something that is not text.
    PanicWithNumber,
    /// Panics with something that panics when it is dropped.
    PanicWithBomb,
    /// Never returns.
    Hang,
    /// Never returns, and panics when it is dropped.
    HangWithBomb,
    ReturnBytes(usize),
    FailWithBytes(usize),
    PanicWithBytes(usize),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Odd {
    Number(u32),
    Text(String),
}

#[derive(Clone)]
struct Log(UnboundedSender<Attempt>);

/// One attempt: its number, its key.
#[derive(Debug)]
struct Attempt {
    number: u32,
    key: String,
}

impl Log {
    fn new() -> (Self, UnboundedReceiver<Attempt>) {
        let (log, attempts) = mpsc::unbounded_channel();
        (Self(log), attempts)
    }
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        // Twice at once would abort the process.
        assert!(std::thread::panicking(), "dropped");
    }
}

/// Does the n-th thing at its n-th attempt.
#[activity]
async fn attempt(
    State(log): State<Log>,
    ctx: ActivityContext,
    todo: Vec<Do>,
) -> Result<String, Odd> {
    let number = ctx.attempt();
    // Nobody may look.
    let _ = log.0.send(Attempt {
        number,
        key: ctx.idempotency_key(),
    });
    match todo[number as usize - 1].clone() {
        Do::Return => Ok(format!("attempt {number}")),
        Do::Fail(number) => Err(Odd::Number(number)),
        Do::Panic(text) => panic!("{text}"),
        Do::PanicWithNumber => std::panic::panic_any(number),
        Do::PanicWithBomb => std::panic::panic_any(Bomb),
        Do::Hang => std::future::pending().await,
        Do::HangWithBomb => {
            let _bomb = Bomb;
            std::future::pending().await
        }
        Do::ReturnBytes(len) => Ok("x".repeat(len)),
        Do::FailWithBytes(len) => Err(Odd::Text("x".repeat(len))),
        Do::PanicWithBytes(len) => panic!("{}", "x".repeat(len)),
    }
}

/// Tries until it succeeds or the policy ends; 20 ms are the most an attempt may take.
#[orchestrator]
async fn attempts(
    ctx: OrchestrationContext,
    policy: Option<RetryPolicy>,
    todo: Vec<Do>,
) -> Result<String, Failed> {
    let call = ctx
        .call_activity::<attempt>(todo)
        .timeout(Duration::from_millis(20));
    let call = match policy {
        Some(policy) => call.retry(policy),
        None => call,
    };
    call.await.map_err(Failed::of)
}

/// What comes of an activity that does these things, and its attempts.
async fn run(
    hub: &TaskHub,
    policy: Option<RetryPolicy>,
    todo: &[Do],
) -> (Result<String, Failed>, Vec<Attempt>) {
    let (log, mut made) = Log::new();
    let worker = hub.worker().register::<attempts>().register::<attempt>();
    let worker = worker.state(log).start().await.unwrap();
    let start = hub
        .client()
        .start_orchestration::<attempts>((policy, todo.to_vec()));
    let result = match start.await.unwrap().wait_for_completion().await {
        Ok(output) => Ok(output),
        Err(OrchestrationError::Application(error)) => Err(error),
        Err(other) => panic!("{other:?}"),
    };
    assert_eq!(worker.shutdown().await, 0);
    let mut attempts = Vec::new();
    while let Ok(attempt) = made.try_recv() {
        attempts.push(attempt);
    }
    (result, attempts)
}

/// Checks how a call ends whose attempts do these things, and that there were so many.
async fn check(todo: &[Do], attempts: u32, expected: Result<&str, (&str, &str)>) {
    on_both(async |hub| {
        let policy = RetryPolicy::fixed(3, Duration::from_millis(1));
        let (result, made) = run(hub, Some(policy), todo).await;
        match (&result, expected) {
            (Ok(output), Ok(expected)) => assert_eq!(output, expected),
            (Err(error), Err((variant, text))) => {
                assert_eq!(error.variant, variant, "{error:?}");
                assert!(error.text.contains(text), "{error:?}");
            }
            _ => panic!("{result:?} instead of {expected:?}"),
        }
        let numbers: Vec<_> = made.iter().map(|attempt| attempt.number).collect();
        assert!(numbers.iter().copied().eq(1..=attempts), "{numbers:?}");
        let keys: BTreeSet<_> = made.iter().map(|attempt| &attempt.key).collect();
        assert_eq!(keys.len(), 1, "every attempt has the key of the call");
    })
    .await;
}

#[tokio::test]
async fn a_failed_attempt_is_followed_by_another() {
    check(&[Do::Fail(1), Do::Return], 2, Ok("attempt 2")).await;
}

#[tokio::test]
async fn the_last_error_is_the_callers() {
    let todo = [Do::Fail(1), Do::Fail(2), Do::Fail(3), Do::Return];
    check(&todo, 3, Err(("Application", "Number(3)"))).await;
}

#[tokio::test]
async fn a_panic_is_a_failed_attempt() {
    let panic = |text: &str| Do::Panic(text.to_owned());
    check(&[panic("once"), Do::Return], 2, Ok("attempt 2")).await;
    let todo = [Do::Fail(1), Do::Fail(2), panic("at last")];
    check(&todo, 3, Err(("Panicked", "at last (at durable-core"))).await;
    check(&[Do::PanicWithNumber, Do::Return], 2, Ok("attempt 2")).await;
}

#[tokio::test]
async fn a_panic_whose_payload_panics_too_is_a_failed_attempt() {
    check(&[Do::PanicWithBomb, Do::Return], 2, Ok("attempt 2")).await;
}

#[tokio::test]
async fn an_attempt_that_takes_too_long_is_a_failed_one() {
    check(&[Do::Hang, Do::Return], 2, Ok("attempt 2")).await;
    let todo = [Do::Fail(1), Do::Fail(2), Do::Hang];
    check(&todo, 3, Err(("TimedOut", "longer than 20ms"))).await;
}

#[tokio::test]
async fn an_attempt_that_takes_too_long_and_panics_when_dropped_is_a_failed_one() {
    check(&[Do::HangWithBomb, Do::Return], 2, Ok("attempt 2")).await;
}

#[tokio::test]
async fn what_is_too_large_fails_and_is_not_tried_again() {
    let large = 3 * 1024 * 1024;
    for todo in [Do::ReturnBytes(large), Do::FailWithBytes(large)] {
        let todo = [todo, Do::Return];
        check(&todo, 1, Err(("Data", "over the limit of 2097152"))).await;
    }
}

#[tokio::test]
async fn of_a_text_that_is_too_large_the_beginning_is_kept() {
    let todo = vec![Do::PanicWithBytes(3 * 1024 * 1024); 3];
    check(&todo, 3, Err(("Panicked", "xxx…"))).await;
}

#[tokio::test]
async fn intervals_between_attempts_are_as_long_as_the_policy_says() {
    const MINUTE: Duration = Duration::from_secs(60);
    let policy = RetryPolicy::exponential(5, 10 * MINUTE).max_interval(25 * MINUTE);
    let began = Arc::new(Mutex::new(Vec::new()));
    let (noted, mut number) = (Arc::clone(&began), 0);
    let mock = move |_| {
        // The hub's own, where mocks run.
        noted.lock().unwrap().push(tokio::time::Instant::now());
        number += 1;
        let attempt = number;
        async move {
            match attempt {
                // It takes a while, so that its end is told from its beginning.
                1 => std::future::pending().await,
                2 | 3 => Err(Odd::Number(attempt)),
                4 => panic!("fourth"),
                _ => Ok(format!("attempt {attempt}")),
            }
        }
    };
    let hub = TestHub::builder().register::<attempts>();
    let hub = hub.mock_async::<attempt, _>(mock).start().await.unwrap();
    let input = (Some(policy), Vec::new());
    let instance = hub.client().start_orchestration::<attempts>(input).await;
    let result = soon(instance.unwrap().wait_for_completion()).await;
    assert_eq!(result.unwrap(), "attempt 5");
    let began = began.lock().unwrap();
    let intervals: Vec<_> = began.windows(2).map(|two| two[1] - two[0]).collect();
    let timeout = Duration::from_millis(20);
    let exact = [10 * MINUTE + timeout, 20 * MINUTE, 25 * MINUTE, 25 * MINUTE];
    assert_eq!(intervals.len(), exact.len());
    for (interval, exact) in intervals.into_iter().zip(exact) {
        let late = interval.checked_sub(exact).expect("never early");
        // Tokio's timers are rounded up to milliseconds.
        assert!(late <= Duration::from_millis(2), "{late:?} late");
    }
}

#[tokio::test]
async fn errors_that_serde_does_not_know_come_back_as_details() {
    #[derive(Debug, thiserror::Error)]
    #[error("the disk is full")]
    struct Full;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot save")]
    struct Save(#[source] Full);

    #[activity]
    async fn save() -> Result<(), Box<dyn Error + Send + Sync>> {
        Err(Box::new(Save(Full)))
    }

    #[orchestrator]
    async fn saves(ctx: OrchestrationContext) -> Result<(), ActivityError<FailureDetails>> {
        ctx.call_activity::<save>(()).await
    }

    on_both(async |hub| {
        let worker = hub.worker().register::<saves>().register::<save>();
        let _worker = worker.start().await.unwrap();
        let start = hub.client().start_orchestration::<saves>(());
        let instance = start.await.unwrap();
        match instance.wait_for_completion().await {
            // What the orchestrator returned comes back as it is, with the details in it.
            Err(OrchestrationError::Application(ActivityError::Application(details))) => {
                assert_eq!(details.kind(), FailureKind::Application);
                assert_eq!(details.message(), "cannot save");
            }
            other => panic!("{other:?}"),
        }
    })
    .await;
}

#[tokio::test]
async fn the_causes_of_an_error_are_recorded() {
    #[derive(Debug, thiserror::Error)]
    #[error("cannot save")]
    struct Save(#[source] std::io::Error);

    #[activity]
    async fn save() -> Result<(), Box<dyn Error + Send + Sync>> {
        Err(Box::new(Save(std::io::Error::other("disk full"))))
    }

    #[orchestrator]
    async fn causes(ctx: OrchestrationContext) -> Vec<String> {
        match ctx.call_activity::<save>(()).await {
            Err(ActivityError::Application(details)) => {
                let mut texts = vec![details.message().to_owned()];
                texts.extend_from_slice(details.causes());
                texts
            }
            other => vec![format!("{other:?}")],
        }
    }

    on_both(async |hub| {
        let worker = hub.worker().register::<causes>().register::<save>();
        let _worker = worker.start().await.unwrap();
        let start = hub.client().start_orchestration::<causes>(());
        let texts = start.await.unwrap().wait_for_completion().await.unwrap();
        assert_eq!(texts, ["cannot save", "disk full"]);
    })
    .await;
}

#[tokio::test]
async fn every_call_has_its_own_key() {
    #[derive(Clone, Default)]
    struct Keys(Arc<Mutex<Vec<String>>>);

    #[activity]
    async fn note(State(keys): State<Keys>, ctx: ActivityContext) {
        keys.0.lock().unwrap().push(ctx.idempotency_key());
    }

    #[orchestrator]
    async fn notes(ctx: OrchestrationContext) {
        for _ in 0..3 {
            ctx.call_activity::<note>(()).await.unwrap();
        }
    }

    on_both(async |hub| {
        let keys = Keys::default();
        let worker = hub.worker().register::<notes>().register::<note>();
        let _worker = worker.state(keys.clone()).start().await.unwrap();
        // Ids that could be mistaken for another's with something appended.
        for id in ["x", "x/1", "x/1/0", "x/0/0/#1"] {
            let start = hub.client().start_orchestration::<notes>(());
            let instance = start.id(id).await.unwrap();
            instance.wait_for_completion().await.unwrap();
        }
        let keys = keys.0.lock().unwrap().clone();
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), 12, "{keys:?}");
    })
    .await;
}

/// Its thread is not free any sooner.
#[tokio::test]
async fn a_synchronous_attempt_occupies_its_slot_until_it_returns() {
    type Gate = Arc<Mutex<std::sync::mpsc::Receiver<()>>>;

    #[activity]
    fn blocked(State(gate): State<Gate>) {
        gate.lock().unwrap().recv().unwrap();
    }

    #[orchestrator]
    async fn gives_up(ctx: OrchestrationContext) -> String {
        let call = ctx.call_activity::<blocked>(());
        let late = call.timeout(Duration::from_millis(1)).await;
        assert!(matches!(late, Err(ActivityError::TimedOut(_))), "{late:?}");
        ctx.set_custom_status("given up").unwrap();
        ctx.call_activity::<step>("next".to_owned()).await.unwrap()
    }

    on_both(async |hub| {
        let (release, gate) = std::sync::mpsc::channel();
        let (steps, mut begun) = Steps::free();
        let worker = worker(hub, &steps).state::<Gate>(Arc::new(Mutex::new(gate)));
        let worker = worker.register::<blocked>().register::<gives_up>();
        let worker = worker.max_concurrent_activities(1).start().await.unwrap();
        let client = hub.client();
        let start = client.start_orchestration::<gives_up>(());
        let instance = start.id("gives-up").await.unwrap();
        status_when(&client, "gives-up", |status| {
            status.custom_status_json().is_some()
        })
        .await;
        // Time enough for the next one to begin, if it could.
        for _ in 0..5 {
            let echo = client.start_orchestration::<echo>(String::new());
            echo.await.unwrap().wait_for_completion().await.unwrap();
        }
        assert!(begun.try_recv().is_err(), "the slot is not free");
        release.send(()).unwrap();
        assert_eq!(instance.wait_for_completion().await.unwrap(), "NEXT");
        assert_eq!(worker.shutdown().await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_shutdown_lets_what_runs_end_and_records_it() {
    on_both(async |hub| {
        let (steps, mut begun) = Steps::held();
        let first = worker(hub, &steps).start().await.unwrap();
        let client = hub.client();
        let start = client.start_orchestration::<chain>(names(&["a", "b"]));
        let instance = start.await.unwrap();
        assert_eq!(begun.recv().await.unwrap(), "a");
        let mut shutdown = Box::pin(first.shutdown());
        assert!(futures_util::poll!(&mut shutdown).is_pending());
        steps.end(1);
        assert_eq!(soon(shutdown).await, 0);
        assert!(begun.try_recv().is_err(), "nothing new is begun");

        let (steps, mut begun) = Steps::free();
        let _second = worker(hub, &steps).start().await.unwrap();
        assert_eq!(instance.wait_for_completion().await.unwrap(), ["A", "B"]);
        assert_eq!(begun.recv().await.unwrap(), "b", "a was recorded");
        assert!(begun.try_recv().is_err());
    })
    .await;
}

#[tokio::test]
async fn a_shutdown_drops_what_does_not_end_in_time_and_it_runs_again_later() {
    on_both(async |hub| {
        let (steps, mut begun) = Steps::held();
        let first = worker(hub, &steps).register::<fan_out>();
        let first = first.shutdown_timeout(Duration::from_millis(5));
        let first = first.start().await.unwrap();
        let start = hub
            .client()
            .start_orchestration::<fan_out>(names(&["a", "b"]));
        let instance = start.await.unwrap();
        begun.recv().await.unwrap();
        begun.recv().await.unwrap();
        assert_eq!(first.shutdown().await, 2);

        let (steps, mut begun) = Steps::free();
        let second = worker(hub, &steps).register::<fan_out>();
        let _second = second.start().await.unwrap();
        assert_eq!(instance.wait_for_completion().await.unwrap(), ["A", "B"]);
        assert_eq!(begun.recv().await.unwrap(), "a");
        assert_eq!(begun.recv().await.unwrap(), "b");
    })
    .await;
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_what_nobody_waits_for() {
    #[activity]
    async fn deaf(State(steps): State<Steps>) {
        steps.say("deaf");
        std::future::pending::<()>().await;
    }

    #[orchestrator]
    async fn calls_deaf(ctx: OrchestrationContext) -> Result<(), ActivityError<NoError>> {
        ctx.call_activity::<deaf>(()).await
    }

    on_both(async |hub| {
        let (steps, mut begun) = Steps::held();
        let worker = hub.worker().state(steps);
        let worker = worker.register::<calls_deaf>().register::<deaf>();
        let worker = worker.shutdown_timeout(Duration::from_secs(600));
        let worker = worker.start().await.unwrap();
        let start = hub.client().start_orchestration::<calls_deaf>(());
        let instance = start.await.unwrap();
        assert_eq!(begun.recv().await.unwrap(), "deaf");
        instance.terminate("no more").await.unwrap();
        assert_eq!(soon(worker.shutdown()).await, 0);
    })
    .await;
}

#[tokio::test]
async fn what_waited_for_a_slot_at_shutdown_runs_later() {
    let place = Place::new();
    let hub = place.open().await;
    let (steps, mut begun) = Steps::held();
    let first = worker(&hub, &steps).register::<fan_out>();
    let first = first.max_concurrent_activities(2).start().await.unwrap();
    let all: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    let start = hub.client().start_orchestration::<fan_out>(all.clone());
    start.id("x").await.unwrap();
    begun.recv().await.unwrap();
    begun.recv().await.unwrap();
    let mut shutdown = Box::pin(first.shutdown());
    assert!(futures_util::poll!(&mut shutdown).is_pending());
    steps.end(20);
    assert_eq!(soon(shutdown).await, 0);
    assert!(begun.try_recv().is_err(), "no slot is given any more");
    soon(hub.close()).await.unwrap();

    let hub = place.open().await;
    let (steps, mut begun) = Steps::free();
    let second = worker(&hub, &steps).register::<fan_out>();
    let second = second.start().await.unwrap();
    let instance = hub.client().instance::<fan_out>("x").unwrap();
    assert_eq!(soon(instance.wait_for_completion()).await.unwrap(), all);
    second.shutdown().await;
    let mut again = 0;
    while begun.try_recv().is_ok() {
        again += 1;
    }
    assert_eq!(again, 18, "what had ended was recorded");
}

#[tokio::test]
async fn a_worker_that_is_dropped_drops_what_it_runs() {
    #[derive(Clone)]
    struct Ends(UnboundedSender<&'static str>);

    struct Guard(Ends);

    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.0.send("dropped").unwrap();
        }
    }

    #[activity]
    async fn guarded(State(ends): State<Ends>) {
        let _guard = Guard(ends.clone());
        ends.0.send("began").unwrap();
        std::future::pending::<()>().await;
    }

    #[orchestrator]
    async fn guards(ctx: OrchestrationContext) {
        ctx.call_activity::<guarded>(()).await.unwrap();
    }

    on_both(async |hub| {
        let (sender, mut ends) = mpsc::unbounded_channel();
        let worker = hub.worker().register::<guards>().register::<guarded>();
        let worker = worker.state(Ends(sender)).start().await.unwrap();
        let instance = hub.client().start_orchestration::<guards>(()).await;
        let instance = instance.unwrap();
        assert_eq!(ends.recv().await, Some("began"));
        drop(worker);
        assert_eq!(ends.recv().await, Some("dropped"));
        let status = instance.status().await.unwrap().unwrap();
        assert_eq!(status.runtime_status(), RuntimeStatus::Running);
        assert_eq!(status.problem(), None);
    })
    .await;
}
