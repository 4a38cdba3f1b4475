use durable_core::orchestrator;

#[orchestrator(allow_nondeterminism = "")]
async fn fulfil() {}

fn main() {}
