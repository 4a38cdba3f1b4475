//! Everything outside of the process: the clock, the disk, clients, the operator, activities that
//! run. Which of them moves next, the seed decides.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fastrand::Rng;
use futures_util::FutureExt;

use super::auditor::{Auditor, rewinds};
use super::follower::Follower;
use super::lives::Lives;
use super::plan::{Chances, Deploy, Life, Order, Plan};
use super::process::{Faults, Process, Store, Ticket};
use super::program::{
    Answer, ByAnother, Code, NAMES, Node, Raised, Script, Work, Worked, registry,
};
use super::run::Figures;
use super::sweep::{Asks, Sweep};
use crate::activity::{Activity, Attempted};
use crate::engine::{
    ActivityKey, Begin, Command, Dispatch, Effect, Happened, Input, LifecycleKind, RESTLESS,
    Replaces, Reported, Response, Snapshot, StartRequest, WATCHED, WorkerId,
};
use crate::failure::{FailureDetails, FailureKind};
use crate::history::Event;
use crate::id::{EventName, InstanceId, InstanceNumber};
use crate::orchestrator::Orchestrator;
use crate::payload::Payload;
use crate::store::kv::KvStore;
use crate::store::kv::backend::KeyValue as _;
use crate::store::kv::hooked::Hooked;
use crate::store::kv::memory::MemoryKv;
use crate::store::{
    Aside as _, Child, Filter, InstanceKey, Keep, List, Retention, RuntimeStatus, StatusDetail,
    Store as _, StoreError,
};
use crate::time::Timestamp;

/// When the world begins, and when the clock shows it.
const EPOCH: u64 = 1_000_000_000_000;

/// Bytes that the store takes in one value: a summary with a problem fits, and little more, so that
/// turns and events have many chunks.
const MAX_VALUE: usize = 4_000;

/// More moves than any run needs to come to its end.
const ENDLESS: u64 = 60_000;

/// A run in which instances are rewound for ever does not end.
const MOST_REWINDS: u64 = 8;

/// As it is by default.
pub(super) const LIMIT: u32 = 3;

pub(super) struct World {
    rng: Rng,
    chances: Chances,
    plan: Plan,
    now: Timestamp,
    /// How long the world exists, whatever its clock shows.
    age: Duration,
    kv: MemoryKv,
    faults: Arc<Faults>,
    /// None while it is being started, again and again.
    process: Option<Process>,
    clients: Vec<Client>,
    readers: BTreeMap<u64, Reader>,
    /// What whoever watches an instance in a life of it has last seen.
    watched: BTreeMap<(usize, u64), Arc<Snapshot>>,
    /// What was listed, and is told once it is durable.
    listings: BTreeMap<u64, Vec<(Reader, Snapshot)>>,
    /// Who follow histories, and the tickets of those that were not told what they have read.
    followers: BTreeMap<InstanceId, Follower>,
    following: BTreeMap<u64, InstanceId>,
    /// Somebody purges an instance with its children.
    sweep: Option<Sweep>,
    /// Reports of attempts that were not answered.
    reporting: BTreeMap<u64, (ActivityKey, u64)>,
    /// How many there were.
    reported: u64,
    retries: BTreeSet<u64>,
    /// Who asked to replace what was replaced.
    late: BTreeSet<u64>,
    rewinds: BTreeMap<u64, InstanceId>,
    next_ticket: u64,
    worker: Option<(WorkerId, Code)>,
    next_worker: WorkerId,
    deploys: VecDeque<Deploy>,
    running: Vec<Running>,
    /// Attempts of workers that were stopped, and whatever else nobody may listen to.
    stale: Vec<Dispatch>,
    /// Every attempt of this process: none is made twice.
    dispatched: BTreeSet<(ActivityKey, u32)>,
    auditor: Auditor,
    /// As somebody knows them who has listened since the process began.
    lives: Lives,
    figures: Figures,
    calm: bool,
    last_crash: u64,
    /// How often the process has died of a call.
    kills: BTreeMap<ActivityKey, u32>,
    /// An attempt that has the process die now.
    doomed: Option<ActivityKey>,
    /// How old the world was when the process began.
    began: Duration,
}

/// An attempt that runs.
#[derive(Debug)]
struct Running {
    dispatch: Dispatch,
    answer: Answer,
    began: Duration,
    /// When it gave its last sign of life.
    seen: Duration,
    /// How often it may still say how far it has come.
    reports: u32,
}

impl Running {
    /// When it is given up, if it hangs.
    fn limit(&self) -> Option<Duration> {
        let (began, seen) = (self.began, self.seen);
        let timeout = self.dispatch.timeout.map(|limit| began + limit);
        let heartbeat = self.dispatch.heartbeat.map(|limit| seen + limit);
        timeout
            .into_iter()
            .chain(heartbeat)
            .min()
            .filter(|_| matches!(self.answer, Answer::Hangs))
    }
}

/// What an attempt reports: a number that grows, and something to make it long.
fn progress(n: u64, bytes: usize) -> Payload {
    Payload::encode(&(n, "p".repeat(bytes))).expect("JSON")
}

/// Whoever started an instance, and what else it does with it, one thing after the other.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one for each thing that it was not told of"
)]
struct Client {
    id: InstanceId,
    lives: VecDeque<Life>,
    program: Vec<super::program::Node>,
    /// When it is to begin in this life, if not at once.
    begins: Option<Timestamp>,
    orders: VecDeque<Want>,
    /// What was asked and not answered.
    asked: Option<(Ticket, Want)>,
    /// An earlier start of this life was not answered: it may have happened.
    maybe_started: bool,
    maybe_purged: bool,
    maybe_replaced: bool,
    /// The instance that has ended.
    number: Option<InstanceNumber>,
    /// The one that was replaced.
    before: Option<InstanceNumber>,
    /// Events that came after its end: should it be rewound it may wait for them.
    refused: Vec<Order>,
    /// Events sent in this life.
    events: u64,
    /// Grows with each life: what was asked in an earlier one says nothing of this.
    life: u64,
    ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    Start,
    Order(Order),
    /// This event, with its number.
    Event(u8, usize, u64),
    /// As before, or the start with it.
    StartOrRaise(u8, usize, u64),
}

impl Want {
    fn starts(self) -> bool {
        matches!(self, Self::Start | Self::StartOrRaise(..))
    }
}

/// Somebody who reads.
#[derive(Debug)]
struct Reader {
    client: usize,
    life: u64,
    waits: bool,
    watches: bool,
    /// What it has seen before.
    seen: Option<Arc<Snapshot>>,
}

