//! What every [`Store`] must do, in the engine's own terms.

mod children;
mod listing;
mod turns;

use std::path::Path;

use tempfile::TempDir;

use crate::history::{Action, Event, Letter, Started, Step, Turn, encode_turn};
use crate::id::{CallId, EventName, ExecutionId, InstanceId, InstanceNumber};
use crate::payload::Payload;
use crate::store::kv::backend::{KeyValue, Write};
use crate::store::kv::memory::MemoryKv;
use crate::store::kv::sled::{SledKv, SledOptions};
use crate::store::kv::{KvStore, turn_key};
use crate::store::{
    AcceptedLoss, Aside as _, Attempts, Header, InstanceKey, Kind, List, Op, OpenError, Recovered,
    Report, RuntimeStatus, StatusDetail, Store, StoreError, Stored, TimerKey, TimerKind,
};
use crate::time::Timestamp;

#[test]
fn memory_does_what_every_store_must() {
    check(|| {
        let memory = MemoryKv::default();
        move || open(memory.clone()).unwrap()
    });
}

#[test]
fn sled_does_what_every_store_must() {
    check(|| {
        let parent = TempDir::new().unwrap();
        move || {
            let path = parent.path().join("orders.db");
            let sled = SledKv::open(&path, &SledOptions::default()).unwrap();
            KvStore::open(sled, &path).unwrap()
        }
    });
}

/// Of an instance's messages.
const ALL: usize = usize::MAX;

/// Runs the suite. `fresh` makes new storage and returns what opens it, again and again.
fn check<S: Store, Open: Fn() -> S>(fresh: impl Fn() -> Open) {
    a_fresh_store_has_nothing(&fresh());
    an_instance_comes_back_as_it_was_put(&fresh());
    what_is_pending_is_known_by_its_start(&fresh());
    a_glimpse_shows_first_and_last(&fresh());
    a_glimpse_shows_the_first_reports_of_one_that_is_active(&fresh());
    of_what_has_ended_only_a_glimpse_is_left(&fresh());
    the_last_word_of_a_commit_holds(&fresh());
    timers_come_in_order_and_in_pages(&fresh());
    messages_are_kept_in_order_until_they_are_taken(&fresh());
    attempts_are_replaced_and_removed(&fresh());
    letters_are_kept_in_order_until_they_are_taken(&fresh());
    an_execution_that_was_continued_leaves_nothing(&fresh());
    who_is_active_is_known_after_any_number_of_changes(&fresh());
    turns_of_any_size_come_back(&fresh());
    ids_that_look_alike_are_apart(&fresh());
    listing::a_list_shows_what_matches(&fresh());
    listing::a_list_is_as_new_as_the_history(&fresh());
    listing::pages_lack_nothing_that_is_there_all_the_time(&fresh());
    listing::few_are_found_among_many(&fresh());
    turns::turns_are_read_in_pieces(&fresh());
    children::children_are_found_piece_by_piece(&fresh());
    turns::of_another_execution_or_life_nothing_is_read(&fresh());
    a_purged_instance_is_gone_and_its_neighbours_are_not(&fresh());
    an_active_instance_that_is_gone_is_damage(&fresh());
    a_gap_in_a_history_is_damage(&fresh());
}

/// Looks at a store as it is, and again after it was closed and opened.
fn and_reopened<S: Store>(store: S, open: &impl Fn() -> S, look: impl Fn(&S)) {
    look(&store);
    store.close().unwrap();
    drop(store);
    look(&open());
}

fn a_fresh_store_has_nothing<S: Store>(open: &impl Fn() -> S) {
    let store = open();
    let first = store.recover().unwrap();
    and_reopened(store, open, |store| {
        let again = store.recover().unwrap();
        assert!((again.hub, again.signing_key) == (first.hub, first.signing_key));
        let Recovered {
            commit,
            created,
            active,
            ..
        } = again;
        assert_eq!((commit, created, active.as_slice()), (0, 0, [].as_slice()));
        assert_eq!(store.load(&by_id("x"), ALL).unwrap(), None);
        assert_eq!(store.load(&by_number(0), ALL).unwrap(), None);
        assert_eq!(store.glimpse(&id("x")).unwrap(), None);
        assert_eq!(store.timers(None, 10).unwrap(), []);
    });
}

fn an_instance_comes_back_as_it_was_put<S: Store>(open: &impl Fn() -> S) {
    let store = open();
    let attempts = Attempts {
        failed: 2,
        due: Some(Timestamp(9)),
        state: Some(Payload::NULL),
        progress: Some(report(2)),
    };
    let stored = Stored {
        header: Header {
            custom_status: Some(json("\"busy\"")),
            ..header("x", 0, RuntimeStatus::Running, 2)
        },
        turns: vec![first_turn("x"), turn(2)],
        messages: vec![(0, event(0)), (1, event(1))],
        more_messages: false,
        attempts: vec![(CallId(3), attempts.clone())],
        active: true,
        turn_lens: [first_turn("x"), turn(2)]
            .iter()
            .map(|turn| u32::try_from(encode_turn(turn).unwrap().len()).unwrap())
            .collect(),
    };
    commit(
        &store,
        1,
        vec![
            append(0, 1, &stored.turns[0]),
            put(&header("x", 0, RuntimeStatus::Running, 1)),
        ],
    );
    commit(
        &store,
        2,
        vec![
            append(0, 2, &stored.turns[1]),
            message(0, 0),
            message(0, 1),
            Op::PutAttempts {
                number: InstanceNumber(0),
                execution: ExecutionId(0),
                call: CallId(3),
                attempts,
            },
            active(0, true),
            replace(&header("x", 0, RuntimeStatus::Running, 1), &stored.header),
        ],
    );
    and_reopened(store, open, |store| {
        for key in [by_id("x"), by_number(0)] {
            assert_eq!(store.load(&key, ALL).unwrap().as_ref(), Some(&stored));
        }
        assert_eq!(store.load(&by_id("y"), ALL).unwrap(), None);
        assert_eq!(store.load(&by_number(1), ALL).unwrap(), None);
        let recovered = store.recover().unwrap();
        assert_eq!((recovered.commit, recovered.created), (2, 1));
        assert_eq!(recovered.active, [InstanceNumber(0)]);
    });
}

