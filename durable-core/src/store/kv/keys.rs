//! The keys of the one tree: a prefix byte, then big-endian numbers, so that order is meaning.
//!
//! | prefix | key | record |
//! |---|---|---|
//! | `k` | | the hub record |
//! | `m` | | the meta record |
//! | `i` | id, 0 | header; ids have no control characters, so the 0 ends them |
//! | `h` | number, execution, turn | turn |
//! | `t` | due, number, execution, call, kind | empty; the key says all |
//! | `q` | number, seq | event that waits |
//! | `a` | number, execution, call | failed attempts |
//! | `o` | seq | letter that was not dealt with |
//! | `j` | seq | changes of the active set |
//! | `s` | | the active set as of a change |
//! | `x` | what it is, id, a zero | nothing: an instance that is what few are |
//!
//! Every key but those of timers and of `x` ends in a chunk number (two bytes).

use super::sparse::Rarity;
use crate::id::{CallId, ExecutionId, InstanceId, InstanceNumber};
use crate::store::{TimerKey, TimerKind};
use crate::time::Timestamp;

pub(super) const HUB: &[u8] = b"k";
pub(super) const META: &[u8] = b"m";
pub(super) const ACTIVE_SNAPSHOT: &[u8] = b"s";

const HEADER: u8 = b'i';
const TURN: u8 = b'h';
const TIMER: u8 = b't';
const MESSAGE: u8 = b'q';
const ATTEMPTS: u8 = b'a';
const LETTER: u8 = b'o';
const ACTIVE_CHANGE: u8 = b'j';
const SPARSE: u8 = b'x';

/// After every key there is.
pub(super) const END: &[u8] = &[0xff; 16];

/// What a key is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Hub,
    Meta,
    Header,
    Turn,
    Timer,
    Message,
    Attempts,
    Letter,
    ActiveChange,
    ActiveSnapshot,
    Sparse,
}

impl Kind {
    /// By the prefix alone.
    pub(super) fn of(key: &[u8]) -> Option<Self> {
        match *key.first()? {
            b'k' => Some(Self::Hub),
            b'm' => Some(Self::Meta),
            HEADER => Some(Self::Header),
            TURN => Some(Self::Turn),
            TIMER => Some(Self::Timer),
            MESSAGE => Some(Self::Message),
            ATTEMPTS => Some(Self::Attempts),
            LETTER => Some(Self::Letter),
            ACTIVE_CHANGE => Some(Self::ActiveChange),
            b's' => Some(Self::ActiveSnapshot),
            SPARSE => Some(Self::Sparse),
            _ => None,
        }
    }

    /// Whether a record of this kind can have this key.
    pub(super) fn fits(self, key: &[u8]) -> bool {
        match self {
            Self::Hub | Self::Meta | Self::ActiveSnapshot => key.len() == 1,
            // It is compared with the header itself.
            Self::Header => true,
            Self::Turn | Self::Message | Self::Attempts => key.len() == 17,
            Self::Timer => parse_timer(key).is_some(),
            Self::ActiveChange | Self::Letter => key.len() == 9,
            Self::Sparse => parse_sparse(key).is_some(),
        }
    }

    /// Whether its records are a key alone, without a chunk number.
    pub(super) fn is_bare(self) -> bool {
        matches!(self, Self::Timer | Self::Sparse)
    }
}

/// A key without its chunk number: the name of a record.
pub(super) type RecordKey = Vec<u8>;

