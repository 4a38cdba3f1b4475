use durable_core::{OrchestrationContext, orchestrator};

// Replay polls a future; a plain function has nothing to poll.
#[orchestrator]
fn greet(_ctx: OrchestrationContext, name: String) -> String {
    name
}

fn main() {}
