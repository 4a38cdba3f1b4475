//! A disk that is nearly full: nothing new is started, what runs goes on.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use durable_core::simulation::{StoreCall, StoreHook};
use durable_core::{
    Client, Health, InstanceError, RestartError, RuntimeStatus, StartError, TaskHub, TaskHubOptions,
};

use super::{Place, Steps, chain, echo, listen, names, nap, soon, status_when, worker};

const MIB: u64 = 1 << 20;

/// A disk with as much room as a test says.
#[derive(Debug)]
struct Disk {
    free: AtomicU64,
    asked: AtomicU64,
}

impl Disk {
    fn new(free: u64) -> Arc<Self> {
        let (free, asked) = (AtomicU64::new(free), AtomicU64::new(0));
        Arc::new(Self { free, asked })
    }

    fn set(&self, free: u64) {
        self.free.store(free, Ordering::Relaxed);
    }

    fn options(self: &Arc<Self>) -> TaskHubOptions {
        TaskHub::options().store_hook(Arc::clone(self) as Arc<dyn StoreHook>)
    }
}

impl StoreHook for Disk {
    fn before(&self, _: StoreCall) -> io::Result<()> {
        Ok(())
    }

    fn free_space(&self, _: u64) -> u64 {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.free.load(Ordering::Relaxed)
    }
}

/// Starts instances until one is refused for lack of space, or until one is not.
async fn start_until(client: &Client, refused: bool) -> Result<(), StartError> {
    soon(async {
        loop {
            let started = client.start_orchestration::<echo>(String::new()).await;
            if matches!(started, Err(StartError::LowOnSpace { .. })) == refused {
                return started.map(drop);
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test]
async fn on_a_disk_that_is_nearly_full_nothing_new_is_started_and_what_runs_goes_on() {
    let (place, disk) = (Place::new(), Disk::new(1024 * MIB));
    let hub = place.open_with(disk.options()).await;
    let client = hub.client();
    let (steps, mut begun) = Steps::held();
    let worker = worker(&hub, &steps).start().await.unwrap();
    let start = client.start_orchestration::<chain>(names(&["a", "b"]));
    start.id("chain").await.unwrap();
    for id in ["listen", "deaf"] {
        let start = client.start_orchestration::<listen>("go".to_owned());
        start.id(id).await.unwrap();
    }
    let start = client.start_orchestration::<nap>(300);
    start.id("nap").await.unwrap();
    soon(begun.recv()).await.unwrap();
    let start = client.start_orchestration::<echo>("x".to_owned());
    let ended = start.id("ended").await.unwrap();
    soon(ended.wait_for_completion()).await.unwrap();

    disk.set(40 * MIB);
    let (free, needed) = (40 * MIB, 64 * MIB);
    match start_until(&client, true).await.unwrap_err() {
        StartError::LowOnSpace {
            free: f, needed: n, ..
        } => assert_eq!((f, n), (free, needed)),
        other => panic!("{other:?}"),
    }
    match client.health() {
        Health::LowOnSpace { free: f, needed: n } => assert_eq!((f, n), (free, needed)),
        other => panic!("{other:?}"),
    }
    assert!(!hub.health().is_ready());
    let start = client.start_orchestration::<echo>(String::new()).id("new");
    assert!(matches!(start.await, Err(StartError::LowOnSpace { .. })));
    assert_eq!(client.status("new").await.unwrap(), None);
    let again = client.start_orchestration::<listen>(String::new());
    let there = again.id("listen").use_existing().await.unwrap();
    let again = client.start_orchestration::<listen>(String::new());
    let exists = again.id("listen").await;
    assert!(matches!(exists, Err(StartError::AlreadyExists { .. })));
    // What would be replaced stays as it is.
    let restart = client.restart("ended").await;
    assert!(matches!(
        restart,
        Err(RestartError::Start(StartError::LowOnSpace { .. }))
    ));
    let ended = client.status("ended").await.unwrap().unwrap();
    assert_eq!(ended.output_json(), Some("\"x\""));
    client.raise_event("listen", "go", "on").await.unwrap();
    assert_eq!(soon(there.wait_for_completion()).await.unwrap(), "on");

    disk.set(20 * MIB);
    let refused = soon(async {
        loop {
            if let Err(error) = client.raise_event("deaf", "other", &1).await {
                return error;
            }
            tokio::task::yield_now().await;
        }
    });
    match refused.await {
        InstanceError::LowOnSpace { free, needed } => {
            assert_eq!((free, needed), (20 * MIB, 32 * MIB));
        }
        other => panic!("{other:?}"),
    }
    steps.end(2);
    let ended = soon(client.wait_for_completion("chain")).await.unwrap();
    let output: Option<Vec<String>> = ended.unwrap().output().unwrap();
    assert_eq!(output.unwrap(), ["A", "B"]);
    soon(client.wait_for_completion("nap")).await.unwrap();
    client.terminate("deaf", "no room").await.unwrap();
    status_when(&client, "deaf", |status| {
        status.runtime_status() == RuntimeStatus::Terminated
    })
    .await;

    disk.set(64 * MIB);
    start_until(&client, false).await.unwrap();
    assert!(hub.health().is_ready());
    worker.shutdown().await;
    hub.close().await.unwrap();
}

#[tokio::test]
async fn a_hub_on_a_full_disk_says_so_from_the_start_and_can_be_read() {
    let (place, disk) = (Place::new(), Disk::new(0));
    let hub = place.open().await;
    let start = hub.client().start_orchestration::<echo>(String::new());
    start.id("x").await.unwrap();
    hub.close().await.unwrap();
    let hub = place.open_with(disk.options()).await;
    let low = hub.health();
    assert!(matches!(low, Health::LowOnSpace { free: 0, .. }), "{low:?}");
    assert!(hub.client().status("x").await.unwrap().is_some());
    hub.close().await.unwrap();
}

#[tokio::test]
async fn the_free_space_that_is_needed_can_be_set() {
    for (needed, free, starts) in [(100, 100, true), (101, 100, false), (0, 0, true)] {
        let (place, disk) = (Place::new(), Disk::new(free));
        let hub = place.open_with(disk.options().min_free_space(needed)).await;
        let started = hub.client().start_orchestration::<echo>(String::new());
        assert_eq!(started.await.is_ok(), starts, "{needed}");
        hub.close().await.unwrap();
        let asked = disk.asked.load(Ordering::Relaxed);
        assert_eq!(asked > 0, needed > 0, "it is not asked for nothing");
    }
}
