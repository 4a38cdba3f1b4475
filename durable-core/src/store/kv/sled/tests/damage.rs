//! Damage becomes a typed error or a mark that is ahead of the data; never a panic.

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tempfile::TempDir;

use super::super::SledKv;
use super::super::engine::{MAX_KEY, MAX_VALUE};
use super::{assert_corrupt, assert_whole, copy_directory, hub_with_data, open, write_at};
use crate::store::kv::backend::KeyValue as _;
use crate::store::kv::backend_conformance::{apply, keys, mark, put};
use crate::store::{OpenError, StoreError};

#[test]
fn an_unfinished_snapshot_is_removed() {
    let (_parent, path) = hub_with_data();
    let leftover = path.join("sled-1/snap.FFFFFFFFFFFFFFFF.generating");
    fs::write(&leftover, "half a snapshot").unwrap();
    assert_whole(&path);
    assert!(!leftover.exists());
}

#[test]
fn a_damaged_snapshot_is_set_aside() {
    for content in ["", "this is not a snapshot, but long enough"] {
        let (_parent, path) = hub_with_data();
        fs::write(path.join("sled-1/snap.7FFFFFFFFFFFFFFF"), content).unwrap();
        assert_whole(&path);
        assert!(path.join("sled-1/aside.snap.7FFFFFFFFFFFFFFF").exists());
    }
}

#[test]
fn a_blob_file_is_damage() {
    let (_parent, path) = hub_with_data();
    fs::write(path.join("sled-1/blobs/1234"), "").unwrap();
    assert_corrupt(&path, "not empty");
}

#[test]
fn a_changed_conf_is_damage() {
    let (_parent, path) = hub_with_data();
    let conf = path.join("sled-1/conf");
    for content in [
        "junk that is long enough",
        "segment_size: 524288\nuse_compression: false\nversion: 0.34\n....",
        "",
    ] {
        fs::write(&conf, content).unwrap();
        assert!(open(&path).is_err() || content.is_empty(), "{content:?}");
    }
    // An empty one says nothing else than what sled writes into it anyway.
    assert_whole(&path);
}

#[test]
fn an_emptied_or_replaced_database_is_refused() {
    for junk in [
        Vec::new(),
        b"junk".to_vec(),
        vec![0; 5000],
        vec![0xff; 3 << 20],
    ] {
        let (_parent, path) = hub_with_data();
        fs::write(path.join("sled-1/db"), &junk).unwrap();
        for snapshots in ["kept", "removed"] {
            let refused = open(&path);
            assert!(
                matches!(
                    refused,
                    Err(OpenError::Corrupt { .. }
                        | OpenError::RolledBack {
                            have: 0,
                            had: 4,
                            ..
                        })
                ),
                "snapshots {snapshots}: {refused:?}"
            );
            remove_snapshots(&path);
        }
    }
}

#[test]
fn the_database_of_another_hub_is_noticed_by_the_mark() {
    let (_parent, path) = hub_with_data();
    let (_other_parent, other) = hub_with_data();
    let store = open(&path).unwrap();
    apply(&store, vec![put(&[5], b"record")]);
    store.sync(mark(5)).unwrap();
    store.close().unwrap();
    fs::remove_dir_all(path.join("sled-1")).unwrap();
    copy_directory(&other.join("sled-1"), &path.join("sled-1"));

    let store = open(&path).unwrap();
    assert_eq!(store.mark(), Some(mark(5)));
    assert_eq!(store.get(&[5]).unwrap(), None);
}

#[test]
fn a_truncated_database_never_panics() {
    let (parent, path) = large_hub();
    let copy = parent.path().join("copy");
    let length = usize::try_from(fs::metadata(path.join("sled-1/db")).unwrap().len()).unwrap();
    for part in 1..10 {
        for snapshots in [true, false] {
            copy_directory(&path, &copy);
            let db = File::options()
                .write(true)
                .open(copy.join("sled-1/db"))
                .unwrap();
            db.set_len((length * part / 10) as u64).unwrap();
            if !snapshots {
                remove_snapshots(&copy);
            }
            use_what_opens(&copy);
            fs::remove_dir_all(&copy).unwrap();
        }
    }
}

#[test]
fn a_flipped_bit_never_panics() {
    let (parent, path) = large_hub();
    let copy = parent.path().join("copy");
    let content = fs::read(path.join("sled-1/db")).unwrap();
    for flip in 0..48 {
        copy_directory(&path, &copy);
        let at = content.len() * flip / 48 + flip * 7 % 64;
        write_at(
            &copy.join("sled-1/db"),
            at,
            &[content[at] ^ 1 << (flip % 8)],
        );
        if flip % 2 == 0 {
            remove_snapshots(&copy);
        }
        use_what_opens(&copy);
        fs::remove_dir_all(&copy).unwrap();
    }
}

#[test]
fn no_value_makes_a_blob() {
    let parent = TempDir::new().unwrap();
    let path = parent.path().join("orders.db");
    let store = open(&path).unwrap();
    let value = vec![7; store.max_value()];
    for round in 0..4_u64 {
        // In one leaf, over and over; in many leaves; in one batch and in many.
        for n in 0..50_u64 {
            apply(&store, vec![put(&n.to_be_bytes(), &value)]);
        }
        apply(
            &store,
            (0..200)
                .map(|n| put(&(round * 1000 + n).to_be_bytes(), &value))
                .collect(),
        );
        store.sync(mark(round + 1)).unwrap();
    }
    assert_eq!(fs::read_dir(path.join("sled-1/blobs")).unwrap().count(), 0);
    store.close().unwrap();
    assert_eq!(fs::read_dir(path.join("sled-1/blobs")).unwrap().count(), 0);
    let store = open(&path).unwrap();
    assert_eq!(keys(&store, &[0; 8], &[0xff; 8]).len(), 800);
    assert!(store.size_on_disk().unwrap() > 800 * value.len() as u64);
}

