//! Timers and retries where what is due, what has fired and what was answered meet: the index has an
//! entry of each that is outstanding, and no other.

use std::sync::Arc;
use std::time::Duration;

use crate::activity::{Activity, ActivityContext, ActivityFuture, Attempted, Requirements};
use crate::engine::driver::{Driver, raise, request, status, terminate};
use crate::engine::{Command, Config, Dispatch, Fetch, Input, Response, StartRequest};
use crate::failure::{FailureDetails, FailureKind, NoError};
use crate::orchestrator::{Orchestrator, OrchestratorFuture};
use crate::payload::Payload;
use crate::registry::Registry;
use crate::replay::OrchestrationContext;
use crate::retry::RetryPolicy;
use crate::store::kv::memory::MemoryKv;
use crate::store::{InstanceKey, RuntimeStatus, Store};
use crate::time::Timestamp;

struct Try;

impl Activity for Try {
    type Input = ();
    type Output = ();
    type Error = FailureDetails;
    const NAME: &'static str = "Try";

    fn require(_: &mut Requirements) {}

    fn run(_: ActivityContext, _: Payload) -> ActivityFuture {
        unreachable!("the test answers")
    }
}

/// Tries, again after a second.
pub(super) struct Tries;

impl Orchestrator for Tries {
    type Input = ();
    type Output = ();
    type Error = NoError;
    const NAME: &'static str = "Tries";
    const VERSION: &'static str = "";

    fn run(ctx: OrchestrationContext, _: Payload) -> OrchestratorFuture {
        Box::pin(async move {
            let policy = RetryPolicy::fixed(5, Duration::from_secs(1));
            let tried = ctx.call_activity::<Try>(()).retry(policy).await;
            tried.expect("the last attempt succeeds");
            Ok(Payload::NULL)
        })
    }
}

/// Tries three times, one after the other.
struct TriesOnAndOn;

impl Orchestrator for TriesOnAndOn {
    type Input = ();
    type Output = ();
    type Error = NoError;
    const NAME: &'static str = "TriesOnAndOn";
    const VERSION: &'static str = "";

    fn run(ctx: OrchestrationContext, _: Payload) -> OrchestratorFuture {
        Box::pin(async move {
            for _ in 0..3 {
                ctx.call_activity::<Try>(()).await.expect("it succeeds");
            }
            Ok(Payload::NULL)
        })
    }
}

/// Sleeps for a second, then waits for an event.
pub(super) struct Sleeps;

impl Orchestrator for Sleeps {
    type Input = ();
    type Output = ();
    type Error = NoError;
    const NAME: &'static str = "Sleeps";
    const VERSION: &'static str = "";

    fn run(ctx: OrchestrationContext, _: Payload) -> OrchestratorFuture {
        Box::pin(async move {
            ctx.create_timer(Duration::from_secs(1)).await;
            drop(ctx.wait_for_external_event::<()>("go").await);
            Ok(Payload::NULL)
        })
    }
}

pub(super) fn start<O: Orchestrator>(name: &str, input: Payload) -> Command {
    Command::Start(StartRequest {
        input,
        ..request(name, O::NAME)
    })
}

pub(super) fn start_worker(driver: &mut Driver, worker: u64) {
    let mut registry = Registry::default();
    registry.activity::<Try>();
    registry.orchestrator::<Tries>();
    registry.orchestrator::<TriesOnAndOn>();
    registry.orchestrator::<Sleeps>();
    let input = Input::WorkerStarted(worker, Arc::new(registry));
    driver.engine.handle(input);
}

pub(super) fn end(
    driver: &mut Driver,
    dispatch: Dispatch,
    result: Result<Payload, FailureDetails>,
) {
    let result = result.map(Attempted::Done);
    driver.engine.handle(Input::AttemptEnded {
        worker: dispatch.worker,
        key: dispatch.key,
        attempt: dispatch.attempt,
        result,
        progress: None,
    });
}

pub(super) fn failure() -> FailureDetails {
    FailureDetails::new(FailureKind::Application, "Try", "not yet")
}

#[track_caller]
fn assert_sound(driver: &Driver, timers: usize) {
    assert_eq!(driver.store.timers(None, 10).unwrap().len(), timers);
    assert_eq!(driver.store.check(), [""; 0]);
}

#[test]
fn a_timer_that_fires_into_a_stored_message_leaves_the_index_once() {
    let mut driver = Driver::new();
    start_worker(&mut driver, 1);
    assert!(matches!(
        driver.ask_and_finish(start::<Sleeps>("s", Payload::NULL)),
        Response::Done
    ));
    assert_sound(&driver, 1);
    // It fires, and before the turn is taken the worker is gone.
    driver.now = Timestamp(2_000_000);
    driver.engine.advance(driver.now, 1);
    driver.engine.handle(Input::WorkerStopped(1));
    driver.finish();
    assert_sound(&driver, 0);

    // Also after a restart in between.
    let mut driver = Driver::open(driver.kv, Config::default());
    driver.now = Timestamp(3_000_000);
    start_worker(&mut driver, 1);
    driver.finish();
    assert_sound(&driver, 0);
    let terminated = driver.ask_and_finish(terminate("s"));
    assert!(matches!(terminated, Response::Done));
    assert_sound(&driver, 0);
}

