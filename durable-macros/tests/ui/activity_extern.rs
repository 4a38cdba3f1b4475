use durable_core::activity;

#[activity]
extern "C" fn charge(count: u32) -> u32 {
    count
}

fn main() {}
