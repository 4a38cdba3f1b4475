//! What one program recorded, replayed by another.

use super::*;

/// Records the script with `old` and replays it with `new`.
#[track_caller]
fn replay_with(
    (old, script): (RunOrchestrator, &[(&str, &str)]),
    new: RunOrchestrator,
    matching: Matching,
) -> Result<u64, Problem> {
    replay(new, &check(old, script), matching)
}

/// It diverges, and the message has all of `parts`, however the inputs are compared.
#[track_caller]
fn check_diverged(
    recorded: (RunOrchestrator, &[(&str, &str)]),
    new: RunOrchestrator,
    parts: &[&str],
) -> Problem {
    for matching in [Matching::Tolerant, Matching::Strict] {
        let problem = replay_with(recorded, new, matching).expect_err("a divergence");
        assert_eq!(problem.kind(), ProblemKind::Divergence, "{problem}");
        for part in parts {
            assert!(
                problem.message().contains(part),
                "no `{part}` in: {problem}"
            );
        }
        let report = problem.report();
        for part in [
            "instance  order-42\n",
            "execution 0\n",
            "`fulfil`, version 2\n",
            "remedy",
        ] {
            assert!(report.contains(part), "no `{part}` in: {report}");
        }
    }
    replay_with(recorded, new, Matching::Tolerant).expect_err("a divergence")
}

const HERE: &str = "(call made at durable-core/src/replay/tests/divergence.rs:";

/// Calls `work` with 1, then waits for an event, then calls `work` with 2.
fn old(ctx: OrchestrationContext, _: Payload) -> OrchestratorFuture {
    body(async move {
        let _ = ctx.call_activity::<Work>(1).await;
        let _ = ctx.wait_for_external_event::<u32>("Go").await;
        ctx.create_timer(secs(60)).await;
        "old"
    })
}

const RECORDED: (RunOrchestrator, &[(&str, &str)]) = (
    old,
    &[
        ("@0 start", "call #0 work 1"),
        ("@1 done #0 7", "wait #1 go"),
        ("@2 raise more 0", "-"),
        ("raise go 1", "timer #2 at 62"),
        ("@62 fired #2", "complete \"old\""),
    ],
);

#[test]
fn another_activity_is_a_divergence() {
    check_diverged(
        RECORDED,
        |ctx, _| body(async move { ctx.call_activity::<Other>(1).await.ok() }),
        &[
            "orchestrator `fulfil` diverged at turn 1, event 1",
            "history recorded call #0 of activity `work` with 1",
            "the code now asks for call #0 of activity `other` with 1",
            HERE,
        ],
    );
}

#[test]
fn another_input_is_a_divergence() {
    check_diverged(
        RECORDED,
        |ctx, _| body(async move { ctx.call_activity::<Work>(2).await.ok() }),
        &["turn 1, event 1", "`work` with 1,", "`work` with 2", HERE],
    );
}

#[test]
fn a_timer_in_place_of_an_activity_is_a_divergence() {
    check_diverged(
        RECORDED,
        |ctx, _| body(async move { ctx.create_timer(secs(5)).await }),
        &[
            "turn 1, event 1",
            "recorded call #0 of activity",
            "for timer #0 due at 5",
            HERE,
        ],
    );
}

#[test]
fn another_event_name_is_a_divergence() {
    check_diverged(
        RECORDED,
        |ctx, _| {
            body(async move {
                let _ = ctx.call_activity::<Work>(1).await;
                ctx.wait_for_external_event::<u32>("Stop").await.ok()
            })
        },
        &[
            "turn 2, event 1",
            "wait #1 for event `go`",
            "wait #1 for event `stop`",
            HERE,
        ],
    );
}

#[test]
fn another_timer_is_a_divergence_at_the_event_that_led_to_it() {
    check_diverged(
        RECORDED,
        |ctx, _| {
            body(async move {
                let _ = ctx.call_activity::<Work>(1).await;
                let _ = ctx.wait_for_external_event::<u32>("Go").await;
                ctx.create_timer(secs(61)).await;
            })
        },
        &[
            "turn 3, event 2",
            "timer #2 due at 62000001 us",
            "timer #2 due at 63000001 us",
            HERE,
        ],
    );
}

