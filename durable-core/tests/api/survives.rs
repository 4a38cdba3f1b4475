//! What an orchestrator has and is promised is the same after each restart. Where time would have to pass
//! this is tested on a `TestHub`, which is killed and started again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use durable_core::testing::TestHub;
use durable_core::{
    ActivityContext, ActivityError, EventError, NoError, OrchestrationContext, OrchestrationError,
    OrchestrationStatus, Poll, RetryPolicy, RuntimeStatus, State, SubOrchestrationError, TaskHub,
    WorkerBuilder, activity, orchestrator,
};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use tokio::sync::mpsc;

use super::{Site, Steps, chain, names, over_restarts, soon, status_when, step};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);

/// All that it can ask its context.
fn describe(ctx: OrchestrationContext) -> Value {
    json!({
        "id": ctx.instance_id().as_str(),
        "execution": ctx.execution_id().generation(),
        "parent": format!("{:?}", ctx.parent()),
        "name": ctx.name(),
        "version": ctx.version(),
        "tags": ctx.tags(),
        "length": ctx.history_length(),
        "now": ctx.now(),
        "drawn": (ctx.new_uuid().to_string(), ctx.random_u64()),
    })
}

/// Tells of itself in its second execution, before each event and at its end.
#[orchestrator(name = "who", version = "7")]
async fn who(ctx: OrchestrationContext) -> Vec<Value> {
    if ctx.execution_id().generation() == 0 {
        return ctx.continue_as_new::<who, _>(()).await;
    }
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(describe(ctx));
        ctx.set_custom_status(told.last().unwrap()).unwrap();
        let () = ctx.wait_for_external_event("go").await.unwrap();
    }
    told
}

#[orchestrator]
async fn parent(ctx: OrchestrationContext) -> Result<Vec<Value>, SubOrchestrationError<NoError>> {
    let kid = ctx.call_sub_orchestrator::<who>(()).id("kid");
    kid.tag("team", "a").await
}

#[tokio::test]
async fn who_it_is_and_what_it_drew() {
    let deploy = |worker: WorkerBuilder| worker.register::<who>().register::<parent>();
    over_restarts(TaskHub::options(), deploy, async |mut site| {
        let start = site.client().start_orchestration::<parent>(());
        start.id("parent").await.unwrap();
        let mut seen: Vec<Value> = Vec::new();
        for _ in 0..3 {
            let last = seen.last().cloned();
            let is_new = |status: &OrchestrationStatus| {
                let told: Option<Value> = status.custom_status().unwrap();
                told.is_some() && told != last
            };
            let status = status_when(&site.client(), "kid", is_new).await;
            seen.push(status.custom_status().unwrap().unwrap());
            site = site.restart().await;
            site.client().raise_event("kid", "go", &()).await.unwrap();
        }
        let ended = site.client().instance::<parent>("parent").unwrap();
        let told = soon(ended.wait_for_completion()).await.unwrap();
        assert_eq!(told, seen);
        for (key, expected) in [
            ("id", json!("kid")),
            ("execution", json!(1)),
            ("name", json!("who")),
            ("version", json!("7")),
            ("tags", json!({"team": "a"})),
            ("length", json!(1)),
        ] {
            assert_eq!(told[0][key], expected, "{key}");
        }
        assert!(told[0]["parent"].to_string().contains("parent"), "{told:?}");
        assert_eq!(
            (&told[2]["length"], told[1]["drawn"] == told[2]["drawn"]),
            (&json!(3), false)
        );
        site
    })
    .await;
}

/// When it woke.
#[orchestrator]
async fn sleeps(ctx: OrchestrationContext, delay: Duration, is_absolute: bool) -> SystemTime {
    if is_absolute {
        ctx.create_timer_at(ctx.now() + delay).await;
    } else {
        ctx.create_timer(delay).await;
    }
    ctx.now()
}

