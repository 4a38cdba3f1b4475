//! How large an eternal orchestration becomes: on disk and in memory, after few rounds and many.

use std::error::Error;

use durable_core::{
    ActivityError, NoError, OrchestrationContext, TaskHub, TaskHubOptions, activity, orchestrator,
};
use serde_json::{Map, Value, json};

use super::{LIMIT_SLICE, Slices, report};
use crate::Report;
use crate::args::Args;
use crate::limit::Limit;
use crate::measure::{self, Latencies};

/// When the files are compacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compaction {
    Never,
    ByItself,
    /// Whenever the size is measured.
    Asked,
}

impl Compaction {
    fn name(self) -> &'static str {
        match self {
            Self::Never => "never_compacted",
            Self::ByItself => "compacted_by_itself",
            Self::Asked => "compacted_when_asked",
        }
    }

    fn options(self, args: &Args) -> TaskHubOptions {
        // 8 MiB that mean nothing would hide what grows.
        let options = args.options().ballast(0);
        match self {
            Self::ByItself => options,
            Self::Never | Self::Asked => options.compaction_factor(0),
        }
    }
}

pub(crate) async fn run(args: &Args) -> Result<Report, Box<dyn Error>> {
    let directory = tempfile::tempdir_in(std::env::current_dir()?)?;
    let mut more = Map::new();
    let (begin, cpu) = (measure::now(), measure::cpu_seconds());
    for compaction in [Compaction::Never, Compaction::ByItself, Compaction::Asked] {
        let path = directory.path().join(compaction.name());
        let hub = compaction.options(args).open(path).await?;
        let worker = hub
            .worker()
            .register::<go_round>()
            .register::<look>()
            .start()
            .await?;
        let mut found = Vec::new();
        for rounds in [args.rounds / 100, args.rounds / 10, args.rounds] {
            found.push(sizes(&hub, compaction, rounds.max(1)).await?);
        }
        more.insert(compaction.name().into(), found.into());
        worker.shutdown().await;
        hub.close().await?;
    }
    let rounds = args.rounds / 100 + args.rounds / 10 + args.rounds;
    let slices = Slices {
        per_second: f64::from(3 * rounds) / begin.elapsed().as_secs_f64(),
        cpu: measure::cpu_seconds() - cpu,
        first_per_second: 0.0,
    };
    let mut limit = Limit::open(directory.path(), 1)?;
    tokio::task::block_in_place(|| limit.slice(LIMIT_SLICE))?;
    let mut none = Latencies::default();
    let mut report = report(args, "rounds", &slices, &mut none, &mut limit);
    report.more = more;
    Ok(report)
}

/// What there is after so many rounds of one more instance.
async fn sizes(
    hub: &TaskHub,
    compaction: Compaction,
    rounds: u32,
) -> Result<Value, Box<dyn Error>> {
    let client = hub.client();
    let instance = client.start_orchestration::<go_round>((0, rounds)).await?;
    assert_eq!(instance.wait_for_completion().await?, rounds);
    if compaction == Compaction::Asked {
        hub.compact().await?;
    }
    let stats = hub.stats().await?;
    Ok(json!({
        "rounds": rounds,
        "live_bytes": stats.live_bytes,
        "bytes_on_disk": stats.bytes_on_disk,
        "rss_mb": measure::rss_mb().round(),
    }))
}

#[orchestrator]
async fn go_round(
    ctx: OrchestrationContext,
    round: u32,
    rounds: u32,
) -> Result<u32, ActivityError<NoError>> {
    let round = ctx.call_activity::<look>(round).await?;
    if round >= rounds {
        return Ok(round);
    }
    ctx.continue_as_new::<go_round, _>((round, rounds)).await
}

#[activity]
async fn look(round: u32) -> u32 {
    round + 1
}
