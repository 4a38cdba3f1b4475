//! `durable-core` under another name: what the attributes write must not depend on it.

use lasting::{ActivityError, NoError, OrchestrationContext, TaskHub, activity, orchestrator};

#[activity(crate = lasting)]
async fn double(n: u32) -> u32 {
    2 * n
}

#[orchestrator(crate = lasting)]
async fn quadruple(ctx: OrchestrationContext, n: u32) -> Result<u32, ActivityError<NoError>> {
    let n = ctx.call_activity::<double>(n).await?;
    ctx.call_activity::<double>(n).await
}

#[tokio::test]
async fn a_renamed_dependency_works() -> Result<(), Box<dyn std::error::Error>> {
    let hub = TaskHub::in_memory().await?;
    let _worker = hub.worker().register_all().start().await?;
    let instance = hub.client().start_orchestration::<quadruple>(3).await?;
    assert_eq!(instance.wait_for_completion().await?, 12);
    Ok(())
}
