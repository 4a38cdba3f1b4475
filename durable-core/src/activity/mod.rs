//! Activities: the steps of an orchestration that touch the world.

mod context;
mod extract;
mod poll;
mod progress;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::failure::FailureDetails;
use crate::payload::{Payload, Wire};

pub use context::ActivityContext;
pub(crate) use context::{Attempt, Occupied};
pub(crate) use extract::States;
pub use extract::{FromActivity, Rejection, Requirements, Resumed, State};
pub use poll::Poll;
pub(crate) use progress::Reports;
pub use progress::{Progress, ReportError};

/// What an activity's body becomes: how the attempt ended, as it is recorded.
#[doc(hidden)]
pub type ActivityFuture = Pin<Box<dyn Future<Output = Result<Attempted, FailureDetails>> + Send>>;

/// How an attempt ended that has not failed.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempted {
    /// With the activity's output.
    Done(Payload),
    /// It wants to be made once more.
    Again {
        /// So long from now.
        after: Duration,
        /// With this to go on from.
        state: Payload,
    },
}

/// An activity: a step of an orchestration that may do anything, and that runs at least once.
///
/// Implemented by `#[activity]` for a type of the function's own name; not meant to be implemented
/// by hand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an activity",
    label = "not an activity",
    note = "annotate the function with `#[activity]`, and name the function itself: `call_activity::<charge>(order)`"
)]
pub trait Activity: 'static {
    /// What it is called with; a tuple if it takes several inputs, `()` if none.
    type Input: Wire;
    /// What its caller gets: what it returns, or what is in a [`Poll`] that it returns.
    type Output: Wire;
    /// The error it returns, or [`FailureDetails`] if that error cannot be written as JSON.
    type Error: Wire;
    /// The name it is registered and recorded under.
    const NAME: &'static str;
    /// The most attempts that run at once; `None` if only the worker's limit counts.
    #[doc(hidden)]
    const MAX_CONCURRENT: Option<usize> = None;

    /// Names the state that must be there before it can run.
    #[doc(hidden)]
    fn require(requirements: &mut Requirements);

    /// Runs one attempt.
    #[doc(hidden)]
    fn run(ctx: ActivityContext, input: Payload) -> ActivityFuture;
}
