//! Letters that meet what happens meanwhile.

use std::sync::Arc;

use crate::engine::driver::{Driver, id, raise, request};
use crate::engine::{Command, Input, Response, StartRequest};
use crate::failure::NoError;
use crate::orchestrator::{Orchestrator, OrchestratorFuture};
use crate::payload::Payload;
use crate::registry::Registry;
use crate::replay::OrchestrationContext;
use crate::store::{InstanceKey, RuntimeStatus, Store};

/// Waits for an event that never comes.
struct Kid;

impl Orchestrator for Kid {
    type Input = ();
    type Output = ();
    type Error = NoError;
    const NAME: &'static str = "Kid";
    const VERSION: &'static str = "";

    fn run(ctx: OrchestrationContext, _: Payload) -> OrchestratorFuture {
        Box::pin(async move {
            ctx.wait_for_external_event::<()>("never").await.unwrap();
            Ok(Payload::NULL)
        })
    }
}

/// Begins a child, gives it up when it is told to, and goes on.
struct GivesUp;

impl Orchestrator for GivesUp {
    type Input = ();
    type Output = ();
    type Error = NoError;
    const NAME: &'static str = "GivesUp";
    const VERSION: &'static str = "";

    fn run(ctx: OrchestrationContext, _: Payload) -> OrchestratorFuture {
        Box::pin(async move {
            let child = ctx.call_sub_orchestrator::<Kid>(()).id("kid").start();
            ctx.wait_for_external_event::<()>("go").await.unwrap();
            drop(child);
            ctx.wait_for_external_event::<()>("never").await.unwrap();
            Ok(Payload::NULL)
        })
    }
}

/// With its parent running, and its start looked up or not.
fn driver(looked_up: bool) -> Driver {
    let mut registry = Registry::default();
    registry.orchestrator::<Kid>();
    registry.orchestrator::<GivesUp>();
    let mut driver = Driver::new();
    driver
        .engine
        .handle(Input::WorkerStarted(1, Arc::new(registry)));
    let started = driver.ask(Command::Start(StartRequest {
        fresh: true,
        ..request("parent", GivesUp::NAME)
    }));
    driver.advance();
    assert!(driver.seal());
    if looked_up {
        driver.finish();
    } else {
        driver.commit();
    }
    assert!(matches!(driver.answer(started), Response::Done));
    driver
}

fn status(driver: &Driver) -> Option<RuntimeStatus> {
    let kid = InstanceKey::Id(id("kid"));
    let stored = driver.store.load(&kid, usize::MAX).unwrap();
    stored.map(|stored| stored.header.status)
}

fn give_up(driver: &mut Driver) {
    driver.ask(raise("parent", Payload::NULL));
    // Without reading first.
    driver.advance();
    assert!(driver.seal());
    driver.commit();
    driver.finish();
    let recovered = driver.store.recover().unwrap();
    assert_eq!(recovered.letters, []);
    assert_eq!(driver.store.check(), Vec::<String>::new());
}

#[test]
fn a_child_that_was_given_up_before_it_began_never_begins() {
    let mut driver = driver(false);
    assert_eq!(driver.store.recover().unwrap().letters.len(), 1);
    give_up(&mut driver);
    assert_eq!(status(&driver), None);
}

#[test]
fn a_child_that_was_given_up_later_is_terminated() {
    let mut driver = driver(true);
    assert_eq!(status(&driver), Some(RuntimeStatus::Running));
    give_up(&mut driver);
    assert_eq!(status(&driver), Some(RuntimeStatus::Terminated));
}
