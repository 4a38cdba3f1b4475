//! What stops an instance without ending it, explained.

use std::fmt::Write as _;
use std::panic::Location;

use serde::{Deserialize, Serialize};

use super::state::{Emitted, Identity};
use crate::history::{Action, ActivityOptions, Event};
use crate::text::cut;

/// What kind of problem stops an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ProblemKind {
    /// Replay asked for something else than history recorded.
    Divergence,
    /// Two copies of the orchestrator, fed the same events, asked for different things.
    Nondeterminism,
    /// The orchestrator awaits something that is not durable.
    ForeignAwait,
    /// The orchestrator was polled too often for one event.
    BusyLoop,
    /// The orchestrator panicked while recorded events were replayed.
    PanicInReplay,
    /// No running worker has this orchestrator (in the instance's version).
    OrchestratorNotRegistered,
    /// No running worker has an activity that the instance waits for.
    ActivityNotRegistered,
    /// The input or a record of the history does not decode.
    Undecodable,
    /// A stored record is damaged or missing.
    StoreCorrupt,
    /// The running worker does not take the instance's version.
    VersionMismatch,
    /// The process has died again and again while it ran an activity that the instance waits for.
    PoisonedActivity,
}

/// Why an instance does not go on although its status says that it runs.
///
/// Nothing is lost: its history is untouched, and what arrives is kept. It goes on when a worker
/// with mended code starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    pub(crate) kind: ProblemKind,
    pub(crate) message: String,
    pub(crate) report: String,
}

impl Problem {
    pub(crate) fn new(
        kind: ProblemKind,
        message: impl Into<String>,
        report: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            message: message.into(),
            report: report.into(),
        }
    }

    /// This problem with texts of bounded length, as it is kept.
    pub(crate) fn shortened(mut self) -> Self {
        for (text, limit) in [(&mut self.message, 1024), (&mut self.report, 2048)] {
            cut(text, limit);
        }
        self
    }

    /// Leaves out so many bytes, of the report first.
    pub(crate) fn cut(&mut self, bytes: usize) {
        let mut left = bytes;
        for text in [&mut self.report, &mut self.message] {
            let before = text.len();
            cut(text, before.saturating_sub(left));
            left = left.saturating_sub(before - text.len());
        }
    }

    /// What kind of problem it is.
    pub fn kind(&self) -> ProblemKind {
        self.kind
    }

    /// One line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The whole story: where, what was recorded, what was asked for, a likely cause, what to do.
    pub fn report(&self) -> &str {
        &self.report
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// Where in a history something happened: turns and steps counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) turn: usize,
    pub(crate) step: usize,
}

/// How replay and record differ in one step.
#[derive(Clone, Debug)]
pub(super) struct Difference {
    pub(super) recorded: Option<Action>,
    pub(super) asked: Option<Emitted>,
    /// The same calls were asked for under other ids.
    pub(super) permuted: bool,
}

impl Difference {
    pub(super) fn problem(&self, kind: ProblemKind, identity: &Identity, place: Place) -> Problem {
        let recorded = describe(self.recorded.as_ref());
        let asked = describe(self.asked.as_ref().map(|emitted| &emitted.action));
        let at = location(self.asked.as_ref().and_then(|emitted| emitted.location));
        let (first, second) = if kind == ProblemKind::Nondeterminism {
            ("one copy asked for", "another copy asked for")
        } else {
            ("history recorded", "the code now asks for")
        };
        let message = format!(
            "orchestrator `{}` diverged at turn {}, event {}: {first} {recorded}, {second} {asked}{at}",
            identity.name, place.turn, place.step
        );
        let mut report = heading(identity);
        let _ = writeln!(
            report,
            "event     turn {}, event {} of it",
            place.turn, place.step
        );
        let _ = writeln!(report, "{first}: {recorded}");
        let _ = writeln!(report, "{second}: {asked}{at}");
        report.push_str(self.cause(kind));
        Problem::new(kind, message, report)
    }

    fn cause(&self, kind: ProblemKind) -> &'static str {
        if self.permuted || kind == ProblemKind::Nondeterminism {
            "likely cause: the same calls in another order or with other data, which happens with `select!` without `biased;`, \
             with iteration over a `HashMap` or `HashSet` that makes calls, with `tokio::sync::watch`, `StreamMap`, or with \
             a clock or random numbers that do not come from the context\n\
             remedy: use `select! { biased; .. }`, `BTreeMap`, `ctx.now()`, `ctx.new_uuid()`; the instance goes on when a \
             worker with the mended code starts\n"
        } else {
            "likely cause: the orchestrator's code was changed while this instance was under way, or it reads a clock, random \
             numbers, the environment or files\n\
             remedy: start a worker with the code the instance began with (register it beside the new one under its own \
             version), or ask `ctx.patched(..)` where the change is, so that old histories replay; the instance goes on when such a worker starts\n"
        }
    }
}

