//! The hub's thread.

use std::path::Path;
use std::sync::Arc;

use fastrand::Rng;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio::task::yield_now;

use super::door::{Deployment, Door, Letter, Mail, Message};
use super::stage::{Hold, Stage};
use super::{About, MemoryStore, Setup};
use crate::engine::{Effect, Engine, Input, Response, Sealed};
use crate::runtime::activities::{Jobs, ToWorker};
use crate::runtime::clock::VirtualClock;
use crate::runtime::health::Condition;
use crate::runtime::inbox::Inbox;
use crate::runtime::lifecycle::Lifecycle;
use crate::runtime::shell::{Identity, Reply, Taken, foreign_wakes, no_thread, take};
use crate::runtime::verify::Verifier;
use crate::store::kv::KvStore;
use crate::store::kv::memory::MemoryKv;
use crate::store::{Op, OpenError, Store as _, StoreError};
use crate::time::Timestamp;

/// The hub's thread.
pub(super) struct Driver {
    setup: Setup,
    kv: MemoryKv,
    door: Door,
    mail: Mail,
    /// Taken out of what came from outside, not dealt with.
    heard: Vec<Message>,
    jobs: Jobs,
    condition: Condition,
    lifecycle: Lifecycle,
    /// Before the runtime, whose end waits for what this has it do.
    hold: Hold,
    runtime: Runtime,
    clock: VirtualClock,
    rng: Rng,
    engine: Engine<Reply>,
    store: Arc<MemoryStore>,
    verifier: Verifier,
    identity: Identity,
    durable: u64,
    /// The store refuses the next commit.
    is_to_fail: bool,
    /// Answers that are given when nothing is left to do.
    answers: Vec<(Reply, Response)>,
    /// Until when time is to pass, and who waits for that.
    advances: Vec<(Timestamp, oneshot::Sender<()>)>,
    /// The runtime of whoever asked last.
    test: Option<Handle>,
}

/// Why nothing more is to be done.
struct Over;

