//! Which instances are in memory.

use crate::engine::instance::Instance;
use crate::engine::{Answer, Config, Engine};
use crate::id::InstanceNumber;

impl<R: Answer> Engine<R> {
    /// The bytes that the instances in memory hold, by estimate.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn live_bytes(&self) -> usize {
        self.live_bytes
    }

    pub(super) fn keep(&mut self, mut instance: Instance<R>) {
        self.uses += 1;
        self.by_use.remove(&instance.used);
        instance.used = self.uses;
        self.by_use.insert(self.uses, instance.number());
        let bytes = instance.weight();
        self.live_bytes = self.live_bytes - instance.counted_bytes + bytes;
        instance.counted_bytes = bytes;
        self.ids
            .insert(instance.header.id.clone(), instance.number());
        self.instances.insert(instance.number(), instance);
    }

    pub(super) fn forget(&mut self, number: InstanceNumber) {
        let Some(instance) = self.instances.remove(&number) else {
            return;
        };
        self.live_bytes -= instance.counted_bytes;
        self.by_use.remove(&instance.used);
        if self.ids.get(&instance.header.id) == Some(&number) {
            self.ids.remove(&instance.header.id);
        }
    }

    /// Lets the least recently used go, as far as the store has all of them.
    pub(super) fn evict(&mut self) {
        let Config {
            max_live,
            max_live_bytes,
            ..
        } = self.work.config;
        let mut skipped = 0;
        let mut cursor = 0;
        while (self.by_use.len() > max_live || self.live_bytes > max_live_bytes) && skipped < 64 {
            let Some((used, number)) = self.by_use.range(cursor..).next() else {
                break;
            };
            let number = *number;
            cursor = used + 1;
            let idle = |instance: &Instance<R>| {
                let durable = instance.last_commit <= self.durable;
                instance.is_idle() && (durable || planted!(EvictEarly))
            };
            if self.instances.get(&number).is_some_and(idle) {
                self.forget(number);
            } else {
                skipped += 1;
            }
        }
    }
}
