//! Whether the system reads what sled is going to read when it opens.
//!
//! sled takes whatever part of its log it cannot read for the end of the log
//! (`scan_segment_headers_and_tail`, `LogIter::next`), goes on from there and writes over the rest:
//! a read that fails once would cost everything behind it for good. So the same is read before it.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use super::engine::SEGMENT;
use super::snapshots;

/// Checksum, place in the log, how far the log was stable.
pub(super) const HEADER: usize = 4 + 8 + 8;

/// Reads the beginning of every segment, and the whole of those that the newest snapshot does not
/// cover. Returns how many these were.
///
/// # Errors
///
/// What the system says if it cannot.
pub(super) fn check(directory: &Path) -> io::Result<usize> {
    let mut db = match File::open(directory.join("db")) {
        Ok(db) => db,
        // A new one.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let from = covered(directory)?;
    let segments = db.metadata()?.len().div_ceil(SEGMENT as u64);
    let mut whole = 0;
    let mut bytes = Vec::new();
    for segment in 0..segments {
        bytes.clear();
        db.seek(SeekFrom::Start(segment * SEGMENT as u64))?;
        (&db).take(HEADER as u64).read_to_end(&mut bytes)?;
        if place(&bytes).is_some_and(|place| place + SEGMENT as u64 > from) {
            (&db)
                .take((SEGMENT - HEADER) as u64)
                .read_to_end(&mut bytes)?;
            whole += 1;
        }
    }
    Ok(whole)
}

/// How far the newest snapshot covers the log; its name says so.
fn covered(directory: &Path) -> io::Result<u64> {
    let names = snapshots::all(directory)?.into_iter();
    let places =
        names.filter_map(|(_, name)| u64::from_str_radix(name.strip_prefix("snap.")?, 16).ok());
    Ok(places.max().unwrap_or(0))
}

/// Where in the log a segment is; [`None`] if sled would not take it for one.
pub(super) fn place(header: &[u8]) -> Option<u64> {
    let (checksum, rest) = header.split_first_chunk::<4>()?;
    if crc32fast::hash(rest) ^ u32::MAX != u32::from_le_bytes(*checksum) {
        return None;
    }
    let place = rest.first_chunk::<8>()?;
    Some(u64::from_le_bytes(*place) ^ (u64::MAX >> 1))
}
