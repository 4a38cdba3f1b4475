//! One generation of a hub's data: sled's files, open.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::directory::{Directory, io_error};
use super::engine::{Engine, Failure};
use crate::store::OpenError;

/// An open generation. Whoever reads holds on to it, and the last one lets go of the files.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) engine: Engine,
    /// sled's `db`, opened once more for syncing: fsync is about the file, whoever wrote to it.
    pub(super) db: File,
    path: PathBuf,
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
            unwanted: AtomicBool::new(false),
            directory: Arc::clone(directory),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes everything applied durable.
    pub(super) fn sync(&self) -> Result<(), Failure> {
        self.engine.flush()?;
        self.sync_file().map_err(Failure::Io)
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
