use durable_core::orchestrator;

#[orchestrator]
async fn greet(#[extract] name: String) -> String {
    name
}

fn main() {}
