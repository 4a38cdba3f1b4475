//! What happens to files.

use std::fmt;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use fastrand::Rng;

use super::{Hubs, copy};
use crate::AnyError;

/// One way of damage.
#[derive(Clone, Debug)]
pub(super) struct Damage {
    /// What is damaged, within the hub.
    file: PathBuf,
    way: Way,
    /// sled's snapshot is gone, too: it may hide what is wrong with the log.
    without_snapshot: bool,
}

#[derive(Clone, Debug)]
enum Way {
    /// Some bits.
    Flip(Vec<(u64, u8)>),
    Truncate(u64),
    /// Bytes that mean nothing, over what is there or behind it.
    Garbage {
        at: u64,
        bytes: Vec<u8>,
    },
    Zero {
        at: u64,
        len: usize,
    },
    /// A page is written to another place.
    Misplace {
        from: u64,
        to: u64,
    },
    Missing,
    Directory,
    /// An older copy is put back.
    Older,
    /// That of another hub is put in its place.
    Foreign,
}

const PAGE: u64 = 4096;

impl Damage {
    /// Damage to one of the files in `hub`, most often the largest.
    pub(super) fn choose(rng: &mut Rng, hub: &Path) -> Result<Self, AnyError> {
        let mut files = Vec::new();
        list(hub, hub, &mut files)?;
        files.sort();
        let database = files.iter().find(|file| file.ends_with("db"));
        let file = match database {
            Some(database) if rng.u8(0..10) < 6 => database.clone(),
            _ => files.swap_remove(rng.usize(0..files.len())),
        };
        let path = hub.join(&file);
        let way = if path.is_dir() {
            *rng.choice(&[&Way::Missing, &Way::Older, &Way::Foreign])
                .unwrap_or(&&Way::Missing)
        } else {
            &Way::of_file(rng, &path)?
        };
        Ok(Self {
            file,
            way: way.clone(),
            without_snapshot: rng.u8(0..4) == 0,
        })
    }

    pub(super) fn inflict(&self, hub: &Path, hubs: &Hubs) -> Result<(), AnyError> {
        if self.without_snapshot {
            remove_snapshots(hub)?;
        }
        let path = hub.join(&self.file);
        if !path.exists() {
            // It was a snapshot.
            return Ok(());
        }
        match &self.way {
            Way::Flip(bits) => {
                let file = File::options().read(true).write(true).open(&path)?;
                for (at, bit) in bits {
                    let mut byte = [0];
                    file.read_exact_at(&mut byte, *at)?;
                    file.write_all_at(&[byte[0] ^ 1 << bit], *at)?;
                }
            }
            Way::Truncate(len) => File::options().write(true).open(&path)?.set_len(*len)?,
            Way::Garbage { at, bytes } => {
                File::options()
                    .write(true)
                    .open(&path)?
                    .write_all_at(bytes, *at)?;
            }
            Way::Zero { at, len } => {
                File::options()
                    .write(true)
                    .open(&path)?
                    .write_all_at(&vec![0; *len], *at)?;
            }
            Way::Misplace { from, to } => {
                let file = File::options().read(true).write(true).open(&path)?;
                let mut page = vec![0; usize::try_from(PAGE)?];
                let len = file.read_at(&mut page, *from)?;
                file.write_all_at(&page[..len], *to)?;
            }
            Way::Missing => remove(&path)?,
            Way::Directory => {
                fs::remove_file(&path)?;
                fs::create_dir(&path)?;
                File::create(path.join("file"))?.write_all(b"not a database")?;
            }
            Way::Older => replace(&path, &hubs.older, &self.file)?,
            Way::Foreign => replace(&path, &hubs.other, &self.file)?,
        }
        Ok(())
    }

    /// What kind of damage it is, for the count.
    pub(super) fn name(&self) -> &'static str {
        match self.way {
            Way::Flip(_) => "flipped",
            Way::Truncate(_) => "truncated",
            Way::Garbage { .. } => "garbage",
            Way::Zero { .. } => "zeroed",
            Way::Misplace { .. } => "misplaced",
            Way::Missing => "missing",
            Way::Directory => "directory",
            Way::Older => "older",
            Way::Foreign => "foreign",
        }
    }
}

