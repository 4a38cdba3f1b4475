use durable_core::{State, activity};

#[activity]
async fn charge(#[extract] #[input] _state: State<u32>) {}

fn main() {}
