//! Activities that ask again and again until something is done elsewhere.

use std::time::Duration;

/// What an activity returns that may want to be asked again later: its caller sees the `T` alone.
///
/// [`Poll::again`] ends the attempt: it holds no slot, no task and no memory while it waits, and
/// `state` is what the next attempt can go on from ([`Resumed`](crate::Resumed)). Both survive a
/// restart. It is no failure and does not count as an attempt for the
/// [retry policy](crate::RetryPolicy); if a later attempt fails and is retried, that one gets the
/// last state too. Nothing of it is seen in the orchestrator's history, however often it happens.
///
/// `state` is bounded as every payload is; one that is larger fails the activity. A pause can be of
/// any length, also zero.
///
/// ```
/// use durable_core::{NoError, OrchestrationContext, Poll, Resumed, State, activity, orchestrator};
/// use durable_core::ActivityError;
/// use std::time::Duration;
///
/// # #[derive(Clone)]
/// # struct Farm;
/// # impl Farm {
/// #     async fn submit(&self, _scene: &str) -> u64 { 7 }
/// #     async fn finished(&self, _job: u64) -> Option<String> { None }
/// # }
/// #[activity]
/// async fn render(
///     State(farm): State<Farm>,
///     Resumed(job): Resumed<u64>,
///     scene: String,
/// ) -> Poll<String, u64> {
///     let job = match job {
///         Some(job) => job,
///         None => farm.submit(&scene).await,
///     };
///     match farm.finished(job).await {
///         Some(picture) => Poll::Done(picture),
///         None => Poll::again(Duration::from_secs(10), job),
///     }
/// }
///
/// #[orchestrator]
/// async fn film(ctx: OrchestrationContext) -> Result<String, ActivityError<NoError>> {
///     ctx.call_activity::<render>("scene 1".to_owned()).await
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poll<T, S = ()> {
    /// The output.
    Done(T),
    /// Not yet.
    Again {
        /// How long to wait before the next attempt.
        after: Duration,
        /// What the next attempt is given.
        state: S,
    },
}

impl<T, S> Poll<T, S> {
    /// Asks for another attempt, `after` so long, that is given `state`.
    pub fn again(after: Duration, state: S) -> Self {
        Self::Again { after, state }
    }
}
