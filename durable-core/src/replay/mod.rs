//! Replay.

/// Placeholder until the next commit.
#[derive(Clone, Copy, Debug)]
pub struct OrchestrationContext(());
