//! Kill a process in the middle of an order, start it again, and the order is fulfilled.
//!
//! ```text
//! cargo run --release --bin quickstart
//! ```
//!
//! This program starts itself as a child process, which opens a task hub on a real directory and
//! fulfils an order in three steps. In the middle of the second the child is killed with SIGKILL:
//! no destructor runs, nothing is flushed. A second child opens the same directory and goes on:
//! what was done is replayed from history, the rest is run.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use durable_core::{
    ActivityContext, ActivityError, NoError, OrchestrationContext, TaskHub, activity, orchestrator,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ORDER: &str = "order-42";

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1) {
        Some(directory) => fulfil_in_this_process(Path::new(&directory)),
        None => kill_and_resume(),
    }
}

/// The parent: starts the child, kills it, starts it again and looks at what came out.
fn kill_and_resume() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let hub = directory.path().join("orders.db");

    println!("first process");
    let mut before = Vec::new();
    let mut child = start_child(&hub)?;
    for line in lines(&mut child)? {
        let line = line?;
        println!("  {line}");
        let kill = line.starts_with("ran    charge");
        before.push(line);
        if kill {
            child.kill()?;
            break;
        }
    }
    child.wait()?;
    println!("  killed with SIGKILL");

    println!("second process");
    let mut after = Vec::new();
    let mut child = start_child(&hub)?;
    for line in lines(&mut child)? {
        let line = line?;
        println!("  {line}");
        after.push(line);
    }
    assert!(child.wait()?.success(), "the second process must end well");

    let charge = |lines: &[String]| {
        lines
            .iter()
            .find(|line| line.starts_with("ran    charge"))
            .cloned()
    };
    let ran = |lines: &[String], step: &str| {
        lines
            .iter()
            .any(|line| line.starts_with(&format!("ran    {step}")))
    };
    assert!(
        ran(&before, "reserve") && !ran(&after, "reserve"),
        "what was recorded is not run again"
    );
    assert!(
        ran(&after, "charge"),
        "what was not recorded is run again: at least once"
    );
    assert_eq!(
        charge(&before),
        charge(&after),
        "with the same idempotency key"
    );
    assert!(ran(&after, "ship"), "the second process goes on");
    let done = "done   reservation R-42, receipt C-4200, parcel P-42";
    assert_eq!(after.last().map(String::as_str), Some(done));
    println!("the order was fulfilled across the kill");
    Ok(())
}

fn start_child(hub: &Path) -> Result<std::process::Child, Box<dyn Error>> {
    Ok(Command::new(std::env::current_exe()?)
        .arg(hub)
        .stdout(Stdio::piped())
        .spawn()?)
}

fn lines(
    child: &mut std::process::Child,
) -> Result<impl Iterator<Item = std::io::Result<String>> + use<>, Box<dyn Error>> {
    Ok(BufReader::new(child.stdout.take().ok_or("no output")?).lines())
}

/// The child: an ordinary program with a task hub in it.
#[tokio::main]
async fn fulfil_in_this_process(directory: &Path) -> Result<(), Box<dyn Error>> {
    // A debug build runs a second copy of each orchestrator to catch it diverging; this one
    // prints, and should do so once.
    let hub = TaskHub::options()
        .shadow_execution(false)
        .open(directory)
        .await?;
    let worker = hub
        .worker()
        .register::<fulfil>()
        .register::<reserve>()
        .register::<charge>()
        .register::<ship>()
        .start()
        .await?;

    // An id that comes from the business: the second process finds the order under way.
    match hub
        .client()
        .start_orchestration::<fulfil>(4200)
        .id(ORDER)
        .await
    {
        Ok(_) => println!("start  {ORDER}"),
        Err(durable_core::StartError::AlreadyExists { status, .. }) => {
            println!("found  {ORDER}, {status}");
        }
        Err(error) => return Err(error.into()),
    }
    let order = hub.client().instance::<fulfil>(ORDER)?;
    println!("done   {}", order.wait_for_completion().await?);

    worker.shutdown().await;
    hub.close().await?;
    Ok(())
}

/// Reserves, charges and ships, each exactly once in the result.
#[orchestrator]
async fn fulfil(ctx: OrchestrationContext, cents: u32) -> Result<String, ActivityError<NoError>> {
    let reservation = ctx.call_activity::<reserve>(42).await?;
    say(ctx, &format!("reserve gave {reservation}"));
    let receipt = ctx.call_activity::<charge>(cents).await?;
    say(ctx, &format!("charge gave {receipt}"));
    let parcel = ctx.call_activity::<ship>(reservation.clone()).await?;
    Ok(format!(
        "reservation {reservation}, receipt {receipt}, parcel {parcel}"
    ))
}

/// Says which results come from history.
fn say(ctx: OrchestrationContext, what: &str) {
    let how = if ctx.is_replaying() {
        "replay"
    } else {
        "turn  "
    };
    println!("{how} {what}");
}

#[activity]
async fn reserve(item: u32) -> String {
    println!("ran    reserve item {item}");
    format!("R-{item}")
}

#[activity]
async fn charge(ctx: ActivityContext, cents: u32) -> String {
    // A payment service that is given this key charges once, however often this runs.
    println!(
        "ran    charge {cents} cents, idempotency key {}",
        ctx.idempotency_key()
    );
    tokio::time::sleep(Duration::from_millis(300)).await;
    format!("C-{cents}")
}

#[activity]
async fn ship(reservation: String) -> String {
    println!("ran    ship {reservation}");
    reservation.replace('R', "P")
}
