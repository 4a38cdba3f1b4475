//! Copying a hub's data into another generation while commits go on.
//!
//! A cursor moves through the keys. All keys before it are in both generations: what a commit
//! changes there it changes in both, and what lies behind the cursor is copied later anyway. The
//! cursor moves a small chunk at a time, under the lock that a commit takes, and hands that lock
//! on after each chunk: a commit waits for one chunk at most, and so does the copy for a commit.
//! A chunk is larger by twice what was committed since the one before, so that the cursor gets to
//! the end also while commits go on there.
//!
//! When the cursor has reached the end, both generations are read and compared. Then the copy is
//! exact whenever the lock is held, and stays so until it is used or let go of.

use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ::sled::IVec;
use parking_lot::MutexGuard;

use super::engine::{Batch, Engine, Failure, Pair};
use super::generation::Generation;
use super::steps::{Step, Steps};
use super::{SledKv, Writer, read_error};
use crate::store::CopyError;

/// The most that is copied at once.
#[derive(Clone, Copy, Debug)]
struct Budget {
    /// Inserting a pair costs sled some 10 µs.
    pairs: usize,
    bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            pairs: 128,
            bytes: 512 << 10,
        }
    }
}

/// A copy as the commit thread sees it.
#[derive(Debug)]
pub(super) struct Mirror {
    pub(super) target: Arc<Generation>,
    /// What is in both; behind it, the target has nothing.
    copied: Copied,
    /// For the next chunk.
    budget: Budget,
    /// Why a commit could not be followed, if so. That is no failure of the commit.
    failed: Option<Failure>,
}

#[derive(Debug)]
enum Copied {
    Before(IVec),
    Everything,
}

impl Mirror {
    /// The part of a batch that has to happen in the copy, too.
    pub(super) fn part(&mut self, batch: &Batch) -> Batch {
        let (pairs, bytes) = batch.size();
        self.budget.pairs += 2 * pairs;
        self.budget.bytes += 2 * bytes;
        batch.part(|key| match &self.copied {
            Copied::Before(cursor) => *key < **cursor,
            Copied::Everything => true,
        })
    }

    pub(super) fn follow(&mut self, mut part: Batch, steps: &Steps) {
        if self.failed.is_some() || part.is_empty() {
            return;
        }
        let reached = steps.reached(Step::Followed).map_err(Failure::Io);
        let applied = reached.and_then(|()| {
            let applied = self.target.engine.apply(&mut part);
            applied.map_err(|(failure, _)| failure)
        });
        self.failed = applied.err();
    }
}

/// A copy as the thread sees it that makes it. Dropping it ends the copy: from then on commits
/// leave the target alone.
pub(super) struct Copier<'a> {
    store: &'a SledKv,
    source: Arc<Generation>,
    target: Arc<Generation>,
}

impl<'a> Copier<'a> {
    /// Copies everything from `source`, where the store's commits go, to `target`, which is empty.
    /// Afterwards they are the same and stay so.
    pub(super) fn run(
        store: &'a SledKv,
        source: Arc<Generation>,
        target: Arc<Generation>,
    ) -> Result<Self, CopyError> {
        store.writer.lock().mirror = Some(Mirror {
            target: Arc::clone(&target),
            copied: Copied::Before(IVec::default()),
            budget: Budget::default(),
            failed: None,
        });
        let copier = Self {
            store,
            source,
            target,
        };
        copier.step(Step::Made)?;
        copier.copy()?;
        copier.step(Step::Copied)?;
        let guarded = copier.target.guard().map_err(Failure::Io);
        guarded.map_err(|failure| copier.target_error(failure))?;
        // So that little is left to sync while commits wait.
        copier.sync()?;
        copier.compare()?;
        copier.step(Step::Compared)?;
        Ok(copier)
    }

