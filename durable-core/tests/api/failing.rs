//! What happens when the store fails: everyone is told, nothing hangs, nothing acknowledged is lost.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use durable_core::simulation::{StoreCall, StoreHook};
use durable_core::{
    ActivityError, Client, Health, HubError, InstanceError, NoError, OpenError,
    OrchestrationContext, StartError, StoreError, TaskHub, WorkerError, activity, orchestrator,
};
use futures_util::FutureExt;
use futures_util::future::join_all;

use super::{Place, Steps, chain, echo, listen, names, nap, soon, status_when, worker};

/// A store whose next call of a kind waits until it may fail.
#[derive(Debug, Default)]
struct Trap {
    state: Mutex<TrapState>,
    changed: Condvar,
    reached: tokio::sync::Notify,
}

#[derive(Debug, Default)]
struct TrapState {
    set: Option<(StoreCall, Moment)>,
    sprung: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Before,
    After,
}

impl Trap {
    fn set(&self, call: StoreCall, moment: Moment) {
        self.state.lock().unwrap().set = Some((call, moment));
    }

    /// Lets the call fail.
    fn spring(&self) {
        self.state.lock().unwrap().sprung = true;
        self.changed.notify_all();
    }

    fn look(&self, call: StoreCall, moment: Moment) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        if state.set != Some((call, moment)) {
            return Ok(());
        }
        self.reached.notify_one();
        while !state.sprung {
            state = self.changed.wait(state).unwrap();
        }
        Err(io::Error::other("I/O error of the test"))
    }
}

impl StoreHook for Trap {
    fn before(&self, call: StoreCall) -> io::Result<()> {
        self.look(call, Moment::Before)
    }

    fn after(&self, call: StoreCall) -> io::Result<()> {
        self.look(call, Moment::After)
    }
}

async fn trapped(place: &Place) -> (TaskHub, Arc<Trap>) {
    let trap = Arc::new(Trap::default());
    let options = TaskHub::options().store_hook(Arc::clone(&trap) as Arc<dyn StoreHook>);
    (place.open_with(options).await, trap)
}

/// Runs until it is dropped.
#[activity]
async fn endless() {
    std::future::pending::<()>().await;
}

#[orchestrator]
async fn busy(ctx: OrchestrationContext) -> Result<(), ActivityError<NoError>> {
    ctx.call_activity::<endless>(()).await
}

type Request<'a> = Pin<Box<dyn Future<Output = Result<(), HubError>> + Send + 'a>>;

/// One of each thing that can be asked of a hub on which `busy` and `listening` run.
fn requests<'a>(hub: &'a TaskHub, client: &'a Client) -> Vec<(&'static str, Request<'a>)> {
    fn start_error(error: StartError) -> HubError {
        match error {
            StartError::Hub(error) => error,
            other => panic!("{other:?}"),
        }
    }
    fn instance_error(error: InstanceError) -> HubError {
        match error {
            InstanceError::Hub(error) => error,
            other => panic!("{other:?}"),
        }
    }
    let start = |id: &'static str| {
        let start = client.start_orchestration::<echo>(String::new()).id(id);
        async move { start.await.map(drop).map_err(start_error) }
    };
    let existing = client.start_orchestration::<listen>(String::new());
    let existing = existing.id("listening").use_existing();
    vec![
        ("start", Box::pin(start("unacknowledged"))),
        (
            "start without an id",
            Box::pin(async {
                let start = client.start_orchestration::<echo>(String::new());
                start.await.map(drop).map_err(start_error)
            }),
        ),
        (
            "use existing",
            Box::pin(async move { existing.await.map(drop).map_err(start_error) }),
        ),
        (
            "raise",
            Box::pin(async {
                let raised = client.raise_event("listening", "other", &1).await;
                raised.map_err(instance_error)
            }),
        ),
        (
            "status",
            Box::pin(async { client.status("listening").await.map(drop) }),
        ),
        (
            "status of nothing",
            Box::pin(async { client.status("nothing").await.map(drop) }),
        ),
        (
            "wait",
            Box::pin(async { client.wait_for_completion("busy").await.map(drop) }),
        ),
        (
            "terminate",
            Box::pin(async {
                let terminated = client.terminate("busy", "why").await;
                terminated.map_err(instance_error)
            }),
        ),
        ("size", Box::pin(async { hub.stats().await.map(drop) })),
    ]
}

