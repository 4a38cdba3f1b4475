//! What every [`KeyValue`] backend must do. A backend's tests call [`check`].
//!
//! Batches that were not synced may be kept or forgotten at the next open; nothing here depends on
//! it. Every synced state has at least one key, which backends may ask for.

use std::ops::ControlFlow;

use super::backend::{KeyValue, Mark, Write};
use crate::store::{CopyError, StoreError};

/// Runs the suite. `fresh` makes new storage and returns what opens it, again and again.
pub(crate) fn check<K: KeyValue, Open: Fn() -> K>(fresh: impl Fn() -> Open) {
    a_fresh_store_is_empty(&fresh()());
    a_batch_is_seen_at_once(&fresh()());
    the_later_write_of_a_key_wins(&fresh()());
    scans_go_in_key_order_within_bounds(&fresh()());
    scans_stop_when_told(&fresh()());
    scans_cross_many_pages(&fresh()());
    scans_cross_runs_of_the_highest_byte(&fresh()());
    values_of_every_allowed_length_come_back(&fresh());
    synced_data_comes_back(&fresh());
    the_mark_comes_back(&fresh());
    compaction_keeps_everything(&fresh());
    an_identity_is_kept_and_is_its_own(&fresh(), &fresh());
    a_closed_store_refuses(&fresh()());
}

fn a_fresh_store_is_empty<K: KeyValue>(store: &K) {
    assert_eq!(store.get(b"a").unwrap(), None);
    assert_eq!(keys(store, b"", b"\xff"), Vec::<Vec<u8>>::new());
    assert_eq!(store.mark().unwrap_or_default(), Mark::default());
    store.apply(store.batch(Vec::new())).unwrap();
    assert_eq!(keys(store, b"", b"\xff"), Vec::<Vec<u8>>::new());
}

fn a_batch_is_seen_at_once<K: KeyValue>(store: &K) {
    apply(
        store,
        vec![put(b"a", b"1"), put(b"b", b""), put(b"", b"empty key")],
    );
    assert_eq!(store.get(b"a").unwrap().as_deref(), Some(b"1".as_slice()));
    assert_eq!(store.get(b"b").unwrap().as_deref(), Some(b"".as_slice()));
    assert_eq!(
        store.get(b"").unwrap().as_deref(),
        Some(b"empty key".as_slice())
    );

    apply(
        store,
        vec![remove(b"a"), put(b"b", b"2"), remove(b"never there")],
    );
    assert_eq!(store.get(b"a").unwrap(), None);
    assert_eq!(store.get(b"b").unwrap().as_deref(), Some(b"2".as_slice()));
}

fn the_later_write_of_a_key_wins<K: KeyValue>(store: &K) {
    let writes = [
        put(b"a", b"1"),
        put(b"a", b"2"),
        put(b"b", b"1"),
        remove(b"b"),
        remove(b"c"),
        put(b"c", b"1"),
    ];
    apply(store, writes.to_vec());
    assert_eq!(store.get(b"a").unwrap().as_deref(), Some(b"2".as_slice()));
    assert_eq!(store.get(b"b").unwrap(), None);
    assert_eq!(store.get(b"c").unwrap().as_deref(), Some(b"1".as_slice()));
}

fn scans_go_in_key_order_within_bounds<K: KeyValue>(store: &K) {
    let sorted: [&[u8]; 6] = [b"a", b"a\0", b"a\0\0", b"a\xff", b"b", b"b\xff\xff"];
    apply(
        store,
        sorted.iter().rev().map(|key| put(key, key)).collect(),
    );

    assert_eq!(keys(store, b"", b"\xff"), sorted);
    assert_eq!(
        keys(store, b"a", b"b"),
        sorted[..4],
        "the start is in, the end is not"
    );
    assert_eq!(keys(store, b"a\0", b"a\xff"), sorted[1..3]);
    assert_eq!(keys(store, b"aa", b"ab"), Vec::<Vec<u8>>::new());
    assert_eq!(
        keys(store, b"a", b"a"),
        Vec::<Vec<u8>>::new(),
        "nothing is before its own start"
    );
    assert_eq!(
        keys(store, b"b", b"a"),
        Vec::<Vec<u8>>::new(),
        "a reversed range is empty"
    );
    store
        .scan(b"", b"\xff", &mut |key, value| {
            assert_eq!(key, value);
            ControlFlow::Continue(())
        })
        .unwrap();
}

