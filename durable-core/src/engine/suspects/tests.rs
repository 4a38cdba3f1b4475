//! A process that dies again and again. Every opening of a store here is after a crash, unless a
//! worker was stopped before.

use std::time::Duration;

use super::{MOST, Suspects, WATCHED};
use crate::engine::driver::{Driver, id, status, terminate};
use crate::engine::timing::{Tries, end, failure, start, start_worker};
use crate::engine::{Command, Config, Dispatch, Input, Response};
use crate::id::{ActivityKey, CallId, ExecutionId, InstanceNumber};
use crate::payload::Payload;
use crate::replay::ProblemKind;
use crate::store::kv::memory::MemoryKv;
use crate::store::{Run, Suspicion};
use crate::time::Timestamp;

/// A worker's process that begins when the one before had lasted for `lived`.
fn next(before: Driver, lived: Duration, config: Config) -> Driver {
    let now = before.now.deadline_after(lived);
    let mut driver = Driver::open(before.kv, config);
    driver.now = now;
    driver.advance();
    start_worker(&mut driver, 1);
    driver.finish();
    driver
}

/// It lives for a second, and then it dies.
fn after_crash(before: Driver) -> Driver {
    next(before, Duration::from_secs(1), Config::default())
}

/// A process with a call of each of these outstanding.
fn with_calls(names: &[&str]) -> Driver {
    let mut driver = Driver::open(MemoryKv::default(), Config::default());
    driver.now = driver.now.deadline_after(Duration::from_secs(100));
    driver.advance();
    start_worker(&mut driver, 1);
    driver.finish();
    pass(&mut driver, Duration::from_secs(1));
    for name in names {
        driver.ask(start::<Tries>(name, Payload::NULL));
    }
    driver.finish();
    driver
}

fn pass(driver: &mut Driver, time: Duration) {
    driver.now = driver.now.deadline_after(time);
    driver.finish();
}

/// The instances at which attempts have begun.
fn begun(driver: &mut Driver) -> Vec<String> {
    let names = |dispatch: &Dispatch| dispatch.instance.to_string();
    driver.dispatched.iter().map(names).collect()
}

fn end_one(driver: &mut Driver) {
    let dispatch = driver.dispatched.remove(0);
    end(driver, dispatch, Ok(Payload::NULL));
    driver.finish();
}

fn problem(driver: &mut Driver, name: &str) -> Option<ProblemKind> {
    let Response::Status(snapshot) = driver.ask_and_finish(status(name)) else {
        panic!("no status")
    };
    let problem = snapshot.header.problem?.0;
    assert!(problem.report().contains("Try"), "{}", problem.report());
    Some(problem.kind())
}

/// Two crashes, and the pause is over.
fn with_suspects(names: &[&str]) -> Driver {
    let mut driver = after_crash(with_calls(names));
    assert_eq!(begun(&mut driver), names, "once suspect: nothing follows");
    let mut driver = after_crash(driver);
    assert_eq!(begun(&mut driver), [""; 0], "the pause");
    pass(&mut driver, Duration::from_millis(1_001));
    assert_eq!(begun(&mut driver), names[..1], "one at a time");
    driver
}

