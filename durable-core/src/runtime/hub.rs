//! The task hub: a directory, opened.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::activities::Jobs;
use super::admission::Admission;
use super::client::{Client, unexpected};
use super::copying;
use super::error::HubError;
use super::health::{Condition, Health};
use super::inbox::Inbox;
use super::lifecycle::{Lifecycle, LifecycleEvents};
use super::shell::{Identity, Launched, Permit, Reply, ToEngine, launch};
use super::verify::Verify;
use super::worker::WorkerBuilder;
use crate::engine::{Command, Config, Input, MAX_STEP, Response, Rules};
use crate::id::InstanceId;
#[cfg(feature = "simulation")]
use crate::simulation::StoreHook;
use crate::store::kv::KvStore;
use crate::store::kv::backend::KeyValue;
#[cfg(feature = "simulation")]
use crate::store::kv::hooked::Hooked;
use crate::store::kv::memory::MemoryKv;
use crate::store::kv::sled::{SledKv, SledOptions};
use crate::store::{
    AcceptedLoss, Aside, Compacted, CopyError, HubStats, OpenError, Retention, StoreError,
};

/// A task hub: orchestrations and all that is known of them, in one directory.
///
/// Open it once per process, take [clients](Self::client) and a [worker](Self::worker) from it,
/// and [close](Self::close) it before the process ends (or do not: nothing that was acknowledged is
/// lost by a kill).
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("orders.db");
/// use durable_core::TaskHub;
///
/// let hub = TaskHub::open(&path).await?;
/// assert!(hub.client().status("order-42").await?.is_none());
/// hub.close().await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct TaskHub {
    pub(super) shared: Arc<Shared>,
}

/// What the hub's handles share. When the last of them goes, the hub closes.
pub(super) struct Shared {
    pub(super) inbox: Inbox,
    admission: Admission,
    pub(super) jobs: Jobs,
    pub(super) condition: Condition,
    lifecycle: Lifecycle,
    pub(super) config: Config,
    pub(super) identity: Identity,
    /// Held by the one check that runs.
    pub(super) verifying: tokio::sync::Mutex<()>,
    accepted_loss: Option<AcceptedLoss>,
    store: Arc<dyn Aside>,
    ended: CancellationToken,
    thread: Mutex<Option<JoinHandle<()>>>,
    pub(super) new_id: NewId,
}

/// Makes an instance's id that no other has.
pub(super) type NewId = Box<dyn Fn() -> InstanceId + Send + Sync>;

