//! sled's files of one generation: made whole, opened whole, or refused.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::anchor::{Anchor, State};
use super::directory::{Directory, io_error, sync_directory, sync_file};
use super::engine::{Engine, Failure, SEGMENT};
use super::generation::{Generation, close_gate};
use super::{SledOptions, redo};
use crate::store::OpenError;

/// Makes sled's files for a new hub, and then says so in the anchor.
pub(super) fn create(
    directory: &Arc<Directory>,
    anchor: &mut Anchor,
    options: &SledOptions,
) -> Result<Generation, OpenError> {
    remove_unfinished(directory, &directory.data(anchor.generation()))?;
    let generation = make(directory, anchor.generation(), options.cache_capacity)?;
    if !options.unsynced {
        generation.guard().map_err(io_error(directory.path()))?;
    }
    anchor
        .set_state(State::Ready)
        .map_err(io_error(directory.path()))?;
    Ok(generation)
}

/// Makes a generation that is not there yet, without data.
pub(super) fn make(
    directory: &Arc<Directory>,
    number: u64,
    cache_capacity: u64,
) -> Result<Generation, OpenError> {
    let data = directory.data(number);
    let failed = |failure| open_error(directory, &data, failure);
    let engine = Engine::open(&data, cache_capacity).map_err(failed)?;
    engine.flush().map_err(failed)?;
    // sled syncs none of these.
    sync_file(&data.join("conf"))?;
    sync_file(&data.join("db"))?;
    sync_directory(&data.join("blobs"))?;
    sync_directory(&data)?;
    directory.sync()?;
    Generation::new(engine, data, directory)
}

/// Removes what a crash left of a creation: files without a commit, torn in any way.
fn remove_unfinished(directory: &Directory, data: &Path) -> Result<(), OpenError> {
    if !data.exists() {
        return Ok(());
    }
    let db = fs::metadata(data.join("db")).map_or(0, |metadata| metadata.len());
    if db > SEGMENT as u64 {
        return Err(directory.corrupt("its anchor says that it was never used, but it holds data"));
    }
    fs::remove_dir_all(data).map_err(io_error(data))
}

/// Opens sled's files, if they are as complete as they were left.
pub(super) fn reopen(
    directory: &Arc<Directory>,
    anchor: &Anchor,
    options: &SledOptions,
) -> Result<Generation, OpenError> {
    let data = directory.data(anchor.generation());
    // sled would make anew whatever is missing, and go on with an empty store.
    for file in [data.join("conf"), data.join("db")] {
        if !file.is_file() {
            return Err(directory.corrupt(format!("{} is missing", file.display())));
        }
    }
    refuse_blobs(directory, &data)?;
    let gate = if options.unsynced {
        None
    } else {
        Some(close_gate(&data.join("db")).map_err(io_error(&data))?)
    };
    // What is in the log from here on is durable before sled acts on it: it makes a snapshot of what
    // it reads, which it syncs, and counts as free what the newest of it has replaced.
    sync_file(&data.join("db"))?;
    let engine = Engine::open(&data, options.cache_capacity)
        .map_err(|failure| open_error(directory, &data, failure))?;
    refuse_blobs(directory, &data)?;

    let mark = anchor.mark();
    if mark.commit > 0
        && !options.accept_loss
        && engine
            .is_empty()
            .map_err(|failure| open_error(directory, &data, failure))?
    {
        let path = directory.path().to_owned();
        return Err(OpenError::RolledBack {
            path,
            have: 0,
            had: mark.commit,
        });
    }
    Ok(Generation::new(engine, data, directory)?.behind(gate))
}

/// Opens files that may hold a commit in part, and completes it.
pub(super) fn reopen_torn(
    directory: &Arc<Directory>,
    anchor: &mut Anchor,
    options: &SledOptions,
) -> Result<Generation, OpenError> {
    let hub = directory.path();
    let redo = redo::read(hub, anchor.mark().commit).map_err(io_error(hub))?;
    if redo.is_none() && !options.accept_loss {
        return Err(directory.corrupt("a commit was interrupted by damaged data and kept in part"));
    }
    let generation = reopen(directory, anchor, options)?;
    let Some(mut redo) = redo else {
        return Ok(generation);
    };
    let completed = generation.apply(&mut redo).map_err(|(failure, _)| failure);
    match completed.and_then(|()| generation.sync()) {
        Ok(()) => {
            anchor.set_state(State::Ready).map_err(io_error(hub))?;
            redo::remove(hub).map_err(io_error(hub))?;
            tracing::warn!(path = %hub.display(), "a commit that was kept in part was completed");
        }
        Err(error) if options.accept_loss => {
            tracing::error!(?error, "a commit that was kept in part stays so");
        }
        Err(failure) => return Err(open_error(directory, generation.path(), failure)),
    }
    Ok(generation)
}

/// Pages in files of their own are never synced by sled, so there must be none.
fn refuse_blobs(directory: &Directory, data: &Path) -> Result<(), OpenError> {
    let blobs = data.join("blobs");
    if !blobs.is_dir() {
        return Err(directory.corrupt(format!("{} is missing", blobs.display())));
    }
    match fs::read_dir(&blobs).map_err(io_error(&blobs))?.next() {
        None => Ok(()),
        Some(_) => Err(directory.corrupt(format!("{} is not empty", blobs.display()))),
    }
}

fn open_error(directory: &Directory, data: &Path, failure: Failure) -> OpenError {
    match failure {
        Failure::Io(error) => io_error(data)(error),
        Failure::Damaged(detail) => directory.corrupt(detail),
    }
}