fn what_is_pending_is_known_by_its_start<S: Store>(open: &impl Fn() -> S) {
    let store = open();
    let pending = header("x", 0, RuntimeStatus::Pending, 0);
    let start = Op::PutMessage {
        number: InstanceNumber(0),
        seq: 0,
        event: started("x"),
    };
    commit(&store, 1, vec![put(&pending), start, active(0, true)]);
    and_reopened(store, open, |store| {
        let stored = store.load(&by_number(0), ALL).unwrap().unwrap();
        assert_eq!(stored.header, pending);
        assert_eq!(stored.messages, [(0, started("x"))]);
        assert_eq!(stored.turns, []);
        let glimpse = store.glimpse(&id("x")).unwrap().unwrap();
        assert_eq!(glimpse.header, pending);
        assert_eq!(glimpse.first_message, Some(started("x")));
        assert_eq!((glimpse.first_turn, glimpse.last_turn), (None, None));
    });
}

fn a_glimpse_shows_first_and_last<S: Store>(open: &impl Fn() -> S) {
    let store = open();
    commit(
        &store,
        1,
        vec![
            append(0, 1, &first_turn("x")),
            put(&header("x", 0, RuntimeStatus::Running, 1)),
            active(0, true),
        ],
    );
    // The header of one that is active is not rewritten with every turn.
    commit(&store, 2, vec![append(0, 2, &turn(2))]);
    commit(&store, 3, vec![append(0, 3, &turn(3))]);
    let shown = |store: &S, turns| {
        let glimpse = store.glimpse(&id("x")).unwrap().unwrap();
        assert_eq!(glimpse.header.turns, turns);
        assert_eq!(glimpse.header.updated, turn(turns).time);
        assert_eq!(glimpse.first_turn, Some(first_turn("x")));
        assert_eq!(glimpse.first_message, None);
        glimpse.last_turn
    };
    assert_eq!(shown(&store, 3), None);
    let running = header("x", 0, RuntimeStatus::Running, 1);
    let ended = header("x", 0, RuntimeStatus::Failed, 4);
    commit(
        &store,
        4,
        vec![
            append(0, 4, &turn(4)),
            replace(&running, &ended),
            active(0, false),
        ],
    );
    and_reopened(store, open, |store| {
        assert_eq!(shown(store, 4), Some(turn(4)));
    });
}

fn a_glimpse_shows_the_first_reports_of_one_that_is_active<S: Store>(open: &impl Fn() -> S) {
    let store = open();
    let attempts = |number, call, has_reported: bool| Op::PutAttempts {
        number: InstanceNumber(number),
        execution: ExecutionId(0),
        call: CallId(call),
        attempts: Attempts {
            failed: 1,
            progress: has_reported.then(|| report(call)),
            ..Attempts::default()
        },
    };
    let mut ops = vec![
        append(0, 1, &first_turn("x")),
        put(&header("x", 0, RuntimeStatus::Running, 1)),
        active(0, true),
        append(1, 1, &first_turn("y")),
        put(&header("y", 1, RuntimeStatus::Running, 1)),
        active(1, true),
    ];
    ops.extend((0..2_000).map(|call| attempts(0, call, call % 2 == 1)));
    ops.extend((0..2_000).map(|call| attempts(1, call, call >= 990)));
    commit(&store, 1, ops);
    and_reopened(store, open, |store| {
        let shown = |name| store.glimpse(&id(name)).unwrap().unwrap().reports;
        let reports = |calls: &mut dyn Iterator<Item = u32>| -> Vec<_> {
            calls.map(|call| (CallId(call), report(call))).collect()
        };
        assert_eq!(shown("x"), reports(&mut (1..200).step_by(2)));
        assert_eq!(shown("y"), reports(&mut (990..1_000)));
        let detail = StatusDetail::ALL.progress(false);
        let without = store.glimpse_of(&id("x"), detail).unwrap().unwrap();
        assert!(without.reports.is_empty() && without.first_turn.is_some());
    });
}

fn of_what_has_ended_only_a_glimpse_is_left<S: Store>(open: &impl Fn() -> S) {
    let store = open();
    let ended = header("x", 0, RuntimeStatus::Completed, 1);
    commit(
        &store,
        1,
        vec![append(0, 1, &first_turn("x")), put(&ended), message(0, 0)],
    );
    and_reopened(store, open, |store| {
        let stored = store.load(&by_id("x"), ALL).unwrap().unwrap();
        assert_eq!(stored.header, ended);
        assert_eq!(stored.turns, []);
        let glimpse = store.glimpse(&id("x")).unwrap().unwrap();
        assert_eq!(glimpse.first_turn, glimpse.last_turn);
    });
}

