//! sled itself, with its panics caught and its errors sorted.
//!
//! What is relied on was read in the sources of sled 0.34.7, to which the dependency is pinned;
//! each place says what it works around.

use std::fs::{File, TryLockError};
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use ::sled::{Db, IVec, Iter};

use super::{readable, snapshots, tail};
use crate::store::CopyError;

/// A key and its value; none where the key was removed.
pub(super) type Change = (IVec, Option<IVec>);

/// A key and its value.
pub(super) type Pair = (IVec, IVec);

/// sled's unit of writing, recycling and recovering, fixed in its `conf` for the life of the files.
///
/// A damaged record makes sled skip the rest of its segment, an unclean open rewrites one segment,
/// and a page longer than a quarter of a segment goes to a file that sled never syncs.
pub(super) const SEGMENT: usize = 2 << 20;

/// A leaf has up to 17 pairs and up to 10 changes not merged into it yet before it is split, and
/// that must stay below a quarter of a segment.
pub(super) const MAX_VALUE: usize = 16 << 10;

/// An inner page has up to 257 keys and up to 10 changes, and has the same limit.
pub(super) const MAX_KEY: usize = 1536;

/// Memory that a batch must find: sled begins two new buffers of a segment each, and one more for
/// each segment that the batch fills.
const ROOM: usize = 6 * SEGMENT;

/// sled's background thread writes, syncs and, only there, recycles segments this often.
const FLUSH_EVERY_MS: u64 = 500;

/// How long to wait for sled's threads; they need milliseconds unless one of them is dead.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Changes to apply at once.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    changes: ::sled::Batch,
    /// The same changes, oldest first: sled shows nothing of a batch, and a copy that is under way
    /// must follow it, as whoever has to do it once more.
    log: Vec<Change>,
    /// The key length and value length of a pair that would end up in a file that is never synced.
    too_long: Option<(usize, usize)>,
}

impl Batch {
    pub(super) fn insert(&mut self, key: impl Into<IVec>, value: impl Into<IVec>) {
        let (key, value) = (key.into(), value.into());
        if key.len() > MAX_KEY || value.len() > MAX_VALUE {
            self.too_long = Some((key.len(), value.len()));
        }
        self.changes.insert(key.clone(), value.clone());
        self.log.push((key, Some(value)));
    }

    pub(super) fn remove(&mut self, key: impl Into<IVec>) {
        let key = key.into();
        self.changes.remove(key.clone());
        self.log.push((key, None));
    }

    /// The changes of keys for which `wanted` is true.
    pub(super) fn part(&self, wanted: impl Fn(&[u8]) -> bool) -> Self {
        let mut part = Self::default();
        for (key, value) in self.log.iter().filter(|(key, _)| wanted(key)) {
            match value {
                Some(value) => part.insert(key.clone(), value.clone()),
                None => part.remove(key.clone()),
            }
        }
        part
    }

    pub(super) fn is_empty(&self) -> bool {
        self.log.is_empty()
    }

    /// The changes, oldest first.
    pub(super) fn into_log(self) -> Vec<Change> {
        self.log
    }

    /// How many changes there are, and of how many bytes.
    pub(super) fn size(&self) -> (usize, usize) {
        let value = |value: &Option<IVec>| value.as_ref().map_or(0, |value| value.len());
        let bytes = self.log.iter().map(|(key, new)| key.len() + value(new));
        (self.log.len(), bytes.sum())
    }
}

/// What went wrong in sled.
#[derive(Debug)]
pub(super) enum Failure {
    /// The operating system refused.
    Io(io::Error),
    /// The files do not hold what they must.
    Damaged(String),
}

/// An open sled database.
#[derive(Debug)]
pub(super) struct Engine {
    /// Gone only while it is being stopped.
    db: Option<Db>,
}

impl Engine {
    /// Opens sled's directory, or creates it.
    pub(super) fn open(directory: &Path, cache_capacity: u64) -> Result<Self, Failure> {
        wait_for_earlier_threads(&directory.join("db"))?;
        snapshots::finish(directory)?;
        let cut = tail::cut(directory)?;
        if cut > 0 {
            tracing::warn!(
                segments = cut,
                "what was not synced before a power cut was cut off"
            );
        }
        match start(directory, cache_capacity) {
            // Without a snapshot sled reads the log from its start. If that was overwritten since, there
            // is less than the anchor knows of, and the hub is refused.
            Err(Failure::Damaged(_)) if snapshots::set_aside(directory)? => {
                start(directory, cache_capacity)
            }
            other => other,
        }
    }

