//! Calls do what was written: lazily, bound where they are made.

use futures_util::future::join;

use super::*;
use crate::retry::RetryPolicy;

#[test]
fn two_lets_and_two_awaits_run_one_after_the_other() {
    check(
        |ctx, _| {
            body(async move {
                let a = ctx.call_activity::<Work>(1);
                let b = ctx.call_activity::<Work>(2);
                text(a.await) + &text(b.await)
            })
        },
        &[
            ("start", "call #0 work 1"),
            ("done #0 7", "call #1 work 2"),
            ("done #1 8", "complete \"78\""),
        ],
    );
}

#[test]
fn a_call_made_first_and_awaited_second_has_the_lower_id() {
    check(
        |ctx, _| {
            body(async move {
                let a = ctx.call_activity::<Work>(1);
                let b = ctx.call_activity::<Work>(2).await;
                text(b) + &text(a.await)
            })
        },
        &[
            ("start", "call #1 work 2"),
            ("done #1 8", "call #0 work 1"),
            ("done #0 7", "complete \"87\""),
        ],
    );
}

#[test]
fn a_call_that_is_never_polled_is_a_hole_in_the_ids() {
    check(
        |ctx, input| {
            body(async move {
                let unwanted = ctx.call_activity::<Work>(1);
                let timer = ctx.create_timer(secs(1));
                let event = ctx.wait_for_external_event::<u32>("Go");
                if input.decode::<bool>().expect("a bool") {
                    text(unwanted.await)
                } else {
                    drop((timer, event));
                    text(ctx.call_activity::<Work>(2).await)
                }
            })
        },
        &[
            ("start false", "call #3 work 2"),
            ("done #3 7", "complete \"7\""),
        ],
    );
}

#[test]
fn start_begins_a_call_without_waiting_for_it() {
    check(
        |ctx, _| {
            body(async move {
                let a = ctx.call_activity::<Work>(1).start();
                let timer = ctx.create_timer(secs(9)).start();
                let event = ctx.wait_for_external_event::<u32>("Go").start();
                let b = ctx.call_activity::<Work>(2).await;
                timer.await;
                format!(
                    "{} {} {}",
                    text(b),
                    event.await.expect("a number"),
                    text(a.await)
                )
            })
        },
        &[
            (
                "start",
                "call #0 work 1; timer #1 at 9; wait #2 go; call #3 work 2",
            ),
            ("raise go 6", "-"),
            ("done #0 7", "-"),
            ("done #3 8", "-"),
            ("@9 fired #1", "complete \"8 6 7\""),
        ],
    );
}

#[test]
fn join_begins_all_and_waits_for_all() {
    check(
        |ctx, _| {
            body(async move {
                let (a, b) = tokio::join!(ctx.call_activity::<Work>(1), async {
                    text(ctx.call_activity::<Work>(2).await)
                });
                text(a) + &b
            })
        },
        &[
            ("start", "call #0 work 1; call #1 work 2"),
            ("done #1 8", "-"),
            ("done #0 7", "complete \"78\""),
        ],
    );
}

#[test]
fn the_first_error_of_try_join_cancels_the_siblings() {
    check(
        |ctx, _| {
            body(async move {
                let (a, b, c) = (
                    ctx.call_activity::<Work>(1),
                    ctx.call_activity::<Work>(2),
                    ctx.call_activity::<Work>(3),
                );
                let result = futures_util::try_join!(a, b, c);
                result.map_or_else(|error| error.to_string(), |_| "all".into())
            })
        },
        &[
            ("start", "call #0 work 1; call #1 work 2; call #2 work 3"),
            ("done #2 7", "-"),
            (
                "failed #1 \"no\"",
                "cancel #0; complete \"the activity failed: no\"",
            ),
        ],
    );
}

#[test]
fn the_losers_of_a_select_are_cancelled() {
    let script =
        |last: (&'static str, &'static str)| [("start", "wait #0 approval; timer #1 at 60"), last];
    let run: RunOrchestrator = |ctx, _| {
        body(async move {
            tokio::select! { biased;
                approval = ctx.wait_for_external_event::<u32>("Approval") => approval.ok(),
                () = ctx.create_timer(secs(60)) => None,
            }
        })
    };
    check(run, &script(("@60 fired #1", "cancel #0; complete null")));
    check(
        run,
        &script(("@9 raise Approval 3", "cancel #1; complete 3")),
    );
}

#[test]
fn a_timer_counts_from_where_it_was_made() {
    check(
        |ctx, _| {
            body(async move {
                let timer = ctx.create_timer(secs(60));
                let _ = ctx.call_activity::<Work>(1).await;
                timer.await;
                ctx.create_timer(secs(60)).await;
            })
        },
        &[
            ("@1000 start", "call #1 work 1"),
            ("@1100 done #1 7", "timer #0 at 1060"),
            ("@1100 fired #0", "timer #2 at 1160"),
            ("@1160 fired #2", "complete null"),
        ],
    );
}

#[test]
fn a_timer_of_no_delay_and_one_at_a_past_time_are_due_at_once() {
    check(
        |ctx, _| {
            body(async move {
                let past = std::time::UNIX_EPOCH + secs(5);
                join(ctx.create_timer(Duration::ZERO), ctx.create_timer_at(past)).await;
            })
        },
        &[
            ("@1000 start", "timer #0 at 1000; timer #1 at 5"),
            ("fired #0", "-"),
            ("fired #1", "complete null"),
        ],
    );
}

