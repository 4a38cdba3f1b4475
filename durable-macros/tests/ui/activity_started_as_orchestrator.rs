use durable_core::{Orchestrator, activity};

#[activity]
async fn charge(count: u32) -> u32 {
    count
}

fn start_orchestration<O: Orchestrator>() {}

fn main() {
    start_orchestration::<charge>();
}
