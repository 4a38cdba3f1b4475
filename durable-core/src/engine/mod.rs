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

mod instance;
mod message;
#[cfg(test)]
mod simulation;
mod timers;
mod turn;
mod work;

#[cfg(test)]
use std::collections::BTreeSet;
use std::collections::{BTreeMap, VecDeque};

use crate::failure::FailureDetails;
use crate::history::{Event, Pending, Started};
use crate::id::{ExecutionId, InstanceId, InstanceNumber};
use crate::payload::Payload;
use crate::store::{
    Header, InstanceKey, Kind, Op, Recovered, RuntimeStatus, StoreError, Stored, TimerKey,
    TimerKind,
};
use crate::time::Timestamp;

use self::instance::{Body, Instance, Mail};
use self::timers::Timers;
use self::work::{Work, set_problem};

pub(crate) use self::message::{
    ActivityKey, Command, Dispatch, Effect, Fetch, Fetched, Input, Response, Sealed, Snapshot,
    StartRequest,
};
pub(crate) use self::work::OnForeignWake;

/// The most bytes a custom status may have as JSON; a summary must fit in one record.
pub(crate) const MAX_CUSTOM_STATUS: usize = 12 * 1024;

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
    /// More than this and the rest is for the next commit.
    pub(crate) turns_per_commit: usize,
    pub(crate) bytes_per_commit: usize,
    /// More than this and the rest is for the instance's next turn: so one busy instance does not
    /// hold up the others.
    pub(crate) events_per_turn: usize,
    /// Timers read at a time.
    pub(crate) timer_window: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            shadow: cfg!(debug_assertions),
            max_payload: 2 * 1024 * 1024,
            max_live: 20_000,
            max_live_bytes: 256 * 1024 * 1024,
            turns_per_commit: 256,
            bytes_per_commit: 8 * 1024 * 1024,
            events_per_turn: 1024,
            timer_window: 4096,
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
/// Reads are served before the next commit is sealed; the store's data may be older than memory,
/// and never lacks anything of an instance that is not in memory.
pub(crate) struct Engine<R> {
    work: Work<R>,
    ids: BTreeMap<InstanceId, InstanceNumber>,
    instances: BTreeMap<InstanceNumber, Instance<R>>,
    /// Those with something to do, first come first served.
    ready: VecDeque<InstanceNumber>,
    next_number: u64,
    durable: u64,
    /// What waits for something to be read, and what is to be asked for.
    parked: BTreeMap<Fetch, Vec<Want<R>>>,
    fetches: VecDeque<Fetch>,
    fetching_timers: bool,
    /// To be loaded because a worker has started.
    to_load: VecDeque<InstanceNumber>,
    /// Ended, and to be forgotten once this commit is durable.
    leaving: VecDeque<(u64, InstanceNumber)>,
    /// Instances in memory, least recently used first.
    by_use: BTreeMap<u64, InstanceNumber>,
    uses: u64,
    live_bytes: usize,
    /// A nudge is on its way.
    nudged: bool,
}