#[tokio::test]
async fn when_a_timer_is_due() {
    let hub = TestHub::builder().skip_time(false).register::<sleeps>();
    let mut hub = soon(hub.start()).await.unwrap();
    let moment = Duration::from_micros(1);
    for delay in [Duration::ZERO, moment, HOUR, DAY, YEAR, 100 * YEAR] {
        for is_absolute in [false, true] {
            let start = hub
                .client()
                .start_orchestration::<sleeps>((delay, is_absolute));
            let began = hub.now();
            let instance = start.await.unwrap();
            for _ in 0..4 {
                hub.advance(delay / 5).await.unwrap();
                hub.restart().await.unwrap();
            }
            // Time is rounded up to microseconds, five times.
            let rest = (began + delay)
                .duration_since(hub.now())
                .unwrap_or_default();
            if rest > moment {
                hub.advance(rest.saturating_sub(moment)).await.unwrap();
                let status = instance.status().await.unwrap().unwrap();
                assert_eq!(status.runtime_status(), RuntimeStatus::Running, "{delay:?}");
            }
            hub.advance(2 * moment).await.unwrap();
            let woke = soon(instance.wait_for_completion()).await.unwrap();
            let late = woke.duration_since(began + delay).expect("never early");
            assert!(late < Duration::from_millis(1), "{delay:?}: {late:?}");
        }
    }
}

/// Sleeps for ever, unless something comes before; then for something else, without that timer.
#[orchestrator]
async fn dozes(ctx: OrchestrationContext) -> (String, String) {
    let first = tokio::select! { biased;
        () = ctx.create_timer(100 * YEAR) => "too early".to_owned(),
        () = ctx.create_timer_at(SystemTime::UNIX_EPOCH + 200 * YEAR) => "too early".to_owned(),
        () = ctx.create_timer(HOUR) => "too early".to_owned(),
        first = ctx.wait_for_external_event("first") => first.unwrap(),
    };
    ctx.set_custom_status(&first).unwrap();
    ctx.create_timer_at(SystemTime::UNIX_EPOCH).await;
    (first, ctx.wait_for_external_event("second").await.unwrap())
}

#[tokio::test]
async fn that_a_timer_sleeps_or_is_withdrawn() {
    let deploy = |worker: WorkerBuilder| worker.register::<dozes>();
    over_restarts(TaskHub::options(), deploy, async |mut site| {
        let start = site.client().start_orchestration::<dozes>(());
        start.id("x").await.unwrap();
        for event in ["first", "second"] {
            site = site.restart().await;
            let status = site.client().status("x").await.unwrap().unwrap();
            assert!(!status.runtime_status().is_terminal());
            site.client().raise_event("x", event, event).await.unwrap();
        }
        let dozed = site.client().instance::<dozes>("x").unwrap();
        let dozed = soon(dozed.wait_for_completion()).await.unwrap();
        assert_eq!(dozed, ("first".to_owned(), "second".to_owned()));
        site
    })
    .await;

    let mut hub = soon(TestHub::builder().register::<dozes>().start())
        .await
        .unwrap();
    let instance = hub.client().start_orchestration::<dozes>(()).await.unwrap();
    instance.raise_event("first", "first").await.unwrap();
    hub.restart().await.unwrap();
    hub.advance(300 * YEAR).await.unwrap();
    let history = hub.history(instance.id()).await.unwrap();
    let fired = history.iter().filter(|line| line.contains("TimerFired"));
    assert_eq!(
        fired.count(),
        1,
        "the one that was due at once: {history:#?}"
    );
}

/// Three who wait for events of one name, in the order of their turns.
#[orchestrator]
async fn queue(ctx: OrchestrationContext) -> Vec<String> {
    let wait = async |who: &'static str, name: &'static str| {
        let event: Result<u32, _> = ctx.wait_for_external_event(name).await;
        match event {
            Ok(number) => format!("{who} {number}"),
            Err(EventError::Data(_)) => format!("{who} ?"),
            Err(error) => panic!("{error}"),
        }
    };
    let waits = [
        ("a", "Number"),
        ("b", "NUMBER"),
        ("c", "number"),
        ("d", "Other"),
    ];
    let waits: FuturesUnordered<_> = waits
        .into_iter()
        .map(|(who, name)| wait(who, name))
        .collect();
    waits.collect().await
}

#[tokio::test]
async fn who_waits_for_events_and_whose_turn_it_is() {
    let deploy = |worker: WorkerBuilder| worker.register::<queue>();
    over_restarts(TaskHub::options(), deploy, async |mut site| {
        let start = site.client().start_orchestration::<queue>(());
        start.id("x").await.unwrap();
        for (name, data) in [
            ("nUMBER", json!(1)),
            ("other", json!(2)),
            // Not what is waited for, and used up.
            ("Number", json!("three")),
            ("number", json!(4)),
        ] {
            site.client().raise_event("x", name, &data).await.unwrap();
            site = site.restart().await;
        }
        let told = site.client().instance::<queue>("x").unwrap();
        let told = soon(told.wait_for_completion()).await.unwrap();
        assert_eq!(told, ["a 1", "d 2", "b ?", "c 4"]);
        site
    })
    .await;
}

