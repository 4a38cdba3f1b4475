//! All at once: joins, and futures that are kept, shared or given up.

use futures_util::FutureExt;
use futures_util::future::{abortable, join_all, try_join_all};

use super::*;

async fn join_all_of(ctx: OrchestrationContext, calls: u32) -> Vec<String> {
    let results = join_all((0..calls).map(|input| work(ctx, input))).await;
    results.into_iter().map(text).collect()
}

#[test]
fn a_chain() {
    check(|ctx, _| {
        body(async move {
            let mut results = Vec::new();
            for input in 0..10 {
                results.push(text(work(ctx, input).await));
            }
            results
        })
    });
}

#[test]
fn join_all_of_3() {
    check(|ctx, _| body(join_all_of(ctx, 3)));
}

#[test]
fn join_all_of_31() {
    check(|ctx, _| body(join_all_of(ctx, 31)));
}

#[test]
fn join_all_of_1000() {
    check_large(|ctx, _| body(join_all_of(ctx, 1_000)));
}

#[test]
fn join_all_of_helpers() {
    check(|ctx, _| body(async move { join_all((0..6).map(|input| two_steps(ctx, input))).await }));
}

#[test]
fn try_join_all_of_40() {
    check(|ctx, _| {
        body(async move {
            let sum = try_join_all((0..40).map(|input| work(ctx, input))).await;
            let after = text(work(ctx, 99).await);
            (sum.map_err(|error| error.to_string()), after)
        })
    });
}

#[test]
fn futures_join_of_helpers_and_calls() {
    check(|ctx, _| {
        body(async move {
            let (a, b, c) = futures_util::join!(
                two_steps(ctx, 1),
                work(ctx, 2),
                ctx.wait_for_external_event::<u32>("Go")
            );
            (a, text(b), c.ok())
        })
    });
}

#[test]
fn tokio_join_which_rotates() {
    check(|ctx, _| {
        body(async move {
            tokio::join!(
                two_steps(ctx, 1),
                two_steps(ctx, 2),
                event_within(ctx, "Go", 3),
                two_steps(ctx, 3),
            )
        })
    });
}

#[test]
fn tokio_try_join_whose_siblings_are_cancelled() {
    check(|ctx, _| {
        body(async move {
            let mut results = Vec::new();
            for round in 0..4 {
                let joined = tokio::try_join!(
                    work(ctx, round),
                    async {
                        let first = work(ctx, round).await?;
                        ctx.call_activity::<Other>(first).await
                    },
                    work(ctx, round + 1),
                );
                results.push(joined.map_err(|error| error.to_string()));
            }
            results
        })
    });
}

#[test]
fn nested_joins() {
    check(|ctx, _| {
        body(async move {
            let pair =
                async |input| futures_util::join!(two_steps(ctx, input), join_all_of(ctx, input));
            futures_util::join!(pair(1), pair(2), pair(3))
        })
    });
}

#[test]
fn a_vector_of_calls_awaited_in_turn() {
    check(|ctx, _| {
        body(async move {
            let calls: Vec<_> = (0..8).map(|input| work(ctx, input).start()).collect();
            let mut results = Vec::new();
            for call in calls {
                results.push(text(call.await));
            }
            results
        })
    });
}

#[test]
fn boxed_recursion() {
    fn tree(
        ctx: OrchestrationContext,
        depth: u32,
    ) -> futures_util::future::BoxFuture<'static, u32> {
        async move {
            let here = work(ctx, depth).await.unwrap_or(1);
            if depth == 0 {
                return here;
            }
            let (left, right) = tokio::join!(tree(ctx, depth - 1), tree(ctx, depth - 1));
            here + left + right
        }
        .boxed()
    }
    check(|ctx, _| body(tree(ctx, 3)));
}

#[test]
fn a_shared_call_with_three_who_wait() {
    check(|ctx, _| {
        body(async move {
            let shared = work(ctx, 1).map(text).shared();
            let wait = async |input| {
                let first = shared.clone().await;
                first + &two_steps(ctx, input).await
            };
            futures_util::join!(wait(2), wait(3), wait(4))
        })
    });
}

#[test]
fn a_shared_call_whose_first_poller_gives_up() {
    check(|ctx, _| {
        body(async move {
            let shared = two_steps(ctx, 1).boxed().shared();
            let poller = shared.clone();
            let early = tokio::select! { biased;
                early = poller => Some(early),
                _ = work(ctx, 9) => None,
            };
            (
                early,
                futures_util::join!(shared.clone(), two_steps(ctx, 2), shared),
            )
        })
    });
}

#[test]
fn a_branch_that_is_aborted() {
    check(|ctx, _| {
        body(async move {
            let (branch, handle) = abortable(join_all_of(ctx, 5));
            let abort = async {
                let _ = work(ctx, 9).await;
                handle.abort();
            };
            futures_util::join!(branch, abort).0.ok()
        })
    });
}

#[test]
fn calls_that_are_begun_and_dropped() {
    check(|ctx, _| {
        body(async move {
            let mut results = Vec::new();
            for round in 0..5 {
                let held = (0..round).map(|input| work(ctx, input).start());
                let held: Vec<_> = held.collect();
                results.push(two_steps(ctx, round).await);
                let polled = ctx.wait_for_external_event::<u32>("Go").now_or_never();
                results.push(format!("{polled:?}"));
                drop(held);
            }
            results
        })
    });
}

#[test]
fn time_uuids_and_random_numbers() {
    check(|ctx, _| {
        body(async move {
            let draw = async |input| {
                let first = (ctx.now(), ctx.new_uuid().to_string());
                let result = two_steps(ctx, input).await;
                ctx.set_custom_status(&result).expect("text");
                (first, ctx.random_u64(), ctx.now())
            };
            tokio::join!(draw(1), draw(2), draw(3))
        })
    });
}

#[test]
fn a_panic_in_a_branch() {
    check(|ctx, _| {
        body(async move {
            let panics = async {
                let _ = two_steps(ctx, 1).await;
                let panics = ctx.instance_id().as_str() == "order-42";
                assert!(!panics, "in a branch");
            };
            futures_util::join!(panics, join_all_of(ctx, 9)).1
        })
    });
}

#[test]
#[expect(
    clippy::disallowed_types,
    reason = "its calls are made before it is iterated over"
)]
fn a_hash_map_of_calls_by_id() {
    use std::collections::HashMap;

    check_by_id(|ctx, _| {
        body(async move {
            let calls: HashMap<_, _> = (0..5).map(|input| (input, work(ctx, input))).collect();
            let joined = join_all(
                calls
                    .into_iter()
                    .map(async |(input, call)| (input, call.await)),
            );
            let results = joined
                .await
                .into_iter()
                .map(|(input, result)| (input, text(result)));
            results.collect::<BTreeMap<_, _>>()
        })
    });
}
