//! A commit that sled may have kept in part is completed, or the hub is refused.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::super::anchor::State;
use super::super::{SledKv, SledOptions, redo};
use super::{assert_corrupt, assert_whole, copy_directory, hub_with_data, open, pairs};
use crate::store::kv::backend::{KeyValue as _, Write};
use crate::store::kv::backend_conformance::{apply, mark, put, remove};

/// What sled was to do at once when it failed.
fn changes() -> Vec<Write> {
    vec![
        put(&[1], b"changed"),
        remove(&[2]),
        put(&[5], &[5; 16 << 10]),
        put(&[0xff; 8], b""),
    ]
}

/// A hub as a kill leaves it after one commit was applied and another kept in part.
fn torn_hub() -> (TempDir, PathBuf) {
    let (parent, path) = hub_with_data();
    let store = open(&path).unwrap();
    apply(&store, vec![put(&[3], b"before")]);
    {
        let mut writer = store.writer.lock();
        let generation = store.generation().unwrap();
        let mut half = store.batch(changes().split_off(2));
        generation.apply(&mut half).unwrap();
        writer
            .unsynced
            .append(&mut store.batch(changes()).into_log());
        writer.note_torn(&generation.directory);
        // That of the commit before may be written or not.
        generation.sync().unwrap();
    }
    let copy = path.with_extension("copy");
    copy_directory(&path, &copy);
    (parent, copy)
}

#[track_caller]
fn assert_completed(path: &Path) {
    let store = open(path).unwrap();
    let found = pairs(&store);
    let found: Vec<_> = found
        .iter()
        .map(|(key, value)| (&**key, &**value))
        .collect();
    let expected: [(&[u8], &[u8]); 5] = [
        (&[1], b"changed"),
        (&[3], b"before"),
        (&[4], b"record"),
        (&[5], &[5; 16 << 10]),
        (&[0xff; 8], b""),
    ];
    assert_eq!(found, expected);
    store.close().unwrap();
}

#[test]
fn it_is_completed_once() {
    let (_parent, path) = torn_hub();
    assert_completed(&path);
    assert_eq!(fs::read_dir(&path).unwrap().filter(is_redo).count(), 0);
    let store = open(&path).unwrap();
    apply(&store, vec![put(&[1], b"again"), remove(&[5])]);
    store.sync(mark(5)).unwrap();
    store.close().unwrap();
    drop(store);
    let store = open(&path).unwrap();
    assert_eq!(
        store.get(&[1]).unwrap().as_deref(),
        Some(b"again".as_slice())
    );
    assert_eq!(store.get(&[5]).unwrap(), None);
}

fn is_redo(entry: &std::io::Result<fs::DirEntry>) -> bool {
    let name = entry.as_ref().unwrap().file_name();
    name.to_string_lossy().starts_with("redo")
}

#[test]
fn completing_it_may_be_interrupted() {
    let (_parent, path) = torn_hub();
    let redo = fs::read(path.join("redo")).unwrap();
    assert_completed(&path);
    // As if it had died before the file was removed.
    fs::write(path.join("redo"), &redo).unwrap();
    let store = open(&path).unwrap();
    apply(&store, vec![put(&[1], b"again")]);
    store.sync(mark(5)).unwrap();
    store.close().unwrap();
    drop(store);
    let store = open(&path).unwrap();
    assert_eq!(
        store.get(&[1]).unwrap().as_deref(),
        Some(b"again".as_slice())
    );
}

#[test]
fn what_would_complete_it_is_missing_or_damaged() {
    let (_parent, path) = torn_hub();
    let redo = path.join("redo");
    let whole = fs::read(&redo).unwrap();
    for at in (0..whole.len()).step_by(997).chain([whole.len() - 1]) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        fs::write(&redo, flipped).unwrap();
        assert_corrupt(&path, "in part");
        fs::write(&redo, &whole[..at]).unwrap();
        assert_corrupt(&path, "in part");
    }
    fs::remove_file(&redo).unwrap();
    assert_corrupt(&path, "in part");
    fs::write(&redo, whole).unwrap();
    assert_completed(&path);
}

#[test]
fn that_of_another_commit_does_not_complete_it() {
    let (_parent, path) = torn_hub();
    let batch = redo::read(&path, 4).unwrap().unwrap();
    redo::write(&path, 3, batch.into_log().iter()).unwrap();
    assert_corrupt(&path, "in part");
}

#[test]
fn a_batch_kept_in_part_is_damage() {
    let (_parent, path) = hub_with_data();
    let store = open(&path).unwrap();
    store.writer.lock().anchor.set_state(State::Torn).unwrap();
    store.close().unwrap();
    assert_corrupt(&path, "in part");
}

#[test]
fn a_batch_kept_in_part_is_given_up_once_a_commit_follows() {
    let (_parent, path) = hub_with_data();
    let store = open(&path).unwrap();
    store.writer.lock().anchor.set_state(State::Torn).unwrap();
    store.close().unwrap();
    drop(store);
    let accepting = SledOptions {
        accept_loss: true,
        ..SledOptions::default()
    };
    for _ in 0..2 {
        let store = SledKv::open(&path, &accepting).unwrap();
        store.close().unwrap();
        drop(store);
        assert_corrupt(&path, "in part");
    }
    let store = SledKv::open(&path, &accepting).unwrap();
    store.sync(mark(4)).unwrap();
    // As a kill would.
    let copy = path.with_extension("copy");
    copy_directory(&path, &copy);
    assert_whole(&copy);
}