#[activity]
async fn charge(cents: u64) -> Result<u64, String> {
    unreachable!("{cents} are charged")
}

#[orchestrator]
async fn tries(
    ctx: OrchestrationContext,
    policy: RetryPolicy,
) -> Result<u64, ActivityError<String>> {
    ctx.call_activity::<charge>(1)
        .retry(policy)
        .timeout(HOUR)
        .await
}

#[orchestrator]
async fn tries_children(
    ctx: OrchestrationContext,
    policy: RetryPolicy,
) -> Result<u64, SubOrchestrationError<ActivityError<String>>> {
    let once = RetryPolicy::fixed(1, Duration::ZERO);
    ctx.call_sub_orchestrator::<tries>(once)
        .id("kid")
        .retry(policy)
        .await
}

/// What is recorded of a call that succeeds at its third attempt, and how many there were; the process is
/// killed once an hour, or never.
async fn tried(policy: &RetryPolicy, children: bool, is_killed: bool) -> (Vec<String>, usize) {
    let mut attempts = 0;
    let hub = TestHub::builder()
        .skip_time(false)
        .register::<tries>()
        .register::<tries_children>()
        .mock::<charge>(move |_| {
            attempts += 1;
            if attempts < 3 {
                Err("busy".to_owned())
            } else {
                Ok(attempts)
            }
        });
    let mut hub = soon(hub.start()).await.unwrap();
    let client = hub.client();
    if children {
        client
            .start_orchestration::<tries_children>(policy.clone())
            .id("x")
            .await
            .unwrap();
    } else {
        client
            .start_orchestration::<tries>(policy.clone())
            .id("x")
            .await
            .unwrap();
    }
    let status = async || client.status("x").await.unwrap().unwrap().runtime_status();
    for _ in 0..10_000 {
        if status().await.is_terminal() {
            break;
        }
        hub.advance(HOUR).await.unwrap();
        if is_killed {
            hub.restart().await.unwrap();
        }
    }
    assert_eq!(status().await, RuntimeStatus::Completed);
    (hub.history("x").await.unwrap(), hub.calls::<charge>().len())
}

