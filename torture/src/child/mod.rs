//! The process that is killed: a hub on a real directory, a worker, and clients that say what was
//! acknowledged.

mod clients;
mod doom;
mod programs;
mod report;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use durable_core::{OpenError, TaskHub, Worker, WorkerError};
use serde::{Deserialize, Serialize};

use self::clients::Clients;
use self::doom::Doom;
pub(crate) use self::doom::{Call, Death};
use self::report::{mishap, report};
use crate::clock::Stopwatch;
use crate::line::Line;
use crate::plan::{MAX_PAYLOAD, Plans, rng};
use crate::{AnyError, Verdict};

/// How a child is started. The rest it is told through its standard input.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) dir: PathBuf,
}

/// What a child is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Brief {
    pub(crate) plans: Plans,
    /// Which child this is.
    pub(crate) round: u64,
    /// New instances that it starts, and how many of them are under way at once.
    pub(crate) starts: u64,
    pub(crate) at_once: u64,
    /// How long apart they are started, if it does not matter how many are under way.
    pub(crate) pace: Option<Duration>,
    /// The number of the first new one.
    pub(crate) first: u64,
    /// Instances that exist and were not seen to have ended.
    pub(crate) open: Vec<u64>,
    /// Instances of which it is not known whether they exist.
    pub(crate) unsure: Vec<u64>,
    /// Instances that have ended and are to be purged.
    pub(crate) ended: Vec<u64>,
    /// Instances that were purged, to be looked at once more.
    pub(crate) gone: Vec<u64>,
    /// Those to be looked at when all others have ended; then the child ends by itself.
    pub(crate) finish: Option<Vec<u64>>,
    /// The most orchestrators in memory.
    pub(crate) max_live: usize,
    /// How often the worker stops and another one starts.
    pub(crate) restarts: u64,
    /// It compacts the hub once if that takes more than so many times its live bytes on disk.
    pub(crate) compact_beyond: Option<u64>,
    /// Where it kills itself, if it does.
    pub(crate) death: Option<Death>,
    /// Whether commits are not synced, so that a power cut loses them.
    pub(crate) unsynced: bool,
}

/// Whatever goes wrong is said in a line, so that it is for the parent to judge.
pub(crate) fn run(options: &Options) -> Result<Verdict, AnyError> {
    let brief: Brief = serde_json::from_reader(io::stdin().lock())?;
    // Wherever it comes from and whoever catches it: none is ever right.
    std::panic::set_hook(Box::new(|panic| mishap(panic.to_string())));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let opening = Stopwatch::start();
    Ok(runtime.block_on(async {
        let hub = match open(options, &brief).await {
            Ok(hub) => hub,
            Err(error) => {
                let text = error.to_string();
                report(&Line::NotOpened { text });
                return Verdict::Broken;
            }
        };
        match work(hub, brief, opening).await {
            Ok(()) => Verdict::Kept,
            Err(error) => {
                mishap(error.to_string());
                Verdict::Broken
            }
        }
    }))
}

async fn open(options: &Options, brief: &Brief) -> Result<TaskHub, OpenError> {
    let mut settings = TaskHub::options()
        .max_payload(MAX_PAYLOAD)
        .max_live_instances(brief.max_live);
    if let Some(death) = brief.death {
        settings = settings.store_hook(Arc::new(Doom::new(death)));
    }
    if brief.unsynced {
        settings = settings.without_data_sync();
    }
    settings.open(&options.dir).await
}

async fn work(hub: TaskHub, brief: Brief, opening: Stopwatch) -> Result<(), AnyError> {
    let mut worker = Some(hub.worker().register_all().start().await?);
    let open_us = u64::try_from(opening.elapsed().as_micros())?;
    report(&Line::Ready { open_us });

    let clients = Arc::new(Clients {
        client: hub.client(),
        plans: brief.plans,
        round: brief.round,
        asks: AtomicU64::new(0),
        next: AtomicU64::new(brief.first),
    });
    let restarts = restart(
        &hub,
        &mut worker,
        rng(&[brief.plans.seed, brief.round]),
        &brief,
    );
    let compaction = compact(&hub, rng(&[brief.round, brief.plans.seed]), &brief);
    let ((), restarted, compacted) = tokio::join!(clients.drive_all(&brief), restarts, compaction);
    restarted?;
    compacted?;
    let Some(known) = brief.finish else {
        // Nothing is left but to be killed.
        return std::future::pending().await;
    };
    for n in known {
        clients.look(n).await;
    }
    if let Some(worker) = worker {
        worker.shutdown().await;
    }
    drop(clients);
    hub.close().await?;
    report(&Line::Finished);
    Ok(())
}

/// Stops the worker in good order and starts another one: what arrives between is kept.
async fn restart(
    hub: &TaskHub,
    worker: &mut Option<Worker>,
    mut rng: fastrand::Rng,
    brief: &Brief,
) -> Result<(), WorkerError> {
    for _ in 0..brief.restarts {
        pause(&mut rng, Duration::from_millis(60)).await;
        if let Some(worker) = worker.take() {
            worker.shutdown().await;
        }
        pause(&mut rng, Duration::from_millis(20)).await;
        *worker = Some(hub.worker().register_all().start().await?);
    }
    Ok(())
}

/// Does what whoever looks after a hub does when it takes too much space.
async fn compact(hub: &TaskHub, mut rng: fastrand::Rng, brief: &Brief) -> Result<(), AnyError> {
    let Some(times) = brief.compact_beyond else {
        return Ok(());
    };
    pause(&mut rng, Duration::from_millis(100)).await;
    let stats = hub.stats().await?;
    if stats.bytes_on_disk > times * stats.live_bytes {
        hub.compact().await?;
        report(&Line::Compacted);
    }
    Ok(())
}

/// Lets others run for a while that is different each time.
async fn pause(rng: &mut fastrand::Rng, longest: Duration) {
    let longest = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
    tokio::time::sleep(Duration::from_micros(rng.u64(0..=longest))).await;
}
