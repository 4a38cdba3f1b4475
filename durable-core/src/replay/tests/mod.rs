//! The replay core, tested as tables.
//!
//! A script is a list of rows: an event, and what the orchestrator asks for when it is fed, both
//! as text. `@60` before an event begins a turn at second 60. Everything that a script recorded is
//! then replayed strictly on a fresh execution.
//!
//! | event | |
//! |---|---|
//! | `start`, `start {"a":1}` | the first event, with the orchestrator's input |
//! | `done #0 7` | call 0, an activity, returned 7 |
//! | `failed #0 "no"` | call 0 returned the error "no" |
//! | `fired #0` | call 0, a timer, is due |
//! | `ended #0 7` | call 0, a child, ended with 7 |
//! | `broke #0 "no"` | call 0, a child, failed with "no" |
//! | `raise Go 7` | an external event |
//! | `terminate` | |
//!
//! What it asks for is a list of actions, see [`show`]; `-` if there is none, `ignored` if the event
//! changed nothing, `problem: <kind>` if it stops the instance.

/// An activity that nobody runs: the test says what it returned.
macro_rules! activity {
    ($activity:ty, $name:literal, $input:ty) => {
        impl Activity for $activity {
            type Input = $input;
            type Output = u32;
            type Error = String;
            const NAME: &'static str = $name;

            fn require(_: &mut Requirements) {}

            fn run(_: ActivityContext, _: Payload) -> ActivityFuture {
                unreachable!("the test answers for it")
            }
        }
    };
}

mod calls;
mod divergence;
mod drop;
mod escape;
mod events;
mod evict;
mod foreign;
mod matching;
mod mutation;
mod patches;
mod programs;
mod shadow;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::*;
use crate::activity::{Activity, ActivityContext, ActivityFuture, Requirements};
use crate::failure::{ActivityError, FailureDetails, FailureKind};
use crate::history::{Action, Event, Started as StartedEvent, Step, Turn};
use crate::id::{CallId, EventName, ExecutionId, InstanceId, InstanceNumber};
use crate::orchestrator::OrchestratorFuture;
use crate::payload::Payload;
use crate::registry::RunOrchestrator;
use crate::time::Timestamp;

/// The future of a call of `A`.
type CallOf<A> = ActivityCall<<A as Activity>::Output, <A as Activity>::Error>;

struct Work;
struct Other;

/// One whose input cannot be written as JSON.
struct Unwritable;

/// One that takes any JSON.
struct Post;

activity!(Work, "work", u32);
activity!(Other, "other", u32);
activity!(Unwritable, "unwritable", BTreeMap<(u8, u8), u8>);
activity!(Post, "post", serde_json::Value);

/// An orchestrator that cannot fail. Its polls are counted.
fn body<T: Serialize>(future: impl Future<Output = T> + Send + 'static) -> OrchestratorFuture {
    Box::pin(async move {
        let mut future = pin!(future);
        let output = poll_fn(|cx| {
            POLLS.set(POLLS.get() + 1);
            future.as_mut().poll(cx)
        });
        Ok(Payload::encode(&output.await).expect("JSON"))
    })
}

