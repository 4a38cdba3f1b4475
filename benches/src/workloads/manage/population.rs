//! Very many instances that have ended, and a hundred of each kind that somebody may look for.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use durable_core::{
    Client, EventError, OrchestrationContext, RuntimeStatus, TaskHub, Worker, orchestrator,
};
use tokio::task::JoinSet;

use super::super::clients::Failure;
use super::purge::{greet, hello};
use crate::args::Args;
use crate::measure;

/// Of each kind that is rare.
pub(super) const RARE: u64 = 100;
/// Instances that are made at once.
const AT_ONCE: usize = 512;

pub(super) struct Population {
    pub(super) hub: TaskHub,
    pub(super) worker: Worker,
    pub(super) instances: u64,
    /// How long it took to make them.
    pub(super) seconds: f64,
}

pub(super) async fn make(args: &Args, path: &Path) -> Result<Population, Box<dyn Error>> {
    let begin = measure::now();
    let hub = args.options().open(path).await?;
    let client = hub.client();
    let step = (args.instances / RARE).max(10);
    // Nobody can run them, so they are blocked once a worker has started.
    for n in (0..args.instances).filter(|n| kind(*n, step) == Kind::Blocked) {
        client.start_by_name("nobody's", "null").id(id(n)).await?;
    }
    let worker = hub
        .worker()
        .register::<end>()
        .register::<other>()
        .register::<fail>()
        .register::<listen>()
        .register::<hello>()
        .register::<greet>()
        .start()
        .await?;
    let next = Arc::new(AtomicU64::new(0));
    let mut making = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (client, next, instances) = (client.clone(), Arc::clone(&next), args.instances);
        making.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= instances {
                    return Ok::<_, Failure>(());
                }
                one(&client, n, kind(n, step)).await?;
            }
        });
    }
    while let Some(made) = making.join_next().await {
        made?.map_err(|failure| -> Box<dyn Error> { failure })?;
    }
    Ok(Population {
        hub,
        worker,
        instances: args.instances,
        seconds: begin.elapsed().as_secs_f64(),
    })
}

/// Every tenth is one that will be purged.
pub(super) fn id(n: u64) -> String {
    let what = if n.is_multiple_of(10) { "purged" } else { "i" };
    format!("{what}{n:07}")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ended,
    Failed,
    Suspended,
    Blocked,
    Other,
    Tagged,
}

/// Rare ones lie evenly among the others.
fn kind(n: u64, step: u64) -> Kind {
    match n % step {
        1 => Kind::Failed,
        2 => Kind::Suspended,
        3 => Kind::Blocked,
        4 => Kind::Other,
        5 => Kind::Tagged,
        _ => Kind::Ended,
    }
}

async fn one(client: &Client, n: u64, kind: Kind) -> Result<(), Failure> {
    let id = id(n);
    match kind {
        Kind::Blocked => {}
        Kind::Ended => {
            let ended = client.start_orchestration::<end>(n).id(id).await?;
            ended.wait_for_completion().await?;
        }
        Kind::Tagged => {
            let ended = client.start_orchestration::<end>(n).id(id);
            ended
                .tag("rare", "yes")
                .await?
                .wait_for_completion()
                .await?;
        }
        Kind::Other => {
            let ended = client.start_orchestration::<other>(n).id(id).await?;
            ended.wait_for_completion().await?;
        }
        Kind::Failed => {
            let failed = client.start_orchestration::<fail>(n).id(id).await?;
            assert!(failed.wait_for_completion().await.is_err(), "it fails");
        }
        Kind::Suspended => {
            let waits = client.start_orchestration::<listen>(()).id(id).await?;
            waits.suspend("for the benchmark").await?;
            let status = waits.status().await?;
            let status = status.map(|status| status.runtime_status());
            assert_eq!(status, Some(RuntimeStatus::Suspended), "it was suspended");
        }
    }
    Ok(())
}

#[orchestrator]
async fn end(_ctx: OrchestrationContext, n: u64) -> u64 {
    n
}

#[orchestrator]
async fn other(_ctx: OrchestrationContext, n: u64) -> u64 {
    n
}

#[orchestrator]
async fn fail(_ctx: OrchestrationContext, n: u64) -> Result<(), String> {
    Err(format!("number {n}"))
}

#[orchestrator]
async fn listen(ctx: OrchestrationContext) -> Result<(), EventError> {
    ctx.wait_for_external_event("never").await
}
