use durable_core::activity;

// A call in history is a call of whatever has the name now; only orchestrators run on.
#[activity(version = "2")]
async fn charge(count: u32) -> u32 {
    count
}

fn main() {}