impl World {
    pub(super) fn new(plan: Plan) -> Self {
        let mut rng = Rng::with_seed(plan.seed ^ 0x5eed);
        let kv = MemoryKv::of_identity(rng.u128(..).to_be_bytes()).with_max_value(MAX_VALUE);
        let faults = Arc::new(Faults::default());
        faults.set(plan.fault);
        let clients = plan.cases.iter().enumerate();
        let clients = clients
            .map(|(n, case)| Client::new(format!("i{n}"), case.lives.iter().cloned().collect()))
            .collect();
        let hub = u64::from_be_bytes(*kv.identity().last_chunk().expect("16 bytes"));
        Self {
            rng,
            chances: plan.chances,
            deploys: plan.deploys.iter().copied().collect(),
            now: Timestamp(EPOCH),
            age: Duration::ZERO,
            kv,
            faults,
            process: None,
            clients,
            readers: BTreeMap::new(),
            watched: BTreeMap::new(),
            listings: BTreeMap::new(),
            followers: BTreeMap::new(),
            following: BTreeMap::new(),
            sweep: None,
            reporting: BTreeMap::new(),
            reported: 0,
            retries: BTreeSet::new(),
            late: BTreeSet::new(),
            rewinds: BTreeMap::new(),
            next_ticket: 0,
            worker: None,
            next_worker: 1,
            running: Vec::new(),
            stale: Vec::new(),
            dispatched: BTreeSet::new(),
            auditor: Auditor::new(hub, plan.keep_ms.is_some()),
            lives: Lives::default(),
            figures: Figures::default(),
            calm: false,
            last_crash: 0,
            kills: BTreeMap::new(),
            doomed: None,
            began: Duration::ZERO,
            plan,
        }
    }

    /// Runs until everything has ended.
    pub(super) fn run(mut self) -> Figures {
        self.auditor.time(self.now);
        self.restart();
        while !self.is_done() {
            if let Some(key) = self.doomed.take() {
                self.kill(key);
                continue;
            }
            if self.crash_is_due() {
                self.crash();
                continue;
            }
            if !self.calm && self.figures.moves >= self.plan.moves {
                self.calm_down();
            }
            self.one_move();
            assert!(
                self.figures.moves < ENDLESS,
                "it does not end: {}",
                self.describe()
            );
        }
        self.check_end();
        self.figures
    }

    fn describe(&self) -> String {
        let engine = self.process.as_ref().map(|process| &process.engine);
        let (clients, running, readers) = (&self.clients, &self.running, &self.readers);
        let timers = self
            .process
            .as_ref()
            .map(|process| process.store.timers(None, 10));
        let deadline = engine.and_then(crate::engine::Engine::next_deadline);
        format!(
            "now {:?}, deadline {deadline:?}, timers {timers:?}, {engine:?}, {running:?}, {readers:?}, {clients:?}",
            self.now
        )
    }

    fn once_in(&mut self, moves: usize) -> bool {
        moves > 0 && self.rng.usize(0..moves) == 0
    }

    /// From now on nothing goes wrong.
    fn calm_down(&mut self) {
        self.calm = true;
        self.chances = Chances {
            look: self.chances.look,
            ..Chances::CALM
        };
        self.faults.set(None);
        self.deploys = VecDeque::from([Deploy::Stop, Deploy::Start(Code::Right)]);
    }

    // The process, and its death.

    /// Starts the process; it may die while it starts.
    fn restart(&mut self) {
        loop {
            let config = self.plan.sizes.config();
            let retention = self.plan.keep_ms.map_or(Retention::default(), keep);
            match Process::start(&self.kv, &self.faults, config, retention) {
                Ok(process) => {
                    let fault = self.faults.pause();
                    self.lives = Lives::of(&process.store);
                    self.faults.set(fault);
                    self.process = Some(process);
                    break;
                }
                Err(error) => {
                    assert!(self.faults.take_hit(), "it does not open: {error}");
                    self.figures.faults += 1;
                    self.lose_power();
                }
            }
        }
        self.began = self.age;
        self.running.clear();
        self.stale.clear();
        self.dispatched.clear();
        if let Some((_, code)) = self.worker {
            self.start_worker(code);
        }
    }

    fn crash_is_due(&mut self) -> bool {
        let moves = self.figures.moves;
        let planned = match self.plan.crash {
            Some((at, _, again)) => {
                let second = again.is_some_and(|again| moves == at + again);
                (moves == at && self.figures.crashes == 0) || (second && self.figures.crashes == 1)
            }
            None => false,
        };
        planned || (self.last_crash != moves && self.once_in(self.chances.crash))
    }

    fn crash(&mut self) {
        self.last_crash = self.figures.moves;
        self.figures.crashes += 1;
        self.die();
    }

    /// It dies of an activity.
    fn kill(&mut self, key: ActivityKey) {
        self.figures.kills += 1;
        *self.kills.entry(key).or_default() += 1;
        let process = self.process.as_ref();
        let counts = process.is_some_and(|process| process.engine.alone() == Some(key));
        let noted = self.durable().recover().expect("reads").suspicion.alone;
        assert!(
            !counts || noted == Some(key),
            "{key:?} began alone before that was durable"
        );
        let young = self.age.saturating_sub(self.began) < WATCHED;
        let accused = self.die();
        let durable = self.durable();
        self.auditor
            .killed(key, accused == Some(key), young, &durable);
    }

    /// What was in memory is gone, and of what was not synced some. Returns which call is noted to
    /// have run alone.
    fn die(&mut self) -> Option<ActivityKey> {
        self.process = None;
        self.doomed = None;
        if self.age.saturating_sub(self.began) >= RESTLESS {
            self.auditor.not_in_a_series();
        }
        self.lose_power();
        let suspicion = self.durable().recover().expect("reads").suspicion;
        let accused = suspicion.alone;
        if let Some(key) = accused {
            self.auditor.accused(key, suspicion, &self.durable());
        }
        for client in &mut self.clients {
            client.unanswered();
            if self.auditor.is_rewound(&client.id) {
                client.raise_refused();
            }
        }
        self.readers.clear();
        self.listings.clear();
        self.following.clear();
        self.sweep = None;
        self.followers.values_mut().for_each(Follower::unanswered);
        self.reporting.clear();
        self.retries.clear();
        self.late.clear();
        self.rewinds.clear();
        self.restart();
        if let Some(process) = &self.process {
            // The hook is for the process, not for who looks on.
            let fault = self.faults.pause();
            self.auditor.check(&process.store);
            self.faults.set(fault);
        }
        accused
    }

    fn lose_power(&mut self) {
        let kept = match self.plan.crash {
            Some((_, kept, _)) => kept,
            None => self.rng.usize(0..4),
        };
        self.kv.crash(kept);
    }

    /// After whatever may have met the fault of the store.
    fn survived<T>(&mut self, result: Result<T, StoreError>) -> Option<T> {
        let hit = self.faults.take_hit();
        match result {
            Ok(value) => {
                assert!(!hit, "a failed call into the store went unnoticed");
                Some(value)
            }
            Err(error) => {
                assert!(hit, "the store failed: {error}");
                self.figures.faults += 1;
                self.die();
                None
            }
        }
    }

