//! Histories of a hub in a test: shown, and replayed.

use crate::engine::rehearse;
use crate::history::Turn;
use crate::id::{InstanceId, InstanceNumber};
use crate::registry::Registry;
use crate::replay::Problem;
use crate::runtime::HubError;
use crate::runtime::lockstep::MemoryStore;
use crate::store::{InstanceKey, Store as _, StoreError};

/// Why code does not fit the histories of a hub; see
/// [`check_replay`](super::TestHub::check_replay).
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// An instance's history does not replay.
    #[error("instance `{id}` does not replay: {}", problem.report())]
    Instance {
        /// The instance that was created first of those that do not.
        id: InstanceId,
        /// What does not fit.
        problem: Problem,
    },
    /// The hub failed or was closed.
    #[error(transparent)]
    Hub(#[from] HubError),
}

/// Replays everything that is stored. Says how many instances that were.
pub(super) fn check(store: &MemoryStore, registry: &Registry) -> Result<usize, ReplayError> {
    let recovered = store.recover().map_err(HubError::Store)?;
    let mut replayed = 0;
    for number in (0..recovered.created).map(InstanceNumber) {
        let stored = store.load(&InstanceKey::Number(number), 0);
        let Some(stored) = stored.map_err(HubError::Store)? else {
            // It was purged.
            continue;
        };
        let turns = store.history(&stored.header).map_err(HubError::Store)?;
        if turns.is_empty() {
            continue;
        }
        let id = stored.header.id.clone();
        rehearse(stored.header, recovered.hub, &turns, registry)
            .map_err(|problem| ReplayError::Instance { id, problem })?;
        replayed += 1;
    }
    Ok(replayed)
}

/// A history as lines.
pub(super) fn lines(store: &MemoryStore, id: InstanceId) -> Result<Vec<String>, StoreError> {
    let Some(stored) = store.load(&InstanceKey::Id(id), 0)? else {
        return Ok(Vec::new());
    };
    let turns = store.history(&stored.header)?;
    let began = turns.first().map(|turn| turn.time).unwrap_or_default();
    let line = |turn: &Turn| {
        let after = turn.time.since(began);
        let steps = turn.steps.iter().flat_map(|step| {
            let actions = step.actions.iter().map(|action| format!("  {action:?}"));
            std::iter::once(format!("{:?}", step.event)).chain(actions)
        });
        std::iter::once(format!("after {after:?}"))
            .chain(steps)
            .collect::<Vec<_>>()
    };
    Ok(turns.iter().flat_map(line).collect())
}
