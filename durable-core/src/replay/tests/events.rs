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

/// Waits for `Go` no longer than `limit` seconds, and then as long as it takes.
fn limited(ctx: OrchestrationContext, input: Payload) -> OrchestratorFuture {
    let limit = input.decode().expect("seconds");
    body(async move {
        let wait = || ctx.wait_for_external_event::<u32>("Go");
        let first = wait().timeout(secs(limit)).await;
        (first, wait().await.ok())
    })
}

#[test]
fn a_timer_is_withdrawn_when_the_event_comes_in_time() {
    check(
        limited,
        &[
            ("@0 start 60", "wait #0 go; timer #1 at 60"),
            ("@9 raise other 9", "-"),
            ("raise go 1", "cancel #1; wait #2 go"),
            ("@60 fired #1", "ignored"),
            ("raise go 2", "complete [{\"Ok\":1},2]"),
        ],
    );
}

#[test]
fn an_event_that_comes_late_is_the_next_waits() {
    check(
        limited,
        &[
            ("@0 start 60", "wait #0 go; timer #1 at 60"),
            ("@60 fired #1", "cancel #0; wait #2 go"),
            ("raise go 1", "complete [{\"Err\":\"TimedOut\"},1]"),
        ],
    );
}

#[test]
fn an_event_that_is_there_needs_no_timer() {
    for limit in [60, 0] {
        let start = format!("start {limit}");
        check(
            limited,
            &[
                ("raise go 1", "-"),
                (&start, "wait #0 go; wait #2 go"),
                ("raise go 2", "complete [{\"Ok\":1},2]"),
            ],
        );
    }
}

#[test]
fn no_time_at_all_is_up_at_once() {
    check(
        limited,
        &[
            ("@7 start 0", "wait #0 go; timer #1 at 7"),
            ("fired #1", "cancel #0; wait #2 go"),
            ("raise go 1", "complete [{\"Err\":\"TimedOut\"},1]"),
        ],
    );
}

#[test]
fn of_an_event_and_a_timeout_that_were_not_looked_at_the_event_wins() {
    let run: RunOrchestrator = |ctx, _| {
        body(async move {
            let wait = ctx.wait_for_external_event::<u32>("Go");
            let wait = wait.timeout(secs(1)).start();
            let _ = ctx.call_activity::<Work>(1).await;
            wait.await
        })
    };
    let begun = ("start", "wait #0 go; timer #1 at 1; call #2 work 1");
    let won = ("done #2 7", "cancel #1; complete {\"Ok\":1}");
    check(
        run,
        &[
            begun,
            ("raise go 1", "-"),
            ("@1 fired #1", "-"),
            ("done #2 7", "complete {\"Ok\":1}"),
        ],
    );
    check(
        run,
        &[
            begun,
            ("@1 fired #1", "-"),
            ("raise go 1", "-"),
            ("done #2 7", "complete {\"Ok\":1}"),
        ],
    );
    check(run, &[begun, ("raise go 1", "-"), won]);
    let lost = ("done #2 7", "cancel #0; complete {\"Err\":\"TimedOut\"}");
    check(run, &[begun, ("@1 fired #1", "-"), lost]);
}

#[test]
fn a_dropped_wait_withdraws_its_timer_and_gives_its_event_back() {
    check(
        |ctx, _| {
            body(async move {
                let wait = || ctx.wait_for_external_event::<u32>("Go");
                let both = [
                    wait().timeout(secs(60)).start(),
                    wait().timeout(secs(60)).start(),
                ];
                let _ = ctx.call_activity::<Work>(1).await;
                drop(both);
                wait().await.ok()
            })
        },
        &[
            (
                "start",
                "wait #0 go; timer #1 at 60; wait #2 go; timer #3 at 60; call #4 work 1",
            ),
            ("raise go 1", "-"),
            ("done #4 7", "cancel #1; cancel #3; wait #5 go; complete 1"),
        ],
    );
}

#[test]
fn a_limited_wait_says_when_it_is_done() {
    use futures_core::FusedFuture;

    check(
        |ctx, _| {
            body(async move {
                let mut ended = Vec::new();
                for limit in [1, 2] {
                    let wait = ctx.wait_for_external_event::<u32>("Go");
                    let mut wait = wait.timeout(secs(limit));
                    ended.push(wait.is_terminated());
                    let _ = (&mut wait).await;
                    ended.push(wait.is_terminated());
                }
                ended
            })
        },
        &[
            ("start", "wait #0 go; timer #1 at 1"),
            ("raise go 1", "cancel #1; wait #2 go; timer #3 at 2"),
            ("@2 fired #3", "cancel #2; complete [false,true,false,true]"),
        ],
    );
}
