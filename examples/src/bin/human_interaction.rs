//! Human interaction: an expense waits for somebody's word, but not for ever.
//!
//! ```text
//! cargo run --release --bin human_interaction
//! ```
//!
//! An approval is an external event, the patience a durable timer; whichever comes first decides.
//! Both outlive the process, so the patience could as well be three weeks.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::time::Duration;

use durable_core::{
    ActivityError, EventError, NoError, OrchestrationContext, TaskHub, activity, orchestrator,
};
use serde::{Deserialize, Serialize};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let hub = TaskHub::open(directory.path().join("hub")).await?;
    let worker = hub
        .worker()
        .register::<expense>()
        .register::<ask_manager>()
        .start()
        .await?;
    let client = hub.client();

    let start = async |patience_ms| client.start_orchestration::<expense>(patience_ms).await;
    let approved = start(60_000).await?;
    let refused = start(60_000).await?;
    let forgotten = start(200).await?;

    let word = |approved| Approval {
        approved,
        by: "Ada".to_owned(),
    };
    // An event is kept until somebody waits for it, so it cannot come too early.
    approved.raise_event("Approval", &word(true)).await?;
    refused.raise_event("approval", &word(false)).await?;

    assert_eq!(approved.wait_for_completion().await?, "approved by Ada");
    assert_eq!(refused.wait_for_completion().await?, "refused by Ada");
    assert_eq!(
        forgotten.wait_for_completion().await?,
        "handed to the next in line"
    );
    println!("one was approved, one refused, one handed on");

    worker.shutdown().await;
    hub.close().await?;
    Ok(())
}

/// Somebody's word.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Approval {
    approved: bool,
    by: String,
}

/// Asks, and waits for an answer as long as there is patience.
#[orchestrator]
async fn expense(ctx: OrchestrationContext, patience_ms: u64) -> Result<String, ExpenseError> {
    ctx.call_activity::<ask_manager>(()).await?;
    let patience = Duration::from_millis(patience_ms);
    // `biased` makes the choice the same in every replay, should both be ready at once.
    tokio::select! { biased;
        approval = ctx.wait_for_external_event::<Approval>("Approval") => {
            let Approval { approved, by } = approval?;
            let verdict = if approved { "approved" } else { "refused" };
            Ok(format!("{verdict} by {by}"))
        }
        () = ctx.create_timer(patience) => Ok("handed to the next in line".to_owned()),
    }
}

/// Would send a mail with two buttons in it.
#[activity]
async fn ask_manager() {
    tokio::time::sleep(Duration::from_millis(10)).await;
    println!("may this be spent?");
}

#[derive(Debug, thiserror::Error)]
enum ExpenseError {
    #[error("the manager could not be asked")]
    Ask(#[from] ActivityError<NoError>),
    #[error("the answer could not be read")]
    Answer(#[from] EventError),
}
