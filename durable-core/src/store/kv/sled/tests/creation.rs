//! A crash while a hub is created leaves something that opens as a new hub.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::super::anchor::{Anchor, State};
use super::super::engine::SEGMENT;
use super::{SledOptions, assert_corrupt, assert_whole, hub_with_data, open};
use crate::store::kv::backend::KeyValue as _;
use crate::store::kv::backend_conformance::{apply, mark, put};

#[test]
fn missing_directories_above_are_created() {
    let parent = TempDir::new().unwrap();
    check_new(&parent.path().join("a/b/orders.db"));
}

#[test]
fn an_empty_directory_becomes_a_hub() {
    check_new(TempDir::new().unwrap().path());
}

#[test]
fn a_crash_before_the_anchor_leaves_a_new_hub() {
    let parent = TempDir::new().unwrap();
    fs::write(parent.path().join("lock"), "").unwrap();
    fs::write(parent.path().join("anchor.new"), "half an anch").unwrap();
    check_new(parent.path());
}

#[test]
fn a_crash_after_the_anchor_leaves_a_new_hub() {
    let parent = TempDir::new().unwrap();
    new_anchor(parent.path());
    check_new(parent.path());
}

#[test]
fn a_crash_while_sled_makes_its_files_leaves_a_new_hub() {
    let pieces: [&[(&str, &[u8])]; 6] = [
        &[],
        &[("conf", b"")],
        &[("conf", &[0; 63])],
        &[("conf", b"segment_si"), ("db", b"")],
        &[("conf", &[0; 63]), ("db", &[0; 109])],
        &[
            ("db", b"junk"),
            ("snap.0000000000000001.generating", b"half"),
            ("snap.0000000000000001", b""),
        ],
    ];
    for files in pieces {
        let parent = TempDir::new().unwrap();
        new_anchor(parent.path());
        let data = parent.path().join("sled-1");
        fs::create_dir_all(data.join("blobs")).unwrap();
        for (name, content) in files {
            fs::write(data.join(name), content).unwrap();
        }
        check_new(parent.path());
    }
}

#[test]
fn a_crash_before_the_last_step_leaves_a_new_hub() {
    let parent = TempDir::new().unwrap();
    let store = open(parent.path()).unwrap();
    let hub = store.identity();
    store
        .writer
        .lock()
        .anchor
        .set_state(State::Creating)
        .unwrap();
    store.close().unwrap();
    drop(store);
    assert_eq!(open(parent.path()).unwrap().identity(), hub);
    check_new(parent.path());
}

#[test]
fn an_anchor_that_denies_existing_data_is_damage() {
    let (_parent, path) = hub_with_data();
    let data = path.join("sled-1/db");
    fs::write(&data, vec![0; SEGMENT + 1]).unwrap();
    fs::remove_file(path.join("anchor")).unwrap();
    new_anchor(&path);
    assert_corrupt(&path, "holds data");
    assert!(data.exists());
}

#[test]
fn a_hub_is_not_created_twice() {
    let (_parent, path) = hub_with_data();
    for piece in ["sled-1/conf", "sled-1/db", "sled-1/blobs", "sled-1"] {
        let aside = path.with_extension("aside");
        fs::rename(path.join(piece), &aside).unwrap();
        assert_corrupt(&path, "missing");
        assert!(!path.join(piece).exists(), "{piece} was made anew");
        fs::rename(&aside, path.join(piece)).unwrap();
    }
    assert_whole(&path);
}

fn new_anchor(directory: &Path) {
    let now = (SledOptions::default().now)();
    let file = directory.join("anchor");
    Anchor::create(&file, [7; 16], State::Creating, mark(0), now).unwrap();
}

/// Opens a hub without data and uses it twice.
#[track_caller]
fn check_new(path: &Path) {
    let store = open(path).unwrap();
    let hub = store.identity();
    assert_eq!(store.mark().unwrap(), mark(0));
    assert_eq!(store.get(b"a").unwrap(), None);
    apply(&store, vec![put(b"a", b"1")]);
    store.sync(mark(1)).unwrap();
    store.close().unwrap();

    let store = open(path).unwrap();
    assert_eq!((store.identity(), store.mark()), (hub, Some(mark(1))));
    assert_eq!(store.get(b"a").unwrap().as_deref(), Some(b"1".as_slice()));
}
