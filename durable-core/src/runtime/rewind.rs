//! Having an instance that has failed go on.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "each command has a few right answers, every other one is wrong"
)]

use super::client::{Client, MAX_REASON, unexpected};
use super::error::RewindError;
use crate::engine::{Command, Response};
use crate::id::{InstanceId, InvalidInstanceId};
use crate::text::cut;

impl Client {
    /// Has an instance that has failed go on where it failed: its status is `Running` again. It keeps
    /// its id, its history and whatever succeeded, timers included; of the reason 512 bytes are kept.
    ///
    /// What is taken back is the last step, the one in which it failed. If that was the answer of a
    /// failed activity or child, the call is made again: an activity runs anew, with all its attempts,
    /// and a child that has failed is rewound itself, so that it keeps what succeeded in it. So are
    /// failed calls before it whose failures the orchestrator had only taken note of, as `join_all`
    /// does, and calls that were given up because of the end, as by `try_join!`; a timer keeps the time
    /// at which it was due. If it failed otherwise, by an error of its own, a panic, or a limit, it
    /// takes that step again with the code that runs now. A failure to which it has answered by
    /// beginning something else, such as a compensation, is not taken back.
    ///
    /// The history stays as it is, with the rewind at its end. Nothing runs before a worker has the
    /// orchestrator; asking for the rewind needs none.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// use std::sync::atomic::{AtomicBool, Ordering};
    /// use durable_core::{ActivityError, NoError, OrchestrationContext, TaskHub, activity, orchestrator};
    ///
    /// static BANK_IS_UP: AtomicBool = AtomicBool::new(false);
    ///
    /// #[activity]
    /// async fn charge(cents: u64) -> Result<u64, std::io::Error> {
    ///     if BANK_IS_UP.load(Ordering::Relaxed) { Ok(cents) } else { Err(std::io::Error::other("down")) }
    /// }
    ///
    /// #[orchestrator]
    /// async fn pay(ctx: OrchestrationContext, cents: u64) -> Result<u64, ActivityError<durable_core::FailureDetails>> {
    ///     ctx.call_activity::<charge>(cents).await
    /// }
    ///
    /// let hub = TaskHub::in_memory().await?;
    /// let worker = hub.worker().register::<charge>().register::<pay>().start().await?;
    /// let client = hub.client();
    /// let payment = client.start_orchestration::<pay>(500).id("payment-1").await?;
    /// assert!(payment.wait_for_completion().await.is_err());
    ///
    /// BANK_IS_UP.store(true, Ordering::Relaxed);
    /// client.rewind("payment-1", "the bank is up again").await?;
    /// assert_eq!(payment.wait_for_completion().await?, 500);
    /// # worker.shutdown().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`RewindError`] if there is no such instance, or if it has not failed.
    pub async fn rewind(
        &self,
        id: impl TryInto<InstanceId, Error: Into<InvalidInstanceId>>,
        reason: impl Into<String>,
    ) -> Result<(), RewindError> {
        let id: InstanceId = id.try_into().map_err(Into::into)?;
        let mut reason = reason.into();
        cut(&mut reason, MAX_REASON);
        let rewind = Command::Rewind {
            id: id.clone(),
            reason,
        };
        match self.shared.ask(rewind).await? {
            Response::Done => Ok(()),
            Response::NotFound => Err(RewindError::NotFound { id }),
            Response::NotFailed(status) | Response::Ended(status) => {
                Err(RewindError::NotFailed { id, status })
            }
            other => Err(unexpected(&other).into()),
        }
    }
}