#[test]
fn no_key_makes_a_blob() {
    let parent = TempDir::new().unwrap();
    let path = parent.path().join("orders.db");
    let store = open(&path).unwrap();
    // Different from the start, so that pages cannot share a prefix, or only at the end, so that
    // inner pages need all of it.
    for n in 0..4000_u32 {
        let mut key = vec![7; MAX_KEY];
        let at = if n % 2 == 0 { 0 } else { MAX_KEY - 4 };
        key[at..at + 4].copy_from_slice(&(n * 0x9E37).to_be_bytes());
        apply(&store, vec![put(&key, b"")]);
    }
    store.sync(mark(1)).unwrap();
    store.close().unwrap();
    assert_eq!(keys(&open(&path).unwrap(), &[0], &[0xff; 9]).len(), 4000);
}

#[test]
fn a_pair_that_is_too_long_is_refused() {
    for (key, value) in [(MAX_KEY + 1, 0), (1, MAX_VALUE + 1)] {
        let (_parent, path) = hub_with_data();
        let store = open(&path).unwrap();
        assert_fatal(
            store.apply(store.batch(vec![put(&[5], b""), put(&vec![5; key], &vec![0; value])])),
        );
        assert_fatal(store.close());
        drop(store);
        assert_whole(&path);
    }
}

#[test]
fn the_first_failed_sync_is_the_last_write() {
    let (_parent, path) = hub_with_data();
    let store = open(&path).unwrap();
    // A device without a sync: fdatasync says EINVAL.
    let replace = |db| {
        let mut open = store.open.write();
        let generation = Arc::get_mut(open.as_mut().unwrap()).unwrap();
        std::mem::replace(&mut generation.db, db)
    };
    let working = replace(File::open("/dev/null").unwrap());
    assert_fatal(store.sync(mark(5)));
    replace(working);
    assert_fatal(store.sync(mark(5)));
    assert_fatal(store.apply(store.batch(vec![put(&[5], b"late")])));
    assert_eq!(
        store.get(&[4]).unwrap().as_deref(),
        Some(b"record".as_slice()),
        "reads go on"
    );
    assert_fatal(store.close());
    assert_whole(&path);
}

/// Several segments of growing and changing data, opened twice so that there is a snapshot.
fn large_hub() -> (TempDir, PathBuf) {
    let parent = TempDir::new().unwrap();
    let path = parent.path().join("orders.db");
    for commit in 0..20_u64 {
        let store = open(&path).unwrap();
        for batch in 0..30 {
            let n = commit * 30 + batch;
            let records =
                (0..20).map(|turn| put(&[n.to_be_bytes(), turn_of(turn)].concat(), &[7; 300]));
            let headers =
                (0..20_u64).map(|header| put(&(u64::MAX - header).to_be_bytes(), &n.to_be_bytes()));
            apply(&store, records.chain(headers).collect());
        }
        store.sync(mark(commit + 1)).unwrap();
        store.close().unwrap();
    }
    (parent, path)
}

fn turn_of(turn: u64) -> [u8; 8] {
    turn.to_be_bytes()
}

/// Opens a damaged hub, and if it opens reads and writes all of it: errors are fine.
fn use_what_opens(path: &Path) {
    let (done, wait) = mpsc::channel();
    let path = path.to_owned();
    std::thread::spawn(move || {
        match open(&path) {
            Ok(store) => use_store(store, &path),
            Err(OpenError::Corrupt { .. } | OpenError::RolledBack { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
        done.send(()).unwrap();
    });
    wait.recv_timeout(Duration::from_secs(60))
        .expect("neither a panic nor a deadlock");
}

fn use_store(store: SledKv, path: &Path) {
    let damage = |result: Result<(), StoreError>| {
        assert!(
            matches!(result, Ok(()) | Err(StoreError::Corrupt { .. })),
            "{result:?}"
        );
    };
    damage(store.scan(&[0], &[0xff; 9], &mut |_, _| ControlFlow::Continue(())));
    damage(store.scan_back(&[0], &[0xff; 9], &mut |_, _| ControlFlow::Continue(())));
    let mut written = Ok(());
    for n in 0..600_u64 {
        let key = [n.to_be_bytes(), turn_of(9)].concat();
        damage(store.get(&key).map(drop));
        let result = store.apply(store.batch(vec![put(&key, b"new")]));
        assert!(
            written.is_ok() || result.is_err(),
            "nothing is written after a failure"
        );
        written = written.and(result);
    }
    assert_eq!(store.sync(mark(100)).is_ok(), written.is_ok());
    assert_eq!(store.close().is_ok(), written.is_ok());
    drop(store);
    if written.is_err() {
        // What damage interrupted is completed, or meets the damage again.
        match open(path) {
            Ok(_) | Err(OpenError::Corrupt { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
}

fn remove_snapshots(hub: &Path) {
    for entry in fs::read_dir(hub.join("sled-1")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_string_lossy().starts_with("snap.") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}

#[track_caller]
fn assert_fatal(result: Result<(), StoreError>) {
    assert!(
        matches!(result, Err(StoreError::Fatal { .. })),
        "{result:?}"
    );
}
