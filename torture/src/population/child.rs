//! Processes that make a population, and that look at one: a panic, an abort or a hang there is not
//! one here.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Leave, Sight};
use crate::AnyError;
use crate::line::{complain, say};
use crate::process::{Output, run_for};

/// What such a process is told.
#[derive(Debug)]
pub(crate) enum Options {
    Make {
        dir: PathBuf,
        numbers: Range<u64>,
        leave: Leave,
    },
    Look {
        dir: PathBuf,
        numbers: Range<u64>,
    },
}

/// What came of looking.
#[derive(Debug)]
pub(crate) enum Looked {
    Saw(Box<Sight>),
    /// The process did not end by itself, or not well.
    Died(String),
    Hung,
}

/// Longer than the patience within, and both closings. Where an inner node of sled's tree is gone,
/// each look behind it takes a million steps and then panics, which is damage that is told; all of
/// them take minutes.
const LOOK_LIMIT: Duration = Duration::from_secs(600);
const MAKE_LIMIT: Duration = Duration::from_secs(300);

/// Adds instances to the hub in `dir`.
pub(crate) fn make(dir: &Path, numbers: Range<u64>, leave: Leave) -> Result<(), AnyError> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["make", "--dir"])
        .arg(dir)
        .args(["--from", &numbers.start.to_string()])
        .args(["--to", &numbers.end.to_string()]);
    if leave == Leave::Open {
        command.arg("--leave-open");
    }
    match run_for(&mut command, &[], MAKE_LIMIT)? {
        Some(Output { status, .. }) if status.success() => Ok(()),
        other => Err(format!("a hub could not be made: {other:?}").into()),
    }
}

/// Looks at a hub that must be whole.
pub(crate) fn look(dir: &Path, numbers: Range<u64>) -> Result<Sight, AnyError> {
    match look_at_damage(dir, numbers)? {
        Looked::Saw(sight) => Ok(*sight),
        looked @ (Looked::Died(_) | Looked::Hung) => {
            Err(format!("a hub could not be looked at: {looked:?}").into())
        }
    }
}

/// Looks at a hub that may be damaged.
pub(crate) fn look_at_damage(dir: &Path, numbers: Range<u64>) -> Result<Looked, AnyError> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["look", "--dir"])
        .arg(dir)
        .args(["--from", &numbers.start.to_string()])
        .args(["--to", &numbers.end.to_string()])
        .stderr(Stdio::null());
    let Some(Output { status, text }) = run_for(&mut command, &[], LOOK_LIMIT)? else {
        return Ok(Looked::Hung);
    };
    if !status.success() {
        return Ok(Looked::Died(status.to_string()));
    }
    Ok(Looked::Saw(serde_json::from_str(&text)?))
}

/// The process itself.
pub(crate) fn run(options: &Options) -> Result<(), AnyError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    match options {
        Options::Make {
            dir,
            numbers,
            leave,
        } => runtime.block_on(super::make(dir, numbers.clone(), *leave)),
        Options::Look { dir, numbers } => {
            let panics = watch_panics();
            let mut sight = runtime.block_on(super::look(dir, numbers.clone()));
            sight.panics =
                std::mem::take(&mut panics.lock().unwrap_or_else(PoisonError::into_inner));
            Ok(say(&serde_json::to_string(&sight)?)?)
        }
    }
}

/// Notes the panics of this library and of this harness. sled's are caught where they are made.
pub(crate) fn watch_panics() -> Arc<Mutex<Vec<String>>> {
    let panics = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&panics);
    std::panic::set_hook(Box::new(move |panic| {
        let ours = panic.location().is_some_and(|place| {
            let file = place.file();
            !Path::new(file).is_absolute()
                && ["durable", "torture"]
                    .iter()
                    .any(|part| file.starts_with(part))
        });
        // Of no use to whoever judges, but to whoever looks for the reason.
        complain(&panic.to_string());
        if ours {
            let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
            noted.push(panic.to_string());
        }
    }));
    panics
}
