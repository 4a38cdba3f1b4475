//! The judge can say no: a hub that misbehaves is found, as is one that has lost something.

use super::errands::{Said, What, Why};
use super::judge::{Book, Ended, Expect};
use crate::line::Digest;
use crate::population::Member;

fn asked(n: u64, what: What) -> Said {
    Said::Asked { n, what }
}

fn told(n: u64, what: What) -> Said {
    Said::Told { n, what }
}

fn denied(n: u64, what: What, why: Why) -> Said {
    let error = "no".to_owned();
    Said::Denied {
        n,
        what,
        why,
        error,
    }
}

fn ended(n: u64, notes: &[String]) -> Said {
    let output = Some(Member::errand(n).output_of_notes(notes));
    Said::Ended { n, output }
}

fn closed(ready: bool) -> [Said; 2] {
    let error = (!ready).then(|| "failed".to_owned());
    [Said::Health { ready }, Said::Closed { error }]
}

/// Instance 0 is started and told one note; the second one is denied, and what follows.
fn failing() -> Vec<Said> {
    vec![
        Said::Opened,
        asked(0, What::Start),
        told(0, What::Start),
        asked(0, What::Note(0)),
        told(0, What::Note(0)),
        asked(0, What::Note(1)),
        denied(0, What::Note(1), Why::Store),
        asked(1, What::Start),
        denied(1, What::Start, Why::Store),
    ]
}

fn judge(said: impl IntoIterator<Item = Said>, expect: Expect) -> (Book, Vec<String>) {
    let said: Vec<_> = said.into_iter().collect();
    let mut book = Book::default();
    let wrong = book.judge_fault(&said, Ended::Well, expect);
    (book, wrong)
}

fn recovered(seen: impl IntoIterator<Item = Said>) -> Vec<String> {
    let (book, wrong) = judge(
        failing().into_iter().chain(closed(false)),
        Expect::FailsAndStops,
    );
    assert_eq!(wrong, [""; 0]);
    let said: Vec<_> = seen.into_iter().chain(closed(true)).collect();
    book.judge_recovery(&said, Ended::Well)
}

/// The notes of instance 0 if so many of the first ones have come in.
fn notes(early: usize) -> Vec<String> {
    let member = Member::errand(0);
    let early = member.notes().into_iter().take(early);
    early.chain(member.late_notes()).take(3).collect()
}

#[test]
fn a_hub_that_fails_and_stops_is_right() {
    let (book, wrong) = judge(
        failing().into_iter().chain(closed(false)),
        Expect::FailsAndStops,
    );
    assert_eq!(wrong, [""; 0]);
    assert_eq!(book.acknowledged, 2);
    assert_eq!(book.begun(), [0, 1]);
}

#[test]
fn a_hub_that_goes_on_after_it_has_failed_is_found() {
    let late = [asked(2, What::Start), told(2, What::Start)];
    let said = failing().into_iter().chain(late).chain(closed(false));
    assert_eq!(judge(said, Expect::FailsAndStops).1.len(), 1);
    let late = [asked(2, What::End), ended(2, &Member::errand(2).notes())];
    let said = failing().into_iter().chain(late).chain(closed(false));
    assert_eq!(judge(said, Expect::FailsAndStops).1.len(), 1);
}

#[test]
fn an_answer_that_was_on_its_way_is_no_offence() {
    let said = [asked(2, What::Start)].into_iter().chain(failing());
    let said = said.chain([told(2, What::Start)]).chain(closed(false));
    assert_eq!(judge(said, Expect::FailsAndStops).1, [""; 0]);
}

#[test]
fn a_hub_that_does_not_own_up_is_found() {
    let all = |last: [Said; 2]| judge(failing().into_iter().chain(last), Expect::FailsAndStops).1;
    assert_eq!(all(closed(true)).len(), 1);
    let [ready, _] = closed(true);
    let [_, error] = closed(false);
    assert_eq!(all([ready, error]).len(), 1);
    assert_eq!(judge(failing(), Expect::FailsAndStops).1.len(), 1);
}

#[test]
fn the_wrong_kind_of_error_is_found() {
    let said = failing()
        .into_iter()
        .chain([denied(3, What::Start, Why::Other)]);
    assert_eq!(
        judge(said.chain(closed(false)), Expect::FailsAndStops)
            .1
            .len(),
        1
    );
    let refused = |kind: &str| {
        let (kind, error) = (kind.to_owned(), String::new());
        judge([Said::Refused { kind, error }], Expect::IsRefused)
            .1
            .len()
    };
    assert_eq!([refused("Io"), refused("Corrupt")], [0, 1]);
}

#[test]
fn panics_deaths_and_hangs_are_found() {
    let panicked = [Said::Panicked {
        text: String::new(),
    }];
    let said = panicked.into_iter().chain(failing()).chain(closed(false));
    assert_eq!(judge(said, Expect::FailsAndStops).1.len(), 1);
    for (how, expect, wrong) in [
        (Ended::Hung, Expect::StaysTrue, 1),
        (Ended::Killed, Expect::FailsAndStops, 1),
        (Ended::Well, Expect::Dies, 1),
        (Ended::Killed, Expect::Dies, 0),
    ] {
        assert_eq!(
            Book::default().judge_fault(&[], how, expect).len(),
            wrong,
            "{how:?}"
        );
    }
}

#[test]
fn an_idle_hub_that_works_is_found() {
    let idled = |cpu_ms| {
        let said = [Said::Idled { cpu_ms }].into_iter().chain(closed(true));
        judge(said, Expect::GoesOn).1.len()
    };
    assert_eq!([idled(20), idled(2000)], [0, 1]);
}

#[test]
fn whether_an_unanswered_note_came_in_is_left_open() {
    for early in [1, 2] {
        let seen = [ended(0, &notes(early)), Said::Missing { n: 1 }];
        assert_eq!(recovered(seen), [""; 0], "{early} notes");
    }
}

#[test]
fn what_is_lost_or_changed_is_found() {
    let there = || Said::Missing { n: 1 };
    for wrong in [
        vec![Said::Missing { n: 0 }, there()],
        vec![ended(0, &notes(0)), there()],
        vec![Said::Ended { n: 0, output: None }, there()],
        vec![
            Said::Ended {
                n: 0,
                output: Some(Digest::of("another")),
            },
            there(),
        ],
        vec![there()],
        vec![
            ended(0, &notes(1)),
            there(),
            denied(0, What::End, Why::Store),
        ],
    ] {
        assert_eq!(recovered(wrong.clone()).len(), 1, "{wrong:?}");
    }
}
