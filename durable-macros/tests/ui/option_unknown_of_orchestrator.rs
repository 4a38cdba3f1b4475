use durable_core::orchestrator;

#[orchestrator(retries = 3)]
async fn fulfil(count: u32) -> u32 {
    count
}

fn main() {}
