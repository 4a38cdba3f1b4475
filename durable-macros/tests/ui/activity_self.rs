use durable_core::activity;

struct Bank;

impl Bank {
    #[activity]
    async fn charge(&self, count: u32) -> u32 {
        count
    }
}

fn main() {
    let _ = Bank.charge(1);
}
