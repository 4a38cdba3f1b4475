//! Reading a history, piece by piece.

use crate::history::Turn;
use crate::id::{ExecutionId, InstanceId, InstanceNumber};

/// A place in a history: behind a turn of an execution; turn 0 is its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TurnPlace {
    pub(crate) number: InstanceNumber,
    pub(crate) execution: ExecutionId,
    pub(crate) turn: u32,
}

impl TurnPlace {
    /// Whether both are in the same execution, whose turns never change.
    pub(crate) fn is_of(&self, other: &Self) -> bool {
        (self.number, self.execution) == (other.number, other.execution)
    }
}

/// Which turns of an instance are asked for.
#[derive(Clone, Debug)]
pub(crate) struct ReadTurns {
    pub(crate) id: InstanceId,
    /// Only those behind this place; without it, from the beginning of the execution there is.
    pub(crate) after: Option<TurnPlace>,
    /// The most turns.
    pub(crate) limit: usize,
    /// After so many bytes of them no other is begun.
    pub(crate) bytes: usize,
}

/// Some turns, one after the other.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TurnsRead {
    /// Where the next ones begin. If that is not in the execution that was asked for, that one is no
    /// more, this is the beginning of the one there is now, and there are no turns.
    pub(crate) next: TurnPlace,
    /// With their numbers.
    pub(crate) turns: Vec<(u32, Turn)>,
    /// Whether there were more when these were read.
    pub(crate) more: bool,
}
