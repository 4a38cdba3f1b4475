//! Reading a history, piece by piece.

use super::{
    Store, and_reopened, append, commit, first_turn, header, id, purge, put, replace, turn,
};
use crate::history::{Turn, encode_turn};
use crate::id::{ExecutionId, InstanceNumber};
use crate::store::{Header, Op, ReadTurns, RuntimeStatus, StoreError, TurnPlace};

/// All turns there are of an instance, so many at a time.
pub(super) fn all(
    store: &impl Store,
    name: &str,
    limit: usize,
    bytes: usize,
) -> Result<Option<Vec<Turn>>, StoreError> {
    let mut read = ReadTurns {
        id: id(name),
        after: None,
        limit,
        bytes,
    };
    let mut turns = Vec::new();
    loop {
        let Some(found) = store.turns(&read)? else {
            return Ok(None);
        };
        assert!(found.turns.len() <= limit);
        read.after = Some(found.next);
        for (number, turn) in found.turns {
            turns.push(turn);
            assert_eq!(turns.len(), usize::try_from(number).unwrap());
        }
        if !found.more {
            return Ok(Some(turns));
        }
    }
}

pub(super) fn turns_are_read_in_pieces<S: Store>(open: &impl Fn() -> S) {
    let store = open();
    let turns = [first_turn("x"), turn(2), turn(3), turn(4), turn(5)];
    let mut ops: Vec<_> = (1..)
        .zip(&turns)
        .map(|(n, turn)| append(0, n, turn))
        .collect();
    // It may be behind.
    ops.push(put(&header("x", 0, RuntimeStatus::Running, 3)));
    ops.push(append(1, 1, &first_turn("y")));
    ops.push(put(&header("y", 1, RuntimeStatus::Running, 1)));
    commit(&store, 1, ops);
    and_reopened(store, open, |store| {
        assert_eq!(store.turns(&behind("z", None)).unwrap(), None);
        for limit in 1..7 {
            assert_eq!(all(store, "x", limit, usize::MAX).unwrap().unwrap(), turns);
        }
        // One at least.
        let first = store.turns(&ReadTurns {
            bytes: 1,
            ..behind("x", None)
        });
        let first = first.unwrap().unwrap();
        assert_eq!((first.turns.len(), first.more), (1, true));
        let place = TurnPlace {
            turn: 5,
            ..first.next
        };
        let none = store.turns(&behind("x", Some(place))).unwrap().unwrap();
        assert_eq!((none.next, none.turns.len(), none.more), (place, 0, false));
    });
}

fn behind(name: &str, after: Option<TurnPlace>) -> ReadTurns {
    ReadTurns {
        id: id(name),
        after,
        limit: usize::MAX,
        bytes: usize::MAX,
    }
}

pub(super) fn of_another_execution_or_life_nothing_is_read<S: Store>(open: &impl Fn() -> S) {
    let store = open();
    let old = header("x", 0, RuntimeStatus::Running, 1);
    commit(&store, 1, vec![append(0, 1, &first_turn("x")), put(&old)]);
    let first = store.turns(&behind("x", None)).unwrap().unwrap();
    let new = Header {
        execution: ExecutionId(1),
        ..header("x", 0, RuntimeStatus::Completed, 1)
    };
    let record = encode_turn(&turn(9)).unwrap();
    let len = u32::try_from(encode_turn(&first_turn("x")).unwrap().len()).unwrap();
    let number = InstanceNumber(0);
    let ops = vec![
        Op::DropTurn {
            number,
            execution: ExecutionId(0),
            turn: 1,
            len,
        },
        Op::AppendTurn {
            number,
            execution: ExecutionId(1),
            turn: 1,
            record,
        },
        replace(&old, &new),
    ];
    commit(&store, 2, ops);
    let place = |number, execution| TurnPlace {
        number: InstanceNumber(number),
        execution: ExecutionId(execution),
        turn: 0,
    };
    let gone = store
        .turns(&behind("x", Some(first.next)))
        .unwrap()
        .unwrap();
    assert_eq!((gone.next, gone.turns.len()), (place(0, 1), 0));
    assert_eq!(all(&store, "x", 9, 9).unwrap(), Some(vec![turn(9)]));

    commit(&store, 3, vec![purge("x", 0)]);
    assert_eq!(store.turns(&behind("x", Some(gone.next))).unwrap(), None);
    let again = header("x", 1, RuntimeStatus::Running, 1);
    commit(&store, 4, vec![append(1, 1, &first_turn("x")), put(&again)]);
    let other = store.turns(&behind("x", Some(gone.next))).unwrap().unwrap();
    assert_eq!((other.next, other.turns.len()), (place(1, 0), 0));
}
