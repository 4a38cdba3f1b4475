//! The index of what few instances are has an entry for each header that says so, and no other.

use super::super::backend::KeyValue;
use super::super::sparse::{Rarity, rarities};
use super::super::{keys, read};
use super::{Verifier, is_damage};
use crate::id::InstanceId;
use crate::store::{DamageKind, Header, StoreError};

impl<K: KeyValue> Verifier<'_, K> {
    /// What the index lacks of an instance with this header.
    pub(super) fn lacking(&self, header: &Header) -> Result<Vec<Rarity>, StoreError> {
        let mut lacking = Vec::new();
        for rarity in rarities(header) {
            if !self.has(&keys::sparse(rarity, &header.id))? {
                lacking.push(rarity);
            }
        }
        Ok(lacking)
    }

    pub(super) fn note_lacking(&mut self, id: &InstanceId, lacking: &[Rarity]) {
        for rarity in lacking {
            let detail = format!("the index does not have it among those that are {rarity:?}");
            self.note(DamageKind::Missing, Some(id.clone()), detail);
        }
    }

    /// Every entry is explained by a header.
    pub(super) fn sparse(&mut self) -> Result<(), StoreError> {
        let mut from = keys::all_sparse();
        loop {
            let page = self.page(&from, &keys::end_of(&keys::all_sparse()))?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            from = [last.as_slice(), &[0]].concat();
            for (rarity, id) in page.iter().filter_map(|key| keys::parse_sparse(key)) {
                self.entry(rarity, &id)?;
            }
        }
    }

    fn entry(&mut self, rarity: Rarity, id: &InstanceId) -> Result<(), StoreError> {
        let surplus = self.look(|this| {
            let explained = match read::one::<Header>(this.kv, keys::header(id)) {
                Ok(header) => header.is_some_and(|header| rarity.is(header.size())),
                // Noted before, and what it says is not known.
                Err(error) if is_damage(&error) => true,
                Err(error) => return Err(error),
            };
            let surplus = !explained && this.has(&keys::sparse(rarity, id))?;
            Ok((surplus, !surplus))
        })?;
        if surplus {
            let detail = format!("the index has it among those that are {rarity:?}, and it is not");
            self.note(DamageKind::Surplus, Some(id.clone()), detail);
        }
        (self.pause)(id.as_str().len() as u64)
    }
}
