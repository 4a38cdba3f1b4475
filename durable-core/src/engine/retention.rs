//! What has ended leaves by itself once its time is over.
//!
//! It is found by *sweeps* over all headers, a few at a time, of which each purges a few: between
//! two steps there is a pause, and between two sweeps a longer one. A sweep begins when the first
//! of what is known of is due: that is what the last sweep has seen, and what has ended since. So a
//! sweep costs next to nothing while others work, memory holds one moment, and nothing happens while
//! nothing is due. After a restart the first sweep finds out.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use crate::engine::message::Fetch;
use crate::engine::{Answer, Engine, Want};
use crate::id::InstanceId;
use crate::store::{Expired, Header, Retention};
use crate::time::Timestamp;

/// Between two steps.
const PAUSE: Duration = Duration::from_millis(5);
/// Headers that are looked at in one step: less than a millisecond.
const LOOKED_AT: usize = 256;
/// Instances that are purged in one step. So many at a time leave what runs beside them its speed.
const PURGED: usize = 16;
/// After a sweep, so many times as long as it took; at most for the longest rest.
const REST: u32 = 20;
const LONGEST_REST: Duration = Duration::from_secs(3600);

/// What is known of what is over, and how far the sweep has come.
#[derive(Debug)]
pub(super) struct Sweeper {
    retention: Arc<Retention>,
    /// When the first of what is known of is due.
    earliest: Option<Timestamp>,
    /// Nothing is looked at before.
    pause: Timestamp,
    sweep: Option<Sweep>,
    /// A step is being read.
    reading: bool,
}

#[derive(Debug)]
struct Sweep {
    began: Timestamp,
    after: Option<InstanceId>,
}

impl Sweeper {
    pub(super) fn new(retention: Arc<Retention>) -> Self {
        Self {
            // What is there is not known yet.
            earliest: (!retention.is_unlimited()).then_some(Timestamp(0)),
            retention,
            pause: Timestamp(0),
            sweep: None,
            reading: false,
        }
    }

    /// When it wants to be told the time.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        match &self.sweep {
            _ if self.reading => None,
            Some(_) => Some(self.pause),
            None => self.earliest.map(|earliest| earliest.max(self.pause)),
        }
    }

    /// What it wants to read now.
    fn step(&mut self, now: Timestamp) -> Option<Fetch> {
        // The clock may have been set back.
        let longest = self.sweep.as_ref().map_or(LONGEST_REST, |_| PAUSE);
        self.pause = self.pause.min(now.deadline_after(longest));
        if self.deadline()? > now {
            return None;
        }
        let sweep = self.sweep.get_or_insert_with(|| {
            self.earliest = None;
            Sweep {
                began: now,
                after: None,
            }
        });
        self.reading = true;
        Some(Fetch::Expired {
            retention: Arc::clone(&self.retention),
            now,
            after: sweep.after.clone(),
            budget: LOOKED_AT,
            limit: PURGED,
        })
    }

    /// The step was read.
    fn stepped(&mut self, now: Timestamp, earliest: Option<Timestamp>, last: Option<InstanceId>) {
        self.reading = false;
        self.pause = now.deadline_after(PAUSE);
        self.expect(earliest);
        let Some(sweep) = &mut self.sweep else { return };
        sweep.after = last;
        if sweep.after.is_none() {
            let rest = now.since(sweep.began).saturating_mul(REST);
            self.pause = now.deadline_after(rest.clamp(PAUSE, LONGEST_REST));
            self.sweep = None;
        }
    }

    /// One of which nothing was known is due then.
    fn expect(&mut self, due: Option<Timestamp>) {
        self.earliest = [self.earliest, due].into_iter().flatten().min();
    }

    /// What has ended can be read from now on.
    pub(super) fn ended(&mut self, header: &Header) {
        if !planted!(ForgetExpiry) {
            self.expect(self.retention.due(header));
        }
    }
}

impl<R: Answer> Engine<R> {
    /// Takes the next step of a sweep, if it is time.
    pub(super) fn sweep(&mut self) {
        let step = self.sweeper.step(self.work.now);
        self.fetches.extend(step);
    }

    /// What was found is purged if it is still as it was then.
    pub(super) fn swept(&mut self, found: Expired) {
        let Expired {
            due,
            earliest,
            last,
        } = found;
        self.sweeper.stepped(self.work.now, earliest, last);
        for id in due {
            self.look_at(&id, Want::Expire);
        }
    }

    /// A step could not be read. Whatever ails the store, others meet it; this tries again some time.
    pub(super) fn sweep_failed(&mut self) {
        let now = self.work.now;
        self.sweeper.stepped(now, Some(now), None);
        self.sweeper.pause = now.deadline_after(LONGEST_REST);
    }

    /// Purges an instance if it is over. One in memory is heard of when it leaves.
    pub(super) fn expire(&mut self, header: Header) {
        if self.is_in_use(header.number) {
            return;
        }
        match self.sweeper.retention.due(&header) {
            Some(due) if due <= self.work.now => self.remove(header),
            due => self.sweeper.expect(due),
        }
    }
}
