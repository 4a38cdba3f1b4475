//! What was said by the process that met a fault, and by the one that took up what it left.

use std::collections::BTreeMap;

use super::errands::{Said, What, Why};
use crate::line::Digest;
use crate::population::Member;

/// How a process that meets a fault must behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expect {
    /// The hub says that it failed, and acknowledges nothing from then on.
    FailsAndStops,
    /// New work is refused for want of space, and what was taken ends.
    TakesNothingNew,
    /// Nobody notices.
    GoesOn,
    /// The hub is not opened, with an error of the system.
    IsRefused,
    /// The hub says at its end that it was not closed in good order.
    SaysSoAtClose,
    /// The process dies.
    Dies,
    /// Whatever it does, it does not lie: where the fault strikes is chance.
    StaysTrue,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Well,
    /// With an exit code other than 0.
    Badly,
    Killed,
    Hung,
}

/// All that is known of the instances of one case.
#[derive(Debug, Default)]
pub(super) struct Book {
    instances: BTreeMap<u64, Known>,
    /// What was acknowledged.
    pub(super) acknowledged: u64,
}

#[derive(Clone, Debug, Default)]
struct Known {
    started: bool,
    /// How many notes were acknowledged, and how many were asked for.
    noted: usize,
    asked: usize,
    ended: Option<Outcome>,
}

/// What became of an instance: its output, if it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Missing,
    Ended(Option<Digest>),
}

impl Book {
    pub(super) fn begun(&self) -> Vec<u64> {
        self.instances.keys().copied().collect()
    }

    fn take(&mut self, said: &Said) {
        match said {
            Said::Asked { n, what } => {
                let known = self.instances.entry(*n).or_default();
                if let What::Note(place) = what {
                    known.asked = place + 1;
                }
            }
            Said::Told { n, what } => {
                let known = self.instances.entry(*n).or_default();
                self.acknowledged += 1;
                match what {
                    What::Start => known.started = true,
                    What::Note(place) => known.noted = place + 1,
                    What::End => {}
                }
            }
            Said::Ended { n, output } => {
                self.acknowledged += 1;
                self.instances.entry(*n).or_default().ended = Some(Outcome::Ended(*output));
            }
            Said::Opened
            | Said::Refused { .. }
            | Said::Missing { .. }
            | Said::Denied { .. }
            | Said::Idled { .. }
            | Said::Health { .. }
            | Said::Closed { .. }
            | Said::Panicked { .. } => {}
        }
    }

    /// Judges the process that met the fault. What it says wrong is said.
    pub(super) fn judge_fault(
        &mut self,
        said: &[Said],
        ended: Ended,
        expect: Expect,
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        for said in said {
            self.take(said);
            match said {
                Said::Panicked { text } => wrong.push(format!("it panicked: {text}")),
                Said::Denied {
                    n,
                    what,
                    why: Why::Other,
                    error,
                } => {
                    wrong.push(format!(
                        "{what:?} of {n} is denied as if it were not the store: {error}"
                    ));
                }
                Said::Missing { n } => wrong.push(format!("{n} is not there")),
                Said::Ended { n, output } if *output != Some(whole(*n)) => {
                    wrong.push(format!("{n} has ended with {output:?}"));
                }
                Said::Opened
                | Said::Refused { .. }
                | Said::Asked { .. }
                | Said::Told { .. }
                | Said::Ended { .. }
                | Said::Denied { .. }
                | Said::Idled { .. }
                | Said::Health { .. }
                | Said::Closed { .. } => {}
            }
        }
        wrong.extend(misbehaved(said, ended, expect));
        wrong
    }

    /// Judges the process that took up what was left.
    pub(super) fn judge_recovery(&self, said: &[Said], ended: Ended) -> Vec<String> {
        let mut wrong = Vec::new();
        if ended != Ended::Well || said.last() != Some(&Said::Closed { error: None }) {
            wrong.push(format!("recovery ended so: {ended:?}, {:?}", said.last()));
        }
        let mut seen = BTreeMap::new();
        for said in said {
            match said {
                Said::Missing { n } => drop(seen.insert(*n, Outcome::Missing)),
                Said::Ended { n, output } => drop(seen.insert(*n, Outcome::Ended(*output))),
                Said::Asked { .. }
                | Said::Opened
                | Said::Closed { error: None }
                | Said::Health { ready: true }
                | Said::Idled { .. } => {}
                Said::Refused { .. }
                | Said::Told { .. }
                | Said::Denied { .. }
                | Said::Health { .. }
                | Said::Closed { .. }
                | Said::Panicked { .. } => wrong.push(format!("in recovery: {said:?}")),
            }
        }
        for (n, known) in &self.instances {
            if let Err(why) = known.became(*n, seen.get(n).copied()) {
                wrong.push(format!("{n}: {why}"));
            }
        }
        wrong
    }
}

impl Known {
    fn became(&self, n: u64, seen: Option<Outcome>) -> Result<(), String> {
        match seen {
            None => Err("nobody knows what became of it".to_owned()),
            Some(Outcome::Missing) if self.started => {
                Err("LOST: its start was acknowledged".to_owned())
            }
            Some(Outcome::Missing) => Ok(()),
            Some(now) if self.ended.is_some_and(|before| before != now) => {
                Err(format!("it had ended as {:?}, now as {now:?}", self.ended))
            }
            Some(Outcome::Ended(output)) => {
                let right = self.outputs(n);
                if output.is_some_and(|output| right.contains(&output)) {
                    return Ok(());
                }
                Err(format!(
                    "LOST or changed: it ends with {output:?}, not one of {right:?}"
                ))
            }
        }
    }

