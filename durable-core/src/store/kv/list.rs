//! Listing instances: a scan over headers, or over the index of few of them; a bounded one.

use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use super::backend::KeyValue;
use super::record::{Partial, name};
use super::sparse::{self, Rarity};
use super::verify::Tally;
use super::{keys, read};
use crate::id::{InstanceId, InstanceNumber};
use crate::store::{Count, Glimpse, Header, List, Listed, StatusDetail, StoreError};

/// Bytes of headers that are looked at for one page.
const MAX_BYTES: usize = 4 << 20;
/// Entries of the index that are looked at for one page: the header of each is read by itself, which
/// takes longer than to read one after the other.
const MAX_ENTRIES: usize = 1024;
/// How often what does not fit is read, the last time while no commit is applied.
const ATTEMPTS: usize = 3;

/// Reads a page. Whoever applies commits does so under the lock `still`.
pub(super) fn list(
    kv: &impl KeyValue,
    list: &List,
    still: &Mutex<Option<Tally>>,
) -> Result<Listed, StoreError> {
    let mut listed = Listed::default();
    let (candidates, mut more) = candidates(kv, list)?;
    let mut seen = None;
    let mut candidates = candidates.into_iter();
    for Candidate { id, header } in candidates.by_ref() {
        let looked = match header {
            Some(header) if !list.filter.matches(&header) => Ok(None),
            // It is as exact as it was then; that of another may be behind what was told of it.
            Some(header) if header.status.is_terminal() => match settled(kv, header, list) {
                Err(StoreError::Corrupt { .. }) => look(kv, &id, list, still),
                seen => seen.map(Some),
            },
            _ => look(kv, &id, list, still),
        };
        match looked {
            Ok(found) => listed.found.extend(found),
            Err(error @ StoreError::Fatal { .. }) => return Err(error),
            Err(_) => listed.unreadable.push(id.clone()),
        }
        seen = Some(id);
        if listed.found.len() >= list.limit {
            break;
        }
    }
    more |= candidates.next().is_some();
    listed.last = seen.filter(|_| more);
    Ok(listed)
}

/// Counts what matches among those that are looked at for a page.
pub(super) fn count(
    kv: &impl KeyValue,
    list: &List,
    still: &Mutex<Option<Tally>>,
) -> Result<Count, StoreError> {
    let mut count = Count::default();
    let (candidates, more) = candidates(kv, list)?;
    for Candidate { id, header } in candidates {
        let matches = match header {
            Some(header) => list.filter.matches(&header),
            None => match look(kv, &id, list, still) {
                Err(error @ StoreError::Fatal { .. }) => return Err(error),
                seen => seen.is_ok_and(|seen| seen.is_some()),
            },
        };
        count.matching += u64::from(matches);
        count.last = Some(id);
    }
    count.last = count.last.filter(|_| more);
    Ok(count)
}

/// Those that may match and are looked at, in order, and whether there are more.
fn candidates(kv: &impl KeyValue, list: &List) -> Result<(Vec<Candidate>, bool), StoreError> {
    match sparse::covers(&list.filter) {
        Some(rarities) => rare(kv, list, &rarities),
        None => headers(kv, list),
    }
}

/// One that may match.
struct Candidate {
    id: InstanceId,
    /// If that was read already.
    header: Option<Header>,
}

/// The candidates that are in the index, and whether there are more.
fn rare(
    kv: &impl KeyValue,
    list: &List,
    rarities: &[Rarity],
) -> Result<(Vec<Candidate>, bool), StoreError> {
    let (prefix, after) = (&list.filter.id_prefix, list.after.as_ref());
    let limit = list.budget.min(MAX_ENTRIES);
    let (ids, more) = sparse::ids(kv, rarities, prefix, after, limit)?;
    let candidate = |id| Candidate { id, header: None };
    Ok((ids.into_iter().map(candidate).collect(), more))
}

/// The headers that are looked at, and whether there are more; without the header where it cannot
/// be read at once.
fn headers(kv: &impl KeyValue, list: &List) -> Result<(Vec<Candidate>, bool), StoreError> {
    let prefix = [&keys::headers(), list.filter.id_prefix.as_bytes()].concat();
    let behind = |id: &InstanceId| keys::end_of(&keys::header(id));
    let from = list
        .after
        .as_ref()
        .map_or_else(Vec::new, behind)
        .max(prefix.clone());
    let (mut found, mut bytes, mut more) = (Vec::<Candidate>::new(), 0, false);
    kv.scan(&from, &keys::end_of(&prefix), &mut |key, value| {
        // Other keys are nobody's; `verify` notes them.
        let Some(id) = keys::parse_header(name(key)) else {
            return ControlFlow::Continue(());
        };
        if found.last().is_some_and(|last| last.id == id) {
            return ControlFlow::Continue(());
        }
        if found.len() >= list.budget || bytes >= MAX_BYTES {
            more = true;
            return ControlFlow::Break(());
        }
        bytes += value.len();
        let whole = Partial::begin(key, value).and_then(Partial::finish);
        let header = whole.and_then(|(key, body)| read::decode(&key, &body)).ok();
        found.push(Candidate { id, header });
        ControlFlow::Continue(())
    })?;
    Ok((found, more))
}

/// What is shown of one that has ended.
fn settled(kv: &impl KeyValue, header: Header, list: &List) -> Result<Glimpse, StoreError> {
    let glimpse = Glimpse::of(header);
    if list.payloads {
        read::fill(kv, glimpse, StatusDetail::ALL, |_| false)
    } else {
        Ok(glimpse)
    }
}

/// What is shown of one, if it still matches.
fn look(
    kv: &impl KeyValue,
    id: &InstanceId,
    list: &List,
    still: &Mutex<Option<Tally>>,
) -> Result<Option<Glimpse>, StoreError> {
    between_commits(still, || {
        // What the store knows of that may be ahead of what can be read.
        let is_active = |_: InstanceNumber| true;
        let found = if list.payloads {
            read::glimpse(kv, id, StatusDetail::ALL, is_active)
        } else {
            read::summary(kv, id, is_active)
        };
        found.map(|found| found.filter(|found| list.filter.matches(&found.header)))
    })
}

/// What was looked at, whole. Whoever applies commits does so under the lock `still`.
pub(super) fn between_commits<T>(
    still: &Mutex<Option<Tally>>,
    look: impl Fn() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    for _ in 1..ATTEMPTS {
        // A commit that is being applied may have been seen in part.
        match look() {
            Err(StoreError::Corrupt { .. }) => {}
            seen => return seen,
        }
    }
    let _applied = still.lock().unwrap_or_else(PoisonError::into_inner);
    look()
}
