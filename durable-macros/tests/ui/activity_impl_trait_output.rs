use durable_core::activity;

#[activity]
async fn charge(count: u32) -> Option<impl Into<u64>> {
    Some(count)
}

fn main() {}
