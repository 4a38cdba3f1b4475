//! What is measured.

pub(crate) mod chain;
pub(crate) mod children;
mod clients;
pub(crate) mod continue_as_new;
pub(crate) mod events;
pub(crate) mod fanout;
pub(crate) mod hello;
pub(crate) mod http;
pub(crate) mod manage;
pub(crate) mod replay;
pub(crate) mod retry;
pub(crate) mod rounds;
pub(crate) mod sleepers;

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use durable_core::{TaskHub, Worker, WorkerBuilder};
use tokio::sync::RwLock;

use crate::Report;
use crate::args::{Args, Store};
use crate::limit::Limit;
use crate::measure::{self, Latencies};

/// An open hub in a directory that goes with it.
pub(crate) struct Bench {
    pub(crate) hub: TaskHub,
    pub(crate) worker: Worker,
    pub(crate) limit: Limit,
    directory: tempfile::TempDir,
}

impl Bench {
    pub(crate) async fn open(
        args: &Args,
        group: usize,
        register: impl FnOnce(WorkerBuilder) -> WorkerBuilder,
    ) -> Result<Self, Box<dyn Error>> {
        let directory = tempfile::tempdir_in(std::env::current_dir()?)?;
        let hub = match args.store {
            Store::Sled => args.options().open(directory.path().join("hub")).await?,
            Store::Memory => args.options().open_in_memory().await?,
        };
        let worker = register(hub.worker())
            .shutdown_timeout(Duration::ZERO)
            .start()
            .await?;
        let limit = Limit::open(directory.path(), group)?;
        Ok(Self {
            hub,
            worker,
            limit,
            directory,
        })
    }

    pub(crate) async fn close(self) -> Result<(), Box<dyn Error>> {
        self.worker.shutdown().await;
        self.hub.close().await?;
        drop(self.limit);
        self.directory.close()?;
        Ok(())
    }
}

/// Of this process, which runs one workload.
pub(crate) static GATE: Gate = Gate::new();

/// Lets the workload run in slices, with the machine's limit measured between them.
pub(crate) struct Gate {
    /// Held for reading by every operation, for writing while the limit is measured.
    open: RwLock<()>,
    /// Operations done.
    pub(crate) done: AtomicU64,
    /// Counts slices; an operation that began in another one is not measured.
    pub(crate) slice: AtomicU64,
}

impl Gate {
    const fn new() -> Self {
        Self {
            open: RwLock::const_new(()),
            done: AtomicU64::new(0),
            slice: AtomicU64::new(0),
        }
    }

    /// Waits while the limit is measured.
    pub(crate) async fn pass(&self) {
        drop(self.open.read().await);
    }

    pub(crate) fn count(&self) {
        self.count_all(1);
    }

    pub(crate) fn count_all(&self, operations: u64) {
        self.done.fetch_add(operations, Ordering::Relaxed);
    }
}

/// What the slices came to.
#[derive(Default)]
pub(crate) struct Slices {
    pub(crate) per_second: f64,
    pub(crate) cpu: f64,
    pub(crate) first_per_second: f64,
}

const SLICE: Duration = Duration::from_millis(900);
const LIMIT_SLICE: Duration = Duration::from_millis(100);

/// Runs the workload for the time that was asked for, after the warm-up.
pub(crate) async fn slices(args: &Args, limit: &mut Limit) -> Result<Slices, Box<dyn Error>> {
    let (mut first, mut warm) = (None, None);
    let mut rates = Vec::new();
    let mut cpu = 0.0;
    let begin = measure::now();
    loop {
        let warm_since = *warm.get_or_insert_with(measure::now);
        let (cpu_before, done_before, slice) = (
            measure::cpu_seconds(),
            GATE.done.load(Ordering::Relaxed),
            measure::now(),
        );
        tokio::time::sleep(SLICE).await;
        let done = GATE.done.load(Ordering::Relaxed);
        let rate = (done - done_before) as f64 / slice.elapsed().as_secs_f64();
        first.get_or_insert(rate);
        if done < args.warmup && begin.elapsed() < Duration::from_secs(600) {
            warm = None;
            continue;
        }
        rates.push(rate);
        cpu += measure::cpu_seconds() - cpu_before;
        if warm_since.elapsed() >= args.seconds {
            break;
        }
        let closed = GATE.open.write().await;
        GATE.slice.fetch_add(1, Ordering::Relaxed);
        tokio::task::block_in_place(|| limit.slice(LIMIT_SLICE))?;
        drop(closed);
    }
    Ok(Slices {
        per_second: measure::median(&mut rates),
        cpu,
        first_per_second: first.unwrap_or_default(),
    })
}

pub(crate) fn report(
    args: &Args,
    workload: &'static str,
    slices: &Slices,
    latencies: &mut Latencies,
    limit: &mut Limit,
) -> Report {
    let (limit_per_s, limit_p50_ms) = limit.result();
    Report {
        workload,
        store: args.store.name(),
        durability: match args.store {
            Store::Sled => "synced",
            Store::Memory => "none",
        },
        concurrency: args.concurrency,
        throughput_per_s: slices.per_second.round(),
        p50_ms: latencies.percentile(0.5),
        p99_ms: latencies.percentile(0.99),
        cpu_s: slices.cpu,
        rss_mb: measure::rss_mb().round(),
        limit_per_s: limit_per_s.round(),
        limit_p50_ms,
        more: serde_json::Map::new(),
    }
}