fn scans_stop_when_told<K: KeyValue>(store: &K) {
    apply(store, (0..9).map(|n| put(&[n], b"")).collect());
    let mut seen = Vec::new();
    let mut two = |key: &[u8], _: &[u8]| {
        seen.push(key[0]);
        if seen.len() % 2 == 0 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    store.scan(&[3], &[9], &mut two).unwrap();
    store.scan_back(&[0], &[6], &mut two).unwrap();
    assert_eq!(seen, [3, 4, 5, 4]);
}

fn scans_cross_many_pages<K: KeyValue>(store: &K) {
    let key = |n: u32| [b"k".as_slice(), &n.to_be_bytes()].concat();
    // Written out of order, and every third removed again.
    apply(
        store,
        (0..3000)
            .map(|n| put(&key(n * 7 % 3000), b"value"))
            .collect(),
    );
    apply(
        store,
        (0..3000).step_by(3).map(|n| remove(&key(n))).collect(),
    );
    let expected: Vec<_> = (0..3000).filter(|n| n % 3 != 0).map(key).collect();
    assert_eq!(keys(store, b"k", b"l"), expected);
    assert_eq!(keys(store, &key(100), &key(2000)), expected[66..1333]);
}

/// Numbers near their maximum end up as such runs, and engines that guess at neighbours trip there.
fn scans_cross_runs_of_the_highest_byte<K: KeyValue>(store: &K) {
    let mut expected = Vec::new();
    for run in 0..10 {
        for (byte, fill) in [(1, 0xff), (2, 0)] {
            expected.extend(
                (0..60).map(|n| [&[run, byte], [fill; 10][..run.into()].as_ref(), &[n]].concat()),
            );
        }
    }
    for key in &expected {
        apply(store, vec![put(key, key)]);
    }
    assert_eq!(keys(store, b"", b"\xff"), expected);
    for key in &expected {
        assert_eq!(store.get(key).unwrap().as_deref(), Some(key.as_slice()));
        assert_eq!(
            keys(store, key, &[key.as_slice(), &[0]].concat()),
            [key.as_slice()]
        );
    }
}

fn values_of_every_allowed_length_come_back<K: KeyValue>(open: &impl Fn() -> K) {
    let store = open();
    let most = store.max_value();
    let lengths = [0, 1, 1000, most / 2, most - 1, most];
    let value = |length: usize| {
        (0..length)
            .map(|at| at.to_le_bytes()[0])
            .collect::<Vec<_>>()
    };
    apply(
        &store,
        lengths
            .iter()
            .map(|&length| put(&length.to_be_bytes(), &value(length)))
            .collect(),
    );
    let check = |store: &K| {
        for length in lengths {
            let found = store
                .get(&length.to_be_bytes())
                .unwrap()
                .expect("it was put");
            assert!(found == value(length), "a value of {length} bytes");
        }
    };
    check(&store);
    store.sync(mark(1)).unwrap();
    drop(store);
    check(&open());
}

fn synced_data_comes_back<K: KeyValue>(open: &impl Fn() -> K) {
    for close in [false, true] {
        let store = open();
        apply(&store, vec![put(b"kept", b"1"), put(b"gone", b"1")]);
        store.sync(mark(1)).unwrap();
        apply(&store, vec![put(b"kept", b"2"), remove(b"gone")]);
        apply(&store, vec![put(b"late", b"2")]);
        store.sync(mark(2)).unwrap();
        if close {
            store.close().unwrap();
        }
        drop(store);

        let store = open();
        assert_eq!(
            store.get(b"kept").unwrap().as_deref(),
            Some(b"2".as_slice())
        );
        assert_eq!(store.get(b"gone").unwrap(), None);
        assert_eq!(keys(&store, b"", b"\xff"), [b"kept", b"late"]);
    }
}

fn the_mark_comes_back<K: KeyValue>(open: &impl Fn() -> K) {
    for commit in 1..5 {
        let store = open();
        apply(&store, vec![put(b"a", b"1")]);
        store.sync(mark(commit * 10)).unwrap();
        store.sync(mark(commit * 10 + 1)).unwrap();
        if commit % 2 == 0 {
            store.close().unwrap();
        }
        drop(store);
        // A backend that knows nothing from outside its data says so.
        let found = open().mark();
        assert!(
            found.is_none() || found == Some(mark(commit * 10 + 1)),
            "{found:?}"
        );
    }
}

fn compaction_keeps_everything<K: KeyValue>(open: &impl Fn() -> K) {
    let store = open();
    for round in 1..4 {
        apply(&store, (0..99).map(|n| put(&[n], &[round])).collect());
        apply(&store, (0..99).step_by(3).map(|n| remove(&[n])).collect());
        store.sync(mark(round.into())).unwrap();
        store.compact().unwrap();
        let expected: Vec<_> = (0..99).filter(|n| n % 3 != 0).map(|n| [n]).collect();
        assert_eq!(keys(&store, &[0], &[99]), expected);
        assert_eq!(
            store.get(&[1]).unwrap().as_deref(),
            Some([round].as_slice())
        );
    }
    drop(store);
    let store = open();
    assert_eq!(store.get(&[1]).unwrap().as_deref(), Some([3].as_slice()));
    assert_eq!(keys(&store, &[0], &[99]).len(), 66);
}

fn an_identity_is_kept_and_is_its_own<K: KeyValue>(
    open: &impl Fn() -> K,
    open_other: &impl Fn() -> K,
) {
    let first = open().identity();
    assert_eq!(open().identity(), first);
    assert_ne!(open_other().identity(), first);
}

fn a_closed_store_refuses<K: KeyValue>(store: &K) {
    apply(store, vec![put(b"a", b"1")]);
    store.sync(mark(1)).unwrap();
    store.close().unwrap();
    let refused = [
        store.get(b"a").map(drop),
        store.scan(b"", b"b", &mut |_, _| panic!("it is closed")),
        store.scan_back(b"", b"b", &mut |_, _| panic!("it is closed")),
        store.apply(store.batch(vec![put(b"a", b"2")])),
        store.sync(mark(2)),
    ];
    assert!(matches!(store.compact(), Err(CopyError::Closed)));
    for result in refused {
        assert!(
            matches!(result, Err(StoreError::Fatal { .. })),
            "{result:?}"
        );
    }
}

pub(crate) fn put(key: &[u8], value: &[u8]) -> Write {
    Write::Put(key.to_vec(), value.to_vec())
}

pub(crate) fn remove(key: &[u8]) -> Write {
    Write::Remove(key.to_vec())
}

pub(crate) fn mark(commit: u64) -> Mark {
    Mark {
        commit,
        created: commit / 2,
        purged: commit / 3,
    }
}

#[track_caller]
pub(crate) fn apply<K: KeyValue>(store: &K, writes: Vec<Write>) {
    store.apply(store.batch(writes)).unwrap();
}

/// The keys of a range, which must be the same from both ends.
#[track_caller]
pub(crate) fn keys<K: KeyValue>(store: &K, from: &[u8], to: &[u8]) -> Vec<Vec<u8>> {
    let mut forward = Vec::new();
    store
        .scan(from, to, &mut |key, _| {
            forward.push(key.to_vec());
            ControlFlow::Continue(())
        })
        .unwrap();
    let mut back = Vec::new();
    store
        .scan_back(from, to, &mut |key, _| {
            back.push(key.to_vec());
            ControlFlow::Continue(())
        })
        .unwrap();
    back.reverse();
    assert_eq!(forward, back);
    forward
}
