//! Function chaining: cities are greeted one after another, each exactly once in the result.
//!
//! ```text
//! cargo run --release --bin chaining [DIRECTORY]
//! ```
//!
//! Every `call_activity(..).await` is a point where the process may die: the next one replays what
//! was recorded up to there and goes on. Give it a directory, press Ctrl-C between two greetings,
//! and start it again with the same directory.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use durable_core::{
    ActivityError, NoError, OrchestrationContext, StartError, TaskHub, activity, orchestrator,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let temporary = tempfile::tempdir()?;
    let directory = std::env::args_os().nth(1).map(PathBuf::from);
    let hub = TaskHub::open(directory.unwrap_or_else(|| temporary.path().join("hub"))).await?;
    let worker = hub
        .worker()
        .register::<greet_cities>()
        .register::<say_hello>()
        .start()
        .await?;

    // A fixed id: a second process finds the instance of the first.
    let client = hub.client();
    match client
        .start_orchestration::<greet_cities>(())
        .id("tour")
        .await
    {
        Ok(_) | Err(StartError::AlreadyExists { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let tour = client.instance::<greet_cities>("tour")?;
    let greetings = tour.wait_for_completion().await?;
    assert_eq!(
        greetings,
        ["Hello, Tokyo!", "Hello, London!", "Hello, Seattle!"]
    );
    println!("{}", greetings.join(" "));

    worker.shutdown().await;
    hub.close().await?;
    Ok(())
}

/// Greets three cities in order.
#[orchestrator]
async fn greet_cities(ctx: OrchestrationContext) -> Result<Vec<String>, ActivityError<NoError>> {
    let mut greetings = Vec::new();
    for city in ["Tokyo", "London", "Seattle"] {
        greetings.push(ctx.call_activity::<say_hello>(city.to_owned()).await?);
    }
    Ok(greetings)
}

/// Greets one city, in its own time.
#[activity]
async fn say_hello(city: String) -> String {
    println!("greeting {city}");
    tokio::time::sleep(Duration::from_millis(500)).await;
    format!("Hello, {city}!")
}
