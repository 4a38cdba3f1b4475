//! Fan-out, fan-in: a hundred files are counted at once, and the counts are added up.
//!
//! ```text
//! cargo run --release --bin fan_out_fan_in
//! ```
//!
//! `join_all` and the other combinators of the futures crates work on durable calls as on any
//! future. How many activities run at once is the worker's to say.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use durable_core::{
    ActivityError, NoError, OrchestrationContext, State, TaskHub, activity, orchestrator,
};
use futures_util::future::try_join_all;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let hub = TaskHub::open(directory.path().join("hub")).await?;
    let at_once = AtOnce::default();
    let worker = hub
        .worker()
        .state(at_once.clone())
        .register::<count_words>()
        .register::<count_in_file>()
        .max_concurrent_activities(20)
        .start()
        .await?;

    let count = hub.client().start_orchestration::<count_words>(100).await?;
    let words = count.wait_for_completion().await?;
    assert_eq!(words, (0..100).sum::<u64>());
    let most = at_once.most.load(Ordering::Relaxed);
    assert!((2..=20).contains(&most), "{most} at once");
    println!("{words} words in 100 files, of which at most {most} were open at once");

    worker.shutdown().await;
    hub.close().await?;
    Ok(())
}

/// Counts the words of all files.
#[orchestrator]
async fn count_words(ctx: OrchestrationContext, files: u64) -> Result<u64, ActivityError<NoError>> {
    let counts = (0..files).map(|file| ctx.call_activity::<count_in_file>(file));
    let counts = try_join_all(counts).await?;
    Ok(counts.iter().sum())
}

/// Counts the words of one file: as many as its number.
#[activity]
async fn count_in_file(State(at_once): State<AtOnce>, file: u64) -> u64 {
    let now = at_once.now.fetch_add(1, Ordering::Relaxed) + 1;
    at_once.most.fetch_max(now, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(20)).await;
    at_once.now.fetch_sub(1, Ordering::Relaxed);
    file
}

/// How many activities run, and how many did at most.
#[derive(Clone, Debug, Default)]
struct AtOnce {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}
