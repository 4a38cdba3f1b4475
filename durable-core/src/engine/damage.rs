//! Whatever happens to a record of a store that an engine has written, somebody notices: who opens
//! it, or the full check.

use std::ops::ControlFlow;
use std::path::Path;

use crate::engine::driver::{Driver, id, raise, request, terminate};
use crate::engine::timing::{Sleeps, Tries, end, failure, start, start_worker};
use crate::engine::{Begin, Command, Input, Response, StartRequest};
use crate::history::Event;
use crate::id::{CallId, ExecutionId, InstanceNumber};
use crate::orchestrator::Orchestrator as _;
use crate::payload::Payload;
use crate::store::kv::KvStore;
use crate::store::kv::backend::{KeyValue as _, Write};
use crate::store::kv::memory::MemoryKv;
use crate::store::{Attempts, Header, Op, RuntimeStatus, Scheduled, Store as _, TimerKey};
use crate::time::Timestamp;

type Pair = (Vec<u8>, Vec<u8>);

fn large() -> Payload {
    Payload::encode(&"x".repeat(40_000)).unwrap()
}

/// A store with records of every kind, some in several chunks.
fn sample() -> MemoryKv {
    let mut driver = Driver::new();
    // So many that the active set is written as a whole.
    let names: Vec<_> = (0..2100).map(|n| format!("n{n}")).collect();
    for name in &names {
        driver.ask(start::<Sleeps>(name, Payload::NULL));
    }
    driver.finish();
    for name in &names {
        driver.ask(terminate(name));
    }
    driver.finish();
    for name in &names {
        driver.ask(Command::Purge {
            id: id(name),
            number: None,
        });
    }
    driver.finish();

    start_worker(&mut driver, 1);
    for (name, result) in [("ended", Ok(Payload::NULL)), ("tries", Err(failure()))] {
        driver.ask(start::<Tries>(name, Payload::NULL));
        driver.finish();
        let dispatch = driver.dispatched.pop().expect("an attempt");
        end(&mut driver, dispatch, result);
        driver.finish();
    }
    driver.ask(start::<Sleeps>("sleeps", large()));
    driver.ask(start::<Sleeps>("waits", Payload::NULL));
    driver.finish();
    driver.engine.handle(Input::WorkerStopped(1));
    for data in [Payload::NULL, large()] {
        let raised = driver.ask_and_finish(raise("waits", data));
        assert!(matches!(raised, Response::Done), "{raised:?}");
    }
    driver.ask(start::<Sleeps>("pending", Payload::NULL));
    driver.ask(Command::Start(StartRequest {
        begin: Begin::At(Timestamp(u64::MAX)),
        ..request("later", Sleeps::NAME)
    }));
    driver.finish();
    driver.kv
}

fn pairs(kv: &MemoryKv) -> Vec<Pair> {
    let mut pairs = Vec::new();
    kv.scan(b"", &[0xff], &mut |key, value| {
        pairs.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    })
    .unwrap();
    pairs
}

/// What is said of a store; nothing if it is sound.
fn said(kv: &MemoryKv) -> Vec<String> {
    match KvStore::open(kv.clone(), Path::new("memory")) {
        Ok(store) => store.check(),
        Err(error) => vec![error.to_string()],
    }
}

/// Does this to a sound store, hears what is said, and undoes it.
fn said_after(kv: &MemoryKv, writes: &[Write]) -> Vec<String> {
    let mut undo = Vec::new();
    for write in writes {
        let (Write::Put(key, _) | Write::Remove(key)) = write;
        undo.push(match kv.get(key).unwrap() {
            Some(value) => Write::Put(key.clone(), value.to_vec()),
            None => Write::Remove(key.clone()),
        });
    }
    kv.apply(kv.batch(writes.to_vec())).unwrap();
    let said = said(kv);
    kv.apply(kv.batch(undo)).unwrap();
    said
}

/// The same key but for a bit, for several bits.
fn neighbours(key: &[u8]) -> Vec<Vec<u8>> {
    let places = [0, 1, 8, 12, key.len() - 3, key.len() - 1];
    let flip = |at: usize| {
        let mut other = key.to_vec();
        *other.get_mut(at)? ^= 1;
        Some(other)
    };
    places.into_iter().filter_map(flip).collect()
}

