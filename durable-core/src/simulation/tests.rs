//! A little of what `durable-torture simulate` does at length, and what it cannot see.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::plan::Plan;
use super::process::{Faults, Process, Ticket};
use super::program::{Code, Node, Script, Work, registry};
use super::{exhaust, run, scenarios, simulate};
use crate::engine::{Begin, Command, Config, Effect, Input, Replaces, Response, StartRequest};
use crate::id::{EventName, InstanceId};
use crate::orchestrator::Orchestrator as _;
use crate::payload::Payload;
use crate::replay::ProblemKind;
use crate::store::Retention;
use crate::store::StoreError;
use crate::store::kv::backend::{KeyValue, Write};
use crate::store::kv::memory::MemoryKv;
use crate::time::Timestamp;

#[test]
fn random_runs_keep_every_promise() {
    for seed in 0..100 {
        if let Err(failure) = simulate(seed, 1_500) {
            panic!("seed {seed}: {}", failure.shrink(2_000));
        }
    }
}

#[test]
fn a_death_at_every_point_of_some_scenarios_keeps_every_promise() {
    for name in scenarios().step_by(12) {
        let done = exhaust(name).expect("is there");
        let done = done.unwrap_or_else(|failure| panic!("{name}: {failure}"));
        assert!(
            done.crash_points > 10 && done.store_calls > 10,
            "{name}: {done:?}"
        );
    }
    assert!(scenarios().count() >= 30);
}

#[test]
fn a_run_is_a_function_of_its_seed() {
    let figures = |seed| run::run(Plan::random(seed, 1_000)).expect("keeps its promises");
    assert_eq!(figures(7), figures(7));
    assert_ne!(figures(7), figures(8));
}

const ID: &str = "waits";

fn id() -> InstanceId {
    InstanceId::new(ID).expect("valid")
}

fn start(program: &[Node]) -> Command {
    Command::Start(StartRequest {
        id: id(),
        name: Script::NAME.to_owned(),
        version: String::new(),
        input: Payload::encode(program).expect("JSON"),
        fresh: false,
        tags: std::collections::BTreeMap::new(),
        begin: Begin::AtOnce,
        event: None,
        replaces: Replaces::Nothing,
    })
}

fn raise(data: &str) -> Command {
    Command::Raise {
        id: id(),
        name: EventName::new("Go"),
        data: Payload::encode(data).expect("JSON"),
        event: None,
    }
}

fn open(kv: &MemoryKv) -> Process {
    let config = Config {
        max_waiting: 4,
        max_waiting_bytes: 1_000,
        ..Config::default()
    };
    let mut process = Process::start(
        kv,
        &Arc::new(Faults::default()),
        config,
        Retention::default(),
    )
    .expect("opens");
    process
        .engine
        .handle(Input::WorkerStarted(1, Arc::new(registry(Code::Right))));
    process
}

/// What one command is answered, with everything it takes made durable at once.
fn ask(process: &mut Process, command: Command) -> Response {
    let now = Timestamp(1_000_000);
    process.handle(Input::Client(command, Ticket::new(0)), now);
    for _ in 0..20 {
        process.settle(now).expect("settles");
        process.apply().expect("applies");
        process.sync().expect("syncs");
        for effect in std::mem::take(&mut process.released) {
            match effect {
                Effect::Reply(_, response) => return response,
                Effect::Nudge => process.handle(Input::Nudge, now),
                Effect::Dispatch(_) | Effect::CancelActivity(_) | Effect::Announce(_) => {}
            }
        }
    }
    panic!("no answer");
}

/// Its history is gone: whoever sends it something is told, and its status says so from then on.
#[test]
fn an_instance_that_cannot_be_read_shows_it() {
    let kv = MemoryKv::default();
    let started = ask(&mut open(&kv), start(&[Node::Event(0), Node::Event(0)]));
    assert!(matches!(started, Response::Done));

    let mut turns = Vec::new();
    let find = &mut |key: &[u8], _: &[u8]| {
        turns.push(Write::Remove(key.to_vec()));
        ControlFlow::Continue(())
    };
    kv.scan(b"h", b"i", find).expect("scans");
    assert_eq!(turns.len(), 1);
    kv.apply(kv.batch(turns)).expect("applies");

    let mut process = open(&kv);
    process.damaged = true;
    let raised = ask(&mut process, raise("x"));
    assert!(
        matches!(raised, Response::Failed(StoreError::Corrupt { .. })),
        "{raised:?}"
    );
    let Response::Status(snapshot) = ask(
        &mut process,
        Command::Status {
            id: id(),
            detail: crate::StatusDetail::ALL,
        },
    ) else {
        panic!("no status")
    };
    let (problem, _) = snapshot.header.problem.expect("a problem");
    assert_eq!(problem.kind(), ProblemKind::StoreCorrupt);
}

/// Without a worker events are kept up to a bound, which termination does not know.
#[test]
fn what_waits_for_an_instance_that_does_not_go_on_is_bounded() {
    let kv = MemoryKv::default();
    let mut process = open(&kv);
    process.engine.handle(Input::WorkerStopped(1));
    let started = ask(&mut process, start(&[Node::Call(Work::well(1))]));
    assert!(matches!(started, Response::Done));
    let too_long = ask(&mut process, raise(&"x".repeat(2_000)));
    assert!(matches!(too_long, Response::TooManyWaiting), "{too_long:?}");
    for _ in 0..3 {
        assert!(matches!(ask(&mut process, raise("x")), Response::Done));
    }
    let too_many = ask(&mut process, raise("x"));
    assert!(matches!(too_many, Response::TooManyWaiting), "{too_many:?}");

    // Also after a restart, until somebody takes them.
    let mut process = open(&kv);
    let taken = ask(&mut process, raise("x"));
    assert!(matches!(taken, Response::Done), "the worker has taken them");
    let reason = None;
    let terminated = ask(
        &mut process,
        Command::Terminate {
            id: id(),
            reason,
            children: false,
        },
    );
    assert!(matches!(terminated, Response::Done));
}
