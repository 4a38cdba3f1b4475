//! What is awaited and not durable is reported; what only looks like it is not.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;

use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{FutureExt, future};
use tokio::sync::oneshot;

use super::*;

/// The turn ends with this problem, whose message has all of `parts`.
#[track_caller]
fn check_problem(run: RunOrchestrator, rows: &[&str], kind: ProblemKind, parts: &[&str]) {
    note_locations();
    let mut live = Live::new(run);
    let (last, first) = rows.split_last().expect("a row");
    for row in first {
        assert!(!live.feed(row).contains("problem"), "at `{row}`");
    }
    let problem = live.try_feed(last).expect_err("a problem");
    assert_eq!(problem.kind(), kind, "{problem}");
    for part in ["fulfil"].iter().chain(parts) {
        assert!(
            problem.message().contains(part),
            "no `{part}` in: {problem}"
        );
    }
    assert!(
        problem.report().contains("order-42"),
        "{}",
        problem.report()
    );
}

#[test]
fn tokio_outside_a_runtime_is_reported_on_the_users_line() {
    const HERE: &str = "tests/foreign.rs:";
    let table: [RunOrchestrator; 4] = [
        |_, _| body(async { tokio::time::sleep(secs(1)).await }),
        |ctx, _| {
            body(async move {
                let call = ctx.call_activity::<Work>(1);
                tokio::time::timeout(secs(1), call).await.is_ok()
            })
        },
        |_, _| body(async { tokio::spawn(async {}).await.is_ok() }),
        |_, _| body(async { tokio::task::spawn_blocking(|| {}).await.is_ok() }),
    ];
    for run in table {
        check_problem(run, &["start"], ProblemKind::ForeignAwait, &[HERE]);
    }
}

#[test]
fn block_on_in_an_orchestrator_is_reported_and_not_a_hang() {
    check_problem(
        |ctx, _| {
            body(async move {
                futures_executor::block_on(ctx.create_timer(secs(1)));
            })
        },
        &["start"],
        ProblemKind::ForeignAwait,
        &["executor"],
    );
}

#[test]
fn an_await_that_no_durable_call_can_end_is_reported_in_the_same_turn() {
    let table: [(RunOrchestrator, &[&str]); 5] = [
        (|_, _| body(future::pending::<()>()), &["start"]),
        (
            |_, _| {
                body(async {
                    let (_sender, receiver) = oneshot::channel::<()>();
                    receiver.await.is_ok()
                })
            },
            &["start"],
        ),
        // A begun call that nobody polls cannot wake anything.
        (
            |ctx, _| {
                body(async move {
                    let _held = ctx.call_activity::<Work>(1).start();
                    let (_sender, receiver) = oneshot::channel::<()>();
                    receiver.await.is_ok()
                })
            },
            &["start"],
        ),
        // It was polled once and has ended since.
        (
            |ctx, _| {
                body(async move {
                    let mut held = ctx.call_activity::<Work>(1);
                    let _ = future::poll_fn(|cx| Poll::Ready(held.poll_unpin(cx).is_ready())).await;
                    future::pending::<()>().await;
                })
            },
            &["start", "done #0 7"],
        ),
        (
            |ctx, _| {
                body(async move {
                    let mut call = ctx.call_activity::<Work>(1);
                    let _ = (&mut call).await;
                    let _ = call.await;
                })
            },
            &["start", "done #0 7"],
        ),
    ];
    for (run, rows) in table {
        check_problem(run, rows, ProblemKind::ForeignAwait, &[]);
    }
}

#[test]
fn a_future_that_wakes_itself_for_ever_is_a_busy_loop() {
    check_problem(
        |_, _| {
            body(future::poll_fn(|cx| {
                cx.waker().wake_by_ref();
                Poll::<()>::Pending
            }))
        },
        &["start"],
        ProblemKind::BusyLoop,
        &["1000000 times"],
    );
}

/// What a program leaves for another thread to fire.
type Slot = Mutex<Option<oneshot::Sender<u32>>>;

/// Waits for an external event, beside a channel that code outside drives.
async fn wait_or(ctx: OrchestrationContext, slot: &Slot) -> Option<u32> {
    let (sender, receiver) = oneshot::channel();
    *slot.lock().unwrap() = Some(sender);
    tokio::select! { biased;
        number = receiver => number.ok(),
        number = ctx.wait_for_external_event::<u32>("Go") => number.ok(),
    }
}

