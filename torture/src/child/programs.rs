//! The orchestrators of the load, and their two activities.

use std::time::Duration;

use durable_core::{ActivityContext, OrchestrationContext, RetryPolicy, activity, orchestrator};
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};

use super::report::report;
use crate::AnyError;
use crate::line::{Digest, Line};
use crate::plan::{MAX_ATTEMPTS, Output, Step, Task, rng, seen};

/// The names of events, as orchestrators write them.
const NAMES: [&str; 2] = ["First", "second"];

/// Says that it begins, and returns a text made of what it was fed with.
#[activity]
async fn step(ctx: ActivityContext, input: Step) -> String {
    begin(&ctx, &input);
    dawdle(&input).await;
    report(&Line::End {
        n: input.n,
        step: input.place,
        attempt: ctx.attempt(),
    });
    input.output()
}

/// Why [`flaky`] failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("attempt {attempt} fails")]
struct Flaky {
    attempt: u32,
}

/// Fails so many times.
#[activity]
async fn flaky(
    ctx: ActivityContext,
    #[input] input: Step,
    #[input] failures: u32,
) -> Result<u32, Flaky> {
    begin(&ctx, &input);
    dawdle(&input).await;
    let attempt = ctx.attempt();
    report(&Line::End {
        n: input.n,
        step: input.place,
        attempt,
    });
    if attempt <= failures {
        return Err(Flaky { attempt });
    }
    Ok(attempt)
}

fn begin(ctx: &ActivityContext, input: &Step) {
    report(&Line::Begin {
        n: input.n,
        step: input.place,
        attempt: ctx.attempt(),
        key: ctx.idempotency_key(),
        input: Digest::of(&input.blob),
    });
}

async fn dawdle(input: &Step) {
    let mut rng = rng(&[input.n, u64::from(input.place)]);
    if rng.bool() {
        super::pause(&mut rng, Duration::from_millis(4)).await;
    }
}

#[orchestrator]
pub(super) async fn chain(ctx: OrchestrationContext, task: Task) -> Result<Output, AnyError> {
    let mut blob = task.blob.clone();
    for number in 0..task.count {
        blob = ctx.call_activity::<step>(task.step(number, blob)).await?;
        ctx.set_custom_status(&(number + 1))?;
    }
    Ok(Output {
        blob,
        ..Output::default()
    })
}

#[orchestrator]
pub(super) async fn fan(ctx: OrchestrationContext, task: Task) -> Result<Output, AnyError> {
    let part = |number| ctx.call_activity::<step>(task.step(number, task.blob.clone()));
    let parts = try_join_all((0..task.count).map(part)).await?;
    let all = task.step(task.count, parts.concat());
    Ok(Output {
        blob: ctx.call_activity::<step>(all).await?,
        ..Output::default()
    })
}

#[orchestrator]
pub(super) async fn decide(ctx: OrchestrationContext, task: Task) -> Result<Output, AnyError> {
    let began = ctx.now();
    let mut output = Output::default();
    tokio::select! { biased;
        number = ctx.wait_for_external_event::<u64>(NAMES[0]) => output.events[0].push(number?),
        () = ctx.create_timer(Duration::from_millis(task.delay_ms)) => {
            let waited = ctx.now().duration_since(began)?;
            output.waited_us = Some(u64::try_from(waited.as_micros())?);
        }
    }
    let decided = task.step(0, seen(&output.events));
    output.blob = ctx.call_activity::<step>(decided).await?;
    Ok(output)
}

#[orchestrator]
pub(super) async fn ledger(ctx: OrchestrationContext, task: Task) -> Result<Output, AnyError> {
    ctx.call_activity::<step>(task.step(0, task.blob.clone()))
        .await?;
    let mut output = Output::default();
    let (first, second) = tokio::try_join!(
        take(ctx, NAMES[0], task.count),
        take(ctx, NAMES[1], task.count),
    )?;
    output.events = [first, second];
    let all = task.step(1, seen(&output.events));
    output.blob = ctx.call_activity::<step>(all).await?;
    Ok(output)
}

/// So many events of one name, each waited for when the one before has come.
async fn take(ctx: OrchestrationContext, name: &str, count: u32) -> Result<Vec<u64>, AnyError> {
    let mut numbers = Vec::new();
    for _ in 0..count {
        numbers.push(ctx.wait_for_external_event(name).await?);
    }
    Ok(numbers)
}

#[orchestrator]
pub(super) async fn retry(ctx: OrchestrationContext, task: Task) -> Result<Output, AnyError> {
    let policy = RetryPolicy::exponential(MAX_ATTEMPTS, Duration::from_millis(task.delay_ms));
    let input = task.step(0, task.blob.clone());
    ctx.call_activity::<flaky>((input, task.count))
        .retry(policy)
        .await?;
    let after = task.step(1, seen(&Default::default()));
    Ok(Output {
        blob: ctx.call_activity::<step>(after).await?,
        ..Output::default()
    })
}

#[orchestrator]
pub(super) async fn endless(ctx: OrchestrationContext, task: Task) -> Result<Output, AnyError> {
    let blob = ctx
        .call_activity::<step>(task.step(0, task.blob.clone()))
        .await?;
    ctx.wait_for_external_event::<()>("never").await?;
    Ok(Output {
        blob,
        ..Output::default()
    })
}
