//! The worker: what runs orchestrators and activities in this process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::activities::Runner;
use super::error::WorkerError;
use super::hub::Shared;
use super::shell::ToEngine;
use crate::activity::{Activity, Requirements, States};
use crate::engine::Input;
use crate::registry::{Register, RegisteredActivity, Registry};
use crate::version::{VersionMatch, VersionMismatch};

/// Builds a [`Worker`]: what it can run, with which state, and how much at once.
#[must_use = "a worker runs nothing until it is started"]
#[derive(Debug)]
pub struct WorkerBuilder {
    shared: Arc<Shared>,
    registry: Registry,
    states: States,
    max_concurrent_activities: usize,
    /// Of single activities, instead of what they say themselves.
    max_concurrent: BTreeMap<&'static str, usize>,
    shutdown_timeout: Duration,
}

impl WorkerBuilder {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            registry: Registry::default(),
            states: States::default(),
            max_concurrent_activities: 1024,
            max_concurrent: BTreeMap::new(),
            shutdown_timeout: Duration::from_secs(30),
        }
    }

    /// Runs this, and nothing else.
    #[cfg(feature = "testing")]
    pub(crate) fn with_parts(self, registry: Registry, states: States) -> Self {
        Self {
            registry,
            states,
            ..self
        }
    }

    /// Adds an activity or an orchestrator.
    pub fn register<R: Register>(mut self) -> Self {
        R::register(&mut self.registry);
        self
    }

    /// Adds every activity and orchestrator that is annotated in this binary and its dependencies.
    pub fn register_all(mut self) -> Self {
        self.registry.discover();
        self
    }

    /// Gives activities a value to take with [`State<T>`](crate::State). One per type; a second
    /// one of a type replaces the first.
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, state: T) -> Self {
        self.states = self.states.with(state);
        self
    }

    /// The most attempts at activities that run at once; at least 1. Further ones wait, one instance
    /// after the other, and of an instance roughly in the order in which they were scheduled. A
    /// synchronous activity counts until it returns, also if it timed out or nobody waits for it any
    /// more: its thread is not free any sooner. Default: 1024.
    pub fn max_concurrent_activities(mut self, attempts: usize) -> Self {
        self.max_concurrent_activities = attempts.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// The most attempts at one activity that run at once in this worker; at least 1. It replaces
    /// what the activity says itself with `#[activity(max_concurrent = ..)]`. Default: that, else as
    /// many as [`max_concurrent_activities`](Self::max_concurrent_activities) allows, which they count
    /// for, too. What waits for such a limit does not hold up other activities.
    ///
    /// ```
    /// # use durable_core::{TaskHub, activity};
    /// #[activity(max_concurrent = 4)]
    /// async fn charge(cents: u64) {}
    ///
    /// # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
    /// # let hub = TaskHub::in_memory().await?;
    /// // Not more than 2 on this small machine.
    /// let worker = hub.worker().register::<charge>().max_concurrent::<charge>(2).start().await?;
    /// # worker.shutdown().await;
    /// # hub.close().await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn max_concurrent<A: Activity>(mut self, attempts: usize) -> Self {
        self.max_concurrent.insert(A::NAME, attempts);
        self
    }

    /// How long [`Worker::shutdown`] waits for activities that run. Default: 30 seconds.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout = timeout;
        self
    }

    /// The worker's version, that instances are compared with. Default: none.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.registry.versioning.version = version.into();
        self
    }

    /// Which instances the worker takes, by their version: for a deploy that must leave instances of
    /// another version alone. Default: [`VersionMatch::None`], all of them.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// use durable_core::{TaskHub, VersionMatch, VersionMismatch};
    ///
    /// let hub = TaskHub::options().default_version("2.0").open_in_memory().await?;
    /// let worker = hub
    ///     .worker()
    ///     .version("2.0")
    ///     .version_match(VersionMatch::CurrentOrOlder)
    ///     .version_mismatch(VersionMismatch::Reject)
    ///     .start()
    ///     .await?;
    /// # worker.shutdown().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn version_match(mut self, matching: VersionMatch) -> Self {
        self.registry.versioning.matching = matching;
        self
    }

    /// What becomes of an instance that the worker does not take. Default:
    /// [`VersionMismatch::Reject`].
    pub fn version_mismatch(mut self, mismatch: VersionMismatch) -> Self {
        self.registry.versioning.mismatch = mismatch;
        self
    }

    /// Starts the worker: instances that were under way when the process ended go on.
    ///
    /// # Errors
    ///
    /// [`WorkerError`] if something is registered twice, a state is missing, another worker runs
    /// on this hub, or there is no tokio runtime.
    pub async fn start(self) -> Result<Worker, WorkerError> {
        self.check()?;
        let runtime = Handle::try_current().map_err(|_| WorkerError::NoRuntime)?;
        // Before an earlier worker that has not noticed yet is in the way.
        self.shared.condition.check_open()?;
        let (id, jobs) = self.shared.jobs.take().ok_or(WorkerError::AlreadyRunning)?;
        let own =
            |(name, activity): (_, RegisteredActivity)| Some((name, activity.max_concurrent?));
        let mut limits: BTreeMap<_, _> = self.registry.activities().filter_map(own).collect();
        limits.extend(self.max_concurrent);
        let registry = Arc::new(self.registry);
        let runner = Arc::new(Runner {
            id,
            registry: Arc::clone(&registry),
            states: self.states,
            hub: self.shared.identity.hub,
            inbox: self.shared.inbox.clone(),
            slots: Arc::new(Semaphore::new(self.max_concurrent_activities)),
            limits,
            freed: Arc::new(Notify::new()),
            max_payload: self.shared.config.max_payload,
            tokens: Mutex::new(BTreeMap::new()),
            tracker: TaskTracker::new(),
            draining: CancellationToken::new(),
            stop: CancellationToken::new(),
        });
        let running = runtime.spawn(Arc::clone(&runner).run(jobs));
        let worker = Worker {
            shared: self.shared,
            runner,
            running: Some(running),
            runtime,
            timeout: self.shutdown_timeout,
            stopped: false,
        };
        worker.tell(Input::WorkerStarted(id, registry));
        worker.shared.flush().await?;
        Ok(worker)
    }

    fn check(&self) -> Result<(), WorkerError> {
        let duplicates = self.registry.duplicates();
        if !duplicates.is_empty() {
            return Err(WorkerError::Duplicate {
                names: duplicates.to_vec(),
            });
        }
        for (name, activity) in self.registry.activities() {
            let mut requirements = Requirements::default();
            (activity.require)(&mut requirements);
            if let Some(state) = requirements.missing_from(&self.states).first() {
                return Err(WorkerError::MissingState {
                    activity: name.to_owned(),
                    state,
                });
            }
        }
        Ok(())
    }
}

