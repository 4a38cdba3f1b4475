use durable_core::activity;

struct Order;

#[activity]
async fn charge(_orders: Vec<Order>) -> u32 {
    1
}

fn main() {}
