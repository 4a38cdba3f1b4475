//! Many at a time: streams of calls.

use futures_util::stream::{
    self, FuturesOrdered, FuturesUnordered, StreamExt, TryStreamExt, select, select_all, unfold,
};

use super::*;

#[test]
fn futures_unordered_with_pushes_while_it_drains() {
    check(|ctx, _| {
        body(async move {
            let mut pool: FuturesUnordered<_> = (0..4).map(|input| two_steps(ctx, input)).collect();
            let mut seen = Vec::new();
            while let Some(result) = pool.next().await {
                seen.push(result);
                if seen.len() < 9 {
                    pool.push(two_steps(ctx, 10));
                }
            }
            seen
        })
    });
}

#[test]
fn futures_unordered_of_1000() {
    check_large(|ctx, _| {
        body(async move {
            let pool: FuturesUnordered<_> = (0..1_000).map(|input| work(ctx, input)).collect();
            pool.map(text).collect::<Vec<_>>().await
        })
    });
}

#[test]
fn futures_unordered_kept_unpolled_for_a_while() {
    check(|ctx, _| {
        body(async move {
            let mut pool: FuturesUnordered<_> = (0..5).map(|input| two_steps(ctx, input)).collect();
            let mut seen = Vec::new();
            while let Some(result) = pool.next().await {
                seen.push(result);
                seen.push(two_steps(ctx, 99).await);
            }
            seen
        })
    });
}

#[test]
fn futures_unordered_beside_a_timer_and_an_event() {
    check(|ctx, _| {
        body(async move {
            let mut pool: FuturesUnordered<_> = (0..6).map(|input| two_steps(ctx, input)).collect();
            let mut deadline = ctx.create_timer(secs(9)).start();
            let mut seen = Vec::new();
            loop {
                tokio::select! { biased;
                    Some(result) = pool.next() => seen.push(result),
                    event = ctx.wait_for_external_event::<u32>("More") => {
                        pool.push(two_steps(ctx, event.unwrap_or(0)));
                    }
                    () = &mut deadline => break,
                    else => break,
                }
            }
            seen
        })
    });
}

#[test]
fn futures_unordered_given_up_half_way() {
    check(|ctx, _| {
        body(async move {
            let mut pool: FuturesUnordered<_> = (0..9).map(|input| two_steps(ctx, input)).collect();
            let first = (pool.next().await, pool.next().await);
            drop(pool);
            (first, two_steps(ctx, 10).await)
        })
    });
}

#[test]
fn futures_ordered() {
    check(|ctx, _| {
        body(async move {
            let mut queue: FuturesOrdered<_> = (0..5).map(|input| two_steps(ctx, input)).collect();
            let mut seen = Vec::new();
            while let Some(result) = queue.next().await {
                seen.push(result);
                if seen.len() == 3 {
                    queue.push_front(two_steps(ctx, 10));
                }
            }
            seen
        })
    });
}

#[test]
fn buffered() {
    check(|ctx, _| {
        body(async move {
            let results = stream::iter(0..12)
                .map(|input| two_steps(ctx, input))
                .buffered(4);
            results.collect::<Vec<_>>().await
        })
    });
}

#[test]
fn buffer_unordered() {
    check(|ctx, _| {
        body(async move {
            let results = stream::iter(0..12).map(|input| two_steps(ctx, input));
            results.buffer_unordered(4).collect::<Vec<_>>().await
        })
    });
}

#[test]
fn try_buffer_unordered_that_stops_at_the_first_error() {
    check(|ctx, _| {
        body(async move {
            let results = stream::iter((0..12).map(|input| Ok(work(ctx, input))));
            let sum = results
                .try_buffer_unordered(3)
                .try_fold(0, async |sum, next| Ok(sum + next));
            (
                sum.await.map_err(|error| error.to_string()),
                two_steps(ctx, 1).await,
            )
        })
    });
}

#[test]
fn for_each_concurrent() {
    check(|ctx, _| {
        body(async move {
            let log = std::sync::Mutex::new(Vec::new());
            let each = stream::iter(0..10).for_each_concurrent(3, async |input| {
                let result = two_steps(ctx, input).await;
                log.lock().unwrap().push(result);
            });
            each.await;
            log.into_inner().unwrap()
        })
    });
}

/// A stream of results, each call made when it is asked for.
fn numbers(ctx: OrchestrationContext, first: u32) -> stream::BoxStream<'static, String> {
    let step = move |number| async move {
        (number < first + 5).then_some(())?;
        Some((two_steps(ctx, number).await, number + 1))
    };
    unfold(first, step).boxed()
}

#[test]
fn two_streams_selected() {
    check(|ctx, _| {
        body(async move {
            select(numbers(ctx, 0), numbers(ctx, 100))
                .collect::<Vec<_>>()
                .await
        })
    });
}

#[test]
fn many_streams_selected() {
    check(|ctx, _| {
        body(async move {
            let streams = [0, 100, 200].map(|first| numbers(ctx, first));
            select_all(streams).take(11).collect::<Vec<_>>().await
        })
    });
}

#[test]
fn streams_zipped_and_chained() {
    check(|ctx, _| {
        body(async move {
            let zipped = numbers(ctx, 0).zip(numbers(ctx, 100)).map(|(a, b)| a + &b);
            zipped.chain(numbers(ctx, 200)).collect::<Vec<_>>().await
        })
    });
}
