//! Hubs that are kept in the repository, as this version of the format leaves them, for every later
//! version to open.
//!
//! Beside each is written what was seen when it was made: of a copy exactly that must be seen
//! again, and everything in it must go on to its end. Until the first release a change of the format
//! makes them anew; from then on they stay for ever.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::corrupt::{copy, is_right};
use crate::line::{complain, say};
use crate::population::child;
use crate::population::{Leave, Sight};
use crate::{AnyError, Verdict};

/// What `golden` is told.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) dir: PathBuf,
    /// Make them, instead of looking at them.
    pub(crate) write: bool,
}

/// Where those of the repository are.
pub(crate) fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../durable-core/tests/golden")
}

/// Two of each kind, some of them with records of several chunks.
const NUMBERS: Range<u64> = 112..144;

const HUB: &str = "hub";
const SEEN: &str = "seen.json";
/// Nothing but its length matters, and it is made anew where it is missing.
const BALLAST: &str = "ballast";

/// What is written beside a hub.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    format: u32,
    numbers: Range<u64>,
    /// Directories with nothing in them, which a repository does not keep.
    empty: Vec<PathBuf>,
    seen: Sight,
}

pub(crate) fn run(options: &Options) -> Result<Verdict, AnyError> {
    if options.write {
        for (name, leave) in [("closed", Leave::Closed), ("open", Leave::Open)] {
            write(&options.dir, name, leave)?;
        }
    }
    let (mut hubs, mut instances, mut wrong) = (0, 0, 0);
    for entry in fs::read_dir(&options.dir)? {
        let place = entry?.path();
        let record: Record = serde_json::from_slice(&fs::read(place.join(SEEN))?)?;
        hubs += 1;
        instances += record.seen.found.len();
        for complaint in check(&place, &record)? {
            complain(&format!("{}: {complaint}", place.display()));
            wrong += 1;
        }
    }
    say(&format!(
        "golden: hubs={hubs} instances={instances} wrong={wrong}"
    ))?;
    Ok(if wrong == 0 && hubs > 0 {
        Verdict::Kept
    } else {
        Verdict::Broken
    })
}

/// Makes one, in place of the one of this format that is there.
fn write(dir: &Path, name: &str, leave: Leave) -> Result<(), AnyError> {
    let scratch = tempfile::tempdir()?;
    let hub = scratch.path().join(HUB);
    child::make(&hub, NUMBERS, leave)?;
    let format = anchor_format(&hub)?;
    let copied = scratch.path().join("copy");
    copy(&hub, &copied)?;
    let seen = look(&copied, NUMBERS)?;
    is_right(&seen, NUMBERS)?;

    let place = dir.join(format!("{format}-{name}"));
    if place.exists() {
        fs::remove_dir_all(&place)?;
    }
    fs::create_dir_all(&place)?;
    copy(&hub, &place.join(HUB))?;
    fs::remove_file(place.join(HUB).join(BALLAST))?;
    let mut empty = Vec::new();
    empty_directories(&hub, Path::new(""), &mut empty)?;
    let record = Record {
        format,
        numbers: NUMBERS,
        empty,
        seen,
    };
    Ok(fs::write(
        place.join(SEEN),
        serde_json::to_string_pretty(&record)? + "\n",
    )?)
}

/// What is not as it was written down.
fn check(place: &Path, record: &Record) -> Result<Vec<String>, AnyError> {
    let scratch = tempfile::tempdir()?;
    let hub = scratch.path().join(HUB);
    restore(place, record, &hub)?;
    let seen = look(&hub, record.numbers.clone())?;
    let mut wrong = differences(&record.seen, &seen);
    if let Err(error) = is_right(&seen, record.numbers.clone()) {
        wrong.push(error.to_string());
    }

    // A hub of a later version says so, whatever else is in it.
    let newer = scratch.path().join("newer");
    restore(place, record, &newer)?;
    let format = record.format + 1_000;
    set_anchor_format(&newer, format)?;
    let refused = child::look(&newer, record.numbers.clone())?.refused;
    if !refused
        .as_ref()
        .is_some_and(|refused| refused.contains(&format!("has format {format},")))
    {
        wrong.push(format!(
            "a hub of format {format} is not refused by name: {refused:?}"
        ));
    }
    Ok(wrong)
}

