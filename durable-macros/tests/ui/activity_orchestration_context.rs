use durable_core::{OrchestrationContext, activity};

#[activity]
async fn charge(_ctx: OrchestrationContext, count: u32) -> u32 {
    count
}

fn main() {}
