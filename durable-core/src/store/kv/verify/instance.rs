//! One instance: its history, its header, what waits for it, its timers and the active set must tell
//! the same story.

use std::collections::{BTreeMap, BTreeSet};

use super::super::active::ActiveSet;
use super::super::backend::KeyValue;
use super::super::{keys, read};
use super::is_damage;
use super::tally::unreadable;
use crate::failure::FailureKind;
use crate::history::{
    Action, Event, Outstanding, Pending, Started, Step, StepIndex, Turn, decode_turn, taken_back,
};
use crate::id::{CallId, ExecutionId, InstanceId, InstanceNumber};
use crate::payload::Payload;
use crate::store::{
    Attempts, Damage, DamageKind, Header, RuntimeStatus, StoreError, TimerKey, TimerKind,
};

/// What was found out about an instance.
#[derive(Debug, Default)]
pub(super) struct Examined {
    pub(super) id: Option<InstanceId>,
    /// The entries that the timer index must have.
    pub(super) timers: BTreeSet<TimerKey>,
    pub(super) damages: Vec<Damage>,
    pub(super) bytes: u64,
}

/// Everything of an instance but its header.
#[derive(Debug, Default)]
struct Story {
    executions: BTreeMap<ExecutionId, Vec<(u32, Turn)>>,
    messages: Vec<(u64, Event)>,
    attempts: BTreeMap<(ExecutionId, CallId), Attempts>,
    bytes: u64,
}

/// Reads all of an instance and compares. Without the active set that is not looked at.
pub(super) fn examine(
    kv: &impl KeyValue,
    number: InstanceNumber,
    active: Option<&ActiveSet>,
) -> Result<Examined, StoreError> {
    let mut examined = Examined::default();
    let looked = look(kv, number, active, &mut examined);
    match looked {
        Ok(()) => {}
        Err(error) if is_damage(&error) => examined.damages.push(Damage {
            instance: examined.id.clone(),
            ..unreadable(&error)
        }),
        Err(error) => return Err(error),
    }
    Ok(examined)
}

fn look(
    kv: &impl KeyValue,
    number: InstanceNumber,
    active: Option<&ActiveSet>,
    examined: &mut Examined,
) -> Result<(), StoreError> {
    // Also of a history that cannot be read as a whole it may be known whose it is.
    examined.id = read::id_of(kv, number)?;
    let story = Story::read(kv, number)?;
    examined.bytes = story.bytes;
    if story.is_empty() {
        return Ok(());
    }
    let Some(id) = examined.id.clone() else {
        let detail = format!("what belongs to instance number {} has no start", number.0);
        examined.note(DamageKind::Missing, detail);
        return Ok(());
    };
    let header = read::one::<Header>(kv, keys::header(&id))?;
    let Some(header) = header.filter(|header| header.number == number) else {
        let detail = format!("the header of instance number {} is missing", number.0);
        examined.note(DamageKind::Missing, detail);
        return Ok(());
    };
    let is_active = active.map(|set| set.contains(number));
    let outstanding = story.histories(&header, examined);
    story.header(&header, &outstanding, is_active, examined);
    story.waiting(&header, &outstanding, examined);
    story.timers(&header, &outstanding, examined);
    for timer in examined.timers.clone() {
        if kv.get(&keys::timer(&timer))?.is_none() {
            let detail = format!(
                "the {:?} timer of call {}, due at {}, is missing",
                timer.kind, timer.call, timer.due.0
            );
            examined.note(DamageKind::Missing, detail);
        }
    }
    Ok(())
}

impl Examined {
    fn note(&mut self, kind: DamageKind, detail: String) {
        self.damages.push(Damage {
            kind,
            instance: self.id.clone(),
            detail,
        });
    }

    /// Notes a contradiction, unless there is none.
    fn expect(&mut self, holds: bool, detail: impl FnOnce() -> String) {
        if !holds {
            self.note(DamageKind::Contradiction, detail());
        }
    }
}

impl Story {
    fn read(kv: &impl KeyValue, number: InstanceNumber) -> Result<Self, StoreError> {
        let mut story = Self::default();
        for (key, body) in read::all(kv, &keys::turns_of(number), usize::MAX)? {
            let turn = decode_turn(&body)
                .map_err(|error| StoreError::corrupt(format!("a turn does not decode: {error}")))?;
            story.bytes += (key.len() + body.len()) as u64;
            if let Some((execution, nth)) = keys::execution_and_last(&key) {
                let history = story.executions.entry(execution).or_default();
                history.push((nth, turn));
            }
        }
        for (key, body) in read::all(kv, &keys::messages_of(number), usize::MAX)? {
            story.bytes += (key.len() + body.len()) as u64;
            let seq = keys::trailing_u64(&key).unwrap_or_default();
            story.messages.push((seq, read::decode(&key, &body)?));
        }
        for (key, body) in read::all(kv, &keys::attempts_of(number), usize::MAX)? {
            story.bytes += (key.len() + body.len()) as u64;
            if let Some((execution, call)) = keys::execution_and_last(&key) {
                let attempts = read::decode(&key, &body)?;
                story.attempts.insert((execution, CallId(call)), attempts);
            }
        }
        Ok(story)
    }

