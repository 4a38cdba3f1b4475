//! A key-value engine with a [`StoreHook`] around it.

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::backend::{HubId, KeyValue, Mark, Visit, Write};
use crate::simulation::{StoreCall, StoreHook};
use crate::store::{Compacted, CopyError, StoreError};

/// Calls the hook around each call of the engine within. As every engine must, it writes nothing
/// after the first failed write.
#[derive(Debug)]
pub(crate) struct Hooked<K> {
    kv: K,
    hook: Arc<dyn StoreHook>,
    failed: OnceLock<StoreError>,
}

impl<K> Hooked<K> {
    pub(crate) fn new(kv: K, hook: Arc<dyn StoreHook>) -> Self {
        Self {
            kv,
            hook,
            failed: OnceLock::new(),
        }
    }

    fn around<T>(
        &self,
        call: StoreCall,
        made: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let fatal = |error: io::Error| StoreError::fatal(format!("cannot {call:?}: {error}"));
        self.hook.before(call).map_err(fatal)?;
        let value = made()?;
        self.hook.after(call).map_err(fatal)?;
        Ok(value)
    }

    fn write<T>(
        &self,
        call: StoreCall,
        made: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if let Some(failed) = self.failed.get() {
            return Err(failed.clone());
        }
        self.around(call, made).inspect_err(|error| {
            // Only the first one counts.
            drop(self.failed.set(error.clone()));
        })
    }
}

impl<K: KeyValue> KeyValue for Hooked<K> {
    type Batch = K::Batch;

    fn identity(&self) -> HubId {
        self.kv.identity()
    }

    fn mark(&self) -> Option<Mark> {
        self.kv.mark()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.around(StoreCall::Get, || self.kv.get(key))
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.around(StoreCall::Scan, || self.kv.scan(from, to, visit))
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.around(StoreCall::Scan, || self.kv.scan_back(from, to, visit))
    }

    fn batch(&self, writes: Vec<Write>) -> Self::Batch {
        self.kv.batch(writes)
    }

    fn apply(&self, batch: Self::Batch) -> Result<(), StoreError> {
        self.write(StoreCall::Apply, || self.kv.apply(batch))
    }

    fn sync(&self, mark: Mark) -> Result<(), StoreError> {
        self.write(StoreCall::Sync, || self.kv.sync(mark))
    }

    fn close(&self) -> Result<(), StoreError> {
        // The files are let go of in any case.
        let before = self.hook.before(StoreCall::Close);
        let closed = self.kv.close();
        before.map_err(|error| StoreError::fatal(format!("cannot close: {error}")))?;
        closed
    }

    fn size_on_disk(&self) -> Result<u64, StoreError> {
        self.kv.size_on_disk()
    }

    fn free_space(&self) -> Option<u64> {
        self.kv.free_space().map(|free| self.hook.free_space(free))
    }

    fn compact(&self) -> Result<Compacted, CopyError> {
        self.kv.compact()
    }

    fn backup(&self, path: &Path) -> Result<(), CopyError> {
        self.kv.backup(path)
    }

    fn max_value(&self) -> usize {
        self.kv.max_value()
    }
}
