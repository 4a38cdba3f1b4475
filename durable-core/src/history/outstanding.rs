//! What an execution still waits for, derived from its history alone.
//!
//! The engine dispatches activities and arms timers from this, live and after a restart, so that
//! both follow one rule; it does not ask the orchestrator's future, which may have leaked a call.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::history::{Action, ActivityOptions, Event, Step};
use crate::id::CallId;
use crate::payload::Payload;
use crate::time::Timestamp;

/// The calls that were begun and have neither ended nor been cancelled.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outstanding {
    calls: BTreeMap<CallId, Pending>,
    activities: usize,
    /// Bytes of input that the activities hold.
    bytes: usize,
    ended: bool,
}

/// One such call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pending {
    Activity {
        name: Cow<'static, str>,
        input: Payload,
        options: ActivityOptions,
        inline: bool,
    },
    Timer {
        due: Timestamp,
    },
}

impl Outstanding {
    /// Follows one step of the history. What it returns is no longer waited for: the call that the
    /// event answered, calls that were cancelled, and everything once the execution has ended.
    pub(crate) fn follow(&mut self, step: &Step) -> Vec<(CallId, Pending)> {
        let mut closed = Vec::new();
        self.follow_event(&step.event, &mut closed);
        for action in &step.actions {
            self.follow_action(action, &mut closed);
        }
        if self.ended {
            closed.extend(std::mem::take(&mut self.calls));
            self.activities = 0;
            self.bytes = 0;
        }
        closed
    }

    fn follow_event(&mut self, event: &Event, closed: &mut Vec<(CallId, Pending)>) {
        match event {
            Event::ActivityCompleted { call, .. }
            | Event::ActivityFailed { call, .. }
            | Event::TimerFired { call } => self.close(*call, closed),
            Event::Terminated { .. } => self.ended = true,
            // Which wait took an event is the orchestrator's affair; the note stays until the
            // execution ends, and nothing is dispatched for it.
            Event::Started(_) | Event::EventRaised { .. } => {}
        }
    }

    fn follow_action(&mut self, action: &Action, closed: &mut Vec<(CallId, Pending)>) {
        match action {
            Action::ScheduleActivity {
                call,
                name,
                input,
                options,
                inline,
            } => {
                let (name, input, options) = (name.clone(), input.clone(), options.clone());
                self.activities += 1;
                self.bytes += input.len();
                self.calls.insert(
                    *call,
                    Pending::Activity {
                        name,
                        input,
                        options,
                        inline: *inline,
                    },
                );
            }
            Action::CreateTimer { call, due } => {
                self.calls.insert(*call, Pending::Timer { due: *due });
            }
            Action::Cancel { call } => self.close(*call, closed),
            Action::Complete { .. } | Action::Fail { .. } => self.ended = true,
            Action::AwaitEvent { .. } | Action::SetCustomStatus { .. } => {}
        }
    }

    fn close(&mut self, call: CallId, closed: &mut Vec<(CallId, Pending)>) {
        if let Some(pending) = self.calls.remove(&call) {
            if let Pending::Activity { input, .. } = &pending {
                self.activities -= 1;
                self.bytes -= input.len();
            }
            closed.push((call, pending));
        }
    }

    pub(crate) fn get(&self, call: CallId) -> Option<&Pending> {
        self.calls.get(&call)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (CallId, &Pending)> {
        self.calls.iter().map(|(call, pending)| (*call, pending))
    }

    /// Whether an activity is outstanding: then the instance must be loaded after a restart.
    pub(crate) fn has_activities(&self) -> bool {
        self.activities > 0
    }

    /// Bytes of input that is held for activities.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the execution has ended.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }
}
