//! The index of what few instances are: Failed, Suspended, blocked.
//!
//! An entry is a key without a value, for each instance and each of these that it is, in the order
//! of ids. It comes and goes with the header that says so, in the same commit, and so costs nothing
//! while an instance goes on.

use std::ops::ControlFlow;

use super::backend::KeyValue;
use super::keys;
use crate::id::InstanceId;
use crate::store::{Filter, Header, HeaderSize, RuntimeStatus, StoreError};

/// What few instances are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rarity {
    Failed,
    Suspended,
    Blocked,
}

impl Rarity {
    pub(super) const ALL: [Self; 3] = [Self::Failed, Self::Suspended, Self::Blocked];

    /// The status that makes an instance that, if one does.
    fn status(self) -> Option<RuntimeStatus> {
        match self {
            Self::Failed => Some(RuntimeStatus::Failed),
            Self::Suspended => Some(RuntimeStatus::Suspended),
            Self::Blocked => None,
        }
    }

    /// Whether an instance with such a header is that.
    pub(super) fn is(self, header: HeaderSize) -> bool {
        match self.status() {
            Some(status) => header.status == status,
            None => header.blocked,
        }
    }
}

/// What an instance with this header is.
pub(super) fn rarities(header: &Header) -> impl Iterator<Item = Rarity> {
    let size = header.size();
    Rarity::ALL
        .into_iter()
        .filter(move |rarity| rarity.is(size))
}

/// The parts of the index that have everything a filter matches; `None` if that may be elsewhere.
pub(super) fn covers(filter: &Filter) -> Option<Vec<Rarity>> {
    if filter.blocked == Some(true) {
        return Some(vec![Rarity::Blocked]);
    }
    let rarity = |status: &RuntimeStatus| {
        let mut all = Rarity::ALL.into_iter();
        all.find(|rarity| rarity.status() == Some(*status))
    };
    let rarities: Option<Vec<_>> = filter.statuses.iter().map(rarity).collect();
    rarities.filter(|rarities| !rarities.is_empty())
}

/// The ids in these parts of the index that begin with `prefix` and lie behind `after`, in order; at
/// most `limit`, and whether there are more.
pub(super) fn ids(
    kv: &impl KeyValue,
    rarities: &[Rarity],
    prefix: &str,
    after: Option<&InstanceId>,
    limit: usize,
) -> Result<(Vec<InstanceId>, bool), StoreError> {
    let mut found: Vec<InstanceId> = Vec::new();
    // Behind this one there may be some that were not read.
    let mut known_to: Option<InstanceId> = None;
    for rarity in rarities {
        let (part, more) = part(kv, *rarity, prefix, after, limit)?;
        if more && known_to.as_ref().is_none_or(|to| part.last() < Some(to)) {
            known_to = part.last().cloned();
        }
        found.extend(part);
    }
    found.sort();
    found.dedup();
    if let Some(to) = &known_to {
        found.retain(|id| id <= to);
    }
    let more = known_to.is_some() || found.len() > limit;
    found.truncate(limit);
    Ok((found, more))
}

fn part(
    kv: &impl KeyValue,
    rarity: Rarity,
    prefix: &str,
    after: Option<&InstanceId>,
    limit: usize,
) -> Result<(Vec<InstanceId>, bool), StoreError> {
    let first = keys::sparse_from(rarity, prefix);
    let behind = |id| keys::end_of(&keys::sparse(rarity, id));
    let from = after.map_or_else(Vec::new, behind).max(first.clone());
    let (mut ids, mut more) = (Vec::new(), false);
    kv.scan(&from, &keys::end_of(&first), &mut |key, _| {
        if ids.len() >= limit {
            more = true;
            return ControlFlow::Break(());
        }
        // Other keys mean nothing; `verify` notes them.
        ids.extend(keys::parse_sparse(key).map(|(_, id)| id));
        ControlFlow::Continue(())
    })?;
    Ok((ids, more))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::kv::backend::Write;
    use crate::store::kv::memory::MemoryKv;

    fn id(id: &str) -> InstanceId {
        InstanceId::new(id).expect("valid")
    }

    /// Whatever the page's size, whatever lies in which part.
    #[test]
    fn pages_over_several_parts_have_everything_once_and_in_order() {
        let kv = MemoryKv::default();
        let entries = [
            (Rarity::Failed, "a1 a2 a3 a4 b c"),
            (Rarity::Suspended, "a0 a25 b0 d e f g"),
            (Rarity::Blocked, "a25 a3 b00 g h"),
        ];
        let keys = entries.iter().flat_map(|(rarity, ids)| {
            let key = |name| Write::Put(keys::sparse(*rarity, &id(name)), Vec::new());
            ids.split(' ').map(key)
        });
        kv.apply(kv.batch(keys.collect())).expect("applies");
        for parts in [&Rarity::ALL[..], &Rarity::ALL[..2], &Rarity::ALL[2..]] {
            for prefix in ["", "a", "b0", "x"] {
                let here = |(rarity, _): &&(Rarity, _)| parts.contains(rarity);
                let ids = entries
                    .iter()
                    .filter(here)
                    .flat_map(|(_, ids)| ids.split(' '));
                let mut expected: Vec<_> = ids.filter(|id| id.starts_with(prefix)).collect();
                expected.sort_unstable();
                expected.dedup();
                for limit in [1, 2, 3, 5, 100] {
                    let (mut all, mut after) = (Vec::new(), None);
                    loop {
                        let page = super::ids(&kv, parts, prefix, after.as_ref(), limit);
                        let (page, more) = page.expect("reads");
                        assert!(page.len() <= limit && (!more || !page.is_empty()));
                        after = page.last().cloned();
                        all.extend(page);
                        if !more {
                            break;
                        }
                    }
                    let all: Vec<_> = all.iter().map(InstanceId::as_str).collect();
                    assert_eq!(all, expected, "{parts:?} {prefix:?} by {limit}");
                }
            }
        }
    }
}
