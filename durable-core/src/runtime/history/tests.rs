//! Every kind of event and action, as it is shown and exported.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::event::{HistoryEvent, HistoryEventKind, Shown};
use crate::failure::{FailureDetails, FailureKind};
use crate::history::{
    Action, ActivityOptions, ChildOptions, Event, Parent, Started, Step, StepIndex, Turn,
};
use crate::id::{CallId, EventName, ExecutionId, InstanceId, InstanceNumber};
use crate::payload::Payload;
use crate::retry::RetryPolicy;
use crate::time::Timestamp;

/// What the table below is written as.
const GOLDEN: &str = include_str!("golden.jsonl");

fn json(text: &str) -> Payload {
    Payload::from_json(text.to_owned()).expect("JSON")
}

fn failure() -> FailureDetails {
    FailureDetails::new(FailureKind::Application, "shop::Declined", "too \"much\"")
        .with_value(json(r#"{"Declined": 4.20}"#))
}

fn id(id: &str) -> InstanceId {
    InstanceId::new(id).expect("valid")
}

fn started() -> Event {
    let parent = Parent {
        instance: id("parent"),
        number: InstanceNumber(7),
        execution: ExecutionId(3),
        call: CallId(9),
        attempt: 2,
        depth: 1,
    };
    Event::Started(Box::new(Started {
        instance: id("order/42"),
        execution: ExecutionId(1),
        name: "fulfil".to_owned(),
        version: "1.2".to_owned(),
        input: json(r#"{"b": 1.0,  "a": [null, 18446744073709551616]}"#),
        parent: Some(parent),
        event_ids: vec![Arc::from("msg-1")],
        tags: BTreeMap::from([("team".to_owned(), "a b".to_owned())]),
    }))
}

/// One of each, and where what it holds may be absent, with and without that.
fn events() -> Vec<Event> {
    let call = CallId(4);
    let raised = |id: Option<&str>| Event::EventRaised {
        name: EventName::new("Paid"),
        data: json("null"),
        id: id.map(Arc::from),
    };
    let terminated = |reason: Option<&str>, children| Event::Terminated {
        reason: reason.map(str::to_owned),
        children,
    };
    vec![
        started(),
        Event::ActivityCompleted {
            call,
            output: json("null"),
        },
        Event::ActivityFailed {
            call,
            failure: failure(),
        },
        Event::TimerFired { call },
        raised(Some("msg-7")),
        raised(None),
        terminated(Some("line\nbreak"), true),
        terminated(None, false),
        Event::ChildCompleted {
            call,
            output: json("[1]"),
        },
        Event::ChildFailed {
            call,
            failure: failure().not_retryable(),
        },
        Event::Rewound {
            reason: "the bank is up again".to_owned(),
            // The activity above that has failed, and one that has not.
            takes_back: [2, 3].map(|step| StepIndex { turn: 1, step }).into(),
        },
    ]
}

fn actions() -> Vec<Action> {
    let call = CallId(5);
    let child = |detached| Action::StartChild {
        call,
        id: id("child"),
        name: Cow::Borrowed("pack"),
        version: Cow::Borrowed(""),
        input: json("0"),
        options: ChildOptions {
            retry: Some(RetryPolicy::exponential(
                3,
                std::time::Duration::from_secs(1),
            )),
            detached,
            ..ChildOptions::default()
        },
    };
    vec![
        Action::ScheduleActivity {
            call,
            name: Cow::Borrowed("charge"),
            input: json("\"ü\""),
            options: ActivityOptions::default(),
            inline: true,
        },
        Action::CreateTimer {
            call,
            due: Timestamp(1_764_146_400_000_001),
        },
        Action::AwaitEvent {
            call,
            name: EventName::new("Paid"),
        },
        Action::Cancel { call },
        Action::SetCustomStatus { status: json("{}") },
        Action::Complete { output: json("{}") },
        Action::Fail { failure: failure() },
        child(false),
        child(true),
        Action::SendEvent {
            call,
            to: id("other"),
            name: EventName::new("Go"),
            data: json("true"),
        },
        Action::ContinueAsNew {
            version: Cow::Borrowed("2"),
            input: json("1"),
            keep_events: true,
        },
        Action::Patched {
            name: Cow::Borrowed("new-tax"),
        },
    ]
}

/// A number for each kind, and how many there are: a new one does not compile until it is here, and
/// fails the test until it is in the table.
fn kind_of_event(event: &Event) -> u8 {
    match event {
        Event::Started(_) => 0,
        Event::ActivityCompleted { .. } => 1,
        Event::ActivityFailed { .. } => 2,
        Event::TimerFired { .. } => 3,
        Event::EventRaised { .. } => 4,
        Event::Terminated { .. } => 5,
        Event::ChildCompleted { .. } => 6,
        Event::ChildFailed { .. } => 7,
        Event::Rewound { .. } => 8,
    }
}
const EVENTS: u8 = 9;

fn kind_of_action(action: &Action) -> u8 {
    match action {
        Action::ScheduleActivity { .. } => 0,
        Action::CreateTimer { .. } => 1,
        Action::AwaitEvent { .. } => 2,
        Action::Cancel { .. } => 3,
        Action::SetCustomStatus { .. } => 4,
        Action::Complete { .. } => 5,
        Action::Fail { .. } => 6,
        Action::StartChild { .. } => 7,
        Action::SendEvent { .. } => 8,
        Action::ContinueAsNew { .. } => 9,
        Action::Patched { .. } => 10,
    }
}
const ACTIONS: u8 = 11;

fn table() -> Vec<HistoryEvent> {
    let mut actions = Some(actions());
    let step = |event| Step {
        event,
        // All of them with the first.
        actions: actions.take().unwrap_or_default(),
    };
    let turn = Turn {
        time: Timestamp(1_764_146_399_999_999),
        steps: events().into_iter().map(step).collect(),
    };
    Shown::default().events(ExecutionId(1), 2, turn)
}

#[test]
fn every_kind_is_in_the_table() {
    let kinds: BTreeSet<u8> = events().iter().map(kind_of_event).collect();
    assert!(kinds.into_iter().eq(0..EVENTS));
    let kinds: BTreeSet<u8> = actions().iter().map(kind_of_action).collect();
    assert!(kinds.into_iter().eq(0..ACTIONS));
    assert_eq!(table().len(), events().len() + actions().len());
}

/// What was exported once is written and read the same for ever.
#[test]
fn events_are_written_as_they_ever_were_and_read_back() {
    let lines: Vec<_> = GOLDEN.lines().collect();
    let table = table();
    for (event, line) in table.iter().zip(&lines) {
        let written = serde_json::to_string(event).expect("JSON");
        assert_eq!(written, *line);
        let read: HistoryEvent = serde_json::from_str(line).expect("an event");
        assert_eq!(read, *event);
    }
    assert_eq!(table.len(), lines.len());
}

/// Before they were named, a rewind was written without them.
#[test]
fn what_a_rewind_asks_for_again_may_be_missing() {
    let line = GOLDEN.lines().last().expect("a rewind");
    let old = line.replace(",\"calls\":[4]", "");
    assert_ne!(old, line);
    let read: HistoryEvent = serde_json::from_str(&old).expect("an event");
    let HistoryEventKind::ExecutionRewound { calls, .. } = read.kind else {
        panic!("{read:?}");
    };
    assert!(calls.is_empty());
}

#[test]
fn a_moment_after_the_last_year_is_written_as_its_end() {
    let turn = Turn {
        time: Timestamp(u64::MAX),
        steps: vec![Step {
            event: Event::TimerFired { call: CallId(1) },
            actions: Vec::new(),
        }],
    };
    let events = Shown::default().events(ExecutionId(0), 1, turn);
    let written = serde_json::to_string(&events[0]).expect("JSON");
    assert!(
        written.contains("\"time\":\"9999-12-30T22:00:00.999999Z\""),
        "{written}"
    );
}
