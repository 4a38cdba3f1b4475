use durable_core::orchestrator;

#[orchestrator]
async fn fulfil() -> u8 {
    rand::random()
}

fn main() {}

mod rand {
    pub fn random() -> u8 {
        4
    }
}
