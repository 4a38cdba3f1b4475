//! Reads of the status of instances that are in memory.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use durable_core::{
    Client, EventError, HubError, InstanceId, OrchestrationContext, StartError, orchestrator,
};
use futures_util::future::try_join_all;

use crate::args::Args;
use crate::measure::{self, Latencies};

/// At most so many are hot.
const HOT: u64 = 10_000;

/// Reads per second, and how long one took.
pub(super) async fn run(args: &Args, path: &Path) -> Result<(f64, Latencies), Box<dyn Error>> {
    let hub = args.options().open(path).await?;
    let worker = hub.worker().register::<listen>().start().await?;
    let hot = start(&hub.client(), HOT.min(args.instances)).await?;
    let hot: Arc<[InstanceId]> = hot.into();
    let begin = measure::now();
    let readers = (0..args.concurrency).map(|reader| {
        let (client, hot, seconds) = (hub.client(), Arc::clone(&hot), args.seconds);
        tokio::spawn(async move {
            let mut latencies = Latencies::default();
            // Each begins somewhere else, and takes steps that are prime to their number.
            let mut next = reader * 4_513;
            while begin.elapsed() < seconds {
                next += 7_919;
                let one = measure::now();
                let status = client.status(hot[next % hot.len()].clone()).await?;
                latencies.add(one.elapsed());
                assert!(status.is_some(), "it was started");
            }
            Ok::<_, HubError>(latencies)
        })
    });
    let mut latencies = Latencies::default();
    for reader in try_join_all(readers).await? {
        latencies.append(reader?);
    }
    let per_second = latencies.len() as f64 / begin.elapsed().as_secs_f64();
    worker.shutdown().await;
    hub.close().await?;
    Ok((per_second, latencies))
}

async fn start(client: &Client, instances: u64) -> Result<Vec<InstanceId>, StartError> {
    let starts = (0..instances).map(|_| client.start_orchestration::<listen>(()));
    let starts = starts.map(|start| async { Ok::<_, StartError>(start.await?.id().clone()) });
    try_join_all(starts).await
}

#[orchestrator]
async fn listen(ctx: OrchestrationContext) -> Result<(), EventError> {
    ctx.wait_for_external_event("never").await
}