    pub(super) fn is_empty(&self) -> Result<bool, Failure> {
        caught(|| Ok(self.db().iter().next().transpose()?.is_none()))
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<IVec>, Failure> {
        caught(|| self.db().get(key))
    }

    /// The pairs with `from <= key < to`, from both ends.
    pub(super) fn range(&self, from: &[u8], to: &[u8]) -> Result<Range, Failure> {
        caught(|| Ok(Range(self.db().range(from..to))))
    }

    /// The pairs with `from <= key`.
    pub(super) fn range_from(&self, from: &[u8]) -> Result<Range, Failure> {
        caught(|| Ok(Range(self.db().range(from..))))
    }

    /// Applies the batch, of which the log is left; if it fails, says whether it may have been kept
    /// in part.
    pub(super) fn apply(&self, batch: &mut Batch) -> Result<(), (Failure, Torn)> {
        if let Some((key, value)) = batch.too_long {
            let what = format!("a key of {key} with a value of {value} bytes is too long");
            return Err((Failure::Io(io::Error::other(what)), Torn::No));
        }
        // sled panics if there is none, and may do so in the middle of the batch.
        if Vec::<u8>::new().try_reserve_exact(ROOM).is_err() {
            return Err((Failure::Io(io::ErrorKind::OutOfMemory.into()), Torn::No));
        }
        let changes = mem::take(&mut batch.changes);
        caught(|| self.db().apply_batch(changes)).map_err(|failure| {
            // Once sled has met an error while writing it writes nothing more. Otherwise it may write
            // the first half of the batch, see `redo`.
            let stopped = self.db().context.global_error().is_err();
            (failure, if stopped { Torn::No } else { Torn::Maybe })
        })
    }

    /// Inserts pairs in ascending order, behind all that is there. Not atomic.
    ///
    /// First the keys alone: sled writes a leaf again whole each time it is split, and its space is
    /// slow to become free. Then each value is written once. Of 10,000 values of 1 KiB the file is
    /// 1.7 times as large as they are this way, and 3.1 times the other.
    pub(super) fn load(&self, pairs: &[Pair]) -> Result<(), Failure> {
        for (key, _) in pairs {
            caught(|| self.db().insert(key, &[]))?;
        }
        for (key, value) in pairs {
            caught(|| self.db().insert(key, value.clone()))?;
        }
        Ok(())
    }

    /// Hands everything applied to the operating system. Not durable yet: this is not an fsync.
    pub(super) fn flush(&self) -> Result<(), Failure> {
        caught(|| self.db().flush()).map(drop)
    }

    fn db(&self) -> &Db {
        self.db
            .as_ref()
            .expect("sled is taken out only when its last owner stops it")
    }

    /// Writes what is left, stops sled's threads and unlocks its files. Nothing else may be called
    /// afterwards.
    ///
    /// Dropping sled waits, without end, for a background thread that may have died of damaged
    /// pages, and panics if the last sync fails; so it is done aside and given up in the end.
    pub(super) fn stop(&mut self) -> Result<(), Failure> {
        let Some(db) = self.db.take() else {
            return Ok(());
        };
        let (hand_over, db_to_stop) = mpsc::channel();
        let (stopped, wait) = mpsc::channel();
        let stop = move || {
            let result = caught(|| {
                drop(db_to_stop.recv());
                Ok(())
            });
            // Nobody listens any more if it took too long.
            let _ = stopped.send(result);
        };
        let thread = match thread::Builder::new()
            .name("durable-sled-stop".to_owned())
            .spawn(stop)
        {
            Ok(thread) => thread,
            Err(error) => {
                // Dropped here it could wait without end. The process keeps it, and its lock.
                mem::forget(db);
                return Err(Failure::Io(error));
            }
        };
        // Only now: what a thread that does not begin was to do is dropped.
        if let Err(mpsc::SendError(db)) = hand_over.send(db) {
            mem::forget(db);
        }
        let Ok(result) = wait.recv_timeout(STOP_TIMEOUT) else {
            return Err(Failure::Damaged("sled did not stop".to_owned()));
        };
        // It has nothing left to do.
        drop(thread.join());
        result
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Whoever wants to know calls `stop`.
        let _ = self.stop();
    }
}

/// Whether a failed batch may have been kept in part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Torn {
    No,
    Maybe,
}

/// A range of pairs, consumed from either end.
pub(super) struct Range(Iter);

impl Range {
    pub(super) fn next(&mut self) -> Result<Option<Pair>, Failure> {
        caught(|| self.0.next().transpose())
    }

    pub(super) fn next_back(&mut self) -> Result<Option<Pair>, Failure> {
        caught(|| self.0.next_back().transpose())
    }
}

fn start(directory: &Path, cache_capacity: u64) -> Result<Engine, Failure> {
    readable::check(directory)?;
    let config = ::sled::Config::new()
        .path(directory)
        .cache_capacity(cache_capacity)
        .segment_size(SEGMENT)
        .flush_every_ms(Some(FLUSH_EVERY_MS))
        .use_compression(false);
    caught(|| config.open()).map(|db| Engine { db: Some(db) })
}

/// Runs a call into sled. Damaged pages make it panic in many places.
fn caught<T>(call: impl FnOnce() -> ::sled::Result<T>) -> Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(Failure::from),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            // Some messages go on with whole pages, and so with the user's data.
            let start: String = text.chars().take(100).collect();
            Err(Failure::Damaged(format!("sled panicked: {start}")))
        }
    }
}

impl From<::sled::Error> for Failure {
    fn from(error: ::sled::Error) -> Self {
        match error {
            // A page that the log promises lies behind the end of the file.
            ::sled::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Self::Damaged("sled's file is shorter than it was".to_owned())
            }
            ::sled::Error::Io(error) => Self::Io(error),
            ::sled::Error::Unsupported(what) => {
                Self::Damaged(format!("sled's conf was changed: {what}"))
            }
            ::sled::Error::ReportableBug(_)
            | ::sled::Error::CollectionNotFound(_)
            | ::sled::Error::Corruption { .. } => Self::Damaged(format!("sled: {error}")),
        }
    }
}

impl Failure {
    /// The failure of a copy to the files at `target`.
    pub(super) fn into_copy_error(self, target: &Path) -> CopyError {
        match self {
            Self::Io(error) => CopyError::Io {
                path: target.to_owned(),
                source: Arc::new(error),
            },
            Self::Damaged(detail) => CopyError::Corrupt { detail },
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A database closed by this process a moment ago may still be held by sled's thread pool, and sled
/// does not wait for its lock. Other processes are kept out by the hub's own lock.
fn wait_for_earlier_threads(db: &Path) -> io::Result<()> {
    const PAUSE: Duration = Duration::from_millis(10);
    const ATTEMPTS: usize = 500;
    let Ok(file) = File::open(db) else {
        return Ok(());
    };
    for _ in 0..ATTEMPTS {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) => thread::sleep(PAUSE),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(())
}