fn the_last_word_of_a_commit_holds<S: Store>(open: &impl Fn() -> S) {
    let store = open();
    let pending = header("x", 0, RuntimeStatus::Pending, 0);
    commit(
        &store,
        1,
        vec![
            active(0, true),
            put(&pending),
            append(0, 1, &first_turn("x")),
            replace(&pending, &header("x", 0, RuntimeStatus::Running, 1)),
            message(0, 0),
            take(0, 0),
            Op::PutTimer(timer(5, 0)),
            Op::RemoveTimer(timer(5, 0)),
            active(0, false),
        ],
    );
    and_reopened(store, open, |store| {
        let stored = store.load(&by_id("x"), ALL).unwrap().unwrap();
        assert_eq!(stored.header.status, RuntimeStatus::Running);
        assert_eq!(stored.messages, []);
        assert!(!stored.active);
        assert_eq!(store.timers(None, 10).unwrap(), []);
        assert_eq!(store.recover().unwrap().active, []);
    });
}

fn timers_come_in_order_and_in_pages<S: Store>(open: &impl Fn() -> S) {
    let store = open();
    // Times that sort otherwise as text, several of one time, and every kind of one call.
    let mut all: Vec<_> = [0, 1, 2, 255, 256, 65_536, 1 << 40, u64::MAX]
        .into_iter()
        .flat_map(|due| {
            [0, 7, u64::MAX - 1].map(|number| {
                [TimerKind::Orchestrator, TimerKind::Retry, TimerKind::Start].map(|kind| TimerKey {
                    kind,
                    ..timer(due, number)
                })
            })
        })
        .flatten()
        .collect();
    let puts = all.iter().rev().copied().map(Op::PutTimer).collect();
    commit(&store, 1, puts);
    let gone: Vec<_> = all.iter().copied().step_by(5).collect();
    commit(
        &store,
        2,
        gone.iter().copied().map(Op::RemoveTimer).collect(),
    );
    all.retain(|timer| !gone.contains(timer));
    and_reopened(store, open, |store| {
        for limit in [1, 7, all.len(), 1000] {
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let page = store.timers(after, limit).unwrap();
                assert!(page.len() <= limit);
                after = page.last().copied();
                if after.is_none() {
                    break;
                }
                seen.extend(page);
            }
            assert_eq!(seen, all, "in pages of {limit}");
        }
        // After one that is gone comes the one that was next.
        assert_eq!(store.timers(Some(gone[0]), 1).unwrap(), all[..1]);
    });
}

fn messages_are_kept_in_order_until_they_are_taken<S: Store>(open: &impl Fn() -> S) {
    let store = open();
    let mut ops = vec![append(0, 1, &first_turn("x"))];
    ops.push(put(&header("x", 0, RuntimeStatus::Running, 1)));
    ops.extend((0..300).map(|seq| message(0, seq)));
    // The neighbour's are not its own.
    ops.extend((0..3).map(|seq| message(1, seq)));
    commit(&store, 1, ops);
    commit(
        &store,
        2,
        (0..300)
            .filter(|n| n % 3 != 0)
            .map(|n| take(0, n))
            .collect(),
    );
    and_reopened(store, open, |store| {
        let stored = store.load(&by_id("x"), ALL).unwrap().unwrap();
        let expected: Vec<_> = (0..300).step_by(3).map(|n| (n, event(n))).collect();
        assert_eq!(stored.messages, expected);
        assert!(!stored.more_messages);
        for limit in [1, 7, 99, 100, 101] {
            let mut stored = store.load(&by_id("x"), limit).unwrap().unwrap();
            assert_eq!(stored.more_messages, limit < 100);
            while stored.messages.len() < 100 {
                let (last, _) = stored.messages[stored.messages.len() - 1];
                let more = store.messages(stored.header.number, last, limit).unwrap();
                assert!(!more.is_empty() && more.len() <= limit);
                stored.messages.extend(more);
            }
            assert_eq!(stored.messages, expected);
            assert_eq!(
                store.messages(stored.header.number, 297, limit).unwrap(),
                []
            );
        }
    });
}

fn letters_are_kept_in_order_until_they_are_taken<S: Store>(open: &impl Fn() -> S) {
    let store = open();
    let letter = |n: u64| Letter::Event {
        to: InstanceId::new(format!("i{n}")).unwrap(),
        name: EventName::new("go"),
        // Some take several chunks.
        data: json(&format!(
            "\"{}\"",
            "x".repeat(if n % 10 == 9 { 50_000 } else { 1 })
        )),
    };
    let put = |seq| Op::PutLetter {
        seq,
        letter: letter(seq),
    };
    let take = |seq| Op::TakeLetter {
        seq,
        len: letter(seq).len(),
    };
    assert_eq!(store.recover().unwrap().letters, []);
    commit(&store, 1, (0..300).map(put).collect());
    commit(
        &store,
        2,
        (0..300).filter(|n| n % 3 != 0).map(take).collect(),
    );
    and_reopened(store, open, |store| {
        let expected: Vec<_> = (0..300).step_by(3).map(|n| (n, letter(n))).collect();
        assert_eq!(store.recover().unwrap().letters, expected);
        let verification = store.verify(&mut |_| Ok(())).unwrap();
        assert_eq!(verification.damages, []);
    });
}

