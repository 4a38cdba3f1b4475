//! Start, one activity, wait: what an orchestration costs.

use std::error::Error;

use durable_core::{ActivityError, Client, NoError, OrchestrationContext, activity, orchestrator};

use super::clients::{self, Failure};
use crate::Report;
use crate::args::Args;

pub(crate) async fn run(args: &Args) -> Result<Report, Box<dyn Error>> {
    let register =
        |worker: durable_core::WorkerBuilder| worker.register::<hello>().register::<greet>();
    clients::run(args, "hello", register, once).await
}

async fn once(client: Client) -> Result<u64, Failure> {
    let start = client.start_orchestration::<hello>("world".to_owned());
    start.await?.wait_for_completion().await?;
    Ok(1)
}

#[orchestrator]
async fn hello(ctx: OrchestrationContext, name: String) -> Result<String, ActivityError<NoError>> {
    ctx.call_activity::<greet>(name).await
}

#[activity]
async fn greet(name: String) -> String {
    format!("Hello, {name}!")
}
