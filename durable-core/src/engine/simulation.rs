//! The engine, its store and the world around it on one thread, under one seed.
//!
//! Time is virtual, the store forgets what was not synced, and the process may die between any two
//! of its moves. An auditor that knows what was promised, not how the engine works, looks at
//! everything that leaves the engine, and at the end at what is stored. A failure names the seed.

mod auditor;
mod programs;
mod world;

use std::ops::ControlFlow;

use self::programs::Program;
use self::world::{Crash, Process, World, start};
use crate::engine::{Command, Input, Response};
use crate::id::{EventName, InstanceId};
use crate::payload::Payload;
use crate::replay::ProblemKind;
use crate::store::StoreError;
use crate::store::kv::backend::{KeyValue, Write};
use crate::store::kv::memory::MemoryKv;

/// Every program, a crash at every move, with every number of unsynced batches surviving.
#[test]
fn a_crash_at_every_move_of_every_program_ends_right() {
    let mut crashes = 0;
    for program in Program::ALL {
        let moves = World::new(1).run(&[program], Crash::Never).moves;
        for at in 0..moves {
            for kept in 0..3 {
                let run = World::new(1).run(&[program], Crash::At { at, kept });
                assert_eq!(run.crashes, 1, "{program:?}: no move {at}");
                crashes += 1;
            }
        }
    }
    assert!(crashes > 500, "{crashes}");
}

/// A second crash while the first is being recovered from.
#[test]
fn a_crash_during_recovery_ends_right() {
    for program in Program::ALL {
        let moves = World::new(2).run(&[program], Crash::Never).moves;
        for at in (0..moves).step_by(3) {
            for again in 1..12 {
                World::new(2).run(&[program], Crash::Twice { at, again });
            }
        }
    }
}

#[test]
fn random_mixtures_under_random_crashes_end_right() {
    let mut crashes = 0;
    for seed in 0..300 {
        let programs: Vec<_> = (0..8)
            .map(|n| Program::ALL[(seed + n) % Program::ALL.len()])
            .collect();
        crashes += World::new(seed as u64)
            .run(&programs, Crash::Random)
            .crashes;
    }
    assert!(crashes > 300, "{crashes}");
}

#[test]
fn a_run_is_a_function_of_its_seed() {
    let run = |seed| World::new(seed).run(&Program::ALL, Crash::Random);
    assert_eq!(run(7), run(7));
    assert_ne!(run(7).moves, run(8).moves);
}

/// Its history is gone: whoever sends it something is told, and its status says so from then on.
#[test]
fn an_instance_that_cannot_be_read_shows_it() {
    let kv = MemoryKv::default();
    let id = InstanceId::new("sleeps").expect("valid");
    let status = || Command::Status { id: id.clone() };
    let started = Process::start(&kv).ask(start(&id, Program::TwoEvents));
    assert!(matches!(started, Response::Done));

    let mut turns = Vec::new();
    let find = &mut |key: &[u8], _: &[u8]| {
        turns.push(Write::Remove(key.to_vec()));
        ControlFlow::Continue(())
    };
    kv.scan(b"h", b"i", find).expect("scans");
    assert_eq!(turns.len(), 1);
    kv.apply(kv.batch(turns)).expect("applies");

    let mut process = Process::start(&kv);
    process.damaged = true;
    let (name, data) = (EventName::new("first"), Payload::NULL);
    let raised = process.ask(Command::Raise {
        id: id.clone(),
        name,
        data,
    });
    assert!(
        matches!(raised, Response::Failed(StoreError::Corrupt { .. })),
        "{raised:?}"
    );
    let Response::Status(snapshot) = process.ask(status()) else {
        panic!("no status")
    };
    let (problem, _) = snapshot.header.problem.expect("a problem");
    assert_eq!(problem.kind(), ProblemKind::StoreCorrupt);
}

/// Without a worker events are kept up to a bound, which termination does not know.
#[test]
fn what_waits_for_an_instance_that_does_not_go_on_is_bounded() {
    let kv = MemoryKv::default();
    let id = InstanceId::new("waits").expect("valid");
    let raise = |data: &str| Command::Raise {
        id: id.clone(),
        name: EventName::new("second"),
        data: Payload::encode(data).expect("JSON"),
    };
    let mut process = Process::start(&kv);
    process.engine.handle(Input::WorkerStopped(1));
    assert!(matches!(
        process.ask(start(&id, Program::TwoEvents)),
        Response::Done
    ));
    assert!(
        matches!(
            process.ask(raise(&"x".repeat(200))),
            Response::TooManyWaiting
        ),
        "bytes"
    );
    for _ in 0..3 {
        assert!(matches!(process.ask(raise("x")), Response::Done));
    }
    assert!(
        matches!(process.ask(raise("x")), Response::TooManyWaiting),
        "number"
    );

    // Also after a restart, until somebody takes them.
    let mut process = Process::start(&kv);
    assert!(
        matches!(process.ask(raise("x")), Response::Done),
        "the worker has taken them"
    );
    let reason = None;
    let terminate = Command::Terminate {
        id: id.clone(),
        reason,
    };
    assert!(matches!(process.ask(terminate), Response::Done));
}
