//! More than the hub can do: callers wait or are told, and what was acknowledged is there.

use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use durable_core::simulation::{StoreCall, StoreHook};
use durable_core::{HubError, InstanceError, StartError, TaskHub};
use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::{Place, Steps, echo, listen, soon, worker};

/// A disk that syncs when the test lets it.
#[derive(Debug, Default)]
struct Disk {
    stuck: Mutex<bool>,
    changed: Condvar,
}

impl Disk {
    fn set_stuck(&self, stuck: bool) {
        *self.stuck.lock().unwrap() = stuck;
        self.changed.notify_all();
    }
}

impl StoreHook for Disk {
    fn before(&self, call: StoreCall) -> io::Result<()> {
        let mut stuck = self.stuck.lock().unwrap();
        while call == StoreCall::Sync && *stuck {
            stuck = self.changed.wait(stuck).unwrap();
        }
        Ok(())
    }
}

async fn hub(place: &Place, patience: Duration) -> (TaskHub, Arc<Disk>) {
    let disk = Arc::new(Disk::default());
    let options = TaskHub::options()
        .shadow_execution(false)
        .admission_timeout(patience)
        .store_hook(Arc::clone(&disk) as Arc<dyn StoreHook>);
    (place.open_with(options).await, disk)
}

/// As many of these are under way as may be, by their bytes.
const BYTES: usize = 64 * 1024 - 2;
const ROOM: usize = 1024;
const TOO_MANY: usize = ROOM + 200;

#[tokio::test]
async fn what_does_not_keep_up_refuses_and_loses_nothing() {
    let place = Place::new();
    let (hub, disk) = hub(&place, Duration::ZERO).await;
    let (steps, _begun) = Steps::free();
    let worker = worker(&hub, &steps).start().await.unwrap();
    let client = hub.client();
    let text = "x".repeat(BYTES);
    disk.set_stuck(true);
    let mut starts: FuturesUnordered<_> = (0..TOO_MANY)
        .map(|n| {
            let start = client
                .start_orchestration::<echo>(text.clone())
                .id(n.to_string());
            async move { (n, start.await.map(drop)) }
        })
        .collect();
    // While the disk is stuck nothing is acknowledged, and what is too much is refused.
    let mut refused = Vec::new();
    while refused.len() < TOO_MANY - ROOM {
        let (n, outcome) = soon(starts.next()).await.unwrap();
        match outcome {
            Err(StartError::Hub(HubError::Overloaded { retry_after })) => {
                assert_eq!(retry_after, Duration::from_secs(1));
                refused.push(n);
            }
            other => panic!("{n}: {other:?}"),
        }
    }
    assert!(starts.next().now_or_never().is_none(), "the others wait");
    let read = client.status("0").await;
    assert!(matches!(read, Err(HubError::Overloaded { .. })), "{read:?}");

    disk.set_stuck(false);
    while let Some((n, outcome)) = soon(starts.next()).await {
        assert!(outcome.is_ok(), "{n}: {outcome:?}");
    }
    for n in 0..TOO_MANY {
        let status = soon(client.wait_for_completion(n.to_string()))
            .await
            .unwrap();
        let output = status.map(|status| status.output::<String>().unwrap().unwrap().len());
        let expected = (!refused.contains(&n)).then_some(BYTES);
        assert_eq!(output, expected, "{n}");
    }
    worker.shutdown().await;
    hub.close().await.unwrap();
}

#[tokio::test]
async fn what_is_merely_busy_makes_callers_wait() {
    let place = Place::new();
    let (hub, disk) = hub(&place, Duration::from_secs(600)).await;
    let client = hub.client();
    let text = "x".repeat(BYTES);
    disk.set_stuck(true);
    let mut starts: FuturesUnordered<_> = (0..TOO_MANY)
        .map(|_| {
            client
                .start_orchestration::<echo>(text.clone())
                .into_future()
        })
        .collect();
    assert!(starts.next().now_or_never().is_none());
    disk.set_stuck(false);
    let mut started = 0;
    while let Some(start) = soon(starts.next()).await {
        start.unwrap();
        started += 1;
    }
    assert_eq!(started, TOO_MANY);
    hub.close().await.unwrap();
}

#[tokio::test]
async fn a_flood_at_one_instance_leaves_room_for_others() {
    let place = Place::new();
    let (hub, disk) = hub(&place, Duration::ZERO).await;
    let client = hub.client();
    let start = client.start_orchestration::<listen>("never".to_owned());
    let instance = start.id("flooded").await.unwrap();
    let text = "x".repeat(BYTES);
    disk.set_stuck(true);
    let mut events: FuturesUnordered<_> = (0..ROOM)
        .map(|_| instance.raise_event("go", &text))
        .collect();
    for _ in ROOM / 8..ROOM {
        let refused = soon(events.next()).await.unwrap();
        let Err(InstanceError::Hub(HubError::Overloaded { .. })) = refused else {
            panic!("{refused:?}")
        };
    }
    assert!(events.next().now_or_never().is_none(), "the others wait");
    let mut other = client
        .start_orchestration::<echo>(String::new())
        .id("x")
        .into_future();
    assert!(other.as_mut().now_or_never().is_none(), "it is let in");
    disk.set_stuck(false);
    soon(other).await.unwrap();
    while let Some(raised) = soon(events.next()).await {
        raised.unwrap();
    }
    hub.close().await.unwrap();
}
