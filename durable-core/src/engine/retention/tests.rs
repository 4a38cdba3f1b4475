//! Sweeps, step by step, in the time that a test tells.

use std::sync::Arc;
use std::time::Duration;

use super::{LOOKED_AT, PURGED};
use crate::engine::driver::{Driver, id, request, terminate};
use crate::engine::{Command, Config, Fetch, Response, Rules};
use crate::store::kv::memory::MemoryKv;
use crate::store::{Keep, Retention};
use crate::time::Timestamp;

const SECOND: u64 = 1_000_000;

/// A hub that keeps everything for so many seconds.
fn hub(kv: MemoryKv, seconds: u64) -> Driver {
    let keep = Keep::every(Duration::from_secs(seconds));
    let rules = Rules {
        retention: Arc::new(Retention::new(keep)),
        ..Rules::default()
    };
    let mut driver = Driver::open(kv, Config::default());
    driver.engine = driver.engine.with_rules(rules);
    driver
}

fn start(name: &str) -> Command {
    Command::Start(request(name, "fulfil"))
}

/// Instances that end now.
fn end<'a>(driver: &mut Driver, names: impl IntoIterator<Item = &'a str>) {
    for name in names {
        for command in [start(name), terminate(name)] {
            driver.ask(command);
            driver.settle();
        }
    }
    driver.finish();
}

fn headers(driver: &Driver) -> usize {
    let keys = driver.keys();
    keys.iter().filter(|key| key[0] == b'i').count()
}

/// Moves the time on to the next deadline, if that is not later than `until`.
fn step(driver: &mut Driver, until: u64) -> bool {
    let next = driver.engine.next_deadline();
    let Some(next) = next.filter(|next| next.0 <= until) else {
        driver.now = driver.now.max(Timestamp(until));
        driver.finish();
        return false;
    };
    driver.now = driver.now.max(next);
    driver.finish();
    true
}

#[test]
fn what_is_over_is_purged_and_not_before() {
    for seconds in [0, 10] {
        let mut driver = hub(MemoryKv::default(), seconds);
        while step(&mut driver, SECOND) {}
        assert_eq!(driver.engine.next_deadline(), None, "nothing is there");
        end(&mut driver, ["a"]);
        let due = Timestamp(SECOND).deadline_after(Duration::from_secs(seconds));
        if seconds > 0 {
            assert_eq!(driver.engine.next_deadline(), Some(due));
            while step(&mut driver, due.0 - 1) {}
            assert_eq!(headers(&driver), 1);
        }
        while step(&mut driver, due.0 + SECOND) {}
        assert!(driver.keys().is_empty(), "{:?}", driver.keys());
        assert_eq!(driver.engine.next_deadline(), None);
    }
}

#[test]
fn nothing_is_purged_that_runs_or_is_kept_for_ever() {
    let mut driver = hub(MemoryKv::default(), 1);
    driver.ask(start("runs"));
    driver.finish();
    while step(&mut driver, 100 * SECOND) {}
    assert_eq!(headers(&driver), 1);
    assert_eq!(driver.engine.next_deadline(), None);

    let mut driver = Driver::new();
    end(&mut driver, ["a"]);
    while step(&mut driver, 100 * SECOND) {}
    assert_eq!((headers(&driver), driver.engine.next_deadline()), (1, None));
}

#[test]
fn a_step_purges_few_and_looks_at_few() {
    let kv = MemoryKv::default();
    let mut driver = Driver::open(kv.clone(), Config::default());
    let names: Vec<_> = (0..3 * LOOKED_AT).map(|n| format!("i{n:05}")).collect();
    end(&mut driver, names.iter().map(String::as_str));
    // All of it is found after a restart, and goes on in another.
    let mut left = names.len();
    while left > 0 {
        let mut driver = hub(kv.clone(), 1);
        driver.now = Timestamp(10 * SECOND);
        for _ in 0..20 {
            assert!(step(&mut driver, u64::MAX) || left == 0);
            let now = headers(&driver);
            assert!(
                left - now <= PURGED && (now < left || left == 0),
                "{left} {now}"
            );
            left = now;
        }
    }
}

/// Whatever the sweep has passed already.
#[test]
fn what_ends_during_a_sweep_is_found_by_the_next() {
    let kv = MemoryKv::default();
    let mut driver = hub(kv.clone(), 1);
    for n in 0..2 * LOOKED_AT {
        driver.ask(start(&format!("i{n:05}")));
    }
    driver.finish();
    let mut driver = hub(kv, 1);
    assert!(step(&mut driver, SECOND), "a part of them");
    end(&mut driver, ["a"]);
    while step(&mut driver, 30 * SECOND) {}
    assert_eq!(headers(&driver), 2 * LOOKED_AT);
}

/// It is looked at again before it is purged.
#[test]
fn what_was_found_is_purged_only_if_it_still_is_over() {
    let mut driver = hub(MemoryKv::default(), 10);
    while step(&mut driver, SECOND) {}
    end(&mut driver, ["a"]);
    driver.now = Timestamp(20 * SECOND);
    driver.advance();
    assert!(matches!(driver.read(), Some(Fetch::Expired { .. })));
    driver.now = Timestamp(2 * SECOND);
    driver.finish();
    assert_eq!(headers(&driver), 1);
    let purged = driver.ask(Command::Purge {
        id: id("a"),
        number: None,
    });
    let again = driver.ask(start("a"));
    while step(&mut driver, 100 * SECOND) {}
    for ticket in [purged, again] {
        let answer = driver.answer(ticket);
        assert!(matches!(answer, Response::Done), "{answer:?}");
    }
    assert_eq!(headers(&driver), 1, "another of the same id");
}

#[test]
fn a_clock_that_is_set_back_stops_nothing() {
    let mut driver = hub(MemoryKv::default(), 10);
    let year = 365 * 24 * 3600 * SECOND;
    driver.now = Timestamp(year);
    end(&mut driver, ["later"]);
    while step(&mut driver, year + SECOND) {}
    driver.now = Timestamp(SECOND);
    end(&mut driver, ["a"]);
    // A rest may be under way.
    while step(&mut driver, 2 * 3600 * SECOND) {}
    assert_eq!(headers(&driver), 1);
    while step(&mut driver, year + 20 * SECOND) {}
    assert_eq!(headers(&driver), 0);
}