#[track_caller]
fn assert_failed(error: &HubError) {
    let told = error.to_string();
    assert!(
        matches!(error, HubError::Store(StoreError::Fatal { .. })) && told.contains("of the test"),
        "{told}"
    );
}

#[tokio::test]
async fn when_the_store_fails_everyone_who_waits_is_told_so() {
    for call in [StoreCall::Apply, StoreCall::Sync] {
        for moment in [Moment::Before, Moment::After] {
            let place = Place::new();
            let (hub, trap) = trapped(&place).await;
            let client = hub.client();
            let worker = worker(&hub, &Steps::free().0)
                .register::<busy>()
                .register::<endless>()
                .shutdown_timeout(Duration::from_secs(3600));
            let worker = worker.start().await.unwrap();
            let start = client.start_orchestration::<busy>(()).id("busy");
            start.await.unwrap();
            let start = client.start_orchestration::<listen>("go".to_owned());
            start.id("listening").await.unwrap();
            let long_since = tokio::spawn({
                let client = client.clone();
                async move { client.wait_for_completion("listening").await }
            });
            let listening = client.status("listening").await.unwrap().unwrap();

            trap.set(call, moment);
            let started = client.start_orchestration::<echo>(String::new()).id("lost");
            let mut started = Box::pin(started.into_future());
            assert!(started.as_mut().now_or_never().is_none());
            soon(trap.reached.notified()).await;
            let mut requests: Vec<_> = requests(&hub, &client);
            for (what, request) in &mut requests {
                let early = request.as_mut().now_or_never();
                // It is about files alone.
                assert!(early.is_none() || *what == "size", "{what}");
            }
            assert!(hub.health().is_ready());
            trap.spring();

            match soon(started).await {
                Err(StartError::Hub(error)) => assert_failed(&error),
                other => panic!("{other:?}"),
            }
            let answers = join_all(requests.into_iter().map(|(what, request)| async move {
                match soon(request).await {
                    Err(HubError::Closed) => panic!("{what} is told that the hub was closed"),
                    Err(error) => assert_failed(&error),
                    Ok(()) => assert_eq!(what, "size", "acknowledged by a hub that failed"),
                }
            }));
            answers.await;
            assert_failed(&soon(long_since).await.unwrap().unwrap_err());
            match client.health() {
                Health::Failed { error, since } => {
                    assert_failed(&HubError::Store(error));
                    assert!(since >= listening.created_at());
                }
                other => panic!("{other:?}"),
            }
            after_the_failure(&hub).await;
            // Not after an hour.
            soon(worker.shutdown()).await;
            assert_failed(&soon(hub.close()).await.unwrap_err());
            assert!(!client.health().is_ready());

            what_was_acknowledged_is_there(&place).await;
        }
    }
}

/// A hub that has failed says so to whoever comes later, at once.
async fn after_the_failure(hub: &TaskHub) {
    let client = hub.client();
    for (_, request) in requests(hub, &client) {
        assert_failed(&soon(request).await.unwrap_err());
    }
    match soon(worker(hub, &Steps::free().0).start()).await {
        Err(WorkerError::Hub(error)) => assert_failed(&error),
        other => panic!("{other:?}"),
    }
}

async fn what_was_acknowledged_is_there(place: &Place) {
    let hub = place.open().await;
    let client = hub.client();
    assert!(hub.health().is_ready());
    let worker = worker(&hub, &Steps::free().0)
        .register::<busy>()
        .register::<endless>();
    let worker = worker
        .shutdown_timeout(Duration::from_millis(1))
        .start()
        .await
        .unwrap();
    client.raise_event("listening", "go", "on").await.unwrap();
    let ended = soon(client.wait_for_completion("listening")).await.unwrap();
    let output: Option<String> = ended.unwrap().output().unwrap();
    assert_eq!(output.as_deref(), Some("on"));
    status_when(&client, "busy", |status| {
        !status.runtime_status().is_terminal()
    })
    .await;
    // It happened or not; who was not told may start it again.
    let start = client.start_orchestration::<echo>("again".to_owned());
    let again = start.id("lost").use_existing().await.unwrap();
    soon(again.wait_for_completion()).await.unwrap();
    worker.shutdown().await;
    hub.close().await.unwrap();
}

