use std::thread;
use std::time::Duration;

use durable_core::orchestrator;

#[orchestrator]
async fn fulfil() {
    thread::sleep(Duration::from_secs(1));
}

fn main() {}
