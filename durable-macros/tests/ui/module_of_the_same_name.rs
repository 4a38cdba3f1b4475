mod charge {
    #[durable_core::activity]
    pub async fn charge(count: u32) -> u32 {
        count
    }
}

// The type beside the function stands in the namespace of modules: `#[activity(type = Charge)]`.
use charge::charge;

fn main() {
    let _ = charge(1);
}
