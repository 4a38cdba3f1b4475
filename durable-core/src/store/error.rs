//! What can go wrong with a store, by what the caller should do next.

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a task hub could not be opened.
///
/// The message names the path and says what to do. Nothing was changed in the directory, with one
/// exception: that it was [rolled back](Self::RolledBack), and some [damage](Self::Corrupt), shows
/// only when sled has opened its files, and sled writes over the end of its log that it cannot
/// read. Such a hub is refused again and again until its files are replaced or the loss is
/// [accepted](crate::TaskHubOptions::accept_loss); who wants to have its files looked at copies them
/// before opening it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process (or another `TaskHub` of this one) has the directory open.
    #[error("{path} is in use by another process, or opened twice in this one; one process at a time may open a task hub, once", path = path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },

    /// The path is a file, or a directory that holds something else.
    #[error("{path} is not a task hub: {reason}; name an empty or missing directory to create one", path = path.display())]
    NotAHub {
        /// The path that was given.
        path: PathBuf,
        /// What was found there.
        reason: String,
    },

    /// The directory was written by a newer version of this library.
    #[error("{path} has format {found}, this version reads up to {supported}; open it with a newer version", path = path.display())]
    NewerFormat {
        /// The directory.
        path: PathBuf,
        /// The format found.
        found: u32,
        /// The newest format this version reads.
        supported: u32,
    },

    /// The data is older than what was acknowledged: a lost tail, or files put back from an old copy.
    /// [`TaskHubOptions::accept_loss`](crate::TaskHubOptions::accept_loss) opens it all the same.
    #[error("{path} was rolled back: it holds commit {have}, but commit {had} was acknowledged; restore the newest copy, or accept the loss with `TaskHubOptions::accept_loss`", path = path.display())]
    RolledBack {
        /// The directory.
        path: PathBuf,
        /// The newest commit in the data.
        have: u64,
        /// The newest commit that was acknowledged.
        had: u64,
    },

    /// The data is damaged. It needs a person: restore a copy, or open what can be read with
    /// [`TaskHubOptions::accept_loss`](crate::TaskHubOptions::accept_loss).
    #[error("{path} is damaged: {detail}; restore a copy, or open what can be read with `TaskHubOptions::accept_loss`", path = path.display())]
    Corrupt {
        /// The directory.
        path: PathBuf,
        /// What was found to be wrong.
        detail: String,
    },

    /// The operating system refused.
    #[error("cannot open {path}: {source}", path = path.display())]
    Io {
        /// The file or directory the call was about.
        path: PathBuf,
        /// What the operating system said.
        source: Arc<std::io::Error>,
    },
}

/// Why a hub was not compacted or not backed up.
///
/// The hub is as it was and goes on, unless it [has failed](Self::Store) or was closed. What had
/// been copied is removed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// Another compaction or backup of this hub is under way. Try again when it is done.
    #[error("another compaction or backup is under way")]
    Busy,

    /// There is something at the path of the backup already, or it lies within the hub. Name an
    /// empty or missing directory.
    #[error("{path} cannot take the backup: {reason}; name an empty or missing directory", path = path.display())]
    Target {
        /// The path that was given.
        path: PathBuf,
        /// What was found there.
        reason: String,
    },

    /// The operating system refused, for example because the disk is full.
    #[error("cannot copy the hub to {path}", path = path.display())]
    Io {
        /// The file or directory the call was about.
        path: PathBuf,
        /// What the operating system said.
        source: Arc<std::io::Error>,
    },

    /// The hub's data could not be read, or the copy does not say what it was given.
    #[error("the copy is not sound: {detail}")]
    Corrupt {
        /// What was found to be wrong.
        detail: String,
    },

    /// A hub in memory has no files, and nothing that would outlive it.
    #[error("a hub in memory cannot be backed up")]
    InMemory,

    /// The hub was closed meanwhile.
    #[error("the hub was closed")]
    Closed,

    /// The hub has failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<OpenError> for CopyError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Io { path, source } => Self::Io { path, source },
            OpenError::NotAHub { path, reason } => Self::Target { path, reason },
            OpenError::InUse { path } => Self::Target {
                path,
                reason: "it is in use".to_owned(),
            },
            OpenError::Corrupt { .. }
            | OpenError::NewerFormat { .. }
            | OpenError::RolledBack { .. } => Self::Corrupt {
                detail: error.to_string(),
            },
        }
    }
}

/// Why a store could not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Stored bytes do not decode, or records that must exist are missing. Retrying reads the same.
    #[error("the store is damaged: {detail}")]
    Corrupt {
        /// What was found to be wrong.
        detail: String,
    },

    /// A record was written by a newer version of this library. Open the hub with that.
    #[error(
        "the store holds a record of format {found}, this version reads up to {supported}; open it with a newer version"
    )]
    NewerFormat {
        /// The format found.
        found: u32,
        /// The newest format this version reads.
        supported: u32,
    },

    /// The store failed and is closed for the life of the process: after a failed sync nobody
    /// knows what is on the disk, so nothing is retried. Open the hub again.
    #[error("the store failed and is closed: {detail}")]
    Fatal {
        /// What failed.
        detail: String,
    },
}

impl OpenError {
    /// What the store needs to open cannot be read. Damage is for a person to mend; a refusal of
    /// the system may be over the next time.
    pub(crate) fn unreadable(path: &Path, error: StoreError) -> Self {
        let path = path.to_owned();
        match error {
            StoreError::NewerFormat { found, supported } => Self::NewerFormat {
                path,
                found,
                supported,
            },
            StoreError::Corrupt { detail } => Self::Corrupt { path, detail },
            StoreError::Fatal { detail } => Self::Io {
                path,
                source: Arc::new(std::io::Error::other(detail)),
            },
        }
    }
}

impl StoreError {
    pub(crate) fn corrupt(detail: impl Into<String>) -> Self {
        Self::Corrupt {
            detail: detail.into(),
        }
    }

    pub(crate) fn fatal(detail: impl Into<String>) -> Self {
        Self::Fatal {
            detail: detail.into(),
        }
    }
}