fn an_execution_that_was_continued_leaves_nothing<S: Store>(open: &impl Fn() -> S) {
    let store = open();
    let old = header("x", 0, RuntimeStatus::Running, 2);
    let turns = [first_turn("x"), turn(99)];
    commit(
        &store,
        1,
        vec![append(0, 1, &turns[0]), append(0, 2, &turns[1]), put(&old)],
    );
    let drop_turn = |n: u32, turn: &Turn| Op::DropTurn {
        number: InstanceNumber(0),
        execution: ExecutionId(0),
        turn: n,
        len: u32::try_from(encode_turn(turn).unwrap().len()).unwrap(),
    };
    let Event::Started(mut again) = started("x") else {
        unreachable!("it is a start")
    };
    again.execution = ExecutionId(1);
    let first = Turn {
        time: Timestamp(20),
        steps: vec![Step {
            event: Event::Started(again),
            actions: Vec::new(),
        }],
    };
    let new = Header {
        execution: ExecutionId(1),
        updated: Timestamp(20),
        ..header("x", 0, RuntimeStatus::Running, 1)
    };
    let append = Op::AppendTurn {
        number: InstanceNumber(0),
        execution: ExecutionId(1),
        turn: 1,
        record: encode_turn(&first).unwrap(),
    };
    let ops = vec![
        drop_turn(1, &turns[0]),
        drop_turn(2, &turns[1]),
        append,
        replace(&old, &new),
    ];
    commit(&store, 2, ops);
    and_reopened(store, open, |store| {
        let stored = store.load(&by_id("x"), ALL).unwrap().unwrap();
        assert_eq!(stored.turns, std::slice::from_ref(&first));
        let verification = store.verify(&mut |_| Ok(())).unwrap();
        assert_eq!(verification.damages, []);
        assert_eq!(verification.turns, 1);
    });
}

fn attempts_are_replaced_and_removed<S: Store>(open: &impl Fn() -> S) {
    let store = open();
    let number = InstanceNumber(0);
    let failed = |call, failed| Op::PutAttempts {
        number,
        execution: ExecutionId(0),
        call: CallId(call),
        attempts: Attempts {
            failed,
            due: (failed > 1).then_some(Timestamp(u64::from(failed))),
            state: None,
            progress: None,
        },
    };
    commit(
        &store,
        1,
        vec![
            append(0, 1, &first_turn("x")),
            put(&header("x", 0, RuntimeStatus::Running, 1)),
            failed(1, 1),
            failed(2, 1),
            failed(300, 1),
        ],
    );
    let forget = |call| Op::RemoveAttempts {
        number,
        execution: ExecutionId(0),
        call: CallId(call),
        attempts: Attempts {
            failed: 1,
            due: None,
            state: None,
            progress: None,
        },
    };
    commit(&store, 2, vec![forget(1), failed(1, 2), forget(2)]);
    and_reopened(store, open, |store| {
        let stored = store.load(&by_id("x"), ALL).unwrap().unwrap();
        let attempts: Vec<_> = stored
            .attempts
            .iter()
            .map(|(call, attempts)| (call.0, attempts.failed, attempts.due.map(|due| due.0)))
            .collect();
        assert_eq!(attempts, [(1, 2, Some(2)), (300, 1, None)]);
    });
}

fn who_is_active_is_known_after_any_number_of_changes<S: Store>(open: &impl Fn() -> S) {
    let store = open();
    let members = |store: &S| -> Vec<u64> {
        let recovered = store.recover().unwrap();
        recovered.active.iter().map(|number| number.0).collect()
    };
    commit(&store, 1, (0..5000).map(|n| active(n, true)).collect());
    assert_eq!(members(&store), (0..5000).collect::<Vec<_>>());
    // So many that what was noted so far is summed up.
    commit(&store, 2, (1..5000).map(|n| active(n, false)).collect());
    commit(&store, 3, vec![active(7, true), active(8, false)]);
    commit(&store, 4, vec![active(0, false), active(9, true)]);
    and_reopened(store, open, |store| assert_eq!(members(store), [7, 9]));
}

fn turns_of_any_size_come_back<S: Store>(open: &impl Fn() -> S) {
    let store = open();
    let sizes = [0, 1, 10_000, 16_300, 16_384, 16_400, 100_000, 3_000_000];
    let large = |size: usize| Turn {
        time: Timestamp(1),
        steps: vec![Step {
            event: Event::EventRaised {
                name: EventName::new("go"),
                data: json(&format!("\"{}\"", "x".repeat(size))),
                id: None,
            },
            actions: Vec::new(),
        }],
    };
    let mut turns = vec![first_turn("x")];
    turns.extend(sizes.map(large));
    let mut ops: Vec<_> = (1..)
        .zip(&turns)
        .map(|(n, turn)| append(0, n, turn))
        .collect();
    let count = u32::try_from(turns.len()).unwrap();
    ops.push(put(&header("x", 0, RuntimeStatus::Running, count)));
    commit(&store, 1, ops);
    and_reopened(store, open, |store| {
        let stored = store.load(&by_number(0), ALL).unwrap().unwrap();
        assert!(stored.turns == turns);
    });
}

