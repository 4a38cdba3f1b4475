//! Listing what matches, in pages.

use std::collections::BTreeSet;

use super::{
    Store, and_reopened, append, commit, first_turn, header, id, purge, put, replace, turn,
};
use crate::replay::{Problem, ProblemKind};
use crate::store::kv::KvStore;
use crate::store::kv::backend::{KeyValue as _, Write};
use crate::store::kv::memory::MemoryKv;
use crate::store::{Damage, DamageKind, Filter, Header, List, Listed, Op, RuntimeStatus};
use crate::time::Timestamp;

pub(super) fn all() -> List {
    List {
        filter: Filter::default(),
        after: None,
        limit: usize::MAX,
        budget: usize::MAX,
        payloads: false,
    }
}

fn ids(listed: &Listed) -> Vec<&str> {
    let ids = listed.found.iter().map(|found| found.header.id.as_str());
    ids.collect()
}

/// An instance with two turns, of which the header knows one.
fn create(store: &impl Store, number: u64, name: &str, change: impl FnOnce(&mut Header)) {
    let mut header = header(name, number, RuntimeStatus::Running, 1);
    change(&mut header);
    header.turns = if header.status.is_terminal() { 2 } else { 1 };
    let ops = vec![
        append(number, 1, &first_turn(name)),
        append(number, 2, &turn(2)),
        put(&header),
    ];
    commit(store, number + 1, ops);
}

/// Makes some condition.
type Change = fn(&mut Filter);