/// A live execution that counts how often it said that it was woken by somebody else.
fn counted(run: RunOrchestrator) -> (Live, Arc<AtomicU32>) {
    let told = Arc::new(AtomicU32::new(0));
    let on_foreign = {
        let told = Arc::clone(&told);
        Arc::new(move || {
            told.fetch_add(1, Ordering::SeqCst);
        })
    };
    (Live::of(Execution::new(identity(), run, on_foreign)), told)
}

fn fire(slot: &'static Slot) {
    let fired = std::thread::spawn(|| slot.lock().unwrap().take().map(|sender| sender.send(1)));
    assert_eq!(fired.join().expect("no panic"), Some(Ok(())));
}

#[test]
fn a_wake_from_outside_is_told_once_and_explained() {
    static SLOT: Slot = Mutex::new(None);
    let (mut live, told) = counted(|ctx, _| body(wait_or(ctx, &SLOT)));
    assert_eq!(live.feed("start"), "wait #0 go");
    assert_eq!(told.load(Ordering::SeqCst), 0);
    fire(&SLOT);
    assert_eq!(told.load(Ordering::SeqCst), 1);
    let problem = live.execution.foreign_wake();
    assert_eq!(problem.kind(), ProblemKind::ForeignAwait);
    assert!(
        problem.report().contains("create_timer"),
        "{}",
        problem.report()
    );
}

#[test]
fn what_came_from_outside_is_never_committed() {
    static SLOT: Slot = Mutex::new(None);
    let (mut live, told) = counted(|ctx, _| body(wait_or(ctx, &SLOT)));
    live.feed("start");
    fire(&SLOT);
    // The event lets the orchestrator see the channel, and end with what came through it.
    assert_eq!(live.feed("raise go 2"), "problem: ForeignAwait");
    assert_eq!(told.load(Ordering::SeqCst), 1);
}

#[test]
fn a_panic_over_what_came_from_outside_fails_nothing() {
    static SLOT: Slot = Mutex::new(None);
    let (mut live, _) = counted(|ctx, _| {
        body(async move { assert_eq!(wait_or(ctx, &SLOT).await, Some(2), "wrong") })
    });
    live.feed("start");
    fire(&SLOT);
    assert_eq!(live.feed("raise go 2"), "problem: ForeignAwait");
}

#[test]
fn an_instance_that_was_woken_from_outside_can_be_terminated() {
    static SLOT: Slot = Mutex::new(None);
    let (mut live, _) = counted(|ctx, _| body(wait_or(ctx, &SLOT)));
    live.feed("start");
    fire(&SLOT);
    assert_eq!(live.feed("terminate"), "-");
}

#[test]
fn a_thread_that_fires_while_the_orchestrator_is_being_polled_is_foreign_too() {
    static SLOT: Slot = Mutex::new(None);
    let (mut live, told) = counted(|ctx, _| {
        body(async move {
            let waiting = wait_or(ctx, &SLOT);
            let firing = async { fire(&SLOT) };
            tokio::join!(waiting, firing).0
        })
    });
    assert_eq!(live.feed("start"), "problem: ForeignAwait");
    assert_eq!(told.load(Ordering::SeqCst), 1);
}

#[test]
fn another_orchestrator_on_the_same_thread_is_outside_too() {
    static SLOT: Slot = Mutex::new(None);
    let (mut live, told) = counted(|ctx, _| body(wait_or(ctx, &SLOT)));
    live.feed("start");
    let sender: RunOrchestrator = |_, _| {
        body(async {
            SLOT.lock()
                .unwrap()
                .take()
                .map(|sender| sender.send(1))
                .is_some()
        })
    };
    assert_eq!(Live::new(sender).feed("start"), "complete true");
    assert_eq!(told.load(Ordering::SeqCst), 1);
}

