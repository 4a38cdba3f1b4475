//! What is known from the lines of all children so far, and what contradicts it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::instance::{Begun, Floor, Judged, Known};
use super::tally::Tally;
use crate::child::Brief;
use crate::line::Line;
use crate::plan::Plans;

/// How a promise is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Breach {
    /// Something acknowledged is not there.
    Lost,
    /// Something was done once more after it was recorded.
    Duplicated,
    /// Something that was fixed is different now, or never was what it should be.
    Changed,
    /// The hub would not open any more.
    Refused,
    /// The library failed, or stood still.
    Broken,
}

/// A promise that was broken, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) breach: Breach,
    pub(crate) instance: Option<u64>,
    pub(crate) text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: ", self.breach)?;
        if let Some(n) = self.instance {
            write!(f, "instance {n}: ")?;
        }
        f.write_str(&self.text)
    }
}

/// How much was acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) starts: u64,
    pub(crate) events: u64,
    pub(crate) completions: u64,
    pub(crate) terminations: u64,
    pub(crate) purges: u64,
    pub(crate) reads: u64,
    pub(crate) compactions: u64,
    pub(crate) attempts: u64,
    /// Starts that were not acknowledged, and had happened.
    pub(crate) came_through: u64,
    /// Instances that were acknowledged or seen, each once.
    pub(crate) instances: u64,
}

impl Counts {
    /// What was promised, and is checked.
    pub(crate) fn acknowledged(self) -> u64 {
        self.starts + self.events + self.completions + self.terminations + self.purges
    }
}

/// What is known so far.
#[derive(Debug)]
pub(crate) struct Model {
    plans: Plans,
    round: u64,
    known: BTreeMap<u64, Known>,
    /// Those that were not seen to have ended.
    open: BTreeSet<u64>,
    /// Those that have ended, and are to be purged.
    ended: BTreeSet<u64>,
    /// Those whose purge was acknowledged, and when; forgotten when a later child has not found
    /// them.
    gone: BTreeMap<u64, u64>,
    /// The number of the next new one.
    next: u64,
    /// What was known when something was asked that was not answered yet.
    asked: BTreeMap<u64, Floor>,
    pub(crate) counts: Counts,
    pub(crate) violations: Vec<Violation>,
}

impl Model {
    pub(crate) fn new(plans: Plans) -> Self {
        Self {
            plans,
            round: 0,
            known: BTreeMap::new(),
            open: BTreeSet::new(),
            ended: BTreeSet::new(),
            gone: BTreeMap::new(),
            next: 0,
            asked: BTreeMap::new(),
            counts: Counts::default(),
            violations: Vec::new(),
        }
    }

    /// A new child begins; what the last one had not answered stays unknown.
    pub(crate) fn begin_round(&mut self) {
        self.round += 1;
        self.asked.clear();
    }

    /// What the next child has to know; so it starts nothing new.
    pub(crate) fn brief(&self) -> Brief {
        let exists = |n: &u64| self.known.get(n).is_some_and(Known::exists);
        let (open, unsure) = self.open.iter().copied().partition(exists);
        Brief {
            plans: self.plans,
            round: self.round,
            starts: 0,
            at_once: 0,
            pace: None,
            first: self.next,
            open,
            unsure,
            ended: self.ended.iter().copied().collect(),
            gone: self.gone.keys().copied().collect(),
            finish: None,
            max_live: 20_000,
            restarts: 0,
            compact_beyond: None,
            death: None,
            unsynced: false,
        }
    }

    /// All instances there ever were, but those that are gone.
    pub(crate) fn all(&self) -> Vec<u64> {
        let is_there = |n: &u64| !self.gone.contains_key(n);
        self.known.keys().copied().filter(is_there).collect()
    }

    /// How many instances there are to know of.
    pub(crate) fn known(&self) -> usize {
        self.known.len()
    }

    /// Those that are still under way although all should have ended.
    pub(crate) fn open(&self) -> Vec<u64> {
        self.open.iter().copied().collect()
    }

