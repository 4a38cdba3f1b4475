//! The anchor: a small file beside sled that says how far the hub had come.
//!
//! sled skips damaged stretches of its log without an error, and opens a truncated or replaced file
//! as a shorter or an empty store. Only something outside of sled can notice that, so after each
//! commit the anchor notes the commit's [`Mark`].
//!
//! The file has two slots of one page each. One slot is durable and left alone; the other takes
//! every note until the next sync makes it the durable one. So whatever a power cut does to a page
//! that is being written, the last synced note survives. A note is a plain write: after a kill it
//! is exact, after a power cut it is as old as the last sync, at most [`SYNC_EVERY`] while commits
//! go on. Nothing syncs the last note of an idle hub before the operating system does (or
//! `close`); an older note only means that a loss of the newest commits is not noticed.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use super::FORMAT;
use crate::store::OpenError;
use crate::store::kv::backend::{HubId, Mark};

/// How often notes are synced while commits go on.
pub(super) const SYNC_EVERY: Duration = Duration::from_secs(1);

/// One page, so that the kernel never holds half a note and a torn write spoils one slot only.
pub(super) const SLOT: usize = 4096;

const SLOTS: u64 = 2;
const MAGIC: [u8; 8] = *b"durable\x1a";
const CRC_AT: usize = SLOT - 4;

/// Names what wrote the data directory; another engine's files must never be opened with sled.
const ENGINE: [u8; 16] = *b"sled 0.34\0\0\0\0\0\0\0";

/// How a hub's life stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The data directory is not complete yet and nothing was ever acknowledged.
    Creating,
    /// In use, or closed.
    Ready,
    /// sled failed in the middle of a batch and may have kept one half of it.
    Torn,
}

/// What a slot says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Note {
    sequence: u64,
    hub: HubId,
    generation: u64,
    state: State,
    mark: Mark,
}

/// The open anchor of a hub.
#[derive(Debug)]
pub(super) struct Anchor {
    file: File,
    newest: Note,
    /// The slot that takes the notes; the other one is durable.
    slot: u64,
    unsynced: bool,
    synced_at: Instant,
}

impl Anchor {
    /// Writes the anchor of a hub's first generation to `path`, whole or not at all.
    ///
    /// The directory entry is durable only once the caller has synced the directory.
    pub(super) fn create(
        path: &Path,
        hub: HubId,
        state: State,
        mark: Mark,
        now: Instant,
    ) -> io::Result<Self> {
        let note = Note {
            sequence: 0,
            hub,
            generation: 1,
            state,
            mark,
        };
        let unfinished = path.with_extension("new");
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&unfinished)?;
        file.write_all(&note.encode())?;
        file.write_all(&note.encode())?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path)?;
        Ok(Self {
            file,
            newest: note,
            slot: 0,
            unsynced: false,
            synced_at: now,
        })
    }

    /// Reads the anchor of the hub in `directory`, which must have one.
    pub(super) fn open(directory: &Path, path: &Path, now: Instant) -> Result<Self, OpenError> {
        let io_error = |error| OpenError::Io {
            path: path.to_owned(),
            source: std::sync::Arc::new(error),
        };
        let file = File::options()
            .read(true)
            .write(true)
            .open(path)
            .map_err(io_error)?;
        let mut bytes = Vec::new();
        (&file)
            .take(SLOTS * SLOT as u64)
            .read_to_end(&mut bytes)
            .map_err(io_error)?;

        let (newest, slot) = newest_note(directory, &bytes)?;
        // The note may be younger than its sync; it must be durable before the other slot is
        // written over.
        file.sync_data().map_err(io_error)?;
        Ok(Self {
            file,
            newest,
            slot: 1 - slot,
            unsynced: false,
            synced_at: now,
        })
    }

    pub(super) fn hub(&self) -> HubId {
        self.newest.hub
    }

    pub(super) fn generation(&self) -> u64 {
        self.newest.generation
    }

    pub(super) fn state(&self) -> State {
        self.newest.state
    }

    pub(super) fn mark(&self) -> Mark {
        self.newest.mark
    }

    /// Notes a commit, and syncs if the last sync is [`SYNC_EVERY`] ago.
    pub(super) fn note(&mut self, mark: Mark, now: Instant) -> io::Result<()> {
        self.write(Note {
            mark,
            ..self.newest
        })?;
        if now.saturating_duration_since(self.synced_at) >= SYNC_EVERY {
            self.sync()?;
            self.synced_at = now;
        }
        Ok(())
    }

    /// Notes a new state.
    pub(super) fn set_state(&mut self, state: State) -> io::Result<()> {
        self.write_both(Note {
            state,
            ..self.newest
        })
    }

    /// Notes that from now on another generation holds the data.
    pub(super) fn set_generation(&mut self, generation: u64) -> io::Result<()> {
        self.write_both(Note {
            generation,
            ..self.newest
        })
    }

    /// Makes the newest note durable.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if self.unsynced {
            self.file.sync_data()?;
            self.slot = 1 - self.slot;
            self.unsynced = false;
        }
        Ok(())
    }

    /// The slot that a power cut could spoil now.
    #[cfg(test)]
    pub(super) fn unsynced_slot(&self) -> Option<usize> {
        self.unsynced.then(|| usize::try_from(self.slot).unwrap())
    }

    /// Writes both slots, durably: no later damage to one slot brings the old note back.
    fn write_both(&mut self, note: Note) -> io::Result<()> {
        for _ in 0..SLOTS {
            self.write(note)?;
            self.sync()?;
        }
        Ok(())
    }

    fn write(&mut self, note: Note) -> io::Result<()> {
        let note = Note {
            sequence: self.newest.sequence + 1,
            ..note
        };
        self.file.seek(SeekFrom::Start(self.slot * SLOT as u64))?;
        self.file.write_all(&note.encode())?;
        self.newest = note;
        self.unsynced = true;
        Ok(())
    }
}