#[tokio::test]
async fn how_long_an_attempt_may_take() {
    let hub = TestHub::builder().skip_time(false).register::<tries>();
    let hub = hub.mock_async::<charge, _>(async |_| std::future::pending().await);
    let mut hub = soon(hub.start()).await.unwrap();
    let policy = RetryPolicy::fixed(2, HOUR);
    let start = hub.client().start_orchestration::<tries>(policy);
    let instance = start.await.unwrap();
    // The attempt that was killed is made again and has its whole hour, and so has the second.
    hub.advance(HOUR / 2).await.unwrap();
    hub.restart().await.unwrap();
    let second = Duration::from_secs(1);
    for (passes, attempts, is_over) in [
        (HOUR.saturating_sub(second), 2, false),
        (2 * second, 2, false),
        (HOUR, 3, false),
        (HOUR.saturating_sub(2 * second), 3, false),
        (2 * second, 3, true),
    ] {
        hub.advance(passes).await.unwrap();
        assert_eq!(hub.calls::<charge>().len(), attempts);
        let status = instance.status().await.unwrap().unwrap();
        assert_eq!(status.runtime_status().is_terminal(), is_over);
    }
    match soon(instance.wait_for_completion()).await {
        Err(OrchestrationError::Application(ActivityError::TimedOut(_))) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn when_the_next_attempt_is_due_and_how_many_there_were() {
    let odd = Duration::from_millis(90_001);
    let mut lengths = Vec::new();
    for policy in [
        RetryPolicy::fixed(3, 3 * DAY),
        RetryPolicy::exponential(9, 10 * HOUR + odd),
        RetryPolicy::exponential(9, DAY).max_interval(30 * HOUR),
        RetryPolicy::exponential(9, 50 * HOUR + odd).jitter(0.7),
        RetryPolicy::fixed(9, 2 * HOUR).retry_timeout(DAY),
    ] {
        for children in [false, true] {
            let (undisturbed, attempts) = tried(&policy, children, false).await;
            let (killed, attempts_killed) = tried(&policy, children, true).await;
            assert_eq!(killed, undisturbed, "{policy:?}");
            assert_eq!((attempts, attempts_killed), (3, 3), "{policy:?}");
            lengths.push(undisturbed.len());
        }
    }
    // Not a line of an attempt.
    let first = lengths[..2].to_vec();
    assert!(lengths.chunks(2).all(|two| two == first), "{lengths:?}");
}

#[derive(Clone, Debug, PartialEq, thiserror::Error, Serialize, Deserialize)]
#[error("{item} is sold out")]
struct SoldOut {
    item: String,
}

/// Waits to be told what is sold out.
#[orchestrator]
async fn fetch(ctx: OrchestrationContext, name: String) -> Result<String, SoldOut> {
    let item: String = ctx.wait_for_external_event(&name).await.unwrap();
    Err(SoldOut { item })
}

/// Has a child of its own name with a dash more, to this depth.
#[orchestrator]
async fn nested(ctx: OrchestrationContext, levels: u32) -> Result<String, SoldOut> {
    if levels == 0 {
        let call = ctx.call_sub_orchestrator::<fetch>("Go".to_owned());
        let fetched = call.id("leaf").await;
        return fetched.map_err(|error| match error {
            SubOrchestrationError::Application(sold_out) => sold_out,
            other => panic!("{other}"),
        });
    }
    let below = ctx.call_sub_orchestrator::<nested>(levels - 1);
    below
        .id(format!("level {levels}"))
        .await
        .map_err(|error| match error {
            SubOrchestrationError::Application(SoldOut { item }) => SoldOut { item: item + "!" },
            other => panic!("{other}"),
        })
}

/// Lets another go, and ends when told to.
#[orchestrator]
async fn lets_go(ctx: OrchestrationContext) -> String {
    let call = ctx.call_sub_orchestrator::<fetch>("Go".to_owned());
    call.id("alone").detach().unwrap();
    ctx.wait_for_external_event("end").await.unwrap()
}

fn families(worker: WorkerBuilder) -> WorkerBuilder {
    worker
        .register::<fetch>()
        .register::<nested>()
        .register::<lets_go>()
}

async fn is_there(site: &Site, id: &str) {
    status_when(&site.client(), id, |status| {
        status.runtime_status() == RuntimeStatus::Running
    })
    .await;
}

#[tokio::test]
async fn whose_child_it_is_through_a_thousand_levels_and_with_what_error_it_ends() {
    over_restarts(TaskHub::options(), families, async |mut site| {
        let start = site.client().start_orchestration::<nested>(998);
        start.id("top").await.unwrap();
        is_there(&site, "leaf").await;
        site = site.restart().await;
        site.client()
            .raise_event("leaf", "go", "milk")
            .await
            .unwrap();
        let top = site.client().instance::<nested>("top").unwrap();
        match soon(top.wait_for_completion()).await {
            Err(OrchestrationError::Application(SoldOut { item })) => {
                assert_eq!(item, "milk".to_owned() + &"!".repeat(998));
            }
            other => panic!("{other:?}"),
        }
        site
    })
    .await;
}

#[tokio::test]
async fn who_is_terminated_with_whom() {
    over_restarts(TaskHub::options(), families, async |mut site| {
        site.client()
            .start_orchestration::<nested>(20)
            .id("top")
            .await
            .unwrap();
        site.client()
            .start_orchestration::<lets_go>(())
            .id("free")
            .await
            .unwrap();
        is_there(&site, "leaf").await;
        is_there(&site, "alone").await;
        site = site.restart().await;
        let client = site.client();
        client.terminate_recursive("top", "enough").await.unwrap();
        client.terminate_recursive("free", "enough").await.unwrap();
        site = site.restart().await;
        let client = site.client();
        for id in ["leaf", "level 1", "level 20", "top", "free"] {
            let ended = soon(client.wait_for_completion(id)).await.unwrap();
            let status = ended.unwrap().runtime_status();
            assert_eq!(status, RuntimeStatus::Terminated, "{id}");
        }
        client.raise_event("alone", "go", "on").await.unwrap();
        let ended = soon(client.wait_for_completion("alone")).await.unwrap();
        assert_eq!(ended.unwrap().runtime_status(), RuntimeStatus::Failed);
        site
    })
    .await;
}

/// A round a day; takes an event in every third of them.
#[orchestrator]
async fn rounds(ctx: OrchestrationContext, (round, heard): (u32, Vec<u32>)) -> (u32, Vec<u32>) {
    let mut heard = heard;
    assert_eq!(ctx.execution_id().generation(), round);
    if round == 12 {
        return (round, heard);
    }
    ctx.create_timer(DAY).await;
    if round.is_multiple_of(3) {
        heard.push(ctx.wait_for_external_event("n").await.unwrap());
    }
    ctx.continue_as_new::<rounds, _>((round + 1, heard)).await
}

#[tokio::test]
async fn which_execution_it_is_in_and_what_was_not_taken_yet() {
    let hub = TestHub::builder().skip_time(false).register::<rounds>();
    let mut hub = soon(hub.start()).await.unwrap();
    let began = hub.now();
    let input = (0, Vec::new());
    let start = hub.client().start_orchestration::<rounds>(input).id("x");
    let instance = start.await.unwrap();
    for round in 0..24 {
        // They come again, and are the same: also in executions that have not taken them.
        for n in 1..=4 {
            let (client, id) = (hub.client(), format!("event {n}"));
            let raised = client.raise_event_once("x", &id, "N", &n).await;
            assert!(raised.is_ok() || round == 23, "{raised:?}");
        }
        assert!(hub.history("x").await.unwrap().len() < 20);
        hub.restart().await.unwrap();
        hub.advance(DAY / 2).await.unwrap();
    }
    hub.advance(Duration::from_millis(1)).await.unwrap();
    let ended = soon(instance.wait_for_completion()).await.unwrap();
    assert_eq!(ended, (12, vec![1, 2, 3, 4]));
    let passed = hub.now().duration_since(began).unwrap();
    assert!(passed < 12 * DAY + Duration::from_millis(2), "{passed:?}");
}

/// The numbers of attempts by key.
#[derive(Clone, Default)]
struct Noted(Arc<Mutex<BTreeMap<String, Vec<u32>>>>);

impl Noted {
    fn attempts(&self) -> usize {
        self.0.lock().unwrap().values().map(Vec::len).sum()
    }
}

/// Fails, then never ends, then asks to be asked again, then ends.
#[activity]
async fn note(ctx: ActivityContext, State(noted): State<Noted>) -> Result<Poll<u32, ()>, String> {
    let attempts = {
        let mut noted = noted.0.lock().unwrap();
        let attempts = noted.entry(ctx.idempotency_key()).or_default();
        attempts.push(ctx.attempt());
        attempts.len()
    };
    match attempts {
        1 => Err("busy".to_owned()),
        2 => std::future::pending().await,
        3 => Ok(Poll::again(Duration::ZERO, ())),
        _ => Ok(Poll::Done(ctx.attempt())),
    }
}

/// One call, in each of two executions.
#[orchestrator]
async fn notes(ctx: OrchestrationContext) -> Result<u32, ActivityError<String>> {
    let policy = RetryPolicy::fixed(5, Duration::ZERO);
    let attempt = ctx.call_activity::<note>(()).retry(policy).await?;
    if ctx.execution_id().generation() == 0 {
        return ctx.continue_as_new::<notes, _>(()).await;
    }
    Ok(attempt)
}

#[tokio::test]
async fn under_which_key_a_call_has_its_effect() {
    let noted = Noted::default();
    let seen = noted.clone();
    let deploy = move |worker: WorkerBuilder| {
        let worker = worker.state(noted.clone());
        worker.register::<note>().register::<notes>()
    };
    over_restarts(TaskHub::options(), deploy, async |mut site| {
        seen.0.lock().unwrap().clear();
        for incarnation in 0..2 {
            let start = site.client().start_orchestration::<notes>(());
            start.id("x").await.unwrap();
            for execution in 0..2 {
                let hangs = 4 * (2 * incarnation + execution) + 2;
                soon(async {
                    while seen.attempts() < hangs {
                        tokio::task::yield_now().await;
                    }
                })
                .await;
                site = site.restart().await;
            }
            let ended = site.client().instance::<notes>("x").unwrap();
            assert_eq!(soon(ended.wait_for_completion()).await.unwrap(), 2);
            // Who has this id next has other effects.
            ended.purge().await.unwrap();
        }
        let noted = seen.0.lock().unwrap().clone();
        assert_eq!(noted.len(), 4, "{noted:?}");
        assert!(
            noted.values().all(|attempts| *attempts == [1, 2, 2, 2]),
            "{noted:?}"
        );
        site
    })
    .await;
}

#[tokio::test]
async fn that_nobody_waits_for_an_attempt_any_more() {
    let (lives, begun) = mpsc::unbounded_channel();
    let deploy = move |worker: WorkerBuilder| {
        let (steps, begun) = Steps::held();
        lives.send(begun).unwrap();
        let worker = worker.state(steps);
        worker.register::<step>().register::<chain>()
    };
    let begun = Mutex::new(begun);
    over_restarts(TaskHub::options(), deploy, async |mut site| {
        let next = || begun.lock().unwrap().try_recv().unwrap();
        let start = site.client().start_orchestration::<chain>(names(&["a"]));
        start.id("x").await.unwrap();
        assert_eq!(next().recv().await.unwrap(), "a");
        site = site.restart().await;
        let mut begun = next();
        assert_eq!(begun.recv().await.unwrap(), "a");
        site.client().terminate("x", "enough").await.unwrap();
        assert_eq!(begun.recv().await.unwrap(), "a cancelled");
        site
    })
    .await;
}

/// Begins a timer for each event, and keeps it.
#[orchestrator]
async fn hoards(ctx: OrchestrationContext) {
    let mut timers = Vec::new();
    loop {
        let () = ctx.wait_for_external_event("more").await.unwrap();
        timers.push(ctx.create_timer(DAY).start());
        ctx.set_custom_status(&timers.len()).unwrap();
    }
}

/// A child that has one when it is told to.
#[orchestrator]
async fn digs(ctx: OrchestrationContext, levels: u32) -> Result<(), String> {
    let () = ctx.wait_for_external_event("dig").await.unwrap();
    if levels == 0 {
        return Ok(());
    }
    let below = ctx.call_sub_orchestrator::<digs>(levels - 1);
    match below.id(format!("level {levels}")).await {
        Err(SubOrchestrationError::LimitExceeded(_)) => Err(format!("limit at {levels}")),
        Err(SubOrchestrationError::Application(below)) => Err(below),
        other => other.map_err(|error| error.to_string()),
    }
}

#[tokio::test]
async fn what_has_a_limit() {
    let outstanding = TaskHub::options().max_outstanding_calls(2);
    let history = TaskHub::options().max_history(4);
    for (options, fits) in [(outstanding, 2), (history, 3)] {
        let deploy = |worker: WorkerBuilder| worker.register::<hoards>();
        over_restarts(options, deploy, async |mut site| {
            let start = site.client().start_orchestration::<hoards>(());
            start.id("x").await.unwrap();
            for begun in 1..=fits {
                site.client().raise_event("x", "more", &()).await.unwrap();
                let is_begun = |status: &OrchestrationStatus| {
                    status.custom_status::<usize>().unwrap() == Some(begun)
                };
                status_when(&site.client(), "x", is_begun).await;
                site = site.restart().await;
            }
            site.client().raise_event("x", "more", &()).await.unwrap();
            let ended = site.client().instance::<hoards>("x").unwrap();
            let ended = soon(ended.wait_for_completion()).await;
            let is_limit = matches!(ended, Err(OrchestrationError::LimitExceeded(_)));
            assert!(is_limit, "{ended:?}");
            site
        })
        .await;
    }
    let deploy = |worker: WorkerBuilder| worker.register::<digs>();
    over_restarts(TaskHub::options().max_depth(1), deploy, async |mut site| {
        site.client()
            .start_orchestration::<digs>(5)
            .id("top")
            .await
            .unwrap();
        site.client().raise_event("top", "dig", &()).await.unwrap();
        is_there(&site, "level 5").await;
        site = site.restart().await;
        site.client()
            .raise_event("level 5", "dig", &())
            .await
            .unwrap();
        let ended = site.client().instance::<digs>("top").unwrap();
        match soon(ended.wait_for_completion()).await {
            Err(OrchestrationError::Application(error)) => assert_eq!(error, "limit at 4"),
            other => panic!("{other:?}"),
        }
        site
    })
    .await;
}
