use durable_core::activity;

#[activity]
async fn charge(count: u32) -> Result<u32, &'static str> {
    if count == 0 { Err("nothing") } else { Ok(count) }
}

fn main() {}
