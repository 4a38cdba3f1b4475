//! Going back in a history without changing it.
//!
//! A rewind is an event like any other, at the end of the history: it names the steps that it takes
//! back, and they stay where they are. What an execution has *lived through* is the history without
//! them, and that is what is replayed.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::history::{Action, Event, Step, Turn};

/// Where a step stands in a history: in which turn, and as which of it, both from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct StepIndex {
    pub(crate) turn: u32,
    pub(crate) step: u32,
}

/// One way to go on with an execution that has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WayBack {
    pub(crate) takes_back: Vec<StepIndex>,
    /// What was taken back and happens again: the event in whose step it failed.
    pub(crate) again: Option<Event>,
}

impl WayBack {
    /// What an execution with this history has lived through then. Its last turns may be empty, so that
    /// their numbers stay.
    pub(crate) fn lived(&self, turns: &[Turn]) -> Vec<Turn> {
        let mut gone = taken_back(turns);
        gone.extend(&self.takes_back);
        without(turns, &gone)
    }
}

/// The steps that were taken back.
pub(crate) fn taken_back<'a>(turns: impl IntoIterator<Item = &'a Turn>) -> BTreeSet<StepIndex> {
    let steps = turns.into_iter().flat_map(|turn| &turn.steps);
    let taken = steps.filter_map(|step| {
        let Event::Rewound { takes_back, .. } = &step.event else {
            return None;
        };
        Some(takes_back)
    });
    taken.flatten().copied().collect()
}

/// What an execution with this history has lived through.
pub(crate) fn lived(turns: &[Turn]) -> Cow<'_, [Turn]> {
    let gone = taken_back(turns);
    if gone.is_empty() {
        return Cow::Borrowed(turns);
    }
    Cow::Owned(without(turns, &gone))
}

fn without(turns: &[Turn], gone: &BTreeSet<StepIndex>) -> Vec<Turn> {
    let turn = |(at, turn): (u32, &Turn)| {
        let steps = (0..).zip(&turn.steps);
        let steps = steps.filter(|(step, _)| {
            let index = StepIndex {
                turn: at,
                step: *step,
            };
            !gone.contains(&index)
        });
        Turn {
            time: turn.time,
            steps: steps.map(|(_, step)| step.clone()).collect(),
        }
    };
    (0..).zip(turns).map(turn).collect()
}

/// The ways back of an execution that has failed or was terminated, the one that takes back most
/// first. Which of them its code agrees with only replay can say; with the last one it always does.
///
/// Its end is taken back: what was the answer of a failed call is asked for again, and any other
/// event happens again. So are earlier answers of failed calls, if the orchestrator has begun nothing
/// when it got them: all of those, or those after which it has begun nothing at all.
pub(crate) fn ways_back(turns: &[Turn]) -> Vec<WayBack> {
    let gone = taken_back(turns);
    let mut steps = steps_without(turns, &gone);
    let (end, again) = take_end(turns, &mut steps);
    let failed = |from: usize| {
        let quiet = steps[from..]
            .iter()
            .filter(|(_, step)| is_failed_call(&step.event) && begins_nothing(step));
        quiet.map(|(index, _)| *index).chain(end.iter().copied())
    };
    let last_begun = steps.iter().rposition(|(_, step)| !begins_nothing(step));
    let trailing = last_begun.map_or(0, |last| last + 1);
    let mut ways: Vec<Vec<_>> = vec![
        failed(0).collect(),
        failed(trailing).collect(),
        failed(steps.len()).collect(),
    ];
    ways.dedup();
    ways.into_iter()
        .map(|takes_back| WayBack {
            takes_back,
            again: again.clone(),
        })
        .collect()
}

fn indexed(turns: &[Turn]) -> impl Iterator<Item = (StepIndex, &Step)> {
    (0..).zip(turns).flat_map(|(turn, of)| {
        let steps = (0..).zip(&of.steps);
        steps.map(move |(step, of)| (StepIndex { turn, step }, of))
    })
}

/// What was lived through, but for earlier rewinds.
fn steps_without<'a>(turns: &'a [Turn], gone: &BTreeSet<StepIndex>) -> Vec<(StepIndex, &'a Step)> {
    indexed(turns)
        .filter(|(index, step)| {
            !gone.contains(index) && !matches!(step.event, Event::Rewound { .. })
        })
        .collect()
}

