//! The first of several: selects, races, deadlines.

use futures_util::FutureExt;
use futures_util::future::{Either, select, select_all, select_ok};

use super::*;

#[test]
fn futures_select_biased() {
    check(|ctx, _| {
        body(async move {
            futures_util::select_biased! {
                first = work(ctx, 1) => text(first),
                second = two_steps(ctx, 2).boxed().fuse() => second,
                () = ctx.create_timer(secs(2)) => "late".into(),
            }
        })
    });
}

#[test]
fn futures_select_biased_in_a_loop_over_calls_that_live_on() {
    check(|ctx, _| {
        body(async move {
            let [mut a, mut b] = [1, 2].map(|input| work(ctx, input));
            let mut deadline = ctx.create_timer(secs(4));
            let mut seen = Vec::new();
            loop {
                futures_util::select_biased! {
                    result = a => seen.push(text(result)),
                    result = b => seen.push(text(result)),
                    () = deadline => break seen.push("late".into()),
                    complete => break,
                }
                seen.push(two_steps(ctx, 7).await);
            }
            seen
        })
    });
}

#[test]
fn tokio_select_biased() {
    check(|ctx, _| {
        body(async move {
            tokio::select! { biased;
                first = two_steps(ctx, 1) => first,
                second = two_steps(ctx, 2) => second,
                third = work(ctx, 3) => text(third),
            }
        })
    });
}

#[test]
fn tokio_select_biased_in_a_loop() {
    check(|ctx, _| {
        body(async move {
            let mut steps = std::pin::pin!(async {
                let mut results = Vec::new();
                for input in 0..6 {
                    results.push(two_steps(ctx, input).await);
                }
                results
            });
            let mut events = Vec::new();
            loop {
                tokio::select! { biased;
                    event = ctx.wait_for_external_event::<u32>("Go") => events.push(event.ok()),
                    () = ctx.create_timer(secs(2)) => events.push(None),
                    results = &mut steps => break (results, events),
                }
            }
        })
    });
}

#[test]
fn nested_selects() {
    check(|ctx, _| {
        body(async move {
            let race = async |input| {
                tokio::select! { biased;
                    result = two_steps(ctx, input) => result,
                    _ = event_within(ctx, "Stop", 5) => "stopped".into(),
                }
            };
            tokio::select! { biased;
                first = race(1) => (first, race(3).await),
                second = race(2) => (second, race(4).await),
            }
        })
    });
}

#[test]
fn a_deadline_by_select() {
    check(|ctx, _| {
        body(async move {
            let mut seen = Vec::new();
            for round in 0..8 {
                let limit = ctx.create_timer(secs(round % 3));
                let in_time = tokio::select! { biased;
                    event = ctx.wait_for_external_event::<u32>("Approval") => event.ok(),
                    () = limit => None,
                };
                seen.push((in_time, two_steps(ctx, 1).await));
            }
            seen
        })
    });
}

#[test]
fn future_select_whose_loser_lives_on() {
    check(|ctx, _| {
        body(async move {
            match select(work(ctx, 1), work(ctx, 2)).await {
                Either::Left((first, second)) => text(first) + &text(second.await),
                Either::Right((second, first)) => text(second) + &text(first.await),
            }
        })
    });
}

#[test]
fn select_all_in_a_loop() {
    check(|ctx, _| {
        body(async move {
            let mut calls: Vec<_> = (0..9).map(|input| work(ctx, input)).collect();
            let mut order = Vec::new();
            while !calls.is_empty() {
                let (result, index, rest) = select_all(calls).await;
                order.push((index, text(result)));
                calls = rest;
            }
            order
        })
    });
}

#[test]
fn select_ok_of_helpers() {
    check(|ctx, _| {
        body(async move {
            let tries = (0..5).map(|input| {
                async move {
                    let first = work(ctx, input).await?;
                    ctx.call_activity::<Other>(first).await
                }
                .boxed()
            });
            let first = select_ok(tries)
                .await
                .map(|(first, rest)| (first, rest.len()));
            (
                first.map_err(|error| error.to_string()),
                two_steps(ctx, 1).await,
            )
        })
    });
}

#[test]
fn several_waits_for_one_event() {
    check(|ctx, _| {
        body(async move {
            let branch = async |limit| {
                let mut seen = Vec::new();
                for _ in 0..4 {
                    seen.push(event_within(ctx, "Go", limit).await);
                    seen.push(work(ctx, 1).await.ok());
                }
                seen
            };
            futures_util::join!(branch(1), branch(2), branch(3))
        })
    });
}

#[test]
fn waits_with_a_timeout() {
    check(|ctx, _| {
        body(async move {
            let branch = async |limit| {
                let mut seen = Vec::new();
                for round in 0_u32..4 {
                    let wait = ctx.wait_for_external_event::<u32>("Go");
                    let wait = wait.timeout(secs(u64::from((limit + round) % 4)));
                    let result = if round % 2 == 0 {
                        wait.await
                    } else {
                        let wait = wait.start();
                        two_steps(ctx, round).await;
                        wait.await
                    };
                    seen.push(result);
                }
                seen
            };
            tokio::select! { biased;
                seen = branch(1) => (seen, branch(2).await),
                seen = branch(3) => (seen, branch(0).await),
            }
        })
    });
}

#[test]
fn patches_in_branches() {
    check(|ctx, _| {
        body(async move {
            let branch = async |name: &'static str, input| {
                let mut seen = vec![two_steps(ctx, input).await];
                for name in [name, "both"] {
                    if ctx.patched(name) {
                        seen.push(text(work(ctx, input).await));
                    }
                }
                seen
            };
            futures_util::join!(branch("a", 1), branch("b", 2), branch("a", 3))
        })
    });
}

#[test]
fn waits_that_are_dropped_unread() {
    check(|ctx, _| {
        body(async move {
            let mut seen = Vec::new();
            for _ in 0..6 {
                let waits = [(); 3].map(|()| ctx.wait_for_external_event::<u32>("Go").start());
                let _ = two_steps(ctx, 1).await;
                let [a, b, c] = waits;
                drop(b);
                drop(a);
                seen.push(c.await.ok());
            }
            seen
        })
    });
}

#[test]
fn a_loop_that_reacts_to_commands() {
    check(|ctx, _| {
        body(async move {
            let mut total = 0;
            let mut running: Option<CallOf<Work>> = None;
            for round in 0..30 {
                tokio::select! { biased;
                    command = ctx.wait_for_external_event::<u32>("Command") => {
                        let command = command.unwrap_or(0);
                        // Replacing it cancels the one before.
                        running = (command % 3 != 0).then(|| work(ctx, command));
                    }
                    result = async { running.as_mut().expect("checked").await },
                        if running.is_some() =>
                    {
                        running = None;
                        total += result.unwrap_or(round);
                    }
                    () = ctx.create_timer(secs(3)) => total += 1_000,
                }
                ctx.set_custom_status(&total).expect("a number");
            }
            total
        })
    });
}

#[test]
fn an_unbiased_select_of_calls_by_id() {
    check_by_id(|ctx, _| {
        body(async move {
            tokio::select! {
                first = work(ctx, 1) => text(first),
                second = work(ctx, 2) => text(second),
                third = work(ctx, 3) => text(third),
            }
        })
    });
}

#[test]
fn an_unbiased_select_of_calls_that_were_started() {
    check(|ctx, _| {
        body(async move {
            let [a, b, c] = [1, 2, 3].map(|input| work(ctx, input).start());
            tokio::select! {
                first = a => text(first),
                second = b => text(second),
                third = c => text(third),
            }
        })
    });
}
