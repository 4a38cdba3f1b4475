//! Rewinds that meet what happens meanwhile.

use std::cell::Cell;
use std::time::Duration;

use crate::engine::driver::{Driver, id, request, terminate};
use crate::engine::{Command, Config, Response};
use crate::failure::{FailureDetails, FailureKind, NoError};
use crate::history::Event;
use crate::orchestrator::{Orchestrator, OrchestratorFuture};
use crate::payload::Payload;
use crate::registry::Registry;
use crate::replay::OrchestrationContext;
use crate::retry::RetryPolicy;
use crate::store::RuntimeStatus;

thread_local! {
    /// Whether its code is such that it cannot go on.
    static WRONG: Cell<bool> = const { Cell::new(false) };
}

/// Fails at once, however often it is rewound.
struct Fails;

impl Orchestrator for Fails {
    type Input = ();
    type Output = ();
    type Error = NoError;
    const NAME: &'static str = "Fails";
    const VERSION: &'static str = "";

    fn run(_: OrchestrationContext, _: Payload) -> OrchestratorFuture {
        let failure = FailureDetails::new(FailureKind::Application, "planned", "as planned");
        Box::pin(async {
            if WRONG.get() {
                std::future::pending::<()>().await;
            }
            Err(failure)
        })
    }
}

/// The parts of what is done between two looks at the inbox, one after the other.
fn go_on(driver: &mut Driver, step: usize) {
    match step % 4 {
        0 => driver.advance(),
        1 => drop(driver.read()),
        2 => drop(driver.seal()),
        _ => driver.commit(),
    }
}

/// A termination is asked for that many steps after a rewind, and the code may be wrong then. Says
/// whether it was acknowledged.
fn terminated_after(steps: usize, wrong: bool) -> bool {
    WRONG.set(false);
    let mut registry = Registry::default();
    registry.orchestrator::<Fails>();
    let mut driver = Driver::running(Config::default(), registry);
    driver.ask(Command::Start(request("it", Fails::NAME)));
    driver.finish();
    WRONG.set(wrong);
    driver.ask(Command::Rewind {
        id: id("it"),
        reason: String::new(),
    });
    for step in 0..steps {
        go_on(&mut driver, step);
    }
    let answer = driver.ask_and_finish(terminate("it"));

    let status = driver.stored("it").expect("it is there").header.status;
    match (answer, status) {
        (Response::Done, RuntimeStatus::Terminated) => true,
        (Response::Ended(_), RuntimeStatus::Failed) => false,
        (answer, status) => panic!("{steps} steps: {status:?} after {answer:?}"),
    }
}

/// Whatever it would come to once more.
#[test]
fn a_rewound_instance_that_is_to_be_terminated_is() {
    let done = |wrong: bool| {
        let steps = 0..40;
        steps
            .filter(|steps| terminated_after(*steps, wrong))
            .count()
    };
    // One that fails again has ended when some of them come.
    assert!((1..40).contains(&done(false)));
    assert_eq!(done(true), 40);
}

/// Has a child that fails, twice.
struct HasChild;

impl Orchestrator for HasChild {
    type Input = ();
    type Output = ();
    type Error = NoError;
    const NAME: &'static str = "HasChild";
    const VERSION: &'static str = "";

    fn run(ctx: OrchestrationContext, _: Payload) -> OrchestratorFuture {
        Box::pin(async move {
            let twice = RetryPolicy::fixed(2, Duration::from_micros(1));
            let child = ctx.call_sub_orchestrator::<Fails>(()).id("kid");
            let failed = |_| FailureDetails::new(FailureKind::Application, "planned", "its child");
            child.retry(twice).await.map_err(failed)?;
            Ok(Payload::NULL)
        })
    }
}

/// A child is rewound by itself, and fails before its parent, which is to be rewound, calls it again.
#[test]
fn an_end_from_before_a_rewind_answers_no_call_of_after_it() {
    for steps in 0..24 {
        WRONG.set(false);
        let mut registry = Registry::default();
        registry.orchestrator::<Fails>();
        registry.orchestrator::<HasChild>();
        let config = Config {
            turns_per_commit: 1,
            ..Config::default()
        };
        let mut driver = Driver::running(config, registry);
        driver.ask(Command::Start(request("parent", HasChild::NAME)));
        let finish = |driver: &mut Driver| {
            for _ in 0..3 {
                driver.finish();
                driver.now.0 += 1_000;
            }
        };
        finish(&mut driver);
        let rewind = |name| Command::Rewind {
            id: id(name),
            reason: String::new(),
        };
        driver.ask(rewind("kid"));
        driver.ask(rewind("kid:2"));
        for step in 0..steps {
            go_on(&mut driver, step);
        }
        let rewound = driver.ask(rewind("parent"));
        finish(&mut driver);

        assert!(matches!(driver.answer(rewound), Response::Done));
        assert_eq!(driver.store.check(), Vec::<String>::new(), "{steps} steps");
        let parent = driver.stored("parent").unwrap();
        let turns = driver.store.history(&parent.header).unwrap();
        let failures = turns.iter().flat_map(|turn| &turn.steps);
        let failures = failures.filter(|step| matches!(step.event, Event::ChildFailed { .. }));
        assert_eq!(failures.count(), 2, "{steps} steps");
        // It was rewound in a turn of its own: what came before was not taken for an answer.
        let rewound = turns.iter().find(|turn| {
            let mut steps = turn.steps.iter();
            steps.any(|step| matches!(step.event, Event::Rewound { .. }))
        });
        assert_eq!(rewound.unwrap().steps.len(), 1, "{steps} steps");
    }
}
