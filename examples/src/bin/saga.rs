//! Saga: a trip is booked step by step, and when a later step fails, what was booked is cancelled in
//! reverse order.
//!
//! ```text
//! cargo run --release --bin saga
//! ```
//!
//! The compensation is ordinary code after an ordinary `Result`, and as durable as everything else:
//! here the hub is closed in the middle of it, and the rest is cancelled when it is opened again.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use durable_core::{
    ActivityContext, ActivityError, OrchestrationContext, OrchestrationError, RetryPolicy, State,
    TaskHub, Worker, activity, orchestrator,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("hub");
    let agency = Agency::default();

    let hub = TaskHub::open(&path).await?;
    let worker = start_worker(&hub, &agency).await?;
    let start = hub.client().start_orchestration::<book_trip>(());
    start.id("trip").await?;
    agency.was_busy.notified().await;
    worker.shutdown().await;
    hub.close().await?;
    println!("closed while the hotel is being cancelled, and opened again");

    let hub = TaskHub::open(&path).await?;
    let worker = start_worker(&hub, &agency).await?;
    let trip = hub.client().instance::<book_trip>("trip")?;
    let outcome = trip.wait_for_completion().await;
    assert!(
        matches!(&outcome, Err(OrchestrationError::Application(ActivityError::Application(no)))
            if *no == Refused("no car left".to_owned())),
        "the trip fails with what was wrong: {outcome:?}"
    );
    assert_eq!(
        agency.done(),
        ["book flight", "book hotel", "cancel hotel", "cancel flight"]
    );
    println!("nothing is booked any more");

    worker.shutdown().await;
    hub.close().await?;
    Ok(())
}

async fn start_worker(hub: &TaskHub, agency: &Agency) -> Result<Worker, Box<dyn Error>> {
    let worker = hub.worker().state(agency.clone());
    let worker = worker.register::<book_trip>();
    let worker = worker.register::<book>().register::<cancel>();
    Ok(worker.start().await?)
}

/// Books all of a trip, or nothing.
#[orchestrator]
async fn book_trip(ctx: OrchestrationContext) -> Result<(), ActivityError<Refused>> {
    let mut booked = Vec::new();
    for part in ["flight", "hotel", "car"] {
        match ctx.call_activity::<book>(part.to_owned()).await {
            Ok(()) => booked.push(part),
            Err(failure) => {
                cancel_all(ctx, booked).await?;
                return Err(failure);
            }
        }
    }
    Ok(())
}

/// Cancels the latest first. It must succeed, so it is tried for a long time.
async fn cancel_all(
    ctx: OrchestrationContext,
    booked: Vec<&str>,
) -> Result<(), ActivityError<Refused>> {
    let patience = RetryPolicy::exponential(20, Duration::from_millis(100))
        .max_interval(Duration::from_secs(3600));
    for part in booked.into_iter().rev() {
        let call = ctx.call_activity::<cancel>(part.to_owned());
        call.retry(patience.clone()).await?;
    }
    Ok(())
}

#[activity]
async fn book(State(agency): State<Agency>, part: String) -> Result<(), Refused> {
    if part == "car" {
        return Err(Refused("no car left".to_owned()));
    }
    agency.note(format!("book {part}"));
    Ok(())
}

/// Cancels, unless the line is busy, which it is the first time.
#[activity]
async fn cancel(
    ctx: ActivityContext,
    State(agency): State<Agency>,
    part: String,
) -> Result<(), Refused> {
    if part == "hotel" && ctx.attempt() == 1 {
        agency.was_busy.notify_one();
        return Err(Refused("the line is busy".to_owned()));
    }
    agency.note(format!("cancel {part}"));
    Ok(())
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{0}")]
struct Refused(String);

/// The world outside, which knows what was done.
#[derive(Clone, Debug, Default)]
struct Agency {
    done: Arc<Mutex<Vec<String>>>,
    was_busy: Arc<Notify>,
}

impl Agency {
    fn note(&self, what: String) {
        println!("{what}");
        self.lock().push(what);
    }

    fn done(&self) -> Vec<String> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
