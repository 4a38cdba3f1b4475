//! Drives the engine as a shell would, in an order that the seed decides.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;

use futures_util::FutureExt;

use super::auditor::Auditor;
use super::programs::{Program, answer, registry};
use crate::engine::{
    ActivityKey, Answer, Command, Config, Dispatch, Effect, Engine, Fetch, Fetched, Input,
    Response, StartRequest,
};
use crate::failure::FailureKind;
use crate::id::{EventName, InstanceId};
use crate::payload::Payload;
use crate::store::Store;
use crate::store::kv::memory::MemoryKv;
use crate::store::kv::{KvStore, Prepared};
use crate::time::Timestamp;

/// When the process dies.
#[derive(Clone, Copy, Debug)]
pub(super) enum Crash {
    Never,
    /// Before this move; of what was not synced, the first `kept` batches survive.
    At {
        at: u64,
        kept: usize,
    },
    /// Once, and again so many moves later.
    Twice {
        at: u64,
        again: u64,
    },
    Random,
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) moves: u64,
    pub(super) crashes: u64,
    outputs: Vec<(InstanceId, String)>,
}

/// A client's request, to be asked again if the process dies before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

impl Answer for Ticket {
    fn is_wanted(&self) -> bool {
        true
    }
}

type KvBatch = Prepared<<MemoryKv as crate::store::kv::backend::KeyValue>::Batch>;

pub(super) struct World {
    random: u64,
    now: Timestamp,
    kv: MemoryKv,
    process: Process,
    /// Commands to be sent, in order for each instance.
    to_ask: VecDeque<Command>,
    asked: BTreeMap<Ticket, Command>,
    next_ticket: u64,
    /// Instances to be terminated at some moment.
    to_terminate: Vec<InstanceId>,
    /// Everything has ended: nobody asks for anything new.
    quiet: bool,
    auditor: Auditor,
    moves: u64,
    crashes: u64,
}

/// What dies with the process.
pub(super) struct Process {
    store: KvStore<MemoryKv>,
    pub(super) engine: Engine<Ticket>,
    /// Sealed, not applied.
    sealed: VecDeque<(u64, Option<KvBatch>, Vec<Effect<Ticket>>)>,
    /// Applied, not synced.
    applied: Vec<(u64, Vec<Effect<Ticket>>)>,
    durable: u64,
    running: Vec<Dispatch>,
    /// Every attempt that was ever run: none is run twice while the process lives.
    dispatched: BTreeSet<(ActivityKey, u32)>,
    nudges: usize,
    /// Reads may fail.
    pub(super) damaged: bool,
}

impl Process {
    pub(super) fn start(kv: &MemoryKv) -> Self {
        let store = KvStore::open(kv.clone(), Path::new("memory")).expect("opens");
        let recovered = store.recover().expect("recovers");
        let durable = recovered.commit;
        let config = Config {
            // Small, so that every bound is met.
            max_live: 2,
            max_waiting: 4,
            max_waiting_bytes: 100,
            turns_per_commit: 2,
            events_per_turn: 3,
            timer_window: 2,
            ..Config::default()
        };
        let mut engine = Engine::new(config, recovered, Box::new(|_| Arc::new(|| ())));
        engine.handle(Input::WorkerStarted(1, Arc::new(registry())));
        Self {
            store,
            engine,
            sealed: VecDeque::new(),
            applied: Vec::new(),
            durable,
            running: Vec::new(),
            dispatched: BTreeSet::new(),
            nudges: 0,
            damaged: false,
        }
    }

    /// What one command is answered, with everything it takes made durable at once.
    pub(super) fn ask(&mut self, command: Command) -> Response {
        self.engine.handle(Input::Client(command, Ticket(0)));
        self.settle(Timestamp(1_000_000));
        let mut answer = None;
        for (commit, prepared, effects) in std::mem::take(&mut self.sealed) {
            if let Some(prepared) = prepared {
                self.store.apply(prepared).expect("applies");
            }
            self.store.sync().expect("syncs");
            self.durable = commit;
            for effect in effects {
                if let Effect::Reply(_, response) = effect {
                    answer = Some(response);
                }
            }
        }
        answer.expect("an answer")
    }

