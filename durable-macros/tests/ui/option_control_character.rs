use durable_core::orchestrator;

#[orchestrator(version = "1\n")]
async fn fulfil(count: u32) -> u32 {
    count
}

fn main() {}
