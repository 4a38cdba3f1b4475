//! One activity, then anew, for ever: what a round of an eternal orchestration costs.

use std::error::Error;
use std::sync::atomic::Ordering;

use durable_core::{
    ActivityError, NoError, OrchestrationContext, WorkerBuilder, activity, orchestrator,
};
use serde_json::json;

use super::{Bench, GATE, report, slices};
use crate::Report;
use crate::args::Args;
use crate::measure::Latencies;

pub(crate) async fn run(args: &Args) -> Result<Report, Box<dyn Error>> {
    let register = |worker: WorkerBuilder| worker.register::<eternal>().register::<look>();
    let mut bench = Bench::open(args, args.concurrency, register).await?;
    for _ in 0..args.concurrency {
        let client = bench.hub.client();
        client.start_orchestration::<eternal>(0).await?;
    }
    let slices = slices(args, &mut bench.limit).await?;
    // A round has no latency that a client sees.
    let mut latencies = Latencies::default();
    let limit = &mut bench.limit;
    let mut report = report(args, "continue_as_new", &slices, &mut latencies, limit);
    let done = GATE.done.load(Ordering::Relaxed);
    report.more.insert("done".into(), json!(done));
    bench.close().await?;
    Ok(report)
}

#[orchestrator]
async fn eternal(ctx: OrchestrationContext, round: u64) -> Result<(), ActivityError<NoError>> {
    let round = ctx.call_activity::<look>(round).await?;
    ctx.continue_as_new::<eternal, _>(round).await
}

#[activity]
async fn look(round: u64) -> u64 {
    GATE.pass().await;
    GATE.count();
    round + 1
}
