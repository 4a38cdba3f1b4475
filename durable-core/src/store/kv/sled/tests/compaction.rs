//! A compaction keeps everything, whatever happens meanwhile and wherever it is cut off.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use tempfile::TempDir;

use super::super::anchor::SLOT;
use super::super::engine::{Batch, MAX_VALUE};
use super::super::steps::Step;
use super::super::{SledKv, SledOptions};
use super::world::{World, commit_some};
use super::{Pairs, copy_directory, generations, open, pairs, write_at};
use crate::store::kv::backend::KeyValue as _;
use crate::store::kv::backend_conformance::{apply, mark, put, remove};
use crate::store::{CopyError, StoreError};

#[test]
fn what_was_removed_gives_its_space_back() {
    let parent = TempDir::new().unwrap();
    let path = parent.path().join("orders.db");
    let store = open(&path).unwrap();
    let mut model = Pairs::new();
    let mut random = fastrand::Rng::with_seed(1);
    for commit in 1..60 {
        commit_some(&store, &mut model, &mut random, commit);
    }
    for key in model.keys().skip(5).cloned().collect::<Vec<_>>() {
        apply(&store, vec![remove(&key)]);
        model.remove(&key);
    }
    store.sync(mark(60)).unwrap();

    let compacted = store.compact().unwrap();
    assert_eq!(compacted.bytes_after, store.size_on_disk().unwrap());
    assert!(
        compacted.bytes_after * 3 < compacted.bytes_before,
        "{compacted:?}"
    );
    assert_eq!(pairs(&store), model);
    assert_eq!(generations(&path), ["sled-2"]);

    commit_some(&store, &mut model, &mut random, 61);
    store.close().unwrap();
    let store = open(&path).unwrap();
    assert_eq!(pairs(&store), model);
    assert_eq!(store.mark(), Some(mark(61)));
}

#[test]
fn commits_at_every_step_are_kept() {
    for seed in 0..3 {
        let parent = TempDir::new().unwrap();
        let path = parent.path().join("orders.db");
        let world = World::open(&path, seed, |_, _| Ok(()));
        for commit in 1..30 {
            world.commit(commit);
        }
        for generation in 2..4 {
            world.store().compact().unwrap();
            assert_eq!(pairs(&world.store()), world.model(), "seed {seed}");
            assert_eq!(generations(&path), [format!("sled-{generation}")]);
        }
        world.store().close().unwrap();
        assert_eq!(pairs(&open(&path).unwrap()), world.model(), "seed {seed}");
    }
}

#[test]
fn a_copy_catches_up_with_commits_at_its_end() {
    let parent = TempDir::new().unwrap();
    let path = parent.path().join("orders.db");
    let seen = Arc::new(AtomicUsize::new(0));
    let world = {
        let seen = Arc::clone(&seen);
        World::open(&path, 6, move |world, step| {
            if matches!(step, Step::Chunk | Step::Comparison) {
                let n = seen.fetch_add(1, Ordering::Relaxed);
                // More than a chunk is by default.
                let key = |at: usize| [b"z".as_slice(), &(n * 40 + at).to_be_bytes()].concat();
                let value = vec![0; MAX_VALUE];
                let writes = (0..40).map(|at| put(&key(at), &value)).collect();
                apply(&*world.store(), writes);
            }
            // It would go on for ever.
            if n_steps(&seen) > 200 {
                Err(io::ErrorKind::TimedOut.into())
            } else {
                Ok(())
            }
        })
    };
    world.quiet.store(true, Ordering::Relaxed);
    let first: Vec<_> = (0..255).map(|n| put(&[n], &vec![n; MAX_VALUE])).collect();
    for write in first {
        apply(&*world.store(), vec![write]);
    }
    world.store().compact().unwrap();
    assert_eq!(pairs(&world.store()).len(), 255 + n_steps(&seen) * 40);
}

fn n_steps(seen: &AtomicUsize) -> usize {
    seen.load(Ordering::Relaxed)
}

