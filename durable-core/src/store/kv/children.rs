//! Finding the children of an instance: by its history, which names them; those that executions before
//! have begun, whose history is gone, by looking at all instances.

use std::sync::Mutex;

use super::backend::KeyValue;
use super::list::{Candidates, between_commits, headers, list};
use super::verify::Tally;
use super::{keys, read};
use crate::history::Action;
use crate::id::{InstanceId, InstanceNumber};
use crate::store::{Child, ChildPlace, Children, Filter, FindChildren, Header, List, StoreError};

/// Instances that are looked at for one page.
const BUDGET: usize = if cfg!(test) { 3 } else { 2048 };
/// Turns that are looked at for one page ...
const TURNS: usize = 256;
/// ... until they have so many bytes.
const BYTES: usize = 1 << 20;

/// Finds some children. Whoever applies commits does so under the lock `still`.
pub(super) fn children(
    kv: &impl KeyValue,
    ask: &FindChildren,
    still: &Mutex<Option<Tally>>,
) -> Result<Children, StoreError> {
    let begun = between_commits(still, || {
        let header = read::one::<Header>(kv, keys::header(&ask.id))?;
        match header.filter(|header| header.number == ask.number) {
            // It was purged.
            None => Ok(Some(Children::default())),
            Some(parent) if parent.execution.generation() > 0 => Ok(None),
            Some(parent) => by_history(kv, ask, &parent).map(Some),
        }
    })?;
    match begun {
        Some(children) => Ok(children),
        None => among_all(kv, ask, still),
    }
}

fn among_all(
    kv: &impl KeyValue,
    ask: &FindChildren,
    still: &Mutex<Option<Tally>>,
) -> Result<Children, StoreError> {
    let after = match &ask.after {
        Some(ChildPlace::Listed(id)) => Some(id.clone()),
        Some(ChildPlace::Begun { .. } | ChildPlace::Tried { .. }) | None => None,
    };
    let listed = list(kv, &of(ask.number, String::new(), after, ask.limit), still)?;
    let found = listed.found.iter().map(|found| child(&found.header));
    Ok(Children {
        found: found.collect(),
        next: listed.last.map(ChildPlace::Listed),
    })
}

fn of(parent: InstanceNumber, id_prefix: String, after: Option<InstanceId>, limit: usize) -> List {
    List {
        filter: Filter {
            id_prefix,
            parent: Some(parent),
            ..Filter::default()
        },
        after,
        limit,
        budget: BUDGET,
        payloads: false,
    }
}

fn child(header: &Header) -> Child {
    Child {
        id: header.id.clone(),
        number: header.number,
        status: header.status,
    }
}

fn by_history(
    kv: &impl KeyValue,
    ask: &FindChildren,
    parent: &Header,
) -> Result<Children, StoreError> {
    let (first, mut skip, mut attempt) = match &ask.after {
        Some(ChildPlace::Begun { turn, skip }) => (*turn, *skip, None),
        Some(ChildPlace::Tried {
            turn,
            skip,
            attempt,
        }) => (*turn, *skip, Some(attempt.clone())),
        Some(ChildPlace::Listed(_)) | None => (1, 0, None),
    };
    let from = keys::turn(parent.number, parent.execution, first);
    let to = keys::end_of(&keys::turns_of_execution(parent.number, parent.execution));
    let within = read::Within {
        records: TURNS,
        bytes: BYTES,
    };
    let (records, more) = read::bounded(kv, &from, &to, &within)?;
    let mut found = Vec::new();
    let mut turn = first;
    for (key, body) in records {
        if keys::trailing_u32(&key) != Some(turn) {
            return Err(read::missing(parent, turn));
        }
        for (id, is_retried) in begun_in(read::turn(&key, &body)?).skip(skip) {
            if found.len() >= ask.limit {
                let next = Some(ChildPlace::Begun { turn, skip });
                return Ok(Children { found, next });
            }
            if attempt.is_none() {
                let header = read::one::<Header>(kv, keys::header(&id))?;
                let is_child = |header: &Header| is_child_of(header, parent.number);
                found.extend(header.filter(is_child).as_ref().map(child));
            }
            if is_retried && !planted!(LeaveTriedChildren) {
                let asked = of(parent.number, format!("{id}:"), attempt.take(), BUDGET);
                let (tried, last) = attempts(kv, &asked)?;
                found.extend(tried);
                if let Some(attempt) = last {
                    let next = Some(ChildPlace::Tried {
                        turn,
                        skip,
                        attempt,
                    });
                    return Ok(Children { found, next });
                }
            }
            skip += 1;
        }
        (turn, skip) = (turn.saturating_add(1), 0);
    }
    if !more && turn <= parent.turns {
        return Err(read::missing(parent, turn));
    }
    let next = more.then_some(ChildPlace::Begun { turn, skip: 0 });
    Ok(Children { found, next })
}

/// Those that a turn begins and waits for, and whether they may have had other attempts.
fn begun_in(turn: crate::history::Turn) -> impl Iterator<Item = (InstanceId, bool)> {
    let actions = turn.steps.into_iter().flat_map(|step| step.actions);
    actions.filter_map(|action| match action {
        Action::StartChild { id, options, .. } if !options.detached => {
            Some((id, options.retry.is_some()))
        }
        Action::StartChild { .. }
        | Action::ScheduleActivity { .. }
        | Action::CreateTimer { .. }
        | Action::AwaitEvent { .. }
        | Action::Cancel { .. }
        | Action::SetCustomStatus { .. }
        | Action::Complete { .. }
        | Action::Fail { .. }
        | Action::SendEvent { .. }
        | Action::ContinueAsNew { .. }
        | Action::Patched { .. } => None,
    })
}

fn is_child_of(header: &Header, parent: InstanceNumber) -> bool {
    let of = header.parent.as_ref();
    of.is_some_and(|of| of.number == parent)
}

/// Other attempts at a child, and the last instance that was looked at, if there may be more.
fn attempts(
    kv: &impl KeyValue,
    asked: &List,
) -> Result<(Vec<Child>, Option<InstanceId>), StoreError> {
    let Candidates { candidates, last } = headers(kv, asked)?;
    let tried = candidates.into_iter().filter_map(|found| found.header);
    Ok((tried.map(|header| child(&header)).collect(), last))
}
