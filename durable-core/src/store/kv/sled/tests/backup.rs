//! A backup is a hub of its own, or nothing.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::super::steps::Step;
use super::world::World;
use super::{Pairs, copy_directory, generations, open, pairs};
use crate::store::kv::backend::KeyValue as _;
use crate::store::{CopyError, OpenError};

/// The steps of a backup.
const STEPS: [Step; 8] = [
    Step::Made,
    Step::Chunk,
    Step::Followed,
    Step::Copied,
    Step::Comparison,
    Step::Compared,
    Step::Sealed,
    Step::Anchored,
];

#[test]
fn a_backup_opens_with_everything_and_both_go_on() {
    let parent = TempDir::new().unwrap();
    for (name, exists) in [("first", false), ("a/b/second", false), ("third", true)] {
        let path = parent.path().join(name).join("orders.db");
        let backup = parent.path().join(name).join("backup.db");
        let world = World::open(&path, 20, |_, _| Ok(()));
        for commit in 1..20 {
            world.commit(commit);
        }
        if exists {
            fs::create_dir_all(&backup).unwrap();
        }
        // The hub may have been compacted before.
        world.store().compact().unwrap();
        world.quiet.store(true, Ordering::Relaxed);
        world.store().backup(&backup).unwrap();
        let model = world.model();
        world.commit(1_001);

        let copy = open(&backup).unwrap();
        assert_eq!(pairs(&copy), model);
        assert_eq!(copy.identity(), world.store().identity());
        assert_eq!(copy.mark().unwrap().commit, 1_000);
        assert_eq!(generations(&backup), ["sled-1"]);
        copy.compact().unwrap();
        assert_eq!(pairs(&copy), model);
        assert_eq!(pairs(&world.store()), world.model());
    }
}

#[test]
fn a_backup_is_of_one_moment() {
    let parent = TempDir::new().unwrap();
    let path = parent.path().join("orders.db");
    for seed in 0..3 {
        let backup = parent.path().join(format!("backup-{seed}"));
        let sealed: Arc<Mutex<Pairs>> = Arc::default();
        let world = {
            let sealed = Arc::clone(&sealed);
            World::open(
                &path.with_extension(seed.to_string()),
                seed,
                move |world, step| {
                    if step == Step::Sealed {
                        *sealed.lock().unwrap() = world.model();
                        // Too late for the backup.
                        world.commit(2_000);
                    }
                    Ok(())
                },
            )
        };
        for commit in 1..10 {
            world.commit(commit);
        }
        world.store().backup(&backup).unwrap();
        assert_eq!(pairs(&open(&backup).unwrap()), *sealed.lock().unwrap());
        assert_ne!(world.model(), *sealed.lock().unwrap());
    }
}

#[test]
fn a_crash_at_any_step_leaves_no_half_of_a_backup() {
    let parent = TempDir::new().unwrap();
    let backup = parent.path().join("backup.db");
    let crashes: Arc<Mutex<Vec<(Step, PathBuf)>>> = Arc::default();
    let world = {
        let (crashes, backup) = (Arc::clone(&crashes), backup.clone());
        World::open(&parent.path().join("orders.db"), 21, move |_, step| {
            let mut crashes = crashes.lock().unwrap();
            let copy = backup.with_extension(crashes.len().to_string());
            copy_directory(&backup, &copy);
            crashes.push((step, copy));
            Ok(())
        })
    };
    for commit in 1..12 {
        world.commit(commit);
    }
    world.store().backup(&backup).unwrap();

    let crashes = std::mem::take(&mut *crashes.lock().unwrap());
    for (step, path) in &crashes {
        if *step == Step::Anchored {
            assert_eq!(pairs(&open(path).unwrap()), world.model());
        } else {
            super::assert_corrupt(path, "no anchor");
            assert!(matches!(
                world.store().backup(path),
                Err(CopyError::Target { .. })
            ));
        }
    }
    let reached: BTreeSet<_> = crashes.iter().map(|(step, _)| *step).collect();
    assert_eq!(reached, BTreeSet::from(STEPS));
}

#[test]
fn a_backup_that_fails_leaves_nothing() {
    for step in STEPS {
        for exists in [false, true] {
            let parent = TempDir::new().unwrap();
            let backup = parent.path().join("backup.db");
            let failed = AtomicBool::new(false);
            let world = World::open(&parent.path().join("orders.db"), 22, move |_, reached| {
                if reached == step && !failed.swap(true, Ordering::Relaxed) {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                Ok(())
            });
            for commit in 1..12 {
                world.commit(commit);
            }
            if exists {
                fs::create_dir(&backup).unwrap();
            }
            let store = world.store();
            assert!(
                matches!(store.backup(&backup), Err(CopyError::Io { source, .. })
                    if source.kind() == io::ErrorKind::StorageFull),
                "{step:?}"
            );
            assert_eq!(backup.exists(), exists, "{step:?}");
            world.commit(20);
            assert_eq!(pairs(&store), world.model());
            store.backup(&backup).unwrap();
            assert!(!pairs(&open(&backup).unwrap()).is_empty());
        }
    }
}

#[test]
fn a_target_that_is_something_else_stays_as_it_is() {
    let parent = TempDir::new().unwrap();
    let path = parent.path().join("orders.db");
    let world = World::open(&path, 23, |_, _| Ok(()));
    world.commit(1);
    let (_other_parent, other) = super::hub_with_data();
    let notes = parent.path().join("notes");
    fs::create_dir(&notes).unwrap();
    fs::write(notes.join("notes.txt"), "hello").unwrap();
    std::os::unix::fs::symlink(&path, parent.path().join("link")).unwrap();
    let refused: [(&Path, &str); 7] = [
        (&notes, "notes.txt"),
        (&notes.join("notes.txt"), "not a directory"),
        (&other, "it holds"),
        (&path, "it holds"),
        (&path.join("sled-1"), "it holds"),
        (&path.join("backup"), "within the hub"),
        (&parent.path().join("link/backup"), "within the hub"),
    ];
    for (target, expected) in refused {
        match world.store().backup(target) {
            Err(CopyError::Target { reason, .. }) => {
                assert!(reason.contains(expected), "{}: {reason}", target.display());
            }
            other => panic!("{}: {other:?}", target.display()),
        }
    }
    assert_eq!(fs::read(notes.join("notes.txt")).unwrap(), b"hello");
    assert!(!path.join("backup").exists());
    super::assert_whole(&other);

    let through_a_file = notes.join("notes.txt/backup");
    assert!(matches!(
        world.store().backup(&through_a_file),
        Err(CopyError::Io { .. })
    ));
    assert_eq!(pairs(&world.store()), world.model());
}

#[test]
fn nobody_opens_a_backup_that_is_being_made() {
    let parent = TempDir::new().unwrap();
    let backup = parent.path().join("backup.db");
    let world = {
        let backup = backup.clone();
        World::open(&parent.path().join("orders.db"), 24, move |_, step| {
            if step == Step::Anchored {
                assert!(matches!(open(&backup), Err(OpenError::InUse { .. })));
            }
            Ok(())
        })
    };
    world.store().backup(&backup).unwrap();
    assert_eq!(pairs(&open(&backup).unwrap()), world.model());
}
