//! What a commit was to change that sled may have kept in part.
//!
//! sled drops a batch that it could not finish writing. But if it panics in the middle of one, over
//! a page that cannot be read or memory that it does not get, it takes back the frame that would
//! have recovery drop it, and may write the half that was done. So everything that was applied since
//! the last sync is then written to a file beside sled's. All of it puts and removes records whole:
//! whoever opens the hub next does it once more, and what was kept in part is there in full. Nobody
//! was told that it happened, or that it did not.
//!
//! The file is written after the anchor says [`Torn`](super::anchor::State::Torn), and removed once
//! it does not any more.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use super::directory::sync_names;
use super::engine::{Batch, Change};

const REDO: &str = "redo";
const UNFINISHED: &str = "redo.new";
const MAGIC: [u8; 8] = *b"redo\0\0\0\x01";

/// In place of a value's length: the key is removed.
const REMOVED: u32 = u32::MAX;

/// Writes the changes that follow on `commit` to a file in `hub`, whole or not at all.
///
/// In small pieces: there may be no memory for more.
pub(super) fn write<'a>(
    hub: &Path,
    commit: u64,
    changes: impl Iterator<Item = &'a Change>,
) -> io::Result<()> {
    let unfinished = hub.join(UNFINISHED);
    let file = File::create(&unfinished)?;
    let mut out = BufWriter::new(&file);
    let mut sum = crc32fast::Hasher::new();
    let mut put = |bytes: &[u8]| {
        sum.update(bytes);
        out.write_all(bytes)
    };
    put(&MAGIC)?;
    put(&commit.to_be_bytes())?;
    for (key, value) in changes {
        put(&length(key)?.to_be_bytes())?;
        put(&value.as_deref().map_or(Ok(REMOVED), length)?.to_be_bytes())?;
        put(key)?;
        put(value.as_deref().unwrap_or_default())?;
    }
    out.write_all(&sum.finalize().to_be_bytes())?;
    out.flush()?;
    file.sync_all()?;
    fs::rename(unfinished, hub.join(REDO))?;
    sync_names(hub)
}

/// What is to be done once more after `commit`; none if that is not known.
pub(super) fn read(hub: &Path, commit: u64) -> io::Result<Option<Batch>> {
    match fs::read(hub.join(REDO)) {
        Ok(bytes) => Ok(parse(&bytes, commit)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes what there is, durably: it must not meet a later half.
pub(super) fn remove(hub: &Path) -> io::Result<()> {
    match fs::remove_file(hub.join(REDO)) {
        Ok(()) => sync_names(hub),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn parse(bytes: &[u8], commit: u64) -> Option<Batch> {
    let (bytes, sum) = bytes.split_last_chunk()?;
    let mut rest = (crc32fast::hash(bytes) == u32::from_be_bytes(*sum)).then_some(bytes)?;
    let is_it = take(&mut rest)? == MAGIC && u64::from_be_bytes(take(&mut rest)?) == commit;
    let mut batch = is_it.then(Batch::default)?;
    while !rest.is_empty() {
        let lengths = [take(&mut rest)?, take(&mut rest)?].map(u32::from_be_bytes);
        let key = rest.split_off(..usize::try_from(lengths[0]).ok()?)?;
        if lengths[1] == REMOVED {
            batch.remove(key);
        } else {
            batch.insert(key, rest.split_off(..usize::try_from(lengths[1]).ok()?)?);
        }
    }
    Some(batch)
}

fn length(bytes: &[u8]) -> io::Result<u32> {
    u32::try_from(bytes.len()).map_err(io::Error::other)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*head)
}
