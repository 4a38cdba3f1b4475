//! Calls that may have the process die.
//!
//! An attempt costs no record of its own, so after a crash nobody knows which ones ran. A worker's
//! run is on record from its start to its stop, so an open that finds one there knows that the
//! process has died, and then:
//!
//! - An attempt that may have been open at that crash *and at the one before* is a suspect; the
//!   first time nothing follows. Suspects run one at a time, beside everything else, and which one
//!   it is is durable before it begins.
//! - Before the first of them there is a pause, as long as the run that died has lasted: a process
//!   that dies without any suspect is nobody's fault.
//! - An attempt counts as alone for [`WATCHED`]. Then the next one begins: what takes long does not
//!   hold up the others, and is not held responsible for what happens later.
//! - If the process dies while one is alone, that is counted, until one of its attempts ends.
//!   Those with fewer crashes come first. At the limit the call is not begun any more.
//!
//! Whoever stops a worker in good order makes nobody suspect, and a run of more than [`RESTLESS`]
//! is no part of a series of crashes.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::id::{ActivityKey, CallId, ExecutionId, InstanceNumber};
use crate::store::{Run, Suspicion};
use crate::time::Timestamp;

/// How long an attempt counts as alone, and the longest pause before the first.
pub(crate) const WATCHED: Duration = Duration::from_secs(30);

/// A worker that has run for longer has not died in a series of crashes.
pub(crate) const RESTLESS: Duration = Duration::from_secs(3_600);

/// Calls whose crashes are remembered. While there are as many, no other suspect begins.
const MOST: usize = 100;

/// Which calls are suspect, and whose turn it is.
#[derive(Debug)]
pub(super) struct Suspects {
    /// As the store has it, ahead by the commits under way.
    kept: Suspicion,
    /// It is to be written.
    changed: bool,
    /// A call with so many crashes is not begun any more; 0: nobody is suspected.
    limit: u32,
    /// An attempt that could begin then, or before, was open at two crashes in a row.
    since: Option<Timestamp>,
    /// Until it is over no suspect begins.
    hold: Option<Hold>,
    /// Those with fewer crashes first.
    waiting: BTreeSet<(u32, ActivityKey)>,
}

#[derive(Clone, Copy, Debug)]
struct Hold {
    /// Whose turn it is; nobody's in the pause.
    whose: Option<ActivityKey>,
    from: Timestamp,
    until: Timestamp,
}

impl Hold {
    fn new(whose: Option<ActivityKey>, from: Timestamp, lasts: Duration) -> Self {
        let until = from.deadline_after(lasts);
        Self { whose, from, until }
    }

    /// Also if the clock was set back.
    fn is_over(&self, now: Timestamp) -> bool {
        now >= self.until || now < self.from
    }
}

impl Suspects {
    pub(super) fn recovered(mut kept: Suspicion, limit: u32) -> Self {
        if let Some(key) = kept.alone.take()
            && limit > 0
            && !planted!(ForgetCrashes)
        {
            let crashes = kept.crashes.entry(key).or_default();
            *crashes = crashes.saturating_add(1);
            tracing::warn!(
                instance = key.number.0,
                call = key.call.0,
                crashes = *crashes,
                "the process has died while this attempt was the only suspect that ran"
            );
        }
        Self {
            kept,
            changed: false,
            limit,
            since: None,
            hold: None,
            waiting: BTreeSet::new(),
        }
    }

    pub(super) fn worker_started(&mut self, now: Timestamp) {
        if self.limit == 0 {
            self.changed |= self.kept != Suspicion::default();
            self.kept = Suspicion::default();
            return;
        }
        let died = self.kept.run;
        let again = died.filter(|run| run.after_crash && now.since(run.began) <= RESTLESS);
        self.since = again.map(|run| run.began);
        let pause = |run: Run| Hold::new(None, now, now.since(run.began).min(WATCHED));
        self.hold = again.map(pause);
        self.kept.run = Some(Run {
            began: now,
            after_crash: died.is_some(),
        });
        self.changed = true;
    }

    /// In good order.
    pub(super) fn worker_stopped(&mut self) {
        self.changed |= self.kept.run.is_some() || self.kept.alone.is_some();
        self.kept.run = None;
        self.kept.alone = None;
        self.since = None;
        self.hold = None;
        self.waiting.clear();
    }

