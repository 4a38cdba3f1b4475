use durable_core::activity;

#[activity(name = charge)]
async fn charge(count: u32) -> u32 {
    count
}

fn main() {}
