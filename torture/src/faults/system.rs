//! The real system: processes under `strace` and `ulimit`, mounts.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::cases::World;
use super::judge::Ended;
use crate::AnyError;
use crate::process::{Output, run_for};

/// Why this machine cannot make a fault.
#[derive(Debug)]
pub(super) struct Unable(pub(super) String);

/// What a process said, and how it ended.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) lines: String,
    pub(super) ended: Ended,
}

const LIMIT: Duration = Duration::from_secs(120);

/// Runs one process of errands in its world.
pub(super) fn run(world: &World, place: &Path, brief: &[u8]) -> Result<Process, AnyError> {
    let itself = std::env::current_exe()?;
    let mut command = match world {
        World::Seam | World::FullDisk { .. } | World::ReadOnly => Command::new(itself),
        World::Limit(limit) => {
            let mut shell = Command::new("sh");
            shell
                .args(["-c", &format!("{limit} && exec \"$0\" \"$@\"")])
                .arg(itself);
            shell
        }
        World::Strace { inject, only } => {
            let call = inject.split(':').next().unwrap_or(inject);
            let mut strace = Command::new("strace");
            strace
                .args(["-f", "-qq", "-e", "signal=none", "-o"])
                .arg(log(place));
            strace
                .arg("-e")
                .arg(format!("trace={call}"))
                .arg("-e")
                .arg(format!("inject={inject}"));
            if let Some(only) = only {
                strace.arg("-P").arg(place.join("hub").join(only));
            }
            strace.arg(itself);
            strace
        }
    };
    command.arg("errands").stderr(Stdio::null());
    let output = run_for(&mut command, brief, LIMIT)?;
    Ok(match output {
        None => Process {
            lines: String::new(),
            ended: Ended::Hung,
        },
        Some(Output { status, text }) => {
            let ended = match (status.code(), status.signal()) {
                (Some(0), _) => Ended::Well,
                (Some(_), _) => Ended::Badly,
                (None, _) => Ended::Killed,
            };
            Process { lines: text, ended }
        }
    })
}

fn log(place: &Path) -> PathBuf {
    place.join("strace")
}

/// A sync that is made although one has failed.
pub(super) fn retried(world: &World, place: &Path) -> Result<Option<String>, AnyError> {
    let World::Strace { inject, .. } = world else {
        return Ok(None);
    };
    // sled's own fsync is a matter of its own: nothing waits for it.
    if !inject.starts_with("fdatasync:error") {
        return Ok(None);
    }
    let log = fs::read_to_string(log(place))?;
    let mut lines = log.lines().skip_while(|line| !line.contains("(INJECTED)"));
    if lines.next().is_none() {
        return Ok(Some("the fault was not made".to_owned()));
    }
    Ok(lines
        .find(|line| line.contains("fdatasync("))
        .map(|line| format!("a sync after the one that failed: {line}")))
}

/// What must be undone.
#[derive(Debug)]
pub(super) enum Entered {
    Nothing,
    Disk(Mounted),
    ReadOnly {
        dir: PathBuf,
        mounted: Option<Mounted>,
    },
}

/// Prepares what a case needs, if this machine can.
pub(super) fn enter(world: &World, place: &Path) -> Result<Entered, Unable> {
    match world {
        World::Seam => Ok(Entered::Nothing),
        World::Limit(_) => able("sh", &["-c", "ulimit -n"]).map(|()| Entered::Nothing),
        World::Strace { .. } => {
            able("strace", &["-qq", "-o", "/dev/null", "true"]).map(|()| Entered::Nothing)
        }
        World::FullDisk { mib } => {
            let size = format!("size={mib}m");
            Mounted::new(place, &["-t", "tmpfs", "-o", &size, "tmpfs"]).map(Entered::Disk)
        }
        World::ReadOnly => {
            let dir = place.join("hub");
            let source = place.to_string_lossy();
            // Only to see whether it can be done.
            Mounted::new(place, &["--bind", &source]).map(|mounted| {
                drop(mounted);
                Entered::ReadOnly { dir, mounted: None }
            })
        }
    }
}

impl Entered {
    /// Now it begins.
    pub(super) fn strike(&mut self) -> Result<(), AnyError> {
        if let Self::ReadOnly { dir, mounted } = self {
            let source = dir.to_string_lossy().into_owned();
            let read_only = Mounted::new(dir, &["--bind", &source]);
            *mounted = Some(read_only.map_err(|Unable(why)| why)?);
            mount(dir, &["-o", "remount,bind,ro"]).map_err(|Unable(why)| why)?;
        }
        Ok(())
    }

    /// Now it is over.
    pub(super) fn heal(&mut self) -> Result<(), AnyError> {
        match self {
            Self::Nothing => {}
            Self::Disk(Mounted(path)) => {
                mount(path, &["-o", "remount,size=512m"]).map_err(|Unable(why)| why)?;
            }
            Self::ReadOnly { mounted, .. } => drop(mounted.take()),
        }
        Ok(())
    }
}

/// A mount, for as long as this is there.
#[derive(Debug)]
pub(super) struct Mounted(PathBuf);

impl Mounted {
    fn new(at: &Path, how: &[&str]) -> Result<Self, Unable> {
        mount(at, how).map(|()| Self(at.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Whoever wants to remove the directory will notice.
        drop(Command::new("umount").arg(&self.0).output());
    }
}

fn mount(at: &Path, how: &[&str]) -> Result<(), Unable> {
    let at = at.to_string_lossy();
    able("mount", &[how, &[&*at]].concat())
}

fn able(program: &str, args: &[&str]) -> Result<(), Unable> {
    match Command::new(program).args(args).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let why = String::from_utf8_lossy(&output.stderr);
            Err(Unable(format!("{program}: {}", why.trim())))
        }
        Err(error) => Err(Unable(format!("{program}: {error}"))),
    }
}