/// Takes away the steps in which it has ended. Returns which these are, and what is to happen again.
fn take_end(
    turns: &[Turn],
    steps: &mut Vec<(StepIndex, &Step)>,
) -> (Vec<StepIndex>, Option<Event>) {
    let mut end = Vec::new();
    while let Some((index, _)) = steps.pop_if(|(_, step)| is_termination(&step.event)) {
        end.push(index);
    }
    if let Some(first) = end.last()
        && let Some(event) = interrupted(turns, *first)
    {
        end.sort_unstable();
        return (end, happens_again(event));
    }
    // What was only noted before a termination was never fed.
    let noted = |step: &Step| matches!(step.event, Event::Started(_)) && step.actions.is_empty();
    let ends = |step: &Step| matches!(step.actions.last(), Some(Action::Fail { .. }));
    let last = steps.pop_if(|(_, step)| ends(step) || noted(step));
    let Some((index, step)) = last else {
        return (end, None);
    };
    end.push(index);
    end.sort_unstable();
    (end, happens_again(&step.event))
}

/// If it was terminated at once after it was rewound: the event in whose step it had failed, which
/// was taken back and did not happen again.
fn interrupted(turns: &[Turn], terminated: StepIndex) -> Option<&Event> {
    let before = indexed(turns).take_while(|(index, _)| *index < terminated);
    let (_, before) = before.last()?;
    let Event::Rewound { takes_back, .. } = &before.event else {
        return None;
    };
    let taken = indexed(turns).filter(|(index, _)| takes_back.contains(index));
    let fed = taken.filter(|(_, step)| !is_termination(&step.event));
    match fed.last() {
        Some((_, step)) => Some(&step.event),
        None => interrupted(turns, *takes_back.iter().min()?),
    }
}

/// Of what has led to the end; a failed call is made again instead.
fn happens_again(event: &Event) -> Option<Event> {
    (!is_failed_call(event)).then(|| event.clone())
}

fn is_termination(event: &Event) -> bool {
    matches!(event, Event::Terminated { .. })
}

fn is_failed_call(event: &Event) -> bool {
    matches!(
        event,
        Event::ActivityFailed { .. } | Event::ChildFailed { .. }
    )
}

/// Whether nothing that was begun in this step would be taken back with it.
fn begins_nothing(step: &Step) -> bool {
    step.actions.iter().all(|action| {
        matches!(
            action,
            Action::Cancel { .. } | Action::SetCustomStatus { .. }
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::{FailureDetails, FailureKind};
    use crate::id::CallId;
    use crate::time::Timestamp;

    fn turn(steps: Vec<Step>) -> Turn {
        Turn {
            time: Timestamp(1),
            steps,
        }
    }

    fn step(event: Event, actions: Vec<Action>) -> Step {
        Step { event, actions }
    }

    fn fired() -> Event {
        Event::TimerFired { call: CallId(0) }
    }

    fn rewound(takes_back: &[(u32, u32)]) -> Step {
        let takes_back = takes_back.iter();
        let takes_back = takes_back.map(|(turn, step)| StepIndex {
            turn: *turn,
            step: *step,
        });
        let reason = String::new();
        let takes_back = takes_back.collect();
        step(Event::Rewound { reason, takes_back }, Vec::new())
    }

    fn terminated() -> Step {
        let children = true;
        let reason = None;
        step(Event::Terminated { reason, children }, Vec::new())
    }

    /// A timer fired and it failed; it was rewound and terminated before the timer fired once more,
    /// several times. With the next rewind it does.
    #[test]
    fn what_a_termination_kept_from_happening_again_happens_with_the_next_rewind() {
        let failure = FailureDetails::new(FailureKind::Application, "planned", "as planned");
        let timer = Action::CreateTimer {
            call: CallId(0),
            due: Timestamp(1),
        };
        let asked = Event::EventRaised {
            name: crate::id::EventName::new("go"),
            data: crate::payload::Payload::NULL,
            id: None,
        };
        let begun = turn(vec![step(asked, vec![timer])]);
        let failed = turn(vec![step(fired(), vec![Action::Fail { failure }])]);
        let mut turns = vec![begun, failed, turn(vec![rewound(&[(1, 0)]), terminated()])];
        for round in 2..5 {
            let ways = ways_back(&turns);
            let end = StepIndex {
                turn: round,
                step: 1,
            };
            let expected = WayBack {
                takes_back: vec![end],
                again: Some(fired()),
            };
            assert_eq!(ways, [expected]);
            turns.push(turn(vec![rewound(&[(round, 1)]), terminated()]));
        }
    }
}
