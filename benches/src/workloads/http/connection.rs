//! Clients: each has a connection that is kept, and asks again when it is answered.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::try_join_all;
use http::header::HOST;
use http::{HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{Failure, INSTANCES, KEY};
use crate::measure::{self, Latencies};

/// What is asked.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) path: &'static str,
    /// What the instances are called, if a number comes behind the path.
    pub(super) ids: Option<&'static str>,
    pub(super) body: &'static str,
}

/// How fast it was answered.
pub(super) struct Rate {
    pub(super) per_second: f64,
    pub(super) latencies: Latencies,
}

pub(super) struct Connections(Vec<Connection>);

struct Connection {
    requests: SendRequest<Full<Bytes>>,
    /// Each begins with another instance, and takes steps that are prime to their number.
    next: usize,
}

impl Connections {
    pub(super) async fn open(
        address: SocketAddr,
        connections: usize,
    ) -> Result<Self, Box<dyn Error>> {
        let opened = (0..connections).map(|number| Connection::open(address, number * 113));
        Ok(Self(try_join_all(opened).await?))
    }

    /// Asks through all of them for so long.
    pub(super) async fn ask(
        &mut self,
        ask: &Ask,
        length: Duration,
    ) -> Result<Rate, Box<dyn Error>> {
        let begin = measure::now();
        let asking = self.0.drain(..).map(|mut connection| {
            let ask = ask.clone();
            tokio::spawn(async move {
                let mut latencies = Latencies::default();
                while begin.elapsed() < length {
                    let one = measure::now();
                    connection.ask(&ask).await?;
                    latencies.add(one.elapsed());
                }
                Ok::<_, Failure>((connection, latencies))
            })
        });
        let asking: Vec<_> = asking.collect();
        let mut latencies = Latencies::default();
        for asked in try_join_all(asking).await? {
            let (connection, its) = asked.map_err(|failure| failure as Box<dyn Error>)?;
            self.0.push(connection);
            latencies.append(its);
        }
        let per_second = latencies.len() as f64 / begin.elapsed().as_secs_f64();
        Ok(Rate {
            per_second,
            latencies,
        })
    }
}

impl Connection {
    async fn open(address: SocketAddr, next: usize) -> Result<Self, Box<dyn Error>> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (requests, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { requests, next })
    }

    async fn ask(&mut self, ask: &Ask) -> Result<(), Failure> {
        let uri = match ask.ids {
            Some(ids) => {
                self.next = (self.next + 71) % INSTANCES;
                Uri::try_from(format!("{}{ids}{}", ask.path, self.next))?
            }
            None => Uri::from_static(ask.path),
        };
        let mut request = Request::new(Full::from(ask.body));
        *request.method_mut() = ask.method.clone();
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_static("127.0.0.1"));
        headers.insert("x-functions-key", HeaderValue::from_static(KEY));
        self.requests.ready().await?;
        let response = self.requests.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        // A start that is answered 202 has not waited for its end.
        let expected = status == 200 || (ask.method == Method::GET && status == 202);
        if !expected || body.is_empty() {
            return Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into());
        }
        Ok(())
    }
}