#[test]
fn a_crash_at_any_step_leaves_everything() {
    let parent = TempDir::new().unwrap();
    let path = parent.path().join("orders.db");
    let crashes: Arc<Mutex<Vec<(Step, PathBuf, Pairs)>>> = Arc::default();
    let world = {
        let (crashes, path) = (Arc::clone(&crashes), path.clone());
        World::open(&path.clone(), 7, move |world, step| {
            let mut crashes = crashes.lock().unwrap();
            let copy = path.with_extension(crashes.len().to_string());
            copy_directory(&path, &copy);
            crashes.push((step, copy, world.model()));
            Ok(())
        })
    };
    for commit in 1..12 {
        world.commit(commit);
    }
    world.store().compact().unwrap();

    let crashes = std::mem::take(&mut *crashes.lock().unwrap());
    let before_the_anchor = position(&crashes, Step::Sealed);
    for (at, (step, path, model)) in crashes.iter().enumerate() {
        if *step == Step::Followed {
            // The commit is applied, and neither flushed nor acknowledged.
            let found = pairs(&open(path).unwrap());
            assert!(found == *model || found == crashes[at + 1].2);
            continue;
        }
        // What one slot says is enough, and both say the same except in the middle of the change.
        let damaged = if at > before_the_anchor {
            vec![None, Some(0), Some(1)]
        } else {
            vec![None]
        };
        for slot in damaged {
            let copy = path.with_extension("damaged");
            copy_directory(path, &copy);
            if let Some(slot) = slot {
                write_at(&copy.join("anchor"), slot * SLOT + 100, b"damage");
            }
            let store = open(&copy).unwrap();
            assert!(pairs(&store) == *model, "{step:?}, slot {slot:?} damaged");
            let expected = if at > before_the_anchor {
                "sled-2"
            } else {
                "sled-1"
            };
            assert_eq!(generations(&copy), [expected], "{step:?}");
            store.close().unwrap();
            fs::remove_dir_all(copy).unwrap();
        }
    }
    for step in [
        Step::Made,
        Step::Chunk,
        Step::Followed,
        Step::Copied,
        Step::Comparison,
        Step::Compared,
        Step::Sealed,
        Step::Anchored,
        Step::Swapped,
        Step::Removed,
    ] {
        position(&crashes, step);
    }
}

#[test]
fn a_crash_between_the_slots_of_the_anchor_leaves_everything() {
    let parent = TempDir::new().unwrap();
    let path = parent.path().join("orders.db");
    let sealed = parent.path().join("sealed");
    let world = {
        let (path, sealed) = (path.clone(), sealed.clone());
        World::open(&path.clone(), 8, move |_, step| {
            if step == Step::Sealed {
                copy_directory(&path, &sealed);
            }
            Ok(())
        })
    };
    for commit in 1..12 {
        world.commit(commit);
    }
    world.store().compact().unwrap();
    let (old, new) = (
        fs::read(sealed.join("anchor")).unwrap(),
        fs::read(path.join("anchor")).unwrap(),
    );
    for slot in 0..2 {
        let copy = parent.path().join("copy");
        copy_directory(&sealed, &copy);
        let mut mixed = old.clone();
        mixed[slot * SLOT..][..SLOT].copy_from_slice(&new[slot * SLOT..][..SLOT]);
        fs::write(copy.join("anchor"), mixed).unwrap();
        let store = open(&copy).unwrap();
        assert_eq!(generations(&copy), ["sled-2"]);
        store.close().unwrap();
        fs::remove_dir_all(copy).unwrap();
    }
}

#[test]
fn a_copy_that_fails_leaves_the_hub_as_it_was() {
    for (step, nth) in [
        (Step::Made, 1),
        (Step::Chunk, 1),
        (Step::Chunk, 3),
        (Step::Followed, 1),
        (Step::Followed, 2),
        (Step::Copied, 1),
        (Step::Comparison, 2),
        (Step::Compared, 1),
        (Step::Sealed, 1),
    ] {
        let parent = TempDir::new().unwrap();
        let path = parent.path().join("orders.db");
        let seen = AtomicUsize::new(0);
        let world = World::open(&path, 9, move |_, reached| {
            if reached == step && seen.fetch_add(1, Ordering::Relaxed) + 1 == nth {
                return Err(io::ErrorKind::StorageFull.into());
            }
            Ok(())
        });
        for commit in 1..20 {
            world.commit(commit);
        }
        let store = world.store();
        match store.compact() {
            Err(CopyError::Io { source, .. }) => {
                assert_eq!(source.kind(), io::ErrorKind::StorageFull);
            }
            other => panic!("{step:?}: {other:?}"),
        }
        assert_eq!(generations(&path), ["sled-1"], "{step:?}");
        world.commit(20);
        assert_eq!(pairs(&store), world.model(), "{step:?}");
        store.compact().unwrap();
        assert_eq!(pairs(&store), world.model(), "{step:?}");
        assert_eq!(generations(&path), ["sled-2"], "{step:?}");
    }
}

