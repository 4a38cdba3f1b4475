use durable_core::orchestrator;

#[orchestrator]
mod greetings {}

fn main() {}