    /// What it may end with: every acknowledged note is in it, one that was only asked for may be.
    fn outputs(&self, n: u64) -> Vec<Digest> {
        let member = Member::errand(n);
        let output = |known: usize| {
            let early = member.notes().into_iter().take(known);
            let notes: Vec<_> = early
                .chain(member.late_notes())
                .take(member.notes().len())
                .collect();
            member.output_of_notes(&notes)
        };
        (self.noted..=self.asked.max(self.noted))
            .map(output)
            .collect()
    }
}

/// What an instance that was told everything ends with.
fn whole(n: u64) -> Digest {
    let member = Member::errand(n);
    member.output_of_notes(&member.notes())
}

/// How a process did not behave as it must.
fn misbehaved(said: &[Said], ended: Ended, expect: Expect) -> Option<String> {
    match (expect, ended) {
        (_, Ended::Hung) => return Some("it hangs".to_owned()),
        (Expect::Dies, Ended::Killed) | (Expect::StaysTrue, Ended::Badly | Ended::Killed) => {
            return None;
        }
        (Expect::Dies, Ended::Well | Ended::Badly) | (_, Ended::Badly | Ended::Killed) => {
            return Some(format!(
                "it ends as it must not: {ended:?}, {:?}",
                said.last()
            ));
        }
        (_, Ended::Well) => {}
    }
    let end = End::of(said);
    let fits = match expect {
        Expect::FailsAndStops => matches!(end, End::Failed { denied: Some(_) }),
        Expect::GoesOn => matches!(end, End::Well { denied: None }) && !works_when_idle(said),
        Expect::TakesNothingNew => matches!(end, End::Low),
        Expect::IsRefused => matches!(end, End::Refused { kind: "Io" }),
        Expect::SaysSoAtClose => matches!(end, End::NotClosed),
        Expect::StaysTrue => match end {
            End::Refused { kind } => kind == "Io",
            End::Well { .. } | End::Failed { .. } | End::Low | End::NotClosed => true,
            End::Nothing => false,
        },
        Expect::Dies => true,
    };
    if !fits {
        return Some(format!("{expect:?}, but {end:?}: {:?}", said.last()));
    }
    match end {
        End::Failed {
            denied: Some(first),
        } => told_after(said, first),
        End::Well { .. }
        | End::Low
        | End::Failed { .. }
        | End::NotClosed
        | End::Refused { .. }
        | End::Nothing => None,
    }
}

/// How a process that ended well has ended. `denied` is the place of the first denial.
#[derive(Clone, Copy, Debug)]
enum End<'a> {
    Well {
        denied: Option<usize>,
    },
    /// The hub says that it failed, in its health and when it was closed.
    Failed {
        denied: Option<usize>,
    },
    /// It works, and takes nothing new.
    Low,
    /// It was well until it was closed.
    NotClosed,
    Refused {
        kind: &'a str,
    },
    Nothing,
}

impl<'a> End<'a> {
    fn of(said: &'a [Said]) -> Self {
        let denied = said.iter().position(|said| {
            matches!(
                said,
                Said::Denied {
                    why: Why::Store | Why::Closed,
                    ..
                }
            )
        });
        match said {
            [.., Said::Refused { kind, .. }] => Self::Refused { kind },
            [
                ..,
                Said::Health { ready: true },
                Said::Closed { error: None },
            ] => Self::Well { denied },
            [
                ..,
                Said::Health { ready: true },
                Said::Closed { error: Some(_) },
            ] if denied.is_none() => Self::NotClosed,
            [
                ..,
                Said::Health { ready: false },
                Said::Closed { error: Some(_) },
            ] => Self::Failed { denied },
            [
                ..,
                Said::Health { ready: false },
                Said::Closed { error: None },
            ] if denied.is_none() => Self::Low,
            _ => Self::Nothing,
        }
    }
}

/// Whether it has used the processor although it had nothing to do.
fn works_when_idle(said: &[Said]) -> bool {
    const MOST_MS: u64 = 100;
    said.iter()
        .any(|said| matches!(said, Said::Idled { cpu_ms } if *cpu_ms > MOST_MS))
}

/// Something that was asked for after the first denial, and acknowledged.
fn told_after(said: &[Said], first: usize) -> Option<String> {
    let (before, after) = said.split_at(first);
    let asked = |asked_n: u64, asked_what: What| {
        let is_it = |said: &Said| {
            *said
                == Said::Asked {
                    n: asked_n,
                    what: asked_what,
                }
        };
        after.iter().any(is_it) && !before.iter().any(is_it)
    };
    after.iter().find_map(|said| {
        if let Said::Told { n, what } = said
            && asked(*n, *what)
        {
            return Some(format!(
                "{what:?} of {n} is acknowledged after the hub has failed"
            ));
        }
        if let Said::Ended { n, .. } = said
            && asked(*n, What::End)
        {
            return Some(format!("{n} has ended after the hub has failed"));
        }
        None
    })
}
