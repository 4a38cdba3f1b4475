//! Monitor: looks at something again and again until it is as it should be, however long it takes.
//!
//! ```text
//! cargo run --release --bin monitor
//! ```
//!
//! Each look is an execution of its own: `continue_as_new` begins the next one with a new input and
//! an empty history. So a monitor may run for years, and costs no more than on its first day.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use durable_core::{
    ActivityError, NoError, OrchestrationContext, State, TaskHub, activity, orchestrator,
};
use serde::{Deserialize, Serialize};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let hub = TaskHub::open(directory.path().join("hub")).await?;
    let worker = hub
        .worker()
        .state(Printer::default())
        .register::<watch_job>()
        .register::<pages_left>()
        .start()
        .await?;

    let watch = Watch {
        every: Duration::from_millis(50),
        looks: 0,
    };
    let instance = hub.client().start_orchestration::<watch_job>(watch).await?;
    let looks = instance.wait_for_completion().await?;
    assert_eq!(looks, 8, "7, 6, 5, 4, 3, 2, 1 and no page left");
    let status = instance.status().await?.ok_or("it is there")?;
    assert_eq!(status.execution_id().generation(), looks - 1);
    println!("printed, after {looks} looks");

    worker.shutdown().await;
    hub.close().await?;
    Ok(())
}

/// What one execution hands to the next.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Watch {
    every: Duration,
    looks: u32,
}

/// Looks until no page is left, and says how often that was.
#[orchestrator]
async fn watch_job(ctx: OrchestrationContext, watch: Watch) -> Result<u32, ActivityError<NoError>> {
    let looks = watch.looks + 1;
    if ctx.call_activity::<pages_left>(()).await? == 0 {
        return Ok(looks);
    }
    ctx.create_timer(watch.every).await;
    let next = Watch { looks, ..watch };
    ctx.continue_as_new::<watch_job, _>(next).await
}

/// Asks the printer, which has printed another page meanwhile.
#[activity]
async fn pages_left(State(printer): State<Printer>) -> u32 {
    let left = printer.pages.fetch_sub(1, Ordering::Relaxed);
    println!("pages left: {left}");
    left
}

#[derive(Clone, Debug)]
struct Printer {
    pages: Arc<AtomicU32>,
}

impl Default for Printer {
    fn default() -> Self {
        Self {
            pages: Arc::new(AtomicU32::new(7)),
        }
    }
}
