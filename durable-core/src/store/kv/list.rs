//! Listing instances: a scan over headers, a bounded one.

use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use super::backend::KeyValue;
use super::keys::{self, RecordKey};
use super::read;
use super::record::{Partial, name};
use super::verify::Tally;
use crate::id::{InstanceId, InstanceNumber};
use crate::store::{Glimpse, Header, List, Listed, StoreError};

/// Bytes of headers that are looked at for one page.
const MAX_BYTES: usize = 4 << 20;
/// How often what does not fit is read, the last time while no commit is applied.
const ATTEMPTS: usize = 3;

/// Reads a page. Whoever applies commits does so under the lock `still`.
pub(super) fn list(
    kv: &impl KeyValue,
    list: &List,
    still: &Mutex<Option<Tally>>,
) -> Result<Listed, StoreError> {
    let mut listed = Listed::default();
    let (headers, mut more) = headers(kv, list)?;
    let mut seen = None;
    let mut headers = headers.into_iter();
    for (key, header) in headers.by_ref() {
        let Some(id) = keys::parse_header(&key) else {
            // Nobody's; `verify` notes it.
            continue;
        };
        let looked = match header {
            Some(header) if !list.filter.matches(&header) => Ok(None),
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
    more |= headers.next().is_some();
    listed.last = seen.filter(|_| more);
    Ok(listed)
}

type Found = (RecordKey, Option<Header>);

/// The headers that are looked at, and whether there are more; without the header where it cannot
/// be read at once.
fn headers(kv: &impl KeyValue, list: &List) -> Result<(Vec<Found>, bool), StoreError> {
    let prefix = [&keys::headers(), list.filter.id_prefix.as_bytes()].concat();
    let behind = |id: &InstanceId| keys::end_of(&keys::header(id));
    let from = list
        .after
        .as_ref()
        .map_or_else(Vec::new, behind)
        .max(prefix.clone());
    let (mut found, mut bytes, mut more) = (Vec::<Found>::new(), 0, false);
    kv.scan(&from, &keys::end_of(&prefix), &mut |key, value| {
        let record = name(key);
        if found.last().is_some_and(|(last, _)| last == record) {
            return ControlFlow::Continue(());
        }
        if found.len() >= list.budget || bytes >= MAX_BYTES {
            more = true;
            return ControlFlow::Break(());
        }
        bytes += value.len();
        let whole = Partial::begin(key, value).and_then(Partial::finish);
        let header = whole.and_then(|(key, body)| read::decode(&key, &body));
        found.push((record.to_vec(), header.ok()));
        ControlFlow::Continue(())
    })?;
    Ok((found, more))
}

/// What is shown of one, if it still matches.
fn look(
    kv: &impl KeyValue,
    id: &InstanceId,
    list: &List,
    still: &Mutex<Option<Tally>>,
) -> Result<Option<Glimpse>, StoreError> {
    let look = || {
        // What the store knows of that may be ahead of what can be read.
        let is_active = |_: InstanceNumber| true;
        let found = if list.payloads {
            read::glimpse(kv, id, is_active)
        } else {
            read::summary(kv, id, is_active)
        };
        found.map(|found| found.filter(|found| list.filter.matches(&found.header)))
    };
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
