//! Instances that leave by themselves once their time is over.

use std::time::Duration;

use durable_core::testing::TestHub;
use durable_core::{
    Client, InstanceQuery, Keep, OrchestrationContext, Retention, RuntimeStatus, TaskHub,
    TaskHubOptions, orchestrator,
};

use super::{Place, Steps, echo, listen, soon, worker};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

#[orchestrator]
async fn heartbeat(_ctx: OrchestrationContext) {}

#[orchestrator]
async fn fails(_ctx: OrchestrationContext) -> Result<(), String> {
    Err("no".to_owned())
}

fn keeping(retention: Retention) -> TaskHubOptions {
    TaskHub::options().retention(retention)
}

async fn left(client: &Client) -> Vec<String> {
    let page = client.query(InstanceQuery::new()).await.unwrap();
    let ids = page.instances.iter();
    ids.map(|status| status.instance_id().to_string()).collect()
}

#[tokio::test]
async fn each_is_kept_as_long_as_was_said() {
    let retention = Retention::new(Keep::every(10 * HOUR).failed(20 * HOUR))
        .orchestrator("heartbeat", Keep::new().completed(HOUR))
        .orchestrator("listen", Keep::every(Duration::MAX));
    let hub = TestHub::builder()
        .options(keeping(retention))
        .register::<heartbeat>()
        .register::<fails>()
        .register::<echo>()
        .register::<listen>();
    let hub = hub.start().await.unwrap();
    let client = hub.client();
    for (name, input) in [("heartbeat", "null"), ("fails", "null"), ("echo", "\"x\"")] {
        let start = client.start_by_name(name, input).id(name);
        start.await.unwrap();
    }
    let stopped = client.start_orchestration::<listen>("Go".to_owned());
    let stopped = stopped.id("stopped").await.unwrap();
    stopped.terminate("no more").await.unwrap();
    let waits = client.start_orchestration::<listen>("Go".to_owned());
    waits.id("waits").await.unwrap();

    for (advance, expected) in [
        (
            59 * MINUTE,
            &["echo", "fails", "heartbeat", "stopped", "waits"][..],
        ),
        (2 * MINUTE, &["echo", "fails", "stopped", "waits"]),
        (538 * MINUTE, &["echo", "fails", "stopped", "waits"]),
        (2 * MINUTE, &["fails", "stopped", "waits"]),
        (11 * HOUR, &["stopped", "waits"]),
        (1000 * HOUR, &["stopped", "waits"]),
    ] {
        hub.advance(advance).await.unwrap();
        assert_eq!(left(&client).await, *expected);
    }
    // An id is free again, and what has it is kept anew.
    client
        .start_by_name("heartbeat", "null")
        .id("echo")
        .await
        .unwrap();
    hub.advance(59 * MINUTE).await.unwrap();
    let again = client.status("echo").await.unwrap().unwrap();
    assert_eq!(again.runtime_status(), RuntimeStatus::Completed);
    hub.advance(2 * MINUTE).await.unwrap();
    assert_eq!(client.status("echo").await.unwrap(), None);
    let stats = hub.task_hub().stats().await.unwrap();
    assert_eq!(stats.total(), 2);
}

/// Also one that nobody has told before, and without anybody to run anything.
#[tokio::test]
async fn a_hub_that_is_opened_again_finds_what_is_over() {
    let place = Place::new();
    let hub = place.open().await;
    let running = worker(&hub, &Steps::free().0).start().await.unwrap();
    let client = hub.client();
    for n in 0..40 {
        let one = client.start_orchestration::<echo>("x".to_owned());
        let one = one.id(format!("e{n:02}")).await.unwrap();
        soon(one.wait_for_completion()).await.unwrap();
    }
    let waits = client.start_orchestration::<listen>("Go".to_owned());
    waits.id("waits").await.unwrap();
    soon(running.shutdown()).await;
    soon(hub.close()).await.unwrap();

    let path = place.0.path().join("orders.db");
    let keep = Retention::new(Keep::every(Duration::ZERO));
    let hub = keeping(keep).open(&path).await.unwrap();
    soon(async {
        while hub.stats().await.unwrap().total() > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(left(&hub.client()).await, ["waits"]);
    assert!(hub.verify().await.unwrap().is_sound());
    // What ends now, too.
    let client = hub.client();
    client.terminate("waits", "no more").await.unwrap();
    soon(async {
        while client.status("waits").await.unwrap().is_some() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    soon(hub.close()).await.unwrap();
}
