//! Letters that meet what happens meanwhile.

use crate::activity::{Activity, ActivityContext, ActivityFuture, Attempted, Requirements};
use crate::engine::driver::{Driver, id, raise, request};
use crate::engine::{Command, Config, Input, Response, StartRequest};
use crate::failure::{FailureDetails, FailureKind, NoError};
use crate::orchestrator::{Orchestrator, OrchestratorFuture};
use crate::payload::Payload;
use crate::registry::Registry;
use crate::replay::OrchestrationContext;
use crate::store::{RuntimeStatus, Store};

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
    let mut driver = Driver::running(Config::default(), registry);
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
    driver.stored("kid").map(|stored| stored.header.status)
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

/// Its start was looked up between two commits.
#[test]
fn a_child_that_was_looked_up_is_work() {
    let mut driver = driver(false);
    while driver.read().is_some() {}
    assert_eq!(status(&driver), None);
    assert!(driver.engine.has_work());
}

/// Hears many events, and waits for one that never comes.
struct Hears;

impl Orchestrator for Hears {
    type Input = ();
    type Output = ();
    type Error = NoError;
    const NAME: &'static str = "Hears";
    const VERSION: &'static str = "";

    fn run(ctx: OrchestrationContext, _: Payload) -> OrchestratorFuture {
        Box::pin(async move {
            for _ in 0..EVENTS {
                ctx.wait_for_external_event::<()>("go").await.unwrap();
            }
            ctx.wait_for_external_event::<()>("never").await.unwrap();
            Ok(Payload::NULL)
        })
    }
}

/// Fails when it is told to, with children under way.
struct Fails;

impl Orchestrator for Fails {
    type Input = ();
    type Output = ();
    type Error = NoError;
    const NAME: &'static str = "Fails";
    const VERSION: &'static str = "";

    fn run(ctx: OrchestrationContext, _: Payload) -> OrchestratorFuture {
        Box::pin(async move {
            let child = |n: usize| ctx.call_sub_orchestrator::<Hears>(()).id(kid(n)).start();
            let children: Vec<_> = (0..CHILDREN).map(child).collect();
            let must = ctx.call_activity::<Must>(()).await;
            must.map_err(|_| failed())?;
            for child in children {
                child.await.map_err(|_| failed())?;
            }
            Ok(Payload::NULL)
        })
    }
}

struct Must;

impl Activity for Must {
    type Input = ();
    type Output = ();
    type Error = NoError;
    const NAME: &'static str = "Must";

    fn require(_: &mut Requirements) {}

    fn run(_: ActivityContext, _: Payload) -> ActivityFuture {
        unreachable!("the test answers")
    }
}

const CHILDREN: usize = 16;
const EVENTS: usize = 20;

fn kid(n: usize) -> String {
    format!("kid {n}")
}

fn failed() -> FailureDetails {
    FailureDetails::new(FailureKind::Application, "planned", "as planned")
}

/// A parent, and its children, which take turn after turn, as many as each has events.
fn busy_children(turns_per_commit: usize) -> Driver {
    let mut registry = Registry::default();
    registry.orchestrator::<Hears>();
    registry.orchestrator::<Fails>();
    registry.activity::<Must>();
    let config = Config {
        turns_per_commit,
        events_per_turn: 1,
        ..Config::default()
    };
    let mut driver = Driver::running(config, registry);
    driver.ask(Command::Start(request("parent", Fails::NAME)));
    driver.finish();
    for n in 0..CHILDREN * EVENTS {
        driver.ask(raise(&kid(n % CHILDREN), Payload::NULL));
    }
    for _ in 0..10 * CHILDREN / turns_per_commit {
        go_on(&mut driver);
    }
    driver
}

/// One commit more.
fn go_on(driver: &mut Driver) {
    driver.advance();
    while driver.read().is_some() {}
    driver.seal();
    driver.commit();
}

/// What the one attempt that was begun comes to.
fn answer_must(driver: &mut Driver, result: Result<Attempted, FailureDetails>) {
    let dispatch = driver.dispatched.pop().expect("an attempt");
    driver.engine.handle(Input::AttemptEnded {
        worker: 1,
        key: dispatch.key,
        attempt: dispatch.attempt,
        result,
        progress: None,
    });
}

fn statuses(driver: &Driver) -> Vec<RuntimeStatus> {
    let parent = "parent".to_owned();
    let ids = (0..CHILDREN).map(kid).chain([parent]);
    let status = |name: String| driver.stored(&name).expect("it is there").header.status;
    ids.map(status).collect()
}

/// They were to be terminated with their parent, and it was rewound before all of them were.
#[test]
fn no_letter_of_before_a_rewind_ends_a_child_that_is_called_again() {
    for turns_per_commit in 1..=4 {
        let mut driver = busy_children(turns_per_commit);
        answer_must(&mut driver, Err(failed()));
        loop {
            let rewound = driver.ask(Command::Rewind {
                id: id("parent"),
                reason: String::new(),
            });
            while !driver.answers.contains_key(&rewound) {
                go_on(&mut driver);
            }
            if matches!(driver.answer(rewound), Response::Done) {
                break;
            }
        }
        driver.finish();
        answer_must(&mut driver, Ok(Attempted::Done(Payload::NULL)));
        driver.finish();
        assert_eq!(statuses(&driver), [RuntimeStatus::Running; CHILDREN + 1]);
        assert_eq!(driver.store.recover().unwrap().letters, []);
        assert_eq!(driver.store.check(), Vec::<String>::new());
    }
}