fn create_four(store: &impl Store) {
    create(store, 0, "b", |header| {
        header.status = RuntimeStatus::Failed;
    });
    create(store, 1, "a", |header| {
        header.name = "other".to_owned();
        header.created = Timestamp(700);
    });
    create(store, 2, "ab", |header| {
        header.status = RuntimeStatus::Completed;
        header.updated = Timestamp(900);
    });
    create(store, 3, "ä", |header| {
        let problem = Problem::new(ProblemKind::Divergence, "why", "report");
        header.problem = Some((problem, Timestamp(5)));
        header.tags = [("x", "1"), ("y", "2")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
    });
}

pub(super) fn a_list_shows_what_matches<S: Store>(open: &impl Fn() -> S) {
    let store = open();
    create_four(&store);
    let cases: [(Change, &[&str]); 19] = [
        (|_| {}, &["a", "ab", "b", "ä"]),
        (|f| f.id_prefix = "a".to_owned(), &["a", "ab"]),
        (|f| f.id_prefix = "ab".to_owned(), &["ab"]),
        (|f| f.id_prefix = "ä".to_owned(), &["ä"]),
        (|f| f.id_prefix = "abc".to_owned(), &[]),
        (|f| f.statuses = [RuntimeStatus::Failed].into(), &["b"]),
        (
            |f| f.statuses = [RuntimeStatus::Failed, RuntimeStatus::Completed].into(),
            &["ab", "b"],
        ),
        (|f| f.names = ["other".to_owned()].into(), &["a"]),
        (
            |f| f.names = ["othe".to_owned(), "OTHER".to_owned()].into(),
            &[],
        ),
        (|f| f.blocked = Some(true), &["ä"]),
        (|f| f.blocked = Some(false), &["a", "ab", "b"]),
        (
            |f| f.tags = [("x".to_owned(), "1".to_owned())].into(),
            &["ä"],
        ),
        (|f| f.tags = [("x".to_owned(), "2".to_owned())].into(), &[]),
        (
            |f| {
                f.tags = ["x", "y", "z"]
                    .map(|n| (n.to_owned(), "1".to_owned()))
                    .into();
            },
            &[],
        ),
        (
            |f| f.created = Some(Timestamp(700)..=Timestamp(700)),
            &["a"],
        ),
        (
            |f| f.created = Some(Timestamp(701)..=Timestamp(u64::MAX)),
            &[],
        ),
        (
            |f| f.completed = Some(Timestamp(0)..=Timestamp(u64::MAX)),
            &["ab", "b"],
        ),
        (
            |f| f.completed = Some(Timestamp(900)..=Timestamp(900)),
            &["ab"],
        ),
        (
            |f| {
                f.statuses = [RuntimeStatus::Completed].into();
                f.id_prefix = "b".to_owned();
            },
            &[],
        ),
    ];
    and_reopened(store, open, |store| {
        for (nth, (change, expected)) in cases.iter().enumerate() {
            let mut list = all();
            change(&mut list.filter);
            for limit in [1, 2, usize::MAX] {
                let (found, pages) = page_by_page(
                    store,
                    &List {
                        limit,
                        ..list.clone()
                    },
                );
                assert_eq!(found, *expected, "case {nth} by {limit}");
                assert!(pages <= expected.len() + 1, "case {nth} by {limit}");
            }
            for budget in [1, 2, usize::MAX] {
                let list = List {
                    budget,
                    ..list.clone()
                };
                let count = count(store, list);
                assert_eq!(count, expected.len() as u64, "case {nth} by {budget}");
            }
            for budget in [1, 2] {
                let (found, pages) = page_by_page(
                    store,
                    &List {
                        budget,
                        ..list.clone()
                    },
                );
                assert_eq!(found, *expected, "case {nth}, {budget} at a time");
                assert!(pages <= 4, "case {nth}, {budget} at a time");
            }
        }
    });
}

fn count(store: &impl Store, mut list: List) -> u64 {
    let mut matching = 0;
    loop {
        let count = store.count(&list).unwrap();
        matching += count.matching;
        list.after = count.last;
        if list.after.is_none() {
            return matching;
        }
    }
}

fn page_by_page(store: &impl Store, list: &List) -> (Vec<String>, usize) {
    let (mut found, mut after, mut pages) = (Vec::new(), list.after.clone(), 0);
    loop {
        let listed = store
            .list(&List {
                after,
                ..list.clone()
            })
            .unwrap();
        assert!(listed.found.len() <= list.limit);
        found.extend(ids(&listed).into_iter().map(str::to_owned));
        pages += 1;
        if listed.last.is_none() {
            return (found, pages);
        }
        after = listed.last;
    }
}

pub(super) fn a_list_is_as_new_as_the_history<S: Store>(open: &impl Fn() -> S) {
    let store = open();
    create(&store, 0, "runs", |_| {});
    create(&store, 1, "ended", |header| {
        header.status = RuntimeStatus::Completed;
    });
    and_reopened(store, open, |store| {
        for payloads in [false, true] {
            let listed = store.list(&List { payloads, ..all() }).unwrap();
            let [ended, runs] = &*listed.found else {
                panic!("{listed:?}");
            };
            assert_eq!((runs.header.turns, runs.header.updated), (2, turn(2).time));
            assert_eq!(runs.first_turn.is_some(), payloads);
            assert_eq!(ended.last_turn.is_some(), payloads);
            if payloads {
                let alone = store.glimpse(&id("ended")).unwrap();
                assert_eq!(alone.as_ref(), Some(ended));
            }
        }
    });
}

/// Whatever is started, purged and changed between two pages.
pub(super) fn pages_lack_nothing_that_is_there_all_the_time<S: Store>(open: &impl Fn() -> S) {
    let store = open();
    for number in 0..20 {
        create(&store, number, &format!("i{number:02}"), |header| {
            header.status = RuntimeStatus::Completed;
        });
    }
    let (mut found, mut after, mut number) = (Vec::new(), None, 20);
    let mut commits = 20;
    loop {
        let listed = store
            .list(&List {
                after,
                limit: 3,
                ..all()
            })
            .unwrap();
        found.extend(ids(&listed).into_iter().map(str::to_owned));
        let Some(last) = listed.last else { break };
        // The very one at which the next page begins, and one before and one behind it.
        let nth: u64 = last.as_str()[1..3].parse().unwrap();
        let gone = [nth.checked_sub(1), Some(nth), Some(nth + 2)];
        let gone = gone.into_iter().flatten().filter(|nth| *nth < 20);
        for nth in gone.filter(|nth| nth % 5 != 0) {
            let name = format!("i{nth:02}");
            if store.glimpse(&id(&name)).unwrap().is_some() {
                commits += 1;
                commit(&store, commits, vec![purge(&name, nth)]);
            }
        }
        for name in [format!("i{nth:02}+"), format!("h{nth:02}")] {
            commits += 1;
            let header = header(&name, number, RuntimeStatus::Pending, 0);
            commit(&store, commits, vec![put(&header)]);
            number += 1;
        }
        after = Some(last);
    }
    let once: BTreeSet<_> = found.iter().collect();
    assert_eq!(once.len(), found.len(), "{found:?}");
    for always in ["i00", "i05", "i10", "i15"] {
        assert!(found.iter().any(|id| id == always), "{found:?}");
    }
}

/// However many there are beside them, and whatever becomes of them.
pub(super) fn few_are_found_among_many<S: Store>(open: &impl Fn() -> S) {
    use RuntimeStatus::{Failed, Running, Suspended};

    let store = open();
    for number in 0..300 {
        create(&store, number, &format!("i{number:03}"), |header| {
            header.status = RuntimeStatus::Completed;
        });
    }
    let mut commits = 700;
    let mut set = |old: &Header, status, blocked: bool| {
        let problem = Problem::new(ProblemKind::Divergence, "why", "report");
        let new = Header {
            status,
            problem: blocked.then_some((problem, Timestamp(5))),
            suspended: (status == Suspended).then(String::new),
            turns: 1,
            ..old.clone()
        };
        commits += 1;
        commit(&store, commits, vec![replace(old, &new)]);
        new
    };
    let rare = [299, 7, 150, 8, 151].map(|number| {
        let name = format!("j{number:03}");
        create(&store, 300 + number, &name, |_| {});
        header(&name, 300 + number, Running, 1)
    });
    let [failed, suspended, blocked, both, again] = rare;
    let failed = set(&failed, Failed, false);
    let suspended = set(&suspended, Suspended, false);
    let blocked = set(&blocked, Running, true);
    let both = set(&both, Suspended, true);
    // As a rewind has it, and once more.
    let again = set(&again, Failed, false);
    let again = set(&again, Running, false);
    let expected = |cases: &[(Change, &[&str])], store: &S| {
        for (nth, (change, expected)) in cases.iter().enumerate() {
            let mut list = all();
            change(&mut list.filter);
            list.budget = 5;
            assert_eq!(
                page_by_page(store, &list),
                (owned(expected), 1),
                "case {nth}"
            );
            list.limit = 1;
            assert_eq!(page_by_page(store, &list).0, owned(expected), "case {nth}");
        }
    };
    expected(
        &[
            (|f| f.statuses = [Failed].into(), &["j299"]),
            (|f| f.statuses = [Suspended].into(), &["j007", "j008"]),
            (
                |f| f.statuses = [Failed, Suspended].into(),
                &["j007", "j008", "j299"],
            ),
            (|f| f.blocked = Some(true), &["j008", "j150"]),
            (
                |f| (f.statuses, f.blocked) = ([Running].into(), Some(true)),
                &["j150"],
            ),
            (
                |f| (f.statuses, f.id_prefix) = ([Failed, Suspended].into(), "j00".to_owned()),
                &["j007", "j008"],
            ),
            (
                |f| (f.statuses, f.names) = ([Failed].into(), ["x".to_owned()].into()),
                &[],
            ),
        ],
        &store,
    );
    set(&suspended, Running, false);
    set(&blocked, Running, false);
    set(&again, Failed, false);
    let both = set(&both, Running, true);
    set(&both, RuntimeStatus::Terminated, true);
    let purge_failed = Op::Purge {
        id: failed.id.clone(),
        number: failed.number,
        status: Failed,
    };
    commit(&store, 800, vec![purge_failed]);
    and_reopened(store, open, |store| {
        let mut said = store.verify(&mut |_| Ok(())).unwrap().damages;
        said.retain(|damage| damage.detail.contains("index"));
        assert_eq!(said, []);
        expected(
            &[
                (|f| f.statuses = [Failed, Suspended].into(), &["j151"]),
                (|f| f.blocked = Some(true), &["j008"]),
            ],
            store,
        );
    });
}

fn owned(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

/// An entry that is lost, and one that nothing explains.
#[test]
fn a_wrong_index_is_noticed_and_made_anew_when_a_loss_is_accepted() {
    let memory = MemoryKv::default();
    let store = super::open(memory.clone()).unwrap();
    create_four(&store);
    let list = |store: &KvStore<MemoryKv>| {
        let mut list = all();
        list.filter.statuses = [RuntimeStatus::Failed].into();
        page_by_page(store, &list).0
    };
    let sound = super::miscounted(&store);
    let (entry, other) = (b"xfb\0".to_vec(), b"xfab\0".to_vec());
    assert!(super::pairs(&memory).contains(&(entry.clone(), Vec::new())));
    let (index, key) = ("the index ", "means nothing");
    for (write, kind, said) in [
        (Write::Remove(entry.clone()), DamageKind::Missing, index),
        (
            Write::Put(other.clone(), Vec::new()),
            DamageKind::Surplus,
            index,
        ),
        (Write::Put(other, b"1".to_vec()), DamageKind::Surplus, key),
    ] {
        memory.apply(memory.batch(vec![write])).unwrap();
        let found = store.verify(&mut |_| Ok(())).unwrap();
        let is_noted = |damage: &Damage| damage.kind == kind && damage.detail.contains(said);
        assert!(found.damages.iter().any(is_noted), "{found:?}");
        // Without this record it is refused.
        let refused = Write::Remove(b"k\0\0".to_vec());
        memory.apply(memory.batch(vec![refused])).unwrap();
        let (salvaged, loss) = super::salvage(&memory).unwrap();
        assert!(loss.is_some());
        assert_eq!(list(&salvaged), ["b"]);
        assert_eq!(super::miscounted(&salvaged), sound);
    }
}
