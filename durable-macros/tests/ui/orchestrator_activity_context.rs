use durable_core::{ActivityContext, orchestrator};

#[orchestrator]
async fn greet(ctx: ActivityContext) -> u32 {
    ctx.attempt()
}

fn main() {}
