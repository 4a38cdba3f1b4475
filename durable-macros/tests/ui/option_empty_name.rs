use durable_core::activity;

#[activity(name = "")]
async fn charge(count: u32) -> u32 {
    count
}

fn main() {}