impl Way {
    fn of_file(rng: &mut Rng, path: &Path) -> Result<Self, AnyError> {
        let bytes = fs::read(path)?;
        let len = bytes.len() as u64;
        let place = |rng: &mut Rng| within(rng, &bytes);
        Ok(match rng.u8(0..24) {
            0..6 if len > 0 => {
                let count = if rng.bool() { 1 } else { rng.usize(2..12) };
                Self::Flip((0..count).map(|_| (place(rng), rng.u8(0..8))).collect())
            }
            6..9 if len > 0 => Self::Truncate(match rng.u8(0..4) {
                0 => 0,
                1 => len - 1,
                2 => place(rng) / PAGE * PAGE,
                _ => place(rng),
            }),
            9..13 => {
                let longest = 1 << rng.u8(3..17);
                let mut bytes = vec![0; rng.usize(1..=longest)];
                rng.fill(&mut bytes);
                let at = if len == 0 || rng.u8(0..8) == 0 {
                    len
                } else {
                    place(rng)
                };
                Self::Garbage { at, bytes }
            }
            13..16 if len > 0 => Self::Zero {
                at: place(rng) / PAGE * PAGE,
                len: usize::try_from(PAGE)? * rng.usize(1..=16),
            },
            16..18 if len > PAGE => Self::Misplace {
                from: place(rng) / PAGE * PAGE,
                to: place(rng) / PAGE * PAGE,
            },
            18 => Self::Directory,
            19..21 => Self::Missing,
            21..23 => Self::Older,
            _ => Self::Foreign,
        })
    }
}

/// Somewhere in a file, most often where there is something.
fn within(rng: &mut Rng, bytes: &[u8]) -> u64 {
    const ATTEMPTS: usize = 64;
    let anywhere = |rng: &mut Rng| rng.usize(0..bytes.len().max(1));
    let mut at = anywhere(rng);
    if rng.u8(0..8) > 0 {
        for _ in 0..ATTEMPTS {
            if bytes.get(at).is_some_and(|byte| *byte != 0) {
                break;
            }
            at = anywhere(rng);
        }
    }
    at as u64
}

/// The files and directories below `dir`.
fn list(root: &Path, dir: &Path, found: &mut Vec<PathBuf>) -> Result<(), AnyError> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        found.push(path.strip_prefix(root)?.to_owned());
        if path.is_dir() {
            list(root, &path, found)?;
        }
    }
    Ok(())
}

fn remove_snapshots(hub: &Path) -> Result<(), AnyError> {
    let mut files = Vec::new();
    list(hub, hub, &mut files)?;
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("snap.") {
            fs::remove_file(hub.join(&file))?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), AnyError> {
    if path.is_dir() {
        fs::remove_dir_all(path)?;
    } else {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// Puts what another hub has at that place there; a snapshot's name differs from hub to hub.
fn replace(path: &Path, hub: &Path, file: &Path) -> Result<(), AnyError> {
    remove(path)?;
    let mut from = hub.join(file);
    if !from.exists() {
        let parent = from.parent().unwrap_or(hub);
        let mut names = fs::read_dir(parent)?.collect::<Result<Vec<_>, _>>()?;
        names.retain(|entry| entry.file_name().to_string_lossy().starts_with("snap."));
        let Some(snapshot) = names.pop() else {
            return Ok(());
        };
        from = snapshot.path();
    }
    let to = path.with_file_name(from.file_name().unwrap_or_default());
    if from.is_dir() {
        copy(&from, &to)
    } else {
        fs::copy(from, to)?;
        Ok(())
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file.display())?;
        match &self.way {
            Way::Flip(bits) => write!(f, "flipped {bits:?}")?,
            Way::Garbage { at, bytes } => write!(f, "{} bytes of garbage at {at}", bytes.len())?,
            Way::Truncate(_) | Way::Zero { .. } | Way::Misplace { .. } => {
                write!(f, "{:?}", self.way)?;
            }
            Way::Missing | Way::Directory | Way::Older | Way::Foreign => {
                f.write_str(self.name())?;
            }
        }
        if self.without_snapshot {
            f.write_str(", without snapshot")?;
        }
        Ok(())
    }
}
