//! A purge of a tenth of the instances, beside others that run.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use durable_core::{
    ActivityError, Client, InstanceQuery, NoError, OrchestrationContext, activity, orchestrator,
};
use serde_json::{Value, json};

use super::super::clients::Failure;
use super::population::Population;
use crate::args::Args;
use crate::measure;

pub(super) async fn run(args: &Args, population: &Population) -> Result<Value, Box<dyn Error>> {
    let done = Arc::new(AtomicU64::new(0));
    let running = (0..args.concurrency).map(|_| {
        let (client, done) = (population.hub.client(), Arc::clone(&done));
        tokio::spawn(async move {
            loop {
                let ended = once(&client).await;
                if ended.is_err() {
                    break ended;
                }
                done.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let running: Vec<_> = running.collect();
    let alone = async {
        let (begin, before) = (measure::now(), done.load(Ordering::Relaxed));
        tokio::time::sleep(args.seconds).await;
        (done.load(Ordering::Relaxed) - before) as f64 / begin.elapsed().as_secs_f64()
    };
    // The first of them may meet caches that are cold.
    tokio::time::sleep(args.seconds / 4).await;
    let alone = alone.await;
    let (begin, before) = (measure::now(), done.load(Ordering::Relaxed));
    let query = InstanceQuery::new().id_prefix("purged");
    let purged = population.hub.client().purge_all(query).await?;
    let seconds = begin.elapsed().as_secs_f64();
    let beside = (done.load(Ordering::Relaxed) - before) as f64 / seconds;
    for task in running {
        task.abort();
        if let Ok(Err(failure)) = task.await {
            return Err(failure);
        }
    }
    Ok(json!({
        "purged": purged,
        "seconds": seconds,
        "running_alone_per_s": alone.round(),
        "running_beside_per_s": beside.round(),
        "share_left": beside / alone,
    }))
}

async fn once(client: &Client) -> Result<(), Failure> {
    let start = client.start_orchestration::<hello>("world".to_owned());
    start.await?.wait_for_completion().await?;
    Ok(())
}

#[orchestrator]
pub(super) async fn hello(
    ctx: OrchestrationContext,
    name: String,
) -> Result<String, ActivityError<NoError>> {
    ctx.call_activity::<greet>(name).await
}

#[activity]
pub(super) async fn greet(name: String) -> String {
    format!("Hello, {name}!")
}