    fn is_empty(&self) -> bool {
        self.executions.is_empty() && self.messages.is_empty() && self.attempts.is_empty()
    }

    fn current(&self, header: &Header) -> &[(u32, Turn)] {
        self.executions
            .get(&header.execution)
            .map_or(&[], Vec::as_slice)
    }

    /// Every execution begins with its start and has its turns without a gap; what the current one
    /// still waits for.
    fn histories(&self, header: &Header, examined: &mut Examined) -> Outstanding {
        let mut outstanding = Outstanding::default();
        for (execution, turns) in &self.executions {
            if *execution > header.execution {
                let detail = format!("execution {execution} is not known to the header");
                examined.note(DamageKind::Surplus, detail);
                continue;
            }
            for (expected, (nth, _)) in (1..).zip(turns) {
                if *nth != expected {
                    let detail = format!("turn {expected} of execution {execution} is missing");
                    examined.note(DamageKind::Missing, detail);
                    break;
                }
            }
            let first = turns.first().and_then(|(_, turn)| turn.steps.first());
            let begins = first.is_some_and(|step| starts(&step.event, header, *execution));
            examined.expect(begins, || {
                format!("execution {execution} does not begin with its start")
            });
            let gone = taken_back(turns.iter().map(|(_, turn)| turn));
            let mut last = None;
            for (nth, turn) in turns {
                examined.expect(last <= Some(turn.time), || {
                    format!("turn {nth} of execution {execution} is before the one before it")
                });
                last = Some(turn.time);
                if *execution != header.execution {
                    continue;
                }
                for (step, of) in (0..).zip(&turn.steps) {
                    let turn_index = nth.saturating_sub(1);
                    let index = StepIndex {
                        turn: turn_index,
                        step,
                    };
                    if !gone.contains(&index) {
                        outstanding.follow(of, turn.time);
                    }
                }
            }
        }
        outstanding
    }

    fn header(
        &self,
        header: &Header,
        outstanding: &Outstanding,
        is_active: Option<bool>,
        examined: &mut Examined,
    ) {
        let turns = self.current(header);
        let count = u32::try_from(turns.len()).unwrap_or(u32::MAX);
        let ended = header.status.is_terminal();
        let belongs = !ended
            && (outstanding.has_activities()
                || header.problem.is_some()
                || (!self.messages.is_empty() && header.begins_later().is_none()));
        if let Some(is_active) = is_active {
            examined.expect(is_active == belongs, || {
                let (is, must) = if is_active {
                    ("is", "not")
                } else {
                    ("is not", "")
                };
                format!("it {is} in the active set and must {must} be").replace("  ", " ")
            });
        }
        // While it is active its header may lag behind.
        let exact = !belongs;
        let fits = header.turns == count || (!exact && header.turns < count);
        examined.expect(fits, || {
            format!("it has {count} turns, its header says {}", header.turns)
        });
        let continued = header.execution > ExecutionId::default();
        let status = if continued && turns.is_empty() {
            // Its start waits.
            RuntimeStatus::Running
        } else if self.is_to_be_rewound() {
            RuntimeStatus::Running
        } else {
            status_of(turns, outstanding)
        };
        // It can be suspended for as long as it has not ended; no turn is taken for that.
        let suspended = header.status == RuntimeStatus::Suspended && !status.is_terminal();
        examined.expect(suspended == header.suspended.is_some(), || {
            "it is suspended without a reason, or the other way round".to_owned()
        });
        examined.expect(suspended || header.status == status, || {
            format!("its header says {}, its history {status}", header.status)
        });
        let updated = turns.last().map_or(header.created, |(_, turn)| turn.time);
        let fits = header.updated == updated
            || (!exact && header.updated < updated)
            || (continued && turns.is_empty());
        examined.expect(fits, || {
            format!(
                "it was last updated at {}, not {}",
                updated.0, header.updated.0
            )
        });
        let begins = header.begins_later().is_none() || (turns.is_empty() && !continued);
        examined.expect(begins, || {
            "it took a turn before it was to begin".to_owned()
        });
        let custom = custom_status(turns);
        // It may come from an execution before this one.
        let fits = header.custom_status.as_ref() == custom || (continued && custom.is_none());
        examined.expect(fits, || {
            "its custom status is not the one in its history".to_owned()
        });
    }

