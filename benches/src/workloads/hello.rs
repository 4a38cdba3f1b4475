//! Start, one activity, wait: what an orchestration costs.

use std::error::Error;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use durable_core::{ActivityError, NoError, OrchestrationContext, activity, orchestrator};
use serde_json::json;

use super::{Bench, Gate, report, slices};
use crate::Report;
use crate::args::Args;
use crate::measure::{self, Latencies};

static GATE: Gate = Gate::new();

pub(crate) async fn run(args: &Args) -> Result<Report, Box<dyn Error>> {
    let mut bench = Bench::open(args, args.concurrency, |worker| {
        worker.register::<hello>().register::<greet>()
    })
    .await?;
    let latencies: Vec<_> = (0..args.concurrency)
        .map(|_| Arc::new(Mutex::new(Latencies::default())))
        .collect();
    for latencies in &latencies {
        let (client, latencies) = (bench.hub.client(), Arc::clone(latencies));
        tokio::spawn(async move {
            loop {
                GATE.pass().await;
                let (begin, slice) = (measure::now(), GATE.slice.load(Ordering::Relaxed));
                let Ok(instance) = client
                    .start_orchestration::<hello>("world".to_owned())
                    .await
                else {
                    break;
                };
                if instance.wait_for_completion().await.is_err() {
                    break;
                }
                if slice == GATE.slice.load(Ordering::Relaxed) {
                    latencies
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .add(begin.elapsed());
                }
                GATE.count();
            }
        });
    }
    let slices = slices(args, &GATE, &mut bench.limit).await?;
    let mut all = Latencies::default();
    for latencies in &latencies {
        all.append(std::mem::take(
            &mut latencies.lock().unwrap_or_else(PoisonError::into_inner),
        ));
    }
    let mut report = report(args, "hello", &slices, &mut all, &mut bench.limit);
    report.more.insert(
        "orchestrations_done".into(),
        json!(GATE.done.load(Ordering::Relaxed)),
    );
    report.more.insert(
        "first_slice_per_s".into(),
        json!(slices.first_per_second.round()),
    );
    bench.close().await?;
    Ok(report)
}

#[orchestrator]
async fn hello(ctx: OrchestrationContext, name: String) -> Result<String, ActivityError<NoError>> {
    ctx.call_activity::<greet>(name).await
}

#[activity]
async fn greet(name: String) -> String {
    format!("Hello, {name}!")
}
