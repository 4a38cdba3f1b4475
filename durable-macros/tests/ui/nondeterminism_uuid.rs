use durable_core::orchestrator;

#[orchestrator]
async fn fulfil() {
    Uuid::new_v4();
}

fn main() {}

struct Uuid;

impl Uuid {
    fn new_v4() {}
}
