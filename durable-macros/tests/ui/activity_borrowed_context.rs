use durable_core::{ActivityContext, activity};

#[activity]
async fn charge(ctx: &ActivityContext) -> u32 {
    ctx.attempt()
}

fn main() {}
