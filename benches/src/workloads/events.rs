//! Start, raise the event that is waited for, wait for the end: what a round trip costs.

use std::error::Error;

use durable_core::{Client, EventError, OrchestrationContext, WorkerBuilder, orchestrator};

use super::clients::{self, Failure};
use crate::Report;
use crate::args::Args;

pub(crate) async fn run(args: &Args) -> Result<Report, Box<dyn Error>> {
    let register = |worker: WorkerBuilder| worker.register::<wait>();
    clients::run(args, "events", register, once).await
}

async fn once(client: Client) -> Result<u64, Failure> {
    let instance = client.start_orchestration::<wait>(()).await?;
    instance.raise_event("go", &7_u64).await?;
    assert_eq!(instance.wait_for_completion().await?, 7);
    Ok(1)
}

#[orchestrator]
async fn wait(ctx: OrchestrationContext) -> Result<u64, EventError> {
    ctx.wait_for_external_event("go").await
}
