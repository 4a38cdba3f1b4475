//! What a program that uses this library can rely on, tested as it would use it: on a hub in memory
//! and on one in a directory.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "what is not as expected fails the test"
)]
#![expect(clippy::unused_async, reason = "orchestrators are async")]

mod activities;
mod again;
mod announced;
mod bad_input;
mod children;
mod copies;
mod determinism;
mod divergence;
#[cfg(feature = "simulation")]
mod failing;
mod families;
mod history;
mod hubs;
mod inline;
mod kit;
mod lifecycle;
mod loss;
#[cfg(feature = "simulation")]
mod overload;
mod patches;
mod poison;
mod polling;
mod progress;
mod purge;
mod query;
mod restart;
mod retention;
mod retries;
mod reuse;
mod rewind;
mod scheduled;
#[cfg(feature = "simulation")]
mod space;
mod start_or_raise;
mod stats;
mod survives;
mod suspend;
mod verify;
mod versions;
mod waits;
mod watch;

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use durable_core::{
    ActivityContext, ActivityError, Client, NoError, OpenError, OrchestrationContext,
    OrchestrationStatus, State, SubOrchestrationError, TaskHub, TaskHubOptions, Worker,
    WorkerBuilder, activity, orchestrator,
};
use tempfile::TempDir;
use tokio::sync::{Semaphore, mpsc};

/// A directory for a hub that is closed and opened again.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    async fn open(&self) -> TaskHub {
        self.open_with(TaskHub::options()).await
    }

    /// A hub that was dropped instead of closed lets go of its directory a little later.
    async fn open_with(&self, options: TaskHubOptions) -> TaskHub {
        let open = async || loop {
            match options.clone().open(self.0.path().join("orders.db")).await {
                Err(OpenError::InUse { .. }) => tokio::task::yield_now().await,
                other => return other.unwrap(),
            }
        };
        soon(open()).await
    }
}

/// Runs a test on a hub in memory and on one in a directory.
async fn on_both(test: impl AsyncFn(&TaskHub)) {
    let place = Place::new();
    for hub in [TaskHub::in_memory().await.unwrap(), place.open().await] {
        soon(test(&hub)).await;
        soon(hub.close()).await.unwrap();
    }
}

type Deploy = Arc<dyn Fn(WorkerBuilder) -> WorkerBuilder>;

/// A hub with a worker that can be restarted: one in a directory is closed and opened again, one in
/// memory gets another worker.
struct Site {
    place: Option<Place>,
    options: TaskHubOptions,
    deploy: Deploy,
    hub: TaskHub,
    worker: Worker,
}

impl Site {
    async fn new(place: Option<Place>, options: TaskHubOptions, deploy: Deploy) -> Self {
        let hub = match &place {
            Some(place) => place.open_with(options.clone()).await,
            None => options.clone().open_in_memory().await.unwrap(),
        };
        let worker = deploy(hub.worker()).start().await.unwrap();
        Self {
            place,
            options,
            deploy,
            hub,
            worker,
        }
    }

    fn client(&self) -> Client {
        self.hub.client()
    }

    /// With other code.
    async fn restart_with(self, deploy: impl Fn(WorkerBuilder) -> WorkerBuilder + 'static) -> Self {
        let deploy: Deploy = Arc::new(deploy);
        Self { deploy, ..self }.restart().await
    }

    async fn restart(self) -> Self {
        let Self {
            place,
            options,
            deploy,
            hub,
            worker,
        } = self;
        drop(worker);
        if place.is_some() {
            soon(hub.close()).await.unwrap();
            return Self::new(place, options, deploy).await;
        }
        let worker = deploy(hub.worker()).start().await.unwrap();
        Self {
            place,
            options,
            deploy,
            hub,
            worker,
        }
    }
}

/// Runs a test on a hub in memory and on one in a directory, with this code; it restarts what it is given.
async fn over_restarts(
    options: TaskHubOptions,
    deploy: impl Fn(WorkerBuilder) -> WorkerBuilder + 'static,
    test: impl AsyncFn(Site) -> Site,
) {
    let deploy: Deploy = Arc::new(deploy);
    for place in [None, Some(Place::new())] {
        let site = Site::new(place, options.clone(), Arc::clone(&deploy)).await;
        let site = soon(Box::pin(test(site))).await;
        let found = soon(site.hub.verify()).await.unwrap();
        assert!(found.is_sound(), "{found:?}");
    }
}

