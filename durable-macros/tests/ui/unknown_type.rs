use durable_core::activity;

#[activity]
async fn charge(count: Count) -> Receipt {
    todo!()
}

fn main() {}