    /// The store as a power cut would leave it now.
    fn durable(&self) -> Store {
        let idle: Arc<dyn super::hook::StoreHook> = Arc::new(Faults::default());
        let kv = Hooked::new(self.kv.synced_copy(), idle);
        KvStore::open(kv, std::path::Path::new("what is synced")).expect("what is synced opens")
    }

    // Moves.

    fn one_move(&mut self) {
        self.figures.moves += 1;
        if self.once_in(self.chances.fault) && !self.faults.is_set() {
            let fault = super::process::Fault {
                calls: self.rng.u64(0..40),
                after: self.rng.bool(),
            };
            self.faults.set(Some(fault));
        }
        if self.once_in(self.chances.jump) {
            self.set_clock();
        }
        if self.once_in(self.chances.deploy) || (self.calm && !self.deploys.is_empty()) {
            return self.deploy();
        }
        if self.once_in(self.chances.time) {
            return self.pass_time();
        }
        if self.once_in(self.chances.look) {
            return match self.rng.u8(0..8) {
                0 => self.retry(),
                1 => self.replace_what_was_replaced(),
                2 | 3 => self.rewind(),
                _ => self.look(),
            };
        }
        if self.once_in(self.chances.stale) {
            return self.report_stale();
        }
        if self.once_in(self.chances.disk) {
            return match self.rng.bool() {
                true => self.apply(),
                false => self.sync(),
            };
        }
        match self.rng.u8(0..6) {
            5 => self.report(),
            0 if self.sweep.is_some() => self.sweep_on(),
            0 => self.ask(),
            1 => {
                self.end_attempt();
                // Deploys meet what has just come in.
                if self.chances.deploy > 0 && self.once_in(6) {
                    self.deploy();
                }
            }
            2 | 3 => self.release(),
            _ => self.settle(),
        }
    }

    fn settle(&mut self) {
        let now = self.now;
        let reads_at_once = self.rng.usize(1..5);
        if let Some(process) = &mut self.process {
            process.reads_at_once = reads_at_once;
            let settled = process.settle(now);
            self.survived(settled);
        }
    }

    fn apply(&mut self) {
        if let Some(process) = &mut self.process {
            let applied = process.apply();
            self.survived(applied);
        }
    }

    fn sync(&mut self) {
        let Some(process) = &mut self.process else {
            return;
        };
        let synced = process.sync();
        if let Some(Some(commit)) = self.survived(synced) {
            let durable = self.durable().recover().expect("is in memory").commit;
            assert!(
                durable >= commit,
                "commit {commit} counts as durable, but {durable} is"
            );
        }
    }

    fn input(&mut self, input: Input<Ticket>) {
        let now = self.now;
        if let Some(process) = &mut self.process {
            process.handle(input, now);
        }
    }

    /// What is durable has its effects, one after the other.
    fn release(&mut self) {
        let count = self.rng.usize(1..6);
        let Some(process) = &mut self.process else {
            return;
        };
        let count = count.min(process.released.len());
        let effects: Vec<_> = process.released.drain(..count).collect();
        if effects.is_empty() {
            return;
        }
        let durable = self.durable();
        for effect in effects {
            match effect {
                Effect::Reply(ticket, response) => self.answered(&ticket, response, &durable),
                Effect::Dispatch(dispatch) => self.dispatched(dispatch, &durable),
                Effect::CancelActivity(key) => {
                    let cancelled = self
                        .running
                        .extract_if(.., |running| running.dispatch.key == key);
                    self.stale.extend(cancelled.map(|running| running.dispatch));
                }
                Effect::Nudge => self.input(Input::Nudge),
                Effect::Announce(happened) => {
                    self.check_expiry(&happened);
                    self.lives.happened(&happened, &durable);
                }
            }
        }
    }

    /// What nobody purges goes when its time is over.
    fn check_expiry(&self, happened: &Happened) {
        let Happened { id, number, at, .. } = happened;
        let is_kin = happened.name == <ByAnother<Script>>::NAME;
        if happened.kind != LifecycleKind::Purged || !is_kin || self.sweep.is_some() {
            return;
        }
        let ended = self.lives.ended(*number);
        let ended = ended.unwrap_or_else(|| panic!("{id}: it goes, and has not ended"));
        let kept = Duration::from_micros(at.0.saturating_sub(ended.0));
        let keep_ms = self.plan.keep_ms;
        let keep_ms = keep_ms.unwrap_or_else(|| panic!("{id}: nobody has purged it"));
        assert!(
            kept >= Duration::from_millis(keep_ms),
            "{id}: it is gone after {kept:?}"
        );
    }

    // Time.

    fn pass_time(&mut self) {
        self.check_watchers();
        let deadline = self
            .process
            .as_ref()
            .and_then(|process| process.engine.next_deadline());
        let due = deadline.map(|due| due.since(self.now));
        let limits = self.running.iter().filter_map(Running::limit);
        let hung = limits.map(|limit| limit.saturating_sub(self.age));
        let next = due.into_iter().chain(hung).min();
        let a_bit = Duration::from_micros(self.rng.u64(0..400_000));
        let passed = match next {
            // To the moment, to just before it, or not as far.
            Some(next) => match self.rng.u8(0..4) {
                0 => next,
                1 => next.saturating_sub(Duration::from_micros(self.rng.u64(0..2_000))),
                _ if self.is_idle() => next,
                _ => next.min(a_bit),
            },
            None => a_bit,
        };
        self.age += passed;
        let micros = u64::try_from(passed.as_micros()).unwrap_or(u64::MAX);
        self.now = Timestamp(self.now.0.saturating_add(micros));
        self.auditor.time(self.now);
    }

    /// When nothing is under way, nobody waits for news that is there.
    fn check_watchers(&self) {
        let Some(process) = self.process.as_ref().filter(|process| process.is_idle()) else {
            return;
        };
        let fault = self.faults.pause();
        for reader in self.readers.values() {
            let client = &self.clients[reader.client];
            if let Some(seen) = reader.seen.as_ref().filter(|_| client.life == reader.life)
                && let Some(glimpse) = process.store.glimpse(&client.id).expect("reads")
            {
                let now = Snapshot::of_glimpse(glimpse);
                assert!(
                    !now.is_news_after(seen),
                    "{}: not told of news: {now:?} after {seen:?}",
                    client.id
                );
            }
        }
        self.faults.set(fault);
    }

    fn is_idle(&self) -> bool {
        self.process.as_ref().is_none_or(Process::is_idle)
            && self
                .running
                .iter()
                .all(|running| matches!(running.answer, Answer::Hangs))
    }

    /// Somebody sets the clock.
    fn set_clock(&mut self) {
        let by = 10_u64.pow(self.rng.u32(0..14));
        let now = match self.rng.bool() {
            true => self.now.0.saturating_add(by),
            false => self.now.0.saturating_sub(by).max(EPOCH / 2),
        };
        self.now = Timestamp(now);
        self.auditor.clock_set(self.now);
        self.figures.jumps += 1;
    }

