//! Activities that really take the process down, on real files.
//!
//! A process of its own, because it runs itself: with a directory in its environment it is the
//! process that dies.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "what is not as expected fails the test")]

use std::env;
use std::future::Future;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use durable_core::{
    ActivityError, Client, NoError, OrchestrationContext, ProblemKind, TaskHub, activity,
    orchestrator,
};

const TEST: &str = "a_process_that_dies_of_its_activities_comes_up_without_them";
const DIRECTORY: &str = "DURABLE_TEST_POISON_DIRECTORY";
const MENDED: &str = "DURABLE_TEST_POISON_MENDED";

const KILLERS: [&str; 2] = ["aborts", "overflows"];
const INNOCENT: [&str; 4] = ["one", "two", "three", "four"];

#[activity]
async fn work(name: String) -> String {
    if env::var_os(MENDED).is_none() {
        match &*name {
            "aborts" => std::process::abort(),
            "overflows" => drop(sum(0)),
            _ => {}
        }
    }
    // Not before the others have begun.
    tokio::time::sleep(Duration::from_millis(50)).await;
    name
}

/// More than any stack holds.
#[expect(unconditional_recursion, reason = "the stack overflows")]
fn sum(n: u64) -> u64 {
    black_box(n + sum(black_box(n + 1)))
}

#[orchestrator]
async fn works(ctx: OrchestrationContext, name: String) -> Result<String, ActivityError<NoError>> {
    ctx.call_activity::<work>(name).await
}

/// What never happens fails instead of hanging.
async fn soon<F: Future>(future: F) -> F::Output {
    let limited = tokio::time::timeout(Duration::from_secs(120), future);
    limited.await.unwrap()
}

/// The process that dies, unless it has nothing left to die of.
#[tokio::main]
async fn process(directory: PathBuf) {
    let hub = TaskHub::open(directory).await.unwrap();
    let worker = hub.worker().register::<works>().register::<work>();
    let client = hub.client();
    for name in KILLERS.into_iter().chain(INNOCENT) {
        let start = client.start_orchestration::<works>(name.to_owned());
        start.id(name).use_existing().await.unwrap();
    }
    let worker = worker.start().await.unwrap();
    let mended = env::var_os(MENDED).is_some();
    for name in KILLERS {
        if mended {
            assert_eq!(
                problem(&client, name).await,
                Some(ProblemKind::PoisonedActivity)
            );
            client.retry(name).await.unwrap();
        } else {
            soon(until_poisoned(&client, name)).await;
        }
    }
    let ends = INNOCENT
        .into_iter()
        .chain(KILLERS.into_iter().filter(|_| mended));
    for name in ends {
        let ended = soon(client.wait_for_completion(name)).await.unwrap();
        let output: String = ended.unwrap().output().unwrap().unwrap();
        assert_eq!(output, name);
    }
    worker.shutdown().await;
    assert!(hub.verify().await.unwrap().is_sound());
    hub.close().await.unwrap();
}

async fn problem(client: &Client, id: &str) -> Option<ProblemKind> {
    let status = client.status(id).await.unwrap().unwrap();
    status.problem().map(durable_core::Problem::kind)
}

/// Nobody is told of problems, so this asks again and again.
async fn until_poisoned(client: &Client, id: &str) {
    while problem(client, id).await.is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn run(directory: &Path, mended: bool) -> ExitStatus {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", TEST])
        .env(DIRECTORY, directory)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if mended {
        command.env(MENDED, "yes");
    }
    command.status().unwrap()
}

#[test]
fn a_process_that_dies_of_its_activities_comes_up_without_them() {
    if let Some(directory) = env::var_os(DIRECTORY) {
        return process(directory.into());
    }
    let temporary = tempfile::tempdir().unwrap();
    let directory = temporary.path().join("orders.db");
    let crashes = (0..20).take_while(|_| !run(&directory, false).success());
    let crashes = crashes.count();
    // Two until it is a pattern, and then three for each of them.
    assert_eq!(crashes, 2 + 3 * KILLERS.len());
    assert!(run(&directory, false).success(), "it stays so");
    assert!(run(&directory, true).success(), "they are mended");
}
