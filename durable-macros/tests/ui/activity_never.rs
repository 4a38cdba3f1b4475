use durable_core::activity;

#[activity]
async fn charge() -> ! {
    std::process::exit(1)
}

fn main() {}
