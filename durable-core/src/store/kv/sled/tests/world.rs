//! A store that is written to while it is copied, and a model of what it must hold.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use super::super::SledKv;
use super::super::engine::MAX_VALUE;
use super::super::steps::Step;
use super::{Pairs, open_observed};
use crate::store::kv::backend::{KeyValue as _, Write};
use crate::store::kv::backend_conformance::{apply, mark, put, remove};

/// A store that is written to at every step of a copy, and what it must hold.
#[derive(Clone)]
pub(super) struct World(Arc<Inner>);

pub(super) struct Inner {
    store: OnceLock<Arc<SledKv>>,
    state: Mutex<(Pairs, fastrand::Rng)>,
    /// No commits at the steps any more.
    pub(super) quiet: AtomicBool,
}

impl std::ops::Deref for World {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl World {
    pub(super) fn open(
        path: &Path,
        seed: u64,
        at: impl Fn(&World, Step) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let world = Self(Arc::new(Inner {
            store: OnceLock::new(),
            state: Mutex::new((Pairs::new(), fastrand::Rng::with_seed(seed))),
            quiet: AtomicBool::new(false),
        }));
        let weak: Weak<Inner> = Arc::downgrade(&world.0);
        let store = open_observed(path, move |step| {
            let world = World(weak.upgrade().unwrap());
            // At the others the lock of the commits is held.
            let free = !matches!(step, Step::Followed | Step::Sealed | Step::Anchored);
            if free && !world.quiet.load(Ordering::Relaxed) {
                world.commit(1_000);
            }
            at(&world, step)
        });
        world.store.set(Arc::new(store)).unwrap();
        world
    }

    pub(super) fn store(&self) -> Arc<SledKv> {
        Arc::clone(self.store.get().unwrap())
    }

    pub(super) fn model(&self) -> Pairs {
        self.state.lock().unwrap().0.clone()
    }

    pub(super) fn commit(&self, commit: u64) {
        let store = self.store();
        let (mut model, mut random) = self.state.lock().unwrap().clone();
        commit_some(&store, &mut model, &mut random, commit);
        *self.state.lock().unwrap() = (model, random);
    }
}

/// A commit of a few small records, now and then of one of 2 MiB, anywhere among the keys.
pub(super) fn commit_some(
    store: &SledKv,
    model: &mut Pairs,
    random: &mut fastrand::Rng,
    commit: u64,
) {
    let mut writes = Vec::new();
    if random.u8(..40) == 0 {
        let key = random.u8(..);
        let chunks = (2 << 20) / MAX_VALUE;
        writes.extend((0..chunks).map(|chunk| {
            put(
                &[key, chunk.to_le_bytes()[0], 0xff, 0xff, 0xff, 0xff],
                &vec![key; MAX_VALUE],
            )
        }));
    }
    for _ in 0..random.usize(1..60) {
        let key = [random.u8(..), random.u8(..4)];
        if random.u8(..3) == 0 {
            writes.push(remove(&key));
        } else {
            writes.push(put(&key, &vec![random.u8(..); random.usize(..300)]));
        }
    }
    for write in &writes {
        match write.clone() {
            Write::Put(key, value) => model.insert(key, value),
            Write::Remove(key) => model.remove(&key),
        };
    }
    apply(store, writes);
    store.sync(mark(commit)).unwrap();
}
