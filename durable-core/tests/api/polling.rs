//! Activities that ask to be asked again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use durable_core::{
    ActivityContext, ActivityError, FailureDetails, FromActivity, NoError, OrchestrationContext,
    Poll, Rejection, Resumed, RetryPolicy, State, TaskHub, WorkerBuilder, activity, orchestrator,
};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::{Place, on_both, soon, status_when};

/// What each attempt was given: its number, and what it goes on from.
#[derive(Clone)]
struct Seen(UnboundedSender<(u32, Option<u32>)>);

/// What the worker lets happen.
#[derive(Clone)]
struct Rules {
    /// It is done when this many have asked again.
    until: u32,
    /// This one fails, once.
    fails_at: Arc<AtomicU32>,
    pause: Duration,
}

impl Rules {
    fn until(until: u32) -> Self {
        Self {
            until,
            fails_at: Arc::new(AtomicU32::new(u32::MAX)),
            pause: Duration::ZERO,
        }
    }
}

#[activity]
async fn ripen(
    ctx: ActivityContext,
    State(seen): State<Seen>,
    State(rules): State<Rules>,
    Resumed(asked): Resumed<u32>,
    fruit: String,
) -> Result<Poll<String, u32>, String> {
    seen.0.send((ctx.attempt(), asked)).unwrap();
    let asked = asked.unwrap_or(0);
    if rules.fails_at.load(Ordering::SeqCst) == asked {
        rules.fails_at.store(u32::MAX, Ordering::SeqCst);
        return Err("rain".to_owned());
    }
    Ok(if asked < rules.until {
        Poll::again(rules.pause, asked + 1)
    } else {
        Poll::Done(format!("ripe {fruit}"))
    })
}

#[orchestrator]
async fn harvest(
    ctx: OrchestrationContext,
    attempts: u32,
) -> Result<String, ActivityError<String>> {
    ctx.call_activity::<ripen>("fig".to_owned())
        .retry(RetryPolicy::fixed(attempts, Duration::ZERO))
        .await
}

fn worker(hub: &TaskHub, rules: &Rules) -> (WorkerBuilder, UnboundedReceiver<(u32, Option<u32>)>) {
    let (sender, seen) = mpsc::unbounded_channel();
    let worker = hub.worker().state(Seen(sender)).state(rules.clone());
    (worker.register::<ripen>().register::<harvest>(), seen)
}

#[tokio::test]
async fn an_activity_is_asked_again_until_it_is_done() {
    on_both(async |hub| {
        let (worker, mut seen) = worker(hub, &Rules::until(30));
        let _worker = worker.start().await.unwrap();
        let start = hub.client().start_orchestration::<harvest>(1);
        let instance = start.await.unwrap();
        assert_eq!(instance.wait_for_completion().await.unwrap(), "ripe fig");
        assert_eq!(seen.recv().await, Some((1, None)));
        for asked in 1..=30 {
            assert_eq!(seen.recv().await, Some((1, Some(asked))), "no new attempt");
        }
        assert!(seen.try_recv().is_err());
    })
    .await;
}

#[tokio::test]
async fn a_failure_in_between_is_retried_from_where_it_was() {
    on_both(async |hub| {
        let rules = Rules::until(3);
        rules.fails_at.store(2, Ordering::SeqCst);
        let (worker, mut seen) = worker(hub, &rules);
        let _worker = worker.start().await.unwrap();
        let start = hub.client().start_orchestration::<harvest>(2);
        let instance = start.await.unwrap();
        assert_eq!(instance.wait_for_completion().await.unwrap(), "ripe fig");
        let expected = [
            (1, None),
            (1, Some(1)),
            (1, Some(2)),
            (2, Some(2)),
            (2, Some(3)),
        ];
        for expected in expected {
            assert_eq!(seen.recv().await, Some(expected));
        }
    })
    .await;
}

#[tokio::test]
async fn asking_again_lets_nothing_grow() {
    on_both(async |hub| {
        let rules = Rules {
            pause: Duration::from_millis(1),
            ..Rules::until(u32::MAX)
        };
        let (worker, mut seen) = worker(hub, &rules);
        let _worker = worker.start().await.unwrap();
        let start = hub.client().start_orchestration::<harvest>(1);
        start.id("x").await.unwrap();
        let mut bytes = Vec::new();
        for asked in [12, 90] {
            while seen.recv().await.unwrap().1 != Some(asked) {}
            bytes.push(hub.stats().await.unwrap().live_bytes);
        }
        assert_eq!(bytes[0], bytes[1]);
    })
    .await;
}

