//! Whether code still does what is recorded, without an engine.

use std::sync::Arc;

use super::instance::Instance;
use crate::history::Turn;
use crate::registry::Registry;
use crate::replay::{Matching, Problem, Watched};
use crate::store::Header;

use super::turn::no_orchestrator;

/// Replays a history to its last event, and compares exactly.
///
/// # Errors
///
/// The problem that an instance of this history would have.
pub(crate) fn rehearse(
    header: Header,
    hub: u64,
    turns: &[Turn],
    registry: &Registry,
) -> Result<(), Problem> {
    let identity = Instance::<()>::new(header, hub).identity;
    let (name, version) = (&identity.name, &identity.version);
    let run = registry
        .find_orchestrator(name, version)
        .ok_or_else(|| no_orchestrator(name, version, &registry.orchestrator_names()))?;
    let mut watched = Watched::new(&identity, run, &(Arc::new(|| ()) as _), true);
    watched.replay(turns, Matching::Strict)?;
    Ok(())
}
