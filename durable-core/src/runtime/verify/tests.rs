//! Damage to the records of a hub in a directory.

use std::ops::ControlFlow;
use std::path::Path;

use tempfile::TempDir;

use crate::runtime::TaskHub;
use crate::store::OpenError;
use crate::store::kv::backend::{KeyValue as _, Write};
use crate::store::kv::sled::{SledKv, SledOptions};

type Pair = (Vec<u8>, Vec<u8>);

/// Instances that have ended and one that waits.
async fn fill(path: &Path) {
    let hub = TaskHub::open(path).await.unwrap();
    let client = hub.client();
    for id in ["ended", "large", "waits"] {
        let input = format!(
            "\"{}\"",
            "x".repeat(if id == "large" { 40_000 } else { 10 })
        );
        client.start_by_name("any", input).id(id).await.unwrap();
    }
    client.raise_event("waits", "go", &1).await.unwrap();
    for id in ["ended", "large"] {
        client.terminate(id, "enough").await.unwrap();
    }
    hub.close().await.unwrap();
}

/// Does this to the records behind the hub's back.
fn change(path: &Path, writes: Vec<Write>) {
    let sled = SledKv::open(path, &SledOptions::default()).unwrap();
    sled.apply(sled.batch(writes)).unwrap();
    sled.close().unwrap();
}

fn pairs(path: &Path) -> Vec<Pair> {
    let sled = SledKv::open(path, &SledOptions::default()).unwrap();
    let mut pairs = Vec::new();
    sled.scan(b"", &[0xff], &mut |key, value| {
        pairs.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    })
    .unwrap();
    sled.close().unwrap();
    pairs
}

/// What is said of the hub, by who opens it or by the full check.
async fn said(path: &Path) -> Vec<String> {
    let hub = match TaskHub::open(path).await {
        Ok(hub) => hub,
        Err(error @ (OpenError::Corrupt { .. } | OpenError::RolledBack { .. })) => {
            return vec![error.to_string()];
        }
        Err(other) => panic!("{other}"),
    };
    let checked = hub.verify().await.unwrap();
    hub.close().await.unwrap();
    assert_eq!(checked.is_sound(), checked.damages.is_empty());
    checked.damages.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn no_change_of_any_record_goes_unnoticed() {
    let parent = TempDir::new().unwrap();
    let path = parent.path().join("orders.db");
    fill(&path).await;
    assert_eq!(said(&path).await, [""; 0]);
    let mut kinds = Vec::new();
    let sound = pairs(&path);
    for (key, value) in &sound {
        // Two of a kind are enough.
        kinds.push(key[0]);
        let so_far = kinds.iter().map(|kind| usize::from(*kind == key[0]));
        if so_far.sum::<usize>() > 2 {
            continue;
        }
        let mut other = key.clone();
        *other.last_mut().unwrap() ^= 8;
        let mut flipped = value.clone();
        flipped[value.len() / 2] ^= 1;
        let remove = Write::Remove(key.clone());
        let copy = Write::Put(other.clone(), value.clone());
        for writes in [
            vec![remove.clone()],
            vec![Write::Put(key.clone(), flipped)],
            vec![copy.clone()],
            vec![remove, copy],
        ] {
            let what = format!("{}: {writes:?}", key.escape_ascii());
            change(&path, writes);
            assert_ne!(said(&path).await, [""; 0], "{what}");
            let undo = vec![
                Write::Remove(other.clone()),
                Write::Put(key.clone(), value.clone()),
            ];
            change(&path, undo);
        }
    }
    kinds.dedup();
    assert_eq!(kinds, b"hijkmq");
    assert_eq!(said(&path).await, [""; 0]);
    assert_eq!(pairs(&path), sound);
}
