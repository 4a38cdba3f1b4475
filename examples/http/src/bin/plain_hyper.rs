//! The management routes without a web framework: hyper serves them, and a client that knows the
//! key starts an orchestration, follows its `Location` and reads the output.
//!
//! ```text
//! cargo run --release -p durable-http-examples --bin plain_hyper
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use durable_core::{OrchestrationContext, TaskHub, orchestrator};
use durable_http::HttpApi;
use http_body_util::{BodyExt, Full};
use hyper::header::{HOST, LOCATION};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEY: &str = "an example's key: make your own of random bytes";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let hub = TaskHub::in_memory().await?;
    let worker = hub.worker().register::<shout>().start().await?;
    let api = HttpApi::builder(hub.client()).admin_key(KEY).build()?;

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(serve(listener, api));

    let start = Request::post("/runtime/webhooks/durabletask/orchestrators/shout/order-42")
        .header("x-functions-key", KEY)
        .header("content-type", "application/json");
    let started = ask(address, start.body("\"hello\"".into())?).await?;
    assert_eq!(started.status(), StatusCode::ACCEPTED);

    // Where to look needs no key: it is a link that shows this instance and opens nothing else.
    let location = started.headers()[LOCATION].to_str()?.to_owned();
    let status = loop {
        let reply = ask(address, Request::get(&location).body(Bytes::new())?).await?;
        if reply.status() == StatusCode::OK {
            break serde_json::from_slice::<Value>(reply.body())?;
        }
        assert_eq!(reply.status(), StatusCode::ACCEPTED);
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    println!("{status}");
    assert_eq!(status["output"], "HELLO");

    server.abort();
    worker.shutdown().await;
    hub.close().await?;
    Ok(())
}

/// Accepts connections and lets hyper speak HTTP/1.1 on them.
async fn serve(listener: TcpListener, api: HttpApi) -> std::io::Result<()> {
    let service = TowerToHyperService::new(api);
    loop {
        let (stream, _) = listener.accept().await?;
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(10))
            .serve_connection(TokioIo::new(stream), service.clone());
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                println!("a connection ended early: {error}");
            }
        });
    }
}

/// One request on a connection of its own.
async fn ask(
    address: SocketAddr,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, Box<dyn Error>> {
    let stream = TokioIo::new(TcpStream::connect(address).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    tokio::spawn(connection);
    let mut request = request.map(Full::new);
    let host = address.to_string().parse()?;
    request.headers_mut().insert(HOST, host);
    let (parts, body) = sender.send_request(request).await?.into_parts();
    Ok(Response::from_parts(
        parts,
        body.collect().await?.to_bytes(),
    ))
}

/// Says it louder, after a while.
#[orchestrator]
async fn shout(ctx: OrchestrationContext, text: String) -> String {
    ctx.create_timer(Duration::from_millis(200)).await;
    text.to_uppercase()
}
