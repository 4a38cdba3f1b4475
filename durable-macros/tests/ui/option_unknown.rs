use durable_core::activity;

#[activity(nam = "bank")]
async fn charge(count: u32) -> u32 {
    count
}

fn main() {}
