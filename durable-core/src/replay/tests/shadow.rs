//! A second copy finds in the same turn what replay would find after a restart.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

fn watched(run: RunOrchestrator) -> Watched {
    let on_foreign: ForeignWake = Arc::new(|| {});
    Watched::new(&identity(), run, &on_foreign, true)
}

/// Feeds the rows, a turn each; the problem if the two copies differ.
fn feed(run: RunOrchestrator, rows: &[&str]) -> Result<(), Problem> {
    let mut watched = watched(run);
    for row in rows {
        let (time, event) = parse(row);
        watched.begin_turn(Timestamp(time.unwrap_or(0)));
        watched.feed(&event)?;
    }
    Ok(())
}

/// The two copies differ, by luck within some tries.
#[track_caller]
fn check_accused(run: RunOrchestrator, rows: &[&str], parts: &[&str]) {
    const TRIES: u32 = 200;
    let problem = (0..TRIES)
        .find_map(|_| feed(run, rows).err())
        .expect("a problem");
    assert_eq!(problem.kind(), ProblemKind::Nondeterminism, "{problem}");
    for part in ["`fulfil`", "one copy", "another copy"].iter().chain(parts) {
        assert!(
            problem.message().contains(part),
            "no `{part}` in: {problem}"
        );
    }
    for part in ["order-42", "HashMap", "biased;", "remedy"] {
        assert!(problem.report().contains(part), "{}", problem.report());
    }
}

#[track_caller]
fn check_innocent(run: RunOrchestrator, rows: &[&str]) {
    for _ in 0..20 {
        assert_eq!(feed(run, rows), Ok(()));
    }
}

#[test]
fn a_clock_in_an_input_is_found() {
    static CLOCK: AtomicU32 = AtomicU32::new(0);
    check_accused(
        |ctx, _| {
            body(async move {
                ctx.create_timer(secs(1)).await;
                let now = CLOCK.fetch_add(1, Ordering::SeqCst);
                ctx.call_activity::<Work>(now).await.ok()
            })
        },
        &["start", "fired #0"],
        &[
            "turn 2, event 1",
            "#1 of activity `work`",
            "tests/shadow.rs:",
        ],
    );
}

#[test]
#[expect(clippy::disallowed_types, reason = "it is what is to be found")]
fn calls_made_while_iterating_over_a_hash_map_are_found() {
    use std::collections::HashMap;

    check_accused(
        |ctx, _| {
            body(async move {
                let orders: HashMap<u32, u32> = (0..4).map(|order| (order, 1)).collect();
                let calls = orders
                    .into_keys()
                    .map(|order| ctx.call_activity::<Work>(order));
                futures_util::future::join_all(calls).await.len()
            })
        },
        &["start"],
        &["turn 1, event 1", "tests/shadow.rs:"],
    );
}

async fn helper(ctx: OrchestrationContext, input: u32) -> u32 {
    ctx.call_activity::<Work>(input).await.unwrap_or(0)
}

#[test]
fn an_unbiased_select_of_helpers_is_found() {
    check_accused(
        |ctx, _| {
            body(async move {
                tokio::select! {
                    first = helper(ctx, 1) => first,
                    second = helper(ctx, 2) => second,
                }
            })
        },
        &["start"],
        &["turn 1, event 1", "tests/shadow.rs:"],
    );
}

#[test]
fn changing_options_are_found() {
    static CLOCK: AtomicU32 = AtomicU32::new(1);
    check_accused(
        |ctx, _| {
            body(async move {
                let timeout = secs(CLOCK.fetch_add(1, Ordering::SeqCst).into());
                ctx.call_activity::<Work>(1).timeout(timeout).await.ok()
            })
        },
        &["start"],
        &["timeout"],
    );
}

#[test]
fn an_unbiased_select_of_the_calls_themselves_is_not_accused() {
    check_innocent(
        |ctx, _| {
            body(async move {
                tokio::select! {
                    first = ctx.call_activity::<Work>(1) => first.ok(),
                    second = ctx.call_activity::<Work>(2) => second.ok(),
                }
            })
        },
        &["start", "done #1 7"],
    );
}

#[test]
#[expect(clippy::disallowed_types, reason = "a user's own type may have one")]
fn a_hash_map_in_an_input_or_output_is_not_accused() {
    use std::collections::HashMap;

    struct Count;
    activity!(Count, "count", HashMap<u32, u32>);
    check_innocent(
        |ctx, _| {
            body(async move {
                let stock: HashMap<u32, u32> = (0..9).map(|item| (item, item)).collect();
                ctx.set_custom_status(&stock).expect("JSON");
                let _ = ctx.call_activity::<Count>(stock.clone()).await;
                stock.into_iter().collect::<HashMap<_, _>>()
            })
        },
        &["start", "done #0 7"],
    );
}

#[test]
fn a_deterministic_program_is_not_accused_whatever_it_ends_with() {
    let calls: RunOrchestrator = |ctx, _| {
        body(async move {
            let id = ctx.new_uuid().to_string();
            ctx.set_custom_status(&id).expect("text");
            let (first, second) = tokio::join!(helper(ctx, 1), helper(ctx, 2));
            (ctx.now(), ctx.random_u64(), first, second)
        })
    };
    check_innocent(
        calls,
        &[
            "@5 start",
            "@6 done #1 7",
            "done #9 1",
            "raise x 1",
            "@9 done #0 7",
        ],
    );
    let panics: RunOrchestrator = |ctx, _| {
        body(async move {
            let output = helper(ctx, 1).await;
            assert_eq!(output, 0, "in new code");
        })
    };
    check_innocent(panics, &["start", "done #0 7"]);
    let fails: RunOrchestrator =
        |_, _| Box::pin(async { Err(FailureDetails::new(FailureKind::Application, "E", "no")) });
    check_innocent(fails, &["start", "terminate"]);
}

#[test]
fn the_shadow_says_that_it_is_replaying_so_that_logs_are_written_once() {
    let run: RunOrchestrator = |ctx, _| {
        body(async move {
            note(ctx.is_replaying());
            let _ = ctx.call_activity::<Work>(1).await;
            note(ctx.is_replaying());
        })
    };
    feed(run, &["start", "done #0 7"]).expect("runs");
    assert_eq!(take_notes(), ["false", "true", "false", "true"]);
}

#[test]
fn a_watched_replay_goes_on_live_and_watched() {
    static CLOCK: AtomicU32 = AtomicU32::new(0);
    let run: RunOrchestrator = |ctx, _| {
        body(async move {
            let _ = ctx.call_activity::<Work>(1).await;
            let now = CLOCK.fetch_add(1, Ordering::SeqCst);
            ctx.call_activity::<Work>(now).await.ok()
        })
    };
    let turns = check(run, &[("start", "call #0 work 1")]);
    let mut watched = watched(run);
    assert_eq!(watched.replay(&turns, Matching::Strict), Ok(0));
    assert!(watched.weight() > 0);
    watched.begin_turn(Timestamp(0));
    let problem = watched
        .feed(&parse("done #0 7").1)
        .expect_err("they differ");
    assert!(problem.message().contains("turn 2, event 1"), "{problem}");
    assert_eq!(watched.foreign_wake(), None, "nobody has woken it");
}
