//! The store over an embedded key-value engine: domain operations become records, once, here.

mod active;
pub(crate) mod backend;
#[cfg(test)]
mod backend_conformance;
#[cfg(feature = "simulation")]
pub(crate) mod hooked;
mod keys;
pub(crate) mod memory;
mod read;
mod record;
pub(crate) mod sled;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use self::active::{ActiveSet, Written};
use self::backend::{HubId, KeyValue, Mark, Write};
use crate::history::Event;
use crate::id::{InstanceId, InstanceNumber};
use crate::store::{
    Glimpse, InstanceKey, Op, OpenError, Recovered, SigningKey, Store, StoreError, Stored, TimerKey,
};

/// The store over the engine `K`.
#[derive(Debug)]
pub(crate) struct KvStore<K> {
    kv: K,
    /// What `prepare` carries from commit to commit.
    ledger: Mutex<Ledger>,
    /// The mark of the last commit that was applied, for the next sync.
    applied: Mutex<Mark>,
    hub: Hub,
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

/// The one record that every commit rewrites: how far the store has come, and how many records of
/// each kind there must be, so that a full check notices one that is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    commit: u64,
    created: u64,
    pub(crate) purged: u64,
    turns: u64,
}

/// A commit as writes of the engine below.
pub(crate) struct Prepared<B> {
    batch: B,
    mark: Mark,
}

