//! A hub behind the management API, for trying clients: published ones of Durable Functions, your own, curl.
//!
//! ```text
//! cargo run --release -p durable-http-examples --bin http_host -- --allow-anonymous
//!
//! curl -i -X POST -d '{"any": "JSON"}' \
//!     http://127.0.0.1:7071/runtime/webhooks/durabletask/orchestrators/Echo
//! ```
//!
//! It hosts `Echo`, which returns its input as it is; `WaitForGo`, which waits for the event `go` and returns
//! what that brings; and `Boom`, which fails. With `--data` they go on after a kill.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]
#![expect(
    clippy::print_stderr,
    reason = "and says there what is wrong with its arguments"
)]

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use axum::Router;
use durable_core::{EventError, OrchestrationContext, TaskHub, Worker, orchestrator};
use durable_http::{Actions, BuildError, HttpApi, HttpApiBuilder};
use lexopt::prelude::*;
use serde_json::value::RawValue;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BASE: &str = "/runtime/webhooks/durabletask";

const USAGE: &str = "usage: http_host (--key KEY | --allow-anonymous) [OPTION]...

  --listen ADDRESS    where to listen; port 0 is a free one (127.0.0.1:7071)
  --data DIRECTORY    where the hub is kept (in memory)
  --key KEY           an admin key of 16 characters or more; several may be given
  --allow-anonymous   whoever can reach it may do everything
  --page-size N       how many instances are in a list where a client does not say (100)
  --public-url URL    what links begin with (http://ADDRESS)";

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let Err(error) = run().await else {
        return ExitCode::SUCCESS;
    };
    eprintln!("http_host: {error}");
    if error.is::<lexopt::Error>() || error.is::<BuildError>() {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    }
    ExitCode::FAILURE
}

async fn run() -> Result<(), Box<dyn Error>> {
    let Some(args) = Args::parse()? else {
        println!("{USAGE}");
        return Ok(());
    };
    let hub = match &args.data {
        Some(directory) => TaskHub::open(directory).await?,
        None => TaskHub::in_memory().await?,
    };
    let worker = hub
        .worker()
        .register::<Echo>()
        .register::<WaitForGo>()
        .register::<Boom>()
        .start()
        .await?;
    // Bound before links are made: with port 0 the address is known only now.
    let listener = TcpListener::bind(args.listen).await?;
    let address = listener.local_addr()?;
    let app = Router::new().nest_service(BASE, args.api(&hub, address)?);
    println!("listening on http://{address}");
    axum::serve(listener, app)
        .with_graceful_shutdown(shut_down(hub, worker))
        .await?;
    Ok(())
}

/// Until the process is told to end; then closes the hub, so that nobody who waits for an instance or
/// listens to one keeps the server.
async fn shut_down(hub: TaskHub, worker: Worker) {
    if let Err(error) = told_to_end().await {
        tracing::error!(%error, "signals cannot be heard");
        return std::future::pending().await;
    }
    worker.shutdown().await;
    if let Err(error) = hub.close().await {
        tracing::error!(%error, "the hub failed");
    }
}

async fn told_to_end() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

/// Returns its input as it is, to the last space.
#[orchestrator(name = "Echo", type = Echo)]
async fn echo(input: Box<RawValue>) -> Box<RawValue> {
    input
}

/// Returns the data of the event `go`.
#[orchestrator(name = "WaitForGo", type = WaitForGo)]
async fn wait_for_go(
    ctx: OrchestrationContext,
    _input: Box<RawValue>,
) -> Result<Box<RawValue>, EventError> {
    ctx.wait_for_external_event("go").await
}

/// Fails, whatever it is given.
#[orchestrator(name = "Boom", type = Boom)]
async fn boom(_input: Box<RawValue>) -> Result<(), std::io::Error> {
    Err(std::io::Error::other("boom"))
}

/// The command line.
struct Args {
    listen: SocketAddr,
    data: Option<PathBuf>,
    keys: Vec<String>,
    anonymous: Actions,
    page_size: usize,
    public_url: Option<String>,
}

impl Args {
    /// `None` if only help is asked for.
    fn parse() -> Result<Option<Self>, lexopt::Error> {
        let mut args = Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7071)),
            data: None,
            keys: Vec::new(),
            anonymous: Actions::NONE,
            page_size: 100,
            public_url: None,
        };
        let mut parser = lexopt::Parser::from_env();
        while let Some(arg) = parser.next()? {
            match arg {
                Long("listen") => args.listen = parser.value()?.parse()?,
                Long("data") => args.data = Some(parser.value()?.into()),
                Long("key") => args.keys.push(parser.value()?.string()?),
                Long("allow-anonymous") => args.anonymous = Actions::ALL,
                Long("page-size") => args.page_size = parser.value()?.parse_with(page_size)?,
                Long("public-url") => args.public_url = Some(parser.value()?.string()?),
                Short('h') | Long("help") => return Ok(None),
                Short(_) | Long(_) | Value(_) => return Err(arg.unexpected()),
            }
        }
        if args.keys.is_empty() && args.anonymous == Actions::NONE {
            return Err("nobody could use it: give --key or --allow-anonymous".into());
        }
        Ok(Some(args))
    }

    fn api(self, hub: &TaskHub, address: SocketAddr) -> Result<HttpApi, BuildError> {
        let public_url = self
            .public_url
            .unwrap_or_else(|| format!("http://{address}"));
        let builder = HttpApi::builder(hub.client())
            .base_path(BASE)
            .public_url(public_url)
            .allow_anonymous(self.anonymous)
            .page_size(self.page_size);
        let keys = self.keys.iter();
        keys.fold(builder, HttpApiBuilder::admin_key).build()
    }
}

fn page_size(text: &str) -> Result<usize, &'static str> {
    let size = text.parse().ok().filter(|size| (1..=1000).contains(size));
    size.ok_or("a page has 1 to 1000 instances")
}