impl Driver {
    pub(super) fn open(
        setup: Setup,
        door: Door,
        mail: Mail,
        jobs: Jobs,
        condition: Condition,
        lifecycle: Lifecycle,
    ) -> Result<Self, OpenError> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            // What has yielded goes on when nothing else can, and not sooner.
            .event_interval(u32::MAX)
            .build()
            .map_err(no_thread)?;
        let mut rng = Rng::with_seed(setup.seed);
        let kv = MemoryKv::of_identity(rng.u128(..).to_be_bytes());
        let clock = runtime.block_on(async { VirtualClock::starting_at(setup.start) });
        let Opened {
            store,
            engine,
            identity,
            durable,
        } = open(&kv, &setup, &door, &lifecycle)?;
        Ok(Self {
            kv,
            mail,
            heard: Vec::new(),
            jobs,
            condition,
            lifecycle,
            hold: Hold::new(runtime.handle().clone()),
            runtime,
            clock,
            rng,
            engine,
            store,
            verifier: Verifier::default(),
            identity,
            durable,
            is_to_fail: false,
            answers: Vec::new(),
            advances: Vec::new(),
            test: None,
            setup,
            door,
        })
    }

    pub(super) fn about(&self) -> About {
        About {
            identity: self.identity,
            store: Arc::clone(&self.store),
            now: self.clock.shared(),
        }
    }

    pub(super) fn run(mut self) {
        let _watch = self.condition.watch();
        while self.go_on().is_ok() {}
        // Before anything is dropped that somebody waits for.
        self.condition.close();
        self.verifier.end();
        self.jobs.release();
        self.hold.release();
        self.runtime.shutdown_background();
    }

    /// Works until nothing is left to do at this moment, answers, and waits for what comes next.
    fn go_on(&mut self) -> Result<(), Over> {
        self.work()?;
        if self.answer() {
            self.hear_out();
        } else {
            self.wait();
        }
        Ok(())
    }

    fn work(&mut self) -> Result<(), Over> {
        loop {
            self.engine.advance(self.clock.now(), self.durable);
            for message in std::mem::take(&mut self.heard) {
                self.take(message)?;
            }
            while let Ok(message) = self.mail.inside.try_recv() {
                self.take(message)?;
            }
            self.settle()?;
            let (stage, rng, news) = (&self.setup.stage, &mut self.rng, &self.mail.inside);
            let clock = &mut self.clock;
            self.runtime.block_on(async {
                run_ready(stage, rng, news).await;
                clock.look();
            });
            if self.mail.inside.is_empty() && !self.engine.has_work() {
                return Ok(());
            }
        }
    }

    fn hear(&mut self, (message, from): Letter) {
        self.test = from;
        self.heard.push(message);
    }

    fn take(&mut self, message: Message) -> Result<(), Over> {
        match message {
            Message::Engine(message) => {
                let (engine, verifier) = (&mut self.engine, &mut self.verifier);
                match take(*message, engine, &self.store, verifier) {
                    Taken::In => {}
                    Taken::Close | Taken::Stop => return Err(Over),
                }
            }
            Message::Advance(by, done) => {
                // As a timer that is made now is due then.
                let until = self.clock.now().deadline_after(by);
                self.advances.push((until, done));
            }
            Message::FailNextCommit(done) => {
                self.is_to_fail = true;
                let _ = done.send(());
            }
            Message::Deploy(deployment) => self.deploy(*deployment)?,
            Message::Look(look) => look(&self.store),
        }
        Ok(())
    }

    /// Here and not on the test's own threads, so that it does not matter when they come to it.
    fn deploy(&mut self, deployment: Deployment) -> Result<(), Over> {
        let Deployment { before, next, done } = deployment;
        if before.is_some() {
            self.crash()?;
        }
        // It tells the new engine of its end, which knows nothing of it.
        drop(before);
        self.runtime.spawn(async move {
            // Nobody may wait for it any more: then it ends at once.
            drop(done.send(next.start().await));
        });
        Ok(())
    }

    /// What is in memory is gone, and who waits for it is told so.
    fn crash(&mut self) -> Result<(), Over> {
        self.verifier.end();
        self.answers.clear();
        let opened = open(&self.kv, &self.setup, &self.door, &self.lifecycle);
        let opened = opened.map_err(|error| self.fail(StoreError::fatal(error.to_string())))?;
        self.store = opened.store;
        self.engine = opened.engine;
        self.durable = opened.durable;
        self.engine.advance(self.clock.now(), self.durable);
        Ok(())
    }

    fn fail(&self, error: StoreError) -> Over {
        self.condition.fail(error);
        Over
    }

    /// Reads and commits until the engine has nothing left to do.
    fn settle(&mut self) -> Result<(), Over> {
        loop {
            while let Some(fetch) = self.engine.next_fetch() {
                let fetched = fetch.read(&*self.store);
                self.engine.fetched(&fetch, fetched);
            }
            let Some(sealed) = self.engine.seal() else {
                return Ok(());
            };
            let effects = self.commit(sealed)?;
            self.engine.advance(self.clock.now(), self.durable);
            self.release(effects);
        }
    }

    /// Whoever waits for what cannot be stored is let go of when it is known why.
    fn commit(&mut self, sealed: Sealed<Reply>) -> Result<Vec<Effect<Reply>>, Over> {
        let Sealed {
            commit,
            ops,
            effects,
            ..
        } = sealed;
        if !ops.is_empty() {
            self.store(commit, ops).map_err(|error| self.fail(error))?;
        }
        self.durable = self.durable.max(commit);
        Ok(effects)
    }

    fn store(&self, commit: u64, ops: Vec<Op>) -> Result<(), StoreError> {
        if self.is_to_fail {
            return Err(StoreError::fatal("a test has the store fail"));
        }
        let prepared = self.store.prepare(commit, ops)?;
        self.store.apply(prepared)?;
        self.store.sync()
    }

    fn release(&mut self, effects: Vec<Effect<Reply>>) {
        let mut jobs = Vec::new();
        for effect in effects {
            match effect {
                Effect::Reply(reply, response) => self.answers.push((reply, response)),
                Effect::Dispatch(dispatch) => jobs.push(ToWorker::Run(dispatch)),
                Effect::CancelActivity(key) => jobs.push(ToWorker::Cancel(key)),
                Effect::Nudge => self.engine.handle(Input::Nudge),
                Effect::Announce(happened) => self.lifecycle.tell(*happened),
            }
        }
        if !jobs.is_empty() {
            self.jobs.send(jobs);
        }
    }

    /// Gives the answers there are. Says whether there were any.
    fn answer(&mut self) -> bool {
        let now = self.clock.now();
        let over: Vec<_> = self
            .advances
            .extract_if(.., |(until, _)| *until <= now)
            .collect();
        let answers = std::mem::take(&mut self.answers);
        let any = !over.is_empty() || !answers.is_empty();
        for (reply, response) in answers {
            reply.send(response);
        }
        for (_, done) in over {
            let _ = done.send(());
        }
        any
    }

    /// Lets everybody on the test's runtime say what they have to say now. What they are doing is
    /// not known, but a task that yields there goes on when the others have had their turn.
    fn hear_out(&mut self) {
        let Some(test) = self.test.clone() else {
            return;
        };
        self.hold.begin();
        let (word, mut is_over) = oneshot::channel::<()>();
        // Where that runtime is gone the word is over at once.
        test.spawn(async move {
            let _word = word;
            for _ in 0..TURNS {
                yield_now().await;
            }
        });
        let is_over = &mut is_over;
        loop {
            let outside = &mut self.mail.outside;
            let letter = self.runtime.block_on(async {
                tokio::select! {
                    biased;
                    letter = outside.recv() => letter,
                    _ = &mut *is_over => None,
                }
            });
            let Some(letter) = letter else { return };
            let same = letter.1.as_ref().is_some_and(|from| from.id() == test.id());
            self.hear(letter);
            if !same {
                // That runtime may not be driven any more.
                return;
            }
        }
    }

    /// Waits for a message, or for the time to come at which something is due.
    fn wait(&mut self) {
        let wanted = !self.advances.is_empty() || (self.setup.skip && self.engine.is_waited_for());
        let is_all_here = self.setup.stage.is_all_here();
        let may_pass = wanted && is_all_here;
        let deadline = self.engine.next_deadline();
        let stuck = self.engine.take_stuck(is_all_here && deadline.is_none());
        if !stuck.is_empty() {
            let told = |(reply, problem)| (reply, Response::Stuck(Box::new(problem)));
            self.answers.extend(stuck.into_iter().map(told));
            return;
        }
        if may_pass {
            self.hold.release();
        } else {
            self.hold.begin();
        }
        let advances = self.advances.iter().map(|(until, _)| *until);
        let due = advances.chain(deadline).min();
        let (clock, stage) = (&mut self.clock, &self.setup.stage);
        let Mail { inside, outside } = &mut self.mail;
        let came = self.runtime.block_on(async {
            let came = tokio::select! {
                biased;
                letter = outside.recv() => Came::Letter(letter),
                message = inside.recv() => Came::Message(message),
                () = stage.ended_elsewhere() => Came::Message(None),
                () = clock.sleep_until(due), if may_pass => {
                    clock.reached(due);
                    Came::Message(None)
                }
            };
            clock.look();
            came
        });
        match came {
            Came::Letter(Some(letter)) => {
                self.hear(letter);
                self.hear_out();
            }
            Came::Message(Some(message)) => self.heard.push(message),
            Came::Letter(None) | Came::Message(None) => {}
        }
    }
}

