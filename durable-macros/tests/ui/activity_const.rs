use durable_core::activity;

#[activity]
const fn charge(count: u32) -> u32 {
    count
}

fn main() {}
