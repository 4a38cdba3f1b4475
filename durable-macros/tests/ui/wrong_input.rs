use durable_core::{Activity, activity};

#[activity]
async fn charge(count: u32) -> u32 {
    count
}

fn call_activity<A: Activity>(_: A::Input) {}

fn main() {
    call_activity::<charge>("one");
}
