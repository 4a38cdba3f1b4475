//! Crash and resume: the process dies at the worst moment, and everybody is paid once all the same.
//!
//! ```text
//! cargo run --release --bin crash_and_resume
//! ```
//!
//! This program starts itself as a child process that pays ten people. The worst moment is when the
//! bank has paid and nothing has been recorded yet: there the first child aborts. The second one
//! opens the same directory and pays the rest. What was recorded is not asked for again; the one
//! payment that was under way is, with the same idempotency key, so the bank knows it.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::collections::BTreeSet;
use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use durable_core::{
    ActivityContext, ActivityError, FailureDetails, OrchestrationContext, State, TaskHub, activity,
    orchestrator,
};

const PEOPLE: u32 = 10;
/// While this one is paid for the first time, the process dies.
const UNLUCKY: u32 = 7;

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args_os().nth(1) {
        Some(directory) => pay_in_this_process(Path::new(&directory)),
        None => crash_and_resume(),
    }
}

/// The parent: runs the child twice and looks at the bank's books.
fn crash_and_resume() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let run = || -> Result<_, Box<dyn Error>> {
        let program = std::env::current_exe()?;
        let output = Command::new(program).arg(directory.path()).output()?;
        let output = String::from_utf8(output.stdout)?;
        print!("{output}");
        Ok(output.lines().map(str::to_owned).collect::<Vec<_>>())
    };

    println!("first process");
    let before = run()?;
    println!("it died; second process");
    let after = run()?;
    assert_eq!(after.last().map(String::as_str), Some("all are paid"));

    let asked: Vec<_> = before.iter().chain(&after).collect();
    let asked: Vec<_> = asked
        .iter()
        .filter(|line| line.starts_with("pay"))
        .collect();
    let keys: BTreeSet<_> = asked.iter().collect();
    assert_eq!(keys.len(), 10, "a key for each payment");
    assert_eq!(asked.len(), 11, "one payment was asked for twice");
    assert_eq!(before.last(), after.first(), "with the same key");
    let paid = fs::read_dir(directory.path().join("bank"))?.count();
    assert_eq!(paid, 10, "and each was made once");
    println!("ten people were paid once each, across the crash");
    Ok(())
}

/// The child: an ordinary program with a task hub in it.
#[tokio::main]
async fn pay_in_this_process(directory: &Path) -> Result<(), Box<dyn Error>> {
    let bank = Bank(directory.join("bank"));
    fs::create_dir_all(&bank.0)?;
    let hub = TaskHub::open(directory.join("hub")).await?;
    let worker = hub
        .worker()
        .state(bank)
        .register::<pay_all>()
        .register::<pay>()
        .start()
        .await?;

    let start = hub.client().start_orchestration::<pay_all>(PEOPLE);
    let payday = start.id("payday").use_existing().await?;
    payday.wait_for_completion().await?;
    println!("all are paid");

    worker.shutdown().await;
    hub.close().await?;
    Ok(())
}

/// Pays one after the other.
#[orchestrator]
async fn pay_all(
    ctx: OrchestrationContext,
    people: u32,
) -> Result<(), ActivityError<FailureDetails>> {
    for person in 1..=people {
        ctx.call_activity::<pay>(person).await?;
    }
    Ok(())
}

/// Asks the bank to pay somebody.
#[activity]
fn pay(ctx: ActivityContext, State(bank): State<Bank>, person: u32) -> std::io::Result<()> {
    let key = ctx.idempotency_key();
    println!("pay person {person}, key {key}");
    let is_first_time = bank.pay(&key)?;
    if person == UNLUCKY && is_first_time {
        std::process::abort();
    }
    Ok(())
}

/// The bank: a file for each payment, named by its key, as a service that takes idempotency keys.
#[derive(Clone, Debug)]
struct Bank(PathBuf);

impl Bank {
    /// Pays, unless that was done; whether it was not.
    fn pay(&self, key: &str) -> std::io::Result<bool> {
        let payment = self.0.join(key.replace('/', " "));
        match OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(payment)
        {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }
}