    fn is_to_be_rewound(&self) -> bool {
        let mut messages = self.messages.iter();
        messages.any(|(_, event)| matches!(event, Event::Rewound { .. }))
    }

    /// What waits: a start if nothing was lived through, nothing once it has ended.
    fn waiting(&self, header: &Header, outstanding: &Outstanding, examined: &mut Examined) {
        if self.current(header).is_empty() {
            let first = self.messages.first().map(|(_, event)| event);
            let begins = first.is_some_and(|event| starts(event, header, header.execution));
            examined.expect(begins, || "its start does not wait first".to_owned());
        }
        // Of one that may be rewound events are kept.
        let may_go_on = header.may_be_rewound();
        let is_kept =
            |(_, event): &(u64, Event)| may_go_on && matches!(event, Event::EventRaised { .. });
        if header.status.is_terminal() && !self.messages.iter().all(is_kept) {
            let detail = format!(
                "{} messages wait although it has ended",
                self.messages.len()
            );
            examined.note(DamageKind::Surplus, detail);
        }
        for (execution, call) in self.attempts.keys() {
            let is_tried = matches!(
                outstanding.get(*call),
                Some(Pending::Activity { .. } | Pending::Child { .. })
            );
            if *execution != header.execution || !is_tried {
                let detail = format!("attempts at call {call}, for which nothing waits");
                examined.note(DamageKind::Surplus, detail);
            }
        }
    }

    /// The timers that must be there: each that is outstanding and has not fired into a message,
    /// and one for each call whose next attempt was put off.
    fn timers(&self, header: &Header, outstanding: &Outstanding, examined: &mut Examined) {
        let timer = |call, due, kind| TimerKey {
            due,
            number: header.number,
            execution: header.execution,
            call,
            kind,
        };
        let has_fired = |call| {
            let fired = |(_, event): &(u64, Event)| matches!(event, Event::TimerFired { call: fired } if *fired == call);
            self.messages.iter().any(fired)
        };
        if let Some(due) = header.begins_later() {
            let kind = TimerKind::Start;
            examined.timers.insert(timer(CallId(0), due, kind));
        }
        for (call, pending) in outstanding.iter() {
            match pending {
                Pending::Timer { due } if !has_fired(call) => {
                    let kind = TimerKind::Orchestrator;
                    examined.timers.insert(timer(call, *due, kind));
                }
                Pending::Timer { .. } => {}
                Pending::Activity { .. } | Pending::Child { .. } => {
                    let attempts = self.attempts.get(&(header.execution, call));
                    if let Some(due) = attempts.and_then(|attempts| attempts.due) {
                        let kind = TimerKind::Retry;
                        examined.timers.insert(timer(call, due, kind));
                    }
                }
            }
        }
    }
}

/// Whether this is how the execution began.
fn starts(event: &Event, header: &Header, of: ExecutionId) -> bool {
    let Event::Started(started) = event else {
        return false;
    };
    let Started {
        instance,
        execution,
        name,
        version,
        input: _,
        parent,
        event_ids: _,
        tags,
    } = &**started;
    *instance == header.id
        && *execution == of
        && *parent == header.parent
        && *tags == header.tags
        && (of != header.execution || (*name == header.name && *version == header.version))
}

fn steps(turns: &[(u32, Turn)]) -> impl DoubleEndedIterator<Item = &Step> {
    turns.iter().flat_map(|(_, turn)| &turn.steps)
}

fn status_of(turns: &[(u32, Turn)], outstanding: &Outstanding) -> RuntimeStatus {
    let Some(last) = steps(turns).next_back() else {
        return RuntimeStatus::Pending;
    };
    if !outstanding.ended() {
        return RuntimeStatus::Running;
    }
    if matches!(last.event, Event::Terminated { .. }) {
        return RuntimeStatus::Terminated;
    }
    match last.actions.last() {
        Some(Action::Fail { failure }) if failure.kind() == FailureKind::Terminated => {
            RuntimeStatus::Terminated
        }
        Some(Action::Fail { .. }) => RuntimeStatus::Failed,
        _ => RuntimeStatus::Completed,
    }
}

fn custom_status(turns: &[(u32, Turn)]) -> Option<&Payload> {
    let set = |action: &'_ Action| matches!(action, Action::SetCustomStatus { .. });
    let last = steps(turns)
        .rev()
        .find_map(|step| step.actions.iter().rfind(|action| set(action)));
    match last {
        Some(Action::SetCustomStatus { status }) => Some(status),
        _ => None,
    }
}
