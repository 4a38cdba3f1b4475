//! Operator: what one does to instances from outside, with and without their code.
//!
//! ```text
//! cargo run --release --bin operator
//! cargo run --release --bin operator -- DIRECTORY [COMMAND]
//! ```
//!
//! The commands are `list`, `inspect ID`, `suspend ID`, `resume ID`, `rewind ID`, `rewind` (all that have
//! failed) and `purge` (all that have completed). They need no worker: what they do is durable, and the
//! program that has the orchestrators goes on from it. Without a directory it makes a hub of its own with
//! something for each of them to do.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use durable_core::{
    Client, InstancePage, InstanceQuery, OrchestrationContext, OrchestrationStatus, RuntimeStatus,
    State, TaskHub, Worker, activity, orchestrator,
};

type Result<T = (), E = Box<dyn Error>> = std::result::Result<T, E>;

const STATUSES: [RuntimeStatus; 6] = [
    RuntimeStatus::Pending,
    RuntimeStatus::Running,
    RuntimeStatus::Suspended,
    RuntimeStatus::Completed,
    RuntimeStatus::Failed,
    RuntimeStatus::Terminated,
];

#[tokio::main]
async fn main() -> Result {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let Some((directory, command)) = words.split_first() else {
        return demonstrate().await;
    };
    // A hub that is not there would be made.
    if !Path::new(directory).is_dir() {
        return Err(format!("there is no directory {directory}").into());
    }
    let hub = TaskHub::open(directory).await?;
    let done = operate(&hub.client(), command).await;
    hub.close().await?;
    done
}

async fn operate(client: &Client, command: &[&str]) -> Result {
    match command {
        [] | ["list"] => list(client).await?,
        ["inspect", id] => inspect(client, id).await?,
        ["suspend", id] => {
            client.suspend(*id, "an operator wants it").await?;
            println!("{id} is suspended");
        }
        ["resume", id] => {
            client.resume(*id).await?;
            println!("{id} is resumed");
        }
        ["rewind", id] => {
            client.rewind(*id, "an operator wants it").await?;
            println!("{id} goes on where it failed");
        }
        ["rewind"] => rewind_failed(client).await?,
        ["purge"] => {
            let completed = InstanceQuery::new().status(RuntimeStatus::Completed);
            println!("{} are purged", client.purge_all(completed).await?);
        }
        other => return Err(format!("there is no command {:?}", other.join(" ")).into()),
    }
    Ok(())
}

/// How many there are of each status, and the first few of them.
async fn list(client: &Client) -> Result {
    let mut rows: Vec<(String, InstanceQuery)> = STATUSES
        .map(|status| (status.to_string(), InstanceQuery::new().status(status)))
        .into();
    rows.push(("blocked".to_owned(), InstanceQuery::new().blocked(true)));
    for (what, query) in rows {
        let count = client.count(query.clone()).await?;
        let InstancePage { instances, .. } = client.query(query.page_size(5)).await?;
        let ids: Vec<&str> = instances
            .iter()
            .map(|status| status.instance_id().as_str())
            .collect();
        println!("{count:>8} {what:<10} {}", ids.join(" "));
    }
    Ok(())
}

async fn inspect(client: &Client, id: &str) -> Result {
    let status = client.status(id).await?.ok_or("it is not there")?;
    println!("{id} of {} is {}", status.name(), status.runtime_status());
    if let Some(reason) = status.suspend_reason() {
        println!("  suspended: {reason}");
    }
    if let Some(failure) = status.failure() {
        println!("  failed: {}", failure.message());
    }
    if let Some(problem) = status.problem() {
        println!("  blocked: {}", problem.message());
    }
    let mut history = client.history(id);
    while let Some(event) = history.next().await? {
        println!("  turn {}: {:?}", event.turn, event.kind);
    }
    Ok(())
}

/// Page by page: there may be a million of them.
async fn rewind_failed(client: &Client) -> Result {
    let failed = InstanceQuery::new().status(RuntimeStatus::Failed);
    let mut query = failed.clone();
    loop {
        let page = client.query(query).await?;
        for status in page.instances {
            let id = status.instance_id();
            match client.rewind(id.clone(), "an operator wants it").await {
                Ok(()) => println!("{id} goes on where it failed"),
                // Somebody else was faster.
                Err(error) => println!("{id} does not: {error}"),
            }
        }
        let Some(next) = page.next else { return Ok(()) };
        query = failed.clone().after(next);
    }
}

