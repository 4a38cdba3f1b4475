//! The engine: a state machine that is told what happens and what time it is.
//!
//! It does no I/O. Inputs are what clients ask for, attempts that have ended, what was read, and
//! the time; outputs are commits ([`Sealed`]) with the effects that may follow each once it is
//! durable, and requests to read ([`Fetch`]). Memory may be ahead of the store by the commits under
//! way, and nothing observable is: every answer, reads included, is an effect of the last commit it
//! could have seen. If a commit fails, the engine is thrown away.
//!
//! Whoever drives it repeats: [`advance`](Engine::advance) the time, [`handle`](Engine::handle)
//! inputs, serve [`next_fetch`](Engine::next_fetch), [`seal`](Engine::seal) until nothing is left.

#[cfg(test)]
mod bounds;
mod commands;
mod commit;
#[cfg(test)]
mod damage;
mod delivery;
#[cfg(test)]
mod driver;
mod fair;
pub(crate) mod family;
mod hold;
mod instance;
mod lifecycle;
mod mailbox;
mod message;
mod post;
mod purge;
mod reading;
#[cfg(test)]
mod registered;
#[cfg(feature = "testing")]
mod rehearsal;
mod replacing;
mod residence;
mod retention;
mod rewind;
mod scheduled;
mod suspects;
mod timers;
#[cfg(test)]
mod timing;
mod turn;
mod waiters;
mod work;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::activity::Attempted;
use crate::failure::FailureDetails;
use crate::history::Letter;
use crate::id::{InstanceId, InstanceNumber};
use crate::payload::Payload;
use crate::replay::Problem;
use crate::store::{InstanceKey, Op, Recovered, Retention, StatusDetail, Stored, TimerKey};
use crate::time::Timestamp;

use self::hold::Hold;
use self::instance::{Body, Instance};
use self::mailbox::Mail;
use self::post::Post;
use self::purge::Purges;
use self::retention::Sweeper;
use self::suspects::Suspects;
use self::timers::Timers;
use self::waiters::Waiters;
use self::work::Work;

pub(crate) use self::commit::{Durable, Group, Size, ToCommit};
pub(crate) use self::fair::FairQueue;
pub use self::lifecycle::LifecycleKind;
pub(crate) use self::lifecycle::{Happened, Listeners};
pub(crate) use self::message::{
    ActivityKey, Begin, Command, Dispatch, Effect, Fetch, Input, Replaces, Reported, Response,
    Sealed, Shortage, Snapshot, StartRequest, WorkerId,
};
#[cfg(feature = "testing")]
pub(crate) use self::rehearsal::rehearse;
#[cfg(any(test, feature = "simulation"))]
pub(crate) use self::suspects::{RESTLESS, WATCHED};
pub(crate) use self::work::OnForeignWake;

/// The most bytes a custom status may have as JSON; a summary must fit in one record.
pub(crate) const MAX_CUSTOM_STATUS: usize = 12 * 1024;

/// The most bytes that an orchestrator may ask for in one step: a turn is one record.
pub(crate) const MAX_STEP: usize = 64 * 1024 * 1024;

/// The bounds that the engine keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    /// Whether a second copy of each orchestrator watches the first.
    pub(crate) shadow: bool,
    /// The most bytes a payload may have as JSON.
    pub(crate) max_payload: usize,
    /// Instances kept in memory.
    pub(crate) max_live: usize,
    /// Bytes they may hold.
    pub(crate) max_live_bytes: usize,
    /// More than this and the rest is for the next commit: turns, events in them, and bytes.
    pub(crate) turns_per_commit: usize,
    pub(crate) events_per_commit: usize,
    pub(crate) bytes_per_commit: usize,
    /// Events that may wait for an instance that takes no turns, its start among them.
    pub(crate) max_waiting: usize,
    /// Bytes that those may have.
    pub(crate) max_waiting_bytes: usize,
    /// More than this and the rest is for the instance's next turn: so one busy instance does not
    /// hold up the others.
    pub(crate) events_per_turn: usize,
    /// Stored messages read at a time: meanwhile nothing else happens.
    pub(crate) messages_at_once: usize,
    /// Timers read at a time.
    pub(crate) timer_window: usize,
    /// Bytes that are to be free on the disk for something new to be started; 0: any number will do.
    pub(crate) min_free_space: u64,
    /// How many levels of children there may be below an instance without a parent.
    pub(crate) max_depth: u32,
    /// Calls that one instance may have outstanding.
    pub(crate) max_outstanding: usize,
    /// Events in the history of one execution.
    pub(crate) max_history: usize,
    /// How many times as large as what is in use the files may become before they are compacted;
    /// 0: any number.
    pub(crate) compaction_factor: u64,
    /// So many crashes of its own and an activity is not begun any more; 0: always.
    pub(crate) poison_after: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            shadow: cfg!(debug_assertions),
            max_payload: 2 * 1024 * 1024,
            max_live: 20_000,
            max_live_bytes: 256 * 1024 * 1024,
            turns_per_commit: 128,
            events_per_commit: 512,
            bytes_per_commit: 8 * 1024 * 1024,
            max_waiting: 100_001,
            max_waiting_bytes: 64 * 1024 * 1024,
            events_per_turn: 256,
            messages_at_once: 2048,
            timer_window: 4096,
            min_free_space: 64 * 1024 * 1024,
            max_depth: 1_000,
            max_outstanding: 100_000,
            max_history: 1_000_000,
            compaction_factor: 3,
            poison_after: 3,
        }
    }
}

