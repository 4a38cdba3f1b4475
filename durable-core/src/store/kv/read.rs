//! Reading records back, with every check that a read can make.

use std::ops::ControlFlow;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::active::{ActiveSet, Change, Snapshot};
use super::backend::KeyValue;
use super::keys::{self, RecordKey};
use super::record::{Partial, chunk_key, show};
use crate::history::{Event, Letter, Turn, decode_turn};
use crate::id::{CallId, InstanceId, InstanceNumber};
use crate::store::{
    Attempts, Glimpse, Header, InstanceKey, LOOKED_AT, Reports, StatusDetail, StoreError, Stored,
    TimerKey, shown_reports,
};

/// The body of one record.
fn body(kv: &impl KeyValue, key: RecordKey) -> Result<Option<Bytes>, StoreError> {
    let first = chunk_key(&key, 0);
    let Some(value) = kv.get(&first)? else {
        return Ok(None);
    };
    let mut partial = Partial::begin(&first, &value)?;
    let mut chunk = 1;
    while !partial.is_complete() {
        let next = chunk_key(&key, chunk);
        let Some(value) = kv.get(&next)? else { break };
        partial.push(&next, &value)?;
        chunk += 1;
    }
    partial.finish().map(|(_, body)| Some(body))
}

/// The record under `key`.
pub(super) fn one<T: DeserializeOwned>(
    kv: &impl KeyValue,
    key: RecordKey,
) -> Result<Option<T>, StoreError> {
    let Some(body) = body(kv, key.clone())? else {
        return Ok(None);
    };
    decode(&key, &body).map(Some)
}

pub(super) fn decode<T: DeserializeOwned>(key: &[u8], body: &[u8]) -> Result<T, StoreError> {
    let undecodable = |error: &dyn std::fmt::Display| {
        StoreError::corrupt(format!("record {} does not decode: {error}", show(key)))
    };
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        Ok(_) => Err(undecodable(&"it is too long")),
        Err(error) => Err(undecodable(&error)),
    }
}

pub(super) fn turn(key: &[u8], body: &[u8]) -> Result<Turn, StoreError> {
    decode_turn(body).map_err(|error| {
        StoreError::corrupt(format!("turn {} does not decode: {error}", show(key)))
    })
}

/// The records whose keys begin with `prefix`, in order; at most `limit`.
pub(super) fn all(
    kv: &impl KeyValue,
    prefix: &[u8],
    limit: usize,
) -> Result<Vec<(RecordKey, Bytes)>, StoreError> {
    between(kv, prefix, &keys::end_of(prefix), limit)
}

/// The records with `from <= key < to`, in order; at most `limit`.
fn between(
    kv: &impl KeyValue,
    from: &[u8],
    to: &[u8],
    limit: usize,
) -> Result<Vec<(RecordKey, Bytes)>, StoreError> {
    let within = Within {
        records: limit,
        bytes: usize::MAX,
    };
    bounded(kv, from, to, &within).map(|(records, _)| records)
}

/// How much is read at once.
pub(super) struct Within {
    pub(super) records: usize,
    /// After so many bytes of them no other is taken.
    pub(super) bytes: usize,
}

