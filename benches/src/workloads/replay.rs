//! How fast a history is replayed from memory: what a restart or an eviction costs, without the disk.

use std::error::Error;

use durable_core::testing::Recorded;
use durable_core::{ActivityError, NoError, OrchestrationContext, activity, orchestrator};
use serde_json::json;

use crate::args::Args;
use crate::measure;

/// Replays the same history again and again, on one core. Returns the line to be printed.
pub(crate) fn run(args: &Args) -> Result<String, Box<dyn Error>> {
    let recorded = Recorded::of::<chain>(&args.steps, &7_u64)?;
    let (begin, mut rates) = (measure::now(), Vec::new());
    while begin.elapsed() < args.seconds {
        let one = measure::now();
        recorded.replay().map_err(|problem| problem.to_string())?;
        rates.push(recorded.events() as f64 / one.elapsed().as_secs_f64());
    }
    let line = json!({
        "workload": "replay",
        "events": recorded.events(),
        "replays": rates.len(),
        "throughput_per_s": measure::median(&mut rates).round(),
        "rss_mb": measure::rss_mb(),
    });
    Ok(line.to_string())
}

#[orchestrator]
async fn chain(ctx: OrchestrationContext, steps: u64) -> Result<u64, ActivityError<NoError>> {
    let mut sum = 0;
    for n in 0..steps {
        sum += ctx.call_activity::<step>(n).await?;
    }
    Ok(sum)
}

#[activity]
async fn step(n: u64) -> u64 {
    n
}
