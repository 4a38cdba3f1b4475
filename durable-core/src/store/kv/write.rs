//! A commit's operations as writes of the engine below, counted.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde::Serialize;

use super::active::{ActiveSet, Written};
use super::backend::{KeyValue, Write};
use super::keys::{self, RecordKey};
use super::meta::{Counted, Meta};
use super::record;
use super::sparse::Rarity;
use crate::history::Event;
use crate::id::{InstanceId, InstanceNumber};
use crate::store::{Header, HeaderSize, Op, RuntimeStatus, StoreError};

/// What a commit adds up to, as far as its operations were written.
pub(super) struct Writer<'a, K> {
    kv: &'a K,
    meta: &'a mut Meta,
    active: BTreeMap<InstanceNumber, bool>,
    writes: Vec<Write>,
    /// What is changed, if somebody counts.
    changes: Option<Vec<Changed>>,
}

/// A counted record that comes or goes.
#[derive(Debug)]
pub(super) struct Changed {
    pub(super) key: RecordKey,
    pub(super) what: Counted,
    pub(super) bytes: u64,
    /// It comes.
    pub(super) there: bool,
}

impl<'a, K: KeyValue> Writer<'a, K> {
    pub(super) fn new(kv: &'a K, meta: &'a mut Meta, ops: usize, counting: bool) -> Self {
        Self {
            kv,
            meta,
            active: BTreeMap::new(),
            writes: Vec::with_capacity(ops + 2),
            changes: counting.then(Vec::new),
        }
    }

    /// A record is there from now on, or no longer.
    fn count(&mut self, key: &[u8], what: Counted, bytes: u64, there: bool) {
        if there {
            self.meta.counts.add(what, bytes);
        } else {
            self.meta.counts.remove(what, bytes);
        }
        if let Some(changes) = &mut self.changes {
            changes.push(Changed {
                key: key.to_vec(),
                what,
                bytes,
                there,
            });
        }
    }

    pub(super) fn op(&mut self, op: Op) -> Result<(), StoreError> {
        match op {
            Op::AppendTurn {
                number,
                execution,
                turn,
                record,
            } => {
                let key = keys::turn(number, execution, turn);
                self.put_body(Counted::Turn, key, &record)
            }
            Op::PutHeader { header, replaces } => self.put_header(&header, replaces),
            Op::PutTimer(timer) => {
                self.bare(Counted::Timer, keys::timer(&timer), true);
                Ok(())
            }
            Op::RemoveTimer(timer) => {
                self.bare(Counted::Timer, keys::timer(&timer), false);
                Ok(())
            }
            Op::PutMessage { number, seq, event } => {
                self.put(Counted::Message, keys::message(number, seq), &event)
            }
            Op::TakeMessage { number, seq, event } => {
                self.remove::<Event>(Counted::Message, &keys::message(number, seq), &event)
            }
            Op::PutAttempts {
                number,
                execution,
                call,
                attempts,
            } => {
                let key = keys::attempts(number, execution, call);
                self.put(Counted::Attempts, key, &attempts)
            }
            Op::RemoveAttempts {
                number,
                execution,
                call,
                attempts,
            } => {
                let key = keys::attempts(number, execution, call);
                self.remove(Counted::Attempts, &key, &attempts)
            }
            Op::SetActive { number, active } => {
                self.active.insert(number, active);
                Ok(())
            }
            Op::PutLetter { seq, letter } => self.put(Counted::Letter, keys::letter(seq), &letter),
            Op::TakeLetter { seq, len } => {
                self.remove_body(Counted::Letter, &keys::letter(seq), len as usize)
            }
            Op::DropTurn {
                number,
                execution,
                turn,
                len,
            } => {
                let key = keys::turn(number, execution, turn);
                self.remove_body(Counted::Turn, &key, len as usize)
            }
            Op::Purge { id, number, status } => self.purge(&id, number, status),
            Op::SetSuspicion(suspicion) => {
                self.meta.suspicion = *suspicion;
                Ok(())
            }
        }
    }

    /// A key without a value is there from now on, or no longer.
    fn bare(&mut self, what: Counted, key: RecordKey, there: bool) {
        self.count(&key, what, key.len() as u64, there);
        self.writes.push(if there {
            Write::Put(key, Vec::new())
        } else {
            Write::Remove(key)
        });
    }

    fn put<T: Serialize>(
        &mut self,
        what: Counted,
        key: RecordKey,
        body: &T,
    ) -> Result<(), StoreError> {
        self.put_body(what, key, &encode(body)?)
    }

    fn put_body(&mut self, what: Counted, key: RecordKey, body: &[u8]) -> Result<(), StoreError> {
        let max_value = self.kv.max_value();
        let bytes = record::size(key.len(), body.len(), max_value)?;
        self.count(&key, what, bytes, true);
        record::put(key, body, max_value, &mut self.writes)
    }

