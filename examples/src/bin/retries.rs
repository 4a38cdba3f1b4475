//! Retries: a failed step is tried again as its policy says, unless its error says that it is no
//! use; and one that must wait for something elsewhere asks to be asked again. None of it is in the
//! orchestrator's history, and all of it survives a restart.
//!
//! ```text
//! cargo run --release --bin retries
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use durable_core::{
    ActivityContext, ActivityError, OrchestrationContext, OrchestrationError, Poll, Resumed,
    RetryPolicy, State, TaskHub, activity, orchestrator,
};
use serde::{Deserialize, Serialize};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let hub = TaskHub::open(directory.path().join("parcels.db")).await?;
    let carrier = Carrier::default();
    let worker = hub
        .worker()
        .state(carrier.clone())
        .register::<deliver>()
        .register::<book>()
        .register::<track>();
    let worker = worker.start().await?;
    let client = hub.client();

    let start = client.start_orchestration::<deliver>("Ada, London".to_owned());
    let delivered = start.await?.wait_for_completion().await?;
    assert_eq!(delivered, "parcel 7 is there");
    assert_eq!(carrier.booked(), 3, "busy twice");

    let start = client.start_orchestration::<deliver>("Nobody, Nowhere".to_owned());
    let refused = start.await?.wait_for_completion().await;
    let unknown = ActivityError::Application(CarrierError::NoSuchPlace);
    match refused {
        Err(OrchestrationError::Application(error)) => assert_eq!(error, unknown),
        other => return Err(format!("it should be refused: {other:?}").into()),
    }
    assert_eq!(carrier.booked(), 4, "not tried again");

    worker.shutdown().await;
    hub.close().await?;
    println!("{delivered}, and the other one was not tried again");
    Ok(())
}

type Delivered = Result<String, ActivityError<CarrierError>>;

#[orchestrator]
async fn deliver(ctx: OrchestrationContext, address: String) -> Delivered {
    let policy = RetryPolicy::exponential(5, Duration::from_millis(10))
        .max_interval(Duration::from_secs(60))
        .jitter(0.2)
        .retry_timeout(Duration::from_secs(24 * 3600));
    let parcel = ctx
        .call_activity::<book>(address)
        .retry(policy)
        .retry_if(|error| *error == CarrierError::Busy)
        .timeout(Duration::from_secs(10))
        .await?;
    ctx.call_activity::<track>(parcel).await
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
enum CarrierError {
    #[error("the carrier is busy")]
    Busy,
    #[error("there is no such place")]
    NoSuchPlace,
}

/// Fails twice before it works.
#[activity]
async fn book(
    ctx: ActivityContext,
    State(carrier): State<Carrier>,
    address: String,
) -> Result<u32, CarrierError> {
    carrier.bookings.fetch_add(1, Ordering::Relaxed);
    if address.ends_with("Nowhere") {
        return Err(CarrierError::NoSuchPlace);
    }
    if ctx.attempt() < 3 {
        return Err(CarrierError::Busy);
    }
    Ok(7)
}

/// Looks now and then where the parcel is. Between two looks nothing runs.
#[activity]
async fn track(
    Resumed(looked): Resumed<u32>,
    parcel: u32,
) -> Result<Poll<String, u32>, CarrierError> {
    let looked = looked.unwrap_or(0);
    Ok(if looked < 3 {
        Poll::again(Duration::from_millis(20), looked + 1)
    } else {
        Poll::Done(format!("parcel {parcel} is there"))
    })
}

/// Somebody else's service.
#[derive(Clone, Default)]
struct Carrier {
    bookings: Arc<AtomicU32>,
}

impl Carrier {
    fn booked(&self) -> u32 {
        self.bookings.load(Ordering::Relaxed)
    }
}