    // The worker.

    fn deploy(&mut self) {
        match self.deploys.pop_front() {
            Some(Deploy::Drain) => self.input(Input::WorkerDraining),
            Some(Deploy::Stop) => self.stop_worker(),
            Some(Deploy::Start(code)) => {
                self.stop_worker();
                self.start_worker(code);
            }
            None => return,
        }
        self.figures.deploys += 1;
    }

    fn stop_worker(&mut self) {
        if let Some((id, _)) = self.worker.take() {
            self.auditor.not_in_a_series();
            self.doomed = None;
            self.input(Input::WorkerStopped(id));
            let stopped = std::mem::take(&mut self.running);
            self.stale
                .extend(stopped.into_iter().map(|running| running.dispatch));
        }
    }

    fn start_worker(&mut self, code: Code) {
        let id = self.next_worker;
        self.next_worker += 1;
        self.worker = Some((id, code));
        self.input(Input::WorkerStarted(id, Arc::new(registry(code))));
    }

    fn dispatched(&mut self, dispatch: Dispatch, durable: &Store) {
        self.auditor.dispatched(&dispatch, durable);
        if self.worker.map(|(id, _)| id) != Some(dispatch.worker) {
            return self.stale.push(dispatch);
        }
        let (key, attempt) = (dispatch.key, dispatch.attempt);
        let runs = self
            .running
            .iter()
            .any(|running| running.dispatch.key == key);
        assert!(!runs, "attempt {attempt} at {key:?} runs beside another");
        let (answer, reports) = if let Some(step) = &dispatch.step {
            let result = step().now_or_never().expect("it waits for nothing");
            (Answer::Ends(result), 0)
        } else {
            assert_eq!(dispatch.name, Worked::NAME);
            let (work, _): (Work, String) = dispatch.input.decode().expect("what it was given");
            let kills = self.kills.get(&key).copied().unwrap_or_default();
            if work.kills > kills && !self.calm {
                if self.rng.bool() {
                    self.doomed = Some(key);
                }
                (Answer::Kills, work.reports)
            } else {
                let rewound = rewound(dispatch.key.number, durable);
                (
                    work.answer(attempt, dispatch.state.as_ref(), rewound),
                    work.reports,
                )
            }
        };
        self.figures.attempts += 1;
        self.running.push(Running {
            dispatch,
            answer,
            began: self.age,
            seen: self.age,
            reports,
        });
    }

    fn end_attempt(&mut self) {
        if self.running.is_empty() {
            return;
        }
        let place = self.rng.usize(0..self.running.len());
        let running = &self.running[place];
        let result = match &running.answer {
            Answer::Ends(result) => result.clone(),
            // Somebody has mended it meanwhile.
            Answer::Kills if self.calm => {
                let Dispatch {
                    key,
                    input,
                    attempt,
                    state,
                    ..
                } = &running.dispatch;
                let (work, _): (Work, String) = input.decode().expect("what it was given");
                let rewound = rewound(key.number, &self.durable());
                self.running[place].answer = work.answer(*attempt, state.as_ref(), rewound);
                return;
            }
            Answer::Kills => {
                self.doomed = Some(running.dispatch.key);
                return;
            }
            Answer::Hangs => {
                let limit = running.limit().expect("what hangs has a limit");
                if self.age < limit {
                    return;
                }
                Err(FailureDetails::new(
                    FailureKind::Timeout,
                    "timeout",
                    "it hung",
                ))
            }
        };
        let running = self.running.swap_remove(place);
        // What it has said last is not reported before its end.
        let left = (running.reports > 0 && self.rng.bool()).then(|| self.next_report());
        let dispatch = running.dispatch;
        self.auditor
            .attempted(dispatch.key, dispatch.attempt, &result, left);
        let progress = left.map(|n| progress(n, 0));
        self.input(Input::AttemptEnded {
            worker: dispatch.worker,
            key: dispatch.key,
            attempt: dispatch.attempt,
            result,
            progress,
        });
    }

    fn next_report(&mut self) -> u64 {
        self.reported += 1;
        self.reported
    }

    /// An attempt that runs says how far it has come.
    fn report(&mut self) {
        let reports = |running: &Running| running.reports > 0;
        let Some(place) = self.running.iter().position(reports) else {
            return;
        };
        let n = self.next_report();
        let bytes = match self.rng.u8(0..8) {
            0 => self.rng.usize(1_000..12_000),
            _ => 0,
        };
        let running = &mut self.running[place];
        running.reports -= 1;
        running.seen = self.age;
        let Dispatch {
            worker,
            key,
            attempt,
            ..
        } = running.dispatch;
        self.auditor.said(key, n);
        let ticket = self.new_ticket();
        self.reporting.insert(ticket.number, (key, n));
        let reported = Reported {
            worker,
            key,
            attempt,
            progress: progress(n, bytes),
        };
        self.input(Input::Reported(reported, ticket));
        self.figures.reports += 1;
    }

    /// Somebody that nobody waits for any more says something.
    fn report_stale(&mut self) {
        if let Some(dispatch) = self.stale.pop() {
            if self.rng.bool() {
                let ticket = self.new_ticket();
                let reported = Reported {
                    worker: dispatch.worker,
                    key: dispatch.key,
                    attempt: dispatch.attempt,
                    progress: progress(u64::MAX, 0),
                };
                return self.input(Input::Reported(reported, ticket));
            }
            let current = self.worker.map(|(id, _)| id) == Some(dispatch.worker);
            let wrong = Payload::encode(&(u64::MAX, "stale")).expect("JSON");
            // A cancelled attempt of the running worker has ended; of a stopped one anything may come.
            if !current {
                self.input(Input::AttemptEnded {
                    worker: dispatch.worker,
                    key: dispatch.key,
                    attempt: dispatch.attempt,
                    result: Ok(Attempted::Done(wrong)),
                    progress: None,
                });
            }
        }
    }

    // Clients.

    fn new_ticket(&mut self) -> Ticket {
        let ticket = Ticket::new(self.next_ticket);
        self.next_ticket += 1;
        ticket
    }

    fn send(&mut self, command: Command) -> Ticket {
        let ticket = self.new_ticket();
        self.input(Input::Client(command, ticket.clone()));
        ticket
    }

    fn ask(&mut self) {
        let place = self.rng.usize(0..self.clients.len().max(1));
        let Some((want, command)) = self.clients.get_mut(place).and_then(Client::next) else {
            return;
        };
        let id = self.clients[place].id.clone();
        match want {
            Want::Order(Order::Purge) => self.auditor.purging(&id),
            Want::Order(Order::Resume) => self.auditor.resuming(&id),
            Want::Order(Order::Replace(_)) => {
                let begins = self.clients[place].next_begins();
                self.auditor.replacing(&id, begins);
            }
            Want::Order(_) | Want::Start | Want::Event(..) | Want::StartOrRaise(..) => {}
        }
        if want.starts() {
            self.auditor.starting(&id, self.clients[place].begins);
        }
        self.figures.asked += 1;
        if want == Want::Order(Order::Purge)
            && let Some(ticket) = self.begin_sweep(&id)
        {
            self.clients[place].asked = Some((ticket, want));
            return;
        }
        let ticket = self.send(command);
        self.clients[place].asked = Some((ticket, want));
    }

