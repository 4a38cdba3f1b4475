use durable_core::activity;

#[activity(max_concurrent = 0)]
async fn pay() {}

fn main() {}
