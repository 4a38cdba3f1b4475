//! What the hub has to do meanwhile.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use durable_core::{
    ActivityError, Client, Instance, NoError, OrchestrationContext, activity, orchestrator,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::task::JoinSet;

use crate::AnyError;
use crate::clock::Stopwatch;

/// Requests of one client at once, where it does not matter.
const AT_ONCE: usize = 256;

/// Starts an instance, and has the events stored for it, as no worker runs.
pub(super) async fn store_events(
    client: &Client,
    events: u64,
) -> Result<Instance<count>, AnyError> {
    let instance = client.start_orchestration::<count>(events).await?;
    stream::iter(0..events)
        .map(async |n| instance.raise_event("n", &n).await)
        .buffered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    Ok(instance)
}

/// Waits until the instance has taken them all.
pub(super) async fn take_events(instance: Instance<count>, events: u64) -> Result<(), AnyError> {
    let sum = instance.wait_for_completion().await?;
    let expected: u64 = (0..events).sum();
    if sum == expected {
        return Ok(());
    }
    Err(format!("{events} events add up to {sum} instead of {expected}").into())
}

/// Raises all events at once, each in a task of its own.
pub(super) async fn raise_events(client: &Client, events: u64) -> Result<(), AnyError> {
    let instance = client.start_orchestration::<count>(events).await?;
    let mut raising = JoinSet::new();
    for n in 0..events {
        let instance = instance.clone();
        raising.spawn(async move { instance.raise_event("n", &n).await });
    }
    while let Some(raised) = raising.join_next().await {
        raised??;
    }
    take_events(instance, events).await
}

/// Activities that have begun.
static TICKS: AtomicU64 = AtomicU64::new(0);

/// Keeps so many instances busy for a while. Returns how many activities they ran a second.
pub(super) async fn keep_busy(
    client: &Client,
    instances: u64,
    how_long: Duration,
) -> Result<u64, AnyError> {
    stream::iter(0..instances)
        .map(async |_| client.start_orchestration::<run_on>(()).await)
        .buffer_unordered(AT_ONCE)
        .try_for_each(async |_| Ok(()))
        .await?;
    let (since, before) = (Stopwatch::start(), TICKS.load(Ordering::Relaxed));
    tokio::time::sleep(how_long).await;
    Ok(rate(
        TICKS.load(Ordering::Relaxed) - before,
        since.elapsed(),
    ))
}

pub(super) fn rate(done: u64, took: Duration) -> u64 {
    let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    done * 1000 / ms.max(1)
}

/// Adds up so many events.
#[orchestrator]
pub(super) async fn count(ctx: OrchestrationContext, events: u64) -> Result<u64, AnyError> {
    let mut sum = 0;
    for _ in 0..events {
        sum += ctx.wait_for_external_event::<u64>("n").await?;
    }
    Ok(sum)
}

/// One activity after the other, without end.
#[orchestrator]
async fn run_on(ctx: OrchestrationContext) -> Result<(), ActivityError<NoError>> {
    loop {
        ctx.call_activity::<tick>(()).await?;
    }
}

#[activity]
async fn tick() {
    TICKS.fetch_add(1, Ordering::Relaxed);
}
