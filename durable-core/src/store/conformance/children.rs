//! Finding the children of an instance.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::{Store, and_reopened, append, commit, first_turn, header, id, put};
use crate::history::{Action, ChildOptions, Parent, Turn};
use crate::id::{CallId, ExecutionId, InstanceNumber};
use crate::payload::Payload;
use crate::retry::RetryPolicy;
use crate::store::{FindChildren, Header, Op, RuntimeStatus};

/// Begins a child.
fn begin(name: &str, options: ChildOptions) -> Action {
    Action::StartChild {
        call: CallId(1),
        id: id(name),
        name: Cow::Borrowed("child"),
        version: Cow::Borrowed(""),
        input: Payload::NULL,
        options,
    }
}

/// One that has ended, and is the child of this instance.
fn ended(name: &str, number: u64, parent: Option<u64>) -> Vec<Op> {
    let header = Header {
        parent: parent.map(|parent| Parent {
            instance: id("parent"),
            number: InstanceNumber(parent),
            execution: ExecutionId(0),
            call: CallId(1),
            attempt: 1,
            depth: 1,
        }),
        ..header(name, number, RuntimeStatus::Completed, 1)
    };
    vec![append(number, 1, &first_turn(name)), put(&header)]
}

fn found(store: &impl Store, name: &str, number: u64, limit: usize) -> Vec<String> {
    let mut find = FindChildren {
        id: id(name),
        number: InstanceNumber(number),
        after: None,
        limit,
    };
    let mut ids = Vec::new();
    loop {
        let children = store.children(&find).unwrap();
        ids.extend(children.found.into_iter().map(|child| child.id.to_string()));
        find.after = children.next;
        if find.after.is_none() {
            ids.sort();
            let all: BTreeSet<_> = ids.iter().collect();
            assert_eq!(all.len(), ids.len(), "one is found twice");
            return ids;
        }
    }
}

pub(super) fn children_are_found_piece_by_piece<S: Store>(open: &impl Fn() -> S) {
    let store = open();
    let plain = ChildOptions::default;
    let retried = || ChildOptions {
        retry: Some(RetryPolicy::fixed(9, std::time::Duration::ZERO)),
        ..plain()
    };
    let detached = || ChildOptions {
        detached: true,
        ..plain()
    };
    let turn = |actions| {
        let mut turn = first_turn("parent");
        turn.steps[0].actions = actions;
        turn
    };
    let turns: [Turn; 3] = [
        turn(vec![
            begin("a", plain()),
            begin("r", retried()),
            begin("b", plain()),
            begin("alone", detached()),
        ]),
        turn(vec![]),
        turn(vec![
            begin("was-purged", retried()),
            begin("taken", plain()),
        ]),
    ];
    let mut ops: Vec<_> = (1..)
        .zip(&turns)
        .map(|(n, turn)| append(0, n, turn))
        .collect();
    ops.push(put(&header("parent", 0, RuntimeStatus::Completed, 3)));
    let mut number = 1;
    let mut add = |name: &str, parent| {
        ops.extend(ended(name, number, parent));
        number += 1;
    };
    for child in ["a", "b", "r", "was-purged:2"] {
        add(child, Some(0));
    }
    for attempt in 2..9 {
        add(&format!("r:{attempt}"), Some(0));
    }
    // One of another, and one of nobody.
    add("taken", Some(77));
    for other in ["alone", "r:x", "a:2", "ab"] {
        add(other, None);
    }
    // Of one that has continued as new, the history tells nothing.
    let again = Header {
        execution: ExecutionId(2),
        ..header("again", 100, RuntimeStatus::Completed, 1)
    };
    ops.extend([
        Op::AppendTurn {
            number: InstanceNumber(100),
            execution: ExecutionId(2),
            turn: 1,
            record: crate::history::encode_turn(&first_turn("again")).unwrap(),
        },
        put(&again),
    ]);
    for (n, child) in (101..).zip(["z1", "c1", "m1", "a0"]) {
        ops.extend(ended(child, n, Some(100)));
    }
    commit(&store, 1, ops);
    and_reopened(store, open, |store| {
        let expected: Vec<_> = ["a", "b", "r"]
            .map(str::to_owned)
            .into_iter()
            .chain((2..9).map(|attempt| format!("r:{attempt}")))
            .chain(["was-purged:2".to_owned()])
            .collect();
        for limit in [1, 2, 3, 100] {
            assert_eq!(found(store, "parent", 0, limit), expected, "{limit}");
            assert_eq!(found(store, "again", 100, limit), ["a0", "c1", "m1", "z1"]);
        }
        assert_eq!(found(store, "a", 1, 9), [""; 0]);
        assert_eq!(found(store, "parent", 5, 9), [""; 0], "of another life");
        assert_eq!(found(store, "nobody", 5, 9), [""; 0]);
    });
}
