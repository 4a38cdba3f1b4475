//! The hub of a test.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::runtime::Handle;

use super::mock::{Mocks, Scene};
use super::replay::{self, ReplayError};
use crate::activity::{Activity, ActivityContext, States};
use crate::id::{InstanceId, InvalidInstanceId};
use crate::registry::{Register, Registry};
use crate::runtime::lockstep::{self, Door, Lockstep, Now, Setup, Stage};
use crate::runtime::{Client, HubError, TaskHub, TaskHubOptions, Worker, WorkerError};
use crate::store::OpenError;
use crate::time::Timestamp;
use crate::version::{VersionMatch, VersionMismatch};

/// Why a [`TestHub`] could not be started.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestHubError {
    /// The operating system gives no thread.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Something is registered twice, a state is missing, or there is no tokio runtime.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// It has failed, which is a bug of the library.
    #[error(transparent)]
    Hub(#[from] HubError),
}

/// Builds a [`TestHub`]: what it can run, with what in place of what.
#[must_use = "nothing is there until it is started"]
#[derive(Clone, Debug)]
pub struct TestHubBuilder {
    seed: u64,
    start: SystemTime,
    skip: bool,
    options: TaskHubOptions,
    parts: Parts,
}

/// What a worker is made of, also after a restart.
#[derive(Clone, Debug)]
struct Parts {
    registry: Registry,
    states: States,
    mocks: Mocks,
    /// Put into the registry last, so that they take the place of what was registered.
    mocked: Vec<fn(&mut Registry)>,
}

/// 1 January 2030: nothing depends on it, and no test passes only before some day.
const START: Duration = Duration::from_secs(1_893_456_000);

impl TestHubBuilder {
    fn new() -> Self {
        Self {
            seed: 0,
            start: UNIX_EPOCH + START,
            skip: true,
            options: TaskHub::options(),
            parts: Parts {
                registry: Registry::in_virtual_time(),
                states: States::default(),
                mocks: Mocks::default(),
                mocked: Vec::new(),
            },
        }
    }

    /// What decides everything that is left open; see [the module](super). Default: 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// What the hub's clock says at the beginning. Default: 1 January 2030, 0:00 UTC.
    pub fn start_time(mut self, time: SystemTime) -> Self {
        self.start = time;
        self
    }

    /// Whether the time moves on by itself while an instance's end is waited for. Default: true;
    /// otherwise only [`TestHub::advance`] moves it.
    pub fn skip_time(mut self, skip: bool) -> Self {
        self.skip = skip;
        self
    }

    /// Bounds other than the defaults. The second copy that
    /// [watches](TaskHubOptions::shadow_execution) every orchestrator is always on here; what
    /// concerns files has no meaning in memory.
    pub fn options(mut self, options: TaskHubOptions) -> Self {
        self.options = options;
        self
    }