#[test]
fn a_copy_is_given_up_before_the_disk_is_full() {
    let parent = TempDir::new().unwrap();
    let (path, backup) = (
        parent.path().join("orders.db"),
        parent.path().join("backup"),
    );
    let options = SledOptions {
        reserve: u64::MAX,
        ..SledOptions::default()
    };
    let store = SledKv::open(&path, &options).unwrap();
    apply(&store, vec![put(b"a", b"1")]);
    for copied in [store.compact().map(drop), store.backup(&backup)] {
        assert!(
            matches!(&copied, Err(CopyError::Io { source, .. })
                if source.kind() == io::ErrorKind::StorageFull),
            "{copied:?}"
        );
    }
    assert_eq!(generations(&path), ["sled-1"]);
    assert!(!backup.exists());
    apply(&store, vec![put(b"b", b"2")]);
    store.sync(mark(1)).unwrap();
}

#[test]
fn an_anchor_that_cannot_be_written_closes_the_hub_and_loses_nothing() {
    let parent = TempDir::new().unwrap();
    let path = parent.path().join("orders.db");
    let world = World::open(&path, 10, |_, step| match step {
        Step::Anchored => Err(io::Error::other("no")),
        _ => Ok(()),
    });
    for commit in 1..20 {
        world.commit(commit);
    }
    let store = world.store();
    assert!(matches!(
        store.compact(),
        Err(CopyError::Store(StoreError::Fatal { .. }))
    ));
    assert!(store.sync(mark(21)).is_err());
    world.quiet.store(true, Ordering::Relaxed);
    assert!(matches!(store.compact(), Err(CopyError::Store(_))));
    // Nobody knows which of them the anchor names.
    assert_eq!(generations(&path), ["sled-1", "sled-2"]);
    assert!(store.close().is_err());
    drop(store);
    assert_eq!(pairs(&open(&path).unwrap()), world.model());
    assert_eq!(generations(&path), ["sled-2"]);
}

#[test]
fn a_copy_that_differs_is_thrown_away() {
    let tamperings: [fn(&mut Batch); 3] = [
        |batch| batch.remove(&[5]),
        |batch| batch.insert(&[5], &[6]),
        |batch| batch.insert(&[5, 1, 2, 3], &[6]),
    ];
    for tamper in tamperings {
        let parent = TempDir::new().unwrap();
        let path = parent.path().join("orders.db");
        let world = World::open(&path, 11, move |world, step| {
            if step == Step::Copied {
                let store = world.store();
                let writer = store.writer.lock();
                let mut batch = Batch::default();
                tamper(&mut batch);
                let target = &writer.mirror.as_ref().unwrap().target;
                target.engine.apply(&mut batch).unwrap();
            }
            Ok(())
        });
        apply(&*world.store(), vec![put(&[5], &[5])]);
        world.quiet.store(true, Ordering::Relaxed);
        assert!(matches!(
            world.store().compact(),
            Err(CopyError::Corrupt { .. })
        ));
        assert_eq!(world.store().get(&[5]).unwrap().unwrap(), [5].as_slice());
        assert_eq!(generations(&path), ["sled-1"]);
    }
}

#[test]
fn one_copy_at_a_time() {
    let parent = TempDir::new().unwrap();
    let path = parent.path().join("orders.db");
    let backup = parent.path().join("backup.db");
    let world = World::open(&path, 12, move |world, step| {
        if step == Step::Chunk {
            let store = world.store();
            assert!(matches!(store.compact(), Err(CopyError::Busy)));
            assert!(matches!(store.backup(&backup), Err(CopyError::Busy)));
        }
        Ok(())
    });
    world.commit(1);
    world.store().compact().unwrap();
    world.store().compact().unwrap();
}

