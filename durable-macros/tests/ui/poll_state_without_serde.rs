use durable_core::{Poll, activity};

struct Ticket;

#[activity]
async fn wait() -> Poll<u32, Ticket> {
    Poll::Done(1)
}

fn main() {}