fn ids_that_look_alike_are_apart<S: Store>(open: &impl Fn() -> S) {
    let store = open();
    let long = "x".repeat(InstanceId::MAX_LEN);
    let ids = ["a", "a1", "a ", "A", "ä", "a\u{308}", &long, &long[1..]];
    for (number, id) in (0..).zip(ids) {
        commit(
            &store,
            number + 1,
            vec![
                append(number, 1, &first_turn(id)),
                put(&header(id, number, RuntimeStatus::Running, 1)),
            ],
        );
    }
    and_reopened(store, open, |store| {
        for (number, id) in (0..).zip(ids) {
            for key in [by_id(id), by_number(number)] {
                let stored = store.load(&key, ALL).unwrap().unwrap();
                assert_eq!(stored.header.id.as_str(), id);
                assert_eq!(stored.header.number.0, number);
                assert_eq!(stored.turns, [first_turn(id)]);
            }
        }
    });
}

fn a_purged_instance_is_gone_and_its_neighbours_are_not<S: Store>(open: &impl Fn() -> S) {
    let store = open();
    let ids = ["x", "x1", "x "];
    for (number, id) in (0..).zip(ids) {
        let ops = vec![
            append(number, 1, &first_turn(id)),
            append(number, 2, &turn(2)),
            put(&header(id, number, RuntimeStatus::Completed, 2)),
        ];
        commit(&store, number + 1, ops);
    }
    commit(&store, 4, vec![purge("x", 0)]);
    let gone = |store: &S| {
        assert_eq!(store.load(&by_id("x"), ALL).unwrap(), None);
        assert_eq!(store.load(&by_number(0), ALL).unwrap(), None);
        assert_eq!(store.glimpse(&id("x")).unwrap(), None);
        for id in ["x1", "x "] {
            let stored = store.load(&by_id(id), ALL).unwrap().unwrap();
            assert_eq!(stored.header.id.as_str(), id);
            assert!(store.glimpse(&stored.header.id).unwrap().is_some());
        }
    };
    gone(&store);
    // Its id, again, in the commit in which another is purged.
    let again = header("x", 3, RuntimeStatus::Running, 1);
    let first = append(3, 1, &first_turn("x"));
    commit(&store, 5, vec![purge("x1", 1), first, put(&again)]);
    and_reopened(store, open, |store| {
        let stored = store.load(&by_id("x"), ALL).unwrap().unwrap();
        assert_eq!((stored.header, stored.turns.len()), (again.clone(), 1));
        assert_eq!(store.load(&by_number(0), ALL).unwrap(), None);
        assert_eq!(store.load(&by_id("x1"), ALL).unwrap(), None);
        assert_eq!(store.recover().unwrap().created, 4);
    });
}

/// Whatever there is of it, and in as many chunks as that takes.
#[test]
fn a_purge_leaves_no_key_behind() {
    let memory = MemoryKv::default();
    let store = open(memory.clone()).unwrap();
    let neighbour = vec![
        append(0, 1, &first_turn("w")),
        put(&header("w", 0, RuntimeStatus::Running, 1)),
        message(0, 5),
    ];
    commit(&store, 1, neighbour);
    let before = pairs(&memory);
    let large = Header {
        custom_status: Some(json(&format!("\"{}\"", "x".repeat(40_000)))),
        ..header("x", 1, RuntimeStatus::Completed, 99)
    };
    let mut ops = vec![put(&large)];
    ops.extend((1..=99).map(|n| append(1, n, &turn(n))));
    ops.extend((90..110).map(|seq| message(1, seq)));
    ops.extend([0, 7].map(|execution| Op::PutAttempts {
        number: InstanceNumber(1),
        execution: ExecutionId(execution),
        call: CallId(1),
        attempts: Attempts {
            failed: 1,
            due: Some(Timestamp(1)),
            state: Some(Payload::NULL),
            progress: None,
        },
    }));
    commit(&store, 2, ops);
    assert!(pairs(&memory).len() > before.len() + 100);
    commit(&store, 3, vec![purge("x", 1)]);
    let all_but_meta = |pairs: Vec<(Vec<u8>, Vec<u8>)>| -> Vec<_> {
        pairs
            .into_iter()
            .filter(|(key, _)| key[0] != b'm')
            .collect()
    };
    assert_eq!(all_but_meta(pairs(&memory)), all_but_meta(before));
    assert_eq!(miscounted(&store), [""; 0]);
}

fn an_active_instance_that_is_gone_is_damage<S: Store>(open: &impl Fn() -> S) {
    let store = open();
    commit(&store, 1, vec![active(0, true)]);
    let header = header("x", 1, RuntimeStatus::Pending, 0);
    commit(&store, 2, vec![put(&header), active(1, true)]);
    and_reopened(store, open, |store| {
        for number in [0, 1] {
            let loaded = store.load(&by_number(number), ALL);
            assert!(matches!(loaded, Err(StoreError::Corrupt { .. })));
        }
    });
}

