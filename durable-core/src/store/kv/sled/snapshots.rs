//! sled's snapshots: what it makes of its log when it opens, so that it need not read all of it again.
//!
//! More than a cache: once the new snapshot is there, sled overwrites the segments of its log that
//! nothing in it refers to. It syncs the snapshot's content, and then gives it its name without
//! syncing that. So after a power cut while a hub was being opened the segments can be gone and the
//! snapshot can still have its old name, `snap.*.generating`: without it the log ends where the first
//! of those segments was, and nearly everything is lost. (Power cuts found it: one in ten of those that
//! hit the opening of a hub with large payloads.) Nothing else is ever written under that name, and the
//! log it was made of was synced before, so one that is whole is as good as one with its name.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::directory::sync_names;

const UNFINISHED: &str = ".generating";

/// Gives a snapshot its name that has all but that, and removes one that was written in part: sled
/// takes that for its newest, and then never opens again.
///
/// # Errors
///
/// What the system says if it refuses.
pub(super) fn finish(directory: &Path) -> io::Result<()> {
    let mut finished = false;
    for (path, name) in all(directory)? {
        let Some(name) = name.strip_suffix(UNFINISHED) else {
            continue;
        };
        if is_whole(&fs::read(&path)?) {
            fs::rename(path, directory.join(name))?;
            finished = true;
        } else {
            fs::remove_file(path)?;
        }
    }
    if finished {
        sync_names(directory)?;
    }
    Ok(())
}

/// Content, its length, its checksum.
fn is_whole(bytes: &[u8]) -> bool {
    let parts = bytes
        .split_last_chunk::<4>()
        .and_then(|(rest, checksum)| Some((rest.split_last_chunk::<8>()?, checksum)));
    parts.is_some_and(|((content, length), checksum)| {
        u64::from_le_bytes(*length) == content.len() as u64
            && u32::from_le_bytes(*checksum) == crc32fast::hash(content)
            && !content.is_empty()
    })
}

/// Renames the snapshots so that sled does not find them. Returns whether there were any.
pub(super) fn set_aside(directory: &Path) -> io::Result<bool> {
    let snapshots = all(directory)?;
    for (path, name) in &snapshots {
        fs::rename(path, directory.join(format!("aside.{name}")))?;
    }
    Ok(!snapshots.is_empty())
}

/// Where they are, and their names.
pub(super) fn all(directory: &Path) -> io::Result<Vec<(PathBuf, String)>> {
    let mut found = Vec::new();
    if !directory.exists() {
        return Ok(found);
    }
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("snap.") {
            found.push((entry.path(), name));
        }
    }
    Ok(found)
}