    /// The client's instance is purged with its children, every second time that it has ended.
    fn begin_sweep(&mut self, id: &InstanceId) -> Option<Ticket> {
        let process = self.process.as_ref()?;
        if self.rng.bool() {
            return None;
        }
        let fault = self.faults.pause();
        let glimpse = process.store.glimpse(id).expect("reads");
        let letters = process.store.recover().expect("reads").letters;
        let quiet = process.is_idle() && letters.is_empty() && self.rewinds.is_empty();
        self.faults.set(fault);
        let header = glimpse?.header;
        if !header.status.is_terminal() {
            return None;
        }
        self.auditor.sweeping(id);
        let root = Child {
            id: header.id,
            number: header.number,
            status: header.status,
        };
        let ticket = self.new_ticket();
        self.sweep = Some(Sweep::new(root, ticket.clone(), quiet));
        Some(ticket)
    }

    fn sweep_on(&mut self) {
        let (Some(mut sweep), Some(process)) = (self.sweep.take(), &self.process) else {
            return;
        };
        let asks = sweep.go_on(&process.store);
        let Some(asks) = self.survived(asks) else {
            return;
        };
        match asks {
            Asks::Nothing => {}
            Asks::Purge(children) => {
                for child in children {
                    let purge = purge(&child);
                    let ticket = self.send(purge);
                    sweep.asked(ticket.number, child);
                }
            }
            Asks::Last(root, ticket) => {
                return self.input(Input::Client(purge(&root), ticket));
            }
            Asks::Refused(ticket) => {
                let asks = |client: &&Client| {
                    let asked = client.asked.as_ref();
                    asked.is_some_and(|(asked, _)| asked.number == ticket.number)
                };
                if let Some(client) = self.clients.iter().find(asks) {
                    let (id, number) = (client.id.clone(), None);
                    self.input(Input::Client(Command::Purge { id, number }, ticket));
                }
                return;
            }
        }
        self.sweep = Some(sweep);
    }

    /// Somebody has an instance tried again that an activity of seems to be poison.
    fn retry(&mut self) {
        let Some(process) = &self.process else { return };
        let fault = self.faults.pause();
        let suspicion = process.store.recover().expect("reads").suspicion;
        let poison = suspicion
            .crashes
            .iter()
            .filter(|(_, crashes)| **crashes >= LIMIT);
        let numbers: Vec<_> = poison.map(|(key, _)| key.number).collect();
        if let Some(number) = numbers.get(self.rng.usize(0..numbers.len().max(1))) {
            let stored = process.store.load(&InstanceKey::Number(*number), 0);
            if let Ok(Some(stored)) = stored {
                self.auditor.retried(*number);
                let id = stored.header.id;
                let ticket = self.send(Command::Retry { id });
                self.retries.insert(ticket.number);
            }
        }
        self.faults.set(fault);
    }

    /// Somebody who does not know that it has happened replaces an instance once more.
    fn replace_what_was_replaced(&mut self) {
        let place = self.rng.usize(0..self.clients.len().max(1));
        let Some(client) = self.clients.get(place) else {
            return;
        };
        let Some(before) = client.before else { return };
        let again = Command::Start(StartRequest {
            replaces: Replaces::Only(before),
            ..client.start(&client.program, client.begins)
        });
        let ticket = self.send(again);
        self.late.insert(ticket.number);
    }

    /// Somebody has an instance that has failed go on; it may be the child of another.
    fn rewind(&mut self) {
        let Some(process) = &self.process else { return };
        if self.figures.rewinds >= MOST_REWINDS {
            return;
        }
        let fault = self.faults.pause();
        let list = List {
            filter: Filter {
                statuses: [RuntimeStatus::Failed].into(),
                ..Filter::default()
            },
            after: None,
            limit: 10,
            budget: 1_000,
            payloads: false,
        };
        let failed = process.store.list(&list).expect("reads").found;
        self.faults.set(fault);
        if failed.is_empty() {
            return;
        }
        let id = failed[self.rng.usize(0..failed.len())].header.id.clone();
        self.figures.rewinds += 1;
        self.auditor.rewinding(&id);
        if let Some(sweep) = &mut self.sweep {
            sweep.somebody_goes_on();
        }
        let reason = "mended".to_owned();
        let rewind = Command::Rewind {
            id: id.clone(),
            reason,
        };
        let ticket = self.send(rewind);
        self.rewinds.insert(ticket.number, id);
    }

    fn look(&mut self) {
        let ids: Vec<_> = self.auditor.ids().cloned().collect();
        if ids.is_empty() || self.readers.len() > 4 || (self.calm && self.all_asked()) {
            return;
        }
        let id = ids[self.rng.usize(0..ids.len())].clone();
        let Some(client) = self.clients.iter().position(|client| client.id == id) else {
            return;
        };
        match self.rng.u8(0..8) {
            0 => return self.list(),
            1 | 2 => return self.follow(id),
            _ => {}
        }
        let life = self.clients[client].life;
        let mut reader = Reader {
            client,
            life,
            waits: false,
            watches: false,
            seen: None,
        };
        let (input, progress) = (self.rng.bool(), self.rng.bool());
        let command = match self.rng.u8(0..4) {
            0 => {
                reader.waits = true;
                Command::Wait { id }
            }
            1 => {
                let seen = self.watched.get(&(client, life)).cloned();
                reader.watches = true;
                reader.seen.clone_from(&seen);
                Command::Watch { id, seen }
            }
            _ => Command::Status {
                id,
                detail: StatusDetail::ALL.input(input).progress(progress),
            },
        };
        let ticket = self.send(command);
        self.readers.insert(ticket.number, reader);
    }

    /// As [`Client::history`](crate::Client::history) does: reads beside the engine, and waits until
    /// that is durable.
    fn follow(&mut self, id: InstanceId) {
        let limit = self.rng.usize(1..6);
        let Some(process) = &self.process else {
            return;
        };
        let follower = self.followers.entry(id.clone());
        let follower = follower.or_insert_with(|| Follower::new(id.clone()));
        if follower.waits() {
            return;
        }
        let read = follower.read(&process.store, limit);
        let Some(found) = self.survived(read) else {
            return;
        };
        if !found {
            let client = self.clients.iter().find(|client| client.id == id);
            if client.is_some_and(|client| !client.may_be_gone()) {
                self.auditor.not_found(&id);
            }
            return;
        }
        let ticket = self.new_ticket();
        self.following.insert(ticket.number, id);
        if let Some(process) = &mut self.process {
            process.engine.answer(ticket, Response::Done);
        }
    }

