//! Activities that the process dies of, in virtual time: every restart of a `TestHub` is a crash.
//! (`tests/poison.rs` has processes that really die.)

use std::time::Duration;

use durable_core::testing::{TestHub, TestHubBuilder};
use durable_core::{
    InstanceError, OrchestrationContext, ProblemKind, RetryPolicy, RuntimeStatus, TaskHub,
    activity, orchestrator,
};

use super::soon;

const SECOND: Duration = Duration::from_secs(1);

#[activity]
async fn brew(cup: u64) -> u64 {
    unreachable!("cup {cup} is mocked")
}

/// So many cups at once, and then one more.
#[orchestrator]
async fn tea(ctx: OrchestrationContext, cups: u64) -> Vec<u64> {
    let policy = || RetryPolicy::fixed(2, SECOND);
    let brew = |cup| ctx.call_activity::<brew>(cup).retry(policy());
    let first = (0..cups).map(brew);
    let mut brewed = Vec::new();
    for cup in futures_util::future::join_all(first).await {
        brewed.push(cup.unwrap());
    }
    brewed.push(brew(cups).await.unwrap());
    brewed
}

fn kitchen() -> TestHubBuilder {
    TestHub::builder().register::<tea>().register::<brew>()
}

/// Nobody ever finishes a cup.
fn nothing_ends(hub: &TestHub) {
    hub.mock_async::<brew, _>(async |_| std::future::pending().await);
}

/// Only cups of this number are not finished.
fn all_end_but(hub: &TestHub, killer: u64) {
    hub.mock_async::<brew, _>(move |cup| async move {
        if cup == killer {
            std::future::pending::<()>().await;
        }
        Ok(cup)
    });
}

/// The cups that were begun in the life that follows the next crash.
async fn crash(hub: &mut TestHub, lives: Duration) -> Vec<u64> {
    let before = hub.calls::<brew>().len();
    soon(hub.restart()).await.unwrap();
    hub.advance(lives).await.unwrap();
    hub.calls::<brew>()[before..].to_vec()
}

/// Those that may begin at once do so in an order that the seed decides.
fn sorted(mut cups: Vec<u64>) -> Vec<u64> {
    cups.sort_unstable();
    cups
}

async fn problem(hub: &TestHub) -> Option<ProblemKind> {
    let status = hub.client().status("tea").await.unwrap().unwrap();
    assert_eq!(status.runtime_status(), RuntimeStatus::Running);
    let problem = status.problem()?;
    assert!(problem.message().contains("`brew` (call #1)"), "{problem}");
    assert!(problem.report().contains("client.retry(\"tea\")"));
    Some(problem.kind())
}

#[tokio::test]
async fn a_call_that_the_process_dies_of_rests_and_can_be_tried_again() {
    let mut hub = soon(kitchen().start()).await.unwrap();
    nothing_ends(&hub);
    let start = hub.client().start_orchestration::<tea>(3).id("tea");
    let instance = start.await.unwrap();
    hub.advance(SECOND).await.unwrap();
    assert_eq!(sorted(hub.calls::<brew>()), [0, 1, 2]);
    let begun = crash(&mut hub, SECOND).await;
    assert_eq!(sorted(begun), [0, 1, 2], "once is no pattern");

    all_end_but(&hub, 1);
    // After a pause of a second one at a time, and the innocent first.
    let slowly = SECOND * 5;
    assert_eq!(crash(&mut hub, slowly).await, [0, 1]);
    assert_eq!(problem(&hub).await, None);
    assert_eq!(crash(&mut hub, slowly * 2).await, [2, 1]);
    assert_eq!(crash(&mut hub, slowly * 4).await, [1]);
    assert_eq!(problem(&hub).await, None);
    assert_eq!(crash(&mut hub, slowly * 10).await, [0; 0]);
    assert_eq!(problem(&hub).await, Some(ProblemKind::PoisonedActivity));
    assert_eq!(
        crash(&mut hub, slowly * 10).await,
        [0; 0],
        "and it stays so"
    );
    assert_eq!(problem(&hub).await, Some(ProblemKind::PoisonedActivity));

    // Others do not mind.
    let start = hub.client().start_orchestration::<tea>(0);
    let other = start.await.unwrap();
    assert_eq!(soon(other.wait_for_completion()).await.unwrap(), [0]);

    all_end_but(&hub, 1_000);
    hub.client().retry("tea").await.unwrap();
    assert_eq!(
        soon(instance.wait_for_completion()).await.unwrap(),
        [0, 1, 2, 3]
    );
    let ended = hub.client().retry("tea").await;
    assert!(
        matches!(ended, Err(InstanceError::Ended { .. })),
        "{ended:?}"
    );
    let nobody = hub.client().retry("nobody").await;
    assert!(
        matches!(nobody, Err(InstanceError::NotFound { .. })),
        "{nobody:?}"
    );
    let wrong = hub.client().retry("").await;
    assert!(
        matches!(wrong, Err(InstanceError::InvalidId(_))),
        "{wrong:?}"
    );
    assert!(hub.task_hub().verify().await.unwrap().is_sound());
}

#[tokio::test]
async fn a_poisoned_call_that_is_not_mended_rests_again() {
    let options = TaskHub::options().poison_after(1);
    let mut hub = soon(kitchen().options(options).start()).await.unwrap();
    all_end_but(&hub, 1);
    let start = hub.client().start_orchestration::<tea>(2).id("tea");
    let instance = start.await.unwrap();
    hub.advance(SECOND).await.unwrap();
    assert_eq!(crash(&mut hub, SECOND).await, [1]);
    assert_eq!(crash(&mut hub, SECOND * 3).await, [1], "alone");
    for _ in 0..3 {
        assert_eq!(problem(&hub).await, None);
        assert_eq!(crash(&mut hub, SECOND * 31).await, [0; 0]);
        assert_eq!(problem(&hub).await, Some(ProblemKind::PoisonedActivity));
        // The pause of this life is over, so it begins at once, and alone.
        let before = hub.calls::<brew>().len();
        hub.client().retry("tea").await.unwrap();
        hub.advance(SECOND).await.unwrap();
        assert_eq!(hub.calls::<brew>()[before..], [1]);
    }
    // It is no longer wanted: that it rests is of no account.
    instance.terminate("cold").await.unwrap();
    let ended = hub.client().status("tea").await.unwrap().unwrap();
    assert_eq!(ended.runtime_status(), RuntimeStatus::Terminated);
    assert_eq!(ended.problem(), None);
    assert!(hub.task_hub().verify().await.unwrap().is_sound());
}

/// An instance that is blocked for another reason, and what is mended without a new worker.
#[tokio::test]
async fn an_instance_that_is_blocked_is_replayed_again() {
    let mut hub = soon(kitchen().start()).await.unwrap();
    nothing_ends(&hub);
    let start = hub.client().start_orchestration::<tea>(1).id("tea");
    start.await.unwrap();
    hub.advance(SECOND).await.unwrap();
    let code = TestHub::builder().register::<brew>();
    hub.restart_with(code).await.unwrap();
    let status = hub.client().status("tea").await.unwrap().unwrap();
    let kind = status.problem().unwrap().kind();
    assert_eq!(kind, ProblemKind::OrchestratorNotRegistered);
    let since = status.problem_since();
    hub.advance(SECOND).await.unwrap();
    hub.client().retry("tea").await.unwrap();
    let status = hub.client().status("tea").await.unwrap().unwrap();
    assert_eq!(status.problem().unwrap().kind(), kind, "nothing was mended");
    assert_eq!(status.problem_since(), since);
}
