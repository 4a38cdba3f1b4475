use durable_core::activity;

#[activity]
pub struct Charge {
    pub count: u32,
}

fn main() {
    let _ = Charge { count: 1 };
}