/// What a wait has ended with.
enum Came {
    Letter(Option<Letter>),
    /// Of the hub to itself; or something is due.
    Message(Option<Message>),
}

/// How often whatever yields is let go on before it counts as waiting.
const TURNS: usize = 8;

/// Has everything on the hub's runtime run until it waits, or until there is news for the engine.
/// What is to begin is begun one by one, in an order that the seed decides.
async fn run_ready(stage: &Stage, rng: &mut Rng, news: &UnboundedReceiver<Message>) {
    loop {
        for _ in 0..TURNS {
            yield_now().await;
        }
        let enough = !news.is_empty() && rng.bool();
        if enough || !stage.draw(rng) {
            return;
        }
    }
}

struct Opened {
    store: Arc<MemoryStore>,
    engine: Engine<Reply>,
    identity: Identity,
    durable: u64,
}

fn open(
    kv: &MemoryKv,
    setup: &Setup,
    door: &Door,
    lifecycle: &Lifecycle,
) -> Result<Opened, OpenError> {
    let path = Path::new("memory");
    let store = KvStore::open(kv.clone(), path)?;
    let recovered = store
        .recover()
        .map_err(|error| OpenError::unreadable(path, error))?;
    let identity = Identity {
        signing_key: recovered.signing_key,
        hub: recovered.hub,
    };
    let durable = recovered.commit;
    let wakes = foreign_wakes(Inbox::Lockstep(door.clone()));
    Ok(Opened {
        store: Arc::new(store),
        engine: Engine::new(setup.config, recovered, wakes)
            .with_rules(setup.rules.clone())
            .with_listeners(lifecycle.listeners()),
        identity,
        durable,
    })
}
