//! Which failures are tried again, for how long, and what of that survives a restart.

use std::time::Duration;

use durable_core::{
    ActivityContext, ActivityError, OrchestrationContext, OrchestrationError, RetryPolicy, State,
    TaskHub, WorkerBuilder, activity, orchestrator,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::{Place, on_both, soon};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Why {
    Busy(u32),
    Declined(u32),
}

/// What an attempt does.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Do {
    Busy,
    Decline,
    DeclineForGood,
    Panic,
    Return,
}

/// The numbers of the attempts that began.
#[derive(Clone)]
struct Begun(UnboundedSender<u32>);

#[activity]
async fn charge(
    ctx: ActivityContext,
    State(begun): State<Begun>,
    todo: Vec<Do>,
) -> Result<u32, Why> {
    let number = ctx.attempt();
    begun.0.send(number).unwrap();
    match todo.get(number as usize - 1).unwrap_or(&Do::Busy) {
        Do::Busy => Err(Why::Busy(number)),
        Do::Decline => Err(Why::Declined(number)),
        Do::DeclineForGood => Err(ctx.not_retryable(Why::Declined(number))),
        Do::Panic => panic!("attempt {number}"),
        Do::Return => Ok(number),
    }
}

type Charged = Result<u32, ActivityError<Why>>;

/// Retries as the policy says.
#[orchestrator]
async fn plain(ctx: OrchestrationContext, todo: Vec<Do>, policy: RetryPolicy) -> Charged {
    ctx.call_activity::<charge>(todo).retry(policy).await
}

/// Retries what is not declined.
#[orchestrator]
async fn careful(ctx: OrchestrationContext, todo: Vec<Do>, policy: RetryPolicy) -> Charged {
    ctx.call_activity::<charge>(todo)
        .retry(policy)
        .retry_if(|why| matches!(why, Why::Busy(_)))
        .await
}

/// Is asked whether to retry, and panics.
#[orchestrator]
async fn careless(ctx: OrchestrationContext, todo: Vec<Do>, policy: RetryPolicy) -> Charged {
    ctx.call_activity::<charge>(todo)
        .retry(policy)
        .retry_if(|_| panic!("what a question"))
        .await
}

fn worker(hub: &TaskHub) -> (WorkerBuilder, UnboundedReceiver<u32>) {
    let (sender, begun) = mpsc::unbounded_channel();
    let worker = hub
        .worker()
        .state(Begun(sender))
        .register::<charge>()
        .register::<plain>()
        .register::<careful>()
        .register::<careless>();
    (worker, begun)
}

fn at_once(attempts: u32) -> RetryPolicy {
    RetryPolicy::fixed(attempts, Duration::ZERO)
}