/// What never ends fails instead of hanging.
#[track_caller]
fn soon<F: IntoFuture>(future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    let future = future.into_future();
    async move {
        let limited = tokio::time::timeout(Duration::from_secs(30), future);
        let late = |_| panic!("what was awaited at {caller} does not happen");
        limited.await.unwrap_or_else(late)
    }
}

/// The status of an instance once it is there, and as it should be.
#[track_caller]
fn status_when(
    client: &Client,
    id: &str,
    is: impl Fn(&OrchestrationStatus) -> bool,
) -> impl Future<Output = OrchestrationStatus> {
    soon(async move {
        loop {
            let status = client.wait_for(id, &is).await.unwrap();
            if let Some(status) = status.filter(&is) {
                return status;
            }
            tokio::task::yield_now().await;
        }
    })
}

/// How a test sees the activity [`step`], and holds it up.
#[derive(Clone, Debug)]
struct Steps {
    began: mpsc::UnboundedSender<String>,
    /// Each attempt needs a permit to end.
    permits: Arc<Semaphore>,
}

impl Steps {
    /// Steps that wait, and the names of those that have begun.
    fn held() -> (Self, mpsc::UnboundedReceiver<String>) {
        let (sender, begun) = mpsc::unbounded_channel();
        let permits = Arc::new(Semaphore::new(0));
        (
            Self {
                began: sender,
                permits,
            },
            begun,
        )
    }

    /// Steps that end at once.
    fn free() -> (Self, mpsc::UnboundedReceiver<String>) {
        let (steps, begun) = Self::held();
        steps.end(1_000_000);
        (steps, begun)
    }

    fn say(&self, what: &str) {
        // A test may look at what comes out only.
        let _ = self.began.send(what.to_owned());
    }

    /// Lets so many attempts end.
    fn end(&self, attempts: usize) {
        self.permits.add_permits(attempts);
    }
}

/// Says that it has begun, and ends when it may.
#[activity]
async fn step(State(steps): State<Steps>, ctx: ActivityContext, name: String) -> String {
    steps.say(&name);
    tokio::select! {
        permit = steps.permits.acquire() => permit.unwrap().forget(),
        () = ctx.cancellation_token().cancelled() => {
            steps.say(&format!("{name} cancelled"));
        }
    }
    name.to_uppercase()
}

/// Takes steps one after the other.
#[orchestrator]
async fn chain(
    ctx: OrchestrationContext,
    names: Vec<String>,
) -> Result<Vec<String>, ActivityError<NoError>> {
    let mut done = Vec::new();
    for name in names {
        done.push(ctx.call_activity::<step>(name).await?);
    }
    Ok(done)
}

/// Ends at once.
#[orchestrator]
async fn echo(_ctx: OrchestrationContext, text: String) -> String {
    text
}

/// Returns the data of the first event of a name.
#[orchestrator]
async fn listen(ctx: OrchestrationContext, name: String) -> String {
    ctx.wait_for_external_event(&name).await.unwrap()
}

/// Waits for the event `go` of a child with this id.
#[orchestrator]
async fn parent_of(
    ctx: OrchestrationContext,
    child: String,
) -> Result<String, SubOrchestrationError<NoError>> {
    let call = ctx.call_sub_orchestrator::<listen>("go".to_owned());
    call.id(child.as_str()).await
}

/// Sleeps so many milliseconds.
#[orchestrator]
async fn nap(ctx: OrchestrationContext, ms: u64) -> u64 {
    ctx.create_timer(Duration::from_millis(ms)).await;
    ms
}

/// A worker that knows all of these.
fn worker(hub: &TaskHub, steps: &Steps) -> WorkerBuilder {
    hub.worker()
        .state(steps.clone())
        .register::<step>()
        .register::<chain>()
        .register::<echo>()
        .register::<listen>()
        .register::<nap>()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}