impl TaskHub {
    /// Opens the hub in the directory `path`, creating it if it is missing or empty.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if another process has it open, if it is something else, damaged or of a newer
    /// format, or if the operating system refuses.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::options().open(path).await
    }

    /// A hub in memory, for tests: everything is gone when it is closed.
    ///
    /// # Errors
    ///
    /// If the operating system gives no thread.
    pub async fn in_memory() -> Result<Self, OpenError> {
        Self::options().open_in_memory().await
    }

    /// The settings of a hub, to be opened with others than the defaults.
    pub fn options() -> TaskHubOptions {
        TaskHubOptions::default()
    }

    /// What was lost of this hub when it was opened just now, if it was and the loss was
    /// [accepted](TaskHubOptions::accept_loss).
    pub fn accepted_loss(&self) -> Option<&AcceptedLoss> {
        self.shared.accepted_loss.as_ref()
    }

    /// A handle to start, query and steer instances. Works with and without a worker.
    pub fn client(&self) -> Client {
        Client {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Builds what runs orchestrators and activities in this process.
    pub fn worker(&self) -> WorkerBuilder {
        WorkerBuilder::new(Arc::clone(&self.shared))
    }

    /// Listens to what happens in the lives of this hub's instances: everything that is asked for, or
    /// happens, after this returns.
    ///
    /// An event is told once it is durable, in the order of commits. Up to 4,096 are kept for who is
    /// slow; then the oldest are gone, and it [is told so](LifecycleEvents::next). Nothing waits for who
    /// listens, and it costs nothing while nobody does.
    ///
    /// A process that was killed has told nobody the last of what became durable. So whoever keeps a
    /// view of all instances begins with a [query](crate::Client::query), after subscribing.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// use durable_core::{LifecycleKind, TaskHub};
    ///
    /// let hub = TaskHub::in_memory().await?;
    /// let mut events = hub.subscribe();
    /// let client = hub.client();
    /// client.start_by_name("fulfil", "42").id("order-42").await?;
    /// client.terminate("order-42", "no longer wanted").await?;
    /// while let Some(event) = events.next().await {
    ///     match event {
    ///         Ok(event) if event.kind() == LifecycleKind::Terminated => break,
    ///         Ok(event) => println!("{} {:?}", event.instance_id(), event.kind()),
    ///         Err(lagged) => println!("{} events were missed: look again", lagged.missed),
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn subscribe(&self) -> LifecycleEvents {
        let ended = self.shared.ended.clone();
        self.shared.lifecycle.subscribe(ended)
    }

    /// How much there is: instances by status, live bytes, bytes on disk. Cheap, however much that
    /// is: it is counted in every commit.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// use durable_core::{RuntimeStatus, TaskHub};
    ///
    /// let hub = TaskHub::in_memory().await?;
    /// hub.client().start_by_name("fulfil", "42").await?;
    /// let stats = hub.stats().await?;
    /// assert_eq!(stats.total(), 1);
    /// assert_eq!(stats.with_status(RuntimeStatus::Pending), 1);
    /// assert!(stats.live_bytes > 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the hub failed.
    pub async fn stats(&self) -> Result<HubStats, HubError> {
        self.shared.stats().await
    }

    /// Gives back the space of what was removed and rewritten.
    ///
    /// What is in use is copied to new files, which then take the place of the old ones. That
    /// takes about a second for each 100,000 records, as much free space as what is in use, and
    /// memory for a second [cache](TaskHubOptions::cache_capacity). Everything else goes on: a
    /// commit waits some milliseconds longer at most. A kill or a power cut at any moment leaves
    /// either the old files or the new ones, whole. A hub [does it by
    /// itself](TaskHubOptions::compaction_factor), too.
    ///
    /// A hub in memory has nothing to give back. If the future is dropped the compaction goes on;
    /// [closing](Self::close) the hub ends it.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # let dir = tempfile::tempdir()?;
    /// # let hub = durable_core::TaskHub::open(dir.path().join("orders.db")).await?;
    /// let compacted = hub.compact().await?;
    /// println!("{} bytes less", compacted.bytes_before.saturating_sub(compacted.bytes_after));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`CopyError`]; the hub goes on with the files it had, unless it failed itself.
    pub async fn compact(&self) -> Result<Compacted, CopyError> {
        self.shared.copy(<dyn Aside>::compact).await
    }

    /// Makes a copy of the hub in the directory `path`, which must be missing or empty.
    ///
    /// The copy is as of one moment, at the end of the call at the earliest: everything that was
    /// acknowledged before the call is in it. It is a hub like this one, with the same links and
    /// instances: open it, or put it back in this one's place. (Do not let both go on: then what
    /// one has done the other does again.) Everything else goes on meanwhile, and what is left of
    /// a copy that was cut off is no hub and is refused.
    ///
    /// If the future is dropped the backup goes on; [closing](Self::close) the hub ends it.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # let dir = tempfile::tempdir()?;
    /// # let backup = dir.path().join("orders-monday.db");
    /// # use durable_core::TaskHub;
    /// # let hub = TaskHub::open(dir.path().join("orders.db")).await?;
    /// hub.backup(&backup).await?;
    /// let copy = TaskHub::open(&backup).await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`CopyError`], also of a hub in memory. Nothing is left at `path` then.
    pub async fn backup(&self, path: impl AsRef<Path>) -> Result<(), CopyError> {
        let path = path.as_ref().to_owned();
        self.shared.copy(move |store| store.backup(&path)).await
    }

    /// Reads everything and checks that it is sound: every record is whole, every history complete
    /// and in agreement with its summary, every timer explained, nothing left over, and of
    /// everything as much as was counted when it was written.
    ///
    /// Clients and the worker go on meanwhile, commits wait for a millisecond now and then. It
    /// reads everything about three times, and can be slowed down to run
    /// [in the background](Verify::bytes_per_second). It uses some megabytes of memory, and what the
    /// largest history takes. One check runs at a time, a second waits for the first. Dropping the
    /// future or [closing](Self::close) the hub ends it.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// use durable_core::TaskHub;
    ///
    /// let hub = TaskHub::in_memory().await?;
    /// hub.client().start_by_name("fulfil", "42").await?;
    /// let checked = hub.verify().bytes_per_second(64 << 20).await?;
    /// for damage in &checked.damages {
    ///     println!("{damage}");
    /// }
    /// assert!(checked.is_sound());
    /// assert_eq!(checked.instances, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the hub failed or was closed. Damage is no error: it is
    /// [listed](crate::Verification::damages).
    pub fn verify(&self) -> Verify {
        Verify::new(Arc::clone(&self.shared))
    }

    /// Finishes what is under way and lets go of the directory. A worker should be
    /// [shut down](crate::Worker::shutdown) before: activities that still run are stopped, and run
    /// again when the hub is opened again. Every other handle of this hub is of no use afterwards.
    ///
    /// # Errors
    ///
    /// If the store failed, now or before.
    pub async fn close(self) -> Result<(), HubError> {
        // They have the hub's files, too.
        self.shared.admission.end_readers().await;
        // The engine may be gone; then the cause is reported below.
        drop(self.shared.inbox.send(ToEngine::Close));
        self.shared.ended.cancelled().await;
        let thread = &self.shared.thread;
        let thread = thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // It has nothing left to do, so this does not block. It dies of a failure that is
            // reported below.
            drop(thread.join());
        }
        match self.health() {
            Health::Failed { error, .. } => Err(HubError::Store(error)),
            Health::Healthy | Health::LowOnSpace { .. } | Health::Closed => Ok(()),
        }
    }

    /// How the hub is doing. Cheap, and never waits.
    pub fn health(&self) -> Health {
        self.shared.condition.get()
    }
}

