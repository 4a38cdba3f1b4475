//! Rewinds that meet what happens meanwhile.

use std::cell::Cell;
use std::sync::Arc;

use crate::engine::driver::{Driver, id, request, terminate};
use crate::engine::{Command, Config, Input, Response};
use crate::failure::{FailureDetails, FailureKind, NoError};
use crate::orchestrator::{Orchestrator, OrchestratorFuture};
use crate::payload::Payload;
use crate::registry::Registry;
use crate::replay::OrchestrationContext;
use crate::store::kv::memory::MemoryKv;
use crate::store::{InstanceKey, RuntimeStatus, Store};

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
    let mut driver = Driver::open(MemoryKv::default(), Config::default());
    let started = Input::WorkerStarted(1, Arc::new(registry));
    driver.engine.handle(started);
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

    let key = InstanceKey::Id(id("it"));
    let stored = driver.store.load(&key, usize::MAX).unwrap();
    let status = stored.expect("it is there").header.status;
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