/// Its timer and a client both want it to be read, under different keys, and what the first brings
/// about is sealed and not applied when it is the second's turn.
#[test]
fn what_has_come_into_memory_meanwhile_is_not_read_again() {
    let config = Config {
        max_live: 0,
        ..Config::default()
    };
    let mut driver = Driver::open(MemoryKv::default(), config);
    start_worker(&mut driver, 1);
    driver.ask(start::<Sleeps>("s", Payload::NULL));
    driver.finish();

    driver.now = Timestamp(2_000_000);
    driver.advance();
    let raised = driver.ask(raise("s", Payload::NULL));
    let status = driver.ask(status("s"));
    let by_timer = driver.read();
    assert!(
        matches!(
            by_timer,
            Some(Fetch::Instance {
                key: InstanceKey::Number(_),
                ..
            })
        ),
        "{by_timer:?}"
    );
    assert!(driver.seal());
    assert_eq!(driver.read(), None);
    driver.finish();
    assert!(matches!(driver.answer(raised), Response::Done));
    assert!(matches!(driver.answer(status), Response::Status(_)));
    let counted = driver.store.stats().unwrap();
    assert_eq!(counted.with_status(RuntimeStatus::Completed), 1);
    assert_sound(&driver, 0);
}

#[test]
fn a_retry_has_its_entry_until_the_call_is_answered() {
    let mut driver = Driver::new();
    start_worker(&mut driver, 1);
    driver.ask(start::<Tries>("t", Payload::NULL));
    driver.finish();
    for attempt in 1..4 {
        let dispatch = driver.dispatched.pop().expect("an attempt");
        assert_eq!(dispatch.attempt, attempt);
        end(&mut driver, dispatch, Err(failure()));
        driver.finish();
        assert!(driver.dispatched.is_empty(), "it is not due");
        assert_sound(&driver, 1);
        driver.now = Timestamp(driver.now.0 + 2_000_000);
        driver.finish();
        assert_sound(&driver, 1);
    }
    let dispatch = driver.dispatched.pop().expect("an attempt");
    end(&mut driver, dispatch, Ok(Payload::NULL));
    driver.finish();
    assert_sound(&driver, 0);
    let stats = driver.store.stats().unwrap();
    assert_eq!(stats.with_status(RuntimeStatus::Completed), 1);
}

/// After a restart it is dispatched when it is loaded; its entry, which is overdue, comes later,
/// when the answer waits for its turn.
#[test]
fn a_retry_that_was_answered_is_not_tried_again_by_its_timer() {
    let mut driver = Driver::new();
    start_worker(&mut driver, 1);
    for name in ["a", "b"] {
        driver.ask(start::<Tries>(name, Payload::NULL));
        driver.finish();
        let dispatch = driver.dispatched.pop().expect("an attempt");
        end(&mut driver, dispatch, Err(failure()));
        driver.finish();
        driver.now = Timestamp(driver.now.0 + 1);
    }
    assert_sound(&driver, 2);

    let config = Config {
        events_per_turn: 1,
        ..Config::default()
    };
    let mut driver = Driver::open(driver.kv, config);
    driver.now = Timestamp(5_000_000);
    start_worker(&mut driver, 1);
    driver.settle();
    driver.commit();
    assert_eq!(driver.dispatched.len(), 2);
    for dispatch in std::mem::take(&mut driver.dispatched) {
        end(&mut driver, dispatch, Ok(Payload::NULL));
    }
    driver.finish();
    assert!(driver.dispatched.is_empty(), "{:?}", driver.dispatched);
    assert_sound(&driver, 0);
}

/// One record less for each turn.
#[test]
fn a_summary_is_not_written_again_while_activities_follow_each_other() {
    let mut driver = Driver::new();
    start_worker(&mut driver, 1);
    driver.ask_and_finish(start::<TriesOnAndOn>("t", Payload::NULL));
    let stored = |driver: &Driver| {
        let key = InstanceKey::Id(crate::engine::driver::id("t"));
        let stored = driver.store.load(&key, usize::MAX).unwrap().unwrap();
        (stored.header.status, stored.header.turns)
    };
    for attempt in 1..=3 {
        assert_eq!(stored(&driver), (RuntimeStatus::Running, 1), "{attempt}");
        let dispatch = driver.dispatched.pop().expect("an attempt");
        end(&mut driver, dispatch, Ok(Payload::NULL));
        driver.finish();
    }
    assert_eq!(stored(&driver), (RuntimeStatus::Completed, 4));
    assert_sound(&driver, 0);
}

/// A worker that lacks the activity may find that out when a retry is due only.
#[test]
fn that_a_retry_cannot_be_made_is_stored() {
    let mut driver = Driver::new();
    start_worker(&mut driver, 1);
    driver.ask_and_finish(start::<Tries>("t", Payload::NULL));
    let dispatch = driver.dispatched.pop().expect("an attempt");
    end(&mut driver, dispatch, Err(failure()));
    driver.finish();
    driver.engine.handle(Input::WorkerStopped(1));
    let mut registry = Registry::default();
    registry.orchestrator::<Tries>();
    let input = Input::WorkerStarted(2, Arc::new(registry));
    driver.engine.handle(input);
    driver.finish();
    driver.now = Timestamp(3_000_000);
    driver.finish();
    let key = InstanceKey::Id(crate::engine::driver::id("t"));
    let stored = driver.store.load(&key, usize::MAX).unwrap().unwrap();
    let problem = stored.header.problem.map(|(problem, _)| problem.kind());
    assert_eq!(
        problem,
        Some(crate::replay::ProblemKind::ActivityNotRegistered)
    );
    assert_sound(&driver, 1);
}
