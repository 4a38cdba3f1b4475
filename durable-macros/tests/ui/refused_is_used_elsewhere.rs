use durable_core::{Activity, Orchestrator, Register, activity, orchestrator};

#[activity]
async unsafe fn charge(order: String) -> usize {
    order.len()
}

#[orchestrator(nam = "x")]
async fn fulfil(order: String) -> usize {
    order.len()
}

fn call<A: Activity<Output = usize>>(_: A::Input) {}
fn start<O: Orchestrator>(_: O::Input) {}
fn register<R: Register>() {}

// Who uses it is not to blame.
fn main() {
    call::<charge>("book".to_owned());
    start::<fulfil>("book".to_owned());
    register::<charge>();
    register::<fulfil>();
}
