//! Who waits for the end of which instance, or for anything new of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Answer;
use super::message::Snapshot;
use crate::id::InstanceNumber;

/// Those who wait. Of those who have given up, no more are kept than of the others, and a few.
#[derive(Debug)]
pub(super) struct Waiters<R> {
    of: BTreeMap<InstanceNumber, Vec<Waiter<R>>>,
    count: usize,
    /// Those who have given up are looked for when there are so many.
    sweep_at: usize,
}

#[derive(Debug)]
struct Waiter<R> {
    reply: R,
    /// What it has seen, if it waits for anything else; `None` if it waits for the end.
    seen: Option<Arc<Snapshot>>,
}

/// So many are kept, wanted or not.
const FEW: usize = 1024;

impl<R> Default for Waiters<R> {
    fn default() -> Self {
        Self {
            of: BTreeMap::new(),
            count: 0,
            sweep_at: FEW,
        }
    }
}

impl<R> Waiters<R> {
    /// The instance has ended: everybody who waited for anything of it.
    pub(super) fn take(&mut self, number: InstanceNumber) -> Vec<R> {
        let waiters = self.of.remove(&number).unwrap_or_default();
        self.count -= waiters.len();
        waiters.into_iter().map(|waiter| waiter.reply).collect()
    }

    /// Those who wait for something else than they have seen, if that is `now` so. What is there now is
    /// asked for only if anybody waits.
    pub(super) fn take_told(
        &mut self,
        number: InstanceNumber,
        now: impl FnOnce() -> Snapshot,
    ) -> Option<(Snapshot, Vec<R>)> {
        let waiters = self.of.get_mut(&number)?;
        let now = now();
        let is_told = |waiter: &mut Waiter<R>| {
            let seen = waiter.seen.as_ref();
            seen.is_some_and(|seen| now.is_news_after(seen))
        };
        let told: Vec<_> = waiters.extract_if(.., is_told).collect();
        if waiters.is_empty() {
            self.of.remove(&number);
        }
        self.count -= told.len();
        Some((now, told.into_iter().map(|waiter| waiter.reply).collect()))
    }
}

impl<R: Answer> Waiters<R> {
    /// The instances that somebody waits for.
    #[cfg(feature = "testing")]
    pub(super) fn instances(&self) -> impl Iterator<Item = InstanceNumber> {
        self.of.keys().copied()
    }

    /// Whether anybody still waits.
    #[cfg(feature = "testing")]
    pub(super) fn is_wanted(&self) -> bool {
        let is_wanted = |waiter: &Waiter<R>| waiter.reply.is_wanted();
        self.of.values().flatten().any(is_wanted)
    }

    /// Adds one who waits for the end, or for something else than it has seen.
    pub(super) fn add(&mut self, number: InstanceNumber, seen: Option<Arc<Snapshot>>, reply: R) {
        let waiter = Waiter { reply, seen };
        self.of.entry(number).or_default().push(waiter);
        self.count += 1;
        if self.count >= self.sweep_at {
            self.of.retain(|_, waiters| {
                waiters.retain(|waiter| waiter.reply.is_wanted());
                !waiters.is_empty()
            });
            self.count = self.of.values().map(Vec::len).sum();
            self.sweep_at = FEW.max(2 * self.count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    struct Asks(bool);

    impl Answer for Asks {
        fn is_wanted(&self) -> bool {
            self.0
        }
    }

    #[test]
    fn who_has_given_up_is_forgotten_and_nobody_else() {
        let mut waiters = Waiters::default();
        for number in 0..100_000 {
            waiters.add(InstanceNumber(number % 9_000), None, Asks(number < 2_000));
            assert!(waiters.count <= 4_000 + FEW);
        }
        let wanted = |number| {
            waiters
                .take(InstanceNumber(number))
                .into_iter()
                .filter(|asks| asks.0)
                .count()
        };
        assert_eq!((0..9_000).map(wanted).sum::<usize>(), 2_000);
        assert_eq!(waiters.count, 0);
    }
}