impl Shared {
    /// Asks the engine, and waits for the answer, which comes when it is durable.
    pub(super) async fn ask(&self, command: Command) -> Result<Response, HubError> {
        // Before it waits for what nobody does any more.
        self.condition.check_open()?;
        let admitted = self.admission.admit(command.id(), command.bytes()).await?;
        let waits = matches!(command, Command::Wait { .. } | Command::Watch { .. });
        let (message, answer) = if waits {
            let (reply, answer) = Reply::new(None);
            let permit = Permit::Client {
                _admitted: admitted,
            };
            (
                ToEngine::Bounded(Input::Client(command, reply), permit),
                answer,
            )
        } else {
            let (reply, answer) = Reply::new(Some(admitted));
            (ToEngine::Input(Input::Client(command, reply)), answer)
        };
        self.inbox.send(message).map_err(|_| self.why_closed())?;
        self.received(answer.await)
    }

    /// Waits until everything that was sent before is durable.
    pub(super) async fn flush(&self) -> Result<(), HubError> {
        self.send(ToEngine::Flush).await.map(drop)
    }

    /// What there is, once that is durable.
    pub(super) async fn stats(&self) -> Result<HubStats, HubError> {
        match self.send(ToEngine::Stats).await {
            Ok(Response::Stats(stats)) => Ok(stats),
            Ok(other) => Err(unexpected(&other)),
            Err(error) => {
                // That the store is closed is not why.
                self.condition.check_open()?;
                Err(error)
            }
        }
    }

    async fn send(&self, message: fn(Reply) -> ToEngine) -> Result<Response, HubError> {
        let (reply, answer) = Reply::new(None);
        self.inbox
            .send(message(reply))
            .map_err(|_| self.why_closed())?;
        self.received(answer.await)
    }

    fn received<E>(&self, answer: Result<Response, E>) -> Result<Response, HubError> {
        match answer {
            Ok(Response::Failed(error)) => Err(HubError::Store(error)),
            #[cfg(feature = "testing")]
            Ok(Response::Stuck(problem)) => Err(HubError::Stuck { problem }),
            Ok(response) => Ok(response),
            Err(_) => Err(self.why_closed()),
        }
    }

