use durable_core::{OrchestrationContext, orchestrator};

enum Declined {}

#[orchestrator]
async fn fulfil(_ctx: OrchestrationContext, count: u32) -> Result<u32, Declined> {
    Ok(count)
}

fn main() {}
