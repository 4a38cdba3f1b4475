//! External events: kept until they are taken, first in first out.

use futures_util::future::{join, join3};

use super::*;

#[test]
fn events_raised_before_the_wait_are_kept_in_order() {
    check(
        |ctx, _| {
            body(async move {
                let _ = ctx.call_activity::<Work>(1).await;
                let next = || ctx.wait_for_external_event::<u32>("Go");
                [next().await, next().await, next().await].map(|data| data.expect("a number"))
            })
        },
        &[
            ("raise go 1", "-"),
            ("start", "call #0 work 1"),
            ("raise go 2", "-"),
            ("raise other 9", "-"),
            ("done #0 7", "wait #1 go; wait #2 go; wait #3 go"),
            ("raise go 3", "complete [1,2,3]"),
        ],
    );
}

#[test]
fn names_are_compared_without_case() {
    check(
        |ctx, _| body(async move { ctx.wait_for_external_event::<u32>("ApproVal").await.ok() }),
        &[
            ("start", "wait #0 approval"),
            ("raise APPROVAL 1", "complete 1"),
        ],
    );
}

#[test]
fn of_several_waits_the_one_that_was_made_first_gets_the_first_event() {
    check(
        |ctx, _| {
            body(async move {
                let a = ctx.wait_for_external_event::<u32>("Go");
                let b = ctx.wait_for_external_event::<u32>("go");
                // Begun in the other order.
                let (b, a) = join(b, a).await;
                [a, b].map(|data| data.expect("a number"))
            })
        },
        &[
            ("start", "wait #1 go; wait #0 go"),
            ("raise go 1", "-"),
            ("raise go 2", "complete [1,2]"),
        ],
    );
}

#[test]
fn a_wait_of_one_name_does_not_take_an_event_of_another() {
    check(
        |ctx, _| {
            body(async move {
                let wait = |name| ctx.wait_for_external_event::<u32>(name);
                let (a, b, c) = join3(wait("a"), wait("b"), wait("a")).await;
                [a, b, c].map(|data| data.expect("a number"))
            })
        },
        &[
            ("start", "wait #0 a; wait #1 b; wait #2 a"),
            ("raise b 1", "-"),
            ("raise b 2", "-"),
            ("raise a 3", "-"),
            ("raise a 4", "complete [3,1,4]"),
        ],
    );
}

#[test]
fn data_of_another_shape_is_the_waiters_error_and_uses_the_event_up() {
    check(
        |ctx, _| {
            body(async move {
                let first = ctx.wait_for_external_event::<u32>("Go").await;
                let wrong = matches!(first, Err(EventError::Data(_)));
                (wrong, ctx.wait_for_external_event::<u32>("Go").await.ok())
            })
        },
        &[
            ("start", "wait #0 go"),
            ("raise go \"x\"", "wait #1 go"),
            ("raise go 2", "complete [true,2]"),
        ],
    );
}

#[test]
fn the_unit_type_takes_an_event_without_data() {
    check(
        |ctx, _| body(async move { ctx.wait_for_external_event::<()>("Go").await.is_ok() }),
        &[("start", "wait #0 go"), ("raise go", "complete true")],
    );
}

#[test]
fn an_abandoned_wait_leaves_nothing_behind() {
    let run: RunOrchestrator = |ctx, _| {
        body(async move {
            for round in 0.. {
                let name = format!("answer-{round}");
                tokio::select! { biased;
                    _ = ctx.wait_for_external_event::<u32>(&name) => break,
                    () = ctx.create_timer(secs(1)) => {}
                }
            }
        })
    };
    let mut live = Live::new(run);
    live.feed("start");
    for round in 0..3 {
        live.feed(&format!("fired #{}", 2 * round + 1));
    }
    let state = format!("{:?}", live.execution);
    assert!(state.contains("answer-3"), "{state}");
    assert!(!state.contains("answer-0"), "{state}");
}

#[test]
fn the_payload_held_is_that_of_events_and_results_not_taken_yet() {
    let run: RunOrchestrator = |ctx, _| {
        body(async move {
            let held = ctx.call_activity::<Work>(1).start();
            let _ = ctx.wait_for_external_event::<u32>("Go").await;
            drop(held);
            let _ = ctx.wait_for_external_event::<String>("Text").await;
            std::future::pending::<()>().await;
        })
    };
    let mut live = Live::new(run);
    for (row, bytes) in [
        ("start", 0),
        ("raise text \"12345\"", 7),
        ("raise more 123", 10),
        ("done #0 12", 12),
        ("raise go 1", 3),
    ] {
        live.feed(row);
        assert_eq!(live.execution.payload_bytes(), bytes, "after `{row}`");
    }
    assert_eq!(live.execution.open_calls(), 0);
}
