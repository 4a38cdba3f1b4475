//! Purging while commits are under way: nothing is applied here until a test says so.

use std::path::Path;

use crate::engine::driver::{self, Driver, id, request, status, terminate};
use crate::engine::{Command, Config, Response};
use crate::id::InstanceNumber;
use crate::payload::Payload;
use crate::store::kv::KvStore;
use crate::store::kv::memory::MemoryKv;
use crate::store::{InstanceKey, RuntimeStatus, Store};

fn start(name: &str) -> Command {
    Command::Start(request(name, "fulfil"))
}

fn raise(name: &str) -> Command {
    driver::raise(name, Payload::NULL)
}

fn purge(name: &str) -> Command {
    Command::Purge {
        id: id(name),
        number: None,
    }
}

/// An instance that has ended and left memory.
fn with_ended(name: &str) -> Driver {
    let mut driver = Driver::new();
    for command in [start(name), raise(name), terminate(name)] {
        assert!(matches!(driver.ask_and_finish(command), Response::Done));
    }
    driver
}

#[test]
fn what_is_purged_is_gone_and_leaves_nothing() {
    let mut driver = with_ended("a");
    assert!(!driver.keys().is_empty());
    assert!(matches!(driver.ask_and_finish(purge("a")), Response::Done));
    assert_eq!(driver.keys(), Vec::<Vec<u8>>::new());
    for command in [purge("a"), status("a"), raise("a"), terminate("a")] {
        let answer = driver.ask_and_finish(command);
        assert!(matches!(answer, Response::NotFound), "{answer:?}");
    }
}

#[test]
fn another_of_the_same_id_is_not_purged() {
    let mut driver = with_ended("a");
    let only = |number| Command::Purge {
        id: id("a"),
        number: Some(InstanceNumber(number)),
    };
    let answer = driver.ask_and_finish(only(1));
    assert!(matches!(answer, Response::NotFound), "{answer:?}");
    assert!(!driver.keys().is_empty());
    let answer = driver.ask_and_finish(only(0));
    assert!(matches!(answer, Response::Done), "{answer:?}");
    assert!(driver.keys().is_empty());
}

#[test]
fn what_has_not_ended_is_not_purged() {
    let mut driver = Driver::new();
    driver.ask(start("a"));
    driver.settle();
    let at_once = driver.ask(purge("a"));
    driver.finish();
    let later = driver.ask(purge("a"));
    driver.finish();
    for ticket in [at_once, later] {
        let answer = driver.answer(ticket);
        assert!(
            matches!(answer, Response::NotEnded(RuntimeStatus::Pending)),
            "{answer:?}"
        );
    }
    assert!(matches!(
        driver.ask_and_finish(status("a")),
        Response::Status(_)
    ));
}

/// Else the store would lack what is to be removed.
#[test]
fn a_purge_waits_until_the_end_is_durable() {
    let mut driver = Driver::new();
    driver.ask(start("a"));
    driver.settle();
    let ended = driver.ask(terminate("a"));
    driver.settle();
    let purged = driver.ask(purge("a"));
    driver.settle();
    let still_there = driver.ask(status("a"));
    driver.settle();
    driver.commit();
    assert!(matches!(driver.answer(ended), Response::Done));
    let answer = driver.answer(still_there);
    assert!(matches!(answer, Response::Status(_)), "{answer:?}");
    assert!(!driver.answers.contains_key(&purged));

    driver.finish();
    assert!(matches!(driver.answer(purged), Response::Done));
    assert_eq!(driver.keys(), Vec::<Vec<u8>>::new());
}