    /// The worker's version; see [`WorkerBuilder::version`](crate::WorkerBuilder::version).
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.parts.registry.versioning.version = version.into();
        self
    }

    /// See [`WorkerBuilder::version_match`](crate::WorkerBuilder::version_match).
    pub fn version_match(mut self, matching: VersionMatch) -> Self {
        self.parts.registry.versioning.matching = matching;
        self
    }

    /// See [`WorkerBuilder::version_mismatch`](crate::WorkerBuilder::version_mismatch).
    pub fn version_mismatch(mut self, mismatch: VersionMismatch) -> Self {
        self.parts.registry.versioning.mismatch = mismatch;
        self
    }

    /// Adds an orchestrator, or an activity that runs for real.
    pub fn register<R: Register>(mut self) -> Self {
        R::register(&mut self.parts.registry);
        self
    }

    /// Adds every activity and orchestrator that is annotated in this binary and its dependencies.
    /// Mocks take their places, whether they are named before or after.
    pub fn register_all(mut self) -> Self {
        self.parts.registry.discover();
        self
    }

    /// Gives real activities a value to take with [`State<T>`](crate::State).
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, state: T) -> Self {
        self.parts.states = self.parts.states.with(state);
        self
    }

    /// Has a closure stand in for an activity, which needs neither its state nor to be registered.
    ///
    /// The closure may keep things: this one fails twice, then succeeds.
    ///
    /// ```
    /// use durable_core::testing::TestHub;
    /// use durable_core::{ActivityError, OrchestrationContext, RetryPolicy, activity, orchestrator};
    /// use std::time::Duration;
    ///
    /// #[activity]
    /// async fn charge(cents: u64) -> Result<String, String> {
    ///     unimplemented!("asks the bank")
    /// }
    ///
    /// #[orchestrator]
    /// async fn pay(ctx: OrchestrationContext, cents: u64) -> Result<String, ActivityError<String>> {
    ///     let policy = RetryPolicy::exponential(3, Duration::from_secs(3600));
    ///     ctx.call_activity::<charge>(cents).retry(policy).await
    /// }
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let mut attempts = 0;
    /// let hub = TestHub::builder().register::<pay>().mock::<charge>(move |cents| {
    ///     attempts += 1;
    ///     if attempts < 3 { Err("busy".to_owned()) } else { Ok(format!("{cents} paid")) }
    /// });
    /// let hub = hub.start().await?;
    /// let instance = hub.client().start_orchestration::<pay>(100).await?;
    /// assert_eq!(instance.wait_for_completion().await?, "100 paid");
    /// assert_eq!(hub.calls::<charge>(), [100, 100, 100]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// A panic in it is a failed attempt, as one in an activity is. The error of an activity that
    /// cannot be written as JSON is made with [`failure`](super::failure); such a mock's error
    /// has no text of its own, its message is its JSON.
    pub fn mock<A: Activity>(
        mut self,
        mock: impl FnMut(A::Input) -> Result<A::Output, A::Error> + Send + 'static,
    ) -> Self {
        self.parts.mocks.put::<A>(mock);
        self.parts.mocked.push(Registry::mock::<A>);
        self
    }

    /// As [`mock`](Self::mock), with a closure that returns a future. It runs in the hub's time.
    ///
    /// ```
    /// use durable_core::testing::TestHub;
    /// use durable_core::{ActivityError, NoError, OrchestrationContext, activity, orchestrator};
    /// use std::time::Duration;
    ///
    /// #[activity]
    /// async fn bake(loaves: u32) -> u32 { loaves }
    ///
    /// #[orchestrator]
    /// async fn breakfast(ctx: OrchestrationContext) -> Result<bool, ActivityError<NoError>> {
    ///     let baked = ctx.call_activity::<bake>(2).timeout(Duration::from_secs(60)).await;
    ///     Ok(!matches!(baked, Err(ActivityError::TimedOut(_))))
    /// }
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let hub = TestHub::builder().register::<breakfast>().mock_async::<bake, _>(async |loaves| {
    ///     tokio::time::sleep(Duration::from_secs(30 * u64::from(loaves) + 1)).await;
    ///     Ok(loaves)
    /// });
    /// let hub = hub.start().await?;
    /// let instance = hub.client().start_orchestration::<breakfast>(()).await?;
    /// assert!(!instance.wait_for_completion().await?, "it takes too long");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn mock_async<A: Activity, R>(
        self,
        mut mock: impl FnMut(A::Input) -> R + Send + 'static,
    ) -> Self
    where
        R: Future<Output = Result<A::Output, A::Error>> + Send + 'static,
    {
        self.mock_with::<A, R>(move |_, input| mock(input))
    }

    /// As [`mock_async`](Self::mock_async), with a closure that is given the attempt's context, too: its
    /// number, its key, its cancellation, and whether its error is to be retried.
    ///
    /// ```
    /// use durable_core::testing::TestHub;
    /// use durable_core::{ActivityError, OrchestrationContext, RetryPolicy, activity, orchestrator};
    /// use std::time::Duration;
    ///
    /// #[activity]
    /// async fn charge(cents: u64) -> Result<String, String> {
    ///     unimplemented!("asks the bank")
    /// }
    ///
    /// #[orchestrator]
    /// async fn pay(ctx: OrchestrationContext, cents: u64) -> Result<String, ActivityError<String>> {
    ///     let policy = RetryPolicy::exponential(9, Duration::from_secs(3600));
    ///     ctx.call_activity::<charge>(cents).retry(policy).await
    /// }
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let hub = TestHub::builder().register::<pay>().mock_with::<charge, _>(async |ctx, _cents| {
    ///     match ctx.attempt() {
    ///         1 => Err("busy".to_owned()),
    ///         _ => Err(ctx.not_retryable("declined".to_owned())),
    ///     }
    /// });
    /// let hub = hub.start().await?;
    /// let instance = hub.client().start_orchestration::<pay>(100).await?;
    /// assert!(instance.wait_for_completion().await.is_err());
    /// assert_eq!(hub.calls::<charge>(), [100, 100]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn mock_with<A: Activity, R>(
        mut self,
        mock: impl FnMut(ActivityContext, A::Input) -> R + Send + 'static,
    ) -> Self
    where
        R: Future<Output = Result<A::Output, A::Error>> + Send + 'static,
    {
        self.parts.mocks.put_async::<A, R>(mock);
        self.parts.mocked.push(Registry::mock::<A>);
        self
    }

    /// Starts the hub and its worker. Real activities will run on the calling runtime.
    ///
    /// # Errors
    ///
    /// [`TestHubError`].
    pub async fn start(self) -> Result<TestHub, TestHubError> {
        let Self {
            seed,
            start,
            skip,
            options,
            parts,
        } = self;
        let test = Handle::try_current().map_err(|_| WorkerError::NoRuntime)?;
        let (config, rules, patience) = options.shadow_execution(true).into_parts();
        let stage = Stage::default();
        let lockstep = lockstep::launch(Setup {
            config,
            rules,
            patience,
            seed,
            start: Timestamp::from_system(start),
            skip,
            stage: stage.clone(),
        });
        let Lockstep { hub, door, now } = lockstep.await?;
        let mut started = TestHub {
            worker: None,
            hub,
            door,
            now,
            stage,
            test,
            parts,
        };
        started.start_worker().await?;
        Ok(started)
    }

    /// Starts the hub and runs a test with it on a runtime that is made for that: for tests that
    /// are not async.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start). What the test returns is returned as it is.
    pub fn run<R>(self, test: impl AsyncFnOnce(&mut TestHub) -> R) -> Result<R, TestHubError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|_| WorkerError::NoRuntime)?;
        runtime.block_on(async {
            let mut hub = self.start().await?;
            Ok(test(&mut hub).await)
        })
    }
}

