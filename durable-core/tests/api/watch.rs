//! Waiting for what is shown of an instance.

use std::time::Duration;

use durable_core::testing::TestHub;
use durable_core::{
    Client, HubError, InstanceWatch, OrchestrationContext, OrchestrationStatus, ProblemKind,
    RuntimeStatus, TaskHub, orchestrator,
};
use futures_util::FutureExt;

use super::{Place, on_both, soon};

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Says how many events have come, up to so many.
#[orchestrator]
async fn counts(ctx: OrchestrationContext, events: u32) -> u32 {
    for count in 0..events {
        ctx.set_custom_status(&count).unwrap();
        ctx.wait_for_external_event::<()>("go").await.unwrap();
    }
    events
}

async fn start(hub: &TaskHub, id: &str, events: u32) -> Client {
    let client = hub.client();
    client
        .start_orchestration::<counts>(events)
        .id(id)
        .await
        .unwrap();
    client
}

async fn go(client: &Client, id: &str) {
    client.raise_event(id, "go", &()).await.unwrap();
}

/// The next news, which there must be.
async fn news(watch: &mut InstanceWatch) -> (RuntimeStatus, Option<u32>) {
    let status = soon(watch.next()).await.unwrap().unwrap();
    (status.runtime_status(), status.custom_status().unwrap())
}

fn shows(count: u32) -> impl Fn(&OrchestrationStatus) -> bool {
    move |status| status.custom_status::<u32>().unwrap() >= Some(count)
}

#[tokio::test]
async fn whoever_keeps_up_is_told_of_each_change() {
    use RuntimeStatus::{Completed, Running, Suspended};
    on_both(async |hub| {
        let _worker = hub.worker().register::<counts>().start().await.unwrap();
        let client = start(hub, "c", 3).await;
        let mut watch = client.watch("c");
        assert_eq!(news(&mut watch).await, (Running, Some(0)));
        // There is none.
        assert!(watch.next().now_or_never().is_none());
        go(&client, "c").await;
        assert_eq!(news(&mut watch).await, (Running, Some(1)));
        client.suspend("c", "wait").await.unwrap();
        assert_eq!(news(&mut watch).await, (Suspended, Some(1)));
        go(&client, "c").await;
        client.resume("c").await.unwrap();
        let mut seen = news(&mut watch).await;
        if seen == (Running, Some(1)) {
            seen = news(&mut watch).await;
        }
        assert_eq!(seen, (Running, Some(2)));
        go(&client, "c").await;
        let last = soon(watch.next()).await.unwrap().unwrap();
        assert_eq!(last.runtime_status(), Completed);
        assert_eq!(last.output::<u32>().unwrap(), Some(3));
        for _ in 0..2 {
            assert!(soon(watch.next()).await.unwrap().is_none());
        }
    })
    .await;
}

/// It sees the last of what was in between; what it did not wait for is not kept for it.
#[tokio::test]
async fn who_is_slow_is_told_of_what_is_there() {
    on_both(async |hub| {
        let _worker = hub.worker().register::<counts>().start().await.unwrap();
        let client = start(hub, "c", 1_000).await;
        let mut slow = client.watch("c");
        assert_eq!(news(&mut slow).await, (RuntimeStatus::Running, Some(0)));
        for _ in 0..100 {
            go(&client, "c").await;
        }
        soon(client.wait_for("c", shows(100))).await.unwrap();
        assert_eq!(news(&mut slow).await, (RuntimeStatus::Running, Some(100)));
        assert!(slow.next().now_or_never().is_none());

        // Told of it while it goes on, nothing goes back.
        let raising = async {
            for _ in 0..400 {
                go(&client, "c").await;
            }
        };
        let watching = async {
            let mut last = 100;
            while last < 500 {
                let (_, now) = news(&mut slow).await;
                assert!(now > Some(last), "{now:?} after {last}");
                last = now.unwrap();
            }
        };
        tokio::join!(raising, watching);
        client.terminate("c", "enough").await.unwrap();
        soon(async { while slow.next().await.unwrap().is_some() {} }).await;
    })
    .await;
}

#[tokio::test]
async fn a_start_is_waited_for() {
    on_both(async |hub| {
        let client = start(hub, "c", 1).await;
        start(hub, "terminated", 1).await;
        let mut begins = Box::pin(client.wait_for_start("c"));
        let mut ends = Box::pin(client.wait_for_start("terminated"));
        let timed_out = tokio::time::timeout(Duration::from_millis(5), &mut begins).await;
        assert!(timed_out.is_err(), "nobody runs it");
        assert!(ends.as_mut().now_or_never().is_none());
        client.terminate("terminated", "enough").await.unwrap();
        let ended = soon(ends).await.unwrap().unwrap();
        assert_eq!(ended.runtime_status(), RuntimeStatus::Terminated);
        client.suspend("c", "wait").await.unwrap();
        let _worker = hub.worker().register::<counts>().start().await.unwrap();
        assert!(begins.as_mut().now_or_never().is_none(), "it is suspended");
        client.resume("c").await.unwrap();
        let begun = soon(begins).await.unwrap().unwrap();
        assert_eq!(begun.runtime_status(), RuntimeStatus::Running);
        assert!(soon(client.wait_for_start("c")).await.unwrap().is_some());
        for id in ["nobody", ""] {
            assert!(soon(client.wait_for_start(id)).await.unwrap().is_none());
            assert!(soon(client.watch(id).next()).await.unwrap().is_none());
        }
    })
    .await;
}

