//! Orchestrators: the code that decides which steps are taken, in which order.

use std::future::Future;
use std::pin::Pin;

use crate::failure::FailureDetails;
use crate::payload::{Payload, Wire};
use crate::replay::OrchestrationContext;

/// What an orchestrator's body becomes: its output or its failure, as they are recorded.
#[doc(hidden)]
pub type OrchestratorFuture = Pin<Box<dyn Future<Output = Result<Payload, FailureDetails>> + Send>>;

/// An orchestrator: an async function whose progress survives the process.
///
/// Implemented by `#[orchestrator]` for a type of the function's own name; not meant to be
/// implemented by hand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an orchestrator",
    label = "not an orchestrator",
    note = "annotate the function with `#[orchestrator]`, and name the function itself: `start_orchestration::<fulfil>(order)`"
)]
pub trait Orchestrator: 'static {
    /// What it is started with; a tuple if it takes several inputs, `()` if none.
    type Input: Wire;
    /// What it returns.
    type Output: Wire;
    /// The error it returns, or [`FailureDetails`] if that error cannot be written as JSON.
    type Error: Wire;
    /// The name it is registered and recorded under.
    const NAME: &'static str;
    /// Its version; empty if it has none.
    const VERSION: &'static str;

    /// Makes the future that is then polled turn by turn.
    #[doc(hidden)]
    fn run(ctx: OrchestrationContext, input: Payload) -> OrchestratorFuture;
}