/// What holds for the instances of a hub, besides its bounds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    /// The version of those that are started without one.
    pub(crate) default_version: String,
    /// How long they are kept once they have ended.
    pub(crate) retention: Arc<Retention>,
}

impl Config {
    fn full_commit(&self) -> Size {
        Size {
            turns: self.turns_per_commit,
            events: self.events_per_commit,
            bytes: self.bytes_per_commit,
        }
    }
}

/// Whatever the shell answers a client with.
pub(crate) trait Answer {
    /// Whether the client still waits for it.
    fn is_wanted(&self) -> bool;
}

/// The engine.
///
/// The store's data may be older than memory, and never lacks anything of an instance that is not
/// in memory: a read sees all there is of it, whenever it is served.
pub(crate) struct Engine<R> {
    work: Work<R>,
    ids: BTreeMap<InstanceId, InstanceNumber>,
    instances: BTreeMap<InstanceNumber, Instance<R>>,
    /// Those with something to do.
    ready: FairQueue<InstanceNumber>,
    /// Those to whom somebody has written in the commit that is being built.
    prompt: VecDeque<InstanceNumber>,
    was_prompt: bool,
    next_number: u64,
    durable: u64,
    /// What waits for something to be read, and what is to be asked for.
    parked: BTreeMap<Fetch, Vec<Want<R>>>,
    fetches: VecDeque<Fetch>,
    fetching_timers: bool,
    /// What waits for an instance to be part of a commit.
    unborn: BTreeMap<InstanceNumber, Vec<Want<R>>>,
    /// Read in part so far.
    loading: BTreeMap<InstanceNumber, Loading<R>>,
    /// To be loaded because a worker has started.
    to_load: VecDeque<InstanceNumber>,
    /// Ended, and to be forgotten once this commit is durable.
    leaving: VecDeque<(u64, InstanceNumber)>,
    purges: Purges<R>,
    /// These wait for their instances to leave memory.
    rewinds: Vec<(InstanceNumber, Hold<R>)>,
    /// Instances in memory, least recently used first.
    by_use: BTreeMap<u64, InstanceNumber>,
    uses: u64,
    live_bytes: usize,
    /// A nudge is on its way.
    nudged: bool,
    /// What clients may still begin depends on it; what runs goes on.
    shortage: Option<Shortage>,
    /// Bytes of history and of events that were sealed in this engine's life.
    written: u64,
    /// Instances that could not be read, and since when: their status says so.
    damaged: BTreeMap<InstanceKey, (Problem, Timestamp)>,
    /// Has what has ended leave once its time is over.
    sweeper: Sweeper,
}

/// An instance of which there is more than is read in one go, and what waits for it.
#[derive(Debug)]
struct Loading<R> {
    stored: Stored,
    wants: Vec<Want<R>>,
}

/// What goes on once something was read.
#[derive(Debug)]
enum Want<R> {
    Start(StartRequest, R),
    Status(StatusDetail, R),
    Wait(R),
    /// Only of this number, if one is given.
    Purge(Option<InstanceNumber>, R),
    Retry(R),
    Mail(Mail<R>),
    Hold(Hold<R>),
    Letter(u64, Letter),
    AttemptEnded {
        worker: WorkerId,
        key: ActivityKey,
        attempt: u32,
        result: Result<Attempted, FailureDetails>,
        progress: Option<Payload>,
    },
    Reported(Reported, R),
    Fire(TimerKey),
    /// It is the turn of this suspect.
    Suspect(ActivityKey),
    Load,
    Watch(Option<Arc<Snapshot>>, R),
    /// Purged if its time is over.
    Expire,
}