#[test]
fn wakes_after_the_end_or_the_eviction_are_nobodys_business() {
    static SLOT: Slot = Mutex::new(None);
    static WAKERS: Mutex<Vec<std::task::Waker>> = Mutex::new(Vec::new());
    let run: RunOrchestrator = |ctx, _| {
        body(async move {
            future::poll_fn(|cx| {
                WAKERS.lock().unwrap().push(cx.waker().clone());
                Poll::Ready(())
            })
            .await;
            wait_or(ctx, &SLOT).await
        })
    };
    let (mut ended, told) = counted(run);
    ended.feed("start");
    ended.feed("raise go 2");
    let (mut evicted, evicted_told) = counted(run);
    evicted.feed("start");
    drop(evicted);
    for waker in WAKERS.lock().unwrap().drain(..) {
        waker.wake();
    }
    assert_eq!(
        told.load(Ordering::SeqCst) + evicted_told.load(Ordering::SeqCst),
        0
    );
}

#[test]
fn a_waker_dropped_on_another_thread_is_not_a_wake() {
    let (mut live, told) = counted(|ctx, _| {
        body(async move {
            future::poll_fn(|cx| {
                let waker = cx.waker().clone();
                std::thread::spawn(move || drop(waker))
                    .join()
                    .expect("no panic");
                Poll::Ready(())
            })
            .await;
            ctx.wait_for_external_event::<u32>("Go").await.ok()
        })
    });
    assert_eq!(live.feed("start"), "wait #0 go");
    assert_eq!(live.feed("raise go 1"), "complete 1");
    assert_eq!(told.load(Ordering::SeqCst), 0);
}

// What follows is not foreign, and is not taken for it.

#[test]
fn futures_that_are_kept_and_not_polled_are_no_problem() {
    check(
        |ctx, _| {
            body(async move {
                let mut pool: FuturesUnordered<_> = (1..=3)
                    .map(|input| ctx.call_activity::<Work>(input))
                    .collect();
                let first = text(pool.next().await.expect("three"));
                ctx.create_timer(secs(1)).await;
                let rest: Vec<_> = pool.map(text).collect().await;
                (first, rest)
            })
        },
        &[
            ("start", "call #0 work 1; call #1 work 2; call #2 work 3"),
            ("done #1 7", "timer #3 at 1"),
            ("done #0 8", "-"),
            ("@1 fired #3", "-"),
            ("done #2 9", "complete [\"7\",[\"8\",\"9\"]]"),
        ],
    );
}

#[test]
fn a_shared_call_whose_poller_was_dropped_is_no_problem() {
    check(
        |ctx, _| {
            body(async move {
                let shared = ctx.call_activity::<Work>(1).map(text).shared();
                let poller = shared.clone();
                tokio::select! { biased;
                    _ = poller => {}
                    () = ctx.create_timer(secs(1)) => {}
                }
                shared.await
            })
        },
        &[
            ("start", "call #0 work 1; timer #1 at 1"),
            ("@1 fired #1", "-"),
            ("done #0 7", "complete \"7\""),
        ],
    );
}

#[test]
fn a_thousand_messages_in_one_poll_are_no_problem() {
    check(
        |ctx, _| {
            body(async move {
                let (sender, mut receiver) = tokio::sync::mpsc::channel::<u32>(1);
                let send = async move {
                    let _ = ctx.call_activity::<Work>(1).await;
                    for number in 0..1_000 {
                        sender.send(number).await.expect("a receiver");
                    }
                };
                let receive = async {
                    let mut sum = 0;
                    while let Some(number) = receiver.recv().await {
                        sum += number;
                    }
                    sum
                };
                tokio::join!(send, receive).1
            })
        },
        &[
            ("start", "call #0 work 1"),
            ("done #0 7", "complete 499500"),
        ],
    );
}

#[test]
fn yielding_is_no_problem() {
    check(
        |ctx, _| {
            body(async move {
                for _ in 0..1_000 {
                    tokio::task::yield_now().await;
                }
                text(ctx.call_activity::<Work>(1).await)
            })
        },
        &[("start", "call #0 work 1"), ("done #0 7", "complete \"7\"")],
    );
}

#[test]
fn a_lock_between_branches_is_no_problem() {
    check(
        |ctx, _| {
            body(async move {
                let lock = tokio::sync::Mutex::new(Vec::new());
                let branch = async |input| {
                    let mut held = lock.lock().await;
                    held.push(text(ctx.call_activity::<Work>(input).await));
                };
                tokio::join!(branch(1), branch(2));
                lock.into_inner()
            })
        },
        &[
            ("start", "call #0 work 1"),
            ("done #0 7", "call #1 work 2"),
            ("done #1 8", "complete [\"7\",\"8\"]"),
        ],
    );
}
