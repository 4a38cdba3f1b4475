use durable_core::activity;

// The worker calls it, and cannot uphold what the function asks of its caller.
#[activity]
async unsafe fn charge(count: u32) -> u32 {
    count
}

fn main() {}
