use std::error::Error;

use durable_core::activity;

#[activity]
fn charge(count: u32) -> Result<u32, Box<dyn Error>> {
    Ok(count)
}

fn main() {}
