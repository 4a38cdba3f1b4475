//! Children that a parent calls at once: what a sub-orchestration costs.

use std::error::Error;

use durable_core::{
    Client, NoError, OrchestrationContext, SubOrchestrationError, WorkerBuilder, orchestrator,
};
use futures_util::future::try_join_all;
use serde_json::json;

use super::clients::{self, Failure};
use crate::Report;
use crate::args::Args;

pub(crate) async fn run(args: &Args) -> Result<Report, Box<dyn Error>> {
    let width = args.width.unwrap_or(10);
    let register = |worker: WorkerBuilder| worker.register::<parent>().register::<child>();
    let once = move |client| once(client, width);
    let mut report = clients::run(args, "children", register, once).await?;
    report.more.insert("width".into(), json!(width));
    Ok(report)
}

async fn once(client: Client, width: u64) -> Result<u64, Failure> {
    let instance = client.start_orchestration::<parent>(width).await?;
    let sum = instance.wait_for_completion().await?;
    assert_eq!(sum, width * (width + 1) / 2);
    Ok(width)
}

#[orchestrator]
async fn parent(
    ctx: OrchestrationContext,
    width: u64,
) -> Result<u64, SubOrchestrationError<NoError>> {
    let children = (0..width).map(|n| ctx.call_sub_orchestrator::<child>(n));
    Ok(try_join_all(children).await?.into_iter().sum())
}

#[orchestrator]
async fn child(_ctx: OrchestrationContext, n: u64) -> u64 {
    n + 1
}
