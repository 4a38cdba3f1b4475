//! A hub on one thread, in virtual time, for tests.
//!
//! Engine, store and worker take turns here: the engine works until nothing is left, then
//! whatever runs on the hub's own tokio runtime runs until all of it waits, and so on. Only then are
//! clients answered, and only when they have nothing more to say does the time move on. So what
//! happens is a function of what is asked for and of the seed, however fast the machine is.
//!
//! Tokio's clock is paused there, and moves on by itself to the next of its timers when everything
//! waits. That is the hub's clock: the engine's next deadline is one of its timers, and so are the
//! time-outs of attempts.

mod door;
mod driver;
mod stage;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use self::driver::Driver;
use super::activities::Jobs;
use super::admission::Admission;
pub(crate) use super::clock::Now;
use super::health::Condition;
use super::hub::TaskHub;
use super::inbox::Inbox;
use super::lifecycle::Lifecycle;
use super::shell::{CloseOnDrop, Identity, Launched, died, no_thread};
use crate::engine::{Config, Rules};
use crate::id::InstanceId;
use crate::replay::note_locations;
use crate::store::OpenError;
use crate::store::kv::KvStore;
use crate::store::kv::memory::MemoryKv;
use crate::time::Timestamp;

pub(crate) use self::door::Door;
pub(super) use self::door::Message;
pub(crate) use self::stage::Stage;

pub(crate) type MemoryStore = KvStore<MemoryKv>;

/// What a hub in virtual time is made of.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) config: Config,
    pub(crate) rules: Rules,
    /// How long a client waits to be let in, by the real clock.
    pub(crate) patience: Duration,
    pub(crate) seed: u64,
    pub(crate) start: Timestamp,
    /// Whether the time moves on by itself while a client waits for an instance's end.
    pub(crate) skip: bool,
    pub(crate) stage: Stage,
}

/// A hub in virtual time.
#[derive(Debug)]
pub(crate) struct Lockstep {
    pub(crate) hub: TaskHub,
    pub(crate) door: Door,
    pub(crate) now: Now,
}

/// Starts the hub's thread.
pub(crate) async fn launch(setup: Setup) -> Result<Lockstep, OpenError> {
    note_locations();
    let (door, mail) = door::door();
    let (opened, is_open) = oneshot::channel();
    let (jobs, condition) = (Jobs::default(), Condition::default());
    let lifecycle = Lifecycle::default();
    let ended = CancellationToken::new();
    let hub_thread = {
        let (door, setup) = (door.clone(), setup.clone());
        let (jobs, condition) = (jobs.clone(), condition.clone());
        let lifecycle = lifecycle.clone();
        let ends = ended.clone().drop_guard();
        move || {
            let _ends = ends;
            let door = door(std::thread::current().id());
            match Driver::open(setup, door, mail, jobs, condition, lifecycle) {
                Ok(driver) => {
                    // Nobody may wait for the hub any more.
                    drop(opened.send(Ok(driver.about())));
                    driver.run();
                }
                Err(error) => drop(opened.send(Err(error))),
            }
        }
    };
    let thread = std::thread::Builder::new().name("durable-test".into());
    let thread = thread.spawn(hub_thread).map_err(no_thread)?;
    let door = door(thread.thread().id());
    let inbox = Inbox::Lockstep(door.clone());
    let unwanted = CloseOnDrop(Some(inbox.clone()));
    let about = is_open.await.unwrap_or_else(|_| Err(died()))?;
    unwanted.keep_open();
    let launched = Launched {
        inbox,
        jobs,
        condition,
        lifecycle,
        identity: about.identity,
        store: about.store,
        ended,
        thread,
    };
    let admission = Admission::new(setup.config.max_payload, setup.patience);
    let ids = Mutex::new(Rng::with_seed(setup.seed ^ 0x1D5));
    let new_id = Box::new(move || {
        let mut ids = ids.lock().unwrap_or_else(PoisonError::into_inner);
        InstanceId::of_random(ids.u128(..))
    });
    Ok(Lockstep {
        hub: TaskHub::of(launched, setup.config, admission, None, new_id),
        door,
        now: about.now,
    })
}

/// What is known of a hub once it is open.
struct About {
    identity: Identity,
    store: Arc<MemoryStore>,
    now: Now,
}
