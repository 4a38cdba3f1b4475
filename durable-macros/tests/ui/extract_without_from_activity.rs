use durable_core::activity;

struct Connection;

#[activity]
async fn charge(#[extract] _connection: Connection) {}

fn main() {}