/// What goes on once something was read.
#[derive(Debug)]
enum Want<R> {
    Start(StartRequest, R),
    Status(R),
    Wait(R),
    Mail(Mail<R>),
    AttemptEnded {
        key: ActivityKey,
        result: Result<Payload, FailureDetails>,
    },
    Fire(TimerKey),
    Load,
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
        } = recovered;
        Self {
            work: Work {
                config,
                registry: None,
                draining: false,
                on_foreign_wake,
                now: Timestamp(0),
                sealed: commit,
                ops: Vec::new(),
                effects: Vec::new(),
                bytes: 0,
                timers: Timers::new(config.timer_window),
                running: BTreeMap::new(),
                waiters: BTreeMap::new(),
                active: active.into_iter().collect(),
            },
            ids: BTreeMap::new(),
            instances: BTreeMap::new(),
            ready: VecDeque::new(),
            next_number: created,
            durable: commit,
            parked: BTreeMap::new(),
            fetches: VecDeque::new(),
            fetching_timers: false,
            to_load: VecDeque::new(),
            leaving: VecDeque::new(),
            by_use: BTreeMap::new(),
            uses: 0,
            live_bytes: 0,
            nudged: false,
        }
    }

    /// Tells the time, and up to which commit everything is durable.
    pub(crate) fn advance(&mut self, now: Timestamp, durable: u64) {
        self.work.now = now;
        self.durable = durable;
        self.work.timers.durable(durable);
        while let Some((commit, number)) = self.leaving.front().copied()
            && commit <= durable
        {
            self.leaving.pop_front();
            self.forget(number);
        }
        self.load_some();
        self.fire_due();
    }

    /// When it wants to be told the time again, if nothing else happens.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.work.registry.as_ref()?;
        self.work.timers.next_due()
    }

    /// Whether there is something to do now without any input.
    pub(crate) fn has_work(&self) -> bool {
        !self.ready.is_empty() || !self.fetches.is_empty()
    }

    /// Takes in what has happened.
    pub(crate) fn handle(&mut self, input: Input<R>) {
        match input {
            Input::Client(command, reply) => self.command(command, reply),
            Input::AttemptEnded {
                key,
                attempt,
                result,
            } => {
                if self.work.running.get(&key) == Some(&attempt) {
                    self.work.running.remove(&key);
                    let want = Want::AttemptEnded { key, result };
                    self.on_number(key.number, want);
                }
            }
            Input::ForeignWake(number) => self.foreign_wake(number),
            Input::WorkerStarted(registry) => {
                self.work.registry = Some(registry);
                self.work.draining = false;
                self.wake_all();
            }
            Input::WorkerDraining => self.work.draining = true,
            Input::WorkerStopped => self.worker_stopped(),
            Input::Nudge => {
                self.nudged = false;
                self.load_some();
            }
        }
    }

    /// Answers once everything before is durable.
    pub(crate) fn flush(&mut self, reply: R) {
        self.work.reply(reply, Response::Done);
    }

    fn command(&mut self, command: Command, reply: R) {
        match command {
            Command::Start(request) => {
                let known = self.work.registry.as_ref().filter(|registry| {
                    registry
                        .find_orchestrator(&request.name, &request.version)
                        .is_none()
                });
                if let Some(registry) = known {
                    let known = registry.orchestrator_names();
                    return self.work.reply(reply, Response::NotRegistered { known });
                }
                if request.fresh {
                    return self.create(request, reply);
                }
                let id = request.id.clone();
                self.look_at(&id, Want::Start(request, reply));
            }
            Command::Status { id } => self.look_at(&id, Want::Status(reply)),
            Command::Wait { id } => self.look_at(&id, Want::Wait(reply)),
            Command::Raise { id, name, data } => {
                let event = Event::EventRaised { name, data };
                self.send(
                    id,
                    Mail {
                        event,
                        seq: None,
                        reply: Some(reply),
                    },
                );
            }
            Command::Terminate { id, reason } => {
                let event = Event::Terminated { reason };
                self.send(
                    id,
                    Mail {
                        event,
                        seq: None,
                        reply: Some(reply),
                    },
                );
            }
        }
    }

    /// Goes on with an instance in memory, or with a glimpse of it.
    fn look_at(&mut self, id: &InstanceId, want: Want<R>) {
        let Some(instance) = self
            .ids
            .get(id)
            .and_then(|number| self.instances.get(number))
        else {
            return self.fetch(Fetch::Glimpse(id.clone()), want);
        };
        let (number, snapshot) = (instance.number(), instance.snapshot());
        self.looked_at(Some((number, snapshot)), want);
    }

    fn looked_at(&mut self, found: Option<(InstanceNumber, Snapshot)>, want: Want<R>) {
        let response = |snapshot| Response::Status(Box::new(snapshot));
        match (want, found) {
            (Want::Start(request, reply), None) => self.create(request, reply),
            (Want::Start(_, reply), Some((_, snapshot))) => {
                self.work
                    .reply(reply, Response::AlreadyExists(snapshot.header.status));
            }
            (Want::Status(reply) | Want::Wait(reply), None) => {
                self.work.reply(reply, Response::NotFound);
            }
            (Want::Wait(reply), Some((number, snapshot)))
                if !snapshot.header.status.is_terminal() =>
            {
                let waiters = self.work.waiters.entry(number).or_default();
                if waiters.len().is_power_of_two() {
                    waiters.retain(Answer::is_wanted);
                }
                waiters.push(reply);
            }
            (Want::Status(reply) | Want::Wait(reply), Some((_, snapshot))) => {
                self.work.reply(reply, response(snapshot));
            }
            (Want::Mail(_) | Want::AttemptEnded { .. } | Want::Fire(_) | Want::Load, _) => {}
        }
    }

    fn create(&mut self, request: StartRequest, reply: R) {
        let StartRequest {
            id,
            name,
            version,
            input,
            fresh: _,
        } = request;
        let number = InstanceNumber(self.next_number);
        self.next_number += 1;
        let execution = ExecutionId::default();
        let header = Header {
            kind: Kind::Orchestration,
            id: id.clone(),
            number,
            execution,
            name: name.clone(),
            version: version.clone(),
            status: RuntimeStatus::Pending,
            created: self.work.now,
            updated: self.work.now,
            turns: 0,
            custom_status: None,
            problem: None,
        };
        let mut instance = Instance::new(header);
        instance.input = Some(input.clone());
        let started = Started {
            instance: id,
            execution,
            name,
            version,
            input,
        };
        let event = Event::Started(Box::new(started));
        instance.mailbox.push_back(Mail {
            event,
            seq: None,
            reply: Some(reply),
        });
        self.keep(instance);
        self.make_ready(number);
    }

    fn send(&mut self, id: InstanceId, mail: Mail<R>) {
        match self.ids.get(&id) {
            Some(number) => self.on_number(*number, Want::Mail(mail)),
            None => self.fetch(Fetch::Instance(InstanceKey::Id(id)), Want::Mail(mail)),
        }
    }

    /// Goes on with an instance, loading it if need be.
    fn on_number(&mut self, number: InstanceNumber, want: Want<R>) {
        if self.instances.contains_key(&number) {
            self.go_on(number, want);
        } else {
            self.fetch(Fetch::Instance(InstanceKey::Number(number)), want);
        }
    }

    /// Goes on with an instance in memory.
    fn go_on(&mut self, number: InstanceNumber, want: Want<R>) {
        let Some(instance) = self.instances.get_mut(&number) else {
            return;
        };
        match want {
            Want::Mail(mail) => {
                if matches!(mail.event, Event::Terminated { .. }) {
                    // Before all that waits, but not before the start.
                    let place = usize::from(instance.turns == 0 && !instance.mailbox.is_empty());
                    instance.mailbox.insert(place, mail);
                } else {
                    instance.mailbox.push_back(mail);
                }
            }
            Want::AttemptEnded { key, result } => {
                if key.execution != instance.header.execution {
                    return;
                }
                let Some(Pending::Activity { options, .. }) = instance.outstanding.get(key.call)
                else {
                    return;
                };
                let call = key.call;
                let event = match result {
                    Ok(output) => Event::ActivityCompleted { call, output },
                    Err(failure) => {
                        let options = options.clone();
                        instance.last_commit = self.work.commit();
                        if self.work.retry(instance, call, &options, &failure) {
                            return;
                        }
                        Event::ActivityFailed { call, failure }
                    }
                };
                instance.mailbox.push_back(Mail::new(event));
            }
            Want::Fire(timer) => {
                if !fire(&mut self.work, instance, timer) {
                    return;
                }
            }
            Want::Load => return,
            Want::Start(..) | Want::Status(_) | Want::Wait(_) => return,
        }
        self.make_ready(number);
    }

    fn make_ready(&mut self, number: InstanceNumber) {
        if let Some(instance) = self.instances.get_mut(&number)
            && !instance.queued
        {
            instance.queued = true;
            self.ready.push_back(number);
        }
    }

    fn fire_due(&mut self) {
        if self.work.registry.is_none() {
            return;
        }
        for _ in 0..self.work.config.events_per_turn {
            let Some(timer) = self.work.timers.pop_due(self.work.now) else {
                break;
            };
            self.on_number(timer.number, Want::Fire(timer));
        }
        self.want_timers();
    }

    fn want_timers(&mut self) {
        if let Some((after, limit)) = self.work.timers.wanted()
            && !self.fetching_timers
        {
            self.fetching_timers = true;
            self.fetches.push_back(Fetch::Timers { after, limit });
        }
    }

    fn fetch(&mut self, fetch: Fetch, want: Want<R>) {
        let wants = self.parked.entry(fetch.clone()).or_default();
        wants.push(want);
        if wants.len() == 1 {
            self.fetches.push_back(fetch);
        }
    }

    /// What is to be read next; answered with [`fetched`](Self::fetched).
    pub(crate) fn next_fetch(&mut self) -> Option<Fetch> {
        self.fetches.pop_front()
    }

    /// What was read.
    pub(crate) fn fetched(&mut self, fetch: &Fetch, fetched: Result<Fetched, StoreError>) {
        let wants = self.parked.remove(fetch).unwrap_or_default();
        match fetched {
            Ok(Fetched::Timers(timers)) => {
                self.fetching_timers = false;
                self.work.timers.read(timers, self.durable);
                self.fire_due();
            }
            Ok(Fetched::Glimpse(glimpse)) => self.glimpsed(glimpse, wants),
            Ok(Fetched::Instance(stored)) => self.loaded(stored, wants),
            Err(error) => {
                tracing::error!(%error, ?fetch, "cannot read from the store");
                self.fetching_timers &= !matches!(fetch, Fetch::Timers { .. });
                self.fail(wants, &error);
            }
        }
    }

    fn fail(&mut self, wants: Vec<Want<R>>, error: &StoreError) {
        for want in wants {
            let reply = match want {
                Want::Start(_, reply) | Want::Status(reply) | Want::Wait(reply) => Some(reply),
                Want::Mail(mail) => mail.reply,
                Want::AttemptEnded { .. } | Want::Fire(_) | Want::Load => None,
            };
            if let Some(reply) = reply {
                self.work.reply(reply, Response::Failed(error.clone()));
            }
        }
    }

    fn glimpsed(&mut self, glimpse: Option<crate::store::Glimpse>, wants: Vec<Want<R>>) {
        let found = glimpse.map(|glimpse| (glimpse.header.number, Snapshot::of_glimpse(glimpse)));
        for want in wants {
            // One of them may have created it.
            match &want {
                Want::Start(StartRequest { id, .. }, _) if self.ids.contains_key(id) => {
                    let id = id.clone();
                    self.look_at(&id, want);
                }
                _ => self.looked_at(found.clone(), want),
            }
        }
    }

    fn loaded(&mut self, stored: Option<Stored>, wants: Vec<Want<R>>) {
        let Some(stored) = stored else {
            for want in wants {
                if let Want::Mail(Mail {
                    reply: Some(reply), ..
                }) = want
                {
                    self.work.reply(reply, Response::NotFound);
                }
            }
            return;
        };
        let number = stored.header.number;
        let status = stored.header.status;
        if status.is_terminal() {
            for want in wants {
                if let Want::Mail(Mail {
                    reply: Some(reply), ..
                }) = want
                {
                    self.work.reply(reply, Response::Ended(status));
                }
            }
            return;
        }
        self.settle(stored);
        for want in wants {
            self.go_on(number, want);
        }
    }

    /// Brings what was read to life, unless that was done meanwhile.
    fn settle(&mut self, stored: Stored) {
        let number = stored.header.number;
        let (mut instance, turns) = match self.instances.remove(&number) {
            Some(mut here) if matches!(here.body, Body::Parked) => {
                here.follow_history(&stored.turns);
                (here, stored.turns)
            }
            Some(here) => {
                self.instances.insert(number, here);
                return;
            }
            None => Instance::from_stored(stored),
        };
        let problem = instance.header.problem.clone();
        self.work.revive(&mut instance, &turns);
        self.dispatch_outstanding(&mut instance);
        let changed = instance.header.problem != problem;
        self.work.summarise(&mut instance, changed);
        let waiting = !instance.mailbox.is_empty();
        self.keep(instance);
        if waiting {
            self.make_ready(number);
        }
    }

    /// After a restart: activities that have no answer yet run again, unless their next attempt is
    /// still to come.
    fn dispatch_outstanding(&mut self, instance: &mut Instance<R>) {
        if !matches!(instance.body, Body::Live(_)) {
            return;
        }
        let answered = instance.answered();
        let activity = |(call, pending): (_, &Pending)| {
            matches!(pending, Pending::Activity { .. }).then_some(call)
        };
        let calls: Vec<_> = instance.outstanding.iter().filter_map(activity).collect();
        for call in calls {
            let later = instance
                .attempts
                .get(&call)
                .is_some_and(|attempts| attempts.due > self.work.now);
            if !later && !answered.contains(&call) {
                self.work.dispatch(instance, call);
            }
        }
    }

    /// A worker has started: what waits for one goes on.
    fn wake_all(&mut self) {
        self.to_load = self.work.active.iter().copied().collect();
        for instance in self.instances.values() {
            if matches!(instance.body, Body::Parked) && !instance.active {
                self.to_load.push_back(instance.number());
            }
        }
        self.load_some();
        self.want_timers();
    }

    fn load_some(&mut self) {
        /// Loaded between two commits, so that recovery does not hold up what runs.
        const AT_ONCE: usize = 256;
        if self.work.registry.is_none() {
            return;
        }
        for _ in 0..AT_ONCE.min(self.to_load.len()) {
            let Some(number) = self.to_load.pop_front() else {
                break;
            };
            let here = self.instances.get(&number);
            match here.map(|instance| (&instance.body, instance.last_commit)) {
                Some((Body::Parked, commit)) if commit > self.durable => {
                    self.to_load.push_back(number)
                }
                None | Some((Body::Parked, _)) => {
                    self.fetch(Fetch::Instance(InstanceKey::Number(number)), Want::Load);
                }
                Some(_) => {}
            }
        }
        // The rest follows: an instance whose last turn is not readable yet, once it is.
        if !self.to_load.is_empty() && !self.nudged {
            self.nudged = true;
            self.work.effects.push(Effect::Nudge);
        }
    }

    fn worker_stopped(&mut self) {
        self.work.registry = None;
        self.work.draining = false;
        self.work.running.clear();
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
            self.make_ready(number);
        }
    }

    fn foreign_wake(&mut self, number: InstanceNumber) {
        let Some(instance) = self.instances.get_mut(&number) else {
            return;
        };
        let Body::Live(watched) = &instance.body else {
            return;
        };
        let problem = watched.foreign_wake();
        instance.body = Body::Parked;
        let changed = set_problem(instance, Some(problem), self.work.now);
        self.work.summarise(instance, changed);
        self.make_ready(number);
    }

    /// The next commit with what it causes; `None` if there is nothing to commit or to answer.
    pub(crate) fn seal(&mut self) -> Option<Sealed<R>> {
        let mut turns = 0;
        while turns < self.work.config.turns_per_commit
            && self.work.bytes < self.work.config.bytes_per_commit
        {
            let Some(number) = self.ready.pop_front() else {
                break;
            };
            self.take_turn(number);
            turns += 1;
        }
        self.evict();
        let ops = std::mem::take(&mut self.work.ops);
        let effects = std::mem::take(&mut self.work.effects);
        if ops.is_empty() && effects.is_empty() {
            return None;
        }
        self.work.bytes = 0;
        self.work.sealed += u64::from(!ops.is_empty());
        Some(Sealed {
            commit: self.work.sealed,
            ops,
            effects,
        })
    }

    fn take_turn(&mut self, number: InstanceNumber) {
        let Some(instance) = self.instances.get_mut(&number) else {
            return;
        };
        instance.queued = false;
        self.work.turn(instance);
        let bytes = instance.bytes();
        self.live_bytes = self.live_bytes - instance.counted_bytes + bytes;
        instance.counted_bytes = bytes;
        self.uses += 1;
        self.by_use.remove(&instance.used);
        instance.used = self.uses;
        let (ended, commit) = (matches!(instance.body, Body::Ended), instance.last_commit);
        let more = matches!(instance.body, Body::Live(_)) && !instance.mailbox.is_empty();
        if ended {
            self.leaving.push_back((commit, number));
        } else {
            self.by_use.insert(self.uses, number);
        }
        if more {
            self.make_ready(number);
        }
    }

    fn keep(&mut self, mut instance: Instance<R>) {
        self.uses += 1;
        self.by_use.remove(&instance.used);
        instance.used = self.uses;
        self.by_use.insert(self.uses, instance.number());
        let bytes = instance.bytes();
        self.live_bytes = self.live_bytes - instance.counted_bytes + bytes;
        instance.counted_bytes = bytes;
        self.ids
            .insert(instance.header.id.clone(), instance.number());
        self.instances.insert(instance.number(), instance);
    }

    fn forget(&mut self, number: InstanceNumber) {
        let Some(instance) = self.instances.remove(&number) else {
            return;
        };
        self.live_bytes -= instance.counted_bytes;
        self.by_use.remove(&instance.used);
        if self.ids.get(&instance.header.id) == Some(&number) {
            self.ids.remove(&instance.header.id);
        }
    }

    /// Lets the least recently used go, as far as the store has all of them.
    fn evict(&mut self) {
        let Config {
            max_live,
            max_live_bytes,
            ..
        } = self.work.config;
        let mut skipped = 0;
        let mut cursor = 0;
        while (self.by_use.len() > max_live || self.live_bytes > max_live_bytes) && skipped < 64 {
            let Some((used, number)) = self.by_use.range(cursor..).next() else {
                break;
            };
            let number = *number;
            cursor = used + 1;
            let idle =
                |instance: &Instance<R>| instance.is_idle() && instance.last_commit <= self.durable;
            if self.instances.get(&number).is_some_and(idle) {
                self.forget(number);
            } else {
                skipped += 1;
            }
        }
    }
}

