//! An engine and its store in a test's hands: nothing is applied until the test says so.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use crate::engine::{
    Answer, Begin, Command, Config, Dispatch, Effect, Engine, Fetch, Input, Replaces, Response,
    StartRequest,
};
use crate::history::Tags;
use crate::id::{EventName, InstanceId};
use crate::payload::Payload;
use crate::registry::Registry;
use crate::store::kv::KvStore;
use crate::store::kv::backend::KeyValue as _;
use crate::store::kv::memory::MemoryKv;
use crate::store::{InstanceKey, StatusDetail, Store, Stored};
use crate::time::Timestamp;

#[derive(Debug)]
pub(super) struct Ticket(u64);

impl Answer for Ticket {
    fn is_wanted(&self) -> bool {
        true
    }
}

pub(super) type Prepared = <KvStore<MemoryKv> as Store>::Prepared;

pub(super) struct Driver {
    pub(super) kv: MemoryKv,
    pub(super) store: KvStore<MemoryKv>,
    pub(super) engine: Engine<Ticket>,
    pub(super) sealed: VecDeque<(u64, Option<Prepared>, Vec<Effect<Ticket>>)>,
    durable: u64,
    pub(super) now: Timestamp,
    /// What was dispatched and not taken by the test yet.
    pub(super) dispatched: Vec<Dispatch>,
    tickets: u64,
    pub(super) answers: BTreeMap<u64, Response>,
}

impl Driver {
    pub(super) fn new() -> Self {
        Self::open(MemoryKv::default(), Config::default())
    }

    pub(super) fn open(kv: MemoryKv, config: Config) -> Self {
        let store = KvStore::open(kv.clone(), Path::new("memory")).unwrap();
        let recovered = store.recover().unwrap();
        let durable = recovered.commit;
        let engine = Engine::new(config, recovered, Box::new(|_| Arc::new(|| ())));
        Self {
            kv,
            store,
            engine,
            sealed: VecDeque::new(),
            durable,
            now: Timestamp(1),
            dispatched: Vec::new(),
            tickets: 0,
            answers: BTreeMap::new(),
        }
    }

    /// With a worker that has these.
    pub(super) fn running(config: Config, registry: Registry) -> Self {
        let mut driver = Self::open(MemoryKv::default(), config);
        let started = Input::WorkerStarted(1, Arc::new(registry));
        driver.engine.handle(started);
        driver
    }

    /// What is stored of an instance.
    pub(super) fn stored(&self, name: &str) -> Option<Stored> {
        let key = InstanceKey::Id(id(name));
        self.store.load(&key, usize::MAX).unwrap()
    }

    /// Asks something; the answer is known by the number that is returned.
    pub(super) fn ask(&mut self, command: Command) -> u64 {
        self.tickets += 1;
        let input = Input::Client(command, Ticket(self.tickets));
        self.engine.handle(input);
        self.tickets
    }

    /// Reads and seals, and applies nothing.
    pub(super) fn settle(&mut self) {
        self.advance();
        loop {
            while self.read().is_some() {}
            if !self.seal() {
                break;
            }
        }
    }

    /// Tells the time, and what is durable.
    pub(super) fn advance(&mut self) {
        self.engine.advance(self.now, self.durable);
    }

    /// Reads what is wanted next, and returns what that was.
    pub(super) fn read(&mut self) -> Option<Fetch> {
        let fetch = self.engine.next_fetch()?;
        let fetched = fetch.read(&self.store);
        self.engine.fetched(&fetch, fetched);
        Some(fetch)
    }

    /// Seals a commit, and applies nothing.
    pub(super) fn seal(&mut self) -> bool {
        let Some(sealed) = self.engine.seal() else {
            return false;
        };
        let prepared = (!sealed.ops.is_empty())
            .then(|| self.store.prepare(sealed.commit, sealed.ops).unwrap());
        self.sealed
            .push_back((sealed.commit, prepared, sealed.effects));
        true
    }

    /// Makes what was sealed durable, and lets its effects happen; a nudge comes before the engine
    /// is told.
    pub(super) fn commit(&mut self) {
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
                    Effect::Dispatch(dispatch) => self.dispatched.push(dispatch),
                    Effect::CancelActivity(_) | Effect::Announce(_) => {}
                }
            }
            self.durable = self.durable.max(commit);
        }
    }

    /// Goes on until nothing is left to do.
    pub(super) fn finish(&mut self) {
        for _ in 0..10 {
            self.settle();
            self.commit();
        }
        assert!(self.sealed.is_empty());
    }

    /// What a command is answered once everything it takes is done.
    pub(super) fn ask_and_finish(&mut self, command: Command) -> Response {
        let ticket = self.ask(command);
        self.finish();
        self.answer(ticket)
    }

    #[track_caller]
    pub(super) fn answer(&mut self, ticket: u64) -> Response {
        self.answers.remove(&ticket).expect("an answer")
    }

    /// Keys of the store, without the two records that every hub has and the active set's.
    pub(super) fn keys(&self) -> Vec<Vec<u8>> {
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

pub(super) fn id(id: &str) -> InstanceId {
    InstanceId::new(id).unwrap()
}

/// The start of an instance, without an input, that is looked up first.
pub(super) fn request(name: &str, orchestrator: &str) -> StartRequest {
    StartRequest {
        id: id(name),
        name: orchestrator.to_owned(),
        version: String::new(),
        input: Payload::NULL,
        tags: Tags::new(),
        fresh: false,
        begin: Begin::AtOnce,
        event: None,
        replaces: Replaces::Nothing,
    }
}

pub(super) fn raise(name: &str, data: Payload) -> Command {
    Command::Raise {
        id: id(name),
        name: EventName::new("go"),
        data,
        event: None,
    }
}

pub(super) fn terminate(name: &str) -> Command {
    Command::Terminate {
        id: id(name),
        reason: None,
        children: false,
    }
}

pub(super) fn status(name: &str) -> Command {
    Command::Status {
        id: id(name),
        detail: StatusDetail::ALL,
    }
}