fn error(result: Result<u32, OrchestrationError<ActivityError<Why>>>) -> ActivityError<Why> {
    match result {
        Err(OrchestrationError::Application(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// Checks how a call ends whose attempts do these things, and how many there were.
macro_rules! check {
    ($orchestrator:ident, $todo:expr, $attempts:expr, $expected:pat) => {
        on_both(async |hub| {
            let (worker, mut begun) = worker(hub);
            let worker = worker.start().await.unwrap();
            let input = ($todo.to_vec(), at_once(5));
            let start = hub.client().start_orchestration::<$orchestrator>(input);
            let result = start.await.unwrap().wait_for_completion().await;
            assert!(matches!(&result, $expected), "{result:?}");
            worker.shutdown().await;
            let mut attempts = 0;
            while begun.try_recv().is_ok() {
                attempts += 1;
            }
            assert_eq!(attempts, $attempts);
        })
        .await
    };
}

macro_rules! failed {
    ($error:pat) => {
        Err(OrchestrationError::Application($error))
    };
}

#[tokio::test]
async fn an_error_is_retried_if_the_orchestrator_says_so() {
    use ActivityError::{Application, Panicked};
    check!(careful, [Do::Busy, Do::Busy, Do::Return], 3, Ok(3));
    let todo = [Do::Busy, Do::Decline, Do::Return];
    check!(careful, todo, 2, failed!(Application(Why::Declined(2))));
    check!(plain, todo, 3, Ok(3));
    // It is asked about errors of the activity's own only.
    check!(careful, [Do::Panic, Do::Return], 2, Ok(2));
    check!(
        careful,
        [(); 5].map(|()| Do::Panic),
        5,
        failed!(Panicked(_))
    );
}

#[tokio::test]
async fn a_predicate_that_panics_retries_nothing() {
    use ActivityError::Application;
    check!(careless, [Do::Busy], 1, failed!(Application(Why::Busy(1))));
    check!(careless, [Do::Return], 1, Ok(1));
}

#[tokio::test]
async fn an_error_that_is_marked_is_not_retried() {
    use ActivityError::Application;
    let todo = [Do::Busy, Do::DeclineForGood, Do::Return];
    check!(plain, todo, 2, failed!(Application(Why::Declined(2))));
    check!(careful, todo, 2, failed!(Application(Why::Declined(2))));
}

#[tokio::test]
async fn no_attempt_is_due_after_the_timeout() {
    on_both(async |hub| {
        let (worker, mut begun) = worker(hub);
        let worker = worker.start().await.unwrap();
        let policy = RetryPolicy::fixed(1_000, Duration::from_millis(20));
        let policy = policy.retry_timeout(Duration::from_millis(50));
        let start = hub.client().start_orchestration::<plain>((vec![], policy));
        let instance = start.await.unwrap();
        let last = match error(instance.wait_for_completion().await) {
            ActivityError::Application(Why::Busy(last)) => last,
            other => panic!("{other:?}"),
        };
        assert!((1..=3).contains(&last), "{last}");
        worker.shutdown().await;
        for attempt in 1..=last {
            assert_eq!(begun.recv().await, Some(attempt));
        }
        assert!(begun.try_recv().is_err());
    })
    .await;
}

/// The first attempt was made before a restart, the second one comes after it.
async fn over_a_restart(policy: RetryPolicy, todo: Vec<Do>, down: Duration) -> (TaskHub, Place) {
    let place = Place::new();
    let hub = place.open().await;
    let (first, mut begun) = worker(&hub);
    let first = first.start().await.unwrap();
    let start = hub.client().start_orchestration::<careful>((todo, policy));
    start.id("x").await.unwrap();
    assert_eq!(begun.recv().await, Some(1));
    // Its failure is recorded.
    assert_eq!(first.shutdown().await, 0);
    soon(hub.close()).await.unwrap();
    tokio::time::sleep(down).await;
    (place.open().await, place)
}

#[tokio::test]
async fn after_a_restart_the_orchestrator_is_asked_too_and_no_attempt_is_forgotten() {
    let policy = RetryPolicy::fixed(5, Duration::from_millis(20));
    let todo = vec![Do::Busy, Do::Busy, Do::Decline, Do::Return];
    let (hub, _place) = over_a_restart(policy, todo, Duration::ZERO).await;
    let (second, mut begun) = worker(&hub);
    let _second = second.start().await.unwrap();
    let instance = hub.client().instance::<careful>("x").unwrap();
    match error(soon(instance.wait_for_completion()).await) {
        ActivityError::Application(Why::Declined(3)) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(begun.recv().await, Some(2));
    assert_eq!(begun.recv().await, Some(3));
    assert!(begun.try_recv().is_err());
}

#[tokio::test]
async fn the_timeout_of_a_policy_goes_on_over_a_restart() {
    let policy = RetryPolicy::fixed(1_000, Duration::from_millis(5));
    let policy = policy.retry_timeout(Duration::from_millis(30));
    let (hub, _place) = over_a_restart(policy, vec![], Duration::from_millis(60)).await;
    let (second, mut begun) = worker(&hub);
    let _second = second.start().await.unwrap();
    let instance = hub.client().instance::<careful>("x").unwrap();
    // The second was due in time; a third is not.
    match error(soon(instance.wait_for_completion()).await) {
        ActivityError::Application(Why::Busy(2)) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(begun.recv().await, Some(2));
    assert!(begun.try_recv().is_err());
}

#[test]
fn a_policy_from_elsewhere_need_not_know_all_of_it() {
    let json = r#"{"max_attempts":2,"first_interval":{"secs":1,"nanos":0},"backoff_coefficient":2.0,"max_interval":null}"#;
    let policy: RetryPolicy = serde_json::from_str(json).unwrap();
    assert_eq!(policy, RetryPolicy::exponential(2, Duration::from_secs(1)));
}
