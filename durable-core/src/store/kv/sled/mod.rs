//! The default backend: sled 0.34 in a directory of ours, used so that it loses nothing.
//!
//! Left to itself sled loses acknowledged commits in a power cut (its `flush` is no fsync), opens a
//! damaged or replaced file as a shorter or empty store without an error, and panics on some
//! damage. So here every commit is synced through a handle of our own, an [`anchor`] beside sled
//! notes how far the hub had come, every call into sled is guarded ([`engine`]), and the first
//! failure of a write is the last write.
//!
//! Nothing else in the crate names sled. No value may be longer than [`KeyValue::max_value`], and no
//! key longer than 1.5 KiB: sled puts long pages in files of their own (`blobs/`), which it never
//! syncs. A batch with a longer one is refused, and as for any failed write it was the last.
//!
//! # Segments of 2 MiB and values of 16 KiB
//!
//! Measured against 8 MiB and 64 KiB (2 cores, ext4, fdatasync of 0.1 ms, medians of 3 rounds),
//! each commit flushed and synced:
//!
//! | | 2 MiB, 16 KiB | 8 MiB, 64 KiB |
//! |---|---|---|
//! | commits of 1 record of 300 B | 3200/s | 3280/s |
//! | commits of 256 records of 300 B | 548/s | 513/s |
//! | commits of 1 MiB in chunks | 202/s | 184/s |
//! | opening a small hub again | 3 ms | 17 ms |
//! | a flipped bit in the middle of 20,000 records updated 10 times, without a snapshot | 58 % harmless, 25 % refused, 17 % lose 3,763 updates (median) in silence | 100 % lose 10,297 |
//!
//! So speed does not decide and damage does.

mod anchor;
mod ballast;
mod directory;
mod engine;
mod files;
mod keys;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use bytes::Bytes;
use uuid::Uuid;

use self::anchor::{Anchor, State};
use self::directory::{Directory, io_error};
use self::engine::{Engine, Failure, Range, Torn};
use self::keys::{stuff, unstuff};
use crate::store::kv::backend::{HubId, KeyValue, Mark, Visit, Write};
use crate::store::{OpenError, StoreError};

/// The format of a hub's directory: what this version writes, and the newest it reads.
pub(crate) const FORMAT: u32 = 1;

/// How a [`SledKv`] is opened.
#[derive(Clone, Debug)]
pub(crate) struct SledOptions {
    /// Bytes of pages that sled keeps in memory, 128 MiB by default. The memory really used is a
    /// multiple of it (2 to 10 times were seen): it counts pages as they are on disk.
    pub(crate) cache_capacity: u64,
    /// Bytes that are kept for opening on a full disk, 8 MiB by default.
    pub(crate) ballast: u64,
    /// Whether what is left is opened of a store that lost everything or is known to be torn.
    pub(crate) accept_loss: bool,
    /// The clock by which the anchor is synced once a second.
    pub(crate) now: fn() -> Instant,
}

impl Default for SledOptions {
    fn default() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "decides when to sync, never what to do"
        )]
        let now = Instant::now;
        Self {
            cache_capacity: 128 << 20,
            ballast: 8 << 20,
            accept_loss: false,
            now,
        }
    }
}

/// A hub's data in sled.
#[derive(Debug)]
pub(crate) struct SledKv {
    hub: HubId,
    /// The anchor's mark when the hub was opened.
    mark: Mark,
    now: fn() -> Instant,
    /// None once closed.
    open: RwLock<Option<Arc<Open>>>,
    writer: Mutex<Writer>,
}

/// What readers need. The last of them lets go of the files, so fields are dropped in this order.
#[derive(Debug)]
struct Open {
    engine: Engine,
    directory: Directory,
}

/// What the one commit thread needs.
#[derive(Debug)]
struct Writer {
    anchor: Anchor,
    /// sled's `db`, opened once more for syncing: fsync is about the file, whoever wrote to it.
    db: File,
    /// Why nothing may be written any more.
    failed: Option<StoreError>,
}

impl SledKv {
    /// Opens the hub at `path`, or creates one if the directory is missing or empty. Blocks.
    ///
    /// The caller must keep at least one record from its first commit on: a store that is empty
    /// although the anchor knows of a commit was replaced, and is refused. A store that merely lost
    /// its newest commits opens; it is for the caller to compare [`KeyValue::mark`] with what the
    /// data says.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]. Note that sled repairs what it opens: of a damaged log it keeps what it
    /// can read, and overwrites the rest, also if the hub is then refused.
    pub(crate) fn open(path: &Path, options: &SledOptions) -> Result<Self, OpenError> {
        let opened = ballast::open_with_room(path, || Self::open_files(path, options))?;
        ballast::keep(path, options.ballast, opened.free_space());
        Ok(opened)
    }

    fn open_files(path: &Path, options: &SledOptions) -> Result<Self, OpenError> {
        let directory = Directory::lock(path)?;
        // The time in it only helps people to tell hubs apart.
        let new_hub = Uuid::now_v7().into_bytes();
        let mut anchor = directory.anchor(new_hub, (options.now)())?;
        let engine = match anchor.state() {
            State::Creating => files::create(&directory, &mut anchor, options.cache_capacity)?,
            State::Torn if !options.accept_loss => {
                return Err(
                    directory.corrupt("a commit was interrupted by damaged data and kept in part")
                );
            }
            State::Ready | State::Torn => files::reopen(&directory, &anchor, options)?,
        };

        let file = directory.data(anchor.generation()).join("db");
        let db = File::options()
            .write(true)
            .open(&file)
            .map_err(io_error(&file))?;
        // What is read from now on is acted on, so it must be durable, also if it is a commit that
        // was flushed but not synced when an earlier process was killed.
        db.sync_data().map_err(io_error(&file))?;
        Ok(Self {
            hub: anchor.hub(),
            mark: anchor.mark(),
            now: options.now,
            open: RwLock::new(Some(Arc::new(Open { engine, directory }))),
            writer: Mutex::new(Writer {
                anchor,
                db,
                failed: None,
            }),
        })
    }

