//! What a child says: one line of JSON for each thing that the library has acknowledged, written
//! after it was, and for each that it is about to ask for, written before.

use std::fmt;
use std::io::{self, Write};

use durable_core::RuntimeStatus;
use serde::{Deserialize, Serialize};

use crate::plan::Output;

/// One line of a child. `n` is the number of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Line {
    /// The hub is open and its worker runs.
    Ready { open_us: u64 },
    /// The hub would not open.
    NotOpened { text: String },
    /// It is about to be started.
    Starting { n: u64 },
    /// Its start was acknowledged.
    Started { n: u64 },
    /// Its start was refused: it exists.
    Existed { n: u64 },
    /// An event is about to be raised; `name` counts the names of an instance.
    Raising { n: u64, name: usize, number: u64 },
    /// The event was acknowledged.
    Raised { n: u64, name: usize, number: u64 },
    /// The event was refused: the instance has ended.
    Refused { n: u64, name: usize, number: u64 },
    /// Its status is about to be read or waited for; `ask` is new for each.
    Ask { n: u64, ask: u64 },
    /// What was read.
    Read {
        n: u64,
        ask: u64,
        view: Option<View>,
    },
    /// It is about to be terminated.
    Terminating { n: u64 },
    /// Its termination was acknowledged.
    Terminated { n: u64 },
    /// Its termination was refused: it has ended.
    TooLate { n: u64 },
    /// It is about to be purged.
    Purging { n: u64 },
    /// Its purge was acknowledged.
    Purged { n: u64 },
    /// Its purge was refused: it is not there.
    Gone { n: u64 },
    /// An attempt at an activity begins.
    Begin {
        n: u64,
        step: u32,
        attempt: u32,
        key: String,
        input: Digest,
    },
    /// The attempt is about to return.
    End { n: u64, step: u32, attempt: u32 },
    /// The hub was compacted.
    Compacted,
    /// Something that must not happen.
    Mishap { text: String },
    /// All that was to be done is done, and the hub is closed.
    Finished,
}

/// An instance as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct View {
    pub(crate) status: RuntimeStatus,
    /// Its custom status: how far it is.
    pub(crate) progress: u32,
    pub(crate) end: Option<End>,
    pub(crate) problem: Option<String>,
}

/// How an instance has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum End {
    Output {
        events: [Vec<u64>; 2],
        waited_us: Option<u64>,
        blob: Digest,
    },
    Failure(String),
}

impl From<Output> for End {
    fn from(output: Output) -> Self {
        Self::Output {
            blob: Digest::of(&output.blob),
            events: output.events,
            waited_us: output.waited_us,
        }
    }
}

/// Stands for a text that would make a line long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Digest {
    len: usize,
    crc: u32,
}

impl Digest {
    pub(crate) fn of(text: &str) -> Self {
        Self {
            len: text.len(),
            crc: crc32fast::hash(text.as_bytes()),
        }
    }
}

impl Line {
    /// The instance it is about.
    pub(crate) fn instance(&self) -> Option<u64> {
        match self {
            Self::Starting { n }
            | Self::Started { n }
            | Self::Existed { n }
            | Self::Raising { n, .. }
            | Self::Raised { n, .. }
            | Self::Refused { n, .. }
            | Self::Ask { n, .. }
            | Self::Read { n, .. }
            | Self::Terminating { n }
            | Self::Terminated { n }
            | Self::TooLate { n }
            | Self::Purging { n }
            | Self::Purged { n }
            | Self::Gone { n }
            | Self::Begin { n, .. }
            | Self::End { n, .. } => Some(*n),
            Self::Ready { .. }
            | Self::NotOpened { .. }
            | Self::Compacted
            | Self::Mishap { .. }
            | Self::Finished => None,
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

/// Writes a whole line to standard output at once.
pub(crate) fn say(line: &impl fmt::Display) -> io::Result<()> {
    let text = format!("{line}\n");
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes to standard error what a person should know.
pub(crate) fn complain(text: &str) {
    // Nobody to tell that there is nobody to tell.
    drop(writeln!(io::stderr(), "{text}"));
}
