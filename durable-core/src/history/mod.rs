//! What an execution has lived through: the events that reached it and the actions it asked for.
//!
//! A history is a list of *turns*, a turn a list of *steps*, a step one event and the actions the
//! orchestrator took when it was fed. Nothing here knows how an orchestrator runs or where turns
//! are kept; a turn is the unit that is committed and never changed again.

mod codec;
mod event;
mod letter;
mod outstanding;
mod rewind;

pub(crate) use codec::{decode_turn, encode_turn};
pub(crate) use event::{
    Action, ActivityOptions, ChildOptions, Event, Parent, Started, Step, Tags, Turn, tags_fit,
};
pub(crate) use letter::Letter;
pub(crate) use outstanding::{Outstanding, Pending};
pub(crate) use rewind::{StepIndex, WayBack, lived, taken_back, ways_back};
