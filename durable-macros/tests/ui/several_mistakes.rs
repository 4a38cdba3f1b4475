use durable_core::orchestrator;

// One message for each.
#[orchestrator]
const unsafe fn greet(_name: &str) {}

fn main() {}
