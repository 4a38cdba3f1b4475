use durable_core::activity;

// The reference is not blamed as well: without the lifetime it would be another message.
#[activity]
async fn charge<'a>(order: &'a str) -> usize {
    order.len()
}

fn main() {}