fn key<const N: usize>(prefix: u8, parts: [&[u8]; N]) -> RecordKey {
    let mut key = Vec::with_capacity(32);
    key.push(prefix);
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

pub(super) fn header(id: &InstanceId) -> RecordKey {
    key(HEADER, [id.as_str().as_bytes(), &[0]])
}

pub(super) fn turn(number: InstanceNumber, execution: ExecutionId, turn: u32) -> RecordKey {
    key(
        TURN,
        [
            &number.0.to_be_bytes(),
            &execution.0.to_be_bytes(),
            &turn.to_be_bytes(),
        ],
    )
}

/// Whose header it is; `None` if the bytes are no such key.
pub(super) fn parse_header(key: &[u8]) -> Option<InstanceId> {
    let id = key.strip_prefix(&[HEADER])?.strip_suffix(&[0])?;
    InstanceId::new(std::str::from_utf8(id).ok()?).ok()
}

pub(super) fn headers() -> RecordKey {
    vec![HEADER]
}

pub(super) fn sparse(rarity: Rarity, id: &InstanceId) -> RecordKey {
    [&sparse_from(rarity, id.as_str()), [0].as_slice()].concat()
}

/// What the keys begin with whose ids begin with `prefix`.
pub(super) fn sparse_from(rarity: Rarity, prefix: &str) -> RecordKey {
    let rarity = match rarity {
        Rarity::Failed => b'f',
        Rarity::Suspended => b's',
        Rarity::Blocked => b'b',
    };
    key(SPARSE, [&[rarity], prefix.as_bytes()])
}

/// All of the index.
pub(super) fn all_sparse() -> RecordKey {
    vec![SPARSE]
}

/// What [`sparse`] was made of; `None` if the bytes are no such key.
pub(super) fn parse_sparse(key: &[u8]) -> Option<(Rarity, InstanceId)> {
    let (rarity, rest) = key.strip_prefix(&[SPARSE])?.split_first()?;
    let rarity = match rarity {
        b'f' => Rarity::Failed,
        b's' => Rarity::Suspended,
        b'b' => Rarity::Blocked,
        _ => return None,
    };
    let id = std::str::from_utf8(rest.strip_suffix(&[0])?).ok()?;
    Some((rarity, InstanceId::new(id).ok()?))
}

pub(super) fn turns() -> RecordKey {
    vec![TURN]
}

/// What [`turn`] was made of; `None` if the bytes are no such key.
pub(super) fn parse_turn(key: &[u8]) -> Option<(InstanceNumber, ExecutionId, u32)> {
    let rest = key.strip_prefix(&[TURN])?;
    let (number, rest) = rest.split_first_chunk()?;
    let (execution, turn) = rest.split_first_chunk()?;
    Some((
        InstanceNumber(u64::from_be_bytes(*number)),
        ExecutionId(u32::from_be_bytes(*execution)),
        u32::from_be_bytes(*turn.first_chunk()?),
    ))
}

/// All turns of an instance.
pub(super) fn turns_of(number: InstanceNumber) -> RecordKey {
    key(TURN, [&number.0.to_be_bytes()])
}

/// All turns of one execution.
pub(super) fn turns_of_execution(number: InstanceNumber, execution: ExecutionId) -> RecordKey {
    key(TURN, [&number.0.to_be_bytes(), &execution.0.to_be_bytes()])
}

pub(super) fn message(number: InstanceNumber, seq: u64) -> RecordKey {
    key(MESSAGE, [&number.0.to_be_bytes(), &seq.to_be_bytes()])
}

pub(super) fn messages_of(number: InstanceNumber) -> RecordKey {
    key(MESSAGE, [&number.0.to_be_bytes()])
}

pub(super) fn attempts(number: InstanceNumber, execution: ExecutionId, call: CallId) -> RecordKey {
    let mut key = attempts_of_execution(number, execution);
    key.extend_from_slice(&call.0.to_be_bytes());
    key
}

/// All attempts of an instance.
pub(super) fn attempts_of(number: InstanceNumber) -> RecordKey {
    key(ATTEMPTS, [&number.0.to_be_bytes()])
}

/// The attempts of one execution.
pub(super) fn attempts_of_execution(number: InstanceNumber, execution: ExecutionId) -> RecordKey {
    key(
        ATTEMPTS,
        [&number.0.to_be_bytes(), &execution.0.to_be_bytes()],
    )
}

pub(super) fn letter(seq: u64) -> RecordKey {
    key(LETTER, [&seq.to_be_bytes()])
}

pub(super) fn letters() -> RecordKey {
    vec![LETTER]
}

pub(super) fn active_change(seq: u64) -> RecordKey {
    key(ACTIVE_CHANGE, [&seq.to_be_bytes()])
}

pub(super) fn active_changes() -> RecordKey {
    vec![ACTIVE_CHANGE]
}

pub(super) fn timers() -> RecordKey {
    vec![TIMER]
}

pub(super) fn timer(timer: &TimerKey) -> RecordKey {
    let kind = match timer.kind {
        TimerKind::Orchestrator => 0,
        TimerKind::Retry => 1,
        TimerKind::Start => 2,
    };
    key(
        TIMER,
        [
            &timer.due.0.to_be_bytes(),
            &timer.number.0.to_be_bytes(),
            &timer.execution.0.to_be_bytes(),
            &timer.call.0.to_be_bytes(),
            &[kind],
        ],
    )
}

/// The timer that [`timer`] wrote; `None` if the bytes are no such key.
pub(super) fn parse_timer(key: &[u8]) -> Option<TimerKey> {
    let rest = key.strip_prefix(&[TIMER])?;
    let (due, rest) = rest.split_first_chunk()?;
    let (number, rest) = rest.split_first_chunk()?;
    let (execution, rest) = rest.split_first_chunk()?;
    let (call, kind) = rest.split_first_chunk()?;
    let kind = match kind {
        [0] => TimerKind::Orchestrator,
        [1] => TimerKind::Retry,
        [2] => TimerKind::Start,
        _ => return None,
    };
    Some(TimerKey {
        due: Timestamp(u64::from_be_bytes(*due)),
        number: InstanceNumber(u64::from_be_bytes(*number)),
        execution: ExecutionId(u32::from_be_bytes(*execution)),
        call: CallId(u32::from_be_bytes(*call)),
        kind,
    })
}

/// The number of the instance that a turn, a message or attempts belong to.
pub(super) fn number_in(key: &[u8]) -> Option<InstanceNumber> {
    let (_, rest) = key.split_first()?;
    rest.first_chunk()
        .copied()
        .map(u64::from_be_bytes)
        .map(InstanceNumber)
}

/// The execution, and the turn or the call, that a record is of.
pub(super) fn execution_and_last(key: &[u8]) -> Option<(ExecutionId, u32)> {
    let (rest, last) = key.split_last_chunk()?;
    let (_, execution) = rest.split_last_chunk()?;
    Some((
        ExecutionId(u32::from_be_bytes(*execution)),
        u32::from_be_bytes(*last),
    ))
}

/// The last four bytes of a record's key as a number: the turn, the call.
pub(super) fn trailing_u32(key: &[u8]) -> Option<u32> {
    key.last_chunk().copied().map(u32::from_be_bytes)
}

/// The last eight bytes of a record's key as a number: the seq.
pub(super) fn trailing_u64(key: &[u8]) -> Option<u64> {
    key.last_chunk().copied().map(u64::from_be_bytes)
}

/// The end of the range of keys that begin with `prefix`. No prefix is all ones.
pub(super) fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_key_comes_back_and_sorts_by_time() {
        let at = |due, number| TimerKey {
            due: Timestamp(due),
            number: InstanceNumber(number),
            execution: ExecutionId(1),
            call: CallId(2),
            kind: TimerKind::Retry,
        };
        assert_eq!(parse_timer(&timer(&at(5, 6))), Some(at(5, 6)));
        assert!(timer(&at(5, 6)) < timer(&at(256, 1)));
        assert_eq!(parse_timer(b"t123"), None);
    }

    #[test]
    fn no_id_is_in_the_range_of_another() {
        let id = |id: &str| header(&InstanceId::new(id).expect("valid"));
        let (short, long) = (id("a"), id("a1"));
        assert!(!long.starts_with(&short));
        assert!(end_of(&short) <= long || long < short);
    }

    #[test]
    fn the_end_of_a_range_is_after_all_that_begin_with_it() {
        assert_eq!(end_of(&[1, 2]), [1, 3]);
        assert_eq!(end_of(&[1, 0xff]), [2]);
        assert!(
            turn(InstanceNumber(u64::MAX), ExecutionId(u32::MAX), u32::MAX)
                < end_of(&turns_of(InstanceNumber(u64::MAX)))
        );
    }
}