#[test]
fn closing_abandons_a_copy() {
    for step in [Step::Chunk, Step::Comparison] {
        let parent = TempDir::new().unwrap();
        let path = parent.path().join("orders.db");
        let closed = Arc::new(AtomicBool::new(false));
        let world = {
            let closed = Arc::clone(&closed);
            World::open(&path, 13, move |world, reached| {
                if reached == step && !closed.swap(true, Ordering::Relaxed) {
                    world.quiet.store(true, Ordering::Relaxed);
                    let store = world.store();
                    let closing = Arc::clone(&store);
                    thread::spawn(move || closing.close().unwrap());
                    while !store.closing.load(Ordering::Relaxed) {
                        thread::yield_now();
                    }
                }
                Ok(())
            })
        };
        for commit in 1..20 {
            world.commit(commit);
        }
        let store = world.store();
        assert!(matches!(store.compact(), Err(CopyError::Closed)));
        // Waits for the other one, and has nothing left to do.
        drop(store.close());
        assert_eq!(generations(&path), ["sled-1"]);
        assert_eq!(pairs(&open(&path).unwrap()), world.model());
    }
}

#[test]
fn readers_and_writers_go_on_meanwhile() {
    let parent = TempDir::new().unwrap();
    let path = parent.path().join("orders.db");
    let store = open(&path).unwrap();
    apply(&store, vec![put(b"count", &0_u64.to_be_bytes())]);
    let done = AtomicBool::new(false);
    let model = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let (mut model, mut commit) = (Pairs::new(), 0);
            let mut random = fastrand::Rng::with_seed(14);
            while !done.load(Ordering::Relaxed) || commit < 200 {
                commit += 1;
                commit_some(&store, &mut model, &mut random, commit);
                let count = commit.to_be_bytes();
                apply(&store, vec![put(b"count", &count)]);
                model.insert(b"count".to_vec(), count.to_vec());
            }
            model
        });
        scope.spawn(|| {
            let mut last = 0;
            while !done.load(Ordering::Relaxed) {
                let count = store.get(b"count").unwrap().unwrap();
                let count = u64::from_be_bytes((*count).try_into().unwrap());
                assert!(count >= last, "what was read goes back");
                last = count;
                let keys = pairs(&store).len();
                assert!(keys > 0);
            }
        });
        for _ in 0..6 {
            store.compact().unwrap();
        }
        done.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    assert_eq!(pairs(&store), model);
    store.close().unwrap();
    assert_eq!(pairs(&open(&path).unwrap()), model);
    assert_eq!(generations(&path), ["sled-7"]);
}

#[test]
fn a_reader_keeps_the_generation_that_it_reads() {
    let parent = TempDir::new().unwrap();
    let path = parent.path().join("orders.db");
    let store = open(&path).unwrap();
    apply(&store, (0..99).map(|n| put(&[n], b"old")).collect());
    let mut seen = 0;
    store
        .scan(&[0], &[99], &mut |_, value| {
            if seen == 0 {
                store.compact().unwrap();
                apply(&store, (0..99).map(|n| put(&[n], b"new")).collect());
                assert_eq!(generations(&path), ["sled-1", "sled-2"]);
                assert_eq!(store.get(&[1]).unwrap().unwrap(), b"new".as_slice());
            }
            seen += usize::from(value == b"old");
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(seen, 99);
    assert_eq!(generations(&path), ["sled-2"]);
}

#[test]
fn leftovers_of_another_generation_are_removed_only_where_the_right_one_is_whole() {
    let (_parent, path) = super::hub_with_data();
    copy_directory(&path.join("sled-1"), &path.join("sled-2"));
    fs::rename(path.join("sled-1"), path.join("aside")).unwrap();
    super::assert_corrupt(&path, "missing");
    assert_eq!(generations(&path), ["sled-2"]);
    fs::rename(path.join("aside"), path.join("sled-1")).unwrap();
    super::assert_whole(&path);
    assert_eq!(generations(&path), ["sled-1"]);
}

fn position(crashes: &[(Step, PathBuf, Pairs)], step: Step) -> usize {
    let found = crashes.iter().position(|(at, _, _)| *at == step);
    found.unwrap_or_else(|| panic!("{step:?} was never reached"))
}
