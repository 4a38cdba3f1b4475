//! The full check: every record is read, every key explained.

mod tally;

use std::ops::ControlFlow;

use super::backend::KeyValue;
use super::{keys, meta::Meta, read};
use crate::store::{StoreError, Verification};

pub(super) use self::tally::Tally;

/// Checks a store that nobody writes to.
pub(super) fn at_rest(kv: &impl KeyValue) -> Result<Verification, StoreError> {
    let mut found = Verification::default();
    let mut tally = Tally::default();
    while let ControlFlow::Continue(()) = tally.step(kv, u64::MAX, &mut found)? {}
    let meta = read::one::<Meta>(kv, keys::META.to_vec())?.unwrap_or_default();
    tally.compare(&meta, &mut found);
    Ok(found)
}
