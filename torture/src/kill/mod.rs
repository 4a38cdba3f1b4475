//! Kills a process under load with SIGKILL, again and again, on one growing directory.
//!
//! The child says what the library has acknowledged, [`model`] judges every line by what was said
//! before, in this process or in those killed. Now and then, and at the end, a child is left alive
//! until everything has ended, and looks at every instance there ever was.

mod events;
mod instance;
mod journal;
mod model;
mod process;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use fastrand::Rng;

use self::journal::Journal;
use self::model::{Breach, Model};
use self::process::{Process, Timeout};
use crate::child::Brief;
use crate::line::{Line, complain, say};
use crate::plan::rng;
use crate::{AnyError, Verdict};

/// What `kill` is told.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) rounds: u64,
    pub(crate) seed: u64,
    /// Orchestrations under way at once.
    pub(crate) instances: u64,
}

/// Rounds between two looks at everything.
const ROUNDS_PER_AUDIT: u64 = 25;
/// New instances of a round, for each that may be under way: enough that the load lasts.
const STARTS_PER_LANE: u64 = 100;
/// What opening is thought to take before it was measured.
const OPENING_GUESS: Duration = Duration::from_millis(20);
/// A child that is not ready by then never will be.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// All that is under way must have ended by then.
const FINISH_LIMIT: Duration = Duration::from_secs(180);

/// Kills as often as it is told, and says what became of what was acknowledged.
pub(crate) fn run(options: &Options) -> Result<Verdict, AnyError> {
    let dir = tempfile::Builder::new().prefix("durable-kill-").tempdir()?;
    let mut torture = Torture::new(options, dir.path())?;
    let mut rounds = 0;
    while rounds < options.rounds && torture.model.violations.is_empty() {
        torture.round()?;
        rounds += 1;
        if rounds % ROUNDS_PER_AUDIT == 0 || rounds == options.rounds {
            torture.audit()?;
        }
    }
    let kept = torture.model.violations.is_empty();
    if !kept {
        torture.explain()?;
        complain(&format!("what is left: {}", dir.keep().display()));
    }
    say(&torture.figures(rounds))?;
    Ok(if kept { Verdict::Kept } else { Verdict::Broken })
}

/// A run of children on one directory.
struct Torture<'a> {
    options: &'a Options,
    hub: PathBuf,
    rng: Rng,
    model: Model,
    journal: Journal,
    /// How long opening took the last time, and the longest ever.
    opening: Duration,
    reopen_max: Duration,
    /// Killed before they were ready.
    killed_early: u64,
}

impl<'a> Torture<'a> {
    fn new(options: &'a Options, dir: &Path) -> Result<Self, AnyError> {
        Ok(Self {
            options,
            hub: dir.join("hub"),
            rng: rng(&[options.seed]),
            model: Model::new(options.seed),
            journal: Journal::create(dir)?,
            opening: OPENING_GUESS,
            reopen_max: Duration::ZERO,
            killed_early: 0,
        })
    }

    /// One child, killed.
    fn round(&mut self) -> Result<(), AnyError> {
        self.model.begin_round();
        let Options { instances, .. } = *self.options;
        let max_live = *self.rng.choice(&[3, 8, 20_000, 20_000]).unwrap_or(&3);
        let restarts = if self.rng.bool() {
            self.rng.u64(1..8)
        } else {
            0
        };
        let brief = Brief {
            starts: instances * STARTS_PER_LANE,
            at_once: instances,
            max_live,
            restarts,
            ..self.model.brief()
        };
        let process = Process::start(&self.hub, self.options.seed, &brief)?;
        // Some while they open the hub and recover, most while they work.
        let early = self.rng.u8(0..4) == 0;
        let mut until = if early {
            self.opening.mul_f64(1.5 * self.rng.f64())
        } else {
            READY_LIMIT
        };
        let mut ready = false;
        while let Ok(line) = process.line(until) {
            let Some(line) = line else {
                break;
            };
            if self.take(&line)? {
                ready = true;
                if !early {
                    until = process.age() + Duration::from_millis(self.rng.u64(5..=400));
                }
            }
        }
        self.killed_early += u64::from(!ready);
        let (rest, ended) = process.kill()?;
        for line in rest {
            self.take(&line)?;
        }
        if let Some(status) = ended {
            self.broken(format!("a child ended by itself: {status}"));
        } else if !ready && !early {
            self.broken(format!("a child was not ready after {READY_LIMIT:?}"));
        }
        Ok(())
    }

    /// One child that is left alive until everything has ended.
    fn audit(&mut self) -> Result<(), AnyError> {
        self.model.begin_round();
        let brief = Brief {
            finish: Some(self.model.all()),
            ..self.model.brief()
        };
        let process = Process::start(&self.hub, self.options.seed, &brief)?;
        loop {
            match process.line(FINISH_LIMIT) {
                Ok(Some(line)) => drop(self.take(&line)?),
                Ok(None) => break,
                Err(Timeout) => {
                    let open = self.model.open();
                    self.broken(format!("not ended after {FINISH_LIMIT:?}: {open:?}"));
                    return process.kill().map(drop);
                }
            }
        }
        let status = process.wait()?;
        let open = self.model.open();
        if !status.success() || !open.is_empty() {
            self.broken(format!("after {status} there is still under way: {open:?}"));
        }
        Ok(())
    }

    /// Takes in a line of a child. Says whether it is ready with it.
    fn take(&mut self, text: &str) -> Result<bool, AnyError> {
        self.journal.note(text)?;
        let Ok(line) = Line::parse(text) else {
            self.broken(format!("a child says `{text}`"));
            return Ok(false);
        };
        self.model.take(&line);
        if let Line::Ready { open_us } = line {
            self.opening = Duration::from_micros(open_us);
            self.reopen_max = self.reopen_max.max(self.opening);
            return Ok(true);
        }
        Ok(false)
    }

    fn broken(&mut self, text: String) {
        self.model.violate(Breach::Broken, None, text);
    }

    /// Says what went wrong, with what was said of the instances it went wrong with.
    fn explain(&mut self) -> Result<(), AnyError> {
        const SHOWN: usize = 10;
        complain(&format!("seed {}: promises were broken", self.options.seed));
        for violation in self.model.violations.iter().take(SHOWN) {
            complain(&violation.to_string());
            if let Some(n) = violation.instance {
                for line in self.journal.lines_of(n)? {
                    complain(&format!("    {line}"));
                }
            }
        }
        let more = self.model.violations.len().saturating_sub(SHOWN);
        if more > 0 {
            complain(&format!("and {more} more"));
        }
        Ok(())
    }

    fn figures(&self, rounds: u64) -> String {
        let counts = self.model.counts;
        let acknowledged = counts.starts + counts.events + counts.completions + counts.terminations;
        let breaches = |breach| self.model.breaches(breach);
        format!(
            "kill: rounds={rounds} seed={} killed_while_opening={} acknowledged={acknowledged} \
             (starts={}, events={}, completions={}, terminations={}) reads={} attempts={} \
             came_through_unacknowledged={} lost={} duplicated={} changed={} broken={} \
             reopen_max_ms={:.1}",
            self.options.seed,
            self.killed_early,
            counts.starts,
            counts.events,
            counts.completions,
            counts.terminations,
            counts.reads,
            counts.attempts,
            counts.came_through,
            breaches(Breach::Lost),
            breaches(Breach::Duplicated),
            breaches(Breach::Changed),
            breaches(Breach::Broken),
            self.reopen_max.as_secs_f64() * 1e3,
        )
    }
}