#[test]
fn what_the_process_dies_of_is_not_begun_any_more_and_everything_else_ends() {
    let mut driver = with_suspects(&["a", "b", "killer", "z"]);
    for name in ["a", "b"] {
        assert_eq!(begun(&mut driver), [name]);
        end_one(&mut driver);
    }
    // Whoever is new does not wait.
    driver.ask(start::<Tries>("new", Payload::NULL));
    driver.finish();
    assert_eq!(begun(&mut driver), ["killer", "new"]);
    for crash in 1..=3 {
        driver = after_crash(driver);
        pass(&mut driver, Duration::from_secs(30));
        assert_eq!(problem(&mut driver, "killer").is_some(), crash == 3);
        // Those that the process has not died of come first, and those that are new for a crash
        // longer do not wait.
        while driver
            .dispatched
            .iter()
            .any(|at| at.instance != id("killer"))
        {
            let other = |at: &Dispatch| at.instance != id("killer");
            let place = driver.dispatched.iter().position(other).expect("one");
            let dispatch = driver.dispatched.remove(place);
            end(&mut driver, dispatch, Ok(Payload::NULL));
            driver.finish();
        }
        let expected: &[&str] = if crash == 3 { &[] } else { &["killer"] };
        assert_eq!(begun(&mut driver), expected, "crash {crash}");
    }
    assert_eq!(
        problem(&mut driver, "killer"),
        Some(ProblemKind::PoisonedActivity)
    );
    for name in ["a", "b", "z", "new"] {
        let Response::Status(snapshot) = driver.ask_and_finish(status(name)) else {
            panic!("no status")
        };
        assert!(snapshot.header.status.is_terminal(), "{name}");
    }

    // Over any restart, also one in good order.
    driver.engine.handle(Input::WorkerStopped(1));
    driver.finish();
    let mut driver = after_crash(driver);
    assert_eq!(begun(&mut driver), [""; 0]);
    assert_eq!(
        problem(&mut driver, "killer"),
        Some(ProblemKind::PoisonedActivity)
    );
    assert_eq!(driver.store.check(), [""; 0]);

    let retried = driver.ask_and_finish(Command::Retry { id: id("killer") });
    assert!(matches!(retried, Response::Done), "{retried:?}");
    assert_eq!(begun(&mut driver), ["killer"]);
    assert_eq!(problem(&mut driver, "killer"), None);
    end_one(&mut driver);
    let retried = driver.ask_and_finish(Command::Retry { id: id("killer") });
    assert!(matches!(retried, Response::Ended(_)), "{retried:?}");
    let retried = driver.ask_and_finish(Command::Retry { id: id("nobody") });
    assert!(matches!(retried, Response::NotFound), "{retried:?}");
}

#[test]
fn a_worker_that_stops_in_good_order_makes_nobody_suspect() {
    let mut driver = with_calls(&["a", "b"]);
    for _ in 0..4 {
        driver.engine.handle(Input::WorkerStopped(1));
        driver.finish();
        driver = after_crash(driver);
        assert_eq!(begun(&mut driver), ["a", "b"]);
    }
    driver.engine.close();
    driver.finish();
    let mut driver = after_crash(driver);
    assert_eq!(begun(&mut driver), ["a", "b"], "closed");
    // The first crash of a new series.
    let mut driver = after_crash(driver);
    assert_eq!(begun(&mut driver), ["a", "b"]);
    let mut driver = after_crash(driver);
    assert_eq!(begun(&mut driver), [""; 0]);
}

#[test]
fn a_process_that_had_run_for_long_has_not_died_in_a_series() {
    for (lived, waits) in [(3_599, true), (3_601, false)] {
        let driver = after_crash(with_calls(&["a"]));
        let mut driver = next(driver, Duration::from_secs(lived), Config::default());
        assert_eq!(begun(&mut driver).is_empty(), waits, "{lived}");
    }
}

#[test]
fn what_takes_long_does_not_hold_up_the_others_and_is_not_responsible_later() {
    let mut driver = with_suspects(&["a", "b"]);
    pass(&mut driver, Duration::from_secs(29));
    assert_eq!(begun(&mut driver), ["a"]);
    let deadline = driver.engine.next_deadline().expect("to be told");
    assert!(deadline <= driver.now.deadline_after(Duration::from_secs(1)));
    pass(&mut driver, Duration::from_secs(2));
    assert_eq!(begun(&mut driver), ["a", "b"]);
    pass(&mut driver, WATCHED);
    for _ in 0..5 {
        // Nobody counts as alone when it dies.
        driver = next(driver, Duration::from_secs(1), Config::default());
        pass(&mut driver, Duration::from_secs(30));
        pass(&mut driver, WATCHED + Duration::from_secs(1));
        assert_eq!(begun(&mut driver), ["a", "b"]);
        pass(&mut driver, WATCHED + Duration::from_secs(1));
    }
    assert_eq!(problem(&mut driver, "a"), None);
    assert_eq!(problem(&mut driver, "b"), None);
}

#[test]
fn a_process_that_dies_in_the_pause_dies_of_no_suspect() {
    let mut driver = with_suspects(&["a"]);
    for _ in 0..5 {
        driver = after_crash(driver);
        assert_eq!(begun(&mut driver), [""; 0]);
        driver.dispatched.clear();
    }
    pass(&mut driver, WATCHED + Duration::from_secs(1));
    assert_eq!(begun(&mut driver), ["a"]);
    end_one(&mut driver);
}

