//! A backup: a copy of the hub, as of one moment, that is a hub of its own.
//!
//! The anchor comes last. Without it a directory with data is refused, so what a crash leaves of a
//! backup is never taken for one.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::anchor::{Anchor, State};
use super::copy::Copier;
use super::directory::{Directory, io_error, sync_directory, sync_file};
use super::engine::Failure;
use super::generation::Generation;
use super::steps::Step;
use super::{SledKv, files};
use crate::store::CopyError;

/// sled's cache for files that are written, read once and closed.
const CACHE: u64 = 8 << 20;

/// The first generation of every hub.
const FIRST: u64 = 1;

impl SledKv {
    pub(super) fn run_backup(&self, path: &Path) -> Result<(), CopyError> {
        let _only_one = self.begin_copy()?;
        let source = self.generation().map_err(|_| CopyError::Closed)?;
        let directory = Arc::new(Directory::lock_new(path)?);
        let done = refuse_within(&source.directory, &directory)
            .and_then(|()| self.fill(&directory, source));
        done.inspect_err(|_| {
            // Whatever cannot be removed is no hub, and is refused as one.
            let _ = directory.remove_new();
        })
    }

    fn fill(&self, directory: &Arc<Directory>, source: Arc<Generation>) -> Result<(), CopyError> {
        let target = Arc::new(files::make(directory, FIRST, CACHE)?);
        let copier = Copier::run(self, source, Arc::clone(&target))?;
        let mut writer = copier.lock()?;
        // This is the moment. What is not acknowledged yet may be in it, too.
        writer.mirror = None;
        let (hub, mark) = (writer.anchor.hub(), writer.anchor.mark());
        drop(writer);
        drop(copier);

        let data = target.path().to_owned();
        let failed = |failure: Failure| failure.into_copy_error(&data);
        target.sync().map_err(failed)?;
        self.step(Step::Sealed, &data)?;
        target.stop().map_err(failed)?;
        sync_file(&data.join("db"))?;
        sync_directory(&data)?;
        let anchor = directory.anchor_file();
        Anchor::create(&anchor, hub, State::Ready, mark, (self.options.now)())
            .map_err(io_error(&anchor))?;
        directory.sync()?;
        self.step(Step::Anchored, &data)
    }
}

/// A hub within a hub would be copied, measured and removed with it.
fn refuse_within(hub: &Directory, target: &Directory) -> Result<(), CopyError> {
    let real = |directory: &Directory| {
        fs::canonicalize(directory.path()).map_err(io_error(directory.path()))
    };
    if real(target)?.starts_with(real(hub)?) {
        return Err(CopyError::Target {
            path: target.path().to_owned(),
            reason: "it is within the hub".to_owned(),
        });
    }
    Ok(())
}
