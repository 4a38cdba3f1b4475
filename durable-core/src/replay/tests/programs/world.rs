//! A random world: it answers what a program asks for.

use std::collections::BTreeSet;

use super::*;

/// More events than any program here needs.
const MAX_EVENTS: usize = 20_000;

/// What a program has lived through: each step with its time and the polls it took.
pub(in crate::replay) struct Recorded {
    pub(super) steps: Vec<(Timestamp, Step, u64)>,
}

impl Recorded {
    pub(in crate::replay) fn turns(&self) -> Vec<Turn> {
        Self::turns_of(&self.steps)
    }

    /// Steps of one time are one turn here; where turns are cut does not matter.
    pub(in crate::replay) fn turns_of(steps: &[(Timestamp, Step, u64)]) -> Vec<Turn> {
        let turns = steps.chunk_by(|(time, ..), (next, ..)| time == next);
        turns
            .map(|steps| Turn {
                time: steps[0].0,
                steps: steps.iter().map(|(_, step, _)| step.clone()).collect(),
            })
            .collect()
    }
}

/// Decides by a seed what happens next.
pub(in crate::replay) struct World {
    random: u64,
    clock: u64,
    activities: Vec<CallId>,
    timers: Vec<(CallId, Timestamp)>,
    cancelled: Vec<CallId>,
    names: BTreeSet<EventName>,
    ended: bool,
}

impl World {
    pub(in crate::replay) fn new(seed: u64) -> Self {
        Self {
            random: seed,
            clock: 1_000_000_000,
            activities: Vec::new(),
            timers: Vec::new(),
            cancelled: Vec::new(),
            names: BTreeSet::new(),
            ended: false,
        }
    }

    /// Runs the program to its end.
    pub(in crate::replay) fn run(mut self, run: RunOrchestrator) -> Recorded {
        let mut execution = execution(run);
        let mut steps = Vec::new();
        let mut event = Some(started("null"));
        while !self.ended {
            execution.begin_turn(self.pass_time());
            for _ in 0..=self.below(8) {
                let Some(event) = event.take().or_else(|| self.next_event(execution.now())) else {
                    break;
                };
                let polls = POLLS.get();
                let fed = execution.feed(&event).expect("runs");
                let polls = POLLS.get() - polls;
                let actions: Vec<_> = fed.actions.into_iter().map(|one| one.action).collect();
                if !fed.changed {
                    assert_eq!((actions, polls), (Vec::new(), 0), "ignored");
                    continue;
                }
                self.follow(&actions);
                steps.push((execution.now(), Step { event, actions }, polls));
                if self.ended {
                    break;
                }
            }
            assert!(steps.len() < MAX_EVENTS, "the program does not end");
        }
        Recorded { steps }
    }

    /// The clock of the next turn; it may have been set back.
    fn pass_time(&mut self) -> Timestamp {
        if self.activities.is_empty() && self.names.is_empty() {
            let due = self.timers.iter().map(|(_, due)| due.0).min();
            self.clock = self.clock.max(due.unwrap_or(0));
        }
        self.clock += self.below(3) * 1_000_000;
        let back = if self.below(10) == 0 { 1_500_000 } else { 0 };
        Timestamp(self.clock - back)
    }

    fn next_event(&mut self, now: Timestamp) -> Option<Event> {
        if self.below(6) == 0 && !self.cancelled.is_empty() {
            let call = self.pick(self.cancelled.len());
            return Some(self.answer(self.cancelled[call]));
        }
        if (self.below(8) == 0 || self.activities.is_empty())
            && let Some(event) = self.raise()
        {
            return Some(event);
        }
        let due = self.timers.iter().position(|(_, due)| *due <= now);
        if let Some(due) = due
            && (self.activities.is_empty() || self.below(2) == 0)
        {
            let (call, _) = self.timers.swap_remove(due);
            return Some(Event::TimerFired { call });
        }
        if self.activities.is_empty() {
            return None;
        }
        let call = self.pick(self.activities.len());
        let call = self.activities.swap_remove(call);
        Some(self.answer(call))
    }

    /// An event of a name that was waited for once, or not yet if it comes at the wrong time.
    fn raise(&mut self) -> Option<Event> {
        let names = self.names.len();
        if names == 0 || (!self.timers.is_empty() && self.below(2) == 0) {
            return None;
        }
        let name = self.pick(names);
        let name = self.names.iter().nth(name)?.clone();
        let data = json(&self.below(100).to_string());
        Some(Event::EventRaised {
            name,
            data,
            id: None,
        })
    }

    fn answer(&mut self, call: CallId) -> Event {
        if self.below(8) == 0 {
            let failure = FailureDetails::new(FailureKind::Application, "String", "no");
            let failure = failure.with_value(json("\"no\""));
            return Event::ActivityFailed { call, failure };
        }
        let output = json(&self.below(100).to_string());
        Event::ActivityCompleted { call, output }
    }

    fn follow(&mut self, actions: &[Action]) {
        for action in actions {
            match action {
                Action::ScheduleActivity { call, .. } => self.activities.push(*call),
                Action::CreateTimer { call, due } => self.timers.push((*call, *due)),
                Action::AwaitEvent { name, .. } => {
                    self.names.insert(name.clone());
                }
                Action::Cancel { call } => {
                    self.activities.retain(|open| open != call);
                    self.timers.retain(|(open, _)| open != call);
                    self.cancelled.push(*call);
                }
                Action::Complete { .. } | Action::Fail { .. } | Action::ContinueAsNew { .. } => {
                    self.ended = true;
                }
                Action::SetCustomStatus { .. }
                | Action::StartChild { .. }
                | Action::SendEvent { .. }
                | Action::Patched { .. } => {}
            }
        }
    }

    fn pick(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("less than a length")
    }

    /// `SplitMix64`.
    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