    /// Reads something of the store, and waits until what was read is durable. Few do so at a time:
    /// each has a thread, for it blocks.
    pub(super) async fn read_aside<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Aside) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, HubError> {
        self.condition.check_open()?;
        let turn = self.admission.admit_reader().await?;
        let store = Arc::clone(&self.store);
        let read = move || {
            let read = read(&*store);
            // Before the next one begins, or the hub is closed.
            drop((store, turn));
            read
        };
        let read = match &self.inbox {
            Inbox::Threads(_) => {
                let (done, is_done) = tokio::sync::oneshot::channel();
                // Nobody may wait for it any more.
                let read = move || drop(done.send(read()));
                let thread = std::thread::Builder::new().name("durable-read".into());
                thread.spawn(read).map_err(|error| {
                    let message = format!("no thread to read on: {error}");
                    HubError::Store(StoreError::fatal(message))
                })?;
                is_done.await.map_err(|_| self.why_closed())?
            }
            // What it reads is in memory, and the hub waits meanwhile.
            #[cfg(feature = "testing")]
            Inbox::Lockstep(_) => read(),
        };
        let read = read.map_err(|error| {
            // That the store is closed is not why.
            let closed = self.condition.check_open().err();
            closed.unwrap_or(HubError::Store(error))
        })?;
        self.flush().await?;
        Ok(read)
    }

    /// Copies on a thread of its own: it blocks for as long as it takes.
    async fn copy<T: Send + 'static>(
        &self,
        copy: impl FnOnce(&dyn Aside) -> Result<T, CopyError> + Send + 'static,
    ) -> Result<T, CopyError> {
        let store = Arc::clone(&self.store);
        let (done, is_done) = tokio::sync::oneshot::channel();
        copying::spawn(move || {
            // Nobody may wait for it any more.
            drop(done.send(copy(&*store)));
        })?;
        match is_done.await.unwrap_or(Err(CopyError::Closed)) {
            Err(CopyError::Closed) => Err(match self.why_closed() {
                HubError::Store(error) => CopyError::Store(error),
                HubError::Closed | HubError::Overloaded { .. } => CopyError::Closed,
                #[cfg(feature = "testing")]
                HubError::Stuck { .. } => CopyError::Closed,
            }),
            done => done,
        }
    }

    pub(super) fn why_closed(&self) -> HubError {
        self.condition.why_closed()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The threads end by themselves once everything is committed.
        drop(self.inbox.send(ToEngine::Close));
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// The settings of a hub.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// use durable_core::TaskHub;
///
/// let hub = TaskHub::options().max_payload(64 * 1024).open_in_memory().await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct TaskHubOptions {
    config: Config,
    rules: Rules,
    accept_loss: bool,
    patience: Duration,
    sled: SledOptions,
    #[cfg(feature = "simulation")]
    hook: Option<Arc<dyn StoreHook>>,
}

impl Default for TaskHubOptions {
    fn default() -> Self {
        Self {
            config: Config::default(),
            rules: Rules::default(),
            accept_loss: false,
            patience: Duration::from_secs(5),
            sled: SledOptions::default(),
            #[cfg(feature = "simulation")]
            hook: None,
        }
    }
}

impl TaskHubOptions {
    /// How long a request waits to be let in while too much is under way already, before it is
    /// refused with [`HubError::Overloaded`](crate::HubError::Overloaded). Default: 5 seconds; zero refuses at once.
    ///
    /// Under way is what was asked for and not answered yet: at most 16,384 requests at a time, or
    /// 64 MiB of their payloads, and an eighth of that for any one instance. Waiting for the end of an
    /// instance does not count. Outside a tokio runtime with timers there is no limit to waiting.
    #[must_use]
    pub fn admission_timeout(mut self, timeout: Duration) -> Self {
        self.patience = timeout;
        self
    }

