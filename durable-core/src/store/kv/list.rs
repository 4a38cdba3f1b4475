//! Listing instances: a scan over headers, or over the index of few of them; a bounded one.

use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use super::backend::KeyValue;
use super::keys::RecordKey;
use super::record::{Partial, name};
use super::sparse::{self, Rarity};
use super::verify::Tally;
use super::{keys, read};
use crate::id::{InstanceId, InstanceNumber};
use crate::store::{
    Count, Expired, Glimpse, Header, List, Listed, Retention, StatusDetail, StoreError,
};
use crate::time::Timestamp;

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
    let Candidates { candidates, last } = candidates(kv, list)?;
    let mut candidates = candidates.into_iter();
    let mut seen = None;
    for Candidate { id, header } in candidates.by_ref() {
        let looked = match header {
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
        if listed.found.len() >= list.limit {
            seen = Some(id);
            break;
        }
    }
    let rest = candidates.next().is_some();
    listed.last = seen.filter(|_| rest).or(last);
    Ok(listed)
}

/// Counts what matches among those that are looked at for a page.
pub(super) fn count(
    kv: &impl KeyValue,
    list: &List,
    still: &Mutex<Option<Tally>>,
) -> Result<Count, StoreError> {
    let Candidates { candidates, last } = candidates(kv, list)?;
    let mut matching = 0;
    for Candidate { id, header } in candidates {
        let matches = header.is_some()
            || match look(kv, &id, list, still) {
                Err(error @ StoreError::Fatal { .. }) => return Err(error),
                seen => seen.is_ok_and(|seen| seen.is_some()),
            };
        matching += u64::from(matches);
    }
    Ok(Count { matching, last })
}

/// Those that may match, in order, among some that were looked at.
#[derive(Default)]
pub(super) struct Candidates {
    pub(super) candidates: Vec<Candidate>,
    /// The last one that was looked at, if there may be more.
    pub(super) last: Option<InstanceId>,
}

/// One that may match.
pub(super) struct Candidate {
    id: InstanceId,
    /// If that was read already; then it matches.
    pub(super) header: Option<Header>,
}

fn candidates(kv: &impl KeyValue, list: &List) -> Result<Candidates, StoreError> {
    match sparse::covers(&list.filter) {
        Some(rarities) => rare(kv, list, &rarities),
        None => headers(kv, list),
    }
}

/// Those that are in the index.
fn rare(kv: &impl KeyValue, list: &List, rarities: &[Rarity]) -> Result<Candidates, StoreError> {
    let (prefix, after) = (&list.filter.id_prefix, list.after.as_ref());
    let limit = list.budget.min(MAX_ENTRIES);
    let (ids, more) = sparse::ids(kv, rarities, prefix, after, limit)?;
    let candidate = |id| Candidate { id, header: None };
    Ok(Candidates {
        last: ids.last().filter(|_| more).cloned(),
        candidates: ids.into_iter().map(candidate).collect(),
    })
}

/// Looks for instances whose time is over.
pub(super) fn expired(
    kv: &impl KeyValue,
    retention: &Retention,
    now: Timestamp,
    after: Option<&InstanceId>,
    (budget, limit): (usize, usize),
) -> Result<Expired, StoreError> {
    let mut expired = Expired::default();
    expired.last = scan(kv, "", after, budget, &mut |id, header| {
        // One that cannot be read is kept.
        match header.and_then(|header| retention.due(&header)) {
            Some(due) if due <= now => expired.due.push(id),
            Some(due) => {
                let first = expired.earliest.map_or(due, |earliest| earliest.min(due));
                expired.earliest = Some(first);
            }
            None => {}
        }
        expired.due.len() < limit
    })?;
    Ok(expired)
}

/// Those whose headers match, or cannot be read at once.
pub(super) fn headers(kv: &impl KeyValue, list: &List) -> Result<Candidates, StoreError> {
    let mut candidates = Vec::new();
    let (prefix, after) = (&list.filter.id_prefix, list.after.as_ref());
    let more_behind = scan(kv, prefix, after, list.budget, &mut |id, header| {
        let matches = |header: &Header| list.filter.matches(header);
        if header.as_ref().is_none_or(matches) {
            candidates.push(Candidate { id, header });
        }
        candidates.len() < list.limit
    })?;
    Ok(Candidates {
        candidates,
        last: more_behind,
    })
}

/// Shows headers in order, at most so many; without the header where it cannot be read at once. Says
/// which one was the last if there are more. `visit` says whether it wants another.
fn scan(
    kv: &impl KeyValue,
    prefix: &str,
    after: Option<&InstanceId>,
    budget: usize,
    visit: &mut dyn FnMut(InstanceId, Option<Header>) -> bool,
) -> Result<Option<InstanceId>, StoreError> {
    let prefix = [&keys::headers(), prefix.as_bytes()].concat();
    let behind = |id| keys::end_of(&keys::header(id));
    let from = after.map_or_else(Vec::new, behind).max(prefix.clone());
    let (mut looked, mut bytes, mut previous) = (0, 0, RecordKey::new());
    let (mut wanted, mut last) = (true, None);
    kv.scan(&from, &keys::end_of(&prefix), &mut |key, value| {
        let record = name(key);
        if previous == record {
            return ControlFlow::Continue(());
        }
        if looked >= budget || bytes >= MAX_BYTES || !wanted {
            last = keys::parse_header(&previous);
            return ControlFlow::Break(());
        }
        // Other keys are nobody's; `verify` notes them.
        let Some(id) = keys::parse_header(record) else {
            return ControlFlow::Continue(());
        };
        looked += 1;
        bytes += value.len();
        previous.clear();
        previous.extend_from_slice(record);
        let whole = Partial::begin(key, value).and_then(Partial::finish);
        let header = whole.and_then(|(key, body)| read::decode::<Header>(&key, &body));
        wanted = visit(id, header.ok());
        ControlFlow::Continue(())
    })?;
    Ok(last)
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
