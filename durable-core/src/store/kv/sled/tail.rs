//! Cuts off what a power cut has left behind a hole in sled's log.
//!
//! The log goes through segments that are new, at the end of the file, and such that are used again,
//! before it. Between two syncs those that are used again can reach the disk while the end of the file
//! does not, because that takes a change of the file's length: then the log has a hole, and behind it
//! segments of commits that nobody was told of. sled reads across the hole: it applies half of a
//! batch, or panics (`tried to serialize Uninitialized`) and never opens again. (Power cuts with large
//! payloads found it, once in 300.)
//!
//! The hole shows: the file ends within a segment, and others are later in the log. sled fills each
//! segment up before it begins the next, and a sync makes the length durable, so nothing behind the
//! hole was ever synced.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use super::engine::SEGMENT;
use super::readable::{HEADER, place};

/// What sled may leave unused at the end of a segment that is full.
const UNUSED: u64 = 32;

/// Makes sled see the end of its log at the hole, if there is one. What is cut off is kept in the file
/// `cut`: where in `db`, and the bytes that were there. Returns how many segments were cut off.
///
/// # Errors
///
/// What the system says if it refuses.
pub(super) fn cut(directory: &Path) -> io::Result<usize> {
    let path = directory.join("db");
    let mut db = match File::options().read(true).write(true).open(path) {
        Ok(db) => db,
        // A new one.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let segment = SEGMENT as u64;
    let length = db.metadata()?.len();
    let last = length / segment;
    if length % segment == 0 || length % segment + UNUSED >= segment {
        return Ok(0);
    }
    let Some((hole, _)) = header(&mut db, last * segment)? else {
        return Ok(0);
    };
    let mut behind = Vec::new();
    for start in (0..last).map(|number| number * segment) {
        if let Some((place, bytes)) = header(&mut db, start)?
            && place > hole
        {
            behind.push((start, bytes));
        }
    }
    if behind.is_empty() {
        return Ok(0);
    }
    keep(directory, &behind)?;
    for (start, bytes) in &behind {
        db.seek(SeekFrom::Start(*start))?;
        db.write_all(&vec![0; bytes.len()])?;
    }
    db.sync_all()?;
    Ok(behind.len())
}

/// Where in the log the segment that begins at `start` is, and its header; [`None`] if it is none.
fn header(db: &mut File, start: u64) -> io::Result<Option<(u64, Vec<u8>)>> {
    let mut bytes = Vec::new();
    db.seek(SeekFrom::Start(start))?;
    db.take(HEADER as u64).read_to_end(&mut bytes)?;
    Ok(place(&bytes).map(|place| (place, bytes)))
}

fn keep(directory: &Path, behind: &[(u64, Vec<u8>)]) -> io::Result<()> {
    let mut kept = File::options()
        .create(true)
        .append(true)
        .open(directory.join("cut"))?;
    for (start, bytes) in behind {
        kept.write_all(&start.to_be_bytes())?;
        kept.write_all(bytes)?;
    }
    kept.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(place: u64) -> Vec<u8> {
        let mut rest = (place ^ (u64::MAX >> 1)).to_le_bytes().to_vec();
        rest.extend([0; 8]);
        let mut segment = (crc32fast::hash(&rest) ^ u32::MAX).to_le_bytes().to_vec();
        segment.extend(rest);
        segment.resize(SEGMENT, 7);
        segment
    }

    /// A file of segments at these places in the log, the last one as long as that: what is left.
    fn check(places: &[u64], last: usize, left: &[bool]) {
        let dir = tempfile::tempdir().expect("a directory");
        let mut bytes: Vec<u8> = places
            .iter()
            .flat_map(|n| segment(n * SEGMENT as u64))
            .collect();
        bytes.truncate((places.len() - 1) * SEGMENT + last);
        std::fs::write(dir.path().join("db"), &bytes).expect("written");
        let gone = left.iter().filter(|left| !**left).count();
        assert_eq!(cut(dir.path()).expect("cuts"), gone, "{places:?}");
        let mut db = File::open(dir.path().join("db")).expect("there");
        for (number, left) in (0..).zip(left) {
            let header = header(&mut db, number * SEGMENT as u64).expect("reads");
            assert_eq!(header.is_some(), *left, "{places:?}: {number}");
        }
        assert_eq!(db.metadata().expect("there").len(), bytes.len() as u64);
        assert_eq!(dir.path().join("cut").exists(), gone > 0);
        assert_eq!(cut(dir.path()).expect("cuts"), 0, "again");
    }

    #[test]
    fn what_is_behind_a_hole_is_cut_off() {
        check(&[5, 1, 6, 4], 1000, &[false, true, false, true]);
    }

    #[test]
    fn a_log_without_a_hole_is_left_alone() {
        check(&[1, 2, 3, 4], 1000, &[true; 4]);
        check(&[5, 1, 6, 4], SEGMENT, &[true; 4]);
        check(&[5, 1, 6, 4], SEGMENT - 1, &[true; 4]);
    }
}
