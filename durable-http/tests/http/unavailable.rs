//! What is answered when the hub cannot do it now.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use durable_core::simulation::{StoreCall, StoreHook};
use durable_core::{Client, Health, InstanceError, TaskHub};
use futures_util::FutureExt;
use futures_util::future::join_all;
use http::{Method, StatusCode};

use crate::world::{KEY, Reply, World, keys, look, world, world_on};

/// Every route there is.
const ROUTES: [(Method, &str); 5] = [
    (Method::POST, "/orchestrators/echo"),
    (Method::POST, "/orchestrators/echo/x"),
    (Method::GET, "/instances/x"),
    (Method::POST, "/instances/x/terminate"),
    (Method::POST, "/instances/x/raiseEvent/go"),
];

/// A store that fails from some moment on.
#[derive(Debug, Default)]
struct Breaking(AtomicBool);

impl StoreHook for Breaking {
    fn before(&self, call: StoreCall) -> io::Result<()> {
        if call == StoreCall::Apply && self.0.load(Ordering::Relaxed) {
            return Err(io::Error::other("secret of /the/disk"));
        }
        Ok(())
    }
}

#[track_caller]
fn assert_unavailable(reply: &Reply, message: &str, retry_after: &str) {
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{reply:?}");
    assert_eq!(keys(reply), ["Message", "CorrelationId"]);
    assert_eq!(reply.json()["Message"], message);
    assert_eq!(reply.header("retry-after"), retry_after);
    for inside in [KEY, "secret", "/the/disk", "store", "hub", "panicked"] {
        assert!(!reply.text.contains(inside), "{reply:?}");
    }
}

async fn assert_all_unavailable(world: &World, message: &str, retry_after: &str) {
    for (method, uri) in ROUTES {
        let reply = world.admin(method, uri, "1").await;
        assert_unavailable(&reply, message, retry_after);
    }
    let reply = look(world.api.status_response("x").await).await;
    assert_unavailable(&reply, message, retry_after);
    let reply = look(world.api.check_status_response("x").await).await;
    assert_unavailable(&reply, message, retry_after);
}

#[tokio::test]
async fn a_closed_hub_is_503_with_a_correlation_id_and_nothing_else() {
    let world = world().await;
    world.hub.clone().close().await.expect("a close");
    assert_all_unavailable(&world, "the service is shutting down", "10").await;
}

#[tokio::test]
async fn a_failed_hub_is_503_with_a_correlation_id_and_nothing_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Arc::new(Breaking::default());
    let options = TaskHub::options().store_hook(Arc::clone(&store) as Arc<dyn StoreHook>);
    let hub = options.open(directory.path().join("hub.db")).await;
    let rules = |api: durable_http::HttpApiBuilder| {
        api.admin_key(KEY).retry_after(Duration::from_millis(2_500))
    };
    let world = world_on(hub.expect("a hub"), rules).await;
    world.waiting("w").await;

    store.0.store(true, Ordering::Relaxed);
    // Whoever is there when it fails, and whoever comes later.
    let reply = world.admin(Method::POST, "/orchestrators/echo", "1").await;
    assert_unavailable(&reply, "the service is not available", "3");
    assert!(matches!(world.client.health(), Health::Failed { .. }));
    assert_all_unavailable(&world, "the service is not available", "3").await;
    // Without a key nobody is told even that.
    let reply = world.get("/instances/w").await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    assert!(!reply.headers.contains_key("retry-after"));
}

/// A store that syncs when the test lets it.
#[derive(Debug, Default)]
struct Stuck(Mutex<bool>, Condvar);

impl StoreHook for Stuck {
    fn before(&self, call: StoreCall) -> io::Result<()> {
        let mut stuck = self.0.lock().expect("a flag");
        while call == StoreCall::Sync && *stuck {
            stuck = self.1.wait(stuck).expect("a flag");
        }
        Ok(())
    }
}

/// Events that together are more than a hub takes on for one instance before it has answered, or
/// keeps for one that does not go on.
fn large_events(
    client: &Client,
    id: &str,
    number: usize,
) -> Vec<impl Future<Output = Result<(), InstanceError>>> {
    let raise = || {
        let (client, id) = (client.clone(), id.to_owned());
        async move {
            client
                .raise_event(&id, "go", &"x".repeat((2 << 20) - 2))
                .await
        }
    };
    (0..number).map(|_| raise()).collect()
}

