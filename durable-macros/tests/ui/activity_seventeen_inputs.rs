use durable_core::activity;

#[activity]
#[rustfmt::skip]
async fn charge(
    _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8,
    _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8,
    _: u16, _: u32,
) {}

fn main() {}
