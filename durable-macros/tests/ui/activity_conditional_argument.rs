use durable_core::activity;

#[activity]
async fn charge(#[cfg(unix)] count: u32) -> u32 {
    count
}

fn main() {}