/// A running worker. Dropping it stops it at once: activities that run are dropped, and run again
/// under the next worker.
#[must_use = "dropping a worker stops it"]
#[derive(Debug)]
pub struct Worker {
    shared: Arc<Shared>,
    runner: Arc<Runner>,
    /// What takes jobs; ends after a stop.
    running: Option<JoinHandle<()>>,
    runtime: Handle,
    timeout: Duration,
    stopped: bool,
}

impl Worker {
    /// Stops in good order, as before a deploy: no attempt at an activity begins any more, those that run
    /// may finish and are recorded. After the [timeout](WorkerBuilder::shutdown_timeout) those that still
    /// run are told so by their [tokens](crate::CancellationToken) and dropped; they run again under the
    /// next worker, and that counts as no failure.
    ///
    /// No instance is lost or fails by it: the hub takes starts and events as ever, and whatever is not
    /// done yet goes on with the next worker, of this process or another.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
    /// use std::time::Duration;
    /// use durable_core::TaskHub;
    ///
    /// let hub = TaskHub::in_memory().await?;
    /// let worker = hub.worker().shutdown_timeout(Duration::from_secs(20)).start().await?;
    /// // At SIGTERM:
    /// let dropped = worker.shutdown().await;
    /// hub.close().await?;
    /// println!("{dropped} attempts will be made again");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// Returns how many attempts were dropped.
    pub async fn shutdown(mut self) -> usize {
        self.tell(Input::WorkerDraining);
        self.runner.draining.cancel();
        self.runner.slots.close();
        self.runner.tracker.close();
        let (runner, timeout) = (Arc::clone(&self.runner), self.timeout);
        // On the worker's runtime: whoever calls this may be on none.
        let drained = self.runtime.spawn(async move {
            tokio::time::timeout(timeout, runner.tracker.wait())
                .await
                .is_ok()
        });
        let dropped = if drained.await.unwrap_or(false) {
            0
        } else {
            self.runner.tracker.len()
        };
        self.stop();
        self.runner.tracker.wait().await;
        if let Some(running) = self.running.take() {
            // It does not panic, and its runtime may be gone.
            drop(running.await);
        }
        // A hub that has failed says so to whoever asks it next.
        drop(self.shared.flush().await);
        dropped
    }

    fn tell(&self, input: Input<super::shell::Reply>) {
        // The engine may be gone: then nothing runs anyway.
        drop(self.shared.inbox.send(ToEngine::Input(input)));
    }

    fn stop(&mut self) {
        if !std::mem::replace(&mut self.stopped, true) {
            self.runner.stop.cancel();
            self.tell(Input::WorkerStopped(self.runner.id));
            self.shared.jobs.release();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop();
    }
}
