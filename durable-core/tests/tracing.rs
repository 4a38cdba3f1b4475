//! What orchestrators and activities log with `tracing`: once each, and whose it is.
//!
//! A process of its own, because it listens to all that the process logs.
#![expect(clippy::unwrap_used, reason = "what is not as expected fails the test")]

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use durable_core::{
    ActivityError, NoError, OrchestrationContext, TaskHub, Worker, activity, orchestrator,
};
use tempfile::TempDir;

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct ToLog;

impl io::Write for ToLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines of an instance, without what is the same in all.
fn lines(instance: &str) -> Vec<String> {
    let log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    let log = String::from_utf8(log.clone()).unwrap();
    let of = format!("instance={instance} execution=0 ");
    let text = |line: &str| line.contains(&of).then(|| line.replace(&of, ""));
    let lines = log.lines().filter_map(text);
    lines
        .map(|line| line.trim().replace(" tracing: ", " ").replace("INFO ", ""))
        .collect()
}

/// Here alone something is logged, so that every line is of the same place in the code.
fn say(what: &str) {
    tracing::info!("{what}");
}

struct SaysGoodbye;

impl Drop for SaysGoodbye {
    fn drop(&mut self) {
        say("goodbye");
    }
}

#[activity]
async fn work() {
    tokio::task::yield_now().await;
    say("works");
}

#[activity]
fn block() {
    say("blocks");
}

#[orchestrator]
async fn talker(ctx: OrchestrationContext) -> Result<(), ActivityError<NoError>> {
    let _goodbye = SaysGoodbye;
    say("begins");
    let () = ctx.wait_for_external_event("a").await.unwrap();
    say("a");
    let span = tracing::info_span!("inner");
    let () = ctx.wait_for_external_event("b").await.unwrap();
    span.in_scope(|| say("b"));
    ctx.call_activity::<work>(()).await?;
    ctx.call_activity::<block>(()).await?;
    let step = || async {
        say("steps");
        Ok::<_, NoError>(())
    };
    ctx.run("step", step).await?;
    say("ends");
    Ok(())
}

/// What `talker` was before.
#[orchestrator(name = "talker")]
async fn quiet(ctx: OrchestrationContext) -> Result<(), ActivityError<NoError>> {
    let () = ctx.wait_for_external_event("a").await.unwrap();
    let () = ctx.wait_for_external_event("b").await.unwrap();
    ctx.call_activity::<work>(()).await
}

async fn worker(hub: &TaskHub) -> Worker {
    let worker = hub.worker().register::<talker>();
    let worker = worker.register::<work>().register::<block>();
    worker.start().await.unwrap()
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future)
        .await
        .unwrap()
}

const LINES: [&str; 8] = [
    "orchestrator{name=\"talker\"}: begins",
    "orchestrator{name=\"talker\"}: a",
    "orchestrator{name=\"talker\"}: b",
    "activity{name=\"work\" attempt=1}: works",
    "activity{name=\"block\" attempt=1}: blocks",
    "activity{name=\"step\" attempt=1}: steps",
    "orchestrator{name=\"talker\"}: ends",
    "orchestrator{name=\"talker\"}: goodbye",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_logged_is_heard_once() {
    tracing_subscriber::fmt()
        .with_writer(|| ToLog)
        .with_ansi(false)
        .without_time()
        .init();
    // Before any line was passed.
    a_line_first_passed_in_a_replay_is_heard_when_it_is_new().await;
    each_line_is_heard_once_also_across_restarts().await;
    a_history_that_becomes_long_is_warned_of_once().await;
    // Nor by somebody who does not say who it is: what is dropped in an eviction goes on.
    let log = String::from_utf8(LOG.lock().unwrap().clone()).unwrap();
    assert_eq!(log.matches("goodbye").count(), 3, "{log}");
}

async fn a_line_first_passed_in_a_replay_is_heard_when_it_is_new() {
    let hub = TaskHub::in_memory().await.unwrap();
    let before = hub.worker().register::<quiet>().start().await.unwrap();
    let start = hub.client().start_orchestration::<quiet>(());
    let instance = start.id("late").await.unwrap();
    instance.raise_event("a", &()).await.unwrap();
    before.shutdown().await;
    let _now = worker(&hub).await;
    instance.raise_event("b", &()).await.unwrap();
    soon(instance.wait_for_completion()).await.unwrap();
    assert_eq!(lines("late"), LINES[2..]);
}

/// Takes seven events, which with its start makes eight.
#[orchestrator]
async fn listener(ctx: OrchestrationContext) {
    for _ in 0..7 {
        let () = ctx.wait_for_external_event("a").await.unwrap();
    }
}

async fn a_history_that_becomes_long_is_warned_of_once() {
    let warned = || {
        let lines = lines("long");
        lines
            .iter()
            .filter(|line| line.contains("becomes too long"))
            .count()
    };
    let hub = TaskHub::options().max_history(8).open_in_memory();
    let hub = hub.await.unwrap();
    let start = hub.client().start_orchestration::<listener>(());
    let instance = start.id("long").await.unwrap();
    for event in 1..=7 {
        // At three quarters it is said, whoever has counted before.
        let worker = hub.worker().register::<listener>().start().await.unwrap();
        instance.raise_event("a", &()).await.unwrap();
        assert_eq!(warned(), usize::from(event >= 6), "{event}");
        worker.shutdown().await;
    }
    soon(instance.wait_for_completion()).await.unwrap();
}

async fn each_line_is_heard_once_also_across_restarts() {
    let directory = TempDir::new().unwrap();
    for place in ["memory", "disk"] {
        let path = directory.path().join("hub.db");
        let open = async || match place {
            "memory" => TaskHub::in_memory().await.unwrap(),
            _ => TaskHub::open(&path).await.unwrap(),
        };
        let mut hub = open().await;
        let mut running = worker(&hub).await;
        let start = hub.client().start_orchestration::<talker>(());
        start.id(place).await.unwrap();
        for event in ["a", "b"] {
            hub.client().raise_event(place, event, &()).await.unwrap();
            running.shutdown().await;
            if place == "disk" {
                hub.close().await.unwrap();
                hub = open().await;
            }
            running = worker(&hub).await;
        }
        let instance = hub.client().instance::<talker>(place).unwrap();
        soon(instance.wait_for_completion()).await.unwrap();
        assert_eq!(lines(place), LINES);
        running.shutdown().await;
        hub.close().await.unwrap();
    }
}
