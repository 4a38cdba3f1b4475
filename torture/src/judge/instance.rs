//! What is known of one instance, and what may follow from there.
//!
//! An answer is compared with what was known when its question was asked, not with what is known
//! when it arrives: two answers may overtake each other on their way here.

use std::collections::BTreeMap;

use durable_core::RuntimeStatus;

use super::events::Events;
use super::model::Breach;
use crate::line::{Digest, End, View};
use crate::plan::{Plan, Program};

pub(super) type Judged<T = ()> = Result<T, (Breach, String)>;

/// What is known of one instance.
#[derive(Debug, Default)]
pub(super) struct Known {
    floor: Floor,
    /// Its start was answered.
    acknowledged: bool,
    /// Whether it was counted among those that exist.
    counted: bool,
    /// How often somebody has tried to start it, and whether it was there the last time.
    start_attempts: u32,
    existed_at_start: bool,
    end: Option<(RuntimeStatus, Option<End>)>,
    termination: Termination,
    /// How often somebody has tried to purge it.
    purge_attempts: u32,
    /// It was seen to be terminated in this round: an attempt that was on its way may still begin,
    /// in later rounds none.
    last_round: Option<u64>,
    events: [Events; 2],
    steps: BTreeMap<u32, Begun>,
    /// The results of the steps below this one are recorded.
    recorded: u32,
}

/// Whether somebody has tried to terminate it, and was told that it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Termination {
    #[default]
    Unheard,
    Tried,
    Acknowledged,
}

/// What an answer must not fall behind if it is asked for now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Floor {
    exists: bool,
    /// It was purged.
    gone: bool,
    stage: Stage,
    progress: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    #[default]
    Pending,
    Running,
    Ended,
}

impl Stage {
    fn of(status: RuntimeStatus) -> Self {
        if status.is_terminal() {
            Self::Ended
        } else if status == RuntimeStatus::Pending {
            Self::Pending
        } else {
            Self::Running
        }
    }
}

/// The last attempt at a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Begun {
    pub(super) key: String,
    pub(super) input: Digest,
    pub(super) attempt: u32,
    pub(super) round: u64,
}

impl Known {
    pub(super) fn exists(&self) -> bool {
        self.floor.exists
    }

    pub(super) fn is_gone(&self) -> bool {
        self.floor.gone
    }

    pub(super) fn floor(&self) -> Floor {
        self.floor
    }

    pub(super) fn starting(&mut self) {
        self.start_attempts += 1;
        self.existed_at_start = self.floor.exists;
    }

    pub(super) fn started(&mut self) -> Judged {
        self.acknowledged = true;
        self.floor.exists = true;
        if self.existed_at_start {
            return duplicated("it was started although it exists");
        }
        Ok(())
    }

    /// Its start was refused because it exists. Says whether that was not known.
    pub(super) fn existed(&mut self) -> Judged<bool> {
        self.floor.exists = true;
        if self.start_attempts < 2 {
            return changed("it was refused as existing although nobody has started it");
        }
        Ok(!std::mem::replace(&mut self.acknowledged, true))
    }

    /// Whether it is known to exist, for the first time.
    pub(super) fn is_newly_there(&mut self) -> bool {
        let there = self.acknowledged || self.floor.exists;
        there && !std::mem::replace(&mut self.counted, true)
    }

    pub(super) fn raising(&mut self, name: usize, number: u64) {
        let too_late = self.floor.stage == Stage::Ended;
        self.events[name].raising(number, too_late);
    }

    pub(super) fn raised(&mut self, name: usize, number: u64) -> Judged {
        self.events[name].raised(number)
    }

    pub(super) fn refused(&mut self, name: usize, number: u64) -> Judged {
        self.floor.stage = Stage::Ended;
        self.events[name].refused(number)
    }

    pub(super) fn terminating(&mut self) {
        self.termination = self.termination.max(Termination::Tried);
    }

    pub(super) fn terminated(&mut self, round: u64) -> Judged {
        self.floor.stage = Stage::Ended;
        self.last_round.get_or_insert(round);
        let before = std::mem::replace(&mut self.termination, Termination::Acknowledged);
        if before == Termination::Acknowledged {
            return duplicated("it was terminated twice");
        }
        Ok(())
    }

    pub(super) fn too_late(&mut self) {
        self.floor.stage = Stage::Ended;
    }

    pub(super) fn purging(&mut self) {
        self.purge_attempts += 1;
    }

    pub(super) fn purged(&mut self) -> Judged {
        if std::mem::replace(&mut self.floor.gone, true) {
            return duplicated("it was purged twice");
        }
        Ok(())
    }

    /// Its purge was refused because it is not there: that was an earlier one, unless it is lost.
    pub(super) fn not_there(&mut self) -> Judged {
        self.floor.gone = true;
        if self.purge_attempts < 2 {
            return lost("it is not there, and nobody had purged it before");
        }
        Ok(())
    }

