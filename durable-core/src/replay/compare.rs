//! Does what the code asks for now match what history recorded?
//!
//! Actions of one step are matched as a set by id, not as a sequence: the order of first polls may
//! differ between two runs of correct code (an unbiased `select!` of direct calls), the ids not.

use std::collections::BTreeMap;

use serde_json::Value;

use super::problem::Difference;
use super::state::Emitted;
use crate::history::Action;
use crate::id::CallId;
use crate::payload::Payload;

/// How inputs are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Matching {
    /// By bytes, else as JSON in which the order of keys does not matter and an object may have
    /// gained or lost keys: a struct that grew a field must not block every instance. Retry policies,
    /// timeouts and where a patch is asked for do not count.
    Tolerant,
    /// By bytes, else as equal JSON: only the order of keys does not matter, because a `HashMap` in
    /// an input is written in another order each time. Options count too.
    Strict,
}

/// What an action is matched by. Cancelling a call is another action than making it, and there
/// may be several changes of the custom status in one step: they are matched in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Slot<'a> {
    Call(CallId),
    Cancel(CallId),
    Status(usize),
    Patch(&'a str),
    End,
}

/// How many inputs differed in a way that is tolerated, or the first difference that is not.
pub(super) fn compare(
    recorded: &[Action],
    asked: &[Emitted],
    matching: Matching,
) -> Result<u64, Box<Difference>> {
    // Nearly always the order is the same too, and then nothing is sorted.
    let in_order = recorded.len() == asked.len()
        && recorded
            .iter()
            .zip(asked)
            .all(|(recorded, asked)| *recorded == asked.action);
    if in_order {
        return Ok(0);
    }
    let mut asked_by_slot = by_slot(asked, |emitted| &emitted.action);
    let mut recorded_by_slot = by_slot(recorded, |action| action);
    // Nobody asks for one thing twice.
    let mut unmatched = twice(recorded, &recorded_by_slot).map(|action| (action, None));
    if matching == Matching::Tolerant {
        // What a marker led to is compared; the call itself may be moved, or be gone.
        asked_by_slot.retain(|slot, _| !matches!(slot, Slot::Patch(_)));
        recorded_by_slot.retain(|slot, _| !matches!(slot, Slot::Patch(_)));
    }
    let mut drifted = 0;
    for (slot, action) in recorded_by_slot {
        let found = asked_by_slot.remove(&slot);
        match found.map(|emitted| same(action, &emitted.action, matching)) {
            Some(Same::Yes) => {}
            Some(Same::Drifted) => drifted += 1,
            Some(Same::No) | None => {
                unmatched.get_or_insert((action, found));
            }
        }
    }
    // What is asked for in place of an action that is missing says more than "nothing".
    let surplus = asked_by_slot.into_values().next();
    let (recorded_action, asked_action) = match unmatched {
        Some((action, found)) => (Some(action), found.or(surplus)),
        None if surplus.is_some() => (None, surplus),
        None => return Ok(drifted),
    };
    Err(Box::new(Difference {
        recorded: recorded_action.cloned(),
        asked: asked_action.cloned(),
        permuted: sorted(recorded.iter()) == sorted(asked.iter().map(|emitted| &emitted.action)),
    }))
}

/// The actions without their ids, in an order of their own.
fn sorted<'a>(actions: impl Iterator<Item = &'a Action>) -> Vec<String> {
    let mut texts: Vec<_> = actions
        .map(|action| match action {
            Action::ScheduleActivity {
                name,
                input,
                inline,
                ..
            } => format!("activity {name} {inline} {input:?}"),
            Action::CreateTimer { due, .. } => format!("timer {}", due.0),
            Action::AwaitEvent { name, .. } => format!("event {name}"),
            Action::Cancel { .. } => "cancel".to_owned(),
            Action::Patched { name } => format!("patch {name}"),
            Action::SetCustomStatus { status } => format!("status {status:?}"),
            Action::Complete { output } => format!("complete {output:?}"),
            Action::Fail { failure } => format!("fail {failure:?}"),
            Action::StartChild { name, input, .. } => format!("child {name} {input:?}"),
            Action::SendEvent { to, name, data, .. } => format!("send {to} {name} {data:?}"),
            Action::ContinueAsNew { input, .. } => format!("continue {input:?}"),
        })
        .collect();
    texts.sort_unstable();
    texts
}