#[tokio::test]
async fn a_hub_that_does_not_keep_up_is_503_and_says_when_to_try_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Arc::new(Stuck::default());
    let options = TaskHub::options()
        .admission_timeout(Duration::from_millis(1))
        .store_hook(Arc::clone(&store) as Arc<dyn StoreHook>);
    let hub = options.open(directory.path().join("hub.db")).await;
    let world = world_on(hub.expect("a hub"), |api| api.admin_key(KEY)).await;
    world.waiting("w").await;
    *store.0.lock().expect("a flag") = true;
    let mut events = Box::pin(join_all(large_events(&world.client, "w", 4)));
    assert!(events.as_mut().now_or_never().is_none());
    let routes = [
        (Method::GET, "/instances/w"),
        (Method::POST, "/instances/w/terminate"),
        (Method::POST, "/instances/w/raiseEvent/go"),
        (Method::POST, "/orchestrators/echo/w"),
    ];
    for (method, uri) in routes {
        let reply = world.admin(method, uri, "1").await;
        assert_unavailable(&reply, "the service has too much to do", "1");
    }
    let reply = look(world.api.status_response("w").await).await;
    assert_unavailable(&reply, "the service has too much to do", "1");
    *store.0.lock().expect("a flag") = false;
    store.1.notify_all();
    events.await;
    let reply = world
        .admin(Method::POST, "/orchestrators/echo/x", "1")
        .await;
    assert_eq!(reply.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn more_events_than_are_kept_for_one_that_does_not_go_on_are_429() {
    let hub = TaskHub::in_memory().await.expect("a hub");
    let start = hub.client().start_by_name("nobody", "1").id("n");
    start.await.expect("a start");
    let world = world_on(hub, |api| api.admin_key(KEY)).await;
    for event in large_events(&world.client, "n", 31) {
        event.await.expect("is kept");
    }
    let event = serde_json::to_string(&"x".repeat((1 << 20) - 2)).expect("JSON");
    let raise = async || {
        let event = event.clone();
        world
            .admin(Method::POST, "/instances/n/raiseEvent/go", &event)
            .await
    };
    let refused = loop {
        let reply = raise().await;
        if reply.status != StatusCode::ACCEPTED {
            break reply;
        }
    };
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{refused:?}");
    assert_eq!(refused.header("retry-after"), "10");
    assert_eq!(keys(&refused), ["Message"]);
}

/// A disk with so many bytes free.
#[derive(Debug)]
struct Disk(AtomicU64);

impl StoreHook for Disk {
    fn before(&self, _: StoreCall) -> io::Result<()> {
        Ok(())
    }

    fn free_space(&self, _: u64) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn without_room_starts_and_events_are_503_and_the_rest_is_served() {
    let directory = tempfile::tempdir().expect("a directory");
    let disk = Arc::new(Disk(AtomicU64::new(u64::MAX)));
    let options = TaskHub::options().store_hook(Arc::clone(&disk) as Arc<dyn StoreHook>);
    let hub = options.open(directory.path().join("hub.db")).await;
    let world = world_on(hub.expect("a hub"), |api| api.admin_key(KEY)).await;
    world.waiting("w").await;
    disk.0.store(0, Ordering::Relaxed);
    let start = async || world.admin(Method::POST, "/orchestrators/echo", "1").await;
    // It is noticed soon, but not at each start.
    let refused = loop {
        let reply = start().await;
        if reply.status != StatusCode::ACCEPTED {
            break reply;
        }
    };
    let no_room = "there is no room for more at the moment";
    assert_unavailable(&refused, no_room, "10");
    let event = "/instances/w/raiseEvent/go";
    assert_unavailable(&world.admin(Method::POST, event, "1").await, no_room, "10");
    let reply = world.admin(Method::GET, "/instances/w", "").await;
    assert_eq!(reply.status, StatusCode::ACCEPTED);
    let reply = world
        .admin(Method::POST, "/instances/w/terminate", "")
        .await;
    assert_eq!(reply.status, StatusCode::ACCEPTED);
    disk.0.store(u64::MAX, Ordering::Relaxed);
    while start().await.status != StatusCode::ACCEPTED {}
}
