//! Durable orchestrations embedded in your process.

#![cfg_attr(
    test,
    allow(
        clippy::wildcard_enum_match_arm,
        reason = "a test names what it expects, anything else fails it"
    )
)]

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
mod store;
mod time;

pub use activity::{Activity, ActivityContext, FromActivity, Rejection, Requirements, State};
pub use failure::{ActivityError, FailureDetails, FailureKind, NoError};
pub use id::{ExecutionId, InstanceId, InvalidInstanceId};
pub use orchestrator::Orchestrator;
pub use payload::Wire;
pub use registry::Register;
pub use replay::{
    ActivityCall, EventCall, EventError, OrchestrationContext, Problem, ProblemKind, Started,
    TimerCall,
};
pub use retry::RetryPolicy;
pub use runtime::{
    Client, HubError, Instance, InstanceError, OrchestrationError, OrchestrationStatus,
    StartByName, StartError, StartOrchestration, TaskHub, TaskHubOptions, Worker, WorkerBuilder,
    WorkerError,
};
pub use store::{OpenError, RuntimeStatus, StoreError};
#[doc(no_inline)]
pub use tokio_util::sync::CancellationToken;

#[cfg(feature = "macros")]
pub use durable_macros::{activity, orchestrator};
