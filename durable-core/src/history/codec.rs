//! Turns as bytes. The envelope (version, checksum) is the store's.

use crate::history::Turn;

/// A turn as bytes.
///
/// # Errors
///
/// Only if memory cannot be had; the types have no value that cannot be written.
pub(crate) fn encode_turn(turn: &Turn) -> Result<Vec<u8>, postcard::Error> {
    postcard::to_stdvec(turn)
}

/// The turn that [`encode_turn`] wrote.
///
/// # Errors
///
/// If the bytes are not those of one turn.
pub(crate) fn decode_turn(bytes: &[u8]) -> Result<Turn, postcard::Error> {
    let (turn, rest) = postcard::take_from_bytes(bytes)?;
    if rest.is_empty() {
        Ok(turn)
    } else {
        Err(postcard::Error::DeserializeBadEncoding)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::failure::{FailureDetails, FailureKind};
    use crate::history::{
        Action, ActivityOptions, ChildOptions, Event, Parent, Started, Step, StepIndex,
    };
    use crate::id::{CallId, EventName, ExecutionId, InstanceId, InstanceNumber};
    use crate::payload::Payload;
    use crate::retry::RetryPolicy;
    use crate::time::Timestamp;

    #[expect(clippy::too_many_lines, reason = "one of every kind")]
    fn sample() -> Turn {
        let json = |json: &str| Payload::from_json(json.to_owned()).expect("JSON");
        let failure =
            FailureDetails::new(FailureKind::Application, "E", "no").with_value(json("1"));
        let started = Started {
            instance: InstanceId::new("order-42").expect("valid"),
            execution: ExecutionId(1),
            name: "fulfil".into(),
            version: "2".into(),
            input: json("{\"a\":1}"),
            parent: Some(Parent {
                instance: InstanceId::new("parent").expect("valid"),
                number: InstanceNumber(7),
                execution: ExecutionId(2),
                call: CallId(5),
                attempt: 1,
                depth: 3,
            }),
            event_ids: vec!["first".into()],
            tags: [("team".to_owned(), "a".to_owned())].into(),
        };
        let options = ActivityOptions {
            retry: Some(RetryPolicy::exponential(5, Duration::from_secs(1))),
            timeout: Some(Duration::from_millis(1)),
            retry_if: true,
            heartbeat: Some(Duration::from_secs(2)),
        };
        let call = CallId(3);
        let name = EventName::new("Go");
        let events = vec![
            Event::Started(Box::new(started)),
            Event::ActivityCompleted {
                call,
                output: json("[]"),
            },
            Event::ActivityFailed {
                call,
                failure: failure.clone(),
            },
            Event::TimerFired { call },
            Event::EventRaised {
                name: name.clone(),
                data: json("null"),
                id: Some("once".into()),
            },
            Event::Terminated {
                reason: Some("why".into()),
                children: true,
            },
            Event::ChildCompleted {
                call,
                output: json("5"),
            },
            Event::ChildFailed {
                call,
                failure: failure.clone(),
            },
            Event::Rewound {
                reason: "mended".into(),
                takes_back: vec![StepIndex { turn: 300, step: 2 }],
            },
        ];
        let actions = vec![
            Action::ScheduleActivity {
                call,
                name: "a".into(),
                input: json("2"),
                options,
                inline: true,
            },
            Action::CreateTimer {
                call,
                due: Timestamp(7),
            },
            Action::AwaitEvent {
                call,
                name: name.clone(),
            },
            Action::Cancel { call },
            Action::SetCustomStatus {
                status: json("\"s\""),
            },
            Action::Complete { output: json("4") },
            Action::Fail { failure },
            Action::StartChild {
                call,
                id: InstanceId::new("child").expect("valid"),
                name: "c".into(),
                version: "1".into(),
                input: json("6"),
                options: ChildOptions {
                    retry: Some(RetryPolicy::fixed(2, Duration::ZERO)),
                    detached: true,
                    named: true,
                    tags: [("team".to_owned(), "b".to_owned())].into(),
                    retry_if: true,
                },
            },
            Action::SendEvent {
                call,
                to: InstanceId::new("other").expect("valid"),
                name,
                data: json("7"),
            },
            Action::ContinueAsNew {
                version: "3".into(),
                input: json("8"),
                keep_events: true,
            },
            Action::Patched { name: "p".into() },
        ];
        let steps = events.into_iter().map(|event| Step {
            event,
            actions: actions.clone(),
        });
        Turn {
            time: Timestamp(9),
            steps: steps.collect(),
        }
    }

    #[test]
    fn every_kind_comes_back_as_it_was() {
        let bytes = encode_turn(&sample()).expect("encodes");
        assert_eq!(decode_turn(&bytes).expect("decodes"), sample());
    }

    #[test]
    fn no_prefix_and_no_excess_is_taken_for_a_turn() {
        let mut bytes = encode_turn(&sample()).expect("encodes");
        for end in 0..bytes.len() {
            assert!(decode_turn(&bytes[..end]).is_err(), "prefix of {end}");
        }
        bytes.push(0);
        assert!(decode_turn(&bytes).is_err());
    }
}