#[tokio::test]
async fn what_runs_when_the_store_fails_is_stopped_and_runs_again() {
    let place = Place::new();
    let (hub, trap) = trapped(&place).await;
    let (steps, mut begun) = Steps::held();
    let held = worker(&hub, &steps).start().await.unwrap();
    let client = hub.client();
    let start = client.start_orchestration::<chain>(names(&["a", "b"]));
    start.id("x").await.unwrap();
    assert_eq!(soon(begun.recv()).await.unwrap(), "a");
    trap.set(StoreCall::Sync, Moment::Before);
    trap.spring();
    // No client is there to ask: what fails is the commit of an activity's result.
    steps.end(1);
    let waited = soon(client.wait_for_completion("x")).await;
    assert_failed(&waited.unwrap_err());
    assert_eq!(soon(held.shutdown()).await, 0);
    assert_failed(&soon(hub.close()).await.unwrap_err());

    let hub = place.open().await;
    steps.end(2);
    let worker = worker(&hub, &steps).start().await.unwrap();
    let ended = soon(hub.client().wait_for_completion("x")).await.unwrap();
    let output: Option<Vec<String>> = ended.unwrap().output().unwrap();
    assert_eq!(output.unwrap(), ["A", "B"]);
    worker.shutdown().await;
    hub.close().await.unwrap();
}

#[tokio::test]
async fn a_read_that_fails_closes_the_hub_too() {
    for call in [StoreCall::Get, StoreCall::Scan] {
        let place = Place::new();
        let hub = place.open().await;
        let start = hub.client().start_orchestration::<nap>(1);
        start.id("x").await.unwrap();
        hub.close().await.unwrap();

        let (hub, trap) = trapped(&place).await;
        let client = hub.client();
        trap.set(call, Moment::Before);
        trap.spring();
        assert_failed(&soon(client.status("x")).await.unwrap_err());
        assert!(matches!(hub.health(), Health::Failed { .. }));
        assert_failed(&soon(hub.close()).await.unwrap_err());
        let hub = place.open().await;
        assert!(hub.client().status("x").await.unwrap().is_some());
        hub.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_worker_that_starts_when_the_store_fails_is_told_so() {
    let place = Place::new();
    let (hub, trap) = trapped(&place).await;
    let client = hub.client();
    let start = client.start_orchestration::<echo>(String::new());
    start.id("x").await.unwrap();
    trap.set(StoreCall::Apply, Moment::Before);
    trap.spring();
    match soon(worker(&hub, &Steps::free().0).start()).await {
        Err(WorkerError::Hub(error)) => assert_failed(&error),
        other => panic!("{other:?}"),
    }
    assert_failed(&soon(hub.close()).await.unwrap_err());
    place.open().await.close().await.unwrap();
}

#[tokio::test]
async fn a_close_that_fails_says_so_and_lets_go_of_the_directory() {
    let place = Place::new();
    let (hub, trap) = trapped(&place).await;
    let client = hub.client();
    trap.set(StoreCall::Close, Moment::Before);
    trap.spring();
    match soon(hub.close()).await {
        Err(HubError::Store(StoreError::Fatal { detail })) => {
            assert!(detail.contains("of the test"), "{detail}");
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(client.health(), Health::Failed { .. }));
    place.open().await.close().await.unwrap();
}

#[tokio::test]
async fn a_closed_hub_is_closed_not_failed() {
    let hub = TaskHub::in_memory().await.unwrap();
    let client = hub.client();
    assert!(matches!(client.health(), Health::Healthy));
    hub.close().await.unwrap();
    assert!(matches!(client.health(), Health::Closed));
    assert_eq!(client.health().to_string(), "the hub is closed");
    let asked = client.status("x").await;
    assert!(matches!(asked, Err(HubError::Closed)), "{asked:?}");
}

/// A store that refuses every call of a kind.
#[derive(Debug)]
struct Refuses(StoreCall);

impl StoreHook for Refuses {
    fn before(&self, call: StoreCall) -> io::Result<()> {
        if call == self.0 {
            return Err(io::Error::other("I/O error of the test"));
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_disk_that_refuses_while_a_hub_is_opened_is_not_damage() {
    for call in [
        StoreCall::Get,
        StoreCall::Scan,
        StoreCall::Apply,
        StoreCall::Sync,
    ] {
        let place = Place::new();
        let options = TaskHub::options().store_hook(Arc::new(Refuses(call)));
        let refused = soon(options.open(place.0.path().join("orders.db"))).await;
        assert!(matches!(refused, Err(OpenError::Io { .. })), "{refused:?}");
        place.open().await.close().await.unwrap();
    }
}
