mod creation;
mod damage;
mod opening;

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{SledKv, SledOptions};
use crate::store::OpenError;
use crate::store::kv::backend::KeyValue as _;
use crate::store::kv::backend_conformance::{self, apply, keys, mark, put};

#[test]
fn behaves_like_every_backend() {
    backend_conformance::check(|| {
        let parent = TempDir::new().unwrap();
        move || open(&parent.path().join("orders.db")).unwrap()
    });
}

fn open(path: &Path) -> Result<SledKv, OpenError> {
    SledKv::open(path, &SledOptions::default())
}

/// A closed hub with the synced commits 1 to 4, each with one record.
fn hub_with_data() -> (TempDir, PathBuf) {
    let parent = TempDir::new().unwrap();
    let path = parent.path().join("orders.db");
    let store = open(&path).unwrap();
    for commit in 1..=4 {
        apply(&store, vec![put(&[commit], b"record")]);
        store.sync(mark(commit.into())).unwrap();
    }
    store.close().unwrap();
    (parent, path)
}

/// Opens what [`hub_with_data`] has made and finds everything.
#[track_caller]
fn assert_whole(path: &Path) {
    let store = open(path).unwrap();
    assert_eq!(keys(&store, &[0], &[9]), [[1], [2], [3], [4]]);
    assert_eq!(store.mark(), Some(mark(4)));
    store.close().unwrap();
}

#[track_caller]
fn assert_corrupt(path: &Path, expected: &str) {
    match open(path) {
        Err(OpenError::Corrupt { detail, .. }) => assert!(detail.contains(expected), "{detail}"),
        other => panic!("{other:?} instead of damage"),
    }
}

fn write_at(file: &Path, at: usize, bytes: &[u8]) {
    let mut content = fs::read(file).unwrap();
    content[at..at + bytes.len()].copy_from_slice(bytes);
    fs::write(file, content).unwrap();
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_directory(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