/// A timer is due. Says whether it gave the instance something to do.
fn fire<R>(work: &mut Work<R>, instance: &mut Instance<R>, timer: TimerKey) -> bool {
    if timer.execution != instance.header.execution {
        return false;
    }
    match (timer.kind, instance.outstanding.get(timer.call)) {
        (TimerKind::Orchestrator, Some(Pending::Timer { due })) if *due == timer.due => {
            instance
                .mailbox
                .push_back(Mail::new(Event::TimerFired { call: timer.call }));
            true
        }
        (TimerKind::Retry, Some(Pending::Activity { .. })) => {
            let next = instance
                .attempts
                .get(&timer.call)
                .map(|attempts| attempts.due);
            if next == Some(timer.due) {
                instance.last_commit = work.commit();
                work.ops.push(Op::RemoveTimer(timer));
                work.dispatch(instance, timer.call);
            }
            false
        }
        _ => false,
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

impl<R> Engine<R> {
    /// Attempts that run here.
    pub(crate) fn attempts_running(&self) -> usize {
        self.work.running.len()
    }

    /// Whether an instance is in memory.
    #[cfg(test)]
    pub(crate) fn instances_in_memory(&self) -> BTreeSet<InstanceNumber> {
        self.instances.keys().copied().collect()
    }
}
