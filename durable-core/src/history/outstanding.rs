//! What an execution still waits for, derived from its history alone.
//!
//! The engine dispatches activities and arms timers from this, live and after a restart, so that
//! both follow one rule; it does not ask the orchestrator's future, which may have leaked a call.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::history::{Action, ActivityOptions, ChildOptions, Event, Step};
use crate::id::{CallId, InstanceId};
use crate::payload::Payload;
use crate::time::Timestamp;
use crate::weight;

/// The calls that were begun and have neither ended nor been cancelled.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outstanding {
    calls: BTreeMap<CallId, Pending>,
    activities: usize,
    /// Bytes of input that the calls hold.
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
        /// When it was scheduled.
        since: Timestamp,
    },
    Timer {
        due: Timestamp,
    },
    Child {
        id: InstanceId,
        name: Cow<'static, str>,
        version: Cow<'static, str>,
        input: Payload,
        options: ChildOptions,
        /// When it was asked for.
        since: Timestamp,
    },
}

impl Pending {
    /// Bytes of input that it holds.
    fn bytes(&self) -> usize {
        match self {
            Self::Activity { input, .. } | Self::Child { input, .. } => input.len(),
            Self::Timer { .. } => 0,
        }
    }

    fn is_activity(&self) -> bool {
        matches!(self, Self::Activity { .. })
    }
}

impl Outstanding {
    /// Follows one step of the history. What it returns is no longer waited for: the call that the
    /// event answered, calls that were cancelled, and everything once the execution has ended. `time`
    /// is its turn's.
    pub(crate) fn follow(&mut self, step: &Step, time: Timestamp) -> Vec<(CallId, Pending)> {
        let mut closed = Vec::new();
        self.follow_event(&step.event, time, &mut closed);
        for action in &step.actions {
            self.follow_action(action, time, &mut closed);
        }
        if self.ended {
            closed.extend(std::mem::take(&mut self.calls));
            self.activities = 0;
            self.bytes = 0;
        }
        closed
    }

    fn follow_event(
        &mut self,
        event: &Event,
        time: Timestamp,
        closed: &mut Vec<(CallId, Pending)>,
    ) {
        match event {
            Event::ActivityCompleted { call, .. }
            | Event::ActivityFailed { call, .. }
            | Event::TimerFired { call }
            | Event::ChildCompleted { call, .. }
            | Event::ChildFailed { call, .. } => self.close(*call, closed),
            Event::Terminated { .. } => self.ended = true,
            // Which wait took an event is the orchestrator's affair; the note stays until the
            // execution ends, and nothing is dispatched for it.
            Event::Started(_) | Event::EventRaised { .. } => {}
            Event::Rewound { .. } => self.begin_anew(time),
        }
    }

    /// What is open had ended with the execution, and is asked for once more.
    fn begin_anew(&mut self, time: Timestamp) {
        for pending in self.calls.values_mut() {
            match pending {
                Pending::Activity { since, .. } | Pending::Child { since, .. } => *since = time,
                Pending::Timer { .. } => {}
            }
        }
    }

    fn follow_action(
        &mut self,
        action: &Action,
        time: Timestamp,
        closed: &mut Vec<(CallId, Pending)>,
    ) {
        match action {
            Action::ScheduleActivity {
                call,
                name,
                input,
                options,
                inline,
            } => {
                let activity = Pending::Activity {
                    name: name.clone(),
                    input: input.clone(),
                    options: options.clone(),
                    inline: *inline,
                    since: time,
                };
                self.open(*call, activity);
            }
            Action::CreateTimer { call, due } => {
                self.open(*call, Pending::Timer { due: *due });
            }
            Action::StartChild {
                call,
                id,
                name,
                version,
                input,
                options,
            } if !options.detached => {
                let child = Pending::Child {
                    id: id.clone(),
                    name: name.clone(),
                    version: version.clone(),
                    input: input.clone(),
                    options: options.clone(),
                    since: time,
                };
                self.open(*call, child);
            }
            Action::Cancel { call } => self.close(*call, closed),
            Action::Complete { .. } | Action::Fail { .. } | Action::ContinueAsNew { .. } => {
                self.ended = true;
            }
            Action::AwaitEvent { .. }
            | Action::SetCustomStatus { .. }
            | Action::StartChild { .. }
            | Action::SendEvent { .. }
            | Action::Patched { .. } => {}
        }
    }

    fn open(&mut self, call: CallId, pending: Pending) {
        self.activities += usize::from(pending.is_activity());
        self.bytes += pending.bytes();
        self.calls.insert(call, pending);
    }

    fn close(&mut self, call: CallId, closed: &mut Vec<(CallId, Pending)>) {
        if let Some(pending) = self.calls.remove(&call) {
            self.activities -= usize::from(pending.is_activity());
            self.bytes -= pending.bytes();
            closed.push((call, pending));
        }
    }

    pub(crate) fn get(&self, call: CallId) -> Option<&Pending> {
        self.calls.get(&call)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (CallId, &Pending)> {
        self.calls.iter().map(|(call, pending)| (*call, pending))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether an activity is outstanding: then the instance must be loaded after a restart.
    pub(crate) fn has_activities(&self) -> bool {
        self.activities > 0
    }

    /// The bytes that its calls hold in memory, by estimate.
    pub(crate) fn weight(&self) -> usize {
        let calls = self.calls.len();
        self.bytes + weight::tree::<CallId, Pending>(calls) + weight::SHARED * calls
    }

    /// Whether the execution has ended.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }
}
