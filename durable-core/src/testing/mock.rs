//! What stands in for activities.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::{Future, pending, poll_fn};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

use crate::activity::{Activity, ActivityContext, ActivityFuture, Attempted};
use crate::failure::{FailureDetails, FailureKind};
use crate::payload::{Payload, Wire};
use crate::replay::catch;
use crate::runtime::lockstep::Stage;

/// The error of a mock whose activity's own error cannot be written as JSON (`std::io::Error`,
/// `anyhow::Error`), and so comes back as [`FailureDetails`].
///
/// ```
/// assert_eq!(durable_core::testing::failure("disk full").message(), "disk full");
/// ```
pub fn failure(message: impl Into<String>) -> FailureDetails {
    FailureDetails::new(FailureKind::Application, "mock", message)
}

type Run = Arc<Mutex<dyn FnMut(ActivityContext, &Payload) -> ActivityFuture + Send>>;

/// One mock, and what it was called with.
struct Mock {
    run: Run,
    inputs: Vec<Payload>,
}

/// The mocks of a hub, by the activity's name.
#[derive(Clone, Default)]
pub(super) struct Mocks(Arc<Mutex<BTreeMap<&'static str, Mock>>>);

impl Mocks {
    fn all(&self) -> MutexGuard<'_, BTreeMap<&'static str, Mock>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `run` stand in for `A` from now on.
    fn insert<A: Activity>(&self, run: Run) {
        let mut mocks = self.all();
        let inputs = mocks.remove(A::NAME).map(|mock| mock.inputs);
        let inputs = inputs.unwrap_or_default();
        mocks.insert(A::NAME, Mock { run, inputs });
    }

    pub(super) fn put<A: Activity>(
        &self,
        mut mock: impl FnMut(A::Input) -> Result<A::Output, A::Error> + Send + 'static,
    ) {
        self.insert::<A>(Arc::new(Mutex::new(move |_, input: &Payload| {
            let result = decoded::<A>(input).and_then(|input| recorded::<A>(mock(input)));
            Box::pin(async move { result }) as ActivityFuture
        })));
    }

    pub(super) fn put_async<A: Activity, R>(
        &self,
        mut mock: impl FnMut(ActivityContext, A::Input) -> R + Send + 'static,
    ) where
        R: Future<Output = Result<A::Output, A::Error>> + Send + 'static,
    {
        self.insert::<A>(Arc::new(Mutex::new(move |ctx, input: &Payload| {
            let result = decoded::<A>(input).map(|input| mock(ctx, input));
            Box::pin(async move { recorded::<A>(result?.await) }) as ActivityFuture
        })));
    }

    /// What was called so far, in the order in which it was begun.
    pub(super) fn calls<A: Activity>(&self) -> Vec<A::Input> {
        let inputs = self.all().get(A::NAME).map(|mock| mock.inputs.clone());
        let inputs = inputs.unwrap_or_default();
        // All were decoded when the mock was called.
        inputs
            .iter()
            .filter_map(|input| input.decode().ok())
            .collect()
    }

    /// Those of another hub, without their calls, beside these, which come first.
    pub(super) fn append(&self, other: &Self) {
        if Arc::ptr_eq(&self.0, &other.0) {
            return;
        }
        let others: Vec<_> = other
            .all()
            .iter()
            .map(|(name, mock)| (*name, Arc::clone(&mock.run)))
            .collect();
        let mut mocks = self.all();
        for (name, run) in others {
            mocks.entry(name).or_insert(Mock {
                run,
                inputs: Vec::new(),
            });
        }
    }

    fn begin(&self, name: &str, input: &Payload) -> Option<Run> {
        let mut mocks = self.all();
        let mock = mocks.get_mut(name)?;
        mock.inputs.push(input.clone());
        Some(Arc::clone(&mock.run))
    }

    fn has(&self, name: &str) -> bool {
        self.all().contains_key(name)
    }
}

impl std::fmt::Debug for Mocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Mocks").field(&self.all().keys()).finish()
    }
}

fn decoded<A: Activity>(input: &Payload) -> Result<A::Input, FailureDetails> {
    input
        .decode()
        .map_err(|error| FailureDetails::input(&error))
}

fn recorded<A: Activity>(result: Result<A::Output, A::Error>) -> Result<Attempted, FailureDetails> {
    let output = result.map_err(|error| {
        let details = (&error as &dyn Any).downcast_ref::<FailureDetails>();
        details.cloned().unwrap_or_else(|| {
            let name = std::any::type_name::<A::Error>();
            FailureDetails::of_value(name, error.to_payload(), None)
        })
    })?;
    output
        .to_payload()
        .map(Attempted::Done)
        .map_err(|error| FailureDetails::serialization("output", &error))
}

/// What a worker in a test knows of where things run.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) mocks: Mocks,
    pub(super) stage: Stage,
    /// Where real activities run.
    pub(super) test: Handle,
}

/// One attempt at an activity of a hub in virtual time: by its mock when it is its turn, or for
/// real.
pub(crate) fn run<A: Activity>(ctx: ActivityContext, input: Payload) -> ActivityFuture {
    let scene = ctx.states().get::<Scene>();
    Box::pin(async move {
        match scene {
            Some(scene) if scene.mocks.has(A::NAME) => {
                scene.stage.turn().await;
                match scene.mocks.begin(A::NAME, &input) {
                    Some(run) => pretended(&run, ctx, &input).await,
                    None => pending().await,
                }
            }
            Some(scene) => for_real::<A>(&scene, ctx, input).await,
            None => A::run(ctx, input).await,
        }
    })
}

fn pretended(run: &Run, ctx: ActivityContext, input: &Payload) -> ActivityFuture {
    // Held while the closure is called, not while its future runs.
    let mut run = run.lock().unwrap_or_else(PoisonError::into_inner);
    run(ctx, input)
}

async fn for_real<A: Activity>(
    scene: &Scene,
    ctx: ActivityContext,
    input: Payload,
) -> Result<Attempted, FailureDetails> {
    let _elsewhere = scene.stage.elsewhere();
    let mut body = A::run(ctx, input);
    // Caught over there, where it is known in which line it was.
    let body = poll_fn(move |cx| match catch(|| body.as_mut().poll(cx)) {
        Ok(polled) => polled,
        Err(panicked) => {
            let text = panicked.text();
            Poll::Ready(Err(FailureDetails::new(FailureKind::Panic, "panic", text)))
        }
    });
    match AbortOnDropHandle::new(scene.test.spawn(body)).await {
        Ok(result) => result,
        // The test's runtime is gone: the attempt is lost.
        Err(_) => pending().await,
    }
}
