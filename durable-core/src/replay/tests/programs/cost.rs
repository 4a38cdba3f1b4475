//! An event costs the same however many calls are outstanding: polls are counted, not time.

use futures_util::FutureExt;
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::*;

thread_local! {
    static LEAVES: Cell<u64> = const { Cell::new(0) };
}

/// The call, its polls counted.
async fn counted(mut call: CallOf<Work>) -> u32 {
    let counted = poll_fn(|cx| {
        LEAVES.set(LEAVES.get() + 1);
        call.poll_unpin(cx)
    });
    counted.await.unwrap_or(0)
}

/// Begins and answers `calls` calls; how often a call and the root were polled.
fn polls(run: RunOrchestrator, calls: u32) -> (u64, u64) {
    let mut execution = execution(run);
    let before = (LEAVES.get(), POLLS.get());
    let mut feed = |event| execution.feed(&event).expect("runs").actions.len();
    assert_eq!(feed(started(&calls.to_string())), calls as usize);
    // Last first, so that whoever looks from the front finds the answered one last.
    for call in (0..calls).rev() {
        let output = json("1");
        let actions = feed(Event::ActivityCompleted {
            call: CallId(call),
            output,
        });
        assert_eq!(actions, usize::from(call == 0));
    }
    (LEAVES.get() - before.0, POLLS.get() - before.1)
}

#[test]
fn a_fan_in_polls_each_call_twice() {
    let join: RunOrchestrator = |ctx, input| {
        body(async move {
            let calls: u32 = input.decode().expect("a number");
            let all = join_all((0..calls).map(|input| counted(work(ctx, input))));
            all.await.iter().sum::<u32>()
        })
    };
    let drain: RunOrchestrator = |ctx, input| {
        body(async move {
            let calls: u32 = input.decode().expect("a number");
            let pool: FuturesUnordered<_> =
                (0..calls).map(|input| counted(work(ctx, input))).collect();
            pool.fold(0, async |sum, next| sum + next).await
        })
    };
    for run in [join, drain] {
        let (leaves, roots) = polls(run, 10_000);
        assert_eq!(leaves, 20_000);
        // The start, and one for each answer; pools yield to their task every 32 futures.
        assert!(roots <= 10_001 + 10_000 / 32 + 1, "{roots}");
    }
}

#[test]
fn a_long_chain_leaves_nothing_behind() {
    let mut execution = execution(|ctx, _| {
        body(async move {
            for input in 0..20_000 {
                let _ = work(ctx, input).await;
            }
        })
    });
    let mut feed = |event| {
        let actions = execution.feed(&event).expect("runs").actions.len();
        assert_eq!((actions, execution.payload_bytes()), (1, 0));
        assert!(execution.open_calls() <= 1);
    };
    feed(started("null"));
    let polls = POLLS.get();
    for call in (0..20_000).map(CallId) {
        let output = json("1");
        feed(Event::ActivityCompleted { call, output });
    }
    assert_eq!(POLLS.get() - polls, 20_000);
}

#[test]
fn started_calls_do_not_poll_until_their_turn() {
    let mut execution = execution(|ctx, _| {
        body(async move {
            let calls: Vec<_> = (0..1_000).map(|input| work(ctx, input).start()).collect();
            for call in calls {
                let _ = call.await;
            }
        })
    });
    execution.feed(&started("null")).expect("runs");
    let polls = POLLS.get();
    for call in (0..1_000).rev().map(CallId) {
        let output = json("1");
        execution
            .feed(&Event::ActivityCompleted { call, output })
            .expect("runs");
    }
    assert_eq!(POLLS.get() - polls, 1);
}
