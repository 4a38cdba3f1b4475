//! Clients that do the same thing again and again.

use std::error::Error;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use durable_core::{Client, WorkerBuilder};
use serde_json::json;

use super::{Bench, GATE, report, slices};
use crate::Report;
use crate::args::Args;
use crate::measure::{self, Latencies};

/// What one client saw.
#[derive(Default)]
struct Seen {
    latencies: Latencies,
    failure: Option<Failure>,
}

pub(super) type Failure = Box<dyn Error + Send + Sync>;

/// Measures as many clients as are to be concurrent, each of which does this again and again; it
/// says how many operations it was.
pub(super) async fn run<F>(
    args: &Args,
    workload: &'static str,
    register: impl FnOnce(WorkerBuilder) -> WorkerBuilder,
    once: impl Fn(Client) -> F + Clone + Send + Sync + 'static,
) -> Result<Report, Box<dyn Error>>
where
    F: Future<Output = Result<u64, Failure>> + Send,
{
    let mut bench = Bench::open(args, args.concurrency, register).await?;
    let seen: Vec<_> = (0..args.concurrency)
        .map(|_| Arc::new(Mutex::new(Seen::default())))
        .collect();
    for seen in &seen {
        let (client, seen, once) = (bench.hub.client(), Arc::clone(seen), once.clone());
        tokio::spawn(async move { while again(&client, &seen, &once).await {} });
    }
    let slices = slices(args, &mut bench.limit).await?;
    let mut latencies = Latencies::default();
    for seen in &seen {
        let seen = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(failure) = seen.failure {
            return Err(failure);
        }
        latencies.append(seen.latencies);
    }
    let mut report = report(args, workload, &slices, &mut latencies, &mut bench.limit);
    let done = GATE.done.load(Ordering::Relaxed);
    report.more.insert("done".into(), json!(done));
    let first = json!(slices.first_per_second.round());
    report.more.insert("first_slice_per_s".into(), first);
    bench.close().await?;
    Ok(report)
}

/// Does it once; false if it failed.
async fn again<F>(client: &Client, seen: &Mutex<Seen>, once: impl Fn(Client) -> F) -> bool
where
    F: Future<Output = Result<u64, Failure>>,
{
    GATE.pass().await;
    let (begin, slice) = (measure::now(), GATE.slice.load(Ordering::Relaxed));
    let outcome = once(client.clone()).await;
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    match outcome {
        Ok(operations) => {
            GATE.count_all(operations);
            if slice == GATE.slice.load(Ordering::Relaxed) {
                seen.latencies.add(begin.elapsed());
            }
            true
        }
        Err(failure) => {
            seen.failure = Some(failure);
            false
        }
    }
}