/// The newest readable note in the anchor's bytes, and the slot that holds it.
fn newest_note(hub: &Path, bytes: &[u8]) -> Result<(Note, u64), OpenError> {
    let corrupt = |detail: String| OpenError::Corrupt {
        path: hub.to_owned(),
        detail,
    };
    let mut newest: Option<(Note, u64)> = None;
    for (slot, bytes) in (0..SLOTS).zip(bytes.chunks_exact(SLOT)) {
        match Note::decode(bytes) {
            Ok(note) if newest.is_none_or(|(other, _)| other.sequence < note.sequence) => {
                newest = Some((note, slot));
            }
            // One unreadable slot is what a power cut leaves of a page that was being written.
            Ok(_) | Err(Unreadable::Damaged) => {}
            Err(Unreadable::Format(found)) if found > FORMAT => {
                return Err(OpenError::NewerFormat {
                    path: hub.to_owned(),
                    found,
                    supported: FORMAT,
                });
            }
            Err(Unreadable::Format(found)) => {
                return Err(corrupt(format!("format {found} never existed")));
            }
            Err(Unreadable::Engine(name)) => {
                return Err(corrupt(format!(
                    "its data was written by {name:?}, not by sled 0.34"
                )));
            }
        }
    }
    newest.ok_or_else(|| corrupt("both slots of its anchor are unreadable".to_owned()))
}

/// Why a slot holds no note.
#[derive(Debug)]
enum Unreadable {
    Damaged,
    Format(u32),
    Engine(String),
}

/// The magic, the format and the CRC keep their places in every format, so that an old version can
/// tell a newer hub from a damaged one.
impl Note {
    fn encode(&self) -> [u8; SLOT] {
        let fields = [
            MAGIC.as_slice(),
            &FORMAT.to_be_bytes(),
            &self.sequence.to_be_bytes(),
            &self.hub,
            &ENGINE,
            &self.generation.to_be_bytes(),
            &[self.state.code()],
            &self.mark.commit.to_be_bytes(),
            &self.mark.created.to_be_bytes(),
            &self.mark.purged.to_be_bytes(),
        ]
        .concat();
        let mut slot = [0; SLOT];
        slot[..fields.len()].copy_from_slice(&fields);
        let crc = crc32fast::hash(&slot[..CRC_AT]);
        slot[CRC_AT..].copy_from_slice(&crc.to_be_bytes());
        slot
    }

    fn decode(slot: &[u8]) -> Result<Self, Unreadable> {
        let crc = crc32fast::hash(&slot[..CRC_AT]).to_be_bytes();
        let mut rest = slot;
        if slot[CRC_AT..] != crc || take::<8>(&mut rest) != MAGIC {
            return Err(Unreadable::Damaged);
        }
        let format = u32::from_be_bytes(take(&mut rest));
        if format != FORMAT {
            return Err(Unreadable::Format(format));
        }
        let sequence = u64::from_be_bytes(take(&mut rest));
        let hub = take(&mut rest);
        let engine: [u8; 16] = take(&mut rest);
        if engine != ENGINE {
            let name = String::from_utf8_lossy(&engine);
            return Err(Unreadable::Engine(name.trim_end_matches('\0').to_owned()));
        }
        let generation = u64::from_be_bytes(take(&mut rest));
        let state = State::from_code(take::<1>(&mut rest)[0]).ok_or(Unreadable::Damaged)?;
        let [commit, created, purged] =
            std::array::from_fn(|_| u64::from_be_bytes(take(&mut rest)));
        Ok(Self {
            sequence,
            hub,
            generation,
            state,
            mark: Mark {
                commit,
                created,
                purged,
            },
        })
    }
}

impl State {
    fn code(self) -> u8 {
        match self {
            Self::Creating => 0,
            Self::Ready => 1,
            Self::Torn => 2,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        [Self::Creating, Self::Ready, Self::Torn]
            .into_iter()
            .find(|state| state.code() == code)
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let (head, tail) = rest
        .split_first_chunk::<N>()
        .expect("a slot is longer than its fields");
    *rest = tail;
    *head
}
