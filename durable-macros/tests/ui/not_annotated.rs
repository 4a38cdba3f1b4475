use durable_core::Register;

async fn charge(count: u32) -> u32 {
    count
}

fn register<F: Register>() {}

// These words are the compiler's: there is no type called `charge` to say anything about.
fn main() {
    let _ = charge(1);
    register::<charge>();
}