    fn remove<T: Serialize>(
        &mut self,
        what: Counted,
        key: &[u8],
        body: &T,
    ) -> Result<(), StoreError> {
        self.remove_body(what, key, encode(body)?.len())
    }

    fn remove_body(&mut self, what: Counted, key: &[u8], len: usize) -> Result<(), StoreError> {
        let max_value = self.kv.max_value();
        let bytes = record::size(key.len(), len, max_value)?;
        self.count(key, what, bytes, false);
        record::remove(key, len, max_value, &mut self.writes)
    }

    fn put_header(
        &mut self,
        header: &Header,
        replaces: Option<HeaderSize>,
    ) -> Result<(), StoreError> {
        let key = keys::header(&header.id);
        let size = header.size();
        for rarity in Rarity::ALL {
            let was = replaces.is_some_and(|replaced| rarity.is(replaced));
            if was != rarity.is(size) && !(was && planted!(LeaveInIndex)) {
                let key = keys::sparse(rarity, &header.id);
                self.bare(Counted::Sparse, key, !was);
            }
        }
        match replaces {
            Some(HeaderSize { status, len, .. }) => {
                let bytes = record::size(key.len(), len as usize, self.kv.max_value())?;
                self.count(&key, Counted::Header(status), bytes, false);
            }
            None => self.meta.created = self.meta.created.max(header.number.0 + 1),
        }
        self.put(Counted::Header(header.status), key, header)
    }

    /// Nothing of the instance is prepared and not applied, so what can be read is all of it.
    fn purge(
        &mut self,
        id: &InstanceId,
        number: InstanceNumber,
        status: RuntimeStatus,
    ) -> Result<(), StoreError> {
        self.meta.purged += 1;
        for rarity in Rarity::ALL {
            let key = keys::sparse(rarity, id);
            if self.kv.get(&key)?.is_some() {
                self.bare(Counted::Sparse, key, false);
            }
        }
        self.remove_all(Counted::Header(status), &keys::header(id))?;
        self.remove_all(Counted::Turn, &keys::turns_of(number))?;
        self.remove_all(Counted::Message, &keys::messages_of(number))?;
        self.remove_all(Counted::Attempts, &keys::attempts_of(number))
    }

    /// Removes every record whose key begins with `prefix`.
    fn remove_all(&mut self, what: Counted, prefix: &[u8]) -> Result<(), StoreError> {
        let mut records: Vec<(RecordKey, u64)> = Vec::new();
        let writes = &mut self.writes;
        self.kv
            .scan(prefix, &keys::end_of(prefix), &mut |key, value| {
                let bytes = (key.len() + value.len()) as u64;
                match records.last_mut() {
                    Some((name, sum)) if name == record::name(key) => *sum += bytes,
                    _ => records.push((record::name(key).to_vec(), bytes)),
                }
                let first = key.ends_with(&[0, 0]);
                if first || !planted!(PurgeLeavesChunks) {
                    writes.push(Write::Remove(key.to_vec()));
                }
                ControlFlow::Continue(())
            })?;
        for (key, bytes) in records {
            self.count(&key, what, bytes, false);
        }
        Ok(())
    }

    /// Writes what the operations changed in the active set.
    pub(super) fn active(&mut self, set: &mut ActiveSet) -> Result<(), StoreError> {
        let max_value = self.kv.max_value();
        let writes = &mut self.writes;
        match set.change(&self.active) {
            Written::Changes(changes) => {
                for (seq, change) in changes {
                    record::put(
                        keys::active_change(seq),
                        &encode(&change)?,
                        max_value,
                        writes,
                    )?;
                }
            }
            Written::Snapshot { snapshot, obsolete } => {
                for seq in obsolete {
                    let key = keys::active_change(seq);
                    writes.push(Write::Remove(record::chunk_key(&key, 0)));
                }
                record::put(
                    keys::ACTIVE_SNAPSHOT.to_vec(),
                    &encode(&snapshot)?,
                    max_value,
                    writes,
                )?;
            }
        }
        self.meta.journal = set.next();
        Ok(())
    }

    /// Everything, with the record that says how far the store has come by it, and what it changes
    /// if somebody counts.
    pub(super) fn finish(
        mut self,
        commit: u64,
    ) -> Result<(Vec<Write>, Option<Vec<Changed>>), StoreError> {
        self.meta.commit = commit;
        record::put(
            keys::META.to_vec(),
            &encode(self.meta)?,
            self.kv.max_value(),
            &mut self.writes,
        )?;
        Ok((self.writes, self.changes))
    }
}

pub(super) fn encode<T: Serialize>(body: &T) -> Result<Vec<u8>, StoreError> {
    postcard::to_stdvec(body)
        .map_err(|error| StoreError::fatal(format!("a record cannot be encoded: {error}")))
}