impl<R> Want<R> {
    /// What it looks at, of an instance that is looked at.
    fn detail(&self) -> StatusDetail {
        match self {
            Self::Status(detail, _) => *detail,
            Self::Wait(_) | Self::Watch(..) => StatusDetail::ALL,
            // A child that has ended may have to say so once more.
            Self::Letter(_, Letter::Start { .. }) => StatusDetail::NONE.output(true),
            // Whether there is one, and how it stands.
            Self::Start(..)
            | Self::Purge(..)
            | Self::Letter(..)
            | Self::Retry(_)
            | Self::Mail(_)
            | Self::Hold(_)
            | Self::AttemptEnded { .. }
            | Self::Reported(..)
            | Self::Fire(_)
            | Self::Suspect(_)
            | Self::Load
            | Self::Expire => StatusDetail::NONE,
        }
    }
}

impl<R: Answer> Engine<R> {
    pub(crate) fn new(
        config: Config,
        recovered: Recovered,
        on_foreign_wake: OnForeignWake,
    ) -> Self {
        let Recovered {
            commit,
            created,
            active,
            letters,
            signing_key: _,
            hub,
            suspicion,
        } = recovered;
        Self {
            work: Work {
                config,
                hub,
                default_version: String::new(),
                worker: 0,
                registry: None,
                draining: false,
                on_foreign_wake,
                now: Timestamp(0),
                sealed: commit,
                ops: Vec::new(),
                effects: Vec::new(),
                known: Vec::new(),
                size: Size::default(),
                timers: Timers::new(config.timer_window),
                running: BTreeMap::new(),
                waiters: Waiters::default(),
                active: active.into_iter().collect(),
                post: Post::recovered(letters),
                suspects: Suspects::recovered(suspicion, config.poison_after),
                listeners: Listeners::default(),
            },
            ids: BTreeMap::new(),
            instances: BTreeMap::new(),
            ready: FairQueue::default(),
            prompt: VecDeque::new(),
            was_prompt: false,
            next_number: created,
            durable: commit,
            parked: BTreeMap::new(),
            fetches: VecDeque::new(),
            fetching_timers: false,
            unborn: BTreeMap::new(),
            loading: BTreeMap::new(),
            to_load: VecDeque::new(),
            leaving: VecDeque::new(),
            purges: Purges::default(),
            rewinds: Vec::new(),
            by_use: BTreeMap::new(),
            uses: 0,
            live_bytes: 0,
            nudged: false,
            shortage: None,
            written: 0,
            damaged: BTreeMap::new(),
            sweeper: Sweeper::new(Arc::default()),
        }
    }

    pub(crate) fn with_rules(mut self, rules: Rules) -> Self {
        let Rules {
            default_version,
            retention,
        } = rules;
        self.work.default_version = default_version;
        self.sweeper = Sweeper::new(retention);
        self
    }

    /// Announces what happens while anybody listens.
    pub(crate) fn with_listeners(mut self, listeners: Listeners) -> Self {
        self.work.listeners = listeners;
        self
    }

    /// Tells the time, and up to which commit everything is durable.
    pub(crate) fn advance(&mut self, now: Timestamp, durable: u64) {
        self.work.now = now;
        self.durable = durable;
        self.work.timers.durable(durable);
        self.purges.durable(durable);
        while let Some((commit, number)) = self.leaving.front().copied()
            && commit <= durable
        {
            self.leaving.pop_front();
            // What has arrived meanwhile is refused in a turn, after which it leaves.
            let gone = |instance: &&Instance<R>| {
                let ended = matches!(instance.body, Body::Ended);
                ended && instance.is_idle() && instance.last_commit <= durable
            };
            if let Some(ended) = self.instances.get(&number).filter(gone) {
                self.sweeper.ended(&ended.header);
                self.forget(number);
            }
        }
        self.go_on_with_ended();
        self.load_some();
        self.fire_due();
        self.work.suspects.advance(now);
        self.sweep();
    }

    /// Tells the time alone.
    pub(crate) fn tell_time(&mut self, now: Timestamp) {
        self.work.now = now;
    }

