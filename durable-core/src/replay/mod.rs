//! Runs an orchestrator against its history.
//!
//! An [`Execution`] holds one live future. It is fed events, one at a time, and yields the actions
//! that the orchestrator takes. Nothing here reads a clock, a disk or a socket, and nothing knows
//! who applies the actions, so the same events give the same actions on any machine, in any year.
//!
//! Start reading at [`execution`]; [`state`] says how futures reach the state without a lock.

mod call;
mod child;
mod compare;
mod context;
mod execution;
mod panics;
mod problem;
mod shadow;
mod silence;
mod state;
#[cfg(test)]
mod tests;
mod waker;

pub use call::{ActivityCall, EventCall, EventError, Started, TimerCall};
pub use child::{ContinueAsNew, SubOrchestrationCall};
pub use context::{OrchestrationContext, ParentInstance};
pub use problem::{Problem, ProblemKind};

pub(crate) use compare::Matching;
#[cfg(test)]
use execution::Execution;
pub(crate) use execution::Fed;
pub(crate) use panics::{Panicked, catch, note_locations};
pub(crate) use shadow::Watched;
pub(crate) use state::{Identity, InlineStep};
pub(crate) use waker::ForeignWake;
