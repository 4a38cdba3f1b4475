//! How much goes into a commit, and who goes first.

use super::driver::{Driver, id, raise as raise_with, request, status};
use crate::engine::{Command, Config, Fetch, Response, StartRequest};
use crate::history::Event;
use crate::id::{EventName, InstanceNumber};
use crate::payload::Payload;
use crate::store::kv::memory::MemoryKv;
use crate::store::{InstanceKey, Store};

fn start(name: &str) -> Command {
    Command::Start(request(name, "fulfil"))
}

fn raise(name: &str) -> Command {
    raise_with(name, Payload::NULL)
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
        sizes.len() >= 8 && sizes.iter().all(|size| *size <= 512 + 256),
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
        assert!(now > answered && now - answered <= 128);
        answered = now;
    }
    assert_eq!(answered, 600);
}

/// Two ways to read an instance, by id and by number: once one of them was gone, nobody overtakes
/// those who wait for the other.
#[test]
fn nobody_overtakes_who_waits_for_an_instance_to_be_read() {
    let config = Config {
        max_live: 0,
        ..Config::default()
    };
    let mut driver = Driver::open(MemoryKv::default(), config);
    assert!(matches!(
        driver.ask_and_finish(start("sleeper")),
        Response::Done
    ));
    let numbered = |n: u32| Event::EventRaised {
        name: EventName::new("go"),
        data: Payload::encode(&n).unwrap(),
        id: None,
    };
    driver.ask(Command::Start(StartRequest {
        event: Some(numbered(0)),
        ..request("sleeper", "fulfil")
    }));
    assert!(matches!(driver.read(), Some(Fetch::Glimpse(..))));
    driver.ask(raise_with("sleeper", Payload::encode(&1).unwrap()));
    let read = driver.read();
    let by_number = InstanceKey::Number(InstanceNumber(0));
    assert!(matches!(read, Some(Fetch::Instance { key, .. }) if key == by_number));
    driver.ask(raise_with("sleeper", Payload::encode(&2).unwrap()));
    driver.finish();

    let stored = driver.stored("sleeper").unwrap();
    let events = stored.messages.iter().filter_map(|(_, event)| match event {
        Event::EventRaised { data, .. } => Some(data.decode::<u32>().unwrap()),
        _ => None,
    });
    assert_eq!(events.collect::<Vec<_>>(), [0, 1, 2]);
}

/// What is stored for an instance is read piece by piece, others go on in between, and what comes
/// for it meanwhile comes after that.
#[test]
fn a_full_mailbox_is_loaded_in_pieces() {
    let config = Config {
        max_live: 0,
        messages_at_once: 2,
        ..Config::default()
    };
    let mut driver = Driver::open(MemoryKv::default(), config);
    let number = |n: u64| Payload::encode(&n).unwrap();
    for name in ["full", "other"] {
        driver.ask_and_finish(start(name));
    }
    let raised = |driver: &mut Driver, n| driver.ask(raise_with("full", number(n)));
    for n in 0..5 {
        raised(&mut driver, n);
    }
    driver.finish();

    raised(&mut driver, 5);
    let status = driver.ask(status("other"));
    driver.advance();
    let mut reads = Vec::new();
    for n in 6.. {
        let Some(read) = driver.read() else { break };
        reads.push(match read {
            Fetch::Instance { .. } => "instance",
            Fetch::Messages { .. } => "messages",
            Fetch::Glimpse(..) | Fetch::Expired { .. } => "other",
            Fetch::Timers { .. } => "timers",
        });
        // Served at once, as all is there then.
        if n < 8 {
            raised(&mut driver, n);
        }
    }
    // The start and five events; that there is no more is the last to be read.
    assert_eq!(
        reads,
        ["instance", "other", "messages", "messages", "messages"]
    );
    driver.finish();
    assert!(matches!(driver.answer(status), Response::Status(_)));

    let key = InstanceKey::Id(id("full"));
    let stored = driver.store.load(&key, usize::MAX).unwrap().unwrap();
    let events = stored.messages.into_iter().skip(1).map(|(_, event)| event);
    let expected = (0..8).map(|n| Event::EventRaised {
        name: EventName::new("go"),
        data: number(n),
        id: None,
    });
    assert!(events.eq(expected));
}