    /// As [`Client::query`](crate::Client::query) does: reads beside the engine, and waits until that
    /// is durable.
    fn list(&mut self) {
        let mut list = List {
            filter: Filter::default(),
            after: None,
            limit: self.rng.usize(1..5),
            budget: self.rng.usize(1..5),
            payloads: true,
        };
        let mut found = BTreeMap::new();
        loop {
            let Some(process) = &self.process else {
                return;
            };
            let listed = process.store.list(&list);
            let Some(listed) = self.survived(listed) else {
                return;
            };
            assert_eq!(listed.unreadable, [], "what is listed is whole");
            let snapshots = listed.found.into_iter().map(Snapshot::of_glimpse);
            found.extend(snapshots.map(|found| (found.header.id.clone(), found)));
            list.after = listed.last;
            if list.after.is_none() {
                break;
            }
        }
        let mut listing = Vec::new();
        for (client, seen) in self.clients.iter().enumerate() {
            let id = &seen.id;
            let Some(snapshot) = found.remove(id) else {
                if !seen.may_be_gone() {
                    self.auditor.not_found(id);
                }
                continue;
            };
            self.auditor.listed(id, &snapshot);
            let reader = Reader {
                client,
                life: seen.life,
                waits: false,
                watches: false,
                seen: None,
            };
            listing.push((reader, snapshot));
        }
        let ticket = Ticket::new(self.next_ticket);
        self.next_ticket += 1;
        self.listings.insert(ticket.number, listing);
        if let Some(process) = &mut self.process {
            process.engine.answer(ticket, Response::Done);
        }
    }

    fn answered(&mut self, ticket: &Ticket, response: Response, durable: &Store) {
        self.figures.answers += 1;
        if let Some(listing) = self.listings.remove(&ticket.number) {
            for (reader, snapshot) in listing {
                let client = &self.clients[reader.client];
                if client.life == reader.life && !client.may_be_gone() {
                    self.auditor.is_durable(&client.id, &snapshot, durable);
                }
            }
            return;
        }
        if let Some(sweep) = &mut self.sweep
            && let Some(child) = sweep.answered(ticket.number)
        {
            match response {
                Response::Done | Response::NotFound => sweep.purged(&child, durable),
                // It, or its parent, was rewound.
                Response::NotEnded(_) if self.figures.rewinds > 0 => sweep.give_up(),
                other => panic!("{}: its purge was answered {other:?}", child.id),
            }
            return;
        }
        if let Some(id) = self.following.remove(&ticket.number) {
            if let Some(follower) = self.followers.get_mut(&id) {
                follower.told(durable);
            }
            return;
        }
        if let Some(reader) = self.readers.remove(&ticket.number) {
            return self.told(&reader, response, durable);
        }
        if let Some((key, n)) = self.reporting.remove(&ticket.number) {
            if matches!(response, Response::Done) {
                self.auditor.heard(key, n);
            }
            return;
        }
        if self.retries.remove(&ticket.number) {
            // It may have ended, and been purged, meanwhile.
            let fits = matches!(
                response,
                Response::Done | Response::Ended(_) | Response::NotFound
            );
            return assert!(fits, "a retry was answered {response:?}");
        }
        if self.late.remove(&ticket.number) {
            let fits = matches!(
                response,
                Response::AlreadyExists(_) | Response::NotFound | Response::NotRegistered { .. }
            );
            return assert!(
                fits,
                "to replace what was replaced was answered {response:?}"
            );
        }
        if let Some(id) = self.rewinds.remove(&ticket.number) {
            let client = self.clients.iter_mut().find(|client| client.id == id);
            client.into_iter().for_each(Client::raise_refused);
            let fits = matches!(
                response,
                Response::Done | Response::NotFailed(_) | Response::NotFound
            );
            return assert!(fits, "a rewind was answered {response:?}");
        }
        let mine = |client: &Client| {
            client
                .asked
                .as_ref()
                .is_some_and(|(asked, _)| asked.number == ticket.number)
        };
        let Some(place) = self.clients.iter().position(mine) else {
            return;
        };
        if self.once_in(self.chances.drop) {
            // The future was dropped just before.
            ticket.wanted.store(false, Ordering::Relaxed);
            return self.clients[place].unanswered();
        }
        self.clients[place].answered(&response, &mut self.auditor, durable);
    }

    fn told(&mut self, reader: &Reader, response: Response, durable: &Store) {
        let client = &self.clients[reader.client];
        if client.life != reader.life {
            return;
        }
        match response {
            Response::Status(snapshot) => {
                let terminal = snapshot.header.status.is_terminal();
                assert!(terminal || !reader.waits, "{}: told too early", client.id);
                let seen = reader.seen.as_ref();
                assert!(
                    terminal || seen.is_none_or(|seen| snapshot.is_news_after(seen)),
                    "{}: told what it has seen",
                    client.id
                );
                self.auditor.read(&client.id, &snapshot, durable);
                if reader.watches {
                    let watched = (reader.client, reader.life);
                    self.watched.insert(watched, Arc::new(*snapshot));
                }
            }
            Response::NotFound => self.auditor.not_found(&client.id),
            other => panic!("{}: a read was answered {other:?}", client.id),
        }
    }

    // The end.

    fn all_asked(&self) -> bool {
        self.clients.iter().all(Client::is_done)
    }

    fn is_done(&mut self) -> bool {
        if !self.all_asked() || !self.figures.moves.is_multiple_of(8) {
            return false;
        }
        let Some(process) = &mut self.process else {
            return false;
        };
        process.advance(self.now);
        let unanswered = &[&self.retries, &self.late];
        if !process.is_idle()
            || !self.readers.is_empty()
            || unanswered.iter().any(|asked| !asked.is_empty())
        {
            return false;
        }
        if !self.rewinds.is_empty() {
            return false;
        }
        let fault = self.faults.pause();
        let ended = self.clients.iter().all(|client| {
            let glimpse = process.store.glimpse(&client.id).expect("reads");
            glimpse.is_none_or(|glimpse| glimpse.header.status.is_terminal())
        });
        // Children may go on when nobody waits for them.
        let stats = process.store.stats().expect("is counted");
        let running = stats.with_status(RuntimeStatus::Running);
        let ended = ended && running + stats.with_status(RuntimeStatus::Pending) == 0;
        // And what is over is gone.
        let ended = ended && process.engine.next_deadline().is_none();
        self.faults.set(fault);
        ended
    }

