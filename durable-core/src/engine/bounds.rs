//! How much goes into a commit, and who goes first.

use super::driver::{Driver, id};
use crate::engine::{Command, Response, StartRequest};
use crate::id::EventName;
use crate::payload::Payload;

fn start(name: &str) -> Command {
    Command::Start(StartRequest {
        id: id(name),
        name: "fulfil".to_owned(),
        version: String::new(),
        input: Payload::NULL,
        fresh: false,
    })
}

fn raise(name: &str) -> Command {
    Command::Raise {
        id: id(name),
        name: EventName::new("go"),
        data: Payload::NULL,
    }
}

/// One instance has more to do than fits into a commit; another's turn is in the first all the same.
#[test]
fn a_commit_is_bounded_and_others_do_not_wait_for_the_next() {
    const EVENTS: usize = 5_000;
    let mut driver = Driver::new();
    assert!(matches!(
        driver.ask_and_finish(start("busy")),
        Response::Done
    ));
    let raised: Vec<_> = (0..EVENTS).map(|_| driver.ask(raise("busy"))).collect();
    let other = driver.ask(start("other"));
    driver.settle();
    let sizes: Vec<_> = driver
        .sealed
        .iter()
        .map(|(_, _, effects)| effects.len())
        .collect();
    assert!(
        sizes.len() >= 4 && sizes.iter().all(|size| *size <= 1024 + 256),
        "{sizes:?}"
    );

    let later = driver.sealed.split_off(1);
    driver.commit();
    assert!(matches!(driver.answer(other), Response::Done));
    driver.sealed = later;
    driver.finish();
    for ticket in raised {
        assert!(matches!(driver.answer(ticket), Response::Done));
    }
}

/// What many instances ask for at once is answered in the order in which it was asked.
#[test]
fn first_come_first_served() {
    let mut driver = Driver::new();
    let started: Vec<_> = (0..600)
        .map(|n| driver.ask(start(&format!("i{n}"))))
        .collect();
    driver.settle();
    assert!(driver.sealed.len() >= 3);
    let mut answered = 0;
    while let Some(next) = driver.sealed.pop_front() {
        let later = std::mem::replace(&mut driver.sealed, [next].into());
        driver.commit();
        driver.sealed = later;
        let now = started
            .iter()
            .take_while(|ticket| driver.answers.contains_key(ticket))
            .count();
        assert_eq!(driver.answers.len(), now, "some were overtaken");
        assert!(now > answered && now - answered <= 256);
        answered = now;
    }
    assert_eq!(answered, 600);
}
