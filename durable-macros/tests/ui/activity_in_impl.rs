use durable_core::activity;

struct Bank;

impl Bank {
    // Nothing in it tells the attribute where it stands, so these words are the compiler's.
    #[activity]
    async fn charge(count: u32) -> u32 {
        count
    }
}

fn main() {}