fn by_slot<'a, T>(
    items: &'a [T],
    action: impl Fn(&'a T) -> &'a Action,
) -> BTreeMap<Slot<'a>, &'a T> {
    let mut statuses = 0;
    let mut slot = |action: &'a Action| match action {
        Action::ScheduleActivity { call, .. }
        | Action::CreateTimer { call, .. }
        | Action::AwaitEvent { call, .. }
        | Action::StartChild { call, .. }
        | Action::SendEvent { call, .. } => Slot::Call(*call),
        Action::Cancel { call } => Slot::Cancel(*call),
        Action::Patched { name } => Slot::Patch(name),
        Action::SetCustomStatus { .. } => {
            statuses += 1;
            Slot::Status(statuses)
        }
        Action::Complete { .. } | Action::Fail { .. } | Action::ContinueAsNew { .. } => Slot::End,
    };
    items
        .iter()
        .map(|item| (slot(action(item)), item))
        .collect()
}

/// An action that stands in the way of another.
fn twice<'a>(recorded: &'a [Action], by_slot: &BTreeMap<Slot<'_>, &Action>) -> Option<&'a Action> {
    let is_kept = |action: &&Action| by_slot.values().any(|kept| std::ptr::eq(*kept, *action));
    (by_slot.len() < recorded.len())
        .then(|| recorded.iter().find(|action| !is_kept(action)))
        .flatten()
}

enum Same {
    Yes,
    Drifted,
    No,
}

fn same(recorded: &Action, asked: &Action, matching: Matching) -> Same {
    if recorded == asked {
        return Same::Yes;
    }
    match (recorded, asked) {
        (
            Action::ScheduleActivity {
                name,
                input,
                options,
                inline,
                ..
            },
            Action::ScheduleActivity {
                name: asked_name,
                input: asked_input,
                options: asked_options,
                inline: asked_inline,
                ..
            },
        ) if (name, inline) == (asked_name, asked_inline)
            && (options == asked_options || matching == Matching::Tolerant) =>
        {
            same_payload(input, asked_input, matching)
        }
        (
            Action::StartChild {
                call: _,
                id,
                name,
                version,
                input,
                options,
            },
            Action::StartChild {
                call: _,
                id: asked_id,
                name: asked_name,
                version: asked_version,
                input: asked_input,
                options: asked_options,
            },
        ) if (id, name, version, options.detached)
            == (asked_id, asked_name, asked_version, asked_options.detached)
            && (options == asked_options || matching == Matching::Tolerant) =>
        {
            same_payload(input, asked_input, matching)
        }
        (
            Action::SendEvent { to, name, data, .. },
            Action::SendEvent {
                to: asked_to,
                name: asked_name,
                data: asked_data,
                ..
            },
        ) if (to, name) == (asked_to, asked_name) => same_payload(data, asked_data, matching),
        (
            Action::ContinueAsNew {
                version,
                input,
                keep_events,
            },
            Action::ContinueAsNew {
                version: asked_version,
                input: asked_input,
                keep_events: asked_keep_events,
            },
        ) if (version, keep_events) == (asked_version, asked_keep_events) => {
            same_payload(input, asked_input, matching)
        }
        (Action::SetCustomStatus { status }, Action::SetCustomStatus { status: asked }) => {
            same_payload(status, asked, matching)
        }
        (Action::Complete { output }, Action::Complete { output: asked }) => {
            same_payload(output, asked, matching)
        }
        _ => Same::No,
    }
}

fn same_payload(recorded: &Payload, asked: &Payload, matching: Matching) -> Same {
    if recorded == asked {
        return Same::Yes;
    }
    let alike = match matching {
        Matching::Tolerant => alike,
        Matching::Strict => Value::eq,
    };
    match (recorded.decode(), asked.decode()) {
        (Ok(recorded), Ok(asked)) if alike(&recorded, &asked) => Same::Drifted,
        _ => Same::No,
    }
}

/// Equal, but for keys that only one of two objects has.
fn alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => a
            .iter()
            .all(|(key, a)| b.get(key).is_none_or(|b| alike(a, b))),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b))
        }
        (a, b) => a == b,
    }
}