    /// The bytes that are to stay free on the hub's file system, so that what runs can end. Below
    /// it new starts are refused ([`StartError::LowOnSpace`](crate::StartError::LowOnSpace)), and
    /// below half of it events, too
    /// ([`InstanceError::LowOnSpace`](crate::InstanceError::LowOnSpace)): an instance that runs may
    /// wait for one. Everything else goes on, and so do starts as soon as there is room again. A
    /// [compaction](TaskHub::compact) or [backup](TaskHub::backup) that comes to it is given up.
    /// Default: 64 MiB; 0 switches it off.
    ///
    /// A disk that is full all the same ends the hub, with
    /// [`Health::Failed`](crate::Health::Failed); nothing that was acknowledged is lost then.
    #[must_use]
    pub fn min_free_space(mut self, bytes: u64) -> Self {
        self.config.min_free_space = bytes;
        self.sled.reserve = bytes;
        self
    }

    /// How many times as large as [what is in use](crate::HubStats::live_bytes) the hub's files may
    /// become before they are [compacted](TaskHub::compact) by themselves. Default: 3; 0 switches
    /// it off, and 1 counts as 2.
    ///
    /// A hub of less than 4 MiB is left alone, and so is one whose files would not become smaller
    /// by a third. The files are looked at after each MiB that were written or became free. A
    /// compaction that fails is logged as a warning, and tried again after another 64 MiB.
    #[must_use]
    pub fn compaction_factor(mut self, times: u32) -> Self {
        self.config.compaction_factor = match times {
            0 => 0,
            times => u64::from(times.max(2)),
        };
        self
    }

