//! The directory of a hub: what is in it, who may open it, how it comes to be.
//!
//! ```text
//! orders.db/
//!   anchor            what was acknowledged, see `anchor`
//!   ballast           given up when the disk is too full to open the hub, see `ballast`
//!   lock              locked while a process has the hub open
//!   redo              what completes a commit that may have been kept in part, see `redo`
//!   sled-1/           sled's own directory, one per generation; the anchor names the valid one
//! ```
//!
//! Two generations are there while the hub is compacted, and after a crash during that until the
//! next open.
//!
//! A new hub gets its anchor first, durably and in state `Creating`; then sled's directory is made
//! and synced; then the anchor says `Ready`. So a crash at any point leaves either an empty
//! directory or an anchor which says that whatever else is there may be thrown away, and a data
//! directory without an anchor is always damage.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::anchor::{Anchor, State};
use super::ballast::BALLAST;
use crate::store::OpenError;
use crate::store::kv::backend::{HubId, Mark};

const ANCHOR: &str = "anchor";
const UNFINISHED_ANCHOR: &str = "anchor.new";
const LOCK: &str = "lock";
const DATA_PREFIX: &str = "sled-";

/// A locked hub directory; dropping it unlocks.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    _lock: File,
    /// Whether it was not there before.
    made: bool,
}

/// What a path holds.
enum Found {
    Nothing,
    Hub,
}

impl Directory {
    /// Locks the hub at `path`, creating the directory if there is none.
    ///
    /// Nothing is written before it is clear that the directory is ours or empty.
    pub(super) fn lock(path: &Path) -> Result<Self, OpenError> {
        // sled joins relative paths again whenever it needs one: a later `chdir` must not matter.
        let path = std::path::absolute(path).map_err(io_error(path))?;
        survey(&path)?;
        Self::take(path)
    }

