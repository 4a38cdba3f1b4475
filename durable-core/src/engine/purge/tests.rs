//! Purging while commits are under way: nothing is applied here until a test says so.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use crate::engine::{
    Answer, Command, Config, Effect, Engine, Fetch, Fetched, Input, Response, StartRequest,
};
use crate::id::{EventName, InstanceId, InstanceNumber};
use crate::payload::Payload;
use crate::store::kv::KvStore;
use crate::store::kv::backend::KeyValue as _;
use crate::store::kv::memory::MemoryKv;
use crate::store::{InstanceKey, RuntimeStatus, Store};
use crate::time::Timestamp;

#[derive(Debug)]
struct Ticket(u64);

impl Answer for Ticket {
    fn is_wanted(&self) -> bool {
        true
    }
}

type Prepared = <KvStore<MemoryKv> as Store>::Prepared;

/// An engine without a worker: what is started is stored, and ends when it is terminated.
struct Driver {
    kv: MemoryKv,
    store: KvStore<MemoryKv>,
    engine: Engine<Ticket>,
    sealed: VecDeque<(u64, Option<Prepared>, Vec<Effect<Ticket>>)>,
    durable: u64,
    tickets: u64,
    answers: BTreeMap<u64, Response>,
}

impl Driver {
    fn new() -> Self {
        let kv = MemoryKv::default();
        let store = KvStore::open(kv.clone(), Path::new("memory")).unwrap();
        let recovered = store.recover().unwrap();
        let engine = Engine::new(Config::default(), recovered, Box::new(|_| Arc::new(|| ())));
        Self {
            kv,
            store,
            engine,
            sealed: VecDeque::new(),
            durable: 0,
            tickets: 0,
            answers: BTreeMap::new(),
        }
    }

    /// Asks something; the answer is known by the number that is returned.
    fn ask(&mut self, command: Command) -> u64 {
        self.tickets += 1;
        let input = Input::Client(command, Ticket(self.tickets));
        self.engine.handle(input);
        self.tickets
    }

    /// Reads and seals, and applies nothing.
    fn settle(&mut self) {
        self.engine.advance(Timestamp(1), self.durable);
        loop {
            while let Some(fetch) = self.engine.next_fetch() {
                let fetched = match &fetch {
                    Fetch::Instance(key) => self.store.load(key).map(Fetched::Instance),
                    Fetch::Glimpse(id) => self.store.glimpse(id).map(Fetched::Glimpse),
                    Fetch::Timers { .. } => panic!("there is no worker"),
                };
                self.engine.fetched(&fetch, fetched);
            }
            let Some(sealed) = self.engine.seal() else {
                break;
            };
            let prepared = (!sealed.ops.is_empty())
                .then(|| self.store.prepare(sealed.commit, sealed.ops).unwrap());
            self.sealed
                .push_back((sealed.commit, prepared, sealed.effects));
        }
    }

    /// Makes what was sealed durable, and lets its effects happen; a nudge comes before the engine
    /// is told.
    fn commit(&mut self) {
        for (commit, prepared, effects) in std::mem::take(&mut self.sealed) {
            if let Some(prepared) = prepared {
                self.store.apply(prepared).unwrap();
            }
            self.store.sync().unwrap();
            for effect in effects {
                match effect {
                    Effect::Reply(Ticket(ticket), response) => {
                        self.answers.insert(ticket, response);
                    }
                    Effect::Nudge => self.engine.handle(Input::Nudge),
                    other => panic!("{other:?}"),
                }
            }
            self.durable = commit;
        }
    }

    /// Goes on until nothing is left to do.
    fn finish(&mut self) {
        for _ in 0..10 {
            self.settle();
            self.commit();
        }
        assert!(self.sealed.is_empty());
    }

    /// What a command is answered once everything it takes is done.
    fn ask_and_finish(&mut self, command: Command) -> Response {
        let ticket = self.ask(command);
        self.finish();
        self.answer(ticket)
    }

    #[track_caller]
    fn answer(&mut self, ticket: u64) -> Response {
        self.answers.remove(&ticket).expect("an answer")
    }

    /// Keys of the store, without the two records that every hub has and the active set's.
    fn keys(&self) -> Vec<Vec<u8>> {
        let mut keys = Vec::new();
        let list = &mut |key: &[u8], _: &[u8]| {
            keys.push(key.to_vec());
            ControlFlow::Continue(())
        };
        self.kv.scan(b"", b"\xff", list).unwrap();
        keys.retain(|key| !b"kmjs".contains(&key[0]));
        keys
    }
}

fn id(id: &str) -> InstanceId {
    InstanceId::new(id).unwrap()
}

fn start(name: &str) -> Command {
    Command::Start(StartRequest {
        id: id(name),
        name: "fulfil".to_owned(),
        version: String::new(),
        input: Payload::NULL,
        fresh: false,
    })
}

fn terminate(name: &str) -> Command {
    Command::Terminate {
        id: id(name),
        reason: None,
    }
}

fn raise(name: &str) -> Command {
    Command::Raise {
        id: id(name),
        name: EventName::new("go"),
        data: Payload::NULL,
    }
}

fn purge(name: &str) -> Command {
    Command::Purge { id: id(name) }
}

fn status(name: &str) -> Command {
    Command::Status { id: id(name) }
}

