//! Progress: a long step says how far it has come, whoever asks can see it, and after a restart it
//! goes on from there instead of from the beginning.
//!
//! ```text
//! cargo run --release --bin progress
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use durable_core::{
    ActivityError, FailureDetails, OrchestrationContext, Progress, State, TaskHub, Worker,
    activity, orchestrator,
};
use serde::{Deserialize, Serialize};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: u64 = 1_000;

/// The rows of a table that were imported, some of them perhaps twice.
#[derive(Clone, Default)]
struct Table(Arc<AtomicU64>);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let table = Table::default();

    let (hub, worker) = open(directory.path(), &table).await?;
    let start = hub.client().start_orchestration::<nightly>(ROWS);
    start.id("tonight").await?;
    let seen = rows_when(&hub, |rows| rows >= 100).await?;
    println!("{seen} of {ROWS} rows, and then the program is stopped");
    // In the middle of the import: it is given no time to end.
    worker.shutdown().await;
    hub.close().await?;
    let before = table.0.load(Ordering::SeqCst);

    // What was seen is there, and the import goes on from it.
    let (hub, worker) = open(directory.path(), &table).await?;
    assert!(rows_when(&hub, |rows| rows > 0).await? >= seen);
    let tonight = hub.client().instance::<nightly>("tonight")?;
    assert_eq!(tonight.wait_for_completion().await?, ROWS);
    let again = table.0.load(Ordering::SeqCst) - ROWS;
    assert!(again <= before - seen, "{again} again");
    println!("all rows are there; {again} of them were imported twice");

    worker.shutdown().await;
    hub.close().await?;
    Ok(())
}

async fn open(directory: &Path, table: &Table) -> Result<(TaskHub, Worker), Box<dyn Error>> {
    let hub = TaskHub::open(directory.join("hub")).await?;
    let worker = hub
        .worker()
        .state(table.clone())
        .shutdown_timeout(Duration::ZERO)
        .register::<nightly>()
        .register::<import>();
    Ok((hub, worker.start().await?))
}

/// How many rows the status shows, once that is as it should be.
async fn rows_when(hub: &TaskHub, is: impl Fn(u64) -> bool) -> Result<u64, Box<dyn Error>> {
    let client = hub.client();
    loop {
        let status = client.status("tonight").await?.ok_or("it is not there")?;
        if let Some(progress) = status.progress().next() {
            let Imported { rows } = progress.value()?;
            if is(rows) {
                return Ok(rows);
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[orchestrator]
async fn nightly(
    ctx: OrchestrationContext,
    rows: u64,
) -> Result<u64, ActivityError<FailureDetails>> {
    ctx.call_activity::<import>(rows)
        .heartbeat_timeout(Duration::from_secs(30))
        .await
}

#[derive(Serialize, Deserialize)]
struct Imported {
    rows: u64,
}

/// Reports after every row, which costs two commits a second at most. Each report is a sign of life,
/// too.
#[activity]
async fn import(
    State(table): State<Table>,
    progress: Progress,
    rows: u64,
) -> Result<u64, Box<dyn Error + Send + Sync>> {
    let done = progress.last::<Imported>()?.map_or(0, |done| done.rows);
    for row in done..rows {
        tokio::time::sleep(Duration::from_millis(1)).await;
        table.0.fetch_add(1, Ordering::SeqCst);
        progress.report(&Imported { rows: row + 1 })?;
    }
    Ok(rows)
}
