use std::env;

use durable_core::orchestrator;

#[orchestrator]
async fn fulfil() -> Option<String> {
    env::var("HOME").ok()
}

fn main() {}
