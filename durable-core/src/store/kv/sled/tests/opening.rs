use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::super::anchor::SLOT;
use super::super::engine::SEGMENT;
use super::super::{FORMAT, SledKv, SledOptions, readable, snapshots};
use super::{assert_corrupt, assert_whole, copy_directory, hub_with_data, open, write_at};
use crate::store::OpenError;
use crate::store::kv::backend::KeyValue as _;
use crate::store::kv::backend_conformance::{apply, keys, mark, put};

#[test]
fn a_hub_that_is_open_is_in_use() {
    let (_parent, path) = hub_with_data();
    let store = open(&path).unwrap();
    assert!(matches!(open(&path), Err(OpenError::InUse { .. })));
    store.close().unwrap();
    assert_whole(&path);
}

#[test]
fn a_reader_that_outlives_the_close_keeps_the_hub() {
    let (_parent, path) = hub_with_data();
    let store = open(&path).unwrap();
    let mut seen = 0;
    store
        .scan(&[0], &[9], &mut |_, _| {
            if seen == 0 {
                store.close().unwrap();
                assert!(matches!(open(&path), Err(OpenError::InUse { .. })));
            }
            seen += 1;
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(seen, 4);
    assert_whole(&path);
}

#[test]
fn a_file_is_no_hub_and_stays_as_it_is() {
    let parent = TempDir::new().unwrap();
    let path = parent.path().join("notes.txt");
    fs::write(&path, "hello").unwrap();
    assert!(matches!(open(&path), Err(OpenError::NotAHub { .. })));
    assert_eq!(fs::read(&path).unwrap(), b"hello");
}

#[test]
fn a_foreign_directory_is_no_hub_and_stays_as_it_is() {
    for name in ["notes.txt", "db", "lock"] {
        let parent = TempDir::new().unwrap();
        fs::write(parent.path().join(name), "hello").unwrap();
        let error = open(parent.path()).unwrap_err();
        assert!(
            matches!(&error, OpenError::NotAHub { reason, .. } if reason.contains(name)),
            "{error}"
        );
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }
}

#[test]
fn a_path_through_a_file_is_an_error_of_the_system() {
    let parent = TempDir::new().unwrap();
    fs::write(parent.path().join("file"), "").unwrap();
    assert!(matches!(
        open(&parent.path().join("file/orders.db")),
        Err(OpenError::Io { .. })
    ));
}

#[test]
fn a_newer_format_is_told_from_damage() {
    let (_parent, path) = hub_with_data();
    let anchor = path.join("anchor");
    let mut slot = fs::read(&anchor).unwrap()[..SLOT].to_vec();
    slot[8..12].copy_from_slice(&(FORMAT + 1).to_be_bytes());
    seal(&mut slot);
    write_at(&anchor, 0, &slot);
    let error = open(&path).unwrap_err();
    assert!(
        matches!(
            error,
            OpenError::NewerFormat {
                found: 2,
                supported: 1,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn data_of_another_engine_is_refused() {
    let (_parent, path) = hub_with_data();
    let anchor = path.join("anchor");
    let mut slot = fs::read(&anchor).unwrap()[..SLOT].to_vec();
    slot[36..52].copy_from_slice(b"other engine 1.0");
    seal(&mut slot);
    write_at(&anchor, 0, &slot);
    assert_corrupt(&path, "other engine 1.0");
}

#[test]
fn either_slot_of_the_anchor_is_enough() {
    for slot in 0..2 {
        let (_parent, path) = hub_with_data();
        write_at(&path.join("anchor"), slot * SLOT + 100, b"damage");
        // The other slot may be one note older, never younger.
        let store = open(&path).unwrap();
        assert!(store.mark() <= Some(mark(4)));
        assert_eq!(
            store.get(&[4]).unwrap().as_deref(),
            Some(b"record".as_slice())
        );
        store.sync(mark(5)).unwrap();
        store.close().unwrap();
        assert_eq!(open(&path).unwrap().mark(), Some(mark(5)));
    }
}

#[test]
fn an_anchor_without_a_readable_slot_is_damage() {
    let (_parent, path) = hub_with_data();
    let anchor = path.join("anchor");
    for junk in [vec![], b"junk".to_vec(), vec![0; SLOT], vec![0; 3 * SLOT]] {
        fs::write(&anchor, junk).unwrap();
        assert_corrupt(&path, "anchor");
    }
}

#[test]
fn data_without_an_anchor_is_damage() {
    let (_parent, path) = hub_with_data();
    fs::remove_file(path.join("anchor")).unwrap();
    assert_corrupt(&path, "no anchor");
}

#[test]
fn the_anchor_is_synced_once_a_second_and_survives_between() {
    static TICKS: AtomicU64 = AtomicU64::new(0);
    fn now() -> Instant {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        let start = START.get_or_init(SledOptions::default().now);
        *start + Duration::from_millis(TICKS.load(Ordering::Relaxed) * 400)
    }
    let parent = TempDir::new().unwrap();
    let path = parent.path().join("orders.db");
    let store = SledKv::open(
        &path,
        &SledOptions {
            now,
            ..SledOptions::default()
        },
    )
    .unwrap();
    for commit in 1..=9 {
        TICKS.fetch_add(1, Ordering::Relaxed);
        apply(&store, vec![put(b"a", &[commit])]);
        store.sync(mark(commit.into())).unwrap();
        // A torn write spoils only the slot that takes the notes: the other one holds what was
        // synced, with every third commit.
        let torn = store.writer.lock().anchor.unsynced_slot();
        let copy = parent.path().join("copy");
        super::copy_directory(&path, &copy);
        if let Some(slot) = torn {
            write_at(&copy.join("anchor"), slot * SLOT + 100, b"torn");
        }
        let found = open(&copy).unwrap().mark().unwrap().commit;
        assert_eq!(found, u64::from(commit) / 3 * 3, "after commit {commit}");
        fs::remove_dir_all(copy).unwrap();
    }
}

/// Makes the CRC of a changed slot right again.
fn seal(slot: &mut [u8]) {
    let crc = crc32fast::hash(&slot[..SLOT - 4]);
    slot[SLOT - 4..].copy_from_slice(&crc.to_be_bytes());
}

#[test]
fn what_sled_will_read_is_read_before_it() {
    let parent = TempDir::new().unwrap();
    let path = parent.path().join("orders.db");
    let store = open(&path).unwrap();
    for n in 0..600_u64 {
        apply(&store, vec![put(&n.to_be_bytes(), &[7; 16 << 10])]);
    }
    store.sync(mark(1)).unwrap();
    store.close().unwrap();
    let data = path.join("sled-1");
    let length = fs::metadata(data.join("db")).unwrap().len();
    let segments = usize::try_from(length).unwrap().div_ceil(SEGMENT);
    let all = readable::check(&data).unwrap();
    assert!(all >= 4 && all <= segments, "{all} of {segments}");

    // The snapshot that is written at this opening covers all but the last.
    open(&path).unwrap().close().unwrap();
    let uncovered = readable::check(&data).unwrap();
    assert!((1..3).contains(&uncovered), "{uncovered} of {segments}");

    // A directory is opened like a file, and cannot be read like one.
    fs::remove_file(data.join("db")).unwrap();
    fs::create_dir(data.join("db")).unwrap();
    assert!(readable::check(&data).is_err());
}

/// A power cut while the hub is opened: sled has overwritten what its new snapshot does not refer to,
/// and the snapshot has not got its name yet.
#[test]
fn a_snapshot_that_lacks_its_name_only_gets_it() {
    let parent = TempDir::new().unwrap();
    let [first, killed, cut] = ["first", "killed", "cut"].map(|name| parent.path().join(name));
    let segments = |path: &Path| {
        let db = fs::read(path.join("sled-1/db")).unwrap();
        db.chunks(SEGMENT)
            .filter(|segment| readable::place(&segment[..20]).is_some())
            .count()
    };
    let store = open(&first).unwrap();
    for commit in 1..=1_000_u64 {
        // A value that is there already is not written.
        let [key, byte] = [5, 251].map(|n| u8::try_from(commit % n).unwrap());
        apply(&store, vec![put(&[key], &vec![byte; 16_000])]);
    }
    store.sync(mark(1_000)).unwrap();
    copy_directory(&first, &killed);
    let before = segments(&killed);
    let opened = open(&killed).unwrap();
    copy_directory(&killed, &cut);
    let after = segments(&cut);
    assert!(
        after < before,
        "sled has overwritten nothing: {before} {after}"
    );
    opened.close().unwrap();
    store.close().unwrap();
    for (path, name) in snapshots::all(&cut.join("sled-1")).unwrap() {
        fs::rename(&path, path.with_file_name(format!("{name}.generating"))).unwrap();
    }

    let store = open(&cut).unwrap();
    assert_eq!(keys(&store, &[0], &[9]), [[0], [1], [2], [3], [4]]);
    assert_eq!(snapshots::all(&cut.join("sled-1")).unwrap().len(), 1);
    store.close().unwrap();
}
