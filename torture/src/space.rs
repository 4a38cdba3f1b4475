//! The command `space`: writes and purges instances again and again, and looks at how large the
//! hub's files become.
//!
//! A few instances are kept all the time, so that what is purged lies among what is not. In the end
//! they must be as they were.

use std::fs;
use std::path::Path;
use std::time::Duration;

use durable_core::{Client, NoError, OrchestrationContext, TaskHub, activity, orchestrator};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::clock::Stopwatch;
use crate::{AnyError, Verdict, line};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) cycles: u64,
    pub(crate) instances: u64,
    /// See `TaskHubOptions::compaction_factor`.
    pub(crate) factor: u32,
}

/// Instances that are never purged.
const KEPT: u64 = 100;
/// Calls under way at once.
const AT_ONCE: usize = 4096;
/// The files at the end, in largest live sets.
const LIMIT: f64 = 3.0;

pub(crate) fn run(options: &Options) -> Result<Verdict, AnyError> {
    let directory = tempfile::tempdir()?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(cycle_all(*options, &directory.path().join("space.db")))
}

/// What was seen of the sizes.
#[derive(Debug, Default)]
struct Seen {
    /// The largest live set.
    live: u64,
    /// The largest files.
    disk: u64,
}

impl Seen {
    async fn look(&mut self, hub: &TaskHub) -> Result<u64, AnyError> {
        let stats = hub.stats().await?;
        self.live = self.live.max(stats.live_bytes);
        self.disk = self.disk.max(stats.bytes_on_disk);
        Ok(stats.bytes_on_disk)
    }

    fn ratio(&self, disk: u64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let ratio = disk as f64 / self.live.max(1) as f64;
        ratio
    }
}

async fn cycle_all(options: Options, path: &Path) -> Result<Verdict, AnyError> {
    let Options {
        cycles,
        instances,
        factor,
    } = options;
    let watch = Stopwatch::start();
    let hub = TaskHub::options()
        .compaction_factor(factor)
        .open(path)
        .await?;
    let worker = hub.worker().register::<greet>().register::<hello>();
    let worker = worker.start().await?;
    let client = hub.client();
    let mut seen = Seen::default();
    write(&client, "kept", KEPT).await?;
    for cycle in 0..cycles {
        let name = format!("cycle-{cycle}");
        write(&client, &name, instances).await?;
        let written = seen.look(&hub).await?;
        purge(&client, &name, instances).await?;
        let purged = seen.look(&hub).await?;
        if cycle % 12 == 11 {
            line::say(&format_args!(
                "cycle {}: {} KiB live at most; on disk {} KiB when written, {} KiB when purged",
                cycle + 1,
                seen.live >> 10,
                written >> 10,
                purged >> 10
            ))?;
        }
    }
    wait_for_compaction(path).await?;
    let end = seen.look(&hub).await?;
    let total = hub.stats().await?.total();
    worker.shutdown().await;
    hub.close().await?;

    let hub = TaskHub::open(path).await?;
    let lost = count_lost(&hub.client()).await?;
    hub.close().await?;
    line::say(&format_args!(
        "space: {cycles} cycles of {instances} instances in {} s: largest live set {} KiB, on disk {} KiB at the end \
         ({:.2} times), {} KiB at most ({:.2} times); {} of {KEPT} kept instances lost, {} left over",
        watch.elapsed().as_secs(),
        seen.live >> 10,
        end >> 10,
        seen.ratio(end),
        seen.disk >> 10,
        seen.ratio(seen.disk),
        lost,
        total - KEPT,
    ))?;
    let kept = seen.ratio(end) <= LIMIT && lost == 0 && total == KEPT;
    Ok(if kept { Verdict::Kept } else { Verdict::Broken })
}

/// Runs instances to their ends, and checks what they return.
async fn write(client: &Client, name: &str, instances: u64) -> Result<(), AnyError> {
    let run = |n| async move {
        let started = client
            .start_orchestration::<hello>(id(name, n))
            .id(id(name, n));
        let output = started.await?.wait_for_completion().await?;
        if output == greeting(&id(name, n)) {
            Ok(())
        } else {
            Err(AnyError::from(format!(
                "instance {n} of {name} returned {output}"
            )))
        }
    };
    let all = stream::iter((0..instances).map(run)).buffer_unordered(AT_ONCE);
    all.try_collect().await
}

async fn purge(client: &Client, name: &str, instances: u64) -> Result<(), AnyError> {
    let purge = |n| async move { client.purge(id(name, n)).await.map_err(AnyError::from) };
    let all = stream::iter((0..instances).map(purge)).buffer_unordered(AT_ONCE);
    all.try_collect().await
}

/// How many of the kept instances are not as they were.
async fn count_lost(client: &Client) -> Result<u64, AnyError> {
    let mut lost = 0;
    for n in 0..KEPT {
        let id = id("kept", n);
        let status = client.status(id.as_str()).await?;
        let output = status.map(|status| status.output::<String>()).transpose()?;
        lost += u64::from(output.flatten() != Some(greeting(&id)));
    }
    Ok(lost)
}

/// A compaction that is under way has two generations on disk.
async fn wait_for_compaction(path: &Path) -> Result<(), AnyError> {
    const PAUSE: Duration = Duration::from_millis(50);
    loop {
        let entries = fs::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
        let generations = entries
            .iter()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("sled-"));
        if generations.count() == 1 {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn id(name: &str, n: u64) -> String {
    format!("{name}-{n}")
}

fn greeting(name: &str) -> String {
    format!("Hello, {name}!")
}

/// Returns what its one activity says.
#[orchestrator]
async fn hello(
    ctx: OrchestrationContext,
    name: String,
) -> Result<String, durable_core::ActivityError<NoError>> {
    ctx.call_activity::<greet>(name).await
}

#[activity]
async fn greet(name: String) -> String {
    greeting(&name)
}