/// The result of an activity, in few words.
fn text(result: Result<u32, ActivityError<String>>) -> String {
    match result {
        Ok(output) => output.to_string(),
        Err(ActivityError::Application(error)) => format!("error {error}"),
        Err(error) => error.to_string(),
    }
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

thread_local! {
    static POLLS: Cell<u64> = const { Cell::new(0) };
    static NOTES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Notes something for the test, past the orchestrator.
fn note(text: impl ToString) {
    NOTES.with_borrow_mut(|notes| notes.push(text.to_string()));
}

fn take_notes() -> Vec<String> {
    NOTES.take()
}

/// Notes when it is dropped.
struct NoteDrop(&'static str);

impl Drop for NoteDrop {
    fn drop(&mut self) {
        note(self.0);
    }
}

/// Runs a function when it is dropped.
struct OnDrop(fn(OrchestrationContext), OrchestrationContext);

impl Drop for OnDrop {
    fn drop(&mut self) {
        (self.0)(self.1);
    }
}

fn identity() -> Arc<Identity> {
    Arc::new(Identity {
        hub: 0,
        instance: InstanceId::new("order-42").expect("valid"),
        number: InstanceNumber(7),
        execution: ExecutionId(0),
        name: "fulfil".into(),
        version: "2".into(),
        parent: None,
        tags: BTreeMap::new(),
    })
}

fn execution(run: RunOrchestrator) -> Execution {
    Execution::new(identity(), run, Arc::new(|| {}))
}

/// An execution, and the turns it has lived through.
struct Live {
    execution: Execution,
    turns: Vec<Turn>,
}

impl Live {
    fn new(run: RunOrchestrator) -> Self {
        Self::of(execution(run))
    }

    fn of(execution: Execution) -> Self {
        Self {
            execution,
            turns: Vec::new(),
        }
    }

    /// Feeds one row's event; what it led to.
    fn feed(&mut self, row: &str) -> String {
        match self.try_feed(row) {
            Ok(outcome) => outcome,
            Err(problem) => format!("problem: {:?}", problem.kind()),
        }
    }

    fn try_feed(&mut self, row: &str) -> Result<String, Problem> {
        let (time, event) = parse(row);
        if time.is_some() || self.turns.is_empty() {
            let time = Timestamp(time.unwrap_or(0) * 1_000_000);
            self.execution.begin_turn(time);
            let (time, steps) = (self.execution.now(), Vec::new());
            self.turns.push(Turn { time, steps });
        }
        let Fed { changed, actions } = self.execution.feed(&event)?;
        let actions: Vec<_> = actions.into_iter().map(|emitted| emitted.action).collect();
        if !changed {
            assert_eq!(actions, [], "an ignored event led to actions");
            return Ok("ignored".into());
        }
        let shown = show_all(&actions);
        let turn = self.turns.last_mut().expect("begun above");
        turn.steps.push(Step { event, actions });
        Ok(shown)
    }
}

/// Runs a script, then replays what it recorded.
#[track_caller]
fn check(run: RunOrchestrator, script: &[(&str, &str)]) -> Vec<Turn> {
    let mut live = Live::new(run);
    for (row, expected) in script {
        assert_eq!(live.feed(row), *expected, "at `{row}`");
    }
    take_notes();
    replay(run, &live.turns, Matching::Strict).expect("replays");
    live.turns
}

/// Replays on a fresh execution. How many inputs differed in a tolerated way.
fn replay(run: RunOrchestrator, turns: &[Turn], matching: Matching) -> Result<u64, Problem> {
    let mut execution = execution(run);
    execution.mark_patches(turns);
    let mut drifted = 0;
    for (index, turn) in turns.iter().enumerate() {
        drifted += execution.replay(turn, index + 1, matching)?;
    }
    Ok(drifted)
}

fn parse(row: &str) -> (Option<u64>, Event) {
    let (time, row) = match row.strip_prefix('@').and_then(|row| row.split_once(' ')) {
        Some((time, row)) => (Some(time.parse().expect("seconds")), row),
        None => (None, row),
    };
    let mut words = row.splitn(3, ' ');
    let [verb, first, second] = [(); 3].map(|()| words.next().unwrap_or_default());
    let call = || CallId(first.trim_start_matches('#').parse().expect("an id"));
    let event = match verb {
        "start" => started(first),
        "done" => Event::ActivityCompleted {
            call: call(),
            output: json(second),
        },
        "failed" => Event::ActivityFailed {
            call: call(),
            failure: FailureDetails::new(FailureKind::Application, "String", second)
                .with_value(json(second)),
        },
        "fired" => Event::TimerFired { call: call() },
        "ended" => Event::ChildCompleted {
            call: call(),
            output: json(second),
        },
        "broke" => Event::ChildFailed {
            call: call(),
            failure: FailureDetails::new(FailureKind::Application, "String", second)
                .with_value(json(second)),
        },
        "raise" => Event::EventRaised {
            name: EventName::new(first),
            data: json(second),
            id: None,
        },
        "terminate" => Event::Terminated {
            reason: None,
            children: false,
        },
        verb => panic!("no such event: {verb}"),
    };
    (time, event)
}

fn started(input: &str) -> Event {
    let identity = identity();
    Event::Started(Box::new(StartedEvent {
        instance: identity.instance.clone(),
        execution: identity.execution,
        name: identity.name.clone(),
        version: identity.version.clone(),
        input: json(input),
        event_ids: Vec::new(),
        parent: None,
        tags: BTreeMap::new(),
    }))
}

fn json(text: &str) -> Payload {
    Payload::from_json(text.to_owned()).expect("JSON")
}

fn show_all(actions: &[Action]) -> String {
    match actions {
        [] => "-".into(),
        actions => actions.iter().map(show).collect::<Vec<_>>().join("; "),
    }
}

fn show(action: &Action) -> String {
    let whole = |time: Timestamp| time.0 / 1_000_000;
    match action {
        Action::ScheduleActivity {
            call,
            name,
            input,
            options,
            inline: _,
        } => {
            let retry = options.retry.as_ref().map_or("", |_| " retried");
            let timeout = options
                .timeout
                .map_or(String::new(), |timeout| format!(" within {timeout:?}"));
            format!("call {call} {name} {input:?}{retry}{timeout}")
        }
        Action::CreateTimer { call, due } => format!("timer {call} at {}", whole(*due)),
        Action::AwaitEvent { call, name } => format!("wait {call} {name}"),
        Action::Cancel { call } => format!("cancel {call}"),
        Action::Patched { name } => format!("patch {name}"),
        Action::SetCustomStatus { status } => format!("status {status:?}"),
        Action::StartChild {
            call, name, input, ..
        } => format!("child {call} {name} {input:?}"),
        Action::SendEvent {
            call,
            to,
            name,
            data,
        } => format!("send {call} {to} {name} {data:?}"),
        Action::ContinueAsNew { input, .. } => format!("continue {input:?}"),
        Action::Complete { output } => format!("complete {output:?}"),
        Action::Fail { failure } => {
            let message = failure.message();
            let message = message.split(" (at ").next().unwrap_or(message);
            format!("fail {:?} {message}", failure.kind())
        }
    }
}
