//! One generation of a hub's data: sled's files, open.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use super::directory::{Directory, io_error};
use super::engine::{Batch, Engine, Failure, Torn};
use super::reuse::ReuseGate;
use crate::store::OpenError;

/// How many bytes are applied before sled may reuse what they have replaced, once they are synced.
/// Waking a thread for each commit would cost more.
const REUSE_EVERY: usize = 256 << 10;

/// An open generation. Whoever reads holds on to it, and the last one lets go of the files.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) engine: Engine,
    /// sled's `db`, opened once more for syncing: fsync is about the file, whoever wrote to it.
    pub(super) db: File,
    path: PathBuf,
    /// Bytes that were applied since sled was last let reuse its segments.
    applied: AtomicUsize,
    /// Missing in a copy while it is made: what a power cut leaves of that is removed.
    reuse: OnceLock<ReuseGate>,
    /// Whether its files are removed when they are let go of: they were never, or are no longer,
    /// the hub's data.
    unwanted: AtomicBool,
    /// Keeps the hub locked.
    pub(super) directory: Arc<Directory>,
}

impl Generation {
    pub(super) fn new(
        engine: Engine,
        path: PathBuf,
        directory: &Arc<Directory>,
    ) -> Result<Self, OpenError> {
        let file = path.join("db");
        let db = File::options()
            .write(true)
            .open(&file)
            .map_err(io_error(&file))?;
        Ok(Self {
            engine,
            db,
            path,
            applied: AtomicUsize::new(0),
            reuse: OnceLock::new(),
            unwanted: AtomicBool::new(false),
            directory: Arc::clone(directory),
        })
    }

    /// The same, with a gate that was closed before.
    pub(super) fn behind(mut self, gate: Option<ReuseGate>) -> Self {
        self.reuse = gate.map(OnceLock::from).unwrap_or_default();
        self
    }

    /// From the next sync on everything synced survives a power cut, whatever is written later.
    pub(super) fn guard(&self) -> io::Result<()> {
        if self.reuse.get().is_none() {
            // Another one is as good.
            let _ = self.reuse.set(close_gate(&self.path.join("db"))?);
        }
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// See [`Engine::apply`].
    pub(super) fn apply(&self, batch: &mut Batch) -> Result<(), (Failure, Torn)> {
        let (_, bytes) = batch.size();
        self.applied.fetch_add(bytes, Ordering::Relaxed);
        self.engine.apply(batch)
    }

    /// Makes everything applied durable.
    pub(super) fn sync(&self) -> Result<(), Failure> {
        self.engine.flush()?;
        self.sync_file().map_err(Failure::Io)?;
        if self.applied.load(Ordering::Relaxed) >= REUSE_EVERY {
            self.applied.store(0, Ordering::Relaxed);
            if let Some(gate) = self.reuse.get() {
                gate.synced();
            }
        }
        Ok(())
    }

    /// Makes everything flushed durable.
    pub(super) fn sync_file(&self) -> io::Result<()> {
        self.db.sync_data()
    }

    /// Lets go of the files. If this is not the last owner, whoever is does it.
    pub(super) fn stop(self: Arc<Self>) -> Result<(), Failure> {
        Arc::into_inner(self).map_or(Ok(()), |mut last| last.engine.stop())
    }

    /// Whether the files are removed when they are let go of.
    pub(super) fn set_unwanted(&self, unwanted: bool) {
        self.unwanted.store(unwanted, Ordering::Relaxed);
    }
}

/// Closes the gate of sled's file `db`.
///
/// Through a handle of its own: a write that failed is reported to each handle once, and commits must
/// not miss it.
pub(super) fn close_gate(db: &Path) -> io::Result<ReuseGate> {
    let db = File::options().write(true).open(db)?;
    ReuseGate::close(move || db.sync_data())
}

impl Drop for Generation {
    fn drop(&mut self) {
        if !self.unwanted.load(Ordering::Relaxed) {
            return;
        }
        // Whether its last bytes reached the disk is of no interest.
        let _ = self.engine.stop();
        if let Err(error) = fs::remove_dir_all(&self.path) {
            // The next open tries again.
            tracing::warn!(path = %self.path.display(), %error, "old data could not be removed");
        }
    }
}