#[test]
fn ending_too_early_is_a_divergence() {
    check_diverged(
        RECORDED,
        |ctx, _| body(async move { ctx.call_activity::<Work>(1).await.ok() }),
        &[
            "turn 2, event 1",
            "wait #1 for event `go`",
            "the code now asks for completion with 7",
        ],
    );
}

#[test]
fn ending_too_late_is_a_divergence() {
    check_diverged(
        RECORDED,
        |ctx, _| {
            body(async move {
                let _ = ctx.call_activity::<Work>(1).await;
                let _ = ctx.wait_for_external_event::<u32>("Go").await;
                ctx.create_timer(secs(60)).await;
                ctx.call_activity::<Work>(2).await.ok()
            })
        },
        &[
            "turn 4, event 1",
            "completion with \"old\"",
            "call #3 of activity `work` with 2",
            HERE,
        ],
    );
}

#[test]
fn another_output_or_status_is_a_divergence() {
    fn version(ctx: OrchestrationContext, version: &'static str) -> OrchestratorFuture {
        body(async move {
            ctx.set_custom_status(version).expect("text");
            let _ = ctx.call_activity::<Work>(1).await;
        })
    }
    check_diverged(
        (
            |ctx, _| version(ctx, "version 1"),
            &[("start", "status \"version 1\"; call #0 work 1")],
        ),
        |ctx, _| version(ctx, "version 2"),
        &[
            "turn 1, event 1",
            "custom status \"version 1\"",
            "custom status \"version 2\"",
            HERE,
        ],
    );
    check_diverged(
        (|_, _| body(async { 1 }), &[("start", "complete 1")]),
        |_, _| body(async { 2 }),
        &["turn 1, event 1", "completion with 1", "completion with 2"],
    );
    check_diverged(
        (|_, _| body(async { 1 }), &[("start", "complete 1")]),
        |_, _| Box::pin(async { Err(FailureDetails::new(FailureKind::Application, "E", "no")) }),
        &["completion with 1", "failure Application(E: no)"],
    );
}

#[test]
fn a_call_that_history_does_not_know_is_a_divergence() {
    check_diverged(
        RECORDED,
        |ctx, _| {
            body(async move {
                tokio::join!(ctx.call_activity::<Work>(1), ctx.call_activity::<Other>(2))
                    .0
                    .ok()
            })
        },
        &[
            "turn 1, event 1",
            "recorded nothing",
            "call #1 of activity `other` with 2",
            HERE,
        ],
    );
}

#[test]
fn a_call_that_is_no_longer_made_is_a_divergence() {
    check_diverged(
        (
            |ctx, _| {
                body(async move {
                    let _ =
                        tokio::join!(ctx.call_activity::<Work>(1), ctx.call_activity::<Other>(2));
                })
            },
            &[("start", "call #0 work 1; call #1 other 2")],
        ),
        |ctx, _| body(async move { ctx.call_activity::<Work>(1).await.ok() }),
        &[
            "turn 1, event 1",
            "call #1 of activity `other` with 2",
            "now asks for nothing",
        ],
    );
}

#[test]
fn another_call_before_the_recorded_one_shows_both() {
    check_diverged(
        RECORDED,
        |ctx, _| {
            body(async move {
                let _unused = ctx.create_timer(secs(9));
                ctx.call_activity::<Work>(1).await.ok()
            })
        },
        &[
            "call #0 of activity `work` with 1,",
            "call #1 of activity `work` with 1",
            HERE,
        ],
    );
}

#[test]
fn a_cancellation_that_is_no_longer_made_is_a_divergence() {
    fn race(ctx: OrchestrationContext, keep: bool) -> OrchestratorFuture {
        body(async move {
            let held = ctx.create_timer(secs(9)).start();
            let _ = ctx.call_activity::<Work>(1).await;
            let kept = keep.then_some(held);
            let _ = ctx.call_activity::<Work>(2).await;
            drop(kept);
        })
    }
    let rows: &[_] = &[
        ("start", "timer #0 at 9; call #1 work 1"),
        ("done #1 7", "cancel #0; call #2 work 2"),
    ];
    check_diverged(
        (|ctx, _| race(ctx, false), rows),
        |ctx, _| race(ctx, true),
        &[
            "turn 1, event 2",
            "cancellation of call #0",
            "now asks for nothing",
        ],
    );
}