#[test]
fn the_sample_is_sound_and_has_every_kind() {
    let kv = sample();
    assert_eq!(said(&kv), [""; 0]);
    let mut kinds: Vec<_> = pairs(&kv)
        .iter()
        .map(|(key, _)| char::from(key[0]))
        .collect();
    kinds.dedup();
    assert_eq!(kinds, ['a', 'h', 'i', 'j', 'k', 'm', 'q', 's', 't']);
}

#[test]
fn no_change_of_any_record_goes_unnoticed() {
    let kv = sample();
    let sound = pairs(&kv);
    let mut unnoticed = Vec::new();
    let mut tried = 0;
    let mut attempt = |what: &str, key: &[u8], writes: &[Write]| {
        tried += 1;
        if said_after(&kv, writes).is_empty() {
            unnoticed.push(format!("{what} {}", key.escape_ascii()));
        }
    };
    for (key, value) in &sound {
        let remove = Write::Remove(key.clone());
        attempt("lost", key, std::slice::from_ref(&remove));
        for at in [0, 3, value.len() / 2, value.len().saturating_sub(1)] {
            let mut flipped = value.clone();
            if let Some(byte) = flipped.get_mut(at) {
                *byte ^= 0x10;
                attempt("flipped", key, &[Write::Put(key.clone(), flipped)]);
            }
        }
        let cut = value[..value.len().saturating_sub(1)].to_vec();
        if cut != *value {
            attempt("cut", key, &[Write::Put(key.clone(), cut)]);
        }
        for other in neighbours(key) {
            if sound.iter().all(|(key, _)| *key != other) {
                let put = Write::Put(other, value.clone());
                attempt("copied", key, std::slice::from_ref(&put));
                attempt("moved", key, &[remove.clone(), put]);
            }
        }
    }
    for foreign in [
        b"".as_slice(),
        b"x",
        b"zz\0\0",
        b"h",
        b"t",
        b"ia",
        b"k\0\0\0\0",
    ] {
        let put = Write::Put(foreign.to_vec(), b"what is this".to_vec());
        attempt("foreign", foreign, &[put]);
    }
    assert_eq!(unnoticed, [""; 0]);
    assert!(tried > 200, "{tried}");
    assert_eq!(pairs(&kv), sound, "everything was undone");
}

/// As a whole they look sound; only their number tells.
#[test]
fn the_loss_of_everything_of_an_instance_is_noticed() {
    let kv = sample();
    let number = |name: &[u8]| {
        let store = KvStore::open(kv.clone(), Path::new("memory")).unwrap();
        let name = id(std::str::from_utf8(name).unwrap());
        let glimpse = store.glimpse(&name).unwrap();
        glimpse.unwrap().header.number.0.to_be_bytes()
    };
    for name in [
        b"ended".as_slice(),
        b"sleeps",
        b"waits",
        b"pending",
        b"later",
        b"tries",
    ] {
        let number = number(name);
        let of = |(key, _): &&Pair| {
            key.get(1..9) == Some(number.as_slice())
                || key.get(9..17) == Some(number.as_slice())
                || key
                    .strip_prefix(b"i")
                    .is_some_and(|id| id.starts_with(name))
        };
        let writes: Vec<_> = pairs(&kv)
            .iter()
            .filter(of)
            .map(|(key, _)| Write::Remove(key.clone()))
            .collect();
        assert!(writes.len() > 1);
        let said = said_after(&kv, &writes);
        assert!(
            said.iter().any(|said| said.contains("instances: ")),
            "{said:?}"
        );
    }
}

