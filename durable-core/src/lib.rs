//! Durable orchestrations embedded in your process.
//!
//! An *orchestrator* is an async function whose progress survives the process: kill the program
//! anywhere, start it again, and the function goes on where it was. It decides which steps are
//! taken; the steps themselves are *activities*, ordinary functions that may do anything. Both run
//! in your program; what has happened lies in a directory, the *task hub*.
//!
//! ```
//! use durable_core::{ActivityError, NoError, OrchestrationContext, TaskHub, activity, orchestrator};
//!
//! #[activity]
//! async fn greet(name: String) -> String {
//!     format!("Hello, {name}!")
//! }
//!
//! #[orchestrator]
//! async fn greet_all(
//!     ctx: OrchestrationContext,
//!     names: Vec<String>,
//! ) -> Result<Vec<String>, ActivityError<NoError>> {
//!     let mut greetings = Vec::new();
//!     for name in names {
//!         greetings.push(ctx.call_activity::<greet>(name).await?);
//!     }
//!     Ok(greetings)
//! }
//!
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("greetings.db");
//! let hub = TaskHub::open(&path).await?;
//! let worker = hub.worker().register::<greet_all>().register::<greet>().start().await?;
//!
//! let names = vec!["Ada".to_owned(), "Grace".to_owned()];
//! let instance = hub.client().start_orchestration::<greet_all>(names).id("greetings-1").await?;
//! assert_eq!(instance.wait_for_completion().await?, ["Hello, Ada!", "Hello, Grace!"]);
//!
//! worker.shutdown().await;
//! hub.close().await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Calls are futures, and lazy
//!
//! A call does nothing until it is polled, as any future in Rust. Two `let`s and two `.await`s
//! therefore run one after the other. To run them at once, join them, or `.start()` them:
//!
//! ```
//! # use durable_core::{ActivityError, NoError, OrchestrationContext, activity, orchestrator};
//! # #[activity]
//! # async fn quote(supplier: u32) -> u32 { supplier * 100 }
//! #[orchestrator]
//! async fn cheapest(ctx: OrchestrationContext) -> Result<u32, ActivityError<NoError>> {
//!     let (a, b) = tokio::join!(ctx.call_activity::<quote>(1), ctx.call_activity::<quote>(2));
//!     Ok(a?.min(b?))
//! }
//! ```
//!
//! Ordinary combinators work: `join!`, `join_all`, `FuturesUnordered`, `select! { biased; .. }`,
//! tokio's channels and locks between branches. Dropping a call that was begun cancels it, so
//! `try_join!` cancels the siblings of the one that failed.
//!
//! # An orchestrator must do the same each time
//!
//! After a restart it is run again with the recorded events until it has caught up. What it asks
//! for must then be what was recorded. So time, random numbers and identifiers come from the
//! [context](OrchestrationContext), and everything that touches the world is an activity.
//! Not safe, because they choose at random: `select!` without `biased;` whose branches make calls,
//! iterating over a `HashMap` to make calls, `tokio::sync::watch` in large joins, `StreamMap`.
//! `#[orchestrator]` refuses what it can see of this; in debug builds a second copy of every
//! orchestrator [watches the first](TaskHubOptions::shadow_execution).
//!
//! Where code and history do not fit, the instance is left as it is, and its
//! [status](OrchestrationStatus::problem) says why. Every call is compared: kind, name, input, a
//! timer's time, an event's name, what is missing, what is new; and what the orchestrator ends with.
//! What may be changed while instances are under way: retry policies and timeouts (for calls to
//! come), and the fields of a struct in an input or output, which may be added and removed. For any
//! other change there are versions and [`patched`](OrchestrationContext::patched).
//!
//! # Logging
//!
//! Use `tracing` as anywhere: an orchestrator's lines and spans are heard when it gets there for the
//! first time, and neither while its past is replayed nor from the second copy. (A crash that loses a
//! turn has its lines come again, as the turn does; a span that was opened in the past stays silent.)
//! They come within a span `orchestrator` that has the instance, the execution and the name, those
//! of activities within a span `activity`, which has the attempt, too; both at level INFO.
//!
//! Other side effects of an orchestrator's own, such as printing, happen again in every replay, and
//! in debug builds twice; guard them with [`is_replaying`](OrchestrationContext::is_replaying).
//!
//! # Errors
//!
//! An activity's own error type comes back to the orchestrator as
//! [`ActivityError::Application`] if serde can write and read it; any other error that is one
//! (`anyhow::Error`, `std::io::Error`, `Box<dyn Error + Send + Sync>`) as [`FailureDetails`]: its
//! text, its type's name and its causes. The same holds for an orchestrator's error and whoever
//! waits for it. So an orchestrator that calls several activities has an error like this:
//!
//! ```
//! use durable_core::{ActivityError, EventError, FailureDetails, OrchestrationContext, activity, orchestrator};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, thiserror::Error, Serialize, Deserialize)]
//! #[error("declined: {0}")]
//! struct Declined(String);
//!
//! #[derive(Debug, thiserror::Error, Serialize, Deserialize)]
//! enum OrderError {
//!     #[error(transparent)]
//!     Charge(#[from] ActivityError<Declined>),
//!     #[error(transparent)]
//!     Other(#[from] ActivityError<FailureDetails>),
//!     #[error(transparent)]
//!     Approval(#[from] EventError),
//! }
//!
//! #[activity]
//! async fn charge(cents: u64) -> Result<(), Declined> {
//!     if cents > 100 { Err(Declined("too much".to_owned())) } else { Ok(()) }
//! }
//!
//! #[activity]
//! async fn print(label: String) -> Result<(), std::io::Error> {
//!     std::fs::write("/dev/null", label)
//! }
//!
//! #[orchestrator]
//! async fn order(ctx: OrchestrationContext, cents: u64) -> Result<(), OrderError> {
//!     let label: String = ctx.wait_for_external_event("Label").await?;
//!     ctx.call_activity::<charge>(cents).await?;
//!     ctx.call_activity::<print>(label).await?;
//!     Ok(())
//! }
//! ```
//!
//! # When nothing happens
//!
//! An instance that cannot go on waits, it does not fail. Its [status](OrchestrationStatus::problem)
//! says why, and so does a warning with `tracing`.
//!
//! Of the compiler's errors one needs a translation: *constant provided when a type was expected*
//! (E0747) means that the function lacks `#[activity]` or `#[orchestrator]`.
//!
//! # Activities run at least once
//!
//! A crash between an activity's effect and the commit of its result runs it again. Hand its
//! [idempotency key](ActivityContext::idempotency_key) to the service it calls. A result that was
//! recorded is never run again.

