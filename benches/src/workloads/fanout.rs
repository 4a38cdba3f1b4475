//! Many activities at once in one orchestration: what fan-out and fan-in cost.

use std::error::Error;
use std::time::Duration;

use durable_core::{ActivityError, NoError, OrchestrationContext, activity, orchestrator};
use futures_util::future::join_all;
use serde_json::json;

use super::{Bench, Slices, report};
use crate::Report;
use crate::args::Args;
use crate::measure::{self, Latencies};

const REPETITIONS: u32 = 7;

pub(crate) async fn run(args: &Args) -> Result<Report, Box<dyn Error>> {
    let width = args.width.unwrap_or(10_000);
    let register =
        |worker: durable_core::WorkerBuilder| worker.register::<fan_out>().register::<part>();
    let mut bench = Bench::open(args, 256, register).await?;
    let mut latencies = Latencies::default();
    let cpu = measure::cpu_seconds();
    for _ in 0..REPETITIONS {
        let begin = measure::now();
        let instance = bench
            .hub
            .client()
            .start_orchestration::<fan_out>(width)
            .await?;
        let sum = instance.wait_for_completion().await?;
        assert_eq!(sum, width * (width + 1) / 2);
        latencies.add(begin.elapsed());
        tokio::task::block_in_place(|| bench.limit.slice(Duration::from_millis(100)))?;
    }
    let seconds = latencies.percentile(0.5) / 1000.0;
    let slices = Slices {
        per_second: width as f64 / seconds,
        cpu: measure::cpu_seconds() - cpu,
        first_per_second: 0.0,
    };
    let mut report = report(args, "fanout", &slices, &mut latencies, &mut bench.limit);
    report.more.insert("width".into(), json!(width));
    report.more.insert("seconds".into(), json!(seconds));
    bench.close().await?;
    Ok(report)
}

#[orchestrator]
async fn fan_out(ctx: OrchestrationContext, width: u64) -> Result<u64, ActivityError<NoError>> {
    let parts = join_all((0..width).map(|n| ctx.call_activity::<part>(n))).await;
    parts.into_iter().sum()
}

#[activity]
async fn part(n: u64) -> u64 {
    n + 1
}