    /// As [`lock`](Self::lock), but the directory must be missing or empty.
    pub(super) fn lock_new(path: &Path) -> Result<Self, OpenError> {
        let path = std::path::absolute(path).map_err(io_error(path))?;
        match fs::read_dir(&path) {
            Ok(mut entries) => {
                if let Some(entry) = entries.next() {
                    let name = entry.map_err(io_error(&path))?.file_name();
                    let reason = format!("it holds {}", name.to_string_lossy());
                    return Err(not_a_hub(&path, &reason));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::NotADirectory && path.exists() => {
                return Err(not_a_hub(&path, "it is not a directory"));
            }
            Err(error) => return Err(io_error(&path)(error)),
        }
        Self::take(path)
    }

    fn take(path: PathBuf) -> Result<Self, OpenError> {
        let made = !path.is_dir();
        create_with_parents(&path)?;
        let file = path.join(LOCK);
        let lock = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&file)
            .map_err(io_error(&file))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path,
                _lock: lock,
                made,
            }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path }),
            Err(TryLockError::Error(error)) => Err(io_error(&file)(error)),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file of the anchor.
    pub(super) fn anchor_file(&self) -> PathBuf {
        self.path.join(ANCHOR)
    }

    /// Opens the hub's anchor; in an empty directory a new one is made for a hub called `new_hub`.
    pub(super) fn anchor(&self, new_hub: HubId, now: Instant) -> Result<Anchor, OpenError> {
        let file = self.anchor_file();
        match survey(&self.path)? {
            Found::Hub => Anchor::open(&self.path, &file, now),
            Found::Nothing => {
                let (state, mark) = (State::Creating, Mark::default());
                let anchor = Anchor::create(&file, new_hub, state, mark, now);
                let anchor = anchor.map_err(io_error(&file))?;
                self.sync()?;
                Ok(anchor)
            }
        }
    }

    /// Where the data of a generation is.
    pub(super) fn data(&self, generation: u64) -> PathBuf {
        self.path.join(format!("{DATA_PREFIX}{generation}"))
    }

    /// Removes the data of all generations but one.
    pub(super) fn remove_all_but(&self, generation: u64) -> Result<(), OpenError> {
        let kept = format!("{DATA_PREFIX}{generation}");
        for entry in fs::read_dir(&self.path).map_err(io_error(&self.path))? {
            let entry = entry.map_err(io_error(&self.path))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let is_data = name
                .strip_prefix(DATA_PREFIX)
                .is_some_and(|number| number.parse::<u64>().is_ok());
            if is_data && name != kept {
                fs::remove_dir_all(entry.path()).map_err(io_error(&entry.path()))?;
            }
        }
        Ok(())
    }

    /// Removes everything that was made here since [`lock_new`](Self::lock_new), the anchor first:
    /// what is left at any point is no hub.
    pub(super) fn remove_new(&self) -> Result<(), OpenError> {
        for name in [ANCHOR, UNFINISHED_ANCHOR] {
            let file = self.path.join(name);
            match fs::remove_file(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(io_error(&file)(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        // There never is a generation 0.
        self.remove_all_but(0)?;
        let lock = self.path.join(LOCK);
        fs::remove_file(&lock).map_err(io_error(&lock))?;
        if self.made {
            fs::remove_dir(&self.path).map_err(io_error(&self.path))?;
        }
        Ok(())
    }

    /// Makes the names in the directory, and its own name in its parent, durable.
    pub(super) fn sync(&self) -> Result<(), OpenError> {
        sync_directory(&self.path)?;
        self.path.parent().map_or(Ok(()), sync_directory)
    }

    /// Bytes in all files of the hub but the ballast.
    pub(super) fn size(&self) -> io::Result<u64> {
        let ballast = fs::metadata(self.path.join(BALLAST)).map_or(0, |ballast| ballast.len());
        Ok(size_of(&self.path)?.saturating_sub(ballast))
    }

    /// Bytes of its file system that this process may still fill.
    pub(super) fn free_space(&self) -> Option<u64> {
        fs4::available_space(&self.path)
            .inspect_err(|error| tracing::debug!(%error, "cannot ask for the free space"))
            .ok()
    }

    /// An error about the hub as a whole.
    pub(super) fn corrupt(&self, detail: impl Into<String>) -> OpenError {
        OpenError::Corrupt {
            path: self.path.clone(),
            detail: detail.into(),
        }
    }
}

/// Tells a hub from an empty directory, and refuses everything else.
fn survey(path: &Path) -> Result<Found, OpenError> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(io_error(path)(error)),
        Ok(metadata) if !metadata.is_dir() => return Err(not_a_hub(path, "it is not a directory")),
        Ok(_) => {}
    }
    if path.join(ANCHOR).is_file() {
        return Ok(Found::Hub);
    }
    for entry in fs::read_dir(path).map_err(io_error(path))? {
        let entry = entry.map_err(io_error(path))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(DATA_PREFIX) {
            return Err(OpenError::Corrupt {
                path: path.to_owned(),
                detail: format!("it has {name}, but no anchor"),
            });
        }
        let metadata = entry.metadata().map_err(io_error(&entry.path()))?;
        let ours = metadata.is_file()
            && (name == UNFINISHED_ANCHOR || name == LOCK && metadata.len() == 0);
        if !ours {
            return Err(not_a_hub(path, &format!("it holds {name}")));
        }
    }
    Ok(Found::Nothing)
}

/// Creates the directory and the missing ones above it, each durable before the next is made.
fn create_with_parents(path: &Path) -> Result<(), OpenError> {
    if path.is_dir() {
        return Ok(());
    }
    let Some(parent) = path.parent() else {
        return Ok(());
    };
    create_with_parents(parent)?;
    match fs::create_dir(path) {
        // Another process may be creating the same hub; the lock will tell who goes on.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(io_error(path)(error)),
        Ok(()) | Err(_) => sync_directory(parent),
    }
}

/// Makes the names in a directory durable.
pub(super) fn sync_directory(path: &Path) -> Result<(), OpenError> {
    sync_names(path).map_err(io_error(path))
}

/// As before, with what the system says.
pub(super) fn sync_names(path: &Path) -> io::Result<()> {
    // Elsewhere a directory cannot be opened as a file, and needs no sync.
    if cfg!(unix) {
        File::open(path)?.sync_all()?;
    }
    Ok(())
}

/// Makes the bytes of a file durable that another handle has written.
pub(super) fn sync_file(path: &Path) -> Result<(), OpenError> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(io_error(path))
}

fn size_of(directory: &Path) -> io::Result<u64> {
    let mut size = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        size += match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size_of(&entry.path())?,
            Ok(metadata) => metadata.len(),
            // sled replaces its snapshot file while it runs.
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
    }
    Ok(size)
}

fn not_a_hub(path: &Path, reason: &str) -> OpenError {
    OpenError::NotAHub {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}

/// An [`OpenError::Io`] about `path`.
pub(super) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    move |error| OpenError::Io {
        path: path.to_owned(),
        source: Arc::new(error),
    }
}
