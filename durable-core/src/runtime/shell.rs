//! The threads around the engine: one that runs it, one that commits.
//!
//! The engine has a thread of its own, outside any tokio context: orchestrators are polled on it,
//! and whatever in them needs a runtime then fails on the spot instead of seeming to work. Reads of
//! the store happen there too; they block, and nothing else must run meanwhile anyway.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::activities::{Jobs, Slot};
use super::admission::Admitted;
use super::clock;
use super::committer::Committer;
use super::copying::{AutoCompaction, Sizes};
use super::health::Condition;
use super::inbox::Inbox;
use super::lifecycle::Lifecycle;
use super::room::{Room, SEALED_AHEAD};
use super::space::SpaceGuard;
use super::verify::{Order, Verifier};
use crate::engine::{
    Answer, Config, Effect, Engine, Fetch, Input, Response, Rules, Sealed, ToCommit,
};
use crate::id::InstanceNumber;
use crate::replay::{ForeignWake, note_locations};
use crate::store::{Aside, OpenError, SigningKey, Store, StoreError};

/// Where a client's answer goes, and what the request has of the bounds until then.
#[derive(Debug)]
pub(super) struct Reply {
    to: oneshot::Sender<Response>,
    _admitted: Option<Admitted>,
}

impl Reply {
    pub(super) fn new(admitted: Option<Admitted>) -> (Self, oneshot::Receiver<Response>) {
        let (to, receiver) = oneshot::channel();
        let reply = Self {
            to,
            _admitted: admitted,
        };
        (reply, receiver)
    }

    pub(super) fn send(self, response: Response) {
        // Nobody waits any more: what was asked for has happened all the same.
        drop(self.to.send(response));
    }
}

impl Answer for Reply {
    fn is_wanted(&self) -> bool {
        !self.to.is_closed()
    }
}

/// What the engine's thread is sent.
pub(super) enum ToEngine {
    Input(Input<Reply>),
    /// As before; the permit is given back once it was taken in.
    Bounded(Input<Reply>, Permit),
    /// Answers once everything before it is durable.
    Flush(Reply),
    Stats(Reply),
    Verify(Order),
    /// There is room for another commit.
    Room,
    /// Finish what is here and end.
    Close,
    /// Nothing can be committed any more: end at once.
    Stop,
}

/// What bounds how many inputs wait.
pub(super) enum Permit {
    /// Of a client that waits for something to happen, for as long as it likes.
    Client { _admitted: Admitted },
    /// Of an attempt: it occupies its slot until its answer was taken in.
    Attempt { _slot: Slot },
}

/// What makes this hub different from every other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    pub(super) signing_key: SigningKey,
    pub(super) hub: u64,
}

type Opened = (Identity, Arc<dyn Aside>);

/// What the rest of the hub knows of its threads.
pub(super) struct Launched {
    pub(super) inbox: Inbox,
    pub(super) jobs: Jobs,
    pub(super) condition: Condition,
    pub(super) lifecycle: Lifecycle,
    pub(super) identity: Identity,
    pub(super) store: Arc<dyn Aside>,
    /// Fires when the engine's thread, and with it the hub, has ended.
    pub(super) ended: CancellationToken,
    pub(super) thread: JoinHandle<()>,
}

/// Inputs taken in before the next commit is sealed. More than can wait, by far: an input that is
/// taken in costs little, and from then on the engine decides whose turn is next.
const INPUTS_AT_ONCE: usize = 16_384;
/// Reads served before it, and before those who asked are answered; each may have an orchestrator
/// replayed. So few that whoever is answered works while the next are served.
const READS_AT_ONCE: usize = 8;
/// With a timer set, the clock is looked at this often at least: it may have been moved.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Opens the store on a thread of its own, and starts the hub's threads.
pub(super) async fn launch<S: Store>(
    open: impl FnOnce() -> Result<S, OpenError> + Send + 'static,
    config: Config,
    rules: Rules,
) -> Result<Launched, OpenError> {
    note_locations();
    let (opened, is_open) = oneshot::channel();
    let (sender, inputs) = mpsc::channel();
    let inbox = Inbox::Threads(sender);
    let (jobs, condition) = (Jobs::default(), Condition::default());
    let lifecycle = Lifecycle::default();
    let ended = CancellationToken::new();
    let shell = {
        let (inbox, jobs, condition) = (inbox.clone(), jobs.clone(), condition.clone());
        let lifecycle = lifecycle.clone();
        let ends = ended.clone().drop_guard();
        move || {
            // The last thing that this thread does, also if it dies.
            let _ends = ends;
            match open() {
                Ok(store) => {
                    let engine = (config, rules, lifecycle);
                    run(store, engine, inbox, inputs, jobs, condition, opened);
                }
                Err(error) => drop(opened.send(Err(error))),
            }
        }
    };
    let thread = std::thread::Builder::new()
        .name("durable-engine".into())
        .spawn(shell);
    let thread = thread.map_err(no_thread)?;
    let unwanted = CloseOnDrop(Some(inbox.clone()));
    let (identity, store) = is_open.await.unwrap_or_else(|_| Err(died()))?;
    unwanted.keep_open();
    Ok(Launched {
        inbox,
        jobs,
        condition,
        lifecycle,
        identity,
        store,
        ended,
        thread,
    })
}

