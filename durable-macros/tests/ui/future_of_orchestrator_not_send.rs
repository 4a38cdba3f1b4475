use std::rc::Rc;

use durable_core::{OrchestrationContext, orchestrator};

async fn pay() {}

#[orchestrator]
async fn fulfil(_ctx: OrchestrationContext, count: u32) -> u32 {
    let shared = Rc::new(count);
    pay().await;
    *shared
}

fn main() {}
