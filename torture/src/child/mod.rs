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

use durable_core::{TaskHub, Worker, WorkerError};
use serde::{Deserialize, Serialize};

use self::clients::Clients;
use self::doom::Doom;
pub(crate) use self::doom::{Call, Death};
use self::report::report;
use crate::AnyError;
use crate::clock::Stopwatch;
use crate::line::Line;
use crate::plan::{Plans, rng};

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
    /// The number of the first new one.
    pub(crate) first: u64,
    /// Instances that exist and were not seen to have ended.
    pub(crate) open: Vec<u64>,
    /// Instances of which it is not known whether they exist.
    pub(crate) unsure: Vec<u64>,
    /// Those to be looked at when all others have ended; then the child ends by itself.
    pub(crate) finish: Option<Vec<u64>>,
    /// The most orchestrators in memory.
    pub(crate) max_live: usize,
    /// How often the worker stops and another one starts.
    pub(crate) restarts: u64,
    /// Where it kills itself, if it does.
    pub(crate) death: Option<Death>,
}

pub(crate) fn run(options: &Options) -> Result<(), AnyError> {
    let brief: Brief = serde_json::from_reader(io::stdin().lock())?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(work(options, brief))
}

async fn work(options: &Options, brief: Brief) -> Result<(), AnyError> {
    let opening = Stopwatch::start();
    let mut settings = TaskHub::options().max_live_instances(brief.max_live);
    if let Some(death) = brief.death {
        settings = settings.store_hook(Arc::new(Doom::new(death)));
    }
    let hub = settings.open(&options.dir).await?;
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
    let ((), restarted) = tokio::join!(clients.drive_all(&brief), restarts);
    restarted?;
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

/// Lets others run for a while that is different each time.
async fn pause(rng: &mut fastrand::Rng, longest: Duration) {
    let longest = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
    tokio::time::sleep(Duration::from_micros(rng.u64(0..=longest))).await;
}