    /// A status was read that was asked for at `floor`. Says whether it has ended.
    pub(super) fn read(
        &mut self,
        plan: &Plan,
        floor: Floor,
        view: Option<&View>,
        round: u64,
    ) -> Judged<bool> {
        let Some(view) = view else {
            if self.purge_attempts > 0 {
                self.floor.gone = true;
            } else if floor.exists {
                return lost("its start was acknowledged, and it is not there");
            }
            return Ok(false);
        };
        if floor.gone {
            return lost("its purge was acknowledged, and it is there");
        }
        if let Some(problem) = &view.problem {
            return Err((Breach::Broken, format!("it does not go on: {problem}")));
        }
        let stage = Stage::of(view.status);
        if stage < floor.stage && self.termination == Termination::Acknowledged {
            return lost("its termination was acknowledged, and it goes on");
        }
        if stage < floor.stage {
            return changed(format!("its status went back to {}", view.status));
        }
        if view.progress < floor.progress {
            let (was, now) = (floor.progress, view.progress);
            return changed(format!("its custom status went back from {was} to {now}"));
        }
        self.floor.exists = true;
        self.floor.stage = self.floor.stage.max(stage);
        self.floor.progress = self.floor.progress.max(view.progress);
        if plan.program == Program::Chain {
            self.recorded = self.recorded.max(view.progress);
        }
        if stage == Stage::Ended {
            self.ended(plan, view, round)?;
        }
        Ok(stage == Stage::Ended)
    }

    fn ended(&mut self, plan: &Plan, view: &View, round: u64) -> Judged {
        let end = (view.status, view.end.clone());
        if let Some(before) = &self.end
            && *before != end
        {
            return changed(format!("it has ended as {before:?} and now as {end:?}"));
        }
        let first = self.end.replace(end).is_none();
        match (view.status, &view.end) {
            (RuntimeStatus::Terminated, _) if self.termination == Termination::Unheard => {
                changed("it is terminated, and nobody has asked for it")
            }
            (RuntimeStatus::Terminated, _) => {
                self.last_round.get_or_insert(round);
                Ok(())
            }
            (status, _) if self.termination == Termination::Acknowledged => lost(format!(
                "its termination was acknowledged, and it is {status}"
            )),
            (RuntimeStatus::Failed, Some(End::Failure(why))) if plan.fails_with(why) => {
                self.recorded = u32::MAX;
                Ok(())
            }
            (
                RuntimeStatus::Completed,
                Some(End::Output {
                    events,
                    waited_us,
                    blob,
                }),
            ) if !plan.fails() => {
                self.recorded = u32::MAX;
                for (seen, raised) in events.iter().zip(&self.events) {
                    raised.were_seen(seen)?;
                }
                if first {
                    right(plan, view.progress, events, *waited_us, *blob)?;
                }
                Ok(())
            }
            (status, end) => changed(format!("it must not end as {status} with {end:?}")),
        }
    }

    /// An attempt begins: everything it rests on is durable, and nothing durable is done again.
    pub(super) fn begin(&mut self, plan: &Plan, step: u32, begun: Begun) -> Judged {
        self.floor.exists = true;
        if self.last_round.is_some_and(|last| last < begun.round) {
            return duplicated(format!("step {step} runs after it was terminated"));
        }
        if step < self.recorded {
            return duplicated(format!(
                "step {step} runs again, and its result was recorded"
            ));
        }
        if begun.attempt > plan.attempts(step) {
            return changed(format!("step {step} makes an attempt too many: {begun:?}"));
        }
        if plan.waits_for_all_before(step) {
            self.recorded = self.recorded.max(step);
        }
        match self.steps.insert(step, begun.clone()) {
            Some(before) => follows(step, &before, &begun),
            None if begun.attempt == 1 => Ok(()),
            None => changed(format!(
                "step {step} does not begin with attempt 1: {begun:?}"
            )),
        }
    }
}

fn follows(step: u32, before: &Begun, begun: &Begun) -> Judged {
    if before.key != begun.key || before.input != begun.input {
        return changed(format!("step {step} was {before:?} and is {begun:?}"));
    }
    let attempts = before.attempt..=before.attempt + 1;
    if !attempts.contains(&begun.attempt) {
        return changed(format!(
            "the attempts at step {step} go from {before:?} to {begun:?}"
        ));
    }
    if before.attempt == begun.attempt && before.round == begun.round {
        return duplicated(format!("step {step} makes one attempt twice: {begun:?}"));
    }
    Ok(())
}

/// Whether an output is what the plan says, but for the order of events.
fn right(
    plan: &Plan,
    progress: u32,
    events: &[Vec<u64>; 2],
    waited_us: Option<u64>,
    blob: Digest,
) -> Judged {
    let count = plan.task.count as usize;
    let seen = events.each_ref().map(Vec::len);
    let complete = match (plan.program, waited_us) {
        (Program::Ledger, None) => seen == [count, count],
        (Program::Decide, None) => seen == [1, 0],
        (Program::Decide, Some(_)) | (_, None) => seen == [0, 0],
        (_, Some(_)) => false,
    };
    if !complete || (plan.program == Program::Chain && progress != plan.task.count) {
        return changed(format!(
            "its output is not complete: {events:?}, {waited_us:?}, {progress}"
        ));
    }
    if waited_us.is_some_and(|waited| waited < plan.task.delay_ms * 1_000) {
        return changed(format!(
            "its timer of {} ms took {waited_us:?} us",
            plan.task.delay_ms
        ));
    }
    let expected = Digest::of(&plan.blob(events));
    if blob != expected {
        return changed(format!("its output is {blob:?} and must be {expected:?}"));
    }
    Ok(())
}

pub(super) fn lost<T>(text: impl Into<String>) -> Judged<T> {
    Err((Breach::Lost, text.into()))
}

pub(super) fn duplicated<T>(text: impl Into<String>) -> Judged<T> {
    Err((Breach::Duplicated, text.into()))
}

pub(super) fn changed<T>(text: impl Into<String>) -> Judged<T> {
    Err((Breach::Changed, text.into()))
}