    /// Lets the engine read and seal until it has nothing left to do.
    fn settle(&mut self, now: Timestamp) {
        self.engine.advance(now, self.durable);
        loop {
            while let Some(fetch) = self.engine.next_fetch() {
                let fetched = match &fetch {
                    Fetch::Instance(key) => self.store.load(key).map(Fetched::Instance),
                    Fetch::Glimpse(id) => self.store.glimpse(id).map(Fetched::Glimpse),
                    Fetch::Timers { after, limit } => {
                        self.store.timers(*after, *limit).map(Fetched::Timers)
                    }
                };
                assert!(fetched.is_ok() || self.damaged, "{fetch:?}: {fetched:?}");
                self.engine.fetched(&fetch, fetched);
            }
            let Some(sealed) = self.engine.seal() else {
                break;
            };
            let prepared = (!sealed.ops.is_empty()).then(|| {
                self.store
                    .prepare(sealed.commit, sealed.ops)
                    .expect("prepares")
            });
            self.sealed
                .push_back((sealed.commit, prepared, sealed.effects));
        }
    }
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let kv = MemoryKv::default();
        Self {
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            now: Timestamp(1_000_000),
            process: Process::start(&kv),
            kv,
            to_ask: VecDeque::new(),
            asked: BTreeMap::new(),
            next_ticket: 0,
            to_terminate: Vec::new(),
            quiet: false,
            auditor: Auditor::default(),
            moves: 0,
            crashes: 0,
        }
    }

    fn random(&mut self, below: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random >> 33).expect("31 bits") % below
    }

    /// Runs the programs to their ends.
    pub(super) fn run(mut self, programs: &[Program], crash: Crash) -> Run {
        let instances: Vec<_> = programs
            .iter()
            .enumerate()
            .map(|(n, program)| (InstanceId::new(format!("i{n}")).expect("valid"), *program))
            .collect();
        for (id, program) in &instances {
            self.to_ask.push_back(start(id, *program));
            for (name, data) in program.events() {
                let data = Payload::from_json(*data).expect("JSON");
                self.to_ask.push_back(Command::Raise {
                    id: id.clone(),
                    name: EventName::new(name),
                    data,
                });
            }
        }
        let to_terminate = |(_, program): &&(_, Program)| *program == Program::Terminated;
        let to_terminate = instances.iter().filter(to_terminate);
        self.to_terminate = to_terminate.map(|(id, _)| id.clone()).collect();
        while !self.all_ended(&instances) {
            if self.crash_now(crash) {
                continue;
            }
            self.one_move();
            assert!(
                self.moves < 20_000,
                "it does not end: {:?} {:?}",
                self.process.engine,
                self.asked
            );
        }
        self.check_ends(&instances)
    }

    fn crash_now(&mut self, crash: Crash) -> bool {
        let kept = match crash {
            Crash::At { at, kept } if self.moves == at && self.crashes == 0 => kept,
            Crash::Twice { at, .. } if self.moves == at && self.crashes == 0 => 1,
            Crash::Twice { at, again } if self.moves == at + again && self.crashes == 1 => 0,
            Crash::Random if self.random(60) == 0 => self.random(4),
            Crash::Never | Crash::At { .. } | Crash::Twice { .. } | Crash::Random => return false,
        };
        self.crashes += 1;
        self.kv.crash(kept);
        self.process = Process::start(&self.kv);
        assert_eq!(self.process.store.check(), [""; 0]);
        // Clients ask again what was not answered.
        for (_, command) in std::mem::take(&mut self.asked).into_iter().rev() {
            if !is_read(&command) {
                self.to_ask.push_front(command);
            }
        }
        self.auditor.after_restart(&self.process.store, self.now);
        true
    }

    /// One thing happens: which, the seed decides.
    fn one_move(&mut self) {
        self.moves += 1;
        match self.random(7) {
            0 if !self.to_ask.is_empty() => self.ask(),
            1 if !self.process.running.is_empty() => self.end_attempt(),
            2 => self.apply(),
            3 => self.sync(),
            4 if self.random(4) == 0 => self.pass_time(),
            5 => self.look(),
            _ => self.process.settle(self.now),
        }
        while self.process.nudges > 0 {
            self.process.nudges -= 1;
            self.process.engine.handle(Input::Nudge);
        }
    }

    fn ask(&mut self) {
        // An instance's commands are asked one after the other.
        let Some(command) = self.to_ask.front() else {
            return;
        };
        if self
            .asked
            .values()
            .any(|asked| !is_read(asked) && target(asked) == target(command))
        {
            return;
        }
        if let Some(command) = self.to_ask.pop_front() {
            self.send(command);
        }
    }

    fn send(&mut self, command: Command) {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.asked.insert(ticket, command.clone());
        self.process.engine.handle(Input::Client(command, ticket));
    }

    /// Somebody reads a status, waits for an end, or brings one about.
    fn look(&mut self) {
        let ids: Vec<_> = self.auditor.acknowledged().cloned().collect();
        let reading = self
            .asked
            .values()
            .filter(|command| is_read(command))
            .count();
        if !ids.is_empty() && reading < 3 && !self.quiet {
            let id = ids[self.random(ids.len())].clone();
            if self.random(3) == 0 {
                self.send(Command::Wait { id });
            } else if self.to_terminate.contains(&id) && self.random(4) == 0 {
                self.to_terminate.retain(|other| *other != id);
                let reason = Some("enough".to_owned());
                self.send(Command::Terminate { id, reason });
            } else {
                self.send(Command::Status { id });
            }
        }
    }

    fn end_attempt(&mut self) {
        let place = self.random(self.process.running.len());
        let Dispatch {
            key,
            name,
            input,
            attempt,
            step,
            ..
        } = self.process.running.swap_remove(place);
        let result = match step {
            Some(step) => step().now_or_never().expect("it waits for nothing"),
            None => answer(&name, &input, attempt),
        };
        self.process.engine.handle(Input::AttemptEnded {
            worker: 1,
            key,
            attempt,
            result,
        });
    }

    fn apply(&mut self) {
        if let Some((commit, prepared, effects)) = self.process.sealed.pop_front() {
            if let Some(prepared) = prepared {
                self.process.store.apply(prepared).expect("applies");
            }
            self.process.applied.push((commit, effects));
        }
    }

    fn sync(&mut self) {
        self.process.store.sync().expect("syncs");
        for (commit, effects) in std::mem::take(&mut self.process.applied) {
            self.process.durable = self.process.durable.max(commit);
            for effect in effects {
                self.release(effect);
            }
        }
    }

    fn release(&mut self, effect: Effect<Ticket>) {
        match effect {
            Effect::Reply(ticket, response) => self.answered(ticket, &response),
            Effect::Dispatch(dispatch) => {
                // A store that knows nothing of the commits under way.
                let store = KvStore::open(self.kv.clone(), Path::new("memory")).expect("opens");
                Auditor::dispatched(&dispatch, &store);
                let (key, attempt) = (dispatch.key, dispatch.attempt);
                let new = self.process.dispatched.insert((key, attempt));
                assert!(new, "attempt {attempt} at {key:?} runs twice");
                self.process.running.push(dispatch);
            }
            Effect::CancelActivity(key) => {
                self.process.running.retain(|running| running.key != key);
            }
            Effect::Nudge => self.process.nudges += 1,
        }
    }

    fn answered(&mut self, ticket: Ticket, response: &Response) {
        let command = self.asked.remove(&ticket).expect("answered once");
        match (&command, response) {
            (Command::Start(request), Response::Done) => self.auditor.started(&request.id),
            // The start before the crash had come through.
            (Command::Start(request), Response::AlreadyExists(_)) if self.crashes > 0 => {
                self.auditor.started(&request.id);
            }
            (Command::Raise { id, data, .. }, Response::Done) => {
                self.auditor
                    .raised(id, &String::from_utf8_lossy(data.as_bytes()));
            }
            (Command::Terminate { id, .. }, Response::Done) => self.auditor.terminated(id),
            (Command::Raise { .. } | Command::Terminate { .. }, Response::Ended(_)) => {}
            (Command::Wait { id }, Response::Status(snapshot)) => {
                assert!(snapshot.header.status.is_terminal(), "{id}: told too early");
                self.auditor.read(id, response);
            }
            (Command::Status { id }, response) => self.auditor.read(id, response),
            (command, response) => panic!("{command:?} was answered {response:?}"),
        }
    }

    /// Time moves, at most to where something is due.
    fn pass_time(&mut self) {
        let a_bit = self.now.0 + 1 + self.random(400_000) as u64;
        let due = self
            .process
            .engine
            .next_deadline()
            .map_or(a_bit, |due| due.0.max(self.now.0));
        self.now = Timestamp(if self.random(8) == 0 {
            due
        } else {
            due.min(a_bit)
        });
    }

    fn all_ended(&mut self, instances: &[(InstanceId, Program)]) -> bool {
        // Looking at the disk costs more than a move.
        if !self.moves.is_multiple_of(16) || !self.to_ask.is_empty() {
            return false;
        }
        self.quiet = instances.iter().all(|(id, _)| {
            let glimpse = self.process.store.glimpse(id).expect("reads");
            glimpse.is_some_and(|glimpse| glimpse.header.status.is_terminal())
        });
        // Whoever waits must be told, too.
        self.quiet && self.asked.is_empty()
    }

    fn check_ends(mut self, instances: &[(InstanceId, Program)]) -> Run {
        self.process.settle(self.now);
        let mut outputs = Vec::new();
        for (id, program) in instances {
            let glimpse = self
                .process
                .store
                .glimpse(id)
                .expect("reads")
                .expect("is there");
            let snapshot = crate::engine::Snapshot::of_glimpse(glimpse);
            let output = match &snapshot.result {
                Some(Ok(output)) => String::from_utf8_lossy(output.as_bytes()).into_owned(),
                Some(Err(failure)) if failure.kind() == FailureKind::Terminated => {
                    format!("terminated: {failure}")
                }
                other => panic!("{id} {program:?} ended {other:?}"),
            };
            assert!(
                program.outputs().contains(output.as_str()),
                "{id} {program:?} ended with {output}"
            );
            self.auditor.read(id, &Response::Status(Box::new(snapshot)));
            self.auditor.ended(id, &output);
            outputs.push((id.clone(), output));
        }
        let timers = self.process.store.timers(None, 100).expect("reads");
        assert_eq!(timers, [], "timers are left");
        while !self.process.sealed.is_empty() {
            self.apply();
        }
        assert_eq!(self.process.store.check(), [""; 0]);
        let active = self.process.store.recover().expect("reads").active;
        assert_eq!(active, [], "instances are left active");
        Run {
            moves: self.moves,
            crashes: self.crashes,
            outputs,
        }
    }
}

pub(super) fn start(id: &InstanceId, program: Program) -> Command {
    Command::Start(StartRequest {
        id: id.clone(),
        name: program.name().to_owned(),
        version: String::new(),
        input: Payload::NULL,
        fresh: false,
    })
}

fn is_read(command: &Command) -> bool {
    matches!(command, Command::Status { .. } | Command::Wait { .. })
}

fn target(command: &Command) -> &InstanceId {
    match command {
        Command::Start(StartRequest { id, .. })
        | Command::Raise { id, .. }
        | Command::Terminate { id, .. }
        | Command::Status { id }
        | Command::Wait { id }
        | Command::Purge { id } => id,
    }
}
