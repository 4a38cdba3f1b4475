//! What a worker does not have registered is a problem for as long as that is so.

use std::sync::Arc;

use super::driver::{Driver, request, status};
use crate::engine::{Command, Input, Response, StartRequest};
use crate::registry::Registry;
use crate::replay::ProblemKind;

fn problem(driver: &mut Driver) -> Option<ProblemKind> {
    let asked = driver.ask(status("orphan"));
    driver.advance();
    while driver.seal() {}
    driver.commit();
    shown(driver.answer(asked))
}

fn shown(response: Response) -> Option<ProblemKind> {
    let Response::Status(snapshot) = response else {
        panic!("{response:?}")
    };
    snapshot.header.problem.map(|(problem, _)| problem.kind())
}

#[test]
fn a_problem_does_not_vanish_while_the_next_worker_looks() {
    let mut driver = Driver::new();
    driver.ask(Command::Start(StartRequest {
        fresh: true,
        ..request("orphan", "orphan")
    }));
    driver.finish();
    assert_eq!(problem(&mut driver), None);
    let missing = Some(ProblemKind::OrchestratorNotRegistered);
    for worker in 1..4 {
        let registry = Arc::new(Registry::default());
        driver.engine.handle(Input::WorkerStarted(worker, registry));
        driver.advance();
        // It was read, and its turn is still to come.
        assert!(driver.read().is_some());
        // It shows what it was when this was asked.
        let asked = driver.ask(status("orphan"));
        driver.finish();
        let before = shown(driver.answer(asked));
        assert_eq!(before, missing.filter(|_| worker > 1));
        assert_eq!(problem(&mut driver), missing);
    }
}