/// Whether parcels can be shipped.
#[derive(Clone, Default)]
struct Depot(Arc<AtomicBool>);

#[activity]
async fn ship(State(depot): State<Depot>, parcel: String) -> std::io::Result<String> {
    if depot.0.load(Ordering::SeqCst) {
        Ok(format!("{parcel} is shipped"))
    } else {
        Err(std::io::Error::other("the depot is closed"))
    }
}

/// Ships what was paid.
#[orchestrator]
async fn fulfil(
    ctx: OrchestrationContext,
    parcel: String,
) -> Result<String, Box<dyn Error + Send + Sync>> {
    let _cents: u32 = ctx.wait_for_external_event("paid").await?;
    Ok(ctx.call_activity::<ship>(parcel).await?)
}

/// Of a program that is not deployed any more.
#[orchestrator]
async fn take_stock(ctx: OrchestrationContext) -> u32 {
    ctx.wait_for_external_event("counted")
        .await
        .unwrap_or_default()
}

async fn worker(hub: &TaskHub, depot: &Depot) -> Result<Worker> {
    let worker = hub.worker().state(depot.clone());
    let worker = worker.register::<fulfil>().register::<ship>();
    Ok(worker.start().await?)
}

async fn end(client: &Client, id: &str) -> Result<OrchestrationStatus> {
    let ended = client.wait_for_completion(id).await?;
    Ok(ended.ok_or("it is not there")?)
}

async fn demonstrate() -> Result {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("hub");
    let depot = Depot::default();
    make(&path, &depot).await?;

    let hub = TaskHub::open(&path).await?;
    let running = worker(&hub, &depot).await?;
    let client = hub.client();
    let is_blocked = |status: &OrchestrationStatus| status.problem().is_some();
    client.wait_for("stock", is_blocked).await?;
    for command in [
        "list",
        "inspect order-3",
        "inspect stock",
        "suspend order-5",
        "resume order-4",
        "purge",
        "list",
    ] {
        say_and_operate(&client, command).await?;
    }

    println!("> the depot opens");
    depot.0.store(true, Ordering::SeqCst);
    say_and_operate(&client, "rewind").await?;
    for id in ["order-3", "order-6"] {
        assert_eq!(
            end(&client, id).await?.runtime_status(),
            RuntimeStatus::Completed
        );
    }
    say_and_operate(&client, "inspect order-3").await?;
    say_and_operate(&client, "list").await?;
    for (status, count) in [
        (RuntimeStatus::Completed, 2),
        (RuntimeStatus::Failed, 0),
        (RuntimeStatus::Suspended, 1),
    ] {
        let query = InstanceQuery::new().status(status);
        assert_eq!(client.count(query).await?, count, "{status}");
    }

    running.shutdown().await;
    hub.close().await?;
    Ok(())
}

async fn say_and_operate(client: &Client, command: &str) -> Result {
    println!("> {command}");
    let words: Vec<&str> = command.split(' ').collect();
    operate(client, &words).await
}

/// A hub in which two instances have completed and two failed, one is suspended, and one is of an
/// orchestrator that nobody has any more.
async fn make(path: &Path, depot: &Depot) -> Result {
    let hub = TaskHub::open(path).await?;
    let stock = hub.worker().register::<take_stock>();
    let stock = stock.start().await?;
    let client = hub.client();
    client
        .start_orchestration::<take_stock>(())
        .id("stock")
        .await?;
    client.wait_for_start("stock").await?;
    stock.shutdown().await;

    let running = worker(&hub, depot).await?;
    for (number, open) in (1..).zip([true, true, false, false, false, false]) {
        depot.0.store(open, Ordering::SeqCst);
        let id = format!("order-{number}");
        let start = client.start_orchestration::<fulfil>(format!("parcel {number}"));
        start.id(&*id).await?;
        if !matches!(number, 4 | 5) {
            client.raise_event(&*id, "paid", &20).await?;
            end(&client, &id).await?;
        }
    }
    client.suspend("order-4", "is the address right?").await?;
    running.shutdown().await;
    hub.close().await?;
    Ok(())
}
