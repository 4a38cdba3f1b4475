use durable_core::{Client, activity};

#[activity]
async fn price(item: u32) -> u32 {
    item
}

// An activity is called by an orchestrator, not started by a client.
async fn start(client: Client) {
    let _ = client.start_orchestration::<price>(1).await;
}

fn main() {}
