//! A child process: started, read to its last whole line, killed.

use std::io::{BufRead, BufReader, Read, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::AnyError;
use crate::child::Brief;
use crate::clock::Stopwatch;

/// A child that runs. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
    started: Stopwatch,
}

const SIGKILL: i32 = 9;
/// More lines than these wait in the child.
const LINES_WAITING: usize = 1 << 14;

impl Process {
    pub(crate) fn start(dir: &Path, brief: &Brief) -> Result<Self, AnyError> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("child")
            .arg("--dir")
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (sender, lines) = sync_channel(LINES_WAITING);
        let out = child.stdout.take().ok_or("a child has no output")?;
        std::thread::spawn(move || {
            whole_lines(out, |line| sender.send(line).is_ok());
        });
        let input = child.stdin.take().ok_or("a child has no input")?;
        serde_json::to_writer(input, brief)?;
        Ok(Self {
            child,
            lines,
            started: Stopwatch::start(),
        })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How long it runs already.
    pub(crate) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// The next line, before the child is as old as that; [`None`] once there is no more.
    ///
    /// # Errors
    ///
    /// [`Timeout`] when it is.
    pub(crate) fn line(&self, before: Duration) -> Result<Option<String>, Timeout> {
        let wait = self.started.left_of(before).ok_or(Timeout)?;
        match self.lines.recv_timeout(wait) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => Err(Timeout),
        }
    }

    /// Kills it and returns what it said before, and how it ended if it was not by that.
    pub(crate) fn kill(mut self) -> Result<(Vec<String>, Option<ExitStatus>), AnyError> {
        self.child.kill()?;
        let status = self.child.wait()?;
        let lines = self.lines.iter().collect();
        Ok((lines, (status.signal() != Some(SIGKILL)).then_some(status)))
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Result<ExitStatus, AnyError> {
        Ok(self.child.wait()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended; then there is nothing to do.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// It took too long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeout;

/// Hands on every line that has its end; what a kill has cut off is dropped.
fn whole_lines(out: impl Read, mut take: impl FnMut(String) -> bool) {
    let mut out = BufReader::new(out);
    let mut line = Vec::new();
    while let Ok(1..) = out.read_until(b'\n', &mut line) {
        if line.pop() != Some(b'\n') || !take(String::from_utf8_lossy(&line).into_owned()) {
            return;
        }
        line.clear();
    }
}

/// A process that has ended.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    /// What it said.
    pub(crate) text: String,
}

/// Runs a process to its end; [`None`] if it had to be killed because it took too long, with
/// everything that it had started.
pub(crate) fn run_for(
    command: &mut Command,
    input: &[u8],
    limit: Duration,
) -> Result<Option<Output>, AnyError> {
    let command = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .process_group(0);
    let mut child = command.spawn()?;
    let told = child
        .stdin
        .take()
        .map_or(Ok(()), |mut stdin| stdin.write_all(input));
    let mut out = child.stdout.take().ok_or("a child has no output")?;
    let (sender, said) = sync_channel(1);
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = out.read_to_end(&mut bytes);
        // Nobody listens any more if it took too long.
        drop(sender.send(read.map(|_| bytes)));
    });
    let Ok(bytes) = said.recv_timeout(limit) else {
        kill_process_group(Pid::from_child(&child), Signal::KILL)?;
        child.wait()?;
        return Ok(None);
    };
    let status = child.wait()?;
    // One that has ended before it has listened says why in its status.
    told.or_else(|error| if status.success() { Err(error) } else { Ok(()) })?;
    let text = String::from_utf8_lossy(&bytes?).into_owned();
    Ok(Some(Output { status, text }))
}
