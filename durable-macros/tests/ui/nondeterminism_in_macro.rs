use std::time::Instant;

use durable_core::orchestrator;

// A parser of Rust does not enter the call of a macro.
#[orchestrator]
async fn fulfil() {
    tokio::join!(async { drop(Instant::now()) }, async {});
}

fn main() {}
