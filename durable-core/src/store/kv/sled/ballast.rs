//! A file without meaning, to be given up when the disk is so full that a hub cannot be opened:
//! sled writes when it opens, and a program that cannot open its hub cannot free anything in it.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use fs4::FileExt as _;

use crate::store::OpenError;

/// Its name in the hub's directory.
pub(super) const BALLAST: &str = "ballast";

/// It is made where this many times its size is free.
const ROOM: u64 = 8;

/// Opens; if the disk is full, once more without the ballast.
pub(super) fn open_with_room<T>(
    hub: &Path,
    open: impl Fn() -> Result<T, OpenError>,
) -> Result<T, OpenError> {
    match open() {
        Err(OpenError::Io { source, .. })
            if is_full(&source) && fs::remove_file(hub.join(BALLAST)).is_ok() =>
        {
            tracing::warn!(path = %hub.display(), "the disk is full: the ballast is given up");
            open()
        }
        other => other,
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Makes the ballast if there is room for it, and takes it away if it is not wanted.
pub(super) fn keep(hub: &Path, bytes: u64, free: Option<u64>) {
    let path = hub.join(BALLAST);
    let there = fs::metadata(&path).map_or(0, |metadata| metadata.len());
    let kept = match there {
        there if there == bytes => Ok(()),
        _ if bytes == 0 => fs::remove_file(&path),
        _ if free.is_none_or(|free| free / ROOM < bytes) => Ok(()),
        _ => make(&path, bytes),
    };
    if let Err(error) = kept {
        // Without it a full disk is harder to get out of, nothing else.
        tracing::warn!(path = %path.display(), %error, "cannot keep the ballast");
    }
}

fn make(path: &Path, bytes: u64) -> io::Result<()> {
    let file = File::create(path)?;
    let made = file.set_len(0).and_then(|()| file.allocate(bytes));
    made.inspect_err(|_| drop(fs::remove_file(path)))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Arc;

    use tempfile::TempDir;

    use super::*;

    fn failing(kind: io::ErrorKind) -> OpenError {
        OpenError::Io {
            path: "db".into(),
            source: Arc::new(kind.into()),
        }
    }

    #[test]
    fn only_a_full_disk_takes_the_ballast_and_only_once() {
        for (kind, ballast, attempts) in [
            (io::ErrorKind::StorageFull, true, 2),
            (io::ErrorKind::QuotaExceeded, true, 2),
            (io::ErrorKind::StorageFull, false, 1),
            (io::ErrorKind::PermissionDenied, true, 1),
        ] {
            let hub = TempDir::new().unwrap();
            if ballast {
                keep(hub.path(), 4096, Some(u64::MAX));
            }
            let opened = Cell::new(0);
            let result = open_with_room(hub.path(), || {
                opened.set(opened.get() + 1);
                Err::<(), _>(failing(kind))
            });
            assert!(matches!(result, Err(OpenError::Io { .. })));
            assert_eq!(opened.get(), attempts, "{kind}");
            let left = hub.path().join(BALLAST).exists();
            assert_eq!(left, ballast && attempts == 1, "{kind}");
        }
    }

    #[test]
    fn it_is_made_where_there_is_room_and_as_large_as_it_is_wanted() {
        let hub = TempDir::new().unwrap();
        let len = || fs::metadata(hub.path().join(BALLAST)).map_or(0, |metadata| metadata.len());
        for (bytes, free, expected) in [
            (4096, None, 0),
            (4096, Some(8 * 4096 - 1), 0),
            (4096, Some(8 * 4096), 4096),
            (4096, Some(0), 4096),
            (8192, Some(u64::MAX), 8192),
            (0, Some(0), 0),
        ] {
            keep(hub.path(), bytes, free);
            assert_eq!(len(), expected, "{bytes} {free:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn its_blocks_are_allocated() {
        use std::os::unix::fs::MetadataExt as _;
        let hub = TempDir::new().unwrap();
        keep(hub.path(), 1 << 20, Some(u64::MAX));
        let metadata = fs::metadata(hub.path().join(BALLAST)).unwrap();
        assert!(metadata.blocks() * 512 >= 1 << 20, "{}", metadata.blocks());
    }
}
