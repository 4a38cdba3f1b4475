use durable_core::orchestrator;

#[orchestrator]
async fn fulfil() {
    drop(tokio::spawn(async {}));
}

fn main() {}