/// Without the histories: what is exported of them may be more in a later version.
fn look(hub: &Path, numbers: Range<u64>) -> Result<Sight, AnyError> {
    let mut seen = child::look(hub, numbers)?;
    seen.histories.clear();
    Ok(seen)
}

fn restore(place: &Path, record: &Record, to: &Path) -> Result<(), AnyError> {
    copy(&place.join(HUB), to)?;
    for empty in &record.empty {
        fs::create_dir_all(to.join(empty))?;
    }
    Ok(())
}

/// Every part that is another, with both.
fn differences(written: &Sight, seen: &Sight) -> Vec<String> {
    let mut wrong = Vec::new();
    for (when, written, seen) in [
        ("found", &written.found, &seen.found),
        ("ended", &written.ended, &seen.ended),
    ] {
        let all = written
            .keys()
            .chain(seen.keys().filter(|id| !written.contains_key(*id)));
        for id in all {
            let (was, is) = (written.get(id), seen.get(id));
            if was != is {
                wrong.push(format!("{when}: {id} was {was:?} and is {is:?}"));
            }
        }
    }
    if wrong.is_empty() && written != seen {
        wrong.push(format!("it was {written:?} and is {seen:?}"));
    }
    wrong
}

/// The directories below `root` in which there is nothing.
fn empty_directories(root: &Path, below: &Path, found: &mut Vec<PathBuf>) -> Result<(), AnyError> {
    let mut entries = fs::read_dir(root.join(below))?.peekable();
    if entries.peek().is_none() {
        found.push(below.to_owned());
    }
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            empty_directories(root, &below.join(entry.file_name()), found)?;
        }
    }
    Ok(())
}

/// Where an anchor's slot has its format, and its checksum over all before it.
const SLOT: usize = 4096;
const FORMAT: Range<usize> = 8..12;
const CHECKSUM: Range<usize> = SLOT - 4..SLOT;

fn anchor_format(hub: &Path) -> Result<u32, AnyError> {
    let anchor = fs::read(hub.join("anchor"))?;
    let format = anchor.get(FORMAT).ok_or("the anchor is too short")?;
    Ok(u32::from_be_bytes(format.try_into()?))
}

fn set_anchor_format(hub: &Path, format: u32) -> Result<(), AnyError> {
    let path = hub.join("anchor");
    let mut anchor = fs::read(&path)?;
    for slot in anchor.chunks_exact_mut(SLOT) {
        slot[FORMAT].copy_from_slice(&format.to_be_bytes());
        let checksum = crc32fast::hash(&slot[..CHECKSUM.start]);
        slot[CHECKSUM].copy_from_slice(&checksum.to_be_bytes());
    }
    Ok(fs::write(path, anchor)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::population::Seen;

    #[test]
    fn what_is_not_as_it_was_written_is_found() {
        let path = kept().join("1-closed").join(SEEN);
        let record: Record =
            serde_json::from_slice(&fs::read(path).expect("it is kept")).expect("JSON");
        let changed = |change: fn(&mut Sight)| {
            let mut seen = record.seen.clone();
            change(&mut seen);
            differences(&record.seen, &seen).len()
        };
        assert_eq!(changed(|_| ()), 0);
        assert_eq!(changed(|seen| drop(seen.found.pop_first())), 1);
        assert_eq!(
            changed(|seen| drop(seen.ended.insert("new".to_owned(), Seen::Nothing))),
            1
        );
        assert_eq!(changed(|seen| seen.not_closed = Some("no".to_owned())), 1);
        assert_eq!(changed(|seen| seen.verified = None), 1);
    }
}