    /// The most bytes of JSON that an input, an output or the data of an event may have.
    /// Default: 2 MiB; at most 64 MiB.
    #[must_use]
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.config.max_payload = bytes.min(MAX_STEP);
        self
    }

    /// The version of instances, and children, that are started without one: of orchestrators that
    /// have no version, and by name. Default: none. At most 256 bytes; of a longer one nothing is
    /// started ([`StartError::InvalidName`](crate::StartError::InvalidName)).
    ///
    /// An instance keeps its version for good. It is run by the orchestrator of its name and version
    /// that the worker has registered, else by the one of its name that has no version, which can look
    /// at [`ctx.version()`](crate::OrchestrationContext::version).
    #[must_use]
    pub fn default_version(mut self, version: impl Into<String>) -> Self {
        self.rules.default_version = version.into();
        self
    }

    /// How long instances are kept once they have ended, counted from their end by the clock. Default:
    /// for ever.
    ///
    /// Those whose time is over are purged by themselves, as [`Client::purge`] would, with and without
    /// a worker: some at a time, some thousands in a second at most, so that what runs is not held up.
    /// It may take as long again as it takes to look at all instances, about 20 seconds for each
    /// million, and then 20 times as long until they are looked at again (an hour at most). Nothing is
    /// purged early, unless the clock is moved on. This is not part of the hub: it holds until it is closed, and for what has ended
    /// before, too.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// use std::time::Duration;
    /// use durable_core::{Keep, Retention, TaskHub};
    ///
    /// const DAY: Duration = Duration::from_secs(24 * 3600);
    /// let retention = Retention::new(Keep::every(30 * DAY).failed(90 * DAY));
    /// let hub = TaskHub::options().retention(retention).open_in_memory().await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn retention(mut self, retention: Retention) -> Self {
        self.rules.retention = Arc::new(retention);
        self
    }

    /// The most events that the history of one execution may have; one that goes on then fails with
    /// [`OrchestrationError::LimitExceeded`](crate::OrchestrationError::LimitExceeded). At three
    /// quarters of it there is a warning in the log. Default: 1,000,000.
    ///
    /// An orchestration without end uses
    /// [`continue_as_new`](crate::OrchestrationContext::continue_as_new).
    #[must_use]
    pub fn max_history(mut self, events: usize) -> Self {
        self.config.max_history = events;
        self
    }

    /// The most activities, timers and children that one instance may have outstanding at once; one
    /// that asks for more fails with
    /// [`OrchestrationError::LimitExceeded`](crate::OrchestrationError::LimitExceeded).
    /// Default: 100,000.
    #[must_use]
    pub fn max_outstanding_calls(mut self, calls: usize) -> Self {
        self.config.max_outstanding = calls;
        self
    }

    /// How many levels of children there may be below an instance without a parent; the call of one
    /// that would be deeper fails with
    /// [`SubOrchestrationError::LimitExceeded`](crate::SubOrchestrationError::LimitExceeded).
    /// Default: 1,000.
    #[must_use]
    pub fn max_depth(mut self, levels: u32) -> Self {
        self.config.max_depth = levels;
        self
    }

    /// How often the process may die of an activity until that is not begun any more: its instance
    /// then shows a [`Problem`](crate::Problem) of the kind
    /// [`PoisonedActivity`](crate::ProblemKind::PoisonedActivity), everything else goes on, and
    /// [`Client::retry`] has it begun again. Default: 3; 0 switches it off.
    ///
    /// An attempt that is lost with the process is no attempt for a retry policy and is made again
    /// after each restart, so an activity that aborts, overflows the stack or takes all memory would
    /// have the process die for ever. Which one it was nobody knows, but it was open at each crash.
    /// Attempts that may have been open at two crashes in a row, the second within an hour of the
    /// worker's start, are *suspects*:
    ///
    /// - They wait for as long as the worker that died had run (at most 30 seconds), and then begin
    ///   one at a time, each for at most 30 seconds before the next one begins, too. Everything else
    ///   goes on beside them. So those that are innocent have soon run.
    /// - A crash counts against an attempt only if it was the only suspect that ran, and had begun less
    ///   than 30 seconds before. When one of a call's attempts ends, in whatever way, its crashes are
    ///   forgotten.
    ///
    /// A worker that was shut down or dropped, and a hub that was closed, have not died. A kill from
    /// outside looks like any other crash.
    #[must_use]
    pub fn poison_after(mut self, crashes: u32) -> Self {
        self.config.poison_after = crashes;
        self
    }

    /// The bytes of a file in the hub's directory that is given up when the disk is so full that the
    /// hub could not be opened otherwise. It is made, with its blocks allocated, when the hub is
    /// opened and 8 times as much is free. Default: 8 MiB; 0 for none.
    #[must_use]
    pub fn ballast(mut self, bytes: u64) -> Self {
        self.sled.ballast = bytes;
        self
    }

    /// Opens what is left of a hub that was rolled back or is damaged, and **gives up what is
    /// lost**. Only for a person who has decided so because there is no better copy: activities
    /// whose completion is lost run again, and what was acknowledged after is as if it had never
    /// been. Default: false; such a hub is refused with [`OpenError::RolledBack`] or
    /// [`OpenError::Corrupt`].
    ///
    /// What was lost is logged as an error, and told by [`TaskHub::accepted_loss`]. Instances whose
    /// histories are broken stay as they are, with a [`Problem`](crate::Problem) that says so. New
    /// ones never take the place of what is lost. The next opening needs this no more, and should
    /// not have it. A sound hub is opened as always. Of some damage nothing is left to open; the
    /// error then says so.
    #[must_use]
    pub fn accept_loss(mut self, accept: bool) -> Self {
        self.accept_loss = accept;
        self
    }

    /// The bytes of pages that sled keeps in memory. Default: 128 MiB. The memory it really takes
    /// is a multiple of that, and while the hub is [compacted](TaskHub::compact) there is a second
    /// such cache.
    #[must_use]
    pub fn cache_capacity(mut self, bytes: u64) -> Self {
        self.sled.cache_capacity = bytes;
        self
    }

    /// The most instances whose orchestrators are kept in memory between their turns. The others
    /// are replayed from their history when something arrives for them. Default: 20,000.
    #[must_use]
    pub fn max_live_instances(mut self, instances: usize) -> Self {
        self.config.max_live = instances;
        self
    }

    /// The most bytes that those instances may take, by estimate. Default: 256 MiB.
    ///
    /// Counted are the orchestrator's future, its calls, payloads, events that wait, and what the engine
    /// keeps of each, which together is within a tenth of what is allocated: 7 KB for one that waits, 140 KB
    /// for one with a hundred calls outstanding. What an orchestrator's own code has allocated is not seen;
    /// its input is counted twice, as JSON and as what was made of it.
    #[must_use]
    pub fn max_live_bytes(mut self, bytes: usize) -> Self {
        self.config.max_live_bytes = bytes;
        self
    }

    /// Whether a second copy of every orchestrator watches the first, so that code which is not
    /// deterministic is found in the turn in which it goes astray. Doubles the cost of a turn and
    /// runs the orchestrator's code twice. Default: on in debug builds, off in release builds.
    #[must_use]
    pub fn shadow_execution(mut self, on: bool) -> Self {
        self.config.shadow = on;
        self
    }

    /// Has `hook` called around every call into sled, so that a harness can make it fail, wait or
    /// die there. The hub's own reads at opening go through it, too; opening sled's files does not.
    #[cfg(feature = "simulation")]
    #[doc(hidden)]
    #[must_use]
    pub fn store_hook(mut self, hook: Arc<dyn StoreHook>) -> Self {
        self.hook = Some(hook);
        self
    }

    /// Has commits handed to the operating system and not synced, as sled by itself would, so that
    /// a harness can show that a power cut then loses them.
    #[cfg(feature = "simulation")]
    #[doc(hidden)]
    #[must_use]
    pub fn without_data_sync(mut self) -> Self {
        self.sled.unsynced = true;
        self
    }

    /// Opens the hub in the directory `path`, creating it if it is missing or empty.
    ///
    /// # Errors
    ///
    /// See [`TaskHub::open`].
    pub async fn open(self, path: impl AsRef<Path>) -> Result<TaskHub, OpenError> {
        let path: PathBuf = path.as_ref().to_owned();
        let sled = self.sled;
        let open_sled = {
            let path = path.clone();
            move |accept_loss| {
                SledKv::open(
                    &path,
                    &SledOptions {
                        accept_loss,
                        ..sled.clone()
                    },
                )
            }
        };
        #[cfg(feature = "simulation")]
        if let Some(hook) = self.hook {
            let open = move |accept| Ok(Hooked::new(open_sled(accept)?, Arc::clone(&hook)));
            let engine = (self.config, self.rules);
            return TaskHub::launch(open, path, engine, self.accept_loss, self.patience).await;
        }
        TaskHub::launch(
            open_sled,
            path,
            (self.config, self.rules),
            self.accept_loss,
            self.patience,
        )
        .await
    }

    /// The bounds, the rules, and how long a client waits at the bounds.
    #[cfg(feature = "testing")]
    pub(crate) fn into_parts(self) -> (Config, Rules, Duration) {
        (self.config, self.rules, self.patience)
    }

    /// Opens a hub in memory.
    ///
    /// # Errors
    ///
    /// See [`TaskHub::in_memory`].
    pub async fn open_in_memory(self) -> Result<TaskHub, OpenError> {
        let open = |_| Ok(MemoryKv::default());
        let engine = (self.config, self.rules);
        TaskHub::launch(open, "memory".into(), engine, false, self.patience).await
    }
}

