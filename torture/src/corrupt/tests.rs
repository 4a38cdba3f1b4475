//! The judge can say no: what is shown of a whole hub is tampered with, and each lie is found.

use durable_core::ProblemKind;

use super::verdict::{Finding, Verdict, is_right};
use crate::line::Digest;
use crate::population::child::Looked;
use crate::population::{Seen, Sight};

const COUNT: u64 = 32;

/// What is seen of a small hub, made and looked at as it is damaged otherwise.
fn whole() -> Sight {
    let dir = tempfile::tempdir().expect("a directory");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let hub = dir.path().join("hub");
        crate::population::make(&hub, 0..COUNT, crate::population::Leave::Closed)
            .await
            .expect("it is made");
        crate::population::look(&hub, 0..COUNT).await
    })
}

type Lie = fn(&mut Sight);

fn verdict(whole: &Sight, change: impl FnOnce(&mut Sight)) -> Verdict {
    let mut seen = whole.clone();
    change(&mut seen);
    Finding::judge(whole, &Looked::Saw(Box::new(seen))).verdict
}

fn first(seen: &mut std::collections::BTreeMap<String, Seen>) -> &mut Seen {
    seen.get_mut("completed-0").expect("it is there")
}

fn history(sight: &mut Sight) -> &mut Result<Option<Digest>, String> {
    sight.histories.get_mut("completed-0").expect("it is there")
}

fn view(seen: &mut Seen) -> &mut crate::population::View {
    let Seen::View(view) = seen else {
        panic!("{seen:?}");
    };
    view
}

#[test]
fn every_lie_is_found() {
    let whole = whole();
    is_right(&whole, 0..COUNT).expect("nothing is damaged");
    assert_eq!(verdict(&whole, |_| ()), Verdict::Intact);

    let silent: [Lie; 8] = [
        |sight| *first(&mut sight.found) = Seen::Nothing,
        |sight| view(first(&mut sight.ended)).output = None,
        |sight| view(first(&mut sight.found)).input = None,
        |sight| {
            let stuck = view(first(&mut sight.ended)).clone();
            *first(&mut sight.ended) = Seen::Stuck(stuck);
        },
        |sight| sight.ended.clear(),
        |sight| *history(sight) = Ok(None),
        |sight| sight.histories.clear(),
        |sight| {
            if let Some(Ok(again)) = &mut sight.again {
                *first(again) = Seen::Nothing;
            }
        },
    ];
    for (lie, tell) in silent.into_iter().enumerate() {
        assert_eq!(verdict(&whole, tell), Verdict::Silent, "{lie}");
    }

    // Whoever reads everything must find what others do.
    let overlooked =
        |sight: &mut Sight| *first(&mut sight.found) = Seen::Error("damaged".to_owned());
    assert_eq!(verdict(&whole, overlooked), Verdict::Silent);
    let overlooked = |sight: &mut Sight| *history(sight) = Err("damaged".to_owned());
    assert_eq!(verdict(&whole, overlooked), Verdict::Silent);
    let unsound = |sight: &mut Sight| sight.verified = Some(Err("damaged".to_owned()));
    assert_eq!(verdict(&whole, unsound), Verdict::ByVerify);

    let told: [Lie; 5] = [
        |sight| {
            *history(sight) = Err("damaged".to_owned());
            sight.verified = Some(Err("damaged".to_owned()));
        },
        |sight| {
            *first(&mut sight.found) = Seen::Error("damaged".to_owned());
            sight.verified = Some(Err("damaged".to_owned()));
        },
        |sight| view(first(&mut sight.ended)).problem = Some(ProblemKind::StoreCorrupt),
        |sight| sight.not_closed = Some("damaged".to_owned()),
        |sight| sight.again = Some(Err("damaged".to_owned())),
    ];
    for tell in told {
        assert_eq!(verdict(&whole, tell), Verdict::AtRead);
    }
    let refused = |sight: &mut Sight| sight.refused = Some("damaged".to_owned());
    assert_eq!(verdict(&whole, refused), Verdict::AtOpen);
    let panicked = |sight: &mut Sight| sight.panics.push("here".to_owned());
    assert_eq!(verdict(&whole, panicked), Verdict::Panicked);
    assert_eq!(Finding::judge(&whole, &Looked::Hung).verdict, Verdict::Hung);
    let died = Looked::Died("signal: 6".to_owned());
    assert_eq!(Finding::judge(&whole, &died).verdict, Verdict::Panicked);
}
