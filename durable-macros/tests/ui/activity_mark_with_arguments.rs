use durable_core::{State, activity};

#[activity]
async fn charge(#[extract(once)] _state: State<u32>) {}

fn main() {}
