//! Dropping a call cancels it, and gives back an event that it has not returned yet.

use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Wake};

use futures_util::FutureExt;
use futures_util::future::{Either, select};

use super::*;
use crate::history::{Outstanding, Pending};

#[test]
fn a_begun_call_that_is_dropped_is_cancelled_and_its_late_answer_ignored() {
    check(
        |ctx, _| {
            body(async move {
                let a = ctx.call_activity::<Work>(1).start();
                let timer = ctx.create_timer(secs(5)).start();
                let _ = ctx.wait_for_external_event::<u32>("Go").await;
                drop((a, timer));
                text(ctx.call_activity::<Work>(2).await)
            })
        },
        &[
            ("start", "call #0 work 1; timer #1 at 5; wait #2 go"),
            ("raise go 1", "cancel #0; cancel #1; call #3 work 2"),
            ("done #0 9", "ignored"),
            ("failed #0 \"late\"", "ignored"),
            ("fired #1", "ignored"),
            ("done #77 9", "ignored"),
            ("fired #3", "ignored"),
            ("done #2 1", "ignored"),
            ("done #3 7", "complete \"7\""),
        ],
    );
}

#[test]
fn an_answer_counts_once() {
    check(
        |ctx, _| {
            body(async move {
                let a = ctx.call_activity::<Work>(1).start();
                ctx.create_timer(secs(5)).await;
                text(a.await)
            })
        },
        &[
            ("start", "call #0 work 1; timer #1 at 5"),
            ("done #0 7", "-"),
            ("done #0 8", "ignored"),
            ("failed #0 \"no\"", "ignored"),
            ("fired #1", "complete \"7\""),
        ],
    );
}

#[test]
fn an_ignored_event_does_not_poll() {
    let run: RunOrchestrator = |ctx, _| {
        let mut call = pin_box(ctx.call_activity::<Work>(1));
        body(std::future::poll_fn(move |cx| {
            note("polled");
            call.as_mut().poll(cx).map(|_| ())
        }))
    };
    let mut live = Live::new(run);
    for (row, polls) in [
        ("start", 1),
        ("done #5 1", 0),
        ("fired #0", 0),
        ("raise x", 0),
        ("done #0 1", 1),
    ] {
        live.feed(row);
        assert_eq!(take_notes().len(), polls, "{row}");
    }
}

fn pin_box<F>(future: F) -> std::pin::Pin<Box<F>> {
    Box::pin(future)
}

#[test]
fn a_call_that_has_ended_can_no_longer_be_cancelled() {
    check(
        |ctx, _| {
            body(async move {
                let a = ctx.call_activity::<Work>(1).start();
                let timer = ctx.create_timer(secs(5)).start();
                let _ = ctx.wait_for_external_event::<u32>("Go").await;
                drop((a, timer));
            })
        },
        &[
            ("start", "call #0 work 1; timer #1 at 5; wait #2 go"),
            ("done #0 7", "-"),
            ("fired #1", "-"),
            ("raise go 1", "complete null"),
        ],
    );
}

#[test]
fn a_call_begun_and_dropped_in_one_step_is_recorded_as_both() {
    check(
        |ctx, _| {
            body(async move {
                drop(ctx.call_activity::<Work>(1).start());
                ctx.create_timer(secs(1)).now_or_never().is_some()
            })
        },
        &[(
            "start",
            "call #0 work 1; cancel #0; timer #1 at 1; cancel #1; complete false",
        )],
    );
}

#[test]
fn locals_are_cancelled_in_reverse_before_the_end() {
    check(
        |ctx, _| {
            body(async move {
                let _a = ctx.call_activity::<Work>(1).start();
                let _b = ctx.create_timer(secs(1)).start();
                let _c = ctx.wait_for_external_event::<u32>("Go").start();
            })
        },
        &[(
            "start",
            "call #0 work 1; timer #1 at 1; wait #2 go; cancel #2; cancel #1; cancel #0; complete null",
        )],
    );
}

#[test]
fn a_panic_cancels_then_fails() {
    check(
        |ctx, _| {
            body(async move {
                let _a = ctx.call_activity::<Work>(1).start();
                ctx.create_timer(secs(1)).await;
                assert!(ctx.now() == std::time::UNIX_EPOCH, "no stock");
            })
        },
        &[
            ("start", "call #0 work 1; timer #1 at 1"),
            ("@1 fired #1", "cancel #0; fail Panic no stock"),
            ("done #0 7", "ignored"),
        ],
    );
}

#[test]
fn after_the_end_nothing_changes_anything() {
    check(
        |ctx, _| body(async move { std::mem::forget(ctx.call_activity::<Work>(1).start()) }),
        &[
            ("start", "call #0 work 1; complete null"),
            ("done #0 7", "ignored"),
            ("raise go 1", "ignored"),
            ("terminate", "ignored"),
        ],
    );
}

#[test]
fn termination_runs_no_code_but_destructors() {
    check(
        |ctx, _| {
            body(async move {
                let _guard = OnDrop(
                    |ctx| std::mem::forget(ctx.call_activity::<Work>(2).start()),
                    ctx,
                );
                let _ = ctx.call_activity::<Work>(1).await;
            })
        },
        &[
            ("start", "call #0 work 1"),
            ("terminate", "-"),
            ("done #0 7", "ignored"),
        ],
    );
}