impl<K: KeyValue> KvStore<K> {
    /// Reads where the store stands.
    ///
    /// # Errors
    ///
    /// If the data is older than what was acknowledged, belongs to another hub or is damaged.
    pub(crate) fn open(kv: K, path: &std::path::Path) -> Result<Self, OpenError> {
        let corrupt = |detail: String| OpenError::Corrupt {
            path: path.to_owned(),
            detail,
        };
        let unreadable = |error: StoreError| corrupt(error.to_string());
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
        let applied = Mutex::new(meta.mark());
        Ok(Self {
            kv,
            ledger: Mutex::new(Ledger { meta, active }),
            applied,
            hub,
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

    #[cfg(test)]
    pub(crate) fn meta(&self) -> Meta {
        self.ledger(|ledger| ledger.meta.clone())
    }

    fn ledger<R>(&self, f: impl FnOnce(&mut Ledger) -> R) -> R {
        f(&mut self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put<T: Serialize>(
        &self,
        key: Vec<u8>,
        body: &T,
        writes: &mut Vec<Write>,
    ) -> Result<(), StoreError> {
        record::put(key, &encode(body)?, self.kv.max_value(), writes)
    }
}

fn encode<T: Serialize>(body: &T) -> Result<Vec<u8>, StoreError> {
    postcard::to_stdvec(body)
        .map_err(|error| StoreError::fatal(format!("a record cannot be encoded: {error}")))
}

impl Meta {
    fn mark(&self) -> Mark {
        let Self {
            commit,
            created,
            purged,
            ..
        } = *self;
        Mark {
            commit,
            created,
            purged,
        }
    }
}

/// What a commit's operations add up to, besides their own records.
struct Sums<'a> {
    meta: &'a mut Meta,
    active: BTreeMap<InstanceNumber, bool>,
}

impl<K: KeyValue> KvStore<K> {
    fn write_op(
        &self,
        op: Op,
        sums: &mut Sums<'_>,
        writes: &mut Vec<Write>,
    ) -> Result<(), StoreError> {
        let max_value = self.kv.max_value();
        match op {
            Op::AppendTurn {
                number,
                execution,
                turn,
                record,
            } => {
                sums.meta.turns += 1;
                record::put(
                    keys::turn(number, execution, turn),
                    &record,
                    max_value,
                    writes,
                )?;
            }
            Op::PutHeader(header) => {
                sums.meta.created = sums.meta.created.max(header.number.0 + 1);
                self.put(keys::header(&header.id), &header, writes)?;
            }
            Op::PutTimer(timer) => writes.push(Write::Put(keys::timer(&timer), Vec::new())),
            Op::RemoveTimer(timer) => writes.push(Write::Remove(keys::timer(&timer))),
            Op::PutMessage { number, seq, event } => {
                self.put(keys::message(number, seq), &event, writes)?;
            }
            Op::TakeMessage { number, seq, event } => {
                let len = encode::<Event>(&event)?.len();
                record::remove(&keys::message(number, seq), len, max_value, writes)?;
            }
            Op::PutAttempts {
                number,
                execution,
                call,
                attempts,
            } => {
                self.put(keys::attempts(number, execution, call), &attempts, writes)?;
            }
            Op::RemoveAttempts {
                number,
                execution,
                call,
            } => {
                // The record is a few bytes long: always one chunk.
                record::remove(
                    &keys::attempts(number, execution, call),
                    0,
                    max_value,
                    writes,
                )?;
            }
            Op::SetActive { number, active } => {
                sums.active.insert(number, active);
            }
            Op::Purge {
                id,
                number,
                status: _,
            } => {
                sums.meta.purged += 1;
                self.write_purge(&id, number, sums, writes)?;
            }
        }
        Ok(())
    }

    /// Nothing of the instance is prepared and not applied, so what can be read is all of it.
    fn write_purge(
        &self,
        id: &InstanceId,
        number: InstanceNumber,
        sums: &mut Sums<'_>,
        writes: &mut Vec<Write>,
    ) -> Result<(), StoreError> {
        let mut remove = |prefix: &[u8]| {
            let mut records = 0;
            self.kv
                .scan(prefix, &keys::end_of(prefix), &mut |key, _| {
                    records += u64::from(record::is_first_chunk(key));
                    writes.push(Write::Remove(key.to_vec()));
                    ControlFlow::Continue(())
                })
                .map(|()| records)
        };
        remove(&keys::header(id))?;
        remove(&keys::messages_of(number))?;
        remove(&keys::attempts_of(number))?;
        let turns = remove(&keys::turns_of(number))?;
        // Of a damaged history there may be more than were counted.
        sums.meta.turns = sums.meta.turns.saturating_sub(turns);
        Ok(())
    }

    fn write_active(&self, written: Written, writes: &mut Vec<Write>) -> Result<(), StoreError> {
        match written {
            Written::Nothing => Ok(()),
            Written::Change { seq, change } => self.put(keys::active_change(seq), &change, writes),
            Written::Snapshot { snapshot, obsolete } => {
                for seq in obsolete {
                    writes.push(Write::Remove(record::chunk_key(
                        &keys::active_change(seq),
                        0,
                    )));
                }
                self.put(keys::ACTIVE_SNAPSHOT.to_vec(), &snapshot, writes)
            }
        }
    }
}

impl<K: KeyValue> Store for KvStore<K> {
    type Prepared = Prepared<K::Batch>;

    fn recover(&self) -> Result<Recovered, StoreError> {
        Ok(self.ledger(|ledger| Recovered {
            commit: ledger.meta.commit,
            created: ledger.meta.created,
            active: ledger.active.members().collect(),
            signing_key: self.hub.signing_key,
            hub: self.hub.tag(),
        }))
    }

    fn prepare(&self, commit: u64, ops: Vec<Op>) -> Result<Self::Prepared, StoreError> {
        let mut writes = Vec::with_capacity(ops.len() + 2);
        let mark = self.ledger(|ledger| {
            let mut sums = Sums {
                meta: &mut ledger.meta,
                active: BTreeMap::new(),
            };
            for op in ops {
                self.write_op(op, &mut sums, &mut writes)?;
            }
            let written = ledger.active.change(&sums.active);
            self.write_active(written, &mut writes)?;
            ledger.meta.commit = commit;
            self.put(keys::META.to_vec(), &ledger.meta, &mut writes)?;
            Ok(ledger.meta.mark())
        })?;
        Ok(Prepared {
            batch: self.kv.batch(writes),
            mark,
        })
    }

    fn apply(&self, prepared: Self::Prepared) -> Result<(), StoreError> {
        self.kv.apply(prepared.batch)?;
        *self.applied.lock().unwrap_or_else(PoisonError::into_inner) = prepared.mark;
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        let mark = *self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        self.kv.sync(mark)
    }

    fn load(&self, key: &InstanceKey) -> Result<Option<Stored>, StoreError> {
        let is_active = |number| self.ledger(|ledger| ledger.active.contains(number));
        let Some(mut stored) = read::instance(&self.kv, key)? else {
            return match key {
                InstanceKey::Number(number) if is_active(*number) => Err(StoreError::corrupt(
                    format!("active instance number {} is missing", number.0),
                )),
                InstanceKey::Number(_) | InstanceKey::Id(_) => Ok(None),
            };
        };
        stored.active = is_active(stored.header.number);
        if !stored.active && !stored.header.status.is_terminal() {
            read::check_whole(&stored)?;
        }
        Ok(Some(stored))
    }

    fn glimpse(&self, id: &InstanceId) -> Result<Option<Glimpse>, StoreError> {
        let is_active = |number| self.ledger(|ledger| ledger.active.contains(number));
        read::glimpse(&self.kv, id, is_active)
    }

    fn timers(&self, after: Option<TimerKey>, limit: usize) -> Result<Vec<TimerKey>, StoreError> {
        read::timers(&self.kv, after, limit)
    }

    fn close(&self) -> Result<(), StoreError> {
        self.kv.close()
    }

    fn size_on_disk(&self) -> Result<u64, StoreError> {
        self.kv.size_on_disk()
    }

    fn free_space(&self) -> Option<u64> {
        self.kv.free_space()
    }
}