    fn check_end(&mut self) {
        self.faults.set(None);
        let process = self.process.take().expect("a process");
        self.auditor.check(&process.store);
        self.lives.check(&process.store);
        for client in &self.clients {
            let glimpse = process.store.glimpse(&client.id).expect("reads");
            let glimpse = glimpse.unwrap_or_else(|| panic!("{} is gone", client.id));
            let snapshot = Snapshot::of_glimpse(glimpse);
            self.auditor
                .check_end(&client.id, &client.program, client.events, &snapshot);
            self.figures.ended += 1;
        }
        if self.plan.keep_ms.is_some() {
            let kin = List {
                filter: Filter {
                    names: [<ByAnother<Script>>::NAME.to_owned()].into(),
                    ..Filter::default()
                },
                after: None,
                limit: 10,
                budget: usize::MAX,
                payloads: false,
            };
            let left = process.store.list(&kin).expect("reads").found;
            assert!(left.is_empty(), "their time is over: {left:?}");
        }
        let left = process.store.timers(None, 100).expect("reads");
        assert_eq!(left, [], "timers are left");
        let recovered = process.store.recover().expect("reads");
        assert_eq!(recovered.active, [], "instances are left active");
        assert_eq!(recovered.letters, [], "letters are left");
        let crashes = recovered.suspicion.crashes;
        assert!(crashes.is_empty(), "crashes are left: {crashes:?}");
    }
}

/// An event of this number: its name, its data, and its id.
fn event(name: u8, bytes: usize, number: u64) -> (EventName, Payload, Option<Arc<str>>) {
    let padding = "z".repeat(bytes);
    let name = EventName::new(NAMES[usize::from(name)].1);
    let data = Payload::encode(&Raised { number, padding }).expect("JSON");
    (
        name,
        data,
        has_id(number).then(|| format!("event {number}").into()),
    )
}

/// Children are kept for so long once they have ended, and everything else for ever.
fn keep(ms: u64) -> Retention {
    let keep = Keep::every(Duration::from_millis(ms));
    Retention::default().orchestrator(<ByAnother<Script>>::NAME, keep)
}

/// So many milliseconds after the beginning of the world.
fn moment(ms: u64) -> Timestamp {
    Timestamp(EPOCH + ms * 1_000)
}

fn purge(child: &Child) -> Command {
    Command::Purge {
        id: child.id.clone(),
        number: Some(child.number),
    }
}

/// Whether what made the activities of an instance fail was mended.
fn rewound(number: InstanceNumber, durable: &Store) -> bool {
    let stored = durable
        .load(&InstanceKey::Number(number), 0)
        .expect("reads");
    stored.is_some_and(|stored| rewinds(&stored.turns) > 0)
}

/// Every second event has an id, and is raised again under it by who does not know what became of it.
fn has_id(number: u64) -> bool {
    number.is_multiple_of(2)
}

impl Client {
    fn new(id: String, lives: VecDeque<Life>) -> Self {
        let mut client = Self {
            id: InstanceId::new(id).expect("valid"),
            lives,
            program: Vec::new(),
            begins: None,
            orders: VecDeque::new(),
            asked: None,
            maybe_started: false,
            maybe_purged: false,
            maybe_replaced: false,
            number: None,
            before: None,
            refused: Vec::new(),
            events: 0,
            life: 0,
            ended: false,
        };
        client.next_life();
        client
    }

    /// It has asked for a purge, and was not told what became of that.
    fn may_be_gone(&self) -> bool {
        let asks = |(_, want): &(Ticket, Want)| *want == Want::Order(Order::Purge);
        self.maybe_purged || self.asked.as_ref().is_some_and(asks)
    }

    fn next_life(&mut self) {
        if let Some(Life {
            program,
            orders,
            begins_ms,
        }) = self.lives.pop_front()
        {
            self.program = program;
            self.begins = begins_ms.map(moment);
            self.orders = orders.into_iter().map(Want::Order).collect();
            let starts = |want: &Want| matches!(want, Want::Order(Order::StartOrRaise(..)));
            if !self.orders.front().is_some_and(starts) {
                self.orders.push_front(Want::Start);
            }
            self.life += 1;
            self.events = 0;
            self.refused.clear();
            self.maybe_started = false;
            self.maybe_purged = false;
            self.maybe_replaced = false;
            self.number = None;
            self.ended = false;
        }
    }

    /// It begins the life that has replaced the one before.
    fn replaced(&mut self) {
        self.before = self.number;
        self.next_life();
        if self.orders.front() == Some(&Want::Start) {
            self.orders.pop_front();
        }
    }

    fn next_begins(&self) -> Option<Timestamp> {
        self.lives.front()?.begins_ms.map(moment)
    }

    /// It has asked that its instance be replaced, and was not told what became of that.
    fn may_be_replaced(&self) -> bool {
        let asks = |(_, want): &(Ticket, Want)| matches!(want, Want::Order(Order::Replace(_)));
        self.maybe_replaced || self.asked.as_ref().is_some_and(asks)
    }

    fn is_done(&self) -> bool {
        self.orders.is_empty() && self.asked.is_none()
    }

    /// What it asks for next, if it does not wait for an answer.
    fn next(&mut self) -> Option<(Want, Command)> {
        if self.asked.is_some() {
            return None;
        }
        let mut want = self.orders.pop_front()?;
        if let Want::Order(Order::Raise(name, bytes)) = want {
            self.events += 1;
            want = Want::Event(name, bytes, self.events);
        }
        if let Want::Order(Order::StartOrRaise(name, bytes)) = want {
            self.events += 1;
            want = Want::StartOrRaise(name, bytes, self.events);
        }
        if want == Want::Order(Order::Purge) {
            self.life += 1;
        }
        Some((want, self.command(want)))
    }

    fn command(&self, want: Want) -> Command {
        let id = self.id.clone();
        match want {
            Want::Start | Want::Order(Order::StartAgain) => {
                Command::Start(self.start(&self.program, self.begins))
            }
            Want::StartOrRaise(name, bytes, number) => {
                let (name, data, id) = event(name, bytes, number);
                Command::Start(StartRequest {
                    event: Some(Event::EventRaised { name, data, id }),
                    ..self.start(&self.program, self.begins)
                })
            }
            Want::Event(name, bytes, number) => {
                let (name, data, event) = event(name, bytes, number);
                Command::Raise {
                    id,
                    name,
                    data,
                    event,
                }
            }
            Want::Order(Order::Terminate) => Command::Terminate {
                id,
                reason: Some("enough".to_owned()),
                children: self.events.is_multiple_of(2),
            },
            Want::Order(Order::Suspend) => Command::Suspend {
                id,
                reason: "wait".to_owned(),
            },
            Want::Order(Order::Resume) => Command::Resume { id },
            Want::Order(Order::Await) => Command::Wait { id },
            Want::Order(Order::Purge) => Command::Purge { id, number: None },
            Want::Order(Order::Replace(only)) => {
                let program = self.lives.front().map_or(&[][..], |life| &life.program);
                let only = self.number.filter(|_| only);
                Command::Start(StartRequest {
                    replaces: only.map_or(Replaces::Ended, Replaces::Only),
                    ..self.start(program, self.next_begins())
                })
            }
            Want::Order(Order::Raise(..) | Order::StartOrRaise(..)) => {
                unreachable!("is given its number first")
            }
        }
    }

