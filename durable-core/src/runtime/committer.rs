//! The commit thread: takes what was sealed, applies it, syncs once for all of it, and releases
//! the effects itself.
//!
//! Nothing waits for a window: whatever has gathered while the last sync was under way is the next
//! group, up to a bound: the engine goes on while a group is being applied, and could add to it for
//! ever. Sending effects back through the engine would cost a quarter of a commit at one step at
//! a time.

use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::activities::{Jobs, ToWorker};
use super::clock::Stopwatch;
use super::health::Condition;
use super::inbox::Inbox;
use super::lifecycle::Lifecycle;
use super::room::Room;
use super::shell::{Reply, ToEngine};
use crate::engine::{Durable, Effect, Group, Input, ToCommit};
use crate::store::{Store, StoreError};

pub(super) struct Committer<S: Store> {
    pub(super) store: Arc<S>,
    /// Everything up to this commit is durable.
    pub(super) durable: Arc<AtomicU64>,
    pub(super) jobs: Jobs,
    pub(super) inbox: Inbox,
    pub(super) condition: Condition,
    pub(super) room: Room,
    pub(super) lifecycle: Lifecycle,
}

/// A group takes no more commits once applying them has taken so long: those who wait for the sync
/// should not wait much longer than that takes, however slow the store is at the moment.
const LONGEST_APPLYING: Duration = Duration::from_millis(5);

type Queue<S> = Receiver<ToCommit<<S as Store>::Prepared, Reply>>;

impl<S: Store> Committer<S> {
    /// Runs until the engine is gone, or until the store fails; then closes the store.
    pub(super) fn run(self, queue: Queue<S>) {
        let _watch = self.condition.watch();
        let committed = self.commit_all(queue);
        let closed = self.store.close();
        if let Err(error) = committed.and(closed) {
            self.condition.fail(error);
        }
    }

    fn commit_all(&self, queue: Queue<S>) -> Result<(), StoreError> {
        // Also if this thread dies.
        let _stop = StopEngine(&self.inbox);
        while let Ok(first) = queue.recv() {
            let (mut group, applying) = (Group::default(), Stopwatch::start());
            for commit in iter::once(first).chain(queue.try_iter()) {
                if self.room.leave() {
                    // The engine may be gone: then it seals nothing more.
                    drop(self.inbox.send(ToEngine::Room));
                }
                let applied = group.apply(&*self.store, commit);
                applied.map_err(|error| self.failed(error))?;
                if group.is_full() || applying.elapsed() >= LONGEST_APPLYING {
                    break;
                }
            }
            let synced = group.sync(&*self.store);
            let Durable {
                commit,
                mut effects,
            } = synced.map_err(|error| self.failed(error))?;
            // The engine answers reads by itself once it knows that this is durable: who is told of an
            // end, and listens from then on, does not hear of it again.
            let news = |effect: &mut Effect<Reply>| matches!(effect, Effect::Announce(_));
            self.release(effects.extract_if(.., news).collect());
            self.durable.store(commit, Ordering::Release);
            self.release(effects);
        }
        Ok(())
    }

    /// Before anything is dropped: whoever waits for these commits is then told that the store
    /// failed, and that nobody knows whether they happened.
    fn failed(&self, error: StoreError) -> StoreError {
        self.condition.fail(error.clone());
        error
    }

    fn release(&self, effects: Vec<Effect<Reply>>) {
        let mut jobs = Vec::new();
        for effect in effects {
            match effect {
                Effect::Reply(reply, response) => reply.send(response),
                Effect::Dispatch(dispatch) => jobs.push(ToWorker::Run(dispatch)),
                Effect::CancelActivity(key) => jobs.push(ToWorker::Cancel(key)),
                // The engine may be gone already; then there is nothing to go on with.
                Effect::Nudge => drop(self.inbox.send(ToEngine::Input(Input::Nudge))),
                Effect::Announce(happened) => self.lifecycle.tell(*happened),
            }
        }
        if !jobs.is_empty() {
            self.jobs.send(jobs);
        }
    }
}

/// Ends the engine when nothing is committed any more: it may be asleep, and clients wait there for
/// what now never happens. If it is gone already, nobody waits.
struct StopEngine<'a>(&'a Inbox);

impl Drop for StopEngine<'_> {
    fn drop(&mut self) {
        drop(self.0.send(ToEngine::Stop));
    }
}
