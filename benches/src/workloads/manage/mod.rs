//! What an operator asks of a hub: reads of the status, pages of what was asked for, and a purge
//! beside what runs.

mod pages;
mod population;
mod purge;
mod statuses;

use std::error::Error;

use serde_json::json;

use super::{LIMIT_SLICE, Slices, report};
use crate::Report;
use crate::args::Args;
use crate::limit::Limit;
use crate::measure::{self, Latencies};

/// The line tells of the reads of the status; the rest is added to it.
pub(crate) async fn run(args: &Args) -> Result<Report, Box<dyn Error>> {
    let directory = tempfile::tempdir_in(std::env::current_dir()?)?;
    let cpu = measure::cpu_seconds();
    let (per_second, mut latencies) = statuses::run(args, &directory.path().join("hot")).await?;
    let slices = Slices {
        per_second,
        cpu: measure::cpu_seconds() - cpu,
        first_per_second: 0.0,
    };
    let mut limit = Limit::open(directory.path(), args.concurrency)?;
    tokio::task::block_in_place(|| limit.slice(LIMIT_SLICE))?;
    let mut report = report(args, "manage", &slices, &mut latencies, &mut limit);
    report.more.insert("max_ms".into(), latencies.max().into());

    let population = population::make(args, &directory.path().join("many")).await?;
    let made = json!(population.seconds);
    report.more.insert("population_s".into(), made);
    let pages = pages::run(&population).await?;
    report.more.insert("pages".into(), pages);
    let purge = purge::run(args, &population).await?;
    report.more.insert("purge".into(), purge);
    population.worker.shutdown().await;
    population.hub.close().await?;
    Ok(report)
}

/// Percentiles of some pages, in milliseconds.
fn told(latencies: &mut Latencies) -> serde_json::Value {
    json!({
        "p50_ms": latencies.percentile(0.5),
        "p99_ms": latencies.percentile(0.99),
        "max_ms": latencies.max(),
    })
}
