//! Who waits for the end of which instance, or for anything new of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Answer;
use super::message::Snapshot;
use crate::id::InstanceNumber;

/// Those who wait. Of those who have given up, no more are kept than of the others, and a few.
#[derive(Debug)]
pub(super) struct Waiters<R> {
    of: BTreeMap<InstanceNumber, Waiting<R>>,
    count: usize,
    /// Those who have given up are looked for when there are so many.
    sweep_at: usize,
}

/// Those who wait for one instance.
#[derive(Debug)]
struct Waiting<R> {
    for_end: Vec<R>,
    /// With what they have seen.
    for_news: Vec<(Arc<Snapshot>, R)>,
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

impl<R> Default for Waiting<R> {
    fn default() -> Self {
        Self {
            for_end: Vec::new(),
            for_news: Vec::new(),
        }
    }
}

impl<R> Waiting<R> {
    fn len(&self) -> usize {
        self.for_end.len() + self.for_news.len()
    }
}

impl<R> Waiters<R> {
    /// The instance has ended: everybody who waited for anything of it.
    pub(super) fn take(&mut self, number: InstanceNumber) -> Vec<R> {
        let waiting = self.of.remove(&number).unwrap_or_default();
        self.count -= waiting.len();
        let for_news = waiting.for_news.into_iter().map(|(_, reply)| reply);
        waiting.for_end.into_iter().chain(for_news).collect()
    }

    /// Those who wait for something else than they have seen, if that is `now` so. What is there now is
    /// asked for only if anybody does.
    pub(super) fn take_told(
        &mut self,
        number: InstanceNumber,
        now: impl FnOnce() -> Snapshot,
    ) -> Option<(Snapshot, Vec<R>)> {
        let waiting = self.of.get_mut(&number)?;
        if waiting.for_news.is_empty() {
            return None;
        }
        let now = now();
        let is_told = |(seen, _): &mut (Arc<Snapshot>, R)| now.is_news_after(seen);
        let told = waiting.for_news.extract_if(.., is_told);
        let told: Vec<_> = told.map(|(_, reply)| reply).collect();
        if waiting.len() == 0 {
            self.of.remove(&number);
        }
        self.count -= told.len();
        Some((now, told))
    }
}

impl<R: Answer> Waiting<R> {
    fn forget_unwanted(&mut self) {
        self.for_end.retain(Answer::is_wanted);
        self.for_news.retain(|(_, reply)| reply.is_wanted());
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
        let is_wanted = |waiting: &Waiting<R>| {
            let mut for_news = waiting.for_news.iter().map(|(_, reply)| reply);
            waiting.for_end.iter().any(Answer::is_wanted) || for_news.any(Answer::is_wanted)
        };
        self.of.values().any(is_wanted)
    }

    /// Adds one who waits for the end, or for something else than it has seen.
    pub(super) fn add(&mut self, number: InstanceNumber, seen: Option<Arc<Snapshot>>, reply: R) {
        let waiting = self.of.entry(number).or_default();
        match seen {
            Some(seen) => waiting.for_news.push((seen, reply)),
            None => waiting.for_end.push(reply),
        }
        self.count += 1;
        if self.count >= self.sweep_at {
            self.of.retain(|_, waiting| {
                waiting.forget_unwanted();
                waiting.len() > 0
            });
            self.count = self.of.values().map(Waiting::len).sum();
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
