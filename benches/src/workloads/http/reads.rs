//! Reads of the status, in slices between those in which the same server answers a constant.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use http::Method;
use serde::Serialize;

use super::connection::{Ask, Connections};
use super::server::CONSTANT;
use crate::measure::{self, Latencies};

const SLICE: Duration = Duration::from_millis(500);
const INSTANCES: &str = "/runtime/webhooks/durabletask/instances/";

/// What the reads came to.
#[derive(Debug, Serialize)]
pub(super) struct Reads {
    connections: usize,
    constant_per_s: f64,
    running: Read,
    ended: Read,
}

/// Of one kind of instances.
#[derive(Debug, Serialize)]
struct Read {
    per_s: f64,
    /// Of the constant's.
    ratio: f64,
    /// The same by the CPU that a request costs, which tells more where other processes run, too.
    cpu_ratio: f64,
    p50_ms: f64,
    p99_ms: f64,
}

/// What one kind of request came to, slice by slice.
#[derive(Default)]
struct Seen {
    rates: Vec<f64>,
    cpu_seconds: f64,
    latencies: Latencies,
}

pub(super) async fn run(
    address: SocketAddr,
    connections: usize,
    length: Duration,
) -> Result<Reads, Box<dyn Error>> {
    let get = |path, ids| Ask {
        method: Method::GET,
        path,
        ids,
        body: "",
    };
    let kinds = [
        get(CONSTANT, None),
        get(INSTANCES, Some("listens-")),
        get(INSTANCES, Some("ended-")),
    ];
    let mut seen = [Seen::default(), Seen::default(), Seen::default()];
    let mut open = Connections::open(address, connections).await?;
    let begin = measure::now();
    loop {
        for (ask, seen) in kinds.iter().zip(&mut seen) {
            let cpu = measure::cpu_seconds();
            let rate = open.ask(ask, SLICE).await?;
            seen.cpu_seconds += measure::cpu_seconds() - cpu;
            seen.rates.push(rate.per_second);
            seen.latencies.append(rate.latencies);
        }
        if begin.elapsed() >= length {
            break;
        }
    }
    let [constant, running, ended] = &mut seen;
    let constant_per_s = measure::median(&mut constant.rates);
    let constant_cpu = constant.cpu();
    Ok(Reads {
        connections,
        constant_per_s: constant_per_s.round(),
        running: running.told(constant_per_s, constant_cpu),
        ended: ended.told(constant_per_s, constant_cpu),
    })
}

impl Seen {
    /// Seconds of CPU that a request costs, server and client.
    fn cpu(&self) -> f64 {
        self.cpu_seconds / self.latencies.len() as f64
    }

    fn told(&mut self, constant_per_s: f64, constant_cpu: f64) -> Read {
        let thousandths = |ratio: f64| (ratio * 1000.0).round() / 1000.0;
        let per_s = measure::median(&mut self.rates);
        Read {
            per_s: per_s.round(),
            ratio: thousandths(per_s / constant_per_s),
            cpu_ratio: thousandths(constant_cpu / self.cpu()),
            p50_ms: self.latencies.percentile(0.5),
            p99_ms: self.latencies.percentile(0.99),
        }
    }
}