/// Counted as it should be, and still wrong: what an engine with a mistake in it would leave.
#[test]
fn what_was_written_by_mistake_is_explained_by_nothing() {
    let kv = sample();
    let sound = pairs(&kv);
    for (expected, op) in mistakes(&kv) {
        let what = format!("{op:?}");
        let store = KvStore::open(kv.clone(), Path::new("memory")).unwrap();
        let commit = store.recover().unwrap().commit + 1;
        store
            .apply(store.prepare(commit, vec![op]).unwrap())
            .unwrap();
        let said = store.check();
        assert!(
            said.iter().any(|said| said.contains(expected)),
            "{what}: {said:?}"
        );
        let now = pairs(&kv);
        let removed = now.iter().map(|(key, _)| Write::Remove(key.clone()));
        let put = sound
            .iter()
            .map(|(key, value)| Write::Put(key.clone(), value.clone()));
        kv.apply(kv.batch(removed.chain(put).collect())).unwrap();
    }
    assert_eq!(said(&kv), [""; 0]);
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn mistakes(kv: &MemoryKv) -> Vec<(&'static str, Op)> {
    let store = KvStore::open(kv.clone(), Path::new("memory")).unwrap();
    let header = |name| store.glimpse(&id(name)).unwrap().unwrap().header;
    let timers = store.timers(None, 10).unwrap();
    let timer = |name| {
        let number = header(name).number;
        *timers.iter().find(|timer| timer.number == number).unwrap()
    };
    let number = header("sleeps").number;
    let nobody = InstanceNumber(999_999);
    let (execution, call) = (ExecutionId(0), CallId(77));
    let attempts = Attempts {
        failed: 1,
        due: Some(Timestamp(1)),
        state: None,
        progress: None,
    };
    let event = Event::TimerFired { call };
    let put_header = |name, change: fn(&mut Header)| {
        let old = header(name);
        let mut new = old.clone();
        change(&mut new);
        Op::PutHeader {
            header: Box::new(new),
            replaces: Some(old.size()),
        }
    };
    let number_of_nobody = Header {
        id: id("nobody"),
        number: nobody,
        ..header("sleeps")
    };
    vec![
        (
            "nothing explains",
            Op::PutTimer(TimerKey {
                call,
                ..timer("sleeps")
            }),
        ),
        (
            "nothing explains",
            Op::PutTimer(TimerKey {
                number: nobody,
                ..timer("sleeps")
            }),
        ),
        ("timer of call", Op::RemoveTimer(timer("sleeps"))),
        ("timer of call", Op::RemoveTimer(timer("tries"))),
        ("timer of call", Op::RemoveTimer(timer("later"))),
        (
            "nothing explains",
            put_header("later", |header| {
                header.scheduled = header.scheduled.map(|scheduled| Scheduled {
                    due: true,
                    ..scheduled
                });
            }),
        ),
        (
            "active set",
            Op::SetActive {
                number: header("later").number,
                active: true,
            },
        ),
        (
            "attempts at call",
            Op::PutAttempts {
                number,
                execution,
                call,
                attempts: attempts.clone(),
            },
        ),
        (
            "no start",
            Op::PutAttempts {
                number: nobody,
                execution,
                call,
                attempts,
            },
        ),
        (
            "its start",
            Op::PutMessage {
                number: nobody,
                seq: 0,
                event: event.clone(),
            },
        ),
        (
            "active set",
            Op::PutMessage {
                number,
                seq: 0,
                event: event.clone(),
            },
        ),
        (
            "has ended",
            Op::PutMessage {
                number: header("ended").number,
                seq: 0,
                event,
            },
        ),
        (
            "is missing",
            Op::SetActive {
                number: nobody,
                active: true,
            },
        ),
        (
            "active set",
            Op::SetActive {
                number,
                active: true,
            },
        ),
        (
            "active set",
            Op::SetActive {
                number: header("tries").number,
                active: false,
            },
        ),
        (
            "the history",
            Op::PutHeader {
                header: Box::new(number_of_nobody),
                replaces: None,
            },
        ),
        (
            "its header says",
            put_header("sleeps", |header| header.turns += 1),
        ),
        (
            "its header says",
            put_header("sleeps", |header| header.turns = 0),
        ),
        (
            "its header says",
            put_header("ended", |header| header.status = RuntimeStatus::Failed),
        ),
        (
            "its header says",
            put_header("waits", |header| header.status = RuntimeStatus::Completed),
        ),
        (
            "last updated",
            put_header("sleeps", |header| header.updated = Timestamp(0)),
        ),
        (
            "custom status",
            put_header("ended", |header| header.custom_status = Some(Payload::NULL)),
        ),
        (
            "does not begin",
            put_header("sleeps", |header| header.name = "other".to_owned()),
        ),
    ]
}

/// It is told whose it is.
#[test]
fn damage_is_laid_at_its_instance() {
    let kv = sample();
    for (key, _) in pairs(&kv)
        .into_iter()
        .filter(|(key, _)| b"ahqt".contains(&key[0]))
    {
        let said = said_after(&kv, &[Write::Remove(key.clone())]);
        // Of the first chunk of what says whose it is, and of a whole message, that is lost too.
        let unknown = |said: &String| !said.starts_with("instance ");
        if said.iter().all(unknown) {
            let counted = said.iter().any(|said| said.contains("counted"));
            assert!(counted, "{}: {said:?}", key.escape_ascii());
        }
    }
}
