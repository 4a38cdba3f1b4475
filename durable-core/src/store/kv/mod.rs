//! The store over an embedded key-value engine: domain operations become records, once, here.

mod active;
pub(crate) mod backend;
#[cfg(test)]
mod backend_conformance;
mod children;
#[cfg(any(test, feature = "simulation"))]
pub(crate) mod hooked;
mod keys;
mod list;
pub(crate) mod memory;
mod meta;
mod read;
mod record;
mod salvage;
pub(crate) mod sled;
mod sparse;
mod turns;
mod verify;
mod write;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use self::active::ActiveSet;
use self::backend::{HubId, KeyValue, Mark};
use self::meta::Meta;
use self::verify::Tally;
use self::write::{Changed, Writer, encode};
use crate::history::Event;
#[cfg(any(test, feature = "simulation", feature = "testing"))]
use crate::history::Turn;
use crate::id::{InstanceId, InstanceNumber};
#[cfg(any(test, feature = "simulation", feature = "testing"))]
use crate::store::Header;
use crate::store::{
    Aside, Children, Compacted, CopyError, Count, Expired, FindChildren, Glimpse, HubStats,
    InstanceKey, List, Listed, Op, OpenError, Pause, ReadTurns, Recovered, Retention, SigningKey,
    StatusDetail, Store, StoreError, Stored, TimerKey, TurnsRead, Verification,
};
use crate::time::Timestamp;

/// The store over the engine `K`.
#[derive(Debug)]
pub(crate) struct KvStore<K> {
    kv: K,
    /// What `prepare` carries from commit to commit.
    ledger: Mutex<Ledger>,
    /// The mark of the last commit that was applied, for the next sync.
    applied: Mutex<Mark>,
    hub: Hub,
    /// Held while a commit is applied, so whoever holds it sees the store between two commits.
    tally: Mutex<Option<Tally>>,
    /// Whether commits say what they change, for the tally.
    counting: AtomicBool,
}

/// Where a turn's first chunk lies.
#[cfg(test)]
pub(crate) fn turn_key(number: crate::id::InstanceNumber, turn: u32) -> Vec<u8> {
    record::chunk_key(&keys::turn(number, crate::id::ExecutionId(0), turn), 0)
}

/// What is fixed when a hub is created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Hub {
    id: HubId,
    /// Into how many units of ownership its instances are divided. A store that one process owns
    /// for good needs one: then numbers are the order of creation, and hot keys lie together.
    shards: u16,
    /// Signs links; never leaves the hub.
    signing_key: SigningKey,
}

impl Hub {
    /// The random half of the id.
    fn tag(&self) -> u64 {
        self.id.last_chunk().copied().map_or(0, u64::from_be_bytes)
    }

    fn new(id: HubId) -> Result<Self, StoreError> {
        let mut signing_key = SigningKey::default();
        getrandom::fill(&mut signing_key.0)
            .map_err(|error| StoreError::fatal(format!("no random numbers: {error}")))?;
        Ok(Self {
            id,
            shards: 1,
            signing_key,
        })
    }
}

#[derive(Debug)]
struct Ledger {
    meta: Meta,
    active: ActiveSet,
}

/// A commit as writes of the engine below.
pub(crate) struct Prepared<B> {
    batch: B,
    mark: Mark,
    changes: Option<Vec<Changed>>,
}