#[test]
fn now_is_the_time_of_the_turn_and_never_goes_back() {
    check(
        |ctx, _| {
            body(async move {
                let now = || {
                    let now = ctx.now().duration_since(std::time::UNIX_EPOCH);
                    ctx.set_custom_status(&now.expect("after 1970").as_secs())
                        .expect("a number");
                };
                loop {
                    now();
                    if ctx.wait_for_external_event::<bool>("Last").await == Ok(true) {
                        break now();
                    }
                }
            })
        },
        &[
            ("@50 start", "status 50; wait #0 last"),
            ("@20 raise last false", "status 50; wait #1 last"),
            ("raise last false", "status 50; wait #2 last"),
            ("@51 raise last true", "status 51; complete null"),
        ],
    );
}

#[test]
fn uuids_are_the_same_in_replay_and_different_everywhere_else() {
    let run: RunOrchestrator = |ctx, _| {
        body(async move {
            let first = (ctx.new_uuid(), ctx.random_u64());
            let _ = ctx.call_activity::<Work>(1).await;
            [
                first.0.to_string(),
                first.1.to_string(),
                ctx.new_uuid().to_string(),
                ctx.random_u64().to_string(),
            ]
        })
    };
    let made = |identity: Identity| {
        let mut execution = Execution::new(Arc::new(identity), run, Arc::new(|| {}));
        let mut fed = |row| execution.feed(&parse(row).1).expect("runs").actions;
        fed("start");
        let output = fed("done #0 1")[0].action.payload().cloned();
        output
            .expect("it completes")
            .decode::<Vec<String>>()
            .expect("texts")
    };
    let base = || (*identity()).clone();
    let all = || {
        [
            base(),
            Identity {
                hub: 0,
                instance: InstanceId::new("order-4").expect("valid"),
                ..base()
            },
            Identity {
                hub: 0,
                number: InstanceNumber(2),
                ..base()
            },
            Identity {
                hub: 0,
                execution: ExecutionId(1),
                ..base()
            },
        ]
        .map(made)
    };
    assert_eq!(all(), all(), "replayed");
    let mut distinct = all().concat();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), 16);
}

#[test]
fn custom_statuses_of_a_step_are_kept_in_order() {
    check(
        |ctx, _| {
            body(async move {
                ctx.set_custom_status("packing").expect("text");
                ctx.set_custom_status(&[1, 2]).expect("numbers");
                let unwritable = BTreeMap::from([((1, 2), 3)]);
                assert!(ctx.set_custom_status(&unwritable).is_err());
            })
        },
        &[("start", "status \"packing\"; status [1,2]; complete null")],
    );
}

#[test]
fn options_are_part_of_the_call() {
    check(
        |ctx, _| {
            body(async move {
                let retry = RetryPolicy::fixed(3, secs(1));
                let call = ctx.call_activity::<Work>(1).retry(retry.clone());
                let begun = ctx.call_activity::<Work>(2).timeout(secs(5)).start();
                text(call.await) + &text(begun.await)
            })
        },
        &[
            ("start", "call #1 work 2 within 5s; call #0 work 1 retried"),
            ("done #0 7", "-"),
            ("done #1 8", "complete \"78\""),
        ],
    );
}

#[test]
fn an_input_that_cannot_be_written_is_the_callers_error() {
    check(
        |ctx, _| {
            body(async move {
                let input = BTreeMap::from([((1, 2), 3)]);
                let error = ctx.call_activity::<Unwritable>(input).start().await;
                matches!(error, Err(ActivityError::Data(_)))
            })
        },
        &[("start", "complete true")],
    );
}

#[test]
fn what_an_activity_ended_with_comes_back_as_it_was_or_says_why_not() {
    let run: RunOrchestrator =
        |ctx, _| body(async move { text(ctx.call_activity::<Work>(1).await) });
    for (answer, result) in [
        ("done #0 7", "complete \"7\""),
        ("failed #0 \"no\"", "complete \"error no\""),
    ] {
        check(run, &[("start", "call #0 work 1"), (answer, result)]);
    }
    for answer in ["done #0 \"x\"", "failed #0 5"] {
        let mut live = Live::new(run);
        live.feed("start");
        let result = live.feed(answer);
        assert!(
            result.contains("data could not be used"),
            "{answer}: {result}"
        );
    }
}

#[test]
fn an_orchestrator_reads_its_input_and_its_own_ids() {
    check(
        |ctx, input| {
            body(async move {
                let input: u32 = input.decode().expect("a number");
                (
                    input,
                    ctx.instance_id().as_str().to_owned(),
                    ctx.execution_id().generation(),
                )
            })
        },
        &[
            ("start 5", "complete [5,\"order-42\",0]"),
            ("start 6", "ignored"),
        ],
    );
}

#[test]
fn an_err_of_the_orchestrator_fails_it() {
    check(
        |ctx, _| {
            Box::pin(async move {
                let _held = ctx.create_timer(secs(1)).start();
                Err(FailureDetails::new(
                    FailureKind::Application,
                    "E",
                    "no stock",
                ))
            })
        },
        &[(
            "start",
            "timer #0 at 1; cancel #0; fail Application no stock",
        )],
    );
}