#[test]
fn the_same_calls_in_another_order_are_called_that() {
    fn both(ctx: OrchestrationContext, inputs: [u32; 2]) -> OrchestratorFuture {
        body(async move {
            let calls = inputs.map(|input| ctx.call_activity::<Work>(input));
            futures_util::future::join_all(calls).await.len()
        })
    }
    let problem = check_diverged(
        (
            |ctx, _| both(ctx, [1, 2]),
            &[("start", "call #0 work 1; call #1 work 2")],
        ),
        |ctx, _| both(ctx, [2, 1]),
        &[
            "call #0 of activity `work` with 1,",
            "call #0 of activity `work` with 2",
            HERE,
        ],
    );
    for part in ["another order", "HashMap", "biased;"] {
        assert!(problem.report().contains(part), "{}", problem.report());
    }
    let other = replay_with(RECORDED, |_, _| body(async {}), Matching::Strict);
    let report = other.expect_err("a divergence").report;
    assert!(!report.contains("another order"), "{report}");
    assert!(report.contains("code was changed"), "{report}");
}

#[test]
fn a_panic_while_replaying_is_reported_as_one_and_on_its_line() {
    note_locations();
    let first: RunOrchestrator = |_, _| panic!("the first version");
    let table: [RunOrchestrator; 3] = [
        |_, _| body(async { assert!(std::env::args().count() == 0, "no arguments") }),
        |ctx, _| {
            body(async move {
                let held = ctx.call_activity::<Other>(1).start();
                assert!(std::env::args().count() == 0, "no arguments");
                held.await.ok()
            })
        },
        |ctx, _| {
            body(async move {
                let _ = ctx.call_activity::<Work>(1).await;
                assert!(std::env::args().count() == 0, "no arguments");
            })
        },
    ];
    for run in table {
        let problem = replay_with(RECORDED, run, Matching::Tolerant).expect_err("a panic");
        assert_eq!(problem.kind(), ProblemKind::PanicInReplay, "{problem}");
        for part in ["`fulfil`", "no arguments", "tests/divergence.rs:"] {
            assert!(
                problem.message().contains(part),
                "no `{part}` in: {problem}"
            );
        }
    }
    let problem = replay_with(RECORDED, first, Matching::Tolerant).expect_err("a panic");
    assert_eq!(problem.kind(), ProblemKind::PanicInReplay, "{problem}");
}

#[test]
fn a_recorded_panic_replays() {
    check(
        |ctx, _| {
            body(async move {
                let _ = ctx.call_activity::<Work>(1).await;
                assert!(std::env::args().count() == 0, "no arguments");
            })
        },
        &[
            ("start", "call #0 work 1"),
            ("done #0 7", "fail Panic no arguments"),
        ],
    );
}

#[test]
fn an_input_of_another_shape_is_undecodable() {
    let mut live = Live::new(|_, input| {
        Box::pin(async move {
            let input: u32 = input
                .decode()
                .map_err(|error| FailureDetails::input(&error))?;
            Payload::encode(&input).map_err(|error| FailureDetails::serialization("output", &error))
        })
    });
    let problem = live.try_feed("start \"x\"").expect_err("undecodable");
    assert_eq!(problem.kind(), ProblemKind::Undecodable);
    assert!(
        problem.message().contains("`fulfil` cannot read its input"),
        "{problem}"
    );
    assert!(
        problem.report().contains("order-42"),
        "{}",
        problem.report()
    );
}

#[test]
fn a_replayed_execution_knows_that_it_is_replaying_and_stops_when_it_is_not() {
    let run: RunOrchestrator = |ctx, _| {
        body(async move {
            note(ctx.is_replaying());
            let _ = ctx.call_activity::<Work>(1).await;
            note(ctx.is_replaying());
            let _ = ctx.call_activity::<Work>(2).await;
            note(ctx.is_replaying());
        })
    };
    let turns = check(
        run,
        &[("start", "call #0 work 1"), ("done #0 7", "call #1 work 2")],
    );
    take_notes();
    let mut execution = execution(run);
    for (index, turn) in turns.iter().enumerate() {
        execution
            .replay(turn, index + 1, Matching::Strict)
            .expect("replays");
    }
    execution.begin_turn(Timestamp(0));
    execution.feed(&parse("done #1 7").1).expect("runs");
    assert_eq!(take_notes(), ["true", "true", "false"]);
}