#[test]
fn a_leaked_call_is_closed_by_the_history_when_the_execution_ends() {
    let turns = check(
        |ctx, _| {
            body(async move {
                std::mem::forget(ctx.call_activity::<Work>(1).start());
                std::mem::forget(ctx.create_timer(secs(9)).start());
                let _dropped = ctx.call_activity::<Work>(2).start();
                let _ = ctx.call_activity::<Work>(3).await;
            })
        },
        &[
            (
                "start",
                "call #0 work 1; timer #1 at 9; call #2 work 2; call #3 work 3",
            ),
            ("done #3 7", "cancel #2; complete null"),
        ],
    );
    let mut outstanding = Outstanding::default();
    let steps: Vec<_> = turns.iter().flat_map(|turn| &turn.steps).collect();
    assert_eq!(outstanding.follow(steps[0], Timestamp(1)), []);
    assert!(outstanding.has_activities() && !outstanding.ended());
    let open: Vec<_> = outstanding.iter().map(|(call, _)| call.0).collect();
    assert_eq!(open, [0, 1, 2, 3]);
    assert!(matches!(
        outstanding.get(CallId(1)),
        Some(Pending::Timer { .. })
    ));

    let closed = outstanding.follow(steps[1], Timestamp(1));
    let closed: Vec<_> = closed.iter().map(|(call, _)| call.0).collect();
    assert_eq!(closed, [3, 2, 0, 1]);
    assert!(!outstanding.has_activities() && outstanding.ended());
    assert_eq!(outstanding.iter().count(), 0);
}

/// Two waits are handed events 1 and 2 and dropped unread, in the order that `reversed` says; who
/// waits then gets them in the order of arrival.
fn give_back(ctx: OrchestrationContext, input: Payload) -> OrchestratorFuture {
    body(async move {
        let wait = || ctx.wait_for_external_event::<u32>("E");
        let (a, b) = (wait().start(), wait().start());
        let _ = ctx.wait_for_external_event::<u32>("Go").await;
        if input.decode::<bool>().expect("a bool") {
            drop(b);
            drop(a);
        } else {
            drop(a);
            drop(b);
        }
        [wait().await, wait().await, wait().await].map(|data| data.expect("a number"))
    })
}

#[test]
fn unread_events_go_back_to_their_place_whatever_the_order_of_drops() {
    for reversed in ["true", "false"] {
        check(
            give_back,
            &[
                (
                    &format!("start {reversed}"),
                    "wait #0 e; wait #1 e; wait #2 go",
                ),
                ("raise e 1", "-"),
                ("raise e 2", "-"),
                ("raise e 3", "-"),
                (
                    "raise go",
                    "wait #3 e; wait #4 e; wait #5 e; complete [1,2,3]",
                ),
            ],
        );
    }
}

#[test]
fn an_unread_event_is_handed_on_to_the_next_who_waits_at_once() {
    check(
        |ctx, _| {
            body(async move {
                let first = ctx.wait_for_external_event::<u32>("E").start();
                let release = async {
                    let _ = ctx.wait_for_external_event::<u32>("Go").await;
                    drop(first);
                    std::future::pending::<()>().await;
                };
                let second = ctx.wait_for_external_event::<u32>("E");
                match select(pin!(second), pin!(release)).await {
                    Either::Left((data, _)) => data.ok(),
                    Either::Right(_) => None,
                }
            })
        },
        &[
            ("start", "wait #0 e; wait #1 e; wait #2 go"),
            ("raise e 1", "-"),
            ("raise go", "complete 1"),
        ],
    );
}

/// A task that keeps a call alive, and is never run.
struct Holder(#[expect(dead_code, reason = "held, and dropped")] Mutex<Started<CallOf<Work>>>);

impl Wake for Holder {
    fn wake(self: Arc<Self>) {}
}

/// A call is polled by a task that holds another call; then the task is let go of.
fn hold(ctx: OrchestrationContext, input: Payload) -> OrchestratorFuture {
    body(async move {
        let holder = Holder(Mutex::new(ctx.call_activity::<Work>(1).start()));
        let mut call = ctx.call_activity::<Work>(2);
        let _ = call.poll_unpin(&mut Context::from_waker(&Arc::new(holder).into()));
        match input.decode::<u32>().expect("a number") {
            0 => drop(call.await),
            1 => drop(call),
            _ => {
                ctx.create_timer(secs(1)).await;
                drop(call);
            }
        }
        ctx.create_timer(secs(2)).await;
    })
}

#[test]
fn a_call_that_a_task_holds_is_cancelled_when_the_task_is_let_go_of() {
    const BEGUN: &str = "call #0 work 1; call #1 work 2";
    // By another poll, by the drop of the call it waits for, and by being woken.
    check(
        hold,
        &[
            ("start 0", &format!("{BEGUN}; cancel #0")),
            ("done #1 7", "timer #2 at 2"),
        ],
    );
    check(
        hold,
        &[(
            "start 1",
            &format!("{BEGUN}; cancel #1; cancel #0; timer #2 at 2"),
        )],
    );
    check(
        hold,
        &[
            ("start 2", &format!("{BEGUN}; timer #2 at 1")),
            ("done #1 7", "cancel #0"),
            ("fired #2", "timer #3 at 2"),
        ],
    );
}
