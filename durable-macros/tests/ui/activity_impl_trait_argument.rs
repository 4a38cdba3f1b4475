use durable_core::activity;

#[activity]
async fn charge(order: Vec<impl Into<String>>) -> usize {
    order.len()
}

fn main() {}