#![cfg_attr(
    test,
    allow(
        clippy::wildcard_enum_match_arm,
        reason = "a test names what it expects, anything else fails it"
    )
)]

/// Whether a bug is planted here, for the simulator to find; never outside of it.
#[cfg(feature = "simulation")]
macro_rules! planted {
    ($($bug:ident)|+) => {
        false $(|| $crate::simulation::is_planted($crate::simulation::Planted::$bug))+
    };
}
#[cfg(not(feature = "simulation"))]
macro_rules! planted {
    ($($bug:ident)|+) => {
        false
    };
}

#[doc(hidden)]
#[path = "expand.rs"]
pub mod __private;
mod activity;
mod engine;
mod failure;
mod history;
mod id;
mod orchestrator;
mod payload;
mod registry;
mod replay;
mod retry;
mod runtime;
#[cfg(any(test, feature = "simulation"))]
#[doc(hidden)]
pub mod simulation;
mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod text;
mod time;
mod version;
mod weight;

pub use activity::{
    Activity, ActivityContext, FromActivity, Poll, Progress, Rejection, ReportError, Requirements,
    Resumed, State,
};
pub use failure::{ActivityError, FailureDetails, FailureKind, NoError, SubOrchestrationError};
pub use id::{ExecutionId, InstanceId, InvalidInstanceId};
pub use orchestrator::Orchestrator;
pub use payload::{Payload, Wire};
pub use registry::Register;
pub use replay::{
    ActivityCall, ContinueAsNew, EventCall, EventError, OrchestrationContext, ParentInstance,
    Problem, ProblemKind, Started, SubOrchestrationCall, TimerCall,
};
pub use retry::RetryPolicy;
pub use runtime::{
    ActivityProgress, Client, ExportError, Health, History, HistoryError, HistoryEvent,
    HistoryEventKind, HubError, IdReusePolicy, Instance, InstanceError, InstancePage,
    InstanceQuery, InstanceWatch, Lagged, LifecycleEvent, LifecycleEvents, LifecycleKind,
    OrchestrationError, OrchestrationStatus, PageToken, PurgeError, QueryError, RestartError,
    RestartOrchestration, RewindError, StartByName, StartError, StartOrchestration, TaskHub,
    TaskHubOptions, Verify, Worker, WorkerBuilder, WorkerError,
};
pub use store::{
    AcceptedLoss, Compacted, CopyError, Damage, DamageKind, HubStats, Keep, OpenError, Retention,
    RuntimeStatus, StatusDetail, StoreError, Verification,
};
#[doc(no_inline)]
pub use tokio_util::sync::CancellationToken;
pub use version::{VersionMatch, VersionMismatch, compare_versions};

#[cfg(feature = "macros")]
pub use durable_macros::{activity, orchestrator};
