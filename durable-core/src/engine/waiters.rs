//! Who waits for the end of which instance.

use std::collections::BTreeMap;

use super::Answer;
use crate::id::InstanceNumber;

/// Those who wait. Of those who have given up, no more are kept than of the others, and a few.
#[derive(Debug)]
pub(super) struct Waiters<R> {
    of: BTreeMap<InstanceNumber, Vec<R>>,
    count: usize,
    /// Those who have given up are looked for when there are so many.
    sweep_at: usize,
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
    /// The instance has ended: who waited for that.
    pub(super) fn take(&mut self, number: InstanceNumber) -> Vec<R> {
        let waiters = self.of.remove(&number).unwrap_or_default();
        self.count -= waiters.len();
        waiters
    }
}

impl<R: Answer> Waiters<R> {
    /// The instances whose ends are waited for.
    #[cfg(feature = "testing")]
    pub(super) fn instances(&self) -> impl Iterator<Item = InstanceNumber> {
        self.of.keys().copied()
    }

    /// Whether anybody still waits.
    #[cfg(feature = "testing")]
    pub(super) fn is_wanted(&self) -> bool {
        self.of.values().flatten().any(Answer::is_wanted)
    }

    pub(super) fn add(&mut self, number: InstanceNumber, waiter: R) {
        self.of.entry(number).or_default().push(waiter);
        self.count += 1;
        if self.count >= self.sweep_at {
            self.of.retain(|_, waiters| {
                waiters.retain(Answer::is_wanted);
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
            waiters.add(InstanceNumber(number % 9_000), Asks(number < 2_000));
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
