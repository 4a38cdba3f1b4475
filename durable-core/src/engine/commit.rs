//! From sealed to durable: commits are applied one by one, one sync serves all of a group, and only
//! then their effects come out.

use super::message::Effect;
use crate::store::{Store, StoreError};

/// How much work a commit is, or a group of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Size {
    pub(crate) turns: usize,
    /// What was fed in those turns.
    pub(crate) events: usize,
    /// Of the records that they add to.
    pub(crate) bytes: usize,
}

impl Size {
    /// Whether it is as much as `limit` in any respect.
    pub(crate) fn is_full(&self, limit: &Self) -> bool {
        self.turns >= limit.turns || self.events >= limit.events || self.bytes >= limit.bytes
    }
}

impl std::ops::AddAssign for Size {
    fn add_assign(&mut self, other: Self) {
        self.turns += other.turns;
        self.events += other.events;
        self.bytes += other.bytes;
    }
}

/// A sealed commit, encoded. Without operations it only has effects, which wait their turn.
#[derive(Debug)]
pub(crate) struct ToCommit<P, R> {
    pub(crate) commit: u64,
    pub(crate) size: Size,
    pub(crate) prepared: Option<P>,
    pub(crate) effects: Vec<Effect<R>>,
}

/// A group takes no more commits once it is so large: what is applied while others wait for the
/// sync must not take longer than a sync, by far. About two full commits.
const FULL_GROUP: Size = Size {
    turns: 512,
    events: 2048,
    bytes: 8 * 1024 * 1024,
};

/// Commits that share a sync.
#[derive(Debug)]
pub(crate) struct Group<R> {
    newest: u64,
    size: Size,
    /// Whether there is something to be synced.
    applied: bool,
    effects: Vec<Effect<R>>,
}

/// What has become durable, and what may happen now.
#[derive(Debug)]
pub(crate) struct Durable<R> {
    /// Everything up to this commit is durable.
    pub(crate) commit: u64,
    pub(crate) effects: Vec<Effect<R>>,
}

impl<R> Default for Group<R> {
    fn default() -> Self {
        Self {
            newest: 0,
            size: Size::default(),
            applied: false,
            effects: Vec::new(),
        }
    }
}

impl<R> Group<R> {
    /// Applies the next commit. After an error nothing more is committed, ever; the group still
    /// holds all effects then, for whoever waits for them must be told before they are dropped.
    pub(crate) fn apply<S: Store>(
        &mut self,
        store: &S,
        next: ToCommit<S::Prepared, R>,
    ) -> Result<(), StoreError> {
        self.effects.extend(next.effects);
        if let Some(prepared) = next.prepared {
            store.apply(prepared)?;
            self.applied = true;
        }
        // Answers may wait for an older one only.
        self.newest = self.newest.max(next.commit);
        self.size += next.size;
        Ok(())
    }

    /// For the simulator, which must find it out.
    fn is_skipped(&self) -> bool {
        if planted!(AcknowledgeBeforeSync) {
            return self.newest.is_multiple_of(3);
        }
        planted!(SkipSync)
    }

    /// Whether the next commit is for the next group.
    pub(crate) fn is_full(&self) -> bool {
        self.size.is_full(&FULL_GROUP)
    }

    /// Makes the group durable. After an error nobody knows whether it is; the group still holds
    /// all effects then.
    pub(crate) fn sync<S: Store>(&mut self, store: &S) -> Result<Durable<R>, StoreError> {
        if self.applied && !self.is_skipped() {
            let synced = store.sync();
            if !planted!(SwallowSyncError) {
                synced?;
            }
        }
        Ok(Durable {
            commit: self.newest,
            effects: std::mem::take(&mut self.effects),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shares_a_sync_is_bounded_in_each_respect() {
        let sizes = [(511, 0, 0), (0, 2047, 0), (0, 0, (8 << 20) - 1)];
        for (turns, events, bytes) in sizes {
            let mut group = Group::<()> {
                size: Size {
                    turns,
                    events,
                    bytes,
                },
                ..Group::default()
            };
            assert!(!group.is_full());
            group.size += Size {
                turns: 1,
                events: 1,
                bytes: 1,
            };
            assert!(group.is_full());
        }
    }
}