    /// The share of the instances that have ended, and rightly, of those that were started.
    pub(crate) fn share_right(&self) -> f64 {
        let wrong: BTreeSet<u64> = self.violations.iter().filter_map(|v| v.instance).collect();
        let right = self.counts.completions.saturating_sub(wrong.len() as u64);
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let share = right as f64 / self.counts.instances.max(1) as f64;
        share
    }

    pub(crate) fn tally(&self) -> Tally {
        Tally::of(&self.violations)
    }

    /// Takes in a line. What contradicts what is known becomes a violation.
    pub(crate) fn take(&mut self, line: &Line) {
        if let Err((breach, text)) = self.judge(line) {
            self.violate(breach, line.instance(), text);
        }
    }

    pub(crate) fn violate(&mut self, breach: Breach, instance: Option<u64>, text: String) {
        self.violations.push(Violation {
            breach,
            instance,
            text,
        });
    }

    fn judge(&mut self, line: &Line) -> Judged {
        let Some(n) = line.instance() else {
            if let Line::Mishap { text } = line {
                return Err((Breach::Broken, text.clone()));
            }
            self.counts.compactions += u64::from(*line == Line::Compacted);
            if let Line::NotOpened { text } = line {
                return Err((Breach::Refused, text.clone()));
            }
            return Ok(());
        };
        if matches!(line, Line::Starting { .. }) && !self.known.contains_key(&n) {
            self.known.insert(n, Known::default());
            self.open.insert(n);
            self.next = self.next.max(n + 1);
        }
        let Some(known) = self.known.get_mut(&n) else {
            return Err((Breach::Changed, format!("nobody has started it: {line}")));
        };
        match line {
            Line::Starting { .. } => known.starting(),
            Line::Started { .. } => {
                known.started()?;
                self.counts.starts += 1;
            }
            Line::Existed { .. } => self.counts.came_through += u64::from(known.existed()?),
            Line::Raising { name, number, .. } => known.raising(*name, *number),
            Line::Raised { name, number, .. } => {
                known.raised(*name, *number)?;
                self.counts.events += 1;
            }
            Line::Refused { name, number, .. } => known.refused(*name, *number)?,
            Line::Ask { ask, .. } => drop(self.asked.insert(*ask, known.floor())),
            Line::Read { ask, view, .. } => {
                let floor = self.asked.remove(ask).unwrap_or_default();
                self.counts.reads += 1;
                let plan = self.plans.of(n);
                let ended = known.read(&plan, floor, view.as_ref(), self.round)?;
                if ended && self.open.remove(&n) {
                    self.counts.completions += 1;
                    if plan.purge {
                        self.ended.insert(n);
                    }
                }
            }
            Line::Purging { .. } => known.purging(),
            Line::Purged { .. } => {
                known.purged()?;
                self.counts.purges += 1;
            }
            Line::Gone { .. } => known.not_there()?,
            Line::Terminating { .. } => known.terminating(),
            Line::Terminated { .. } => {
                known.terminated(self.round)?;
                self.counts.terminations += 1;
            }
            Line::TooLate { .. } => known.too_late(),
            Line::Begin {
                step,
                attempt,
                key,
                input,
                ..
            } => {
                self.counts.attempts += 1;
                let plan = self.plans.of(n);
                let begun = Begun {
                    key: key.clone(),
                    input: *input,
                    attempt: *attempt,
                    round: self.round,
                };
                known.begin(&plan, *step, begun)?;
            }
            Line::End { .. }
            | Line::Ready { .. }
            | Line::NotOpened { .. }
            | Line::Compacted
            | Line::Mishap { .. }
            | Line::Finished => {}
        }
        self.counts.instances += u64::from(known.is_newly_there());
        if known.is_gone() {
            self.gone(n, matches!(line, Line::Read { .. }));
        }
        Ok(())
    }

    /// One that is gone is looked at once more by a later child, and then forgotten.
    fn gone(&mut self, n: u64, was_looked_at: bool) {
        self.ended.remove(&n);
        let since = *self.gone.entry(n).or_insert(self.round);
        if was_looked_at && since < self.round {
            self.gone.remove(&n);
            self.known.remove(&n);
        }
    }
}