#[test]
fn a_purge_that_is_not_applied_yet_is_seen_by_all_that_follows() {
    let mut driver = with_ended("a");
    let purged = driver.ask(purge("a"));
    driver.settle();
    assert!(!driver.keys().is_empty(), "it is not applied");
    let later = [purge("a"), status("a"), raise("a"), terminate("a")].map(|command| {
        let ticket = driver.ask(command);
        driver.settle();
        ticket
    });
    let started = driver.ask(start("a"));
    let refused = driver.ask(purge("a"));
    driver.finish();
    assert!(matches!(driver.answer(purged), Response::Done));
    for ticket in later {
        let answer = driver.answer(ticket);
        assert!(matches!(answer, Response::NotFound), "{answer:?}");
    }
    assert!(matches!(driver.answer(started), Response::Done));
    assert!(matches!(driver.answer(refused), Response::NotEnded(_)));
    assert_new_incarnation(&mut driver);
}

/// All in one commit, and two that purge it.
#[test]
fn a_purge_and_a_start_of_the_same_id_at_once() {
    let mut driver = with_ended("a");
    let tickets = [purge("a"), purge("a"), start("a"), status("a")].map(|it| driver.ask(it));
    driver.finish();
    let [purged, again, started, seen] = tickets.map(|ticket| driver.answer(ticket));
    assert!(matches!(purged, Response::Done), "{purged:?}");
    assert!(matches!(again, Response::NotFound), "{again:?}");
    assert!(matches!(started, Response::Done), "{started:?}");
    let Response::Status(seen) = seen else {
        panic!("{seen:?}")
    };
    assert_eq!(seen.header.number, InstanceNumber(1));
    assert_new_incarnation(&mut driver);
}

/// Of the instance `a` that was created second everything is there, of the first one nothing.
#[track_caller]
fn assert_new_incarnation(driver: &mut Driver) {
    let Response::Status(snapshot) = driver.ask_and_finish(status("a")) else {
        panic!("no status")
    };
    assert_eq!(snapshot.header.number, InstanceNumber(1));
    assert_eq!(snapshot.header.status, RuntimeStatus::Pending);
    let by_number = |number| InstanceKey::Number(InstanceNumber(number));
    assert_eq!(driver.store.load(&by_number(0), usize::MAX).unwrap(), None);
    assert!(
        driver
            .store
            .load(&by_number(1), usize::MAX)
            .unwrap()
            .is_some()
    );
    let reopened = KvStore::open(driver.kv.clone(), Path::new("memory")).unwrap();
    assert!(reopened.load(&by_number(1), usize::MAX).unwrap().is_some());
    assert_eq!(reopened.meta().purged, 1);
}

/// Its first turn is not part of the commit that is sealed next.
#[test]
fn what_is_told_of_an_instance_is_told_once_it_is_durable() {
    let config = Config {
        turns_per_commit: 1,
        ..Config::default()
    };
    let later = |command| {
        let mut driver = Driver::open(MemoryKv::default(), config);
        driver.ask(start("a"));
        driver.ask(start("b"));
        driver.read();
        driver.read();
        let ticket = driver.ask(command);
        assert!(driver.seal());
        driver.commit();
        let told = driver.answers.contains_key(&ticket);
        let there = driver.store.glimpse(&id("b")).unwrap().is_some();
        assert!(!told || there, "{:?}", driver.answers[&ticket]);
        driver.finish();
        driver.answer(ticket)
    };
    assert!(matches!(later(status("b")), Response::Status(_)));
    assert!(matches!(later(purge("b")), Response::NotEnded(_)));
    assert!(matches!(later(start("b")), Response::AlreadyExists(_)));
}

/// A crash before the purge is synced leaves the instance whole.
#[test]
fn a_purge_happens_whole_or_not() {
    for kept in 0..2 {
        let mut driver = with_ended("a");
        let before = driver.keys();
        driver.ask(purge("a"));
        driver.settle();
        for (_, prepared, _) in std::mem::take(&mut driver.sealed) {
            driver.store.apply(prepared.unwrap()).unwrap();
        }
        driver.kv.crash(kept);
        let left = driver.keys();
        assert_eq!(left, if kept == 0 { before } else { Vec::new() });
    }
}
