use durable_core::orchestrator;

#[orchestrator]
async fn fulfil() -> std::io::Result<String> {
    std::fs::read_to_string("orders.csv")
}

fn main() {}