#[test]
fn the_crashes_of_a_call_are_forgotten_when_an_attempt_ends() {
    let mut driver = with_suspects(&["a"]);
    for _ in 0..4 {
        for _ in 0..2 {
            driver = after_crash(driver);
            pass(&mut driver, Duration::from_secs(30));
            assert_eq!(begun(&mut driver), ["a"]);
        }
        let dispatch = driver.dispatched.remove(0);
        let attempt = dispatch.attempt;
        end(&mut driver, dispatch, Err(failure()));
        driver.finish();
        assert_eq!(driver.store.meta().suspicion().crashes.len(), 0);
        // The next attempt is another one: it was not open at those crashes.
        pass(&mut driver, Duration::from_secs(2));
        assert_eq!(driver.dispatched[0].attempt, attempt + 1);
        driver = after_crash(after_crash(driver));
        pass(&mut driver, Duration::from_secs(30));
        assert_eq!(problem(&mut driver, "a"), None);
    }
}

#[test]
fn a_call_that_is_given_up_makes_room_for_the_next() {
    let mut driver = with_suspects(&["a", "b", "c"]);
    // One that waits, and the one whose turn it is.
    for name in ["b", "a"] {
        let done = driver.ask_and_finish(terminate(name));
        assert!(matches!(done, Response::Done));
    }
    assert_eq!(begun(&mut driver), ["a", "c"]);
    assert_eq!(driver.store.check(), [""; 0]);
}

#[test]
fn suspects_that_left_memory_have_their_turn() {
    let config = Config {
        max_live: 0,
        ..Config::default()
    };
    let driver = after_crash(with_calls(&["a", "b"]));
    let mut driver = next(driver, Duration::from_secs(1), config);
    pass(&mut driver, Duration::from_secs(2));
    assert_eq!(begun(&mut driver), ["a"]);
    end_one(&mut driver);
    assert_eq!(begun(&mut driver), ["b"]);
}

#[test]
fn a_clock_that_is_set_back_holds_nobody_up() {
    let mut driver = with_suspects(&["a", "b"]);
    driver.now.0 -= 50_000_000;
    driver.finish();
    assert_eq!(begun(&mut driver), ["a", "b"]);
}

#[test]
fn it_can_be_switched_off_and_to_another_number() {
    let config = |poison_after| Config {
        poison_after,
        ..Config::default()
    };
    let mut driver = with_calls(&["a", "b"]);
    for _ in 0..9 {
        driver = next(driver, Duration::from_secs(1), config(0));
        assert_eq!(begun(&mut driver), ["a", "b"]);
    }
    let mut driver = with_suspects(&["a"]);
    for crash in 1..=5 {
        driver = next(driver, Duration::from_secs(1), config(5));
        pass(&mut driver, Duration::from_secs(30));
        assert_eq!(begun(&mut driver).is_empty(), crash == 5);
    }
}

#[test]
fn while_too_many_are_remembered_no_other_suspect_begins() {
    let key = |call| ActivityKey {
        number: InstanceNumber(7),
        execution: ExecutionId(0),
        call: CallId(call),
    };
    let most = u32::try_from(MOST).expect("few");
    let kept = Suspicion {
        run: Some(Run {
            began: Timestamp(1_000),
            after_crash: true,
        }),
        alone: None,
        crashes: (0..most).map(|call| (key(call), 1)).collect(),
    };
    let mut suspects = Suspects::recovered(kept, 3);
    let now = Timestamp(1_000);
    suspects.worker_started(now);
    suspects.advance(Timestamp(2_000));
    let other = key(most + 1);
    assert!(!suspects.may_begin(other, Timestamp(1), now));
    assert!(!suspects.can_begin());
    // One of those that are remembered does, and makes room.
    assert!(!suspects.may_begin(key(3), Timestamp(1), now));
    assert_eq!(suspects.next(now), Some(key(3)));
    assert!(suspects.may_begin(key(3), Timestamp(1), now));
    suspects.acquit(&key(3));
    assert_eq!(suspects.next(now), Some(other));
}
