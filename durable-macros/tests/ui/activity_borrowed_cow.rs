use std::borrow::Cow;

use durable_core::activity;

#[activity]
async fn charge(order: Cow<'_, str>) -> usize {
    order.len()
}

fn main() {}
