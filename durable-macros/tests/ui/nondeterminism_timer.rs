use std::time::Duration;

use durable_core::orchestrator;

#[orchestrator]
async fn fulfil() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

fn main() {}

mod tokio {
    pub mod time {
        pub async fn sleep(_: std::time::Duration) {}
    }
}