/// History has an event that the code does not wait for.
pub(super) fn unexpected(event: &Event, identity: &Identity, place: Place) -> Problem {
    let what = match event {
        Event::Started(started) => format!(
            "the start of orchestrator `{}`, version {}, as instance {}, execution {}",
            started.name,
            named(&started.version),
            started.instance,
            started.execution
        ),
        Event::ActivityCompleted { call, .. } | Event::ActivityFailed { call, .. } => {
            format!("the result of call {call}")
        }
        Event::ChildCompleted { call, .. } | Event::ChildFailed { call, .. } => {
            format!("the end of child {call}")
        }
        Event::TimerFired { call } => format!("the firing of timer {call}"),
        Event::EventRaised { name, .. } => format!("event `{name}`"),
        Event::Terminated { .. } => "a termination".to_owned(),
        Event::Rewound { .. } => "a rewind".to_owned(),
    };
    let Place { turn, step } = place;
    let message = format!(
        "orchestrator `{}` diverged at turn {turn}, event {step}: history recorded {what}, which the code does not wait for there",
        identity.name
    );
    let report = format!(
        "{}event     turn {turn}, event {step} of it\n{message}\n\
         likely cause: the orchestrator's code was changed while this instance was under way, or the history is not its own\n\
         remedy: start a worker with the code the instance began with\n",
        heading(identity)
    );
    Problem::new(ProblemKind::Divergence, message, report)
}

fn named(version: &str) -> &str {
    if version.is_empty() { "none" } else { version }
}

/// Who a report is about, one fact a line.
pub(super) fn heading(identity: &Identity) -> String {
    let Identity {
        instance,
        execution,
        name,
        version,
        ..
    } = identity;
    let version = named(version);
    format!(
        "instance  {instance}\nexecution {execution}\ncode      orchestrator `{name}`, version {version}\n"
    )
}

fn location(location: Option<&'static Location<'static>>) -> String {
    location
        .map(|location| format!(" (call made at {location})"))
        .unwrap_or_default()
}

pub(super) fn describe(action: Option<&Action>) -> String {
    let Some(action) = action else {
        return "nothing".to_owned();
    };
    match action {
        Action::ScheduleActivity {
            call,
            name,
            input,
            options,
            inline,
        } => {
            let ActivityOptions {
                retry,
                timeout,
                retry_if,
                heartbeat,
            } = options;
            let mut text = if *inline {
                format!("step {call} `{name}`")
            } else {
                format!("call {call} of activity `{name}` with {input:?}")
            };
            if let Some(retry) = retry {
                let _ = write!(text, ", {retry:?}");
            }
            if let Some(timeout) = timeout {
                let _ = write!(text, ", timeout {timeout:?}");
            }
            if let Some(heartbeat) = heartbeat {
                let _ = write!(text, ", heartbeat timeout {heartbeat:?}");
            }
            if *retry_if {
                text.push_str(", retried if its error is");
            }
            text
        }
        Action::CreateTimer { call, due } => format!("timer {call} due at {} us", due.0),
        Action::AwaitEvent { call, name } => format!("wait {call} for event `{name}`"),
        Action::Cancel { call } => format!("cancellation of call {call}"),
        Action::Patched { name } => format!("patch `{name}`"),
        Action::SetCustomStatus { status } => format!("custom status {status:?}"),
        Action::Complete { output } => format!("completion with {output:?}"),
        Action::Fail { failure } => format!("failure {failure:?}"),
        Action::StartChild {
            call,
            id,
            name,
            version,
            input,
            options,
        } => {
            let mut text = format!("child {call} `{id}` of orchestrator `{name}`");
            if !version.is_empty() {
                let _ = write!(text, " version {version}");
            }
            let _ = write!(text, " with {input:?}");
            if let Some(retry) = &options.retry {
                let _ = write!(text, ", {retry:?}");
            }
            if options.detached {
                text.push_str(", detached");
            }
            if options.retry_if {
                text.push_str(", retried if its error is");
            }
            text
        }
        Action::SendEvent {
            call,
            to,
            name,
            data,
        } => format!("event {call} `{name}` for instance `{to}` with {data:?}"),
        Action::ContinueAsNew { version, input, .. } => {
            let version = if version.is_empty() { "none" } else { version };
            format!("continuation as new, version {version}, with {input:?}")
        }
    }
}
