use durable_core::activity;

enum Declined {}

#[activity]
async fn charge(count: u32) -> Result<u32, Declined> {
    Ok(count)
}

fn main() {}