impl<K: KeyValue> KvStore<K> {
    /// Reads where the store stands.
    ///
    /// # Errors
    ///
    /// If the data is older than what was acknowledged, belongs to another hub or is damaged.
    pub(crate) fn open(kv: K, path: &Path) -> Result<Self, OpenError> {
        let corrupt = |detail: String| OpenError::Corrupt {
            path: path.to_owned(),
            detail,
        };
        let unreadable = |error: StoreError| OpenError::unreadable(path, error);
        let meta = read::one::<Meta>(&kv, keys::META.to_vec()).map_err(unreadable)?;
        let found = read::one::<Hub>(&kv, keys::HUB.to_vec()).map_err(unreadable)?;
        let had = kv.mark().unwrap_or_default().commit;
        let have = meta.as_ref().map_or(0, |meta| meta.commit);
        if have < had {
            return Err(OpenError::RolledBack {
                path: path.to_owned(),
                have,
                had,
            });
        }
        let hub = match found {
            Some(hub) if hub.id != kv.identity() => {
                return Err(corrupt("its data belongs to another hub".to_owned()));
            }
            Some(hub) => hub,
            None if have > 0 => return Err(corrupt("the hub's record is missing".to_owned())),
            None => Self::create(&kv).map_err(unreadable)?,
        };
        let active = read::active_set(&kv).map_err(unreadable)?;
        let meta = meta.unwrap_or_default();
        if active.next() != meta.journal {
            let missing = active.next();
            return Err(corrupt(format!(
                "record {missing} of the active set is missing"
            )));
        }
        let applied = Mutex::new(meta.mark());
        Ok(Self {
            kv,
            ledger: Mutex::new(Ledger { meta, active }),
            applied,
            hub,
            tally: Mutex::new(None),
            counting: AtomicBool::new(false),
        })
    }

    /// The first record of a new hub.
    fn create(kv: &K) -> Result<Hub, StoreError> {
        let hub = Hub::new(kv.identity())?;
        let mut writes = Vec::new();
        record::put(
            keys::HUB.to_vec(),
            &encode(&hub)?,
            kv.max_value(),
            &mut writes,
        )?;
        kv.apply(kv.batch(writes))?;
        kv.sync(Mark::default())?;
        Ok(hub)
    }

    /// What is wrong with what is stored, while no commit is under way.
    #[cfg_attr(not(test), allow(dead_code, reason = "called by the simulator"))]
    pub(crate) fn check(&self) -> Vec<String> {
        match verify::at_rest(&self.kv) {
            Ok(found) => found.damages.iter().map(ToString::to_string).collect(),
            Err(error) => vec![error.to_string()],
        }
    }

    #[cfg(test)]
    pub(crate) fn meta(&self) -> Meta {
        self.ledger(|ledger| ledger.meta.clone())
    }

    /// All turns of the execution that `header` tells of, also of one that has ended.
    #[cfg(any(test, feature = "simulation", feature = "testing"))]
    pub(crate) fn history(&self, header: &Header) -> Result<Vec<Turn>, StoreError> {
        read::turns(&self.kv, header)
    }

    fn load_any(
        &self,
        key: &InstanceKey,
        messages: usize,
        ended: bool,
    ) -> Result<Option<Stored>, StoreError> {
        let is_active = |number| self.ledger(|ledger| ledger.active.contains(number));
        let Some(mut stored) = read::instance(&self.kv, key, messages, ended)? else {
            return match key {
                InstanceKey::Number(number) if is_active(*number) => Err(StoreError::corrupt(
                    format!("active instance number {} is missing", number.0),
                )),
                InstanceKey::Number(_) | InstanceKey::Id(_) => Ok(None),
            };
        };
        stored.active = is_active(stored.header.number);
        if !stored.active && (ended || !stored.header.status.is_terminal()) {
            read::check_whole(&stored)?;
        }
        Ok(Some(stored))
    }

