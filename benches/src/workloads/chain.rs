//! Activities one after the other: what a step costs.

use std::error::Error;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use durable_core::{ActivityError, NoError, OrchestrationContext, State, activity, orchestrator};
use serde_json::json;

use super::{Bench, GATE, report, slices};
use crate::Report;
use crate::args::Args;
use crate::measure::{self, Latencies};

/// When the last step of each instance was, and in which slice.
#[derive(Clone)]
struct Steps(Arc<Vec<Mutex<Step>>>);

#[derive(Default)]
struct Step {
    last: Option<(Instant, u64)>,
    latencies: Latencies,
    /// Of the first and of the last tenth of each instance's history: is the cost flat?
    early: Latencies,
    late: Latencies,
}

pub(crate) async fn run(args: &Args) -> Result<Report, Box<dyn Error>> {
    let steps = Steps(Arc::new(
        (0..args.concurrency).map(|_| Mutex::default()).collect(),
    ));
    let state = steps.clone();
    let register = |worker: durable_core::WorkerBuilder| {
        worker.state(state).register::<chain>().register::<step>()
    };
    let mut bench = Bench::open(args, args.concurrency, register).await?;
    for slot in 0..args.concurrency {
        let (client, length) = (bench.hub.client(), args.steps);
        // One after the other, for as long as the benchmark runs.
        tokio::spawn(async move {
            while let Ok(instance) = client.start_orchestration::<chain>((slot, length)).await {
                if instance.wait_for_completion().await.is_err() {
                    break;
                }
            }
        });
    }
    let slices = slices(args, &mut bench.limit).await?;
    let [mut latencies, mut early, mut late] = std::array::from_fn(|_| Latencies::default());
    for step in steps.0.iter() {
        let step = std::mem::take(&mut *step.lock().unwrap_or_else(PoisonError::into_inner));
        latencies.append(step.latencies);
        early.append(step.early);
        late.append(step.late);
    }
    let mut report = report(args, "chain", &slices, &mut latencies, &mut bench.limit);
    report.more.insert("steps".into(), json!(args.steps));
    report.more.insert(
        "steps_done".into(),
        json!(GATE.done.load(Ordering::Relaxed)),
    );
    report.more.insert(
        "first_slice_per_s".into(),
        json!(slices.first_per_second.round()),
    );
    report.more.insert(
        "step_per_commit_p50".into(),
        json!(report.p50_ms / report.limit_p50_ms),
    );
    report
        .more
        .insert("first_tenth_p50_ms".into(), json!(early.percentile(0.5)));
    report
        .more
        .insert("last_tenth_p50_ms".into(), json!(late.percentile(0.5)));
    bench.close().await?;
    Ok(report)
}

#[orchestrator]
async fn chain(
    ctx: OrchestrationContext,
    slot: usize,
    length: u64,
) -> Result<u64, ActivityError<NoError>> {
    let mut n = 0;
    while n < length {
        n = ctx.call_activity::<step>((slot, n, length)).await?;
    }
    Ok(n)
}

#[activity]
async fn step(State(steps): State<Steps>, slot: usize, n: u64, length: u64) -> u64 {
    GATE.pass().await;
    let slice = GATE.slice.load(Ordering::Relaxed);
    if let Some(step) = steps.0.get(slot) {
        let mut step = step.lock().unwrap_or_else(PoisonError::into_inner);
        let now = measure::now();
        let last = step.last.replace((now, slice));
        if let Some((last, of)) = last
            && of == slice
            && n > 0
        {
            step.latencies.add(now - last);
            match n * 10 / length {
                0 => step.early.add(now - last),
                9 => step.late.add(now - last),
                _ => {}
            }
        }
    }
    GATE.count();
    n + 1
}