/// Ends the hub's threads if whoever opens it does not wait for them: nobody else could.
pub(super) struct CloseOnDrop(pub(super) Option<Inbox>);

impl CloseOnDrop {
    pub(super) fn keep_open(mut self) {
        self.0 = None;
    }
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if let Some(inbox) = self.0.take() {
            // It may not have opened; then there is nothing to close.
            drop(inbox.send(ToEngine::Close));
        }
    }
}

pub(super) fn no_thread(error: std::io::Error) -> OpenError {
    OpenError::Io {
        path: "the thread of the engine".into(),
        source: Arc::new(error),
    }
}

pub(super) fn died() -> OpenError {
    OpenError::Corrupt {
        path: "the hub".into(),
        detail: "its thread died while opening it".into(),
    }
}

fn run<S: Store>(
    store: S,
    (config, rules, lifecycle): (Config, Rules, Lifecycle),
    inbox: Inbox,
    inputs: Receiver<ToEngine>,
    jobs: Jobs,
    condition: Condition,
    opened: oneshot::Sender<Result<Opened, OpenError>>,
) {
    let recovered = match store.recover() {
        Ok(recovered) => recovered,
        Err(error) => {
            let error = OpenError::unreadable(Path::new("the hub"), error);
            return drop(opened.send(Err(error)));
        }
    };
    let store = Arc::new(store);
    let durable = Arc::new(AtomicU64::new(recovered.commit));
    let (commits, queue) = mpsc::sync_channel(SEALED_AHEAD);
    let room = Room::default();
    let committer = Committer {
        store: Arc::clone(&store),
        durable: Arc::clone(&durable),
        jobs: jobs.clone(),
        inbox: inbox.clone(),
        condition: condition.clone(),
        room: room.clone(),
        lifecycle: lifecycle.clone(),
    };
    let identity = Identity {
        signing_key: recovered.signing_key,
        hub: recovered.hub,
    };
    let engine = Engine::new(config, recovered, foreign_wakes(inbox))
        .with_rules(rules)
        .with_listeners(lifecycle.listeners());
    let committer = std::thread::Builder::new()
        .name("durable-commit".into())
        .spawn(move || committer.run(queue));
    match committer {
        Ok(committer) => {
            let copies = Arc::clone(&store) as Arc<dyn Aside>;
            let live = store.live_bytes();
            let mut shell = Shell {
                engine,
                store,
                inputs,
                commits,
                durable,
                condition,
                room,
                space: SpaceGuard::new(config.min_free_space),
                verifier: Verifier::default(),
                compaction: AutoCompaction::new(config.compaction_factor, live),
            };
            shell.look_at_space();
            // Nobody may wait for the hub any more.
            drop(opened.send(Ok((identity, copies))));
            shell.run();
            // What still runs is heard by nobody: it ends, and is run again by the next hub.
            jobs.release();
            drop(committer.join());
        }
        Err(error) => drop(opened.send(Err(no_thread(error)))),
    }
}

pub(super) fn foreign_wakes(inbox: Inbox) -> crate::engine::OnForeignWake {
    Box::new(move |number: InstanceNumber| -> ForeignWake {
        let inbox = inbox.clone();
        // The engine may be gone: then nobody minds.
        Arc::new(move || drop(inbox.send(ToEngine::Input(Input::ForeignWake(number)))))
    })
}

/// What a message leads to, besides what the engine makes of it.
pub(super) enum Taken {
    In,
    Close,
    Stop,
}

/// Takes in a message.
pub(super) fn take<S: Store>(
    message: ToEngine,
    engine: &mut Engine<Reply>,
    store: &Arc<S>,
    verifier: &mut Verifier,
) -> Taken {
    match message {
        ToEngine::Input(input) => engine.handle(input),
        ToEngine::Bounded(input, permit) => {
            engine.handle(input);
            drop(permit);
        }
        ToEngine::Flush(reply) => engine.answer(reply, Response::Done),
        ToEngine::Verify(order) => verifier.begin(store, order),
        ToEngine::Stats(reply) => {
            let stats = store.stats();
            let response = stats.map_or_else(Response::Failed, Response::Stats);
            engine.answer(reply, response);
        }
        ToEngine::Room => {}
        ToEngine::Close => {
            engine.close();
            return Taken::Close;
        }
        ToEngine::Stop => return Taken::Stop,
    }
    Taken::In
}