    fn ledger<R>(&self, f: impl FnOnce(&mut Ledger) -> R) -> R {
        f(&mut self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<K: KeyValue> Aside for KvStore<K> {
    fn compact(&self) -> Result<Compacted, CopyError> {
        self.kv.compact()
    }

    fn backup(&self, path: &Path) -> Result<(), CopyError> {
        self.kv.backup(path)
    }

    fn list(&self, list: &List) -> Result<Listed, StoreError> {
        list::list(&self.kv, list, &self.tally)
    }

    fn turns(&self, read: &ReadTurns) -> Result<Option<TurnsRead>, StoreError> {
        turns::turns(&self.kv, read, &self.tally)
    }

    fn count(&self, list: &List) -> Result<Count, StoreError> {
        list::count(&self.kv, list, &self.tally)
    }

    fn children(&self, find: &FindChildren) -> Result<Children, StoreError> {
        children::children(&self.kv, find, &self.tally)
    }
}

impl<K: KeyValue> Store for KvStore<K> {
    type Prepared = Prepared<K::Batch>;

    fn recover(&self) -> Result<Recovered, StoreError> {
        let letters = read::letters(&self.kv)?;
        Ok(self.ledger(|ledger| Recovered {
            commit: ledger.meta.commit,
            created: ledger.meta.created,
            active: ledger.active.members().collect(),
            letters,
            signing_key: self.hub.signing_key,
            hub: self.hub.tag(),
            suspicion: ledger.meta.suspicion.clone(),
        }))
    }

    fn prepare(&self, commit: u64, ops: Vec<Op>) -> Result<Self::Prepared, StoreError> {
        let (batch, changes, mark) = self.ledger(|Ledger { meta, active }| {
            let counting = self.counting.load(Ordering::Relaxed);
            let mut writer = Writer::new(&self.kv, meta, ops.len(), counting);
            for op in ops {
                writer.op(op)?;
            }
            writer.active(active)?;
            let (batch, changes) = writer.finish(commit)?;
            Ok((batch, changes, meta.mark()))
        })?;
        Ok(Prepared {
            batch: self.kv.batch(batch),
            mark,
            changes,
        })
    }

    fn apply(&self, prepared: Self::Prepared) -> Result<(), StoreError> {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        self.kv.apply(prepared.batch)?;
        if let Some(tally) = &mut *tally {
            tally.follow(prepared.changes);
        }
        drop(tally);
        *self.applied.lock().unwrap_or_else(PoisonError::into_inner) = prepared.mark;
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        let mark = *self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        self.kv.sync(mark)
    }

    fn load(&self, key: &InstanceKey, messages: usize) -> Result<Option<Stored>, StoreError> {
        self.load_any(key, messages, false)
    }

    fn load_ended(&self, key: &InstanceKey, messages: usize) -> Result<Option<Stored>, StoreError> {
        self.load_any(key, messages, true)
    }

    fn messages(
        &self,
        number: InstanceNumber,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Event)>, StoreError> {
        read::messages(&self.kv, number, after.saturating_add(1), limit)
    }

    fn glimpse_of(
        &self,
        id: &InstanceId,
        detail: StatusDetail,
    ) -> Result<Option<Glimpse>, StoreError> {
        let is_active = |number| self.ledger(|ledger| ledger.active.contains(number));
        read::glimpse(&self.kv, id, detail, is_active)
    }

    fn timers(&self, after: Option<TimerKey>, limit: usize) -> Result<Vec<TimerKey>, StoreError> {
        read::timers(&self.kv, after, limit)
    }

    fn expired(
        &self,
        retention: &Retention,
        now: Timestamp,
        after: Option<&InstanceId>,
        bounds: (usize, usize),
    ) -> Result<Expired, StoreError> {
        list::expired(&self.kv, retention, now, after, bounds)
    }

    fn close(&self) -> Result<(), StoreError> {
        self.kv.close()
    }

    fn verify(&self, pause: &mut Pause<'_>) -> Result<Verification, StoreError> {
        self.counting.store(true, Ordering::Relaxed);
        let verified = verify::verify(&self.kv, &self.tally, pause);
        self.counting.store(false, Ordering::Relaxed);
        *self.tally.lock().unwrap_or_else(PoisonError::into_inner) = None;
        verified
    }

    fn stats(&self) -> Result<HubStats, StoreError> {
        let counts = self.ledger(|ledger| ledger.meta.counts.clone());
        Ok(HubStats {
            live_bytes: counts.bytes,
            bytes_on_disk: self.kv.size_on_disk()?,
            instances: counts.instances,
        })
    }

    fn live_bytes(&self) -> u64 {
        self.ledger(|ledger| ledger.meta.counts.bytes)
    }

    fn size_on_disk(&self) -> Result<u64, StoreError> {
        self.kv.size_on_disk()
    }

    fn free_space(&self) -> Option<u64> {
        self.kv.free_space()
    }
}
