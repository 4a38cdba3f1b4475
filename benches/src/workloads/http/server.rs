//! The server: hyper, with the management API and a constant.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;

use bytes::Bytes;
use durable_core::Client;
use durable_http::{HttpApi, ResponseBody};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service as _;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::KEY;

/// Where the constant is.
pub(super) const CONSTANT: &str = "/constant";

/// As long as the status of an instance is.
const BODY: &str = r#"{"name":"listen","instanceId":"listens-999","runtimeStatus":"Running","input":"for long","customStatus":null,"output":null,"createdTime":"2026-11-26T11:45:28Z","lastUpdatedTime":"2026-11-26T11:45:28Z"}"#;

pub(super) struct Server {
    pub(super) address: SocketAddr,
    task: JoinHandle<std::io::Result<()>>,
}

impl Server {
    pub(super) async fn start(client: &Client) -> Result<Self, Box<dyn Error>> {
        let api = HttpApi::builder(client.clone()).admin_key(KEY).build()?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                tokio::spawn(serve(stream, api.clone()));
            }
        });
        Ok(Self { address, task })
    }

    pub(super) fn stop(self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, api: HttpApi) -> Result<(), hyper::Error> {
    let api = TowerToHyperService::new(api);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let api = (request.uri().path() != CONSTANT).then(|| api.call(request));
        async move {
            Ok::<Response<Either<ResponseBody, Full<Bytes>>>, Infallible>(match api {
                Some(answer) => answer.await?.map(Either::Left),
                None => constant().map(Either::Right),
            })
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    connection.await
}

fn constant() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(BODY));
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
