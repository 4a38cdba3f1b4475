use durable_core::{Activity, OrchestrationContext, orchestrator};

#[orchestrator]
async fn fulfil(_ctx: OrchestrationContext, count: u32) -> u32 {
    count
}

fn call_activity<A: Activity>() {}

fn main() {
    call_activity::<fulfil>();
}
