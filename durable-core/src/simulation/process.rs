//! What dies with the process: the engine, its store, and the commits that are under way.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::hook::{StoreCall, StoreHook};
use crate::engine::{Answer, Config, Durable, Effect, Engine, Group, Input, Rules, ToCommit};
use crate::store::kv::KvStore;
use crate::store::kv::hooked::Hooked;
use crate::store::kv::memory::MemoryKv;
use crate::store::{OpenError, Retention, Store as _, StoreError};
use crate::time::Timestamp;

pub(super) type Store = KvStore<Hooked<MemoryKv>>;

type Prepared = <Store as crate::store::Store>::Prepared;

/// A client's request.
#[derive(Clone, Debug)]
pub(super) struct Ticket {
    pub(super) number: u64,
    /// Whether the client still waits.
    pub(super) wanted: Arc<AtomicBool>,
}

impl Ticket {
    pub(super) fn new(number: u64) -> Self {
        Self {
            number,
            wanted: Arc::new(AtomicBool::new(true)),
        }
    }
}

impl Answer for Ticket {
    fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }
}

/// Which call into the store goes wrong: the one after so many others, before it is made or after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) calls: u64,
    pub(crate) after: bool,
}

/// Makes one call into the store go wrong.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<Countdown>);

#[derive(Debug, Default)]
struct Countdown {
    next: Option<Fault>,
    hit: bool,
}

impl Faults {
    fn countdown<R>(&self, f: impl FnOnce(&mut Countdown) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set(&self, fault: Option<Fault>) {
        self.countdown(|countdown| countdown.next = fault);
    }

    /// Nothing goes wrong until what this returns is set again.
    pub(super) fn pause(&self) -> Option<Fault> {
        self.countdown(|countdown| countdown.next.take())
    }

    /// Whether one is to come.
    pub(super) fn is_set(&self) -> bool {
        self.countdown(|countdown| countdown.next.is_some())
    }

    /// Whether it has gone wrong since this was last asked.
    pub(super) fn take_hit(&self) -> bool {
        self.countdown(|countdown| std::mem::take(&mut countdown.hit))
    }

    fn strike(&self, after: bool) -> std::io::Result<()> {
        self.countdown(|countdown| {
            match &mut countdown.next {
                // Each call passes here twice, and is counted before it is made.
                Some(fault) if fault.calls > 0 => {
                    fault.calls -= u64::from(!after);
                    return Ok(());
                }
                Some(fault) if fault.after == after => {}
                Some(_) | None => return Ok(()),
            }
            countdown.next = None;
            countdown.hit = true;
            Err(std::io::Error::other("planned"))
        })
    }
}

impl StoreHook for Faults {
    fn before(&self, _: StoreCall) -> std::io::Result<()> {
        self.strike(false)
    }

    fn after(&self, _: StoreCall) -> std::io::Result<()> {
        self.strike(true)
    }
}

/// A process that has the hub open.
pub(super) struct Process {
    pub(super) store: Store,
    pub(super) engine: Engine<Ticket>,
    /// Sealed, not applied.
    queue: VecDeque<ToCommit<Prepared, Ticket>>,
    /// Applied, not synced.
    group: Option<Group<Ticket>>,
    durable: u64,
    /// What may happen now.
    pub(super) released: VecDeque<Effect<Ticket>>,
    /// The most that is read before the next commit is sealed: the rest comes later, as when the
    /// shell looks at its inbox in between.
    pub(super) reads_at_once: usize,
    /// Reads may find damage.
    pub(super) damaged: bool,
}

/// As the runtime has it: sealed commits that wait for the commit thread.
const SEALED_AHEAD: usize = 3;

impl Process {
    pub(super) fn start(
        kv: &MemoryKv,
        faults: &Arc<Faults>,
        config: Config,
        retention: Retention,
    ) -> Result<Self, OpenError> {
        let hook: Arc<dyn StoreHook> = Arc::<Faults>::clone(faults);
        let store = KvStore::open(Hooked::new(kv.clone(), hook), Path::new("memory"))?;
        let path = Path::new("memory");
        let recovered = store
            .recover()
            .map_err(|error| OpenError::unreadable(path, error))?;
        let durable = recovered.commit;
        Ok(Self {
            engine: Engine::new(config, recovered, Box::new(|_| Arc::new(|| ())))
                .with_rules(Rules {
                    retention: Arc::new(retention),
                    ..Rules::default()
                })
                .with_listeners(Arc::new(AtomicUsize::new(1))),
            store,
            queue: VecDeque::new(),
            group: None,
            durable,
            released: VecDeque::new(),
            reads_at_once: usize::MAX,
            damaged: false,
        })
    }

    /// The time is told before anything that happens in it.
    pub(super) fn handle(&mut self, input: Input<Ticket>, now: Timestamp) {
        self.advance(now);
        self.engine.handle(input);
    }

    /// Tells how far the disk has come.
    pub(super) fn advance(&mut self, now: Timestamp) {
        self.engine.advance(now, self.durable);
    }

    /// Lets the engine read and seal until it has nothing left to do, or is too far ahead.
    pub(super) fn settle(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.advance(now);
        loop {
            self.read()?;
            if self.queue.len() >= SEALED_AHEAD {
                return Ok(());
            }
            let Some(sealed) = self.engine.seal() else {
                return Ok(());
            };
            let prepared = match sealed.ops.is_empty() {
                true => None,
                false => Some(self.store.prepare(sealed.commit, sealed.ops)?),
            };
            self.queue.push_back(ToCommit {
                commit: sealed.commit,
                size: sealed.size,
                prepared,
                effects: sealed.effects,
            });
        }
    }

    fn read(&mut self) -> Result<(), StoreError> {
        for _ in 0..self.reads_at_once {
            let Some(fetch) = self.engine.next_fetch() else {
                break;
            };
            let fetched = fetch.read(&self.store);
            match &fetched {
                // The disk does not answer: the hub closes.
                Err(StoreError::Fatal { .. }) => return fetched.map(drop),
                Err(error) => assert!(self.damaged, "{fetch:?}: {error}"),
                Ok(_) => {}
            }
            self.engine.fetched(&fetch, fetched);
        }
        Ok(())
    }

    /// Applies the next sealed commit.
    pub(super) fn apply(&mut self) -> Result<(), StoreError> {
        // The commit thread releases what one group allows before it begins the next.
        if !self.released.is_empty() {
            return Ok(());
        }
        match self.queue.pop_front() {
            Some(next) => {
                let group = self.group.get_or_insert_default();
                group.apply(&self.store, next)
            }
            None => Ok(()),
        }
    }

    /// Makes what was applied durable. Says up to which commit everything must be, if it did.
    pub(super) fn sync(&mut self) -> Result<Option<u64>, StoreError> {
        let Some(mut group) = self.group.take() else {
            return Ok(None);
        };
        let Durable { commit, effects } = group.sync(&self.store)?;
        self.durable = self.durable.max(commit);
        self.released.extend(effects);
        Ok(Some(commit))
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty()
            && self.group.is_none()
            && self.released.is_empty()
            && !self.engine.has_work()
    }
}