/// As [`between`], and whether there are more.
pub(super) fn bounded(
    kv: &impl KeyValue,
    from: &[u8],
    to: &[u8],
    within: &Within,
) -> Result<(Vec<(RecordKey, Bytes)>, bool), StoreError> {
    let (mut records, mut bytes) = (Vec::new(), 0);
    let mut partial: Option<Partial> = None;
    let mut failed = None;
    let mut more = false;
    kv.scan(from, to, &mut |key, value| {
        let pushed = match &mut partial {
            Some(partial) if !partial.is_complete() => partial.push(key, value),
            _ => Partial::begin(key, value).and_then(|begun| match partial.replace(begun) {
                Some(whole) => whole.finish().map(|record| {
                    bytes += record.1.len();
                    records.push(record);
                }),
                None => Ok(()),
            }),
        };
        match pushed {
            Ok(()) if records.len() < within.records && bytes < within.bytes => {
                ControlFlow::Continue(())
            }
            Ok(()) => {
                more = true;
                ControlFlow::Break(())
            }
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    if let Some(last) = partial.filter(|_| !more) {
        records.push(last.finish()?);
    }
    Ok((records, more))
}

/// Everything of an instance; of one that has ended only if that is wanted.
pub(super) fn instance(
    kv: &impl KeyValue,
    key: &InstanceKey,
    messages_at_most: usize,
    ended: bool,
) -> Result<Option<Stored>, StoreError> {
    let Some(header) = header(kv, key)? else {
        return Ok(None);
    };
    let number = header.number;
    let mut stored = Stored {
        header,
        turns: Vec::new(),
        turn_lens: Vec::new(),
        messages: Vec::new(),
        more_messages: false,
        attempts: Vec::new(),
        active: false,
    };
    if stored.header.status.is_terminal() && !ended {
        return Ok(Some(stored));
    }
    (stored.turns, stored.turn_lens) = turns_and_lens(kv, &stored.header)?;
    stored.messages = messages(kv, number, 0, messages_at_most)?;
    stored.more_messages = match stored.messages.last() {
        Some((last, _)) if stored.messages.len() == messages_at_most => {
            !messages(kv, number, last + 1, 1)?.is_empty()
        }
        Some(_) | None => false,
    };
    stored.attempts = attempts(kv, &stored.header, usize::MAX)?;
    Ok(Some(stored))
}

/// What is kept of the attempts at the calls of the current execution, in the order of the calls; at
/// most `limit`.
fn attempts(
    kv: &impl KeyValue,
    header: &Header,
    limit: usize,
) -> Result<Vec<(CallId, Attempts)>, StoreError> {
    let of_execution = keys::attempts_of_execution(header.number, header.execution);
    all(kv, &of_execution, limit)?
        .into_iter()
        .map(|(key, body)| {
            let call = CallId(keys::trailing_u32(&key).unwrap_or_default());
            Ok((call, decode(&key, &body)?))
        })
        .collect()
}

/// The messages of an instance from number `from` on, in order; at most `limit`.
pub(super) fn messages(
    kv: &impl KeyValue,
    number: InstanceNumber,
    from: u64,
    limit: usize,
) -> Result<Vec<(u64, Event)>, StoreError> {
    let to = keys::end_of(&keys::messages_of(number));
    between(kv, &keys::message(number, from), &to, limit)?
        .into_iter()
        .map(|(key, body)| {
            let seq = keys::trailing_u64(&key).unwrap_or_default();
            Ok((seq, decode(&key, &body)?))
        })
        .collect()
}

/// The turns of the current execution: dense from 1.
#[cfg(any(test, feature = "simulation", feature = "testing"))]
pub(super) fn turns(kv: &impl KeyValue, header: &Header) -> Result<Vec<Turn>, StoreError> {
    turns_and_lens(kv, header).map(|(turns, _)| turns)
}

/// The same, with the bytes of each one's record.
fn turns_and_lens(
    kv: &impl KeyValue,
    header: &Header,
) -> Result<(Vec<Turn>, Vec<u32>), StoreError> {
    let records = all(
        kv,
        &keys::turns_of_execution(header.number, header.execution),
        usize::MAX,
    )?;
    let mut turns = Vec::with_capacity(records.len());
    let mut lens = Vec::with_capacity(records.len());
    for (expected, (key, body)) in (1..).zip(records) {
        if keys::trailing_u32(&key) != Some(expected) {
            return Err(missing(header, expected));
        }
        turns.push(turn(&key, &body)?);
        lens.push(u32::try_from(body.len()).unwrap_or(u32::MAX));
    }
    if turns.len() < header.turns as usize {
        return Err(missing(header, header.turns));
    }
    Ok((turns, lens))
}

pub(super) fn missing(header: &Header, turn: u32) -> StoreError {
    StoreError::corrupt(format!("turn {turn} of instance {} is missing", header.id))
}

/// The header of an instance that sleeps is exact.
pub(super) fn check_whole(stored: &Stored) -> Result<(), StoreError> {
    let Stored { header, turns, .. } = stored;
    if turns.len() == header.turns as usize {
        return Ok(());
    }
    Err(StoreError::corrupt(format!(
        "instance {} has {} turns, its header says {}",
        header.id,
        turns.len(),
        header.turns
    )))
}

fn header(kv: &impl KeyValue, key: &InstanceKey) -> Result<Option<Header>, StoreError> {
    let id = match key {
        InstanceKey::Id(id) => Some(id.clone()),
        InstanceKey::Number(number) => id_of(kv, *number)?,
    };
    let Some(id) = id else { return Ok(None) };
    let found: Option<Header> = one(kv, keys::header(&id))?;
    if let (None, InstanceKey::Number(_)) = (&found, key) {
        // Its history is there.
        return Err(StoreError::corrupt(format!(
            "the header of instance {id} is missing"
        )));
    }
    Ok(found.filter(|header| match key {
        InstanceKey::Id(_) => true,
        // The id may have been used again since: that is another incarnation.
        InstanceKey::Number(number) => header.number == *number,
    }))
}

/// Whose number it is: the first record of the history, or of what waits, says so.
pub(super) fn id_of(
    kv: &impl KeyValue,
    number: InstanceNumber,
) -> Result<Option<InstanceId>, StoreError> {
    let first_turn = all(kv, &keys::turns_of(number), 1)?.into_iter().next();
    let event = match first_turn {
        Some((key, body)) => turn(&key, &body)?
            .steps
            .into_iter()
            .next()
            .map(|step| step.event),
        None => first_message(kv, number)?,
    };
    match event {
        Some(Event::Started(started)) => Ok(Some(started.instance)),
        None => Ok(None),
        Some(_) => Err(StoreError::corrupt(format!(
            "the history of instance number {} does not begin with its start",
            number.0
        ))),
    }
}

fn first_message(kv: &impl KeyValue, number: InstanceNumber) -> Result<Option<Event>, StoreError> {
    match all(kv, &keys::messages_of(number), 1)?.into_iter().next() {
        Some((key, body)) => decode(&key, &body).map(Some),
        None => Ok(None),
    }
}

/// What is shown of an instance.
pub(super) fn glimpse(
    kv: &impl KeyValue,
    id: &InstanceId,
    detail: StatusDetail,
    is_active: impl Fn(InstanceNumber) -> bool,
) -> Result<Option<Glimpse>, StoreError> {
    let summary = summary(kv, id, &is_active)?;
    summary
        .map(|summary| fill(kv, summary, detail, is_active))
        .transpose()
}

/// A summary, with as much as is wanted of what the instance was given and has returned, and what its
/// activities report.
pub(super) fn fill(
    kv: &impl KeyValue,
    summary: Glimpse,
    detail: StatusDetail,
    is_active: impl Fn(InstanceNumber) -> bool,
) -> Result<Glimpse, StoreError> {
    let header = &summary.header;
    let first_turn = if detail.input {
        nth_turn(kv, header, 1)?
    } else {
        None
    };
    let last_turn = if detail.output && header.status.is_terminal() {
        let last = nth_turn(kv, header, header.turns)?;
        Some(last.ok_or_else(|| missing(header, header.turns))?)
    } else {
        None
    };
    let first_message = match first_turn {
        None if detail.input => first_message(kv, header.number)?,
        Some(_) | None => None,
    };
    let mut reports = Reports::new();
    // Only activities report, and who waits for one is active.
    if detail.progress && !header.status.is_terminal() && is_active(header.number) {
        let attempts = attempts(kv, header, LOOKED_AT)?;
        let shown = shown_reports(attempts.iter().map(|(call, attempts)| (*call, attempts)));
        reports.extend(shown.map(|(call, report)| (call, report.clone())));
    }
    Ok(Glimpse {
        first_turn,
        last_turn,
        first_message,
        reports,
        ..summary
    })
}

/// The same without what it was given and has returned, and what its activities report. The header of one that is active may lag
/// behind its history.
pub(super) fn summary(
    kv: &impl KeyValue,
    id: &InstanceId,
    is_active: impl Fn(InstanceNumber) -> bool,
) -> Result<Option<Glimpse>, StoreError> {
    let Some(mut header) = one::<Header>(kv, keys::header(id))? else {
        return Ok(None);
    };
    if !header.status.is_terminal()
        && is_active(header.number)
        && !planted!(StaleGlimpse)
        && let Some(newest) = newest_turn(kv, &header)?
        && let Some(turn) = nth_turn(kv, &header, newest)?
    {
        header.turns = newest;
        header.updated = header.updated.max(turn.time);
    }
    Ok(Some(Glimpse::of(header)))
}

fn nth_turn(kv: &impl KeyValue, header: &Header, n: u32) -> Result<Option<Turn>, StoreError> {
    let key = keys::turn(header.number, header.execution, n);
    let body = body(kv, key.clone())?;
    body.map(|body| turn(&key, &body)).transpose()
}

/// The number of the last turn of the current execution.
fn newest_turn(kv: &impl KeyValue, header: &Header) -> Result<Option<u32>, StoreError> {
    let prefix = keys::turns_of_execution(header.number, header.execution);
    let mut newest = None;
    kv.scan_back(&prefix, &keys::end_of(&prefix), &mut |key, _| {
        newest = key
            .split_last_chunk::<2>()
            .and_then(|(key, _)| keys::trailing_u32(key));
        ControlFlow::Break(())
    })?;
    Ok(newest)
}

/// The letters that were not dealt with, oldest first.
pub(super) fn letters(kv: &impl KeyValue) -> Result<Vec<(u64, Letter)>, StoreError> {
    all(kv, &keys::letters(), usize::MAX)?
        .into_iter()
        .map(|(key, body)| {
            let seq = keys::trailing_u64(&key).unwrap_or_default();
            Ok((seq, decode(&key, &body)?))
        })
        .collect()
}

/// The next timers.
pub(super) fn timers(
    kv: &impl KeyValue,
    after: Option<TimerKey>,
    limit: usize,
) -> Result<Vec<TimerKey>, StoreError> {
    let from = match &after {
        // The next key there can be.
        Some(after) => [keys::timer(after), vec![0]].concat(),
        None => keys::timers(),
    };
    let mut timers = Vec::new();
    let mut failed = None;
    kv.scan(&from, &keys::end_of(&keys::timers()), &mut |key, _| {
        if timers.len() >= limit {
            return ControlFlow::Break(());
        }
        if let Some(timer) = keys::parse_timer(key) {
            timers.push(timer);
            ControlFlow::Continue(())
        } else {
            failed = Some(StoreError::corrupt(format!(
                "timer {} does not decode",
                show(key)
            )));
            ControlFlow::Break(())
        }
    })?;
    failed.map_or(Ok(timers), Err)
}

/// The active set: the last snapshot and the journal after it.
pub(super) fn active_set(kv: &impl KeyValue) -> Result<ActiveSet, StoreError> {
    let snapshot: Snapshot = one(kv, keys::ACTIVE_SNAPSHOT.to_vec())?.unwrap_or_default();
    let records = all(kv, &keys::active_changes(), usize::MAX)?;
    let changes = dense(snapshot.next, records)?;
    Ok(ActiveSet::restore(snapshot, changes))
}

/// The journal's records from number `first` on.
pub(super) fn active_changes(kv: &impl KeyValue, first: u64) -> Result<Vec<Change>, StoreError> {
    let from = keys::active_change(first);
    let to = keys::end_of(&keys::active_changes());
    dense(first, between(kv, &from, &to, usize::MAX)?)
}

fn dense(first: u64, records: Vec<(RecordKey, Bytes)>) -> Result<Vec<Change>, StoreError> {
    let mut changes = Vec::with_capacity(records.len());
    for (expected, (key, body)) in (first..).zip(records) {
        if keys::trailing_u64(&key) != Some(expected) {
            return Err(StoreError::corrupt(format!(
                "record {expected} of the active set is missing"
            )));
        }
        changes.push(decode(&key, &body)?);
    }
    Ok(changes)
}
