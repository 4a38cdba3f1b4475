//! The narrow seam under the key-value store: what an embedded engine must be able to do.
//!
//! Applying and syncing are apart, because the store acknowledges after a sync only, and because
//! tests crash between the two.

use std::ops::ControlFlow;
use std::path::Path;

use bytes::Bytes;

use crate::store::{Compacted, CopyError, StoreError};

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    Put(Vec<u8>, Vec<u8>),
    Remove(Vec<u8>),
}

/// How far a store had come at some commit; kept inside the data and, where a backend can, beside
/// it, so that lost data is noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    /// The number of the last commit, 0 before the first.
    pub(crate) commit: u64,
    /// Instances created so far.
    pub(crate) created: u64,
    /// Instances purged so far.
    pub(crate) purged: u64,
}

/// Identifies a hub for its whole life; a directory put in another's place is noticed by it.
pub(crate) type HubId = [u8; 16];

/// What a scan calls for each pair, in key order, until it breaks.
pub(crate) type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// An ordered map of bytes with atomic batches and an explicit sync.
///
/// Every method may block on the disk; none is called from an async task. None panics: a panic of
/// the engine below is caught and becomes [`StoreError::Corrupt`] (reads) or
/// [`StoreError::Fatal`] (writes). After the first failed `apply` or `sync` every later one fails.
pub(crate) trait KeyValue: Send + Sync + 'static {
    /// A batch in the engine's own form, so that building it can be done off the commit thread.
    type Batch: Send + 'static;

    /// Who this hub is.
    fn identity(&self) -> HubId;

    /// The newest mark that was given to [`sync`](Self::sync) before this open, if it is known
    /// from outside the data.
    fn mark(&self) -> Option<Mark>;

    /// The value of `key`.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// Visits the pairs with `from <= key < to` in ascending order.
    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError>;

    /// Visits the same pairs in descending order.
    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError>;

    /// Turns writes into a batch. A later write of a key replaces an earlier one.
    fn batch(&self, writes: Vec<Write>) -> Self::Batch;

    /// Applies the whole batch or nothing. Visible to reads at once; durable after the next sync.
    fn apply(&self, batch: Self::Batch) -> Result<(), StoreError>;

    /// Makes everything applied durable, then notes `mark` outside the data.
    fn sync(&self, mark: Mark) -> Result<(), StoreError>;

    /// Makes the last mark durable too, and lets go of the files. Called once, last.
    fn close(&self) -> Result<(), StoreError>;

    /// Bytes on disk (0 in memory).
    fn size_on_disk(&self) -> Result<u64, StoreError>;

    /// Bytes that are free where the data is kept, if that is known (not in memory).
    fn free_space(&self) -> Option<u64>;

    /// Copies what is in use to new files and lets go of what has become free. Blocks for as long
    /// as that takes; reads and commits go on. If it fails the data is as it was, and only where
    /// the error is [`CopyError::Store`] has the store failed.
    fn compact(&self) -> Result<Compacted, CopyError>;

    /// Copies everything, as of one moment, to a hub of its own in the directory `path`, which must
    /// be missing or empty. Blocks in the same way.
    fn backup(&self, path: &Path) -> Result<(), CopyError>;

    /// The most bytes one value may have; longer ones are cut into chunks above this seam.
    fn max_value(&self) -> usize;
}
