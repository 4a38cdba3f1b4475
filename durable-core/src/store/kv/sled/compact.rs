//! Compaction: the live records are copied into the next generation, which takes the old one's
//! place by what the anchor says.
//!
//! Until the anchor names the new generation it is a leftover, and from then on the old one is: the
//! next open removes the one that the anchor does not name. No commit happens in between.

use std::sync::Arc;

use super::copy::Copier;
use super::files;
use super::generation::Generation;
use super::steps::Step;
use super::{SledKv, anchor_error};
use crate::store::kv::backend::KeyValue as _;
use crate::store::{Compacted, CopyError};

impl SledKv {
    pub(super) fn run_compaction(&self) -> Result<Compacted, CopyError> {
        let _only_one = self.begin_copy()?;
        let source = self.generation().map_err(|_| CopyError::Closed)?;
        let directory = Arc::clone(&source.directory);
        let bytes_before = self.size_on_disk()?;
        let number = {
            let writer = self.writer.lock();
            writer.check()?;
            writer.anchor.generation()
        };

        // What an earlier one could not remove.
        directory.remove_all_but(number)?;
        let made = files::make(&directory, number + 1, self.options.cache_capacity);
        let target = Arc::new(made.inspect_err(|_| {
            // Half made; what cannot be removed now is removed at the next open.
            let _ = directory.remove_all_but(number);
        })?);
        target.set_unwanted(true);
        self.replace(source, target, number + 1)?;
        Ok(Compacted {
            bytes_before,
            bytes_after: self.size_on_disk()?,
        })
    }

    fn replace(
        &self,
        source: Arc<Generation>,
        target: Arc<Generation>,
        number: u64,
    ) -> Result<(), CopyError> {
        let copier = Copier::run(self, Arc::clone(&source), Arc::clone(&target))?;
        let mut writer = copier.lock()?;
        copier.sync()?;
        copier.step(Step::Sealed)?;

        // From here on the disk may say either; nothing is removed before it is known which.
        target.set_unwanted(false);
        let anchored = writer.anchor.set_generation(number);
        let anchored = anchored.and_then(|()| self.options.steps.reached(Step::Anchored));
        if let Err(error) = anchored {
            let failed = anchor_error(error);
            writer.failed = Some(failed.clone());
            return Err(failed.into());
        }
        *self.open.write() = Some(target);
        source.set_unwanted(true);
        drop(writer);
        drop(copier);

        self.step(Step::Swapped, source.path())?;
        // Removes its files, unless somebody reads them still; then that reader does it.
        let old = source.path().to_owned();
        drop(source);
        self.step(Step::Removed, &old)
    }
}