    fn start(&self, program: &[Node], begins: Option<Timestamp>) -> StartRequest {
        StartRequest {
            id: self.id.clone(),
            name: Script::NAME.to_owned(),
            version: String::new(),
            input: Payload::encode(program).expect("JSON"),
            fresh: false,
            tags: BTreeMap::new(),
            begin: begins.map_or(Begin::AtOnce, Begin::At),
            event: None,
            replaces: Replaces::Nothing,
        }
    }

    /// It will never know: it asks again.
    fn unanswered(&mut self) {
        let Some((_, want)) = self.asked.take() else {
            return;
        };
        match want {
            Want::Start => self.maybe_started = true,
            Want::StartOrRaise(name, bytes, number) => {
                self.maybe_started = true;
                if !has_id(number) {
                    let again = Want::Order(Order::StartOrRaise(name, bytes));
                    return self.orders.push_front(again);
                }
            }
            // With a number of its own: both may have come through.
            Want::Event(name, bytes, number) if !has_id(number) => {
                return self
                    .orders
                    .push_front(Want::Order(Order::Raise(name, bytes)));
            }
            Want::Order(Order::Purge) => self.maybe_purged = true,
            Want::Order(Order::Replace(_)) => self.maybe_replaced = true,
            Want::Order(_) | Want::Event(..) => {}
        }
        self.orders.push_front(want);
    }

    fn answered(&mut self, response: &Response, auditor: &mut Auditor, durable: &Store) {
        let Some((_, want)) = self.asked.take() else {
            return;
        };
        let id = &self.id;
        match (want, response) {
            (_, Response::NotRegistered { .. }) => self.again(want),
            (_, Response::TooManyWaiting) => {
                self.again(want);
                // There may be room only once it is resumed, if it was suspended.
                let place = |order| {
                    let mut orders = self.orders.iter();
                    orders.position(|want| *want == Want::Order(order))
                };
                let suspended = place(Order::Suspend).is_none();
                let resume = place(Order::Resume).filter(|_| suspended);
                if let Some(resume) = resume.and_then(|place| self.orders.remove(place)) {
                    self.orders.push_front(resume);
                }
            }
            (Want::Start, Response::Done) => auditor.started(id, durable),
            (Want::Start, Response::AlreadyExists(_)) if self.maybe_started => {
                auditor.started(id, durable);
            }
            // It was terminated before its first turn.
            (Want::Start, Response::Ended(_)) => {
                auditor.started(id, durable);
                auditor.ended(id, durable);
            }
            (Want::StartOrRaise(_, _, number), Response::Done) => {
                auditor.started(id, durable);
                auditor.raised(id, number, durable);
            }
            (
                Want::StartOrRaise(name, bytes, _),
                Response::AlreadyExists(status) | Response::Ended(status),
            ) => {
                self.refused.push(Order::Raise(name, bytes));
                let there = self.maybe_started || auditor.is_started(id);
                assert!(there && status.is_terminal(), "{id}: {status} is no reason");
                auditor.started(id, durable);
                auditor.ended(id, durable);
                self.ended = true;
            }
            (Want::Order(Order::StartAgain), Response::AlreadyExists(_)) => {
                assert!(
                    self.maybe_started || auditor.is_started(id),
                    "{id} should not be there"
                );
            }
            (Want::Event(_, _, number), Response::Done) => auditor.raised(id, number, durable),
            (Want::Order(Order::Terminate), Response::Done) => auditor.terminated(id, durable),
            (Want::Order(Order::Suspend), Response::Done) => auditor.suspended(id, durable),
            (Want::Order(Order::Resume), Response::Done) => {}
            (
                Want::Event(..) | Want::Order(Order::Terminate | Order::Suspend | Order::Resume),
                Response::Ended(_),
            ) => {
                if let Want::Event(name, bytes, _) = want {
                    self.refused.push(Order::Raise(name, bytes));
                }
                auditor.ended(id, durable);
                self.ended = true;
            }
            (Want::Order(Order::Await), Response::Status(snapshot)) => {
                assert!(snapshot.header.status.is_terminal(), "{id}: told too early");
                auditor.read(id, snapshot, durable);
                auditor.ended(id, durable);
                self.number = Some(snapshot.header.number);
                self.ended = true;
            }
            (Want::Order(Order::Replace(_)), Response::Done) => {
                let is_replaced = auditor.is_replaced(id, self.number, durable);
                assert!(is_replaced, "{id}: its replacement is not durable");
                self.replaced();
            }
            (Want::Order(Order::Replace(_)), Response::AlreadyExists(_))
                if self.maybe_replaced && auditor.is_replaced(id, self.number, durable) =>
            {
                self.replaced();
            }
            (Want::Order(Order::Purge), Response::Done) => {
                auditor.purged(id, durable);
                self.next_life();
            }
            (Want::Order(Order::Purge), Response::NotFound) if self.maybe_purged => {
                auditor.purged(id, durable);
                self.next_life();
            }
            // It was rewound since it had ended.
            (Want::Order(Order::Purge), Response::NotEnded(_))
            | (Want::Order(Order::Replace(_)), Response::AlreadyExists(_))
                if auditor.is_rewound(id) =>
            {
                let raises = |want: &&Want| matches!(want, Want::Order(Order::Raise(..)));
                let place = self.orders.iter().take_while(raises).count();
                self.orders.insert(place, want);
                self.orders.insert(place, Want::Order(Order::Await));
                self.maybe_purged = false;
                self.maybe_replaced = false;
                self.raise_refused();
            }
            (want, response) => panic!("{id}: {want:?} was answered {response:?}"),
        }
    }

    /// It may have been rewound.
    fn raise_refused(&mut self) {
        if self.may_be_gone() || self.may_be_replaced() {
            return;
        }
        // It would wait for an end that waits for these.
        let waits = |asked: &mut (Ticket, Want)| asked.1 == Want::Order(Order::Await);
        if !self.refused.is_empty()
            && let Some((ticket, _)) = self.asked.take_if(waits)
        {
            ticket.wanted.store(false, Ordering::Relaxed);
            self.orders.push_front(Want::Order(Order::Await));
        }
        // Behind what has its number already: they are told apart by that, and come in its order.
        let numbered = |want: &&Want| matches!(want, Want::Event(..) | Want::StartOrRaise(..));
        let place = self.orders.iter().take_while(numbered).count();
        for order in self.refused.drain(..).rev() {
            self.orders.insert(place, Want::Order(order));
        }
    }

    fn again(&mut self, want: Want) {
        self.orders.push_front(match want {
            Want::Event(name, bytes, number) if !has_id(number) => {
                Want::Order(Order::Raise(name, bytes))
            }
            Want::StartOrRaise(name, bytes, number) if !has_id(number) => {
                Want::Order(Order::StartOrRaise(name, bytes))
            }
            Want::Event(..) | Want::StartOrRaise(..) | Want::Start | Want::Order(_) => want,
        });
    }
}
