use durable_core::{OrchestrationContext, orchestrator};

#[orchestrator]
async fn greet(_ctx: OrchestrationContext, _again: OrchestrationContext) {}

fn main() {}