#[tokio::test]
async fn what_it_goes_on_from_survives_a_restart() {
    let place = Place::new();
    let hub = place.open().await;
    let rules = Rules {
        pause: Duration::from_millis(30),
        ..Rules::until(4)
    };
    let (first, mut seen) = worker(&hub, &rules);
    let first = first.start().await.unwrap();
    let start = hub.client().start_orchestration::<harvest>(1);
    start.id("x").await.unwrap();
    while seen.recv().await.unwrap().1 != Some(1) {}
    assert_eq!(first.shutdown().await, 0);
    soon(hub.close()).await.unwrap();

    let hub = place.open().await;
    let (second, mut seen) = worker(&hub, &rules);
    let _second = second.start().await.unwrap();
    let instance = hub.client().instance::<harvest>("x").unwrap();
    let output = soon(instance.wait_for_completion()).await;
    assert_eq!(output.unwrap(), "ripe fig");
    for asked in 2..=4 {
        assert_eq!(seen.recv().await, Some((1, Some(asked))));
    }
    assert!(seen.try_recv().is_err());
}

#[tokio::test]
async fn a_call_that_is_dropped_is_not_asked_again() {
    #[orchestrator]
    async fn impatient(ctx: OrchestrationContext) -> String {
        tokio::select! { biased;
            ripe = ctx.call_activity::<ripen>("fig".to_owned()) => ripe.unwrap(),
            go = ctx.wait_for_external_event::<String>("go") => go.unwrap(),
        }
    }

    on_both(async |hub| {
        let rules = Rules {
            pause: Duration::from_secs(600),
            ..Rules::until(1)
        };
        let (worker, mut seen) = worker(hub, &rules);
        let worker = worker.register::<impatient>().start().await.unwrap();
        let instance = hub.client().start_orchestration::<impatient>(()).await;
        let instance = instance.unwrap();
        assert_eq!(seen.recv().await, Some((1, None)));
        instance.raise_event("go", "unripe").await.unwrap();
        assert_eq!(instance.wait_for_completion().await.unwrap(), "unripe");
        assert_eq!(worker.shutdown().await, 0);
        let found = hub.verify().await.unwrap();
        assert!(found.damages.is_empty(), "{found:?}");
    })
    .await;
}

#[tokio::test]
async fn what_is_too_large_to_go_on_from_is_an_error() {
    #[activity]
    async fn hoard() -> Poll<(), String> {
        Poll::again(Duration::ZERO, "x".repeat(3 * 1024 * 1024))
    }

    #[orchestrator]
    async fn hoards(ctx: OrchestrationContext) -> Result<(), String> {
        let call = ctx.call_activity::<hoard>(());
        let call = call.retry(RetryPolicy::fixed(3, Duration::ZERO));
        call.await.map_err(|error| format!("{error:?}"))
    }

    on_both(async |hub| {
        let worker = hub.worker().register::<hoards>().register::<hoard>();
        let _worker = worker.start().await.unwrap();
        let instance = hub.client().start_orchestration::<hoards>(()).await;
        let error = instance.unwrap().wait_for_completion().await.unwrap_err();
        let error = format!("{error:?}");
        assert!(
            error.contains("a state of 3145730 bytes is over the limit"),
            "{error}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_state_of_another_shape_is_a_failed_attempt() {
    #[activity]
    async fn confused(Resumed(number): Resumed<u32>) -> Result<Poll<(), String>, FailureDetails> {
        assert_eq!(number, None);
        Ok(Poll::again(Duration::ZERO, "no number".to_owned()))
    }

    #[orchestrator]
    async fn confuses(ctx: OrchestrationContext) -> Result<(), ActivityError<FailureDetails>> {
        ctx.call_activity::<confused>(()).await
    }

    on_both(async |hub| {
        let worker = hub.worker().register::<confuses>().register::<confused>();
        let _worker = worker.start().await.unwrap();
        let client = hub.client();
        let start = client.start_orchestration::<confuses>(());
        start.id("x").await.unwrap();
        let status = status_when(&client, "x", |status| status.runtime_status().is_terminal());
        let status = status.await;
        let text = format!("{:?}", status.failure());
        assert!(text.contains("the state to go on from"), "{text}");
    })
    .await;
}

/// A synchronous one, whose output and error are hidden behind aliases.
#[test]
fn polls_are_known_by_type() {
    type Later<T> = Poll<T, (u32, String)>;
    type Fallible<T> = Result<T, NoError>;

    #[activity]
    #[expect(clippy::unnecessary_wraps, reason = "the type is what is tested")]
    fn hidden(_n: u32) -> Fallible<Later<u64>> {
        Ok(Poll::Done(7))
    }

    #[orchestrator]
    async fn sees_the_output(ctx: OrchestrationContext) -> Result<u64, ActivityError<NoError>> {
        let output: u64 = ctx.call_activity::<hidden>(1).await?;
        Ok(output)
    }
    assert_eq!(hidden(1), Ok(Poll::Done(7)));
}

#[test]
fn an_activity_that_goes_on_can_be_called_in_a_unit_test() {
    let ctx = ActivityContext::for_test_resumed(&7_u32).unwrap();
    let resumed = Resumed::<u32>::from_activity(&ctx).unwrap();
    assert_eq!(resumed.0, Some(7));
    let wrong: Result<Option<String>, Rejection> = ctx.resumed();
    assert!(wrong.is_err());
    let first = ActivityContext::for_test().resumed::<u32>();
    assert_eq!(first, Ok(None));
}
