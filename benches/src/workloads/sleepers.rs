//! Very many instances on a timer: what it takes to start them, to keep them, and to start again
//! with them. Each part is a process of its own, so that its memory is its own.

use std::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use durable_core::{Client, EventError, OrchestrationContext, StartError, orchestrator};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::task::JoinSet;

use super::{LIMIT_SLICE, Slices, report};
use crate::Report;
use crate::args::Args;
use crate::limit::Limit;
use crate::measure::{self, Latencies};

/// Longer than any benchmark.
const NIGHT: Duration = Duration::from_secs(30 * 24 * 3600);
/// Those that are woken, one by each process that comes later.
const KNOWN: [&str; 2] = ["first", "second"];

/// What one of the processes found.
#[derive(Debug, Serialize, Deserialize)]
struct Found {
    instances: u64,
    /// Until the hub was open.
    open_s: f64,
    /// Until all had been started; of a later process, until one that was there was woken and ended.
    ready_s: f64,
    live_bytes: u64,
    bytes_on_disk: u64,
    rss_mb: f64,
    peak_mb: f64,
}

pub(crate) async fn run(args: &Args) -> Result<Report, Box<dyn Error>> {
    let directory = tempfile::tempdir_in(std::env::current_dir()?)?;
    let hub = directory.path().join("hub");
    let started = in_another_process(args, &hub)?;
    let killed = in_another_process(args, &hub)?;
    let closed = in_another_process(args, &hub)?;
    for again in [&killed, &closed] {
        assert_eq!(again.instances, args.instances, "none is lost");
    }
    let slices = Slices {
        per_second: args.instances as f64 / started.ready_s,
        ..Slices::default()
    };
    let mut limit = Limit::open(directory.path(), args.concurrency)?;
    tokio::task::block_in_place(|| limit.slice(LIMIT_SLICE))?;
    let mut none = Latencies::default();
    let mut report = report(args, "sleepers", &slices, &mut none, &mut limit);
    let each = |bytes: f64| json!((bytes / args.instances as f64).round());
    let mut tell = |key: &str, value| report.more.insert(key.to_owned(), value);
    tell("live_bytes_each", each(started.live_bytes as f64));
    tell("bytes_on_disk_each", each(started.bytes_on_disk as f64));
    let memory = killed.rss_mb * f64::from(1 << 20);
    tell("bytes_in_memory_each", each(memory));
    tell("started", json!(started));
    tell("after_kill", json!(killed));
    tell("after_close", json!(closed));
    Ok(report)
}

fn in_another_process(args: &Args, hub: &Path) -> Result<Found, Box<dyn Error>> {
    let child = Command::new(std::env::current_exe()?)
        .arg("sleepers")
        .arg("--hub")
        .arg(hub)
        .args(["--instances", &args.instances.to_string()])
        .args(["--cache", &args.cache.to_string()])
        .args(["--live", &args.live.to_string()])
        .args(["--concurrency", &args.concurrency.to_string()])
        .stderr(Stdio::inherit())
        .output()?;
    Ok(serde_json::from_slice(&child.stdout)?)
}

/// Starts all of them if the hub is not there yet, else wakes one; and prints what it found.
pub(crate) async fn in_this_process(args: &Args, path: &Path) -> Result<(), Box<dyn Error>> {
    let begin = measure::now();
    let is_new = !path.exists();
    let hub = args.options().open(path).await?;
    let open_s = begin.elapsed().as_secs_f64();
    let worker = hub.worker().register::<sleep>().start().await?;
    if is_new {
        start_all(args, &hub.client()).await?;
    } else {
        wake_one(&hub.client()).await?;
    }
    let ready_s = begin.elapsed().as_secs_f64();
    let stats = hub.stats().await?;
    let found = Found {
        instances: stats.total(),
        open_s,
        ready_s,
        live_bytes: stats.live_bytes,
        bytes_on_disk: stats.bytes_on_disk,
        rss_mb: measure::rss_mb().round(),
        peak_mb: measure::peak_mb().round(),
    };
    #[expect(clippy::print_stdout, reason = "the first process reads it")]
    {
        println!("{}", serde_json::to_string(&found)?);
    }
    if is_new {
        // As if it were killed: nothing is shut down, closed or written.
        std::process::exit(0);
    }
    worker.shutdown().await;
    hub.close().await?;
    Ok(())
}

async fn start_all(args: &Args, client: &Client) -> Result<(), Box<dyn Error>> {
    for id in KNOWN {
        client.start_orchestration::<sleep>(()).id(id).await?;
    }
    let next = Arc::new(AtomicU64::new(KNOWN.len() as u64));
    let mut starting = JoinSet::new();
    for _ in 0..args.concurrency {
        let (client, next, instances) = (client.clone(), Arc::clone(&next), args.instances);
        starting.spawn(async move {
            while next.fetch_add(1, Ordering::Relaxed) < instances {
                client.start_orchestration::<sleep>(()).await?;
            }
            Ok::<_, StartError>(())
        });
    }
    while let Some(started) = starting.join_next().await {
        started??;
    }
    Ok(())
}

async fn wake_one(client: &Client) -> Result<(), Box<dyn Error>> {
    for id in KNOWN {
        let sleeper = client.instance::<sleep>(id)?;
        // One that has ended cannot be woken.
        if sleeper.raise_event("wake", &()).await.is_ok() {
            assert!(sleeper.wait_for_completion().await?, "it was woken");
            return Ok(());
        }
    }
    Err("nobody is asleep".into())
}

/// Sleeps until it is woken or the night is over; whether it was woken.
#[orchestrator]
async fn sleep(ctx: OrchestrationContext) -> Result<bool, EventError> {
    tokio::select! { biased;
        woken = ctx.wait_for_external_event::<()>("wake") => woken.map(|()| true),
        () = ctx.create_timer(NIGHT) => Ok(false),
    }
}
