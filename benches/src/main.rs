//! Benchmarks as programs: each prints one JSON line.
//!
//! ```text
//! cargo run --release -p durable-benches -- chain --concurrency 512 --seconds 30 --warmup 2000000
//! ```
//!
//! Every commit is synced. The machine's own limit (`limit_per_s`) is measured in the same run, in
//! slices between those of the workload: one packed 300-byte sled record per durable commit, as
//! many to a sync as the workload has at once (at most 256). Compare ratios, not absolute figures.

#![expect(
    clippy::cast_precision_loss,
    reason = "counts become rates, of which three digits matter"
)]

mod args;
mod limit;
mod measure;
mod workloads;

use serde::Serialize;

use crate::args::{Args, Workload};

// The largest single gain there is for sled, which allocates a lot; a library must not choose.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The one line that is printed.
#[derive(Debug, Serialize)]
struct Report {
    workload: &'static str,
    store: &'static str,
    durability: &'static str,
    concurrency: usize,
    throughput_per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_s: f64,
    rss_mb: f64,
    limit_per_s: f64,
    /// The p50 of one durable commit of the limit, in the same run.
    limit_p50_ms: f64,
    #[serde(flatten)]
    more: serde_json::Map<String, serde_json::Value>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse()?;
    if let Some(hub) = &args.hub {
        return workloads::sleepers::in_this_process(&args, hub).await;
    }
    let line = if args.workload == Workload::Replay {
        workloads::replay::run(&args)?
    } else {
        serde_json::to_string(&report(args.workload, &args).await?)?
    };
    #[expect(clippy::print_stdout, reason = "the line is what this program is for")]
    {
        println!("{line}");
    }
    Ok(())
}

async fn report(workload: Workload, args: &Args) -> Result<Report, Box<dyn std::error::Error>> {
    Ok(match workload {
        Workload::Chain => workloads::chain::run(args).await?,
        Workload::Hello => workloads::hello::run(args).await?,
        Workload::Fanout => workloads::fanout::run(args).await?,
        Workload::Events => workloads::events::run(args).await?,
        Workload::Children => workloads::children::run(args).await?,
        Workload::Retry => workloads::retry::run(args).await?,
        Workload::ContinueAsNew => workloads::continue_as_new::run(args).await?,
        Workload::Rounds => workloads::rounds::run(args).await?,
        Workload::Manage => workloads::manage::run(args).await?,
        Workload::Http => workloads::http::run(args).await?,
        Workload::Sleepers => workloads::sleepers::run(args).await?,
        // It has no limit beside it.
        Workload::Replay => return Err("replay has a line of its own".into()),
    })
}
