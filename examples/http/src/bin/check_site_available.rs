//! An orchestrator that calls a site and says whether it is there.
//!
//! ```text
//! cargo run --release -p durable-http-examples --bin check_site_available
//! cargo run --release -p durable-http-examples --bin check_site_available -- https://www.rust-lang.org/
//! ```
//!
//! Without a URL it starts a server of its own and looks at that: a page that is there, one that is not, a
//! site that is busy twice before it answers, and a port on which nobody listens. With one it reaches public
//! addresses only: try `http://127.0.0.1/`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use durable_core::{
    ActivityError, Client, OrchestrationContext, RetryPolicy, TaskHub, orchestrator,
};
use durable_http::{
    CallHttp, HttpActivity, HttpCallError, HttpCalls, HttpClient, HttpRequest, OutboundPolicy,
};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T = (), E = Box<dyn Error>> = std::result::Result<T, E>;

#[tokio::main]
async fn main() -> Result {
    let url = std::env::args().nth(1);
    let policy = match &url {
        Some(_) => OutboundPolicy::public(),
        None => OutboundPolicy::public().allow_network("127.0.0.0/8")?,
    };
    let hub = TaskHub::in_memory().await?;
    let worker = hub
        .worker()
        .state(HttpCalls::new(HttpClient::new(policy)))
        .register::<check_site_available>()
        .register::<HttpActivity>()
        .start()
        .await?;
    match url {
        Some(url) => println!("{:?}", check(&hub.client(), url).await?),
        None => check_own_server(&hub.client()).await?,
    }
    worker.shutdown().await;
    hub.close().await?;
    Ok(())
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Site {
    /// It answers, and with success.
    Up,
    /// It answers with this status instead.
    Unwell(u16),
    /// There is no answer.
    Down,
}

/// Calls the site, three times at most while it is busy or does not answer.
#[orchestrator]
async fn check_site_available(
    ctx: OrchestrationContext,
    url: String,
) -> Result<Site, ActivityError<HttpCallError>> {
    let request = HttpRequest::get(url)
        .timeout(Duration::from_secs(10))
        .retry(RetryPolicy::exponential(3, Duration::from_millis(200)))
        .retry_statuses([429, 503]);
    match ctx.call_http(request).await {
        Ok(answer) if answer.is_success() => Ok(Site::Up),
        Ok(answer) => Ok(Site::Unwell(answer.status())),
        Err(ActivityError::Application(HttpCallError::Status(last))) => {
            Ok(Site::Unwell(last.status()))
        }
        Err(
            ActivityError::TimedOut(_)
            | ActivityError::Application(HttpCallError::Unreachable(_) | HttpCallError::Untrusted(_)),
        ) => Ok(Site::Down),
        // A URL that is none, or leads where requests may not go.
        Err(error) => Err(error),
    }
}

async fn check(client: &Client, url: String) -> Result<Site> {
    let instance = client
        .start_orchestration::<check_site_available>(url)
        .await?;
    Ok(instance.wait_for_completion().await?)
}

async fn check_own_server(client: &Client) -> Result {
    let busy = Arc::new(AtomicU32::new(2));
    let busy = move || {
        let left = busy.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            left.checked_sub(1)
        });
        let status = left.map_or(StatusCode::OK, |_| StatusCode::SERVICE_UNAVAILABLE);
        async move { status }
    };
    let app = Router::new()
        .route("/", get("welcome"))
        .route("/busy", get(busy));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let site = format!("http://{}", listener.local_addr()?);
    let server = tokio::spawn(async { axum::serve(listener, app).await });
    // A port that was free a moment ago.
    let nobody = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;

    for (url, expected) in [
        (format!("{site}/"), Site::Up),
        (format!("{site}/no-such-page"), Site::Unwell(404)),
        (format!("{site}/busy"), Site::Up),
        (format!("http://{nobody}/"), Site::Down),
    ] {
        let found = check(client, url.clone()).await?;
        println!("{url}: {found:?}");
        assert_eq!(found, expected);
    }
    // What is no public address, and was not allowed, is not called.
    let metadata = check(client, "http://169.254.169.254/".to_owned()).await;
    let refused = metadata.expect_err("it is refused").to_string();
    println!("http://169.254.169.254/: {refused}");
    assert!(refused.contains("no address that requests may go to"));
    server.abort();
    Ok(())
}
