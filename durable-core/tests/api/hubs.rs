//! Hubs beside each other, clients without a worker, and a worker that leaves in good order.

use std::time::Duration;

use durable_core::{LifecycleKind, RuntimeStatus, TaskHub};
use futures_util::FutureExt;

use super::{Place, Steps, chain, echo, listen, names, on_both, soon, worker};

/// The same ids everywhere, and nothing of one hub is in another.
#[tokio::test]
async fn several_in_one_process_know_nothing_of_each_other() {
    let places = [Place::new(), Place::new()];
    let mut hubs = vec![TaskHub::in_memory().await.unwrap()];
    for place in &places {
        hubs.push(place.open().await);
    }
    let mut workers = Vec::new();
    for hub in &hubs {
        workers.push(worker(hub, &Steps::free().0).start().await.unwrap());
    }
    let mut events: Vec<_> = hubs.iter().map(TaskHub::subscribe).collect();
    for (n, hub) in hubs.iter().enumerate() {
        let client = hub.client();
        let start = client.start_orchestration::<listen>("Go".to_owned());
        start.id("l").await.unwrap();
        let start = client.start_orchestration::<echo>(n.to_string());
        start.id("e").await.unwrap();
    }
    // Only the second hears of it.
    hubs[1]
        .client()
        .raise_event("l", "go", "second")
        .await
        .unwrap();
    let ended = soon(hubs[1].client().wait_for_completion("l"))
        .await
        .unwrap();
    let ended = ended.unwrap().output::<String>().unwrap();
    assert_eq!(ended.as_deref(), Some("second"));
    for (n, hub) in hubs.iter().enumerate() {
        let instance = hub.client().instance::<echo>("e").unwrap();
        assert_eq!(
            soon(instance.wait_for_completion()).await.unwrap(),
            n.to_string()
        );
        assert_eq!(hub.stats().await.unwrap().total(), 2);
        let running = hub.client().status("l").await.unwrap().unwrap();
        assert_eq!(running.runtime_status().is_terminal(), n == 1);
    }
    let keys: Vec<_> = hubs
        .iter()
        .map(|hub| hub.client().derive_key("x"))
        .collect();
    assert_ne!(keys[1], keys[2]);

    // One goes, the others go on.
    workers.remove(1).shutdown().await;
    soon(hubs.remove(1).close()).await.unwrap();
    for (n, hub) in [(0, &hubs[0]), (2, &hubs[1])] {
        hub.client().raise_event("l", "go", "late").await.unwrap();
        soon(hub.client().wait_for_completion("l")).await.unwrap();
        let mut completed = 0;
        while completed < 2 {
            let event = soon(events[n].next()).await.unwrap().unwrap();
            completed += usize::from(event.kind() == LifecycleKind::Completed);
        }
        assert!(events[n].next().now_or_never().is_none());
    }
    let again = places[0].open().await;
    assert_eq!(
        again
            .stats()
            .await
            .unwrap()
            .with_status(RuntimeStatus::Completed),
        2
    );
}

/// What it asks for is done by the worker that another part of the program runs, on a runtime of its
/// own, whenever that comes.
#[tokio::test]
async fn a_client_needs_no_worker_and_no_runtime() {
    on_both(async |hub| {
        let client = hub.client();
        let (says, is_started) = tokio::sync::oneshot::channel();
        let asks = std::thread::spawn(move || {
            futures_executor::block_on(async {
                let start = client.start_orchestration::<listen>("Go".to_owned());
                let instance = start.id("l").await.unwrap();
                let status = instance.status().await.unwrap().unwrap();
                says.send(status.runtime_status()).unwrap();
                instance.raise_event("go", "one").await.unwrap();
                instance.wait_for_start().await.unwrap().unwrap();
                instance.wait_for_completion().await.unwrap()
            })
        });
        assert_eq!(soon(is_started).await.unwrap(), RuntimeStatus::Pending);
        let runs = hub.clone();
        let runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = { runtime }.worker_threads(1).enable_all().build().unwrap();
        let running =
            runtime.spawn(async move { worker(&runs, &Steps::free().0).start().await.unwrap() });
        let joined = tokio::task::spawn_blocking(|| asks.join().unwrap());
        assert_eq!(soon(joined).await.unwrap(), "one");
        let running = soon(running).await.unwrap();
        runtime.spawn(running.shutdown());
        runtime.shutdown_background();
    })
    .await;
}

/// Nothing new begins, what runs may end until the deadline and is told to stop then, and every
/// instance is kept: what was started meanwhile, too.
#[tokio::test]
async fn a_drained_worker_leaves_everything_for_the_next_one() {
    let place = Place::new();
    let hub = place.open().await;
    let (steps, mut begun) = Steps::held();
    let first = worker(&hub, &steps).shutdown_timeout(Duration::from_millis(300));
    let first = first.start().await.unwrap();
    let client = hub.client();
    for id in ["ends", "hangs"] {
        let start = client.start_orchestration::<chain>(names(&[id, "next"]));
        start.id(id).await.unwrap();
        assert_eq!(soon(begun.recv()).await.unwrap(), id);
    }
    let later = client
        .start_orchestration::<chain>(names(&["later"]))
        .id("later");
    later.start_after(Duration::from_millis(20)).await.unwrap();
    let mut shutdown = Box::pin(first.shutdown());
    assert!(futures_util::poll!(&mut shutdown).is_pending());
    // Asked for while it drains.
    let start = client.start_orchestration::<chain>(names(&["new"]));
    start.id("new").await.unwrap();
    soon(client.wait_for_start("new")).await.unwrap();
    soon(client.wait_for_start("later")).await.unwrap();
    // One of the two ends in time.
    steps.end(1);
    assert_eq!(soon(shutdown).await, 1);
    let said: Vec<_> = std::iter::from_fn(|| begun.try_recv().ok()).collect();
    assert!(
        matches!(said.as_slice(), [cancelled] if cancelled.ends_with(" cancelled")),
        "{said:?}"
    );
    for id in ["ends", "hangs", "later", "new"] {
        let status = client.status(id).await.unwrap().unwrap();
        assert_eq!(status.runtime_status(), RuntimeStatus::Running, "{id}");
        assert!(status.problem().is_none(), "{id}");
    }
    drop(client);
    soon(hub.close()).await.unwrap();

    let hub = place.open().await;
    assert!(hub.verify().await.unwrap().is_sound());
    let (steps, mut begun) = Steps::free();
    let second = worker(&hub, &steps).start().await.unwrap();
    for id in ["ends", "hangs", "later", "new"] {
        let ended = soon(hub.client().wait_for_completion(id)).await.unwrap();
        let status = ended.unwrap().runtime_status();
        assert_eq!(status, RuntimeStatus::Completed, "{id}");
    }
    let mut said: Vec<_> = std::iter::from_fn(|| begun.try_recv().ok()).collect();
    said.sort();
    // What was recorded is not run again; what was cut off is.
    let cut_off = said
        .iter()
        .filter(|said| *said == "ends" || *said == "hangs");
    assert_eq!(cut_off.count(), 1, "{said:?}");
    assert_eq!(said.len(), 5, "{said:?}");
    assert_eq!(second.shutdown().await, 0);
}
