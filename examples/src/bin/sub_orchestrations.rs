//! Sub-orchestrations: an order is shipped in parcels, each by an orchestration of its own.
//!
//! ```text
//! cargo run --release --bin sub_orchestrations
//! ```
//!
//! A child is an instance as any other: it has an id, a status and a history, and outlives the
//! process. Its result comes back typed, and so does its error: what to make of it is the parent's
//! to decide.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use durable_core::{
    ActivityError, NoError, OrchestrationContext, RuntimeStatus, SubOrchestrationError, TaskHub,
    activity, orchestrator,
};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let hub = TaskHub::open(directory.path().join("hub")).await?;
    let worker = hub
        .worker()
        .register::<ship_order>()
        .register::<ship_parcel>()
        .register::<print_label>()
        .start()
        .await?;
    let client = hub.client();

    let goods = ["tea", "piano", "honey"].map(str::to_owned).to_vec();
    let start = client.start_orchestration::<ship_order>(goods);
    let order = start.id("order-42").await?;
    let Shipment { labels, by_hand } = order.wait_for_completion().await?;
    assert_eq!(labels, ["label of tea", "label of honey"]);
    assert_eq!(by_hand, ["piano"]);

    let piano = client.status("order-42/piano").await?;
    let piano = piano.ok_or("a child can be asked for its status")?;
    assert_eq!(piano.runtime_status(), RuntimeStatus::Failed);
    println!(
        "{}; to be carried: {}",
        labels.join(", "),
        by_hand.join(", ")
    );

    worker.shutdown().await;
    hub.close().await?;
    Ok(())
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Shipment {
    labels: Vec<String>,
    by_hand: Vec<String>,
}

/// Ships all parcels at once; what is too heavy for a parcel is carried.
#[orchestrator]
async fn ship_order(
    ctx: OrchestrationContext,
    goods: Vec<String>,
) -> Result<Shipment, SubOrchestrationError<ParcelError>> {
    let order = ctx.instance_id();
    let parcels = goods.into_iter().map(|good| {
        let call = ctx.call_sub_orchestrator::<ship_parcel>(good.clone());
        call.id(format!("{order}/{good}"))
    });
    let mut shipment = Shipment::default();
    for parcel in join_all(parcels).await {
        match parcel {
            Ok(label) => shipment.labels.push(label),
            Err(SubOrchestrationError::Application(ParcelError::TooHeavy { good })) => {
                shipment.by_hand.push(good);
            }
            Err(other) => return Err(other),
        }
    }
    Ok(shipment)
}

/// Ships one parcel.
#[orchestrator]
async fn ship_parcel(ctx: OrchestrationContext, good: String) -> Result<String, ParcelError> {
    if good == "piano" {
        return Err(ParcelError::TooHeavy { good });
    }
    Ok(ctx.call_activity::<print_label>(good).await?)
}

#[activity]
async fn print_label(good: String) -> String {
    format!("label of {good}")
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
enum ParcelError {
    #[error("{good} is too heavy for a parcel")]
    TooHeavy { good: String },
    #[error("no label")]
    Label(#[from] ActivityError<NoError>),
}
