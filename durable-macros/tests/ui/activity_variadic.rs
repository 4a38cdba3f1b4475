use durable_core::activity;

#[activity]
fn charge(count: u32, _: ...) -> u32 {
    count
}

fn main() {}