/// A hub in memory and in virtual time, with a worker; see [the module](super).
///
/// When it and its clients are dropped everything is gone.
#[derive(Debug)]
pub struct TestHub {
    /// Dropped first: it stops what runs.
    worker: Option<Worker>,
    hub: TaskHub,
    door: Door,
    now: Now,
    stage: Stage,
    test: Handle,
    parts: Parts,
}

impl TestHub {
    /// Says what there is to be, and starts it.
    pub fn builder() -> TestHubBuilder {
        TestHubBuilder::new()
    }

    /// A handle to start, query and steer instances; good for as long as the hub, restarts
    /// included.
    pub fn client(&self) -> Client {
        self.hub.client()
    }

    /// The hub as a program has it: for its statistics, its full check, or a second worker's
    /// refusal.
    pub fn task_hub(&self) -> &TaskHub {
        &self.hub
    }

    /// The time on the hub's clock.
    pub fn now(&self) -> SystemTime {
        // Only a test that advances by half a million years gets there.
        let far = UNIX_EPOCH + START;
        self.now.get().to_system().unwrap_or(far)
    }

    /// Has so much time pass, in microseconds rounded up, and everything happen that is due in it.
    /// A timer of this duration that is made at this moment is due then.
    ///
    /// # Errors
    ///
    /// If the hub failed or was closed.
    pub async fn advance(&self, by: Duration) -> Result<(), HubError> {
        self.door.advance(by).await
    }

    /// As if the process was killed at this moment and started again: what is not stored is gone,
    /// attempts that ran are lost, orchestrators are replayed. Those who wait at this moment are told that
    /// the hub is closed; clients and instances are of use again afterwards.
    ///
    /// A hub that dies again and again with the same attempt under way finds that out: see
    /// [`poison_after`](TaskHubOptions::poison_after).
    ///
    /// # Errors
    ///
    /// As [`TestHubBuilder::start`].
    pub async fn restart(&mut self) -> Result<(), TestHubError> {
        self.start_worker().await
    }

    /// As [`restart`](Self::restart), and afterwards what `deployed` has registered is run:
    /// another version of the code. Of its settings only what it registers, its states and its
    /// mocks count; mocks that it has none for stay.
    ///
    /// # Errors
    ///
    /// As [`TestHubBuilder::start`].
    pub async fn restart_with(&mut self, deployed: TestHubBuilder) -> Result<(), TestHubError> {
        let before = std::mem::replace(&mut self.parts, deployed.parts);
        self.parts.mocks.append(&before.mocks);
        self.parts.mocked.extend(before.mocked);
        self.restart().await
    }