    /// What readers need, unless closed. The lock is not held while they read: a reader may read
    /// again from within its scan.
    fn reader(&self) -> Result<Arc<Open>, StoreError> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.clone().ok_or_else(closed)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a write unless an earlier one failed; if this one fails it is the last.
    fn write(
        &self,
        write: impl FnOnce(&Engine, &mut Writer) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let open = self.reader()?;
        let mut writer = self.writer();
        if let Some(failed) = &writer.failed {
            return Err(failed.clone());
        }
        write(&open.engine, &mut writer).inspect_err(|error| writer.failed = Some(error.clone()))
    }

    fn visit(
        &self,
        from: &[u8],
        to: &[u8],
        visit: &mut Visit<'_>,
        step: fn(&mut Range) -> Result<Option<engine::Pair>, Failure>,
    ) -> Result<(), StoreError> {
        let open = self.reader()?;
        if from >= to {
            return Ok(());
        }
        let (from, to) = (stuff(Cow::Borrowed(from)), stuff(Cow::Borrowed(to)));
        let mut range = open.engine.range(&from, &to).map_err(read_error)?;
        while let Some((key, value)) = step(&mut range).map_err(read_error)? {
            if let ControlFlow::Break(()) = visit(&unstuff(&key), &value) {
                break;
            }
        }
        Ok(())
    }
}

impl KeyValue for SledKv {
    type Batch = engine::Batch;

    fn identity(&self) -> HubId {
        self.hub
    }

    fn mark(&self) -> Option<Mark> {
        Some(self.mark)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let value = self
            .reader()?
            .engine
            .get(&stuff(Cow::Borrowed(key)))
            .map_err(read_error)?;
        // Copied, because sled's bytes may keep a whole page alive.
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.visit(from, to, visit, Range::next)
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.visit(from, to, visit, Range::next_back)
    }

    fn batch(&self, writes: Vec<Write>) -> Self::Batch {
        let mut batch = engine::Batch::default();
        for write in writes {
            match write {
                Write::Put(key, value) => {
                    batch.insert(stuff(Cow::Owned(key)).into_owned(), value);
                }
                Write::Remove(key) => batch.remove(stuff(Cow::Owned(key)).into_owned()),
            }
        }
        batch
    }

    fn apply(&self, batch: Self::Batch) -> Result<(), StoreError> {
        self.write(|engine, writer| {
            engine.apply(batch).map_err(|(failure, torn)| {
                if torn == Torn::Maybe {
                    // If even this fails the caller's own checks are what is left.
                    let _ = writer.anchor.set_state(State::Torn);
                }
                write_error(failure)
            })
        })
    }

    fn sync(&self, mark: Mark) -> Result<(), StoreError> {
        let now = (self.now)();
        self.write(|engine, writer| {
            engine.flush().map_err(write_error)?;
            writer
                .db
                .sync_data()
                .map_err(|error| StoreError::fatal(format!("cannot sync the data: {error}")))?;
            // The anchor must never be ahead of the data.
            writer
                .anchor
                .note(mark, now)
                .and_then(|()| match writer.anchor.state() {
                    // It was opened although it is torn, and now is what it is.
                    State::Torn => writer.anchor.set_state(State::Ready),
                    State::Creating | State::Ready => Ok(()),
                })
                .map_err(|error| StoreError::fatal(format!("cannot write the anchor: {error}")))
        })
    }

    fn close(&self) -> Result<(), StoreError> {
        let synced = self.write(|engine, writer| {
            engine.flush().map_err(write_error)?;
            writer
                .db
                .sync_data()
                .and_then(|()| writer.anchor.sync())
                .map_err(|error| StoreError::fatal(format!("cannot sync at close: {error}")))
        });
        let open = self
            .open
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // A reader that is not done yet is the one who lets go of the files, when it is.
        let stopped = match open.and_then(Arc::into_inner) {
            Some(open) => open.engine.stop().map_err(write_error),
            None => Ok(()),
        };
        synced.and(stopped)
    }

    fn size_on_disk(&self) -> Result<u64, StoreError> {
        let open = self.reader()?;
        open.directory
            .size()
            .map_err(|error| StoreError::fatal(format!("cannot measure the files: {error}")))
    }

    fn free_space(&self) -> Option<u64> {
        self.reader().ok()?.directory.free_space()
    }

    fn max_value(&self) -> usize {
        engine::MAX_VALUE
    }
}

fn read_error(failure: Failure) -> StoreError {
    match failure {
        Failure::Io(error) => StoreError::fatal(format!("cannot read the data: {error}")),
        Failure::Damaged(detail) => StoreError::corrupt(detail),
    }
}

/// After a failed write nobody knows what is on the disk, whatever the reason was.
fn write_error(failure: Failure) -> StoreError {
    match failure {
        Failure::Io(error) => StoreError::fatal(format!("cannot write the data: {error}")),
        Failure::Damaged(detail) => StoreError::fatal(detail),
    }
}

fn closed() -> StoreError {
    StoreError::fatal("it was closed")
}