/// The engine's thread.
struct Shell<S: Store> {
    engine: Engine<Reply>,
    store: Arc<S>,
    inputs: Receiver<ToEngine>,
    commits: SyncSender<ToCommit<S::Prepared, Reply>>,
    durable: Arc<AtomicU64>,
    condition: Condition,
    room: Room,
    space: SpaceGuard,
    verifier: Verifier,
    compaction: AutoCompaction,
}

impl<S: Store> Shell<S> {
    fn run(mut self) {
        let _watch = self.condition.watch();
        self.work();
        // Before anything is dropped that somebody waits for.
        self.condition.close();
        self.verifier.end();
    }

    /// Works until it is told to close and has handed on everything, or until the store fails.
    fn work(&mut self) {
        let mut open = true;
        while open || self.engine.has_work() {
            let busy = if self.room.is_there() {
                self.engine.has_work()
            } else {
                self.engine.has_reads()
            };
            let first = if busy { None } else { self.wait() };
            // Before the inputs: what they cause happens now, not when the engine last woke.
            self.engine
                .advance(clock::now(), self.durable.load(Ordering::Acquire));
            if self.space.shortage().is_some() {
                // Somebody may be about to be refused.
                self.look_at_space();
            }
            for message in first
                .into_iter()
                .chain(self.inputs.try_iter().take(INPUTS_AT_ONCE))
            {
                match take(message, &mut self.engine, &self.store, &mut self.verifier) {
                    Taken::In => {}
                    Taken::Close => open = false,
                    Taken::Stop => return,
                }
            }
            if self.hand_on().is_err() {
                // The commit thread is gone and has said why.
                return;
            }
        }
    }

    /// The next input; `None` when a timer is due or the clock is to be looked at.
    fn wait(&self) -> Option<ToEngine> {
        let Some(deadline) = self.engine.next_deadline() else {
            return self.inputs.recv().ok().or(Some(ToEngine::Close));
        };
        let wait = deadline.since(clock::now()).min(LONGEST_WAIT);
        match self.inputs.recv_timeout(wait) {
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(ToEngine::Close),
        }
    }

    /// Reads some of what is wanted, and hands on one commit, if there is room for it: what arrives
    /// meanwhile waits no longer than that takes.
    fn hand_on(&mut self) -> Result<(), Stopped> {
        self.read()?;
        for effect in self
            .engine
            .seal_reads()
            .into_iter()
            .flat_map(|reads| reads.effects)
        {
            if let Effect::Reply(reply, response) = effect {
                reply.send(response);
            }
        }
        if !self.room.is_there() {
            return Ok(());
        }
        // Reading takes time; a turn is dated when it is taken.
        self.engine.tell_time(clock::now());
        let Some(Sealed {
            commit,
            size,
            ops,
            effects,
        }) = self.engine.seal()
        else {
            return Ok(());
        };
        let prepared = if ops.is_empty() {
            None
        } else {
            let prepared = self.store.prepare(commit, ops);
            Some(prepared.map_err(|error| self.stop(error))?)
        };
        let to_commit = ToCommit {
            commit,
            size,
            prepared,
            effects,
        };
        self.room.enter();
        self.commits.send(to_commit).map_err(|_| Stopped)?;
        self.look_at_space();
        self.look_at_files();
        Ok(())
    }

    /// Asks how much is free, if it is time.
    fn look_at_space(&mut self) {
        let (now, written) = (clock::now(), self.engine.written());
        if self.space.is_due(now, written) {
            let free = self.store.free_space();
            if self.space.looked(now, written, free) {
                let shortage = self.space.shortage();
                self.engine.tell_space(shortage);
                self.condition.tell_space(shortage);
            }
        }
    }

    /// Compacts if the files have become too large, and if it is time to look.
    fn look_at_files(&mut self) {
        let now = Sizes {
            written: self.engine.written(),
            live: self.store.live_bytes(),
        };
        if self.compaction.is_due(now) {
            match self.store.size_on_disk() {
                Ok(disk) => self.compaction.looked(now, disk, &self.store),
                // Whatever ails the store, the next commit meets it.
                Err(error) => tracing::debug!(%error, "cannot measure the files"),
            }
        }
    }

    fn stop(&self, error: StoreError) -> Stopped {
        self.condition.fail(error);
        Stopped
    }

    /// Serves what the engine wants to read. Damage concerns the instance that is damaged, but a
    /// timer index that cannot be read closes the hub: nobody else would ever notice that no timer
    /// fires.
    fn read(&mut self) -> Result<(), Stopped> {
        for _ in 0..READS_AT_ONCE {
            let Some(fetch) = self.engine.next_fetch() else {
                break;
            };
            let fetched = fetch.read(&*self.store);
            if let Err(error) = &fetched
                && (matches!(error, StoreError::Fatal { .. })
                    || matches!(fetch, Fetch::Timers { .. }))
            {
                return Err(self.stop(error.clone()));
            }
            self.engine.fetched(&fetch, fetched);
        }
        Ok(())
    }
}

/// Nothing can be committed any more.
struct Stopped;
