use durable_core::activity;

#[activity(type)]
async fn charge(count: u32) -> u32 {
    count
}

fn main() {}
