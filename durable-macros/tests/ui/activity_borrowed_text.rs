use durable_core::activity;

// The input is read from history: there is nothing it could borrow from.
#[activity]
async fn charge(order: &str) -> usize {
    order.len()
}

fn main() {}
