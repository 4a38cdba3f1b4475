use durable_core::activity;

// It is recorded under one name, which would have to stand for many functions.
#[activity]
async fn charge<T: Send>(_order: T) -> u32 {
    1
}

fn main() {}
