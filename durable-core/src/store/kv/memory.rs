//! A key-value engine in memory. What was applied and not synced is forgotten at a crash.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::backend::{HubId, KeyValue, Mark, Visit, Write};
use crate::store::{Compacted, CopyError, StoreError};

type Pairs = BTreeMap<Vec<u8>, Bytes>;

/// Clones share one memory, so a clone that is kept is what a restart opens.
#[derive(Debug)]
pub(crate) struct MemoryKv {
    hub: HubId,
    disk: Arc<Mutex<Disk>>,
    closed: AtomicBool,
    max_value: usize,
}

/// As sled has it.
const MAX_VALUE: usize = 16 * 1024;

impl Default for MemoryKv {
    fn default() -> Self {
        let hub = uuid::Uuid::now_v7().into_bytes();
        Self {
            hub,
            disk: Arc::default(),
            closed: AtomicBool::new(false),
            max_value: MAX_VALUE,
        }
    }
}

impl Clone for MemoryKv {
    fn clone(&self) -> Self {
        Self {
            hub: self.hub,
            disk: Arc::clone(&self.disk),
            closed: AtomicBool::new(false),
            max_value: self.max_value,
        }
    }
}

#[derive(Debug, Default)]
struct Disk {
    /// What reads see.
    applied: Pairs,
    /// What a crash would leave, where crashes are of interest.
    #[cfg(any(test, feature = "simulation"))]
    synced: Pairs,
    /// Applied and not synced, oldest first.
    #[cfg(any(test, feature = "simulation"))]
    unsynced: Vec<Batch>,
    mark: Option<Mark>,
}

type Batch = Vec<(Vec<u8>, Option<Bytes>)>;

impl MemoryKv {
    fn disk<R>(&self, f: impl FnOnce(&mut Disk) -> R) -> R {
        f(&mut self.disk.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn check_open(&self) -> Result<(), StoreError> {
        if self.closed.load(Ordering::Relaxed) {
            Err(StoreError::fatal("it is closed"))
        } else {
            Ok(())
        }
    }

    /// A hub of this identity.
    #[cfg(any(test, feature = "simulation", feature = "testing"))]
    pub(crate) fn of_identity(hub: HubId) -> Self {
        Self {
            hub,
            ..Self::default()
        }
    }

    /// With short values records have many chunks.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn with_max_value(self, max_value: usize) -> Self {
        Self { max_value, ..self }
    }

    /// What a power cut would leave if nothing else came through.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn synced_copy(&self) -> Self {
        let disk = self.disk(|disk| Disk {
            applied: disk.synced.clone(),
            synced: disk.synced.clone(),
            unsynced: Vec::new(),
            mark: disk.mark,
        });
        Self {
            disk: Arc::new(Mutex::new(disk)),
            ..self.clone()
        }
    }

    /// The power fails: of the batches that were not synced, the first `kept` happen to be there.
    #[cfg(any(test, feature = "simulation"))]
    #[cfg_attr(not(test), allow(dead_code, reason = "called by the simulator"))]
    pub(crate) fn crash(&self, kept: usize) {
        self.disk(|disk| {
            for batch in std::mem::take(&mut disk.unsynced).into_iter().take(kept) {
                apply_to(&mut disk.synced, batch);
            }
            disk.applied = disk.synced.clone();
        });
    }
}

fn apply_to(pairs: &mut Pairs, batch: Batch) {
    for (key, value) in batch {
        match value {
            Some(value) => pairs.insert(key, value),
            None => pairs.remove(&key),
        };
    }
}

/// The pairs with `from <= key < to`; none if the bounds are the wrong way round.
fn between<'a>(
    pairs: &'a Pairs,
    from: &[u8],
    to: &[u8],
) -> impl DoubleEndedIterator<Item = (&'a Vec<u8>, &'a Bytes)> + use<'a> {
    pairs.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to.max(from))))
}

impl KeyValue for MemoryKv {
    type Batch = Batch;

    fn identity(&self) -> HubId {
        self.hub
    }

    fn mark(&self) -> Option<Mark> {
        self.disk(|disk| disk.mark)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.check_open()?;
        Ok(self.disk(|disk| disk.applied.get(key).cloned()))
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.check_open()?;
        self.disk(|disk| {
            let mut pairs = between(&disk.applied, from, to);
            let _ = pairs.try_for_each(|(key, value)| visit(key, value));
        });
        Ok(())
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.check_open()?;
        self.disk(|disk| {
            let mut pairs = between(&disk.applied, from, to).rev();
            let _ = pairs.try_for_each(|(key, value)| visit(key, value));
        });
        Ok(())
    }

    fn batch(&self, writes: Vec<Write>) -> Self::Batch {
        let pair = |write| match write {
            Write::Put(key, value) => (key, Some(value.into())),
            Write::Remove(key) => (key, None),
        };
        writes.into_iter().map(pair).collect()
    }

    fn apply(&self, batch: Self::Batch) -> Result<(), StoreError> {
        self.check_open()?;
        self.disk(|disk| {
            #[cfg(any(test, feature = "simulation"))]
            disk.unsynced.push(batch.clone());
            apply_to(&mut disk.applied, batch);
        });
        Ok(())
    }

    fn sync(&self, mark: Mark) -> Result<(), StoreError> {
        self.check_open()?;
        self.disk(|disk| {
            #[cfg(any(test, feature = "simulation"))]
            for batch in std::mem::take(&mut disk.unsynced) {
                apply_to(&mut disk.synced, batch);
            }
            disk.mark = Some(mark);
        });
        Ok(())
    }

    fn close(&self) -> Result<(), StoreError> {
        self.closed.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn size_on_disk(&self) -> Result<u64, StoreError> {
        Ok(0)
    }

    fn free_space(&self) -> Option<u64> {
        None
    }

    fn compact(&self) -> Result<Compacted, CopyError> {
        self.check_open().map_err(|_| CopyError::Closed)?;
        Ok(Compacted::default())
    }

    fn backup(&self, _path: &Path) -> Result<(), CopyError> {
        Err(CopyError::InMemory)
    }

    fn max_value(&self) -> usize {
        self.max_value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::kv::backend_conformance;

    #[test]
    fn memory_does_what_every_backend_must() {
        backend_conformance::check(|| {
            let memory = MemoryKv::default();
            move || memory.clone()
        });
    }
}
