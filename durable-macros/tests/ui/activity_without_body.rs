use durable_core::activity;

trait Bank {
    #[activity]
    async fn charge(count: u32) -> u32;
}

fn main() {}
