//! `ctx.run`: steps that are written in the orchestrator.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use durable_core::{
    ActivityError, OrchestrationContext, OrchestrationError, ProblemKind, RetryPolicy, TaskHub,
    orchestrator,
};

use crate::on_both;

#[tokio::test]
async fn a_step_runs_on_the_runtime_and_its_result_comes_back() {
    #[orchestrator]
    async fn adds(ctx: OrchestrationContext, n: u32) -> Result<u32, ActivityError<String>> {
        ctx.run("add", move || async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok(n + 1)
        })
        .await
    }

    on_both(async |hub| {
        let _worker = hub.worker().register::<adds>().start().await.unwrap();
        let instance = hub.client().start_orchestration::<adds>(1).await.unwrap();
        assert_eq!(instance.wait_for_completion().await.unwrap(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_failing_step_is_retried_and_its_own_error_comes_back() {
    static ATTEMPTS: AtomicU32 = AtomicU32::new(0);

    #[orchestrator]
    async fn fails(ctx: OrchestrationContext) -> Result<(), ActivityError<String>> {
        ctx.run("fail", || async {
            let attempt = ATTEMPTS.fetch_add(1, Ordering::Relaxed) + 1;
            Err(format!("attempt {attempt}"))
        })
        .retry(RetryPolicy::fixed(3, Duration::from_millis(1)))
        .await
    }

    let hub = TaskHub::in_memory().await.unwrap();
    let _worker = hub.worker().register::<fails>().start().await.unwrap();
    let instance = hub.client().start_orchestration::<fails>(()).await.unwrap();
    match instance.wait_for_completion().await {
        Err(OrchestrationError::Application(ActivityError::Application(error))) => {
            assert_eq!(error, "attempt 3");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_recorded_step_is_not_run_again_and_one_that_was_not_is() {
    static RUNS: [AtomicU32; 2] = [AtomicU32::new(0), AtomicU32::new(0)];

    #[orchestrator]
    async fn two(ctx: OrchestrationContext) -> Result<u32, ActivityError<String>> {
        let first = ctx.run("first", || async {
            Ok(RUNS[0].fetch_add(1, Ordering::Relaxed))
        });
        let first = first.await?;
        ctx.wait_for_external_event::<()>("go")
            .await
            .map_err(|_| ActivityError::Application("go".to_owned()))?;
        let second = ctx.run("second", || async {
            Ok(RUNS[1].fetch_add(1, Ordering::Relaxed))
        });
        Ok(first + 10 * second.await?)
    }

    let directory = tempfile::tempdir().unwrap();
    let hub = TaskHub::open(directory.path()).await.unwrap();
    let worker = hub.worker().register::<two>().start().await.unwrap();
    let instance = hub
        .client()
        .start_orchestration::<two>(())
        .id("two")
        .await
        .unwrap();
    while RUNS[0].load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    worker.shutdown().await;
    instance.raise_event("go", &()).await.unwrap();
    hub.close().await.unwrap();

    let hub = TaskHub::open(directory.path()).await.unwrap();
    let _worker = hub.worker().register::<two>().start().await.unwrap();
    let instance = hub.client().instance::<two>("two").unwrap();
    assert_eq!(instance.wait_for_completion().await.unwrap(), 0);
    assert_eq!(
        RUNS.each_ref().map(|runs| runs.load(Ordering::Relaxed)),
        [1, 1]
    );
}

#[tokio::test]
async fn another_step_in_its_place_is_a_divergence() {
    mod before {
        use super::*;

        #[orchestrator(name = "renamed")]
        pub(super) async fn orchestrate(
            ctx: OrchestrationContext,
        ) -> Result<(), ActivityError<String>> {
            ctx.run("old name", std::future::pending).await
        }
    }
    mod after {
        use super::*;

        #[orchestrator(name = "renamed")]
        pub(super) async fn orchestrate(
            ctx: OrchestrationContext,
        ) -> Result<(), ActivityError<String>> {
            ctx.run("new name", || async { Ok(()) }).await
        }
    }

    let hub = TaskHub::in_memory().await.unwrap();
    let worker = hub.worker().shutdown_timeout(Duration::ZERO);
    let worker = worker
        .register::<before::orchestrate>()
        .start()
        .await
        .unwrap();
    let start = hub.client().start_orchestration::<before::orchestrate>(());
    let instance = start.await.unwrap();
    worker.shutdown().await;

    let _worker = hub
        .worker()
        .register::<after::orchestrate>()
        .start()
        .await
        .unwrap();
    let status = loop {
        let status = instance.status().await.unwrap().unwrap();
        if status.problem().is_some() {
            break status;
        }
        tokio::task::yield_now().await;
    };
    let problem = status.problem().unwrap();
    assert_eq!(problem.kind(), ProblemKind::Divergence);
    assert!(
        problem.message().contains("old name") && problem.message().contains("new name"),
        "{problem}"
    );
}