fn a_gap_in_a_history_is_damage<S: Store>(open: &impl Fn() -> S) {
    let store = open();
    let cases: [(&str, &[u32], u32, bool); 4] = [
        ("first", &[2, 3], 3, true),
        ("middle", &[1, 3], 3, true),
        ("last", &[1, 2], 3, true),
        // Of one that sleeps the header is exact.
        ("surplus", &[1, 2, 3], 2, false),
    ];
    for (number, (id, turns, count, is_active)) in (0..).zip(cases) {
        let mut ops = vec![put(&header(id, number, RuntimeStatus::Running, count))];
        ops.push(active(number, is_active));
        ops.extend(turns.iter().map(|n| append(number, *n, &turn(*n))));
        commit(&store, number + 1, ops);
    }
    and_reopened(store, open, |store| {
        for (id, ..) in cases {
            let loaded = store.load(&by_id(id), ALL);
            assert!(matches!(loaded, Err(StoreError::Corrupt { .. })), "{id}");
            // Who reads it does not know whether it sleeps.
            let read = turns::all(store, id, 2, ALL);
            let damaged = matches!(read, Err(StoreError::Corrupt { .. }));
            assert_eq!(damaged, id != "surplus", "{id}");
        }
    });
}

#[test]
fn unsynced_commits_may_be_forgotten_but_only_whole_and_from_the_end() {
    const COMMITS: u64 = 6;
    for synced in 0..=COMMITS {
        for kept in 0..=usize::try_from(COMMITS - synced).unwrap() {
            let memory = MemoryKv::default();
            let store = open(memory.clone()).unwrap();
            for n in 1..=COMMITS {
                let prepared = store.prepare(n, nth_commit(n)).unwrap();
                store.apply(prepared).unwrap();
                if n == synced {
                    store.sync().unwrap();
                }
            }
            memory.crash(kept);
            let store = open(memory).unwrap();
            let commit = store.recover().unwrap().commit;
            assert_eq!(commit, synced + kept as u64);
            check_after_commit(&store, commit);
            assert_eq!(miscounted(&store), [""; 0]);
        }
    }
}

/// Touches every kind of record.
fn nth_commit(n: u64) -> Vec<Op> {
    let turns = u32::try_from(n).unwrap();
    let now = header("x", 0, RuntimeStatus::Running, turns);
    let before = header("x", 0, RuntimeStatus::Running, turns - 1);
    let mut ops = vec![
        append(
            0,
            turns,
            &if n == 1 { first_turn("x") } else { turn(turns) },
        ),
        if n == 1 {
            put(&now)
        } else {
            replace(&before, &now)
        },
        Op::PutTimer(timer(n, 0)),
        message(0, n),
        active(0, n % 2 == 1),
        put(&header(&format!("other {n}"), n, RuntimeStatus::Pending, 0)),
    ];
    if n > 1 {
        ops.push(Op::RemoveTimer(timer(n - 1, 0)));
        ops.push(take(0, n - 1));
    }
    ops
}

/// All of that commit is there and nothing of the next.
fn check_after_commit(store: &impl Store, commit: u64) {
    let Some(stored) = store.load(&by_id("x"), ALL).unwrap() else {
        assert_eq!(commit, 0);
        return;
    };
    assert_eq!(u64::from(stored.header.turns), commit);
    assert_eq!(stored.turns.len() as u64, commit);
    assert_eq!(stored.messages, [(commit, event(commit))]);
    assert_eq!(stored.active, commit % 2 == 1);
    assert_eq!(store.timers(None, 10).unwrap(), [timer(commit, 0)]);
    for n in 1..=commit + 1 {
        let other = store.glimpse(&id(&format!("other {n}"))).unwrap();
        assert_eq!(other.is_some(), n <= commit);
    }
    assert_eq!(store.recover().unwrap().created, commit + 1);
}

/// A store in memory with an instance that sleeps, one that runs and one that has ended.
fn three_instances() -> MemoryKv {
    let memory = MemoryKv::default();
    let store = open(memory.clone()).unwrap();
    for (number, (id, status, is_active)) in (0..).zip(THREE) {
        let mut ops = vec![
            append(number, 1, &first_turn(id)),
            append(number, 2, &turn(2)),
            put(&header(id, number, status, 2)),
            active(number, is_active),
            Op::PutTimer(timer(number, number)),
        ];
        if !status.is_terminal() {
            ops.push(message(number, 0));
        }
        commit(&store, number + 1, ops);
    }
    memory
}

const THREE: [(&str, RuntimeStatus, bool); 3] = [
    ("sleeps", RuntimeStatus::Running, false),
    ("runs", RuntimeStatus::Running, true),
    ("has ended", RuntimeStatus::Completed, false),
];

/// Everything that can be read, in the order in which it is.
fn read_all(memory: &MemoryKv) -> Vec<Result<String, String>> {
    let opened = match open(memory.clone()) {
        Ok(store) => store,
        Err(error @ (OpenError::Corrupt { .. } | OpenError::RolledBack { .. })) => {
            return vec![Err(error.to_string())];
        }
        Err(other) => panic!("{other:?}"),
    };
    // Who it is differs from hub to hub.
    let recovered = opened
        .recover()
        .map(|recovered| (recovered.commit, recovered.created, recovered.active));
    let mut answers = vec![answer(recovered), answer(opened.timers(None, 10))];
    for (number, (name, ..)) in (0..).zip(THREE) {
        answers.push(answer(opened.load(&by_id(name), ALL)));
        answers.push(answer(opened.load(&by_number(number), ALL)));
        answers.push(answer(opened.glimpse(&id(name))));
        answers.push(answer(turns::all(&opened, name, 1, ALL)));
    }
    for payloads in [false, true] {
        let list = List {
            payloads,
            ..listing::all()
        };
        answers.push(answer(opened.list(&list).and_then(
            |listed| match &*listed.unreadable {
                [] => Ok(listed),
                unreadable => Err(StoreError::corrupt(format!("{unreadable:?}"))),
            },
        )));
    }
    answers
}

