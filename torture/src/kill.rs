//! Kills a process under load with SIGKILL, again and again, on one growing directory.
//!
//! Most children are killed at a moment that is a time, some at a call into the store that they are
//! told, among these some again and again while they recover. A child says what the library has
//! acknowledged; [`judge`](crate::judge) judges every line by what was said before, by this child
//! or those killed. Now and then, and at the end, a child is left alive until everything has ended,
//! and looks at every instance there ever was.

use std::time::Duration;

use fastrand::Rng;

use crate::child::{Brief, Call, Death};
use crate::line::{complain, say};
use crate::plan::{Load, Plans, rng};
use crate::process::{Process, Timeout};
use crate::trial::Trial;
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
/// A child that has not come to the call it should die at by then is killed: it may be that there
/// is nothing left to call the store for.
const CALL_LIMIT: Duration = Duration::from_secs(2);

/// Kills as often as it is told, and says what became of what was acknowledged.
pub(crate) fn run(options: &Options) -> Result<Verdict, AnyError> {
    let dir = tempfile::Builder::new().prefix("durable-kill-").tempdir()?;
    let plans = Plans {
        seed: options.seed,
        load: Load::Brisk,
    };
    let mut torture = Torture {
        options,
        rng: rng(&[options.seed]),
        trial: Trial::new(dir.path().join("hub"), dir.path(), plans)?,
        deaths: Deaths::default(),
        dies_again: 0,
    };
    let mut rounds = 0;
    while rounds < options.rounds && torture.trial.holds() {
        torture.round()?;
        rounds += 1;
        if rounds % ROUNDS_PER_AUDIT == 0 || rounds == options.rounds {
            torture.trial.audit()?;
        }
    }
    let kept = torture.trial.holds();
    if !kept {
        torture.trial.explain()?;
        complain(&format!("what is left: {}", dir.keep().display()));
    }
    say(&torture.figures(rounds))?;
    Ok(if kept { Verdict::Kept } else { Verdict::Broken })
}

/// A run of children on one directory.
#[derive(Debug)]
struct Torture<'a> {
    options: &'a Options,
    rng: Rng,
    trial: Trial,
    deaths: Deaths,
    /// How many more children die early at a call, while they recover from the death before.
    dies_again: u64,
}

/// How many children died how.
#[derive(Clone, Copy, Debug, Default)]
struct Deaths {
    /// Killed at a random moment, some of them before they were ready.
    at_a_moment: u64,
    at_a_read: u64,
    at_an_apply: u64,
    at_a_sync: u64,
    /// Before they were ready, wherever they died.
    opening: u64,
    /// At a call, one right after another.
    in_series: u64,
}

/// How a child is to die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Around the time at which it is ready.
    Early,
    /// Some time after it is ready.
    Working,
    At(Death),
}

