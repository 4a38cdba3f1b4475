//! Versioning: what was begun under version 1 ends under version 1, after version 2 was deployed.
//!
//! ```text
//! cargo run --release --bin versioning
//! ```
//!
//! An instance keeps the version it was started with. So code that asks for other steps than before
//! becomes a new version, and the old one stays registered until its last instance has ended.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use durable_core::{
    ActivityError, EventError, NoError, OrchestrationContext, TaskHub, activity, orchestrator,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("hub");

    // January: there is one version.
    let hub = TaskHub::open(&path).await?;
    let worker = hub
        .worker()
        .register::<v1::bill>()
        .register::<charge>()
        .start()
        .await?;
    let start = hub.client().start_orchestration::<v1::bill>(100);
    start.id("January").await?;
    worker.shutdown().await;
    hub.close().await?;

    // February: a deploy brings the next. The bill of January has not been paid yet.
    let hub = TaskHub::open(&path).await?;
    let worker = hub
        .worker()
        .register::<v1::bill>()
        .register::<v2::bill>()
        .register::<charge>()
        .register::<add_tax>()
        .start()
        .await?;
    let client = hub.client();
    let january = client.instance::<v1::bill>("January")?;
    let start = client.start_orchestration::<v2::bill>(100);
    let february = start.id("February").await?;

    january.raise_event("Approved", &()).await?;
    february.raise_event("Approved", &()).await?;
    let (before, after) = (
        january.wait_for_completion().await?,
        february.wait_for_completion().await?,
    );
    assert_eq!(before, "charged 100");
    assert_eq!(after, "charged 119");
    println!("January: {before}; February: {after}");

    worker.shutdown().await;
    hub.close().await?;
    Ok(())
}

mod v1 {
    use super::{BillError, OrchestrationContext, charge, orchestrator};

    /// Charges what was approved.
    #[orchestrator(name = "bill", version = "1")]
    pub(crate) async fn bill(ctx: OrchestrationContext, amount: u64) -> Result<String, BillError> {
        ctx.wait_for_external_event::<()>("Approved").await?;
        Ok(ctx.call_activity::<charge>(amount).await?)
    }
}

mod v2 {
    use super::{BillError, OrchestrationContext, add_tax, charge, orchestrator};

    /// As before, but with tax.
    #[orchestrator(name = "bill", version = "2")]
    pub(crate) async fn bill(ctx: OrchestrationContext, amount: u64) -> Result<String, BillError> {
        let amount = ctx.call_activity::<add_tax>(amount).await?;
        ctx.wait_for_external_event::<()>("Approved").await?;
        Ok(ctx.call_activity::<charge>(amount).await?)
    }
}

#[activity]
async fn add_tax(amount: u64) -> u64 {
    amount + amount * 19 / 100
}

#[activity]
async fn charge(amount: u64) -> String {
    format!("charged {amount}")
}

#[derive(Debug, thiserror::Error)]
enum BillError {
    #[error("it could not be charged")]
    Charge(#[from] ActivityError<NoError>),
    #[error("the approval could not be read")]
    Approval(#[from] EventError),
}
