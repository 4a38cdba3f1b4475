//! What is left of a hub once nobody needs it: no thread, no task, no lock.
//!
//! A process of its own, and one test in it, because it counts the threads of the whole process.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "what is not as expected fails the test")]

use std::fs;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

use durable_core::{
    ActivityError, NoError, OpenError, OrchestrationContext, State, TaskHub, Worker, activity,
    orchestrator,
};
use futures_util::FutureExt;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::mpsc;

#[activity]
async fn hang(State(begun): State<mpsc::UnboundedSender<()>>) {
    begun.send(()).unwrap();
    std::future::pending::<()>().await;
}

#[orchestrator]
async fn hangs(ctx: OrchestrationContext) -> Result<(), ActivityError<NoError>> {
    ctx.call_activity::<hang>(()).await
}

/// The threads of this library, by name; those that sled keeps for the life of the process are not
/// among them.
fn threads() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    // A thread may end while it is looked at.
    let name = |task: std::io::Result<fs::DirEntry>| {
        fs::read_to_string(task.ok()?.path().join("comm")).ok()
    };
    let ours = |name: &String| name.starts_with("durable-") || name.starts_with("sled-flu");
    tasks.filter_map(name).filter(ours).collect()
}

/// What never happens fails instead of hanging.
async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    let limited = tokio::time::timeout(Duration::from_secs(60), future);
    limited
        .await
        .unwrap_or_else(|_| panic!("{what} does not happen; there is {:?}", threads()))
}

async fn until(what: &str, is: impl Fn() -> bool) {
    let looking = async {
        while !is() {
            tokio::task::yield_now().await;
        }
    };
    soon(what, looking).await;
}

/// A hub with a worker, and an activity in it that never ends.
async fn hanging(dir: &Path) -> (TaskHub, Worker) {
    let hub = soon("opening", open(dir)).await;
    let (sender, mut begun) = mpsc::unbounded_channel::<()>();
    let worker = hub
        .worker()
        .state(sender)
        .register::<hang>()
        .register::<hangs>();
    let worker = worker.shutdown_timeout(Duration::from_millis(1));
    let worker = worker.start().await.unwrap();
    let start = hub.client().start_orchestration::<hangs>(());
    // It may be there from an earlier scenario.
    start.id("hangs").use_existing().await.unwrap();
    begun.recv().await.unwrap();
    (hub, worker)
}

/// A hub that was dropped instead of closed lets go of its directory a little later.
async fn open(dir: &Path) -> TaskHub {
    loop {
        match TaskHub::open(dir).await {
            Err(OpenError::InUse { .. }) => tokio::task::yield_now().await,
            other => return other.unwrap(),
        }
    }
}

/// All have been joined: the system may still list one for a moment.
async fn no_threads() {
    until("the end of all threads", || threads().is_empty()).await;
}

/// In good order: nothing is left when `close` returns, and the directory is free.
async fn in_good_order(dir: &Path) {
    let (hub, worker) = hanging(dir).await;
    let (client, again) = (hub.client(), hub.clone());
    let mut waits = Box::pin(client.wait_for_completion("hangs"));
    assert!(waits.as_mut().now_or_never().is_none());
    assert_eq!(soon("a shutdown", worker.shutdown()).await, 1);
    soon("a close", hub.close()).await.unwrap();
    no_threads().await;
    until("the end of all tasks", || tasks() == 0).await;
    assert!(soon("an answer", waits).await.is_err());
    soon("a second close", again.close()).await.unwrap();
    let hub = TaskHub::open(dir).await.unwrap();
    hub.close().await.unwrap();
    no_threads().await;
}

/// Closed twice at once, under a worker that runs.
async fn closed_by_two(dir: &Path) {
    let (hub, worker) = hanging(dir).await;
    let (first, second) = tokio::join!(hub.clone().close(), hub.close());
    first.unwrap();
    second.unwrap();
    until("the end of all threads and tasks", || {
        threads().is_empty() && tasks() == 0
    })
    .await;
    // Idempotent: there is nothing to stop any more.
    soon("a shutdown", worker.shutdown()).await;
    TaskHub::open(dir).await.unwrap().close().await.unwrap();
}

/// Everything is dropped, in this order, with requests under way.
async fn dropped(dir: &Path, order: [usize; 4]) {
    let (hub, worker) = hanging(dir).await;
    let client = hub.client();
    let instance = client.instance::<hangs>("hangs").unwrap();
    let mut requests = Box::pin(async move {
        tokio::join!(
            instance.wait_for_completion(),
            instance.raise_event("x", &1),
            instance.status()
        )
    });
    assert!(requests.as_mut().now_or_never().is_none());
    let mut parts: [Option<Box<dyn Send>>; 4] = [
        Some(Box::new(worker)),
        Some(Box::new(hub)),
        Some(Box::new(client)),
        Some(Box::new(requests)),
    ];
    for part in order {
        drop(parts[part].take());
    }
    until("the end of all threads and tasks", || {
        threads().is_empty() && tasks() == 0
    })
    .await;
    soon("opening", open(dir)).await.close().await.unwrap();
}

/// Nobody waits for the opening, at whatever point it is.
async fn opening_dropped(dir: &Path) {
    for polls in 1..20 {
        let mut opening = Box::pin(TaskHub::open(dir));
        for _ in 0..polls * polls {
            if futures_util::poll!(opening.as_mut()).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(opening);
        until("the end of all threads", || threads().is_empty()).await;
    }
    soon("opening", open(dir)).await.close().await.unwrap();
}

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

fn on_a_runtime<F: Future>(scenario: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(scenario)
}

/// The runtime goes first.
fn runtime_dropped(dir: &Path) {
    let runtime = Runtime::new().unwrap();
    let (hub, worker) = runtime.block_on(hanging(dir));
    drop(runtime);
    let client = hub.client();
    // The rest needs none.
    assert_eq!(futures_executor::block_on(worker.shutdown()), 0);
    assert!(
        futures_executor::block_on(client.status("hangs"))
            .unwrap()
            .is_some()
    );
    drop(client);
    futures_executor::block_on(hub.close()).unwrap();
    Runtime::new().unwrap().block_on(no_threads());
}

#[test]
fn nothing_is_left_of_a_hub() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("orders.db");
    on_a_runtime(in_good_order(&dir));
    on_a_runtime(closed_by_two(&dir));
    for order in [
        [0, 1, 2, 3],
        [1, 0, 2, 3],
        [3, 2, 1, 0],
        [2, 1, 0, 3],
        [1, 2, 3, 0],
    ] {
        on_a_runtime(dropped(&dir, order));
    }
    on_a_runtime(opening_dropped(&dir));
    runtime_dropped(&dir);
}