impl Torture<'_> {
    /// One child, killed.
    fn round(&mut self) -> Result<(), AnyError> {
        let way = self.way();
        let max_live = *self.rng.choice(&[3, 8, 20_000, 20_000]).unwrap_or(&3);
        let restarts = if self.rng.bool() {
            self.rng.u64(1..8)
        } else {
            0
        };
        let compact_beyond = (self.rng.u8(0..6) == 0).then_some(0);
        let at_once = self.options.instances;
        let process = self.trial.child(|brief| Brief {
            starts: at_once * STARTS_PER_LANE,
            at_once,
            max_live,
            restarts,
            compact_beyond,
            death: match way {
                Way::At(death) => Some(death),
                Way::Early | Way::Working => None,
            },
            ..brief
        })?;
        let Watched { ready, ended } = self.watch(&process, way)?;
        let (rest, status) = process.kill()?;
        for line in rest {
            self.trial.take(&line)?;
        }
        self.deaths.opening += u64::from(!ready);
        match (way, ended, status) {
            (_, _, Some(status)) => {
                self.trial
                    .broken(format!("a child ended by itself: {status}"));
            }
            (Way::Early | Way::Working, true, None) => {
                self.trial
                    .broken("somebody else has killed a child".to_owned());
            }
            (Way::Working, false, None) if !ready => self
                .trial
                .broken(format!("a child was not ready after {READY_LIMIT:?}")),
            (Way::At(death), true, None) => self.died_at(death.call),
            (_, false, None) => self.deaths.at_a_moment += 1,
        }
        Ok(())
    }

    /// How the next child is to die: half of them at some moment, half of them at some call.
    fn way(&mut self) -> Way {
        if self.dies_again > 0 {
            self.dies_again -= 1;
            self.deaths.in_series += 1;
            return Way::At(self.death(8));
        }
        match self.rng.u8(0..8) {
            // Some while they open the hub and recover, most while they work.
            0 => Way::Early,
            1..4 => Way::Working,
            4..7 => {
                let farthest = 1 << self.rng.u8(1..=9);
                Way::At(self.death(farthest))
            }
            _ => {
                self.dies_again = self.rng.u64(1..=3);
                self.way()
            }
        }
    }

    fn death(&mut self, farthest: u64) -> Death {
        let calls = [Call::Read, Call::Apply, Call::Apply, Call::Sync, Call::Sync];
        Death {
            call: *self.rng.choice(&calls).unwrap_or(&Call::Sync),
            nth: self.rng.u64(1..=farthest),
            after: self.rng.bool(),
        }
    }

    /// Listens to a child until it is time to kill it, or it has died.
    fn watch(&mut self, process: &Process, way: Way) -> Result<Watched, AnyError> {
        let mut until = match way {
            Way::Early => {
                let opening = self.trial.openings.last.unwrap_or(OPENING_GUESS);
                opening.mul_f64(1.5 * self.rng.f64())
            }
            Way::Working => READY_LIMIT,
            Way::At(_) => CALL_LIMIT,
        };
        let mut ready = false;
        loop {
            match process.line(until) {
                Ok(Some(line)) => {
                    if self.trial.take(&line)? {
                        ready = true;
                        if way == Way::Working {
                            until = process.age() + Duration::from_millis(self.rng.u64(5..=400));
                        }
                    }
                }
                Ok(None) => return Ok(Watched { ready, ended: true }),
                Err(Timeout) => {
                    return Ok(Watched {
                        ready,
                        ended: false,
                    });
                }
            }
        }
    }

    fn died_at(&mut self, call: Call) {
        let count = match call {
            Call::Read => &mut self.deaths.at_a_read,
            Call::Apply => &mut self.deaths.at_an_apply,
            Call::Sync => &mut self.deaths.at_a_sync,
        };
        *count += 1;
    }

    fn figures(&self, rounds: u64) -> String {
        let model = &self.trial.model;
        let counts = model.counts;
        let deaths = self.deaths;
        format!(
            "kill: rounds={rounds} seed={} died(at_a_moment={}, at_an_apply={}, at_a_sync={}, \
             at_a_read={}; of_these while_opening={}, recovering_again={}) \
             acknowledged={} (starts={}, events={}, completions={}, terminations={}, purges={}) reads={} \
             attempts={} compactions={} came_through_unacknowledged={} {} reopen_max_ms={:.1}",
            self.options.seed,
            deaths.at_a_moment,
            deaths.at_an_apply,
            deaths.at_a_sync,
            deaths.at_a_read,
            deaths.opening,
            deaths.in_series,
            counts.acknowledged(),
            counts.starts,
            counts.events,
            counts.completions,
            counts.terminations,
            counts.purges,
            counts.reads,
            counts.attempts,
            counts.compactions,
            counts.came_through,
            model.tally(),
            self.trial.openings.longest.as_secs_f64() * 1e3,
        )
    }
}

/// What became of a child.
#[derive(Clone, Copy, Debug)]
struct Watched {
    ready: bool,
    ended: bool,
}
