//! Somebody who wants little, and measures how long it takes.

use std::future::Future;
use std::time::Duration;

use durable_core::{
    ActivityError, Client, Instance, NoError, OrchestrationContext, activity, orchestrator,
};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::AnyError;
use crate::clock::Stopwatch;

/// Between two things it does.
const PAUSE: Duration = Duration::from_millis(2);

/// Durations, of which percentiles are wanted.
#[derive(Debug, Default)]
pub(super) struct Sample(Vec<Duration>);

impl Sample {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// At most this much in so many of a hundred cases; zero of nothing.
    pub(super) fn percentile(&mut self, share: usize) -> Duration {
        self.0.sort_unstable();
        let place = (self.0.len() * share).div_ceil(100).saturating_sub(1);
        self.0.get(place).copied().unwrap_or_default()
    }
}

/// What the bystander waited for, and how long.
#[derive(Debug, Default)]
pub(super) struct Delays {
    /// A status.
    pub(super) read: Sample,
    /// An event, the turn it causes, and a status that shows it.
    pub(super) turn: Sample,
    /// A new instance with one activity, from its start to its end.
    pub(super) hello: Sample,
}

/// Somebody with an instance that is told something now and then, and with new ones now and then.
pub(super) struct Bystander {
    instance: Instance<listen>,
    client: Client,
    told: u64,
    pub(super) delays: Delays,
    /// Its own: what stands in the queues of the load's runtime is not what is measured.
    runtime: Handle,
}

impl Bystander {
    pub(super) async fn start(client: &Client, runtime: &Handle) -> Result<Self, AnyError> {
        let start = client.start_orchestration::<listen>(());
        Ok(Self {
            instance: start.id("bystander").await?,
            client: client.clone(),
            told: 0,
            delays: Delays::default(),
            runtime: runtime.clone(),
        })
    }

    /// Measures until the load is over, and says what that came to.
    pub(super) async fn watch<T>(
        &mut self,
        load: impl Future<Output = Result<T, AnyError>>,
    ) -> Result<T, AnyError> {
        let over = CancellationToken::new();
        let (instance, told) = (self.instance.clone(), self.told);
        let turns = self.runtime.spawn(take_turns(instance, told, over.clone()));
        let hellos = self
            .runtime
            .spawn(say_hellos(self.client.clone(), over.clone()));
        let came_to = load.await;
        over.cancel();
        let (told, mut reads, mut turns) = turns.await??;
        self.told = told;
        self.delays.read.0.append(&mut reads.0);
        self.delays.turn.0.append(&mut turns.0);
        self.delays.hello.0.append(&mut hellos.await??.0);
        came_to
    }
}

async fn take_turns(
    instance: Instance<listen>,
    mut told: u64,
    over: CancellationToken,
) -> Result<(u64, Sample, Sample), AnyError> {
    let (mut reads, mut turns) = (Sample::default(), Sample::default());
    while !over.is_cancelled() {
        told += 1;
        let since = Stopwatch::start();
        instance.raise_event("told", &told).await?;
        loop {
            let reading = Stopwatch::start();
            let status = instance.status().await?.ok_or("it is gone")?;
            reads.0.push(reading.elapsed());
            let shown: Option<u64> = status.custom_status()?;
            if shown == Some(told) {
                break;
            }
            // Without a worker what is acknowledged is stored only.
            tokio::time::sleep(PAUSE).await;
        }
        turns.0.push(since.elapsed());
        tokio::time::sleep(PAUSE).await;
    }
    Ok((told, reads, turns))
}

async fn say_hellos(client: Client, over: CancellationToken) -> Result<Sample, AnyError> {
    let mut hellos = Sample::default();
    while !over.is_cancelled() {
        let since = Stopwatch::start();
        let instance = client.start_orchestration::<greet>(()).await?;
        instance.wait_for_completion().await?;
        hellos.0.push(since.elapsed());
        tokio::time::sleep(PAUSE).await;
    }
    Ok(hellos)
}

/// Shows what it was told last.
#[orchestrator]
async fn listen(ctx: OrchestrationContext) -> Result<(), AnyError> {
    loop {
        let told: u64 = ctx.wait_for_external_event("told").await?;
        ctx.set_custom_status(&told)?;
    }
}

#[orchestrator]
async fn greet(ctx: OrchestrationContext) -> Result<u64, ActivityError<NoError>> {
    ctx.call_activity::<say_hello>(()).await
}

#[activity]
async fn say_hello() -> u64 {
    1
}