    fn crashes(&self, key: &ActivityKey) -> u32 {
        self.kept.crashes.get(key).copied().unwrap_or_default()
    }

    /// How often the process has died of a call that is not begun any more.
    pub(super) fn poison(&self, key: &ActivityKey) -> Option<u32> {
        let crashes = self.crashes(key);
        (self.limit > 0 && crashes >= self.limit && !planted!(BeginPoison)).then_some(crashes)
    }

    /// Whether an attempt that was due at `begin` may begin now; if not, its turn will come. A
    /// suspect whose turn it is counts as alone from now on.
    pub(super) fn may_begin(&mut self, key: ActivityKey, begin: Timestamp, now: Timestamp) -> bool {
        if self.hold.is_some_and(|hold| hold.whose == Some(key)) {
            self.hold = Some(Hold::new(Some(key), now, WATCHED));
            self.kept.alone = Some(key);
            self.changed |= !planted!(NoteTooLate);
            return true;
        }
        let crashes = self.crashes(&key);
        // In the future: then the clock was set back, and nothing is known.
        let open_twice = |since| begin <= since || begin > now;
        if crashes > 0 || self.since.is_some_and(open_twice) {
            self.waiting.insert((crashes, key));
            return false;
        }
        true
    }

    /// The time has come to this.
    pub(super) fn advance(&mut self, now: Timestamp) {
        if self.hold.is_some_and(|hold| hold.is_over(now)) {
            self.release();
        }
    }

    fn release(&mut self) {
        self.hold = None;
        if !planted!(AccuseWhatEnded) {
            self.changed |= self.kept.alone.take().is_some();
        }
    }

    /// When it wants to be told the time.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.hold.map(|hold| hold.until)
    }

    fn first(&self) -> Option<(u32, ActivityKey)> {
        let least = ActivityKey {
            number: InstanceNumber(0),
            execution: ExecutionId(0),
            call: CallId(0),
        };
        // With another one there would be too many.
        let full = self.kept.crashes.len() >= MOST;
        self.waiting
            .range((u32::from(full), least)..)
            .next()
            .copied()
    }

    pub(super) fn can_begin(&self) -> bool {
        self.hold.is_none() && self.first().is_some()
    }

    /// Whose turn it is now.
    pub(super) fn next(&mut self, now: Timestamp) -> Option<ActivityKey> {
        let next = self.first().filter(|_| self.hold.is_none())?;
        self.waiting.remove(&next);
        self.hold = Some(Hold::new(Some(next.1), now, WATCHED));
        Some(next.1)
    }

    /// It is not begun, so it is another one's turn.
    pub(super) fn pass(&mut self, key: &ActivityKey) {
        if self.hold.is_some_and(|hold| hold.whose == Some(*key)) {
            self.release();
        }
    }

    /// An attempt at it has ended, or it is not wanted any more.
    pub(super) fn acquit(&mut self, key: &ActivityKey) {
        self.pass(key);
        self.waiting.remove(&(self.crashes(key), *key));
        self.changed |= self.kept.crashes.remove(key).is_some();
    }

    /// Forgets the crashes of an instance's calls, and says which are no poison any more.
    pub(super) fn forgive(&mut self, number: InstanceNumber) -> Vec<ActivityKey> {
        let of = |key: &&ActivityKey| key.number == number;
        let keys: Vec<_> = self.kept.crashes.keys().filter(of).copied().collect();
        let (poison, others): (Vec<_>, Vec<_>) =
            keys.into_iter().partition(|key| self.poison(key).is_some());
        for key in &poison {
            self.kept.crashes.remove(key);
        }
        for key in others {
            let crashes = self.kept.crashes.remove(&key).unwrap_or_default();
            if self.waiting.remove(&(crashes, key)) {
                self.waiting.insert((0, key));
            }
            self.changed = true;
        }
        self.changed |= !poison.is_empty();
        poison
    }

    /// The suspect that counts as alone.
    #[cfg(any(test, feature = "simulation"))]
    pub(super) fn alone(&self) -> Option<ActivityKey> {
        self.kept.alone
    }

    pub(super) fn is_changed(&self) -> bool {
        self.changed
    }

    /// What is to be written.
    pub(super) fn take_changed(&mut self) -> Option<Suspicion> {
        std::mem::take(&mut self.changed).then(|| self.kept.clone())
    }
}
