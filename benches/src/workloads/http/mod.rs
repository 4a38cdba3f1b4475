//! The management API over sockets of this machine, server and clients in this process: reads of the
//! status beside a constant that the same server answers, and starts that wait for the end.

mod connection;
mod reads;
mod server;

use std::error::Error;
use std::time::Duration;

use durable_core::{
    ActivityError, Client, EventError, NoError, OrchestrationContext, WorkerBuilder, activity,
    orchestrator,
};
use futures_util::future::try_join_all;
use http::Method;
use serde_json::json;

use self::connection::{Ask, Connections};
use self::server::Server;
use super::clients::Failure;
use super::{Bench, LIMIT_SLICE, Slices, report};
use crate::Report;
use crate::args::Args;
use crate::measure::{self, Latencies};

/// A key as an operator would have it.
const KEY: &str = "a key of more than 16 bytes";
/// At most so many connections read.
const READERS: usize = 64;
/// As many instances are read, of each kind.
const INSTANCES: usize = 1_000;
/// How long starts are counted until the machine's limit is measured again.
const SLICE: Duration = Duration::from_secs(2);

/// The line tells of the starts; the reads are added to it.
pub(crate) async fn run(args: &Args) -> Result<Report, Box<dyn Error>> {
    let register = |worker: WorkerBuilder| {
        let worker = worker.register::<hello>().register::<greet>();
        worker.register::<listen>()
    };
    let mut bench = Bench::open(args, args.concurrency, register).await?;
    populate(&bench.hub.client()).await?;
    let server = Server::start(&bench.hub.client()).await?;

    let readers = READERS.min(args.concurrency);
    let reads = reads::run(server.address, readers, args.seconds).await?;

    let (slices, mut latencies) = starts(args, &server, &mut bench).await?;
    let mut report = report(args, "http", &slices, &mut latencies, &mut bench.limit);
    report.more.insert("done".into(), latencies.len().into());
    report.more.insert("reads".into(), json!(reads));
    server.stop();
    bench.close().await?;
    Ok(report)
}

/// Instances to read: some that go on and some that have ended.
async fn populate(client: &Client) -> Result<(), Box<dyn Error>> {
    let waiting = (0..INSTANCES).map(|number| {
        let start = client.start_orchestration::<listen>("for long".to_owned());
        start.id(format!("listens-{number}")).into_future()
    });
    try_join_all(waiting).await?;
    let ended = (0..INSTANCES).map(|number| async move {
        let start = client.start_orchestration::<hello>("world".to_owned());
        let handle = start.id(format!("ended-{number}")).await?;
        Ok::<_, Box<dyn Error>>(handle.wait_for_completion().await?)
    });
    try_join_all(ended).await?;
    Ok(())
}

/// Starts of `hello` that are answered with its output.
async fn starts(
    args: &Args,
    server: &Server,
    bench: &mut Bench,
) -> Result<(Slices, Latencies), Box<dyn Error>> {
    let mut connections = Connections::open(server.address, args.concurrency).await?;
    let ask = Ask {
        method: Method::POST,
        path: "/runtime/webhooks/durabletask/orchestrators/hello?timeout=30&pollingInterval=1",
        ids: None,
        body: "\"world\"",
    };
    let (mut rates, mut latencies) = (Vec::new(), Latencies::default());
    let mut warm = 0;
    while warm < args.warmup {
        let rate = connections.ask(&ask, SLICE).await?;
        warm += rate.latencies.len() as u64;
    }
    let (begin, cpu) = (measure::now(), measure::cpu_seconds());
    loop {
        let rate = connections.ask(&ask, SLICE.min(args.seconds)).await?;
        rates.push(rate.per_second);
        latencies.append(rate.latencies);
        tokio::task::block_in_place(|| bench.limit.slice(LIMIT_SLICE))?;
        if begin.elapsed() >= args.seconds {
            break;
        }
    }
    let slices = Slices {
        cpu: measure::cpu_seconds() - cpu,
        first_per_second: rates.first().copied().unwrap_or_default(),
        per_second: measure::median(&mut rates),
    };
    Ok((slices, latencies))
}

#[orchestrator]
async fn hello(ctx: OrchestrationContext, name: String) -> Result<String, ActivityError<NoError>> {
    ctx.call_activity::<greet>(name).await
}

#[activity]
async fn greet(name: String) -> String {
    format!("Hello, {name}!")
}

#[orchestrator]
async fn listen(ctx: OrchestrationContext, _what: String) -> Result<(), EventError> {
    ctx.wait_for_external_event("never").await
}