/// Virtual time passes while somebody waits for it.
#[tokio::test]
async fn a_start_that_was_put_off_is_waited_for() {
    let hub = TestHub::builder()
        .register::<counts>()
        .start()
        .await
        .unwrap();
    let client = hub.client();
    let start = client.start_orchestration::<counts>(1).id("c");
    start.start_after(30 * DAY).await.unwrap();
    let begun = client.wait_for_start("c").await.unwrap().unwrap();
    assert_eq!(begun.runtime_status(), RuntimeStatus::Running);
    let late = hub.now().duration_since(begun.scheduled_start().unwrap());
    assert!(late.unwrap() < DAY);
}

/// What is not an end, either.
#[tokio::test]
async fn a_problem_is_news() {
    on_both(async |hub| {
        let client = start(hub, "c", 1).await;
        let mut watch = client.watch("c");
        assert_eq!(news(&mut watch).await, (RuntimeStatus::Pending, None));
        let worker = hub.worker().start().await.unwrap();
        let blocked = soon(watch.next()).await.unwrap().unwrap();
        let problem = blocked.problem().unwrap().kind();
        assert_eq!(problem, ProblemKind::OrchestratorNotRegistered);
        worker.shutdown().await;
        let _worker = hub.worker().register::<counts>().start().await.unwrap();
        let goes_on = |status: &OrchestrationStatus| status.problem().is_none();
        let status = soon(client.wait_for("c", goes_on)).await.unwrap().unwrap();
        assert_eq!(status.runtime_status(), RuntimeStatus::Running);
    })
    .await;
}

/// What does not come is not waited for.
#[tokio::test]
async fn a_test_is_told_that_nothing_follows() {
    let mut hub = TestHub::builder()
        .register::<counts>()
        .start()
        .await
        .unwrap();
    start(hub.task_hub(), "c", 1).await;
    hub.restart_with(TestHub::builder()).await.unwrap();
    let client = hub.client();
    go(&client, "c").await;
    let mut watch = client.watch("c");
    let blocked = |status: &OrchestrationStatus| status.problem().is_some();
    while !blocked(&soon(watch.next()).await.unwrap().unwrap()) {}
    let stuck = soon(watch.next()).await;
    assert!(matches!(stuck, Err(HubError::Stuck { .. })), "{stuck:?}");
    let stuck = soon(client.wait_for("c", shows(1))).await;
    assert!(matches!(stuck, Err(HubError::Stuck { .. })), "{stuck:?}");
}

#[tokio::test]
async fn another_of_its_id_is_not_shown() {
    on_both(async |hub| {
        let client = start(hub, "c", 1).await;
        let (mut watch, mut gone) = (client.watch("c"), client.watch("c"));
        for watch in [&mut watch, &mut gone] {
            assert_eq!(news(watch).await, (RuntimeStatus::Pending, None));
        }
        client.terminate("c", "enough").await.unwrap();
        client.purge("c").await.unwrap();
        assert!(soon(gone.next()).await.unwrap().is_none());
        start(hub, "c", 1).await;
        assert!(soon(watch.next()).await.unwrap().is_none());
        assert_eq!(news(&mut client.watch("c")).await.0, RuntimeStatus::Pending);
    })
    .await;
}

/// Also of many who have given up, the others are told; and everybody is, when the hub closes.
#[tokio::test]
async fn who_gives_up_leaves_nothing_and_a_closed_hub_says_so() {
    let place = Place::new();
    let hub = place.open().await;
    let client = start(&hub, "c", 2).await;
    let mut watch = client.watch("c");
    news(&mut watch).await;
    for _ in 0..20_000 {
        assert!(watch.next().now_or_never().is_none());
    }
    client.suspend("c", "wait").await.unwrap();
    assert_eq!(news(&mut watch).await, (RuntimeStatus::Suspended, None));
    let mut waits = Box::pin(watch.next());
    assert!(waits.as_mut().now_or_never().is_none());
    soon(hub.close()).await.unwrap();
    for closed in [soon(waits).await, soon(client.watch("c").next()).await] {
        assert!(matches!(closed, Err(HubError::Closed)), "{closed:?}");
    }
    let hub = place.open().await;
    let client = hub.client();
    assert_eq!(
        news(&mut client.watch("c")).await,
        (RuntimeStatus::Suspended, None)
    );
}
