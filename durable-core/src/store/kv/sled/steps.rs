//! How far a compaction or a backup has come: where a test can look, or make it fail.

use std::io;

/// A point that a copy comes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// The target's files are made, without data.
    Made,
    /// The next chunk will be copied.
    Chunk,
    /// A commit that changes what has been copied will happen in the copy, too.
    Followed,
    /// Everything is copied, but not synced.
    Copied,
    /// The next chunk will be compared.
    Comparison,
    /// Everything is synced and compared.
    Compared,
    /// No commit happens; the last of them are synced; the anchor names the old generation still,
    /// or the backup has no anchor yet.
    Sealed,
    /// The anchor names the new generation, or the backup has one.
    Anchored,
    /// Commits go to the new generation; the old one is still there.
    Swapped,
    /// The old one is gone.
    Removed,
}

/// Who is told of the steps: nobody but a test.
#[derive(Clone, Default)]
pub(crate) struct Steps {
    #[cfg(test)]
    pub(super) observer: Option<std::sync::Arc<Observer>>,
}

#[cfg(test)]
pub(super) type Observer = dyn Fn(Step) -> io::Result<()> + Send + Sync;

impl Steps {
    /// An error fails what the step belongs to.
    #[cfg_attr(
        not(test),
        expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "no test")
    )]
    pub(super) fn reached(&self, step: Step) -> io::Result<()> {
        #[cfg(test)]
        if let Some(observer) = &self.observer {
            return observer(step);
        }
        let _ = step;
        Ok(())
    }
}

impl std::fmt::Debug for Steps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Steps")
    }
}