impl TaskHub {
    async fn launch<K: KeyValue>(
        open_kv: impl Fn(bool) -> Result<K, OpenError> + Send + 'static,
        path: PathBuf,
        (config, rules): (Config, Rules),
        accept_loss: bool,
        patience: Duration,
    ) -> Result<Self, OpenError> {
        let accepted = Arc::new(OnceLock::new());
        let noted = Arc::clone(&accepted);
        let open = move || {
            let (store, loss) = KvStore::open_or_salvage(open_kv, &path, accept_loss)?;
            drop(loss.map(|loss| noted.set(loss)));
            Ok(store)
        };
        let launched = launch(open, config, rules).await?;
        let loss = accepted.get().cloned();
        let admission = Admission::new(config.max_payload, patience);
        let new_id = Box::new(InstanceId::generate);
        Ok(Self::of(launched, config, admission, loss, new_id))
    }

    /// The hub whose threads these are.
    pub(super) fn of(
        launched: Launched,
        config: Config,
        admission: Admission,
        accepted_loss: Option<AcceptedLoss>,
        new_id: NewId,
    ) -> Self {
        let Launched {
            inbox,
            jobs,
            condition,
            lifecycle,
            identity,
            store,
            ended,
            thread,
        } = launched;
        Self {
            shared: Arc::new(Shared {
                inbox,
                admission,
                jobs,
                condition,
                lifecycle,
                config,
                identity,
                verifying: tokio::sync::Mutex::default(),
                accepted_loss,
                store,
                ended,
                thread: Mutex::new(Some(thread)),
                new_id,
            }),
        }
    }
}
