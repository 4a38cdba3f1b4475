use durable_core::activity;

#[activity]
async fn charge(orders: Option<&[Vec<u8>]>) -> usize {
    orders.map_or(0, <[_]>::len)
}

fn main() {}
