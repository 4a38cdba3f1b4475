//! Reading a history, piece by piece, beside whoever writes it.

use std::sync::Mutex;

use super::backend::KeyValue;
use super::list::between_commits;
use super::verify::Tally;
use super::{keys, read};
use crate::store::{Header, ReadTurns, StoreError, TurnPlace, TurnsRead};

/// Reads some turns. Whoever applies commits does so under the lock `still`.
pub(super) fn turns(
    kv: &impl KeyValue,
    read: &ReadTurns,
    still: &Mutex<Option<Tally>>,
) -> Result<Option<TurnsRead>, StoreError> {
    between_commits(still, || look(kv, read))
}

fn look(kv: &impl KeyValue, ask: &ReadTurns) -> Result<Option<TurnsRead>, StoreError> {
    // First, so that what it says of the history cannot be ahead of what is read of that.
    let Some(header) = read::one::<Header>(kv, keys::header(&ask.id))? else {
        return Ok(None);
    };
    let begin = TurnPlace {
        number: header.number,
        execution: header.execution,
        turn: 0,
    };
    let after = ask.after.unwrap_or(begin);
    if !after.is_of(&begin) {
        return Ok(Some(TurnsRead {
            next: begin,
            turns: Vec::new(),
            more: true,
        }));
    }
    let mut first = after.turn.saturating_add(1);
    if planted!(ReadTurnAgain) {
        first = after.turn.max(1);
    }
    let from = keys::turn(header.number, header.execution, first);
    let of_execution = keys::turns_of_execution(header.number, header.execution);
    let within = read::Within {
        records: ask.limit,
        bytes: ask.bytes,
    };
    let (records, more) = read::bounded(kv, &from, &keys::end_of(&of_execution), &within)?;
    let mut turns = Vec::with_capacity(records.len());
    for (expected, (key, body)) in (first..).zip(records) {
        if keys::trailing_u32(&key) != Some(expected) {
            return Err(read::missing(&header, expected));
        }
        turns.push((expected, read::turn(&key, &body)?));
    }
    let last = turns.last().map_or(after.turn, |(turn, _)| *turn);
    if !more && last < header.turns {
        return Err(read::missing(&header, last + 1));
    }
    Ok(Some(TurnsRead {
        next: TurnPlace {
            turn: last,
            ..begin
        },
        turns,
        more,
    }))
}
