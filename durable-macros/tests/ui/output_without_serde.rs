use durable_core::activity;

struct Receipt;

#[activity]
async fn charge(_count: u32) -> Result<Receipt, String> {
    Ok(Receipt)
}

fn main() {}