    /// The store, while no commit happens and the copy is exact; an error if it cannot go on.
    pub(super) fn lock(&self) -> Result<MutexGuard<'a, Writer>, CopyError> {
        if self.store.closing.load(Ordering::Relaxed) {
            return Err(CopyError::Closed);
        }
        let mut writer = self.store.writer.lock();
        writer.check()?;
        match writer
            .mirror
            .as_mut()
            .and_then(|mirror| mirror.failed.take())
        {
            Some(failure) => Err(self.target_error(failure)),
            None => Ok(writer),
        }
    }

    /// Makes the copy durable.
    pub(super) fn sync(&self) -> Result<(), CopyError> {
        self.target
            .sync()
            .map_err(|failure| self.target_error(failure))
    }

    /// Says how far the copy has come.
    pub(super) fn step(&self, step: Step) -> Result<(), CopyError> {
        self.store.step(step, self.target.path())
    }

    fn copy(&self) -> Result<(), CopyError> {
        let mut cursor = Some(IVec::default());
        while let Some(from) = cursor {
            self.step(Step::Chunk)?;
            self.check_space()?;
            // Once before the lock is taken, so that no commit waits for these reads of the disk.
            self.read_source(&from, Budget::default())?;
            let mut writer = self.lock()?;
            cursor = self.copy_chunk(&from, take_budget(&mut writer))?;
            if let Some(mirror) = &mut writer.mirror {
                mirror.copied = cursor.clone().map_or(Copied::Everything, Copied::Before);
            }
            MutexGuard::unlock_fair(writer);
        }
        Ok(())
    }

    /// A commit that finds the disk full ends the hub; a copy must not be why.
    fn check_space(&self) -> Result<(), CopyError> {
        let reserve = self.store.options.reserve;
        let free = self.target.directory.free_space();
        if free.is_none_or(|free| free >= reserve) {
            return Ok(());
        }
        let what = format!("less than {reserve} bytes would stay free");
        let full = io::Error::new(io::ErrorKind::StorageFull, what);
        Err(self.target_error(Failure::Io(full)))
    }

    /// Copies a chunk and returns where the next one begins.
    fn copy_chunk(&self, from: &[u8], budget: Budget) -> Result<Option<IVec>, CopyError> {
        let chunk = self.read_source(from, budget)?;
        let loaded = self.target.engine.load(&chunk.pairs);
        loaded.map_err(|failure| self.target_error(failure))?;
        Ok(chunk.next)
    }

    /// Reads both generations and compares them.
    fn compare(&self) -> Result<(), CopyError> {
        let mut cursor = Some(IVec::default());
        let mut budget = Budget::default();
        while let Some(from) = cursor {
            self.step(Step::Comparison)?;
            let (mut same, mut next) = self.compare_chunk(&from, budget)?;
            let mut writer = self.lock()?;
            if !same {
                // A commit that is in one and not yet in the other is no difference.
                (same, next) = self.compare_chunk(&from, budget)?;
            }
            budget = take_budget(&mut writer);
            MutexGuard::unlock_fair(writer);
            if !same {
                let detail = "what is read is not what was written".to_owned();
                return Err(CopyError::Corrupt { detail });
            }
            cursor = next;
        }
        Ok(())
    }

    /// Whether a chunk is the same in both, and where the next one begins.
    fn compare_chunk(
        &self,
        from: &[u8],
        budget: Budget,
    ) -> Result<(bool, Option<IVec>), CopyError> {
        let source = self.read_source(from, budget)?;
        let target = Chunk::read(&self.target.engine, from, budget)
            .map_err(|failure| self.target_error(failure))?;
        Ok((source.pairs == target.pairs, source.next))
    }

    fn read_source(&self, from: &[u8], budget: Budget) -> Result<Chunk, CopyError> {
        Chunk::read(&self.source.engine, from, budget).map_err(|failure| read_error(failure).into())
    }

    fn target_error(&self, failure: Failure) -> CopyError {
        failure.into_copy_error(self.target.path())
    }
}

impl Drop for Copier<'_> {
    fn drop(&mut self) {
        self.store.writer.lock().mirror = None;
    }
}

fn take_budget(writer: &mut Writer) -> Budget {
    let mirror = writer.mirror.as_mut();
    mirror.map_or_else(Budget::default, |mirror| mem::take(&mut mirror.budget))
}

/// Pairs that follow each other.
struct Chunk {
    pairs: Vec<Pair>,
    /// Where the pairs begin that follow them; `None` if there were no more.
    next: Option<IVec>,
}

impl Chunk {
    fn read(engine: &Engine, from: &[u8], budget: Budget) -> Result<Self, Failure> {
        let mut range = engine.range_from(from)?;
        let (mut pairs, mut bytes) = (Vec::new(), 0);
        while let Some((key, value)) = range.next()? {
            bytes += key.len() + value.len();
            let full = pairs.len() + 1 >= budget.pairs || bytes >= budget.bytes;
            let next = full.then(|| [&*key, &[0]].concat().into());
            pairs.push((key, value));
            if next.is_some() {
                return Ok(Self { pairs, next });
            }
        }
        Ok(Self { pairs, next: None })
    }
}
