use std::rc::Rc;

use durable_core::activity;

async fn pay() {}

#[activity]
async fn charge(count: u32) -> u32 {
    let shared = Rc::new(count);
    pay().await;
    *shared
}

fn main() {}