/// An instance that has ended and left memory.
fn with_ended(name: &str) -> Driver {
    let mut driver = Driver::new();
    for command in [start(name), raise(name), terminate(name)] {
        assert!(matches!(driver.ask_and_finish(command), Response::Done));
    }
    driver
}

#[test]
fn what_is_purged_is_gone_and_leaves_nothing() {
    let mut driver = with_ended("a");
    assert!(!driver.keys().is_empty());
    assert!(matches!(driver.ask_and_finish(purge("a")), Response::Done));
    assert_eq!(driver.keys(), Vec::<Vec<u8>>::new());
    for command in [purge("a"), status("a"), raise("a"), terminate("a")] {
        let answer = driver.ask_and_finish(command);
        assert!(matches!(answer, Response::NotFound), "{answer:?}");
    }
}

#[test]
fn what_has_not_ended_is_not_purged() {
    let mut driver = Driver::new();
    driver.ask(start("a"));
    driver.settle();
    let at_once = driver.ask(purge("a"));
    driver.finish();
    let later = driver.ask(purge("a"));
    driver.finish();
    for ticket in [at_once, later] {
        let answer = driver.answer(ticket);
        assert!(
            matches!(answer, Response::NotEnded(RuntimeStatus::Pending)),
            "{answer:?}"
        );
    }
    assert!(matches!(
        driver.ask_and_finish(status("a")),
        Response::Status(_)
    ));
}

/// Else the store would lack what is to be removed.
#[test]
fn a_purge_waits_until_the_end_is_durable() {
    let mut driver = Driver::new();
    driver.ask(start("a"));
    driver.settle();
    let ended = driver.ask(terminate("a"));
    driver.settle();
    let purged = driver.ask(purge("a"));
    driver.settle();
    let still_there = driver.ask(status("a"));
    driver.settle();
    driver.commit();
    assert!(matches!(driver.answer(ended), Response::Done));
    let answer = driver.answer(still_there);
    assert!(matches!(answer, Response::Status(_)), "{answer:?}");
    assert!(!driver.answers.contains_key(&purged));

    driver.finish();
    assert!(matches!(driver.answer(purged), Response::Done));
    assert_eq!(driver.keys(), Vec::<Vec<u8>>::new());
}

#[test]
fn a_purge_that_is_not_applied_yet_is_seen_by_all_that_follows() {
    let mut driver = with_ended("a");
    let purged = driver.ask(purge("a"));
    driver.settle();
    assert!(!driver.keys().is_empty(), "it is not applied");
    let later = [purge("a"), status("a"), raise("a"), terminate("a")].map(|command| {
        let ticket = driver.ask(command);
        driver.settle();
        ticket
    });
    let started = driver.ask(start("a"));
    let refused = driver.ask(purge("a"));
    driver.finish();
    assert!(matches!(driver.answer(purged), Response::Done));
    for ticket in later {
        let answer = driver.answer(ticket);
        assert!(matches!(answer, Response::NotFound), "{answer:?}");
    }
    assert!(matches!(driver.answer(started), Response::Done));
    assert!(matches!(driver.answer(refused), Response::NotEnded(_)));
    assert_new_incarnation(&mut driver);
}

/// All in one commit, and two that purge it.
#[test]
fn a_purge_and_a_start_of_the_same_id_at_once() {
    let mut driver = with_ended("a");
    let tickets = [purge("a"), purge("a"), start("a"), status("a")].map(|it| driver.ask(it));
    driver.finish();
    let [purged, again, started, seen] = tickets.map(|ticket| driver.answer(ticket));
    assert!(matches!(purged, Response::Done), "{purged:?}");
    assert!(matches!(again, Response::NotFound), "{again:?}");
    assert!(matches!(started, Response::Done), "{started:?}");
    let Response::Status(seen) = seen else {
        panic!("{seen:?}")
    };
    assert_eq!(seen.header.number, InstanceNumber(1));
    assert_new_incarnation(&mut driver);
}

/// Of the instance `a` that was created second everything is there, of the first one nothing.
#[track_caller]
fn assert_new_incarnation(driver: &mut Driver) {
    let Response::Status(snapshot) = driver.ask_and_finish(status("a")) else {
        panic!("no status")
    };
    assert_eq!(snapshot.header.number, InstanceNumber(1));
    assert_eq!(snapshot.header.status, RuntimeStatus::Pending);
    let by_number = |number| InstanceKey::Number(InstanceNumber(number));
    assert_eq!(driver.store.load(&by_number(0)).unwrap(), None);
    assert!(driver.store.load(&by_number(1)).unwrap().is_some());
    let reopened = KvStore::open(driver.kv.clone(), Path::new("memory")).unwrap();
    assert!(reopened.load(&by_number(1)).unwrap().is_some());
    assert_eq!(reopened.meta().purged, 1);
}

/// A crash before the purge is synced leaves the instance whole.
#[test]
fn a_purge_happens_whole_or_not() {
    for kept in 0..2 {
        let mut driver = with_ended("a");
        let before = driver.keys();
        driver.ask(purge("a"));
        driver.settle();
        for (_, prepared, _) in std::mem::take(&mut driver.sealed) {
            driver.store.apply(prepared.unwrap()).unwrap();
        }
        driver.kv.crash(kept);
        let left = driver.keys();
        assert_eq!(left, if kept == 0 { before } else { Vec::new() });
    }
}
