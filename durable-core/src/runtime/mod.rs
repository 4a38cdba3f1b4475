//! The hub as a program meets it: threads and tokio around the engine, thin.

mod activities;
mod admission;
mod client;
mod clock;
mod committer;
mod copying;
mod error;
mod health;
mod history;
mod hub;
mod inbox;
mod lifecycle;
#[cfg(feature = "testing")]
pub(crate) mod lockstep;
mod purge;
mod query;
mod queues;
mod restart;
mod rewind;
mod room;
mod shell;
mod space;
mod start;
mod status;
mod verify;
mod waiting;
mod watch;
mod worker;

pub use crate::engine::LifecycleKind;
pub use client::{Client, Instance};
pub use error::{
    ExportError, HistoryError, HubError, InstanceError, OrchestrationError, PurgeError, QueryError,
    RestartError, RewindError, StartError, WorkerError,
};
pub use health::Health;
pub use history::{History, HistoryEvent, HistoryEventKind};
pub use hub::{TaskHub, TaskHubOptions};
pub use lifecycle::{Lagged, LifecycleEvent, LifecycleEvents};
pub use query::{InstancePage, InstanceQuery, PageToken};
pub use restart::RestartOrchestration;
pub use start::{IdReusePolicy, StartByName, StartOrchestration};
pub use status::{ActivityProgress, OrchestrationStatus};
pub use verify::Verify;
pub use watch::InstanceWatch;
pub use worker::{Worker, WorkerBuilder};
