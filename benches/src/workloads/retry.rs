//! An activity that succeeds at last: what an attempt costs.

use std::error::Error;
use std::time::Duration;

use durable_core::{
    ActivityContext, ActivityError, Client, OrchestrationContext, RetryPolicy, WorkerBuilder,
    activity, orchestrator,
};
use serde_json::json;

use super::clients::{self, Failure};
use crate::Report;
use crate::args::Args;

pub(crate) async fn run(args: &Args) -> Result<Report, Box<dyn Error>> {
    let attempts = args.attempts.max(1);
    let register = |worker: WorkerBuilder| worker.register::<persist>().register::<fail>();
    let once = move |client| once(client, attempts);
    let mut report = clients::run(args, "retry", register, once).await?;
    report.more.insert("attempts".into(), json!(attempts));
    Ok(report)
}

async fn once(client: Client, attempts: u32) -> Result<u64, Failure> {
    let instance = client.start_orchestration::<persist>(attempts).await?;
    assert_eq!(instance.wait_for_completion().await?, attempts);
    Ok(u64::from(attempts))
}

#[orchestrator]
async fn persist(ctx: OrchestrationContext, attempts: u32) -> Result<u32, ActivityError<String>> {
    let policy = RetryPolicy::fixed(attempts, Duration::ZERO);
    ctx.call_activity::<fail>(attempts).retry(policy).await
}

/// Fails but for the last time.
#[activity]
async fn fail(ctx: ActivityContext, attempts: u32) -> Result<u32, String> {
    if ctx.attempt() < attempts {
        return Err("not yet".to_owned());
    }
    Ok(attempts)
}
