mod backup;
mod compaction;
mod creation;
mod damage;
mod opening;
mod reuse;
mod torn;
mod world;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use super::steps::{Step, Steps};
use super::{SledKv, SledOptions};
use crate::store::OpenError;
use crate::store::kv::backend::KeyValue as _;
use crate::store::kv::backend_conformance::{self, apply, keys, mark, put};

/// A model of what a store holds.
type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

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

/// A store whose observer `at` is told of every step of a copy.
fn open_observed(
    path: &Path,
    at: impl Fn(Step) -> io::Result<()> + Send + Sync + 'static,
) -> SledKv {
    let steps = Steps {
        observer: Some(Arc::new(at)),
    };
    let options = SledOptions {
        steps,
        // It would only be copied again and again.
        ballast: 0,
        ..SledOptions::default()
    };
    SledKv::open(path, &options).unwrap()
}

/// Everything in a store.
fn pairs(store: &SledKv) -> Pairs {
    let mut pairs = Pairs::new();
    store
        .scan(&[], &[0xff; 9], &mut |key, value| {
            pairs.insert(key.to_vec(), value.to_vec());
            ControlFlow::Continue(())
        })
        .unwrap();
    pairs
}

/// The generations in a hub's directory.
fn generations(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.starts_with("sled-")).collect();
    names.sort();
    names
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
