use durable_core::{ActivityContext, activity};

#[activity]
async fn charge(ctx: ActivityContext, again: ActivityContext) -> bool {
    ctx.attempt() == again.attempt()
}

fn main() {}