    /// Has another closure stand in for an activity from now on, which must be registered or
    /// have a mock already. Attempts that run are left alone.
    pub fn mock<A: Activity>(
        &self,
        mock: impl FnMut(A::Input) -> Result<A::Output, A::Error> + Send + 'static,
    ) {
        self.parts.mocks.put::<A>(mock);
    }

    /// As [`mock`](Self::mock), with a closure that returns a future.
    pub fn mock_async<A: Activity, R>(&self, mut mock: impl FnMut(A::Input) -> R + Send + 'static)
    where
        R: Future<Output = Result<A::Output, A::Error>> + Send + 'static,
    {
        self.mock_with::<A, R>(move |_, input| mock(input));
    }

    /// As [`mock_async`](Self::mock_async), with a closure that is given the attempt's context, too.
    pub fn mock_with<A: Activity, R>(
        &self,
        mock: impl FnMut(ActivityContext, A::Input) -> R + Send + 'static,
    ) where
        R: Future<Output = Result<A::Output, A::Error>> + Send + 'static,
    {
        self.parts.mocks.put_async::<A, R>(mock);
    }

    /// Has the store refuse the next commit, as a disk that fails does: whoever waits is told so
    /// ([`HubError::Store`](crate::HubError::Store)), nothing more is done, and the hub's
    /// [health](crate::Client::health) says it. That is how it stays; a [restart](Self::restart) does not
    /// mend a disk.
    ///
    /// ```
    /// # use durable_core::testing::TestHub;
    /// # use durable_core::{Health, NoError, OrchestrationContext, StartError, orchestrator};
    /// # #[orchestrator]
    /// # async fn greet(ctx: OrchestrationContext, name: String) -> String { name }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let hub = TestHub::builder().register::<greet>().start().await?;
    /// hub.fail_next_commit().await?;
    /// let start = hub.client().start_orchestration::<greet>("Ada".to_owned()).await;
    /// assert!(start.is_err());
    /// assert!(matches!(hub.client().health(), Health::Failed { .. }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the hub failed or was closed.
    pub async fn fail_next_commit(&self) -> Result<(), HubError> {
        self.door.fail_next_commit().await
    }

    /// What the mocks of an activity were called with, in the order in which attempts began.
    pub fn calls<A: Activity>(&self) -> Vec<A::Input> {
        self.parts.mocks.calls::<A>()
    }

    /// What is recorded of an instance, of its current execution: a line for each turn, each event
    /// and each thing that was asked for. Empty if there is none of that id. For people, and for
    /// comparing two runs; the words may change.
    ///
    /// # Errors
    ///
    /// If the hub failed or was closed.
    pub async fn history(
        &self,
        id: impl TryInto<InstanceId, Error: Into<InvalidInstanceId>>,
    ) -> Result<Vec<String>, HubError> {
        let Ok(id) = id.try_into() else {
            return Ok(Vec::new());
        };
        let lines = self.door.look(|store| replay::lines(store, id)).await?;
        lines.map_err(HubError::Store)
    }

    /// Replays the histories of all instances, ended ones too, with the code that is registered,
    /// and compares exactly; returns how many there were.
    ///
    /// A restart replays only what goes on, and forgives inputs that gained or lost fields.
    ///
    /// # Errors
    ///
    /// [`ReplayError`] with the first instance whose history does not fit.
    pub async fn check_replay(&self) -> Result<usize, ReplayError> {
        let registry = self.parts.registry();
        self.door
            .look(move |store| replay::check(store, &registry))
            .await?
    }

    /// As [`check_replay`](Self::check_replay), with the code of another builder: does what is
    /// about to be deployed fit what is under way?
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn check_replay_with(&self, code: &TestHubBuilder) -> Result<usize, ReplayError> {
        let registry = code.parts.registry();
        self.door
            .look(move |store| replay::check(store, &registry))
            .await?
    }

    async fn start_worker(&mut self) -> Result<(), TestHubError> {
        let scene = Scene {
            mocks: self.parts.mocks.clone(),
            stage: self.stage.clone(),
            test: self.test.clone(),
        };
        let states = self.parts.states.clone().with(scene);
        let worker = self.hub.worker().with_parts(self.parts.registry(), states);
        self.worker = Some(self.door.deploy(self.worker.take(), worker).await?);
        Ok(())
    }
}

impl Parts {
    fn registry(&self) -> Registry {
        let mut registry = self.registry.clone();
        for mock in &self.mocked {
            mock(&mut registry);
        }
        registry
    }
}