fn answer<T: std::fmt::Debug>(read: Result<T, StoreError>) -> Result<String, String> {
    match read {
        Ok(value) => Ok(format!("{value:?}")),
        Err(StoreError::Corrupt { detail }) => Err(detail),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_flipped_bit_is_an_error_and_never_another_answer() {
    let whole = read_all(&three_instances());
    assert!(whole.iter().all(Result::is_ok), "{whole:?}");
    for (key, value) in pairs(&three_instances()) {
        let mut noticed = value.is_empty();
        for at in 0..value.len() {
            let memory = three_instances();
            let mut flipped = value.clone();
            flipped[at] ^= 0x10;
            memory
                .apply(memory.batch(vec![Write::Put(key.clone(), flipped)]))
                .unwrap();
            for (read, whole) in read_all(&memory).iter().zip(&whole) {
                noticed |= read.is_err();
                assert!(read.is_err() || read == whole, "{key:?} at {at}: {read:?}");
            }
        }
        assert!(noticed, "{key:?}");
    }
}

#[test]
fn a_lost_record_that_must_be_there_is_an_error() {
    let whole = read_all(&three_instances());
    let mut unnoticed = Vec::new();
    for (key, _) in pairs(&three_instances()) {
        let memory = three_instances();
        memory
            .apply(memory.batch(vec![Write::Remove(key.clone())]))
            .unwrap();
        let read = read_all(&memory);
        if read.iter().all(Result::is_ok) {
            unnoticed.push((key[0], read == whole));
        }
    }
    unnoticed.dedup_by_key(|(kind, _)| *kind);
    // Their number is known: a full check notices.
    let kinds: Vec<_> = unnoticed
        .iter()
        .map(|(kind, _)| char::from(*kind))
        .collect();
    assert_eq!(kinds, ['q', 't']);
}

#[test]
fn what_a_refused_store_still_has_is_all_there_once_its_loss_is_accepted() {
    let mut refused = Vec::new();
    for (key, value) in pairs(&three_instances()) {
        let mut flipped = value.clone();
        if let Some(last) = flipped.last_mut() {
            *last ^= 1;
        }
        for damage in [Write::Remove(key.clone()), Write::Put(key.clone(), flipped)] {
            let memory = three_instances();
            memory.apply(memory.batch(vec![damage])).unwrap();
            let is_refused = open(memory.clone()).is_err();
            let (store, loss) = salvage(&memory).unwrap();
            assert_eq!(loss.is_some(), is_refused, "{key:?}");
            if !is_refused {
                continue;
            }
            refused.push(char::from(key[0]));
            assert_eq!(loss.unwrap().instances, 0);
            let recovered = store.recover().unwrap();
            assert!(
                recovered.commit > 3 && recovered.created == 3,
                "{recovered:?}"
            );
            // One that sleeps may be woken for nothing.
            assert_eq!(recovered.active, [InstanceNumber(0), InstanceNumber(1)]);
            and_reopened_memory(&memory, |store| {
                for (name, ..) in THREE {
                    let stored = store.load(&by_id(name), ALL).unwrap().unwrap();
                    assert_eq!(stored.turns.len(), if name == "has ended" { 0 } else { 2 });
                    store.glimpse(&id(name)).unwrap().unwrap();
                }
                assert_eq!(store.timers(None, 10).unwrap().len(), 3);
                assert_eq!(miscounted(store), [""; 0]);
            });
        }
    }
    refused.dedup();
    assert_eq!(refused, ['j', 'k', 'm']);
}

#[test]
fn a_broken_history_stays_broken_when_a_loss_is_accepted() {
    for (number, (name, ..)) in (0..).zip(&THREE[..2]) {
        for lost in [1, 2] {
            let memory = three_instances();
            let turn = turn_key(InstanceNumber(number), lost);
            let writes = vec![Write::Remove(b"m\0\0".to_vec()), Write::Remove(turn)];
            memory.apply(memory.batch(writes)).unwrap();
            drop(salvage(&memory).unwrap());
            and_reopened_memory(&memory, |store| {
                for (other, ..) in &THREE[..2] {
                    let loaded = store.load(&by_id(other), ALL);
                    assert_eq!(loaded.is_ok(), other != name, "{other}: {loaded:?}");
                }
            });
        }
    }
}

#[test]
fn a_store_of_a_newer_version_is_refused_whether_a_loss_is_accepted_or_not() {
    for (key, value) in pairs(&three_instances()) {
        if !b"km".contains(&key[0]) {
            continue;
        }
        let mut newer = value.clone();
        newer[0] = 9;
        let sum = crc32fast::hash(&[&[9], &key[..key.len() - 2], &newer[7..]].concat());
        newer[3..7].copy_from_slice(&sum.to_le_bytes());
        let memory = three_instances();
        let batch = memory.batch(vec![Write::Put(key.clone(), newer)]);
        memory.apply(batch).unwrap();
        let before = pairs(&memory);
        for refused in [open(memory.clone()).map(drop), salvage(&memory).map(drop)] {
            match refused {
                Err(OpenError::NewerFormat { found: 9, .. }) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(pairs(&memory), before);
    }
}

fn salvage(memory: &MemoryKv) -> Result<(KvStore<MemoryKv>, Option<AcceptedLoss>), OpenError> {
    KvStore::open_or_salvage(|_| Ok(memory.clone()), Path::new("memory"), true)
}

fn and_reopened_memory(memory: &MemoryKv, check: impl Fn(&KvStore<MemoryKv>)) {
    for _ in 0..2 {
        check(&open(memory.clone()).unwrap());
    }
}

fn pairs(memory: &MemoryKv) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut pairs = Vec::new();
    memory
        .scan(b"", &[0xff], &mut |key, value| {
            pairs.push((key.to_vec(), value.to_vec()));
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    pairs
}

fn open(memory: MemoryKv) -> Result<KvStore<MemoryKv>, OpenError> {
    KvStore::open(memory, Path::new("memory"))
}

fn commit(store: &impl Store, number: u64, ops: Vec<Op>) {
    let prepared = store.prepare(number, ops).unwrap();
    store.apply(prepared).unwrap();
    store.sync().unwrap();
}

/// What is not as many as was counted. These stores are no engine's: the rest does not hold.
fn miscounted(store: &KvStore<MemoryKv>) -> Vec<String> {
    let mut said = store.check();
    said.retain(|said| said.ends_with("counted"));
    said
}

fn id(id: &str) -> InstanceId {
    InstanceId::new(id).unwrap()
}

fn by_id(name: &str) -> InstanceKey {
    InstanceKey::Id(id(name))
}

fn by_number(number: u64) -> InstanceKey {
    InstanceKey::Number(InstanceNumber(number))
}

fn json(text: &str) -> Payload {
    Payload::from_json(text.to_owned()).unwrap()
}

fn header(name: &str, number: u64, status: RuntimeStatus, turns: u32) -> Header {
    Header {
        kind: Kind::Orchestration,
        id: id(name),
        number: InstanceNumber(number),
        execution: ExecutionId(0),
        name: "orchestrator".to_owned(),
        version: String::new(),
        status,
        created: Timestamp(1),
        updated: turn(turns).time,
        turns,
        custom_status: None,
        problem: None,
        parent: None,
        tags: std::collections::BTreeMap::new(),
        suspended: None,
        scheduled: None,
    }
}

fn started(name: &str) -> Event {
    Event::Started(Box::new(Started {
        instance: id(name),
        execution: ExecutionId(0),
        name: "orchestrator".to_owned(),
        version: String::new(),
        input: json("[1]"),
        event_ids: Vec::new(),
        parent: None,
        tags: std::collections::BTreeMap::new(),
    }))
}

fn first_turn(name: &str) -> Turn {
    Turn {
        time: Timestamp(10),
        steps: vec![Step {
            event: started(name),
            actions: Vec::new(),
        }],
    }
}

fn turn(n: u32) -> Turn {
    Turn {
        time: Timestamp(u64::from(n) * 10),
        steps: vec![Step {
            event: event(n.into()),
            actions: vec![Action::Cancel { call: CallId(n) }],
        }],
    }
}

/// Every hundredth takes several chunks.
fn event(n: u64) -> Event {
    let padding = if n % 100 == 99 { 50_000 } else { 0 };
    Event::EventRaised {
        name: EventName::new("go"),
        data: json(&format!("\"{n}{}\"", "x".repeat(padding))),
        id: None,
    }
}

fn append(number: u64, turn: u32, record: &Turn) -> Op {
    Op::AppendTurn {
        number: InstanceNumber(number),
        execution: ExecutionId(0),
        turn,
        record: encode_turn(record).unwrap(),
    }
}

fn put(header: &Header) -> Op {
    Op::PutHeader {
        header: Box::new(header.clone()),
        replaces: None,
    }
}

fn replace(old: &Header, header: &Header) -> Op {
    Op::PutHeader {
        header: Box::new(header.clone()),
        replaces: Some(old.size()),
    }
}

fn message(number: u64, seq: u64) -> Op {
    Op::PutMessage {
        number: InstanceNumber(number),
        seq,
        event: event(seq),
    }
}

fn report(call: u32) -> Report {
    Report {
        activity: "import".to_owned(),
        attempt: 2,
        at: Timestamp(u64::from(call)),
        progress: json(&call.to_string()),
    }
}

fn take(number: u64, seq: u64) -> Op {
    Op::TakeMessage {
        number: InstanceNumber(number),
        seq,
        event: event(seq),
    }
}

fn purge(name: &str, number: u64) -> Op {
    Op::Purge {
        id: id(name),
        number: InstanceNumber(number),
        status: RuntimeStatus::Completed,
    }
}

fn active(number: u64, active: bool) -> Op {
    Op::SetActive {
        number: InstanceNumber(number),
        active,
    }
}

fn timer(due: u64, number: u64) -> TimerKey {
    TimerKey {
        due: Timestamp(due),
        number: InstanceNumber(number),
        execution: ExecutionId(0),
        call: CallId(1),
        kind: TimerKind::Orchestrator,
    }
}
