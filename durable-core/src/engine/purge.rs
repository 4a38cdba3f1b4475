//! Purging: an instance that has ended leaves the store, and its id is free again.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};

use crate::engine::lifecycle::LifecycleKind;
use crate::engine::message::{Effect, Response};
use crate::engine::{Answer, Engine, Want};
use crate::id::{InstanceId, InstanceNumber};
use crate::store::{Header, InstanceKey, Op};

/// What was purged or is to be.
#[derive(Debug)]
pub(super) struct Purges<R> {
    /// These want to purge what is still in memory: the store may lack some of what is to be removed.
    waiting: Vec<(InstanceId, Want<R>)>,
    /// Purged by commits that may not be readable yet: the store may still show them.
    gone: BTreeSet<InstanceId>,
    /// Those commits, oldest first.
    commits: VecDeque<(u64, InstanceId)>,
}

impl<R> Default for Purges<R> {
    fn default() -> Self {
        Self {
            waiting: Vec::new(),
            gone: BTreeSet::new(),
            commits: VecDeque::new(),
        }
    }
}

impl<R> Purges<R> {
    /// Whether the store shows an instance of this id that is no more.
    pub(super) fn is_gone(&self, id: &InstanceId) -> bool {
        self.gone.contains(id)
    }

    fn purged(&mut self, id: InstanceId, commit: u64) {
        self.gone.insert(id.clone());
        self.commits.push_back((commit, id));
    }

    /// The store shows what is true after this commit.
    pub(super) fn durable(&mut self, durable: u64) {
        while let Some((commit, id)) = self.commits.front()
            && *commit <= durable
        {
            self.gone.remove(id);
            self.commits.pop_front();
        }
    }
}

impl<R: Answer> Engine<R> {
    /// Purges the instance with this header, if it has ended and is the one that is meant.
    pub(super) fn purge(&mut self, header: Header, meant: Option<InstanceNumber>, reply: R) {
        let (number, status) = (header.number, header.status);
        if meant.is_some_and(|meant| meant != number) {
            return self.work.reply(reply, Response::NotFound);
        }
        if !status.is_terminal() {
            return self.work.reply(reply, Response::NotEnded(status));
        }
        if self.is_in_use(number) {
            return self.once_out_of_memory(header.id, Want::Purge(meant, reply));
        }
        self.remove(header);
        self.work.reply(reply, Response::Done);
    }

    /// Looks at the instance again when something more is durable.
    pub(super) fn once_out_of_memory(&mut self, id: InstanceId, want: Want<R>) {
        self.purges.waiting.push((id, want));
        self.nudge();
    }

    /// Removes an instance that has ended, and is not in memory.
    pub(super) fn remove(&mut self, header: Header) {
        self.work.announce(&header, LifecycleKind::Purged);
        let Header {
            id, number, status, ..
        } = header;
        self.damaged.remove(&InstanceKey::Id(id.clone()));
        self.damaged.remove(&InstanceKey::Number(number));
        self.purges.purged(id.clone(), self.work.commit());
        self.work.ops.push(Op::Purge { id, number, status });
    }

    /// Whether an instance is in memory, or on its way there: one that has ended is read to be rewound.
    pub(super) fn is_in_use(&self, number: InstanceNumber) -> bool {
        self.instances.contains_key(&number) || self.loading.contains_key(&number)
    }

    /// Goes on with those that waited for their instance to leave memory.
    pub(super) fn go_on_with_ended(&mut self) {
        for (number, hold) in std::mem::take(&mut self.rewinds) {
            self.on_number(number, Want::Hold(hold));
        }
        for (id, want) in std::mem::take(&mut self.purges.waiting) {
            self.look_at(&id, want);
        }
    }

    /// Has the shell say when everything that has happened so far is durable.
    pub(super) fn nudge(&mut self) {
        if !self.nudged {
            self.nudged = true;
            self.work.effects.push(Effect::Nudge);
        }
    }
}
