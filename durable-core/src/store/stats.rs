//! What a hub holds.

use std::collections::BTreeMap;

use crate::store::RuntimeStatus;

/// What a hub holds and takes, at one moment; see [`TaskHub::stats`](crate::TaskHub::stats).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HubStats {
    /// Bytes of everything that is kept of instances: summaries, histories, events that wait,
    /// timers, failed attempts; each with its key.
    pub live_bytes: u64,
    /// Bytes of the hub's files; 0 of a hub in memory. Some multiple of the live bytes: sled gives
    /// no space back, it writes again into what has become free. A [compaction](crate::TaskHub::compact)
    /// does.
    pub bytes_on_disk: u64,
    /// How many instances there are of each status; one that none has is not listed.
    pub instances: BTreeMap<RuntimeStatus, u64>,
}

impl HubStats {
    /// How many instances there are.
    pub fn total(&self) -> u64 {
        self.instances.values().sum()
    }

    /// How many instances have this status.
    pub fn with_status(&self, status: RuntimeStatus) -> u64 {
        self.instances.get(&status).copied().unwrap_or_default()
    }
}
