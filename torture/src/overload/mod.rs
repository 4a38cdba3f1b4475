//! Loads a hub, and measures what somebody else's instances notice of it.
//!
//! First without a load. Then three loads, each on a hub of its own: an instance for which a hundred thousand events are
//! stored when its worker starts; one at which as many are raised at once; ten thousand instances
//! each of which always has something to do. Beside them a bystander tells an instance something
//! now and then, and looks what has become of it.

mod bystander;
mod load;

use std::fmt;
use std::time::Duration;

use durable_core::{Client, TaskHub, Worker, WorkerError};
use tokio::runtime::Handle;

use self::bystander::{Bystander, Delays};
use crate::clock::Stopwatch;
use crate::line::{complain, say};
use crate::{AnyError, Verdict};

/// What `overload` is told.
#[derive(Debug)]
pub(crate) struct Options {
    /// Events for the one instance.
    pub(crate) events: u64,
    /// Instances that are busy.
    pub(crate) instances: u64,
    /// How long they are.
    pub(crate) seconds: u64,
    /// What the p99 of a turn's delay may be, in milliseconds.
    pub(crate) bound_ms: u64,
}

/// Runs each load, and says what the bystander noticed.
pub(crate) fn run(options: &Options) -> Result<Verdict, AnyError> {
    let [loaded, beside] = [2, 1].map(|threads| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .build()
    });
    let (loaded, beside) = (loaded?, beside?);
    let mut figures = Vec::new();
    for load in [Load::Nothing, Load::Stored, Load::Raised, Load::Busy] {
        figures.push(loaded.block_on(measure(load, options, beside.handle()))?);
    }
    let bound = Duration::from_millis(options.bound_ms);
    let mut verdict = Verdict::Kept;
    for figures in &mut figures {
        let late = figures.delays.turn.percentile(99);
        if late > bound || figures.delays.turn.is_empty() {
            verdict = Verdict::Broken;
            complain(&format!(
                "{}: the p99 of a turn's delay is {late:?} of {} turns; {bound:?} is allowed",
                figures.load,
                figures.delays.turn.len()
            ));
        }
    }
    let figures: Vec<_> = figures.iter_mut().map(Figures::text).collect();
    say(&format!(
        "overload events={} instances={} bound_ms={} {} {}",
        options.events,
        options.instances,
        options.bound_ms,
        figures.join(" "),
        match verdict {
            Verdict::Kept => "kept",
            Verdict::Broken => "BROKEN",
        }
    ))?;
    Ok(verdict)
}

/// What the hub is loaded with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Load {
    /// Nothing: what is measured then is the machine.
    Nothing,
    /// Events that are stored for one instance.
    Stored,
    /// Events that are raised at one instance, all at once.
    Raised,
    /// Instances that always have something to do.
    Busy,
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "idle",
            Self::Stored => "stored",
            Self::Raised => "raised",
            Self::Busy => "busy",
        })
    }
}

/// What came of one load.
struct Figures {
    load: Load,
    delays: Delays,
    /// Events or activities that the load came to, a second.
    per_second: u64,
}

/// So many times are events stored and taken.
const ROUNDS: u64 = 8;

async fn measure(load: Load, options: &Options, beside: &Handle) -> Result<Figures, AnyError> {
    let dir = tempfile::Builder::new()
        .prefix("durable-overload-")
        .tempdir_in(std::env::current_dir()?)?;
    let hub = TaskHub::open(dir.path().join("hub")).await?;
    let client = hub.client();
    let mut bystander = Bystander::start(&client, beside).await?;
    let how_long = Duration::from_secs(options.seconds);
    let per_second = match load {
        Load::Nothing => {
            let worker = start_worker(&hub).await?;
            let nothing = async {
                tokio::time::sleep(how_long).await;
                Ok(())
            };
            bystander.watch(nothing).await?;
            worker.shutdown().await;
            0
        }
        Load::Stored => stored(&hub, &mut bystander, options.events).await?,
        Load::Raised => {
            let worker = start_worker(&hub).await?;
            let raised = bystander.watch(raised(&client, options.events, how_long));
            let per_second = raised.await?;
            worker.shutdown().await;
            per_second
        }
        Load::Busy => {
            let worker = start_worker(&hub).await?;
            let busy = bystander.watch(load::keep_busy(&client, options.instances, how_long));
            let per_second = busy.await?;
            worker.shutdown().await;
            per_second
        }
    };
    hub.close().await?;
    Ok(Figures {
        load,
        delays: bystander.delays,
        per_second,
    })
}

async fn start_worker(hub: &TaskHub) -> Result<Worker, WorkerError> {
    let worker = hub.worker().register_all();
    worker.shutdown_timeout(Duration::ZERO).start().await
}

/// What a worker finds when it starts, it finds at once.
async fn stored(hub: &TaskHub, bystander: &mut Bystander, events: u64) -> Result<u64, AnyError> {
    let mut taking = Duration::ZERO;
    for _ in 0..ROUNDS {
        let instance = load::store_events(&hub.client(), events).await?;
        let since = Stopwatch::start();
        let taken = async {
            let worker = start_worker(hub).await?;
            load::take_events(instance, events).await?;
            Ok(worker)
        };
        let worker = bystander.watch(taken).await?;
        taking += since.elapsed();
        worker.shutdown().await;
    }
    Ok(load::rate(ROUNDS * events, taking))
}

async fn raised(client: &Client, events: u64, how_long: Duration) -> Result<u64, AnyError> {
    let (since, mut raised) = (Stopwatch::start(), 0);
    while since.elapsed() < how_long {
        load::raise_events(client, events).await?;
        raised += events;
    }
    Ok(load::rate(raised, since.elapsed()))
}

impl Figures {
    /// Milliseconds, for the closing line.
    fn text(&mut self) -> String {
        let Self {
            load,
            delays,
            per_second,
        } = self;
        let mut texts = vec![format!(
            "{load}_per_s={per_second} {load}_turns={}",
            delays.turn.len()
        )];
        let kinds = [
            ("read", &mut delays.read),
            ("turn", &mut delays.turn),
            ("hello", &mut delays.hello),
        ];
        for (kind, delays) in kinds {
            let ms = |delay: Duration| delay.as_secs_f64() * 1000.0;
            let [p50, p99, max] = [50, 99, 100].map(|share| ms(delays.percentile(share)));
            texts.push(format!("{load}_{kind}_ms={p50:.1}/{p99:.1}/{max:.1}"));
        }
        texts.join(" ")
    }
}