    /// Tells how the disk stands: whether there is too little room for something new.
    pub(crate) fn tell_space(&mut self, shortage: Option<Shortage>) {
        self.shortage = shortage;
    }

    /// About how much it has written.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// When it wants to be told the time again, if nothing else happens.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        let of_worker = self.work.registry.as_ref().map(|_| {
            let Work {
                timers, suspects, ..
            } = &self.work;
            [timers.next_due(), suspects.deadline()]
        });
        let dues = of_worker.into_iter().flatten();
        dues.chain([self.sweeper.deadline()]).flatten().min()
    }

    /// Whether there is something to do now without any input.
    pub(crate) fn has_work(&self) -> bool {
        let unsealed = !self.work.ops.is_empty() || !self.work.effects.is_empty();
        let unsealed = unsealed || self.work.suspects.is_changed();
        let suspect = self.work.takes_new() && self.work.suspects.can_begin();
        !self.ready.is_empty()
            || !self.prompt.is_empty()
            || !self.work.post.is_empty()
            || unsealed
            || suspect
            || self.has_reads()
    }

    /// Whether something of that needs no commit.
    pub(crate) fn has_reads(&self) -> bool {
        !self.fetches.is_empty() || !self.work.known.is_empty()
    }

    /// Takes in what has happened.
    pub(crate) fn handle(&mut self, input: Input<R>) {
        match input {
            Input::Client(command, reply) => self.command(command, reply),
            Input::AttemptEnded {
                worker,
                key,
                attempt,
                result,
                progress,
            } => {
                // It counts as running until the instance is there to take the answer: else
                // loading the instance would have it run again.
                if self.work.runs(worker, &key, attempt) || planted!(ForgetFence) {
                    let want = Want::AttemptEnded {
                        worker,
                        key,
                        attempt,
                        result,
                        progress,
                    };
                    self.on_number(key.number, want);
                }
            }
            Input::Reported(reported, reply) => {
                if self.work.hears(&reported) {
                    let number = reported.key.number;
                    self.on_number(number, Want::Reported(reported, reply));
                }
            }
            Input::ForeignWake(number) => self.foreign_wake(number),
            Input::WorkerStarted(worker, registry) => {
                self.work.worker = worker;
                self.work.registry = Some(registry);
                self.work.draining = false;
                self.work.suspects.worker_started(self.work.now);
                self.wake_all();
            }
            Input::WorkerDraining => self.work.draining = true,
            Input::WorkerStopped(worker) if worker == self.work.worker => self.worker_stopped(),
            Input::WorkerStopped(_) => {}
            Input::Nudge => {
                self.nudged = false;
                self.load_some();
                self.go_on_with_ended();
            }
        }
    }

    /// The hub is closed in good order: nothing new is begun.
    pub(crate) fn close(&mut self) {
        self.work.draining = true;
        self.work.suspects.worker_stopped();
    }

    /// The suspect that counts as running alone.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn alone(&self) -> Option<ActivityKey> {
        self.work.suspects.alone()
    }

    /// Answers once everything before is durable.
    pub(crate) fn answer(&mut self, reply: R, response: Response) {
        self.work.reply(reply, response);
    }

    /// Gives up waiting for instances that have a problem and take no turns, or for all that have
    /// a problem: who waited, and what the problem is.
    #[cfg(feature = "testing")]
    pub(crate) fn take_stuck(&mut self, all: bool) -> Vec<(R, Problem)> {
        let problem_of = |number: &InstanceNumber| {
            let instance = self.instances.get(number)?;
            let (problem, _) = instance.header.problem.as_ref()?;
            let stuck = all || matches!(instance.body, Body::Parked);
            stuck.then(|| (*number, problem.clone()))
        };
        let numbers: Vec<_> = self.work.waiters.instances().collect();
        let stuck: Vec<_> = numbers.iter().filter_map(problem_of).collect();
        let waiters = &mut self.work.waiters;
        stuck
            .into_iter()
            .flat_map(|(number, problem)| {
                let waited = waiters.take(number).into_iter();
                waited.map(move |reply| (reply, problem.clone()))
            })
            .collect()
    }

    /// Whether a client waits for an instance's end.
    #[cfg(feature = "testing")]
    pub(crate) fn is_waited_for(&self) -> bool {
        self.work.waiters.is_wanted()
    }

    fn worker_stopped(&mut self) {
        self.work.registry = None;
        self.work.draining = false;
        self.work.running.clear();
        self.work.suspects.worker_stopped();
        self.to_load.clear();
        let live: Vec<_> = self
            .instances
            .values_mut()
            .filter(|instance| matches!(instance.body, Body::Live(_) | Body::Fresh))
            .map(|instance| {
                instance.body = Body::Parked;
                instance.number()
            })
            .collect();
        for number in live {
            self.make_ready(number, false);
        }
    }

    /// Answers that show only what is durable: they wait for no commit under way.
    pub(crate) fn seal_reads(&mut self) -> Option<Sealed<R>> {
        let known = std::mem::take(&mut self.work.known);
        let reply = |(reply, response)| Effect::Reply(reply, response);
        (!known.is_empty()).then(|| Sealed {
            commit: self.durable,
            size: Size::default(),
            ops: Vec::new(),
            effects: known.into_iter().map(reply).collect(),
        })
    }

    /// The next commit with what it causes; `None` if there is nothing to commit or to answer.
    pub(crate) fn seal(&mut self) -> Option<Sealed<R>> {
        if let Some(reads) = self.seal_reads() {
            return Some(reads);
        }
        self.begin_suspect();
        let limit = self.work.config.full_commit();
        loop {
            self.hand_on_letters();
            if self.work.size.is_full(&limit) {
                break;
            }
            let Some(number) = self.next_turn() else {
                break;
            };
            self.take_turn(number);
            self.work.size.turns += 1;
        }
        for number in std::mem::take(&mut self.prompt) {
            self.make_ready(number, false);
        }
        self.work.store_letters();
        self.evict();
        // Turns may have withdrawn every timer that is known.
        if self.work.registry.is_some() {
            self.want_timers();
        }
        if planted!(AnswerReadsEarly) {
            let read =
                |effect: &mut Effect<R>| matches!(effect, Effect::Reply(_, Response::Status(_)));
            let effects: Vec<_> = self.work.effects.extract_if(.., read).collect();
            if !effects.is_empty() {
                return Some(Sealed {
                    commit: self.work.sealed,
                    size: Size::default(),
                    ops: Vec::new(),
                    effects,
                });
            }
        }
        if let Some(suspicion) = self.work.suspects.take_changed() {
            self.work.ops.push(Op::SetSuspicion(Box::new(suspicion)));
        }
        // Also of turns that came to nothing.
        let size = std::mem::take(&mut self.work.size);
        let ops = std::mem::take(&mut self.work.ops);
        let effects = std::mem::take(&mut self.work.effects);
        if ops.is_empty() && effects.is_empty() {
            return None;
        }
        self.written += size.bytes as u64;
        self.work.sealed += u64::from(!ops.is_empty());
        Some(Sealed {
            commit: self.work.sealed,
            size,
            ops,
            effects,
        })
    }

    fn take_turn(&mut self, number: InstanceNumber) {
        let instance = self.instances.get_mut(&number);
        // Before the new one's header, which takes its place in the store.
        if let Some(replaced) = instance.and_then(|instance| instance.replaces.take()) {
            self.remove(replaced);
        }
        let Some(instance) = self.instances.get_mut(&number) else {
            return;
        };
        self.ready.note_served(&mut instance.standing);
        self.work.turn(instance);
        let bytes = instance.weight();
        self.live_bytes = self.live_bytes - instance.counted_bytes + bytes;
        instance.counted_bytes = bytes;
        self.uses += 1;
        self.by_use.remove(&instance.used);
        instance.used = self.uses;
        let (ended, commit) = (matches!(instance.body, Body::Ended), instance.last_commit);
        let more = match instance.body {
            Body::Live(_) | Body::Fresh | Body::Ended => !instance.mailbox.is_empty(),
            Body::Parked => !instance.mailbox.all_stored(),
        };
        if ended {
            self.leaving.push_back((commit, number));
        } else {
            self.by_use.insert(self.uses, number);
        }
        let revive = std::mem::take(&mut instance.to_be_revived);
        if more {
            self.make_ready(number, false);
        }
        if revive {
            self.to_load.push_back(number);
            self.nudge();
        }
        self.go_on_with_born(number);
    }
}

impl<R> std::fmt::Debug for Engine<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("instances", &self.instances.len())
            .field("sealed", &self.work.sealed)
            .field("durable", &self.durable)
            .finish_non_exhaustive()
    }
}
