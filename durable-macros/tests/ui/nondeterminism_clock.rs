use std::time::SystemTime;

use durable_core::orchestrator;

#[orchestrator]
async fn fulfil() -> bool {
    SystemTime::now() > SystemTime::UNIX_EPOCH
}

fn main() {}
