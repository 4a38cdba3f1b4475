use durable_core::activity;

#[activity(name = "bank", name = "till")]
async fn charge(count: u32) -> u32 {
    count
}

fn main() {}
