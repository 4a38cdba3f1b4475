use durable_core::{OrchestrationContext, orchestrator};

#[orchestrator]
async fn greet(_ctx: &OrchestrationContext, name: &std::path::Path, all: (u32, &u32)) -> &'static str {
    let _ = (name, all);
    "hello"
}

fn main() {}
