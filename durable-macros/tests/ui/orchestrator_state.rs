use durable_core::{OrchestrationContext, State, orchestrator};

// What it reads there could be another value at replay.
#[orchestrator]
async fn greet(_ctx: OrchestrationContext, State(name): State<String>) -> String {
    name
}

fn main() {}
