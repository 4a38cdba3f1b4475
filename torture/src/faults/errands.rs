//! The process that meets a fault: a hub, a worker, and clients that say what they ask for and what
//! they are told. The same process without a fault takes up what another one has left.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use durable_core::{Client, HubError, InstanceError, StartError, TaskHub, TaskHubOptions};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::hook::{Fault, Faulty};
use crate::AnyError;
use crate::line::{Digest, say};
use crate::population::child::watch_panics;
use crate::population::{Member, NOTE, registered, start_one};

/// What it is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Brief {
    pub(super) dir: PathBuf,
    pub(super) fault: Option<Fault>,
    /// Instances that others have begun.
    pub(super) begun: Vec<u64>,
    /// New ones, and how many of them are under way at once.
    pub(super) new: std::ops::Range<u64>,
    pub(super) at_once: u64,
    pub(super) descriptors: Option<Descriptors>,
    /// What the hub leaves free on its disk.
    pub(super) min_free_space: u64,
    /// How long it does nothing, once everything has ended.
    pub(super) idle_ms: u64,
}

/// All file descriptors that there are are taken, and so many given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Descriptors {
    pub(super) left: usize,
    /// Before the hub is opened, or when it is open.
    pub(super) before_open: bool,
}

/// What it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Said {
    Opened,
    /// The hub was not opened.
    Refused {
        kind: String,
        error: String,
    },
    /// Something is about to be asked for.
    Asked {
        n: u64,
        what: What,
    },
    /// It was acknowledged.
    Told {
        n: u64,
        what: What,
    },
    /// The instance has ended: with this output, if with any.
    Ended {
        n: u64,
        output: Option<Digest>,
    },
    /// There is no such instance.
    Missing {
        n: u64,
    },
    /// It was not acknowledged.
    Denied {
        n: u64,
        what: What,
        why: Why,
        error: String,
    },
    /// How much of the processor it has used while it had nothing to do.
    Idled {
        cpu_ms: u64,
    },
    /// How the hub is doing, before it is closed.
    Health {
        ready: bool,
    },
    Closed {
        error: Option<String>,
    },
    Panicked {
        text: String,
    },
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum What {
    Start,
    Note(usize),
    End,
}

/// Why something is not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Why {
    /// The store has failed.
    Store,
    Closed,
    /// There is too little space on the disk.
    Space,
    /// Something that has nothing to do with a store.
    Other,
}

/// A client gives up after so many denials in a row.
const DENIALS: u32 = 3;

/// The process itself.
pub(crate) fn run() -> Result<(), AnyError> {
    let brief: Brief = serde_json::from_reader(io::stdin().lock())?;
    let panics = watch_panics();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(work(brief))?;
    drop(runtime);
    for text in panics
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .drain(..)
    {
        report(&Said::Panicked { text });
    }
    Ok(())
}

async fn work(brief: Brief) -> Result<(), AnyError> {
    let take = |before_open| match brief.descriptors {
        Some(descriptors) if descriptors.before_open == before_open => {
            take_all_but(descriptors.left)
        }
        Some(_) | None => Vec::new(),
    };
    let before_open = take(true);
    let mut options: TaskHubOptions = TaskHub::options().min_free_space(brief.min_free_space);
    if let Some(fault) = brief.fault {
        // So few that instances are read again and again.
        options = options
            .max_live_instances(4)
            .store_hook(Arc::new(Faulty::new(fault)));
    }
    let hub = match options.open(&brief.dir).await {
        Ok(hub) => hub,
        Err(error) => {
            let kind = format!("{error:?}")
                .split([' ', '{'])
                .next()
                .unwrap_or_default()
                .to_owned();
            report(&Said::Refused {
                kind,
                error: error.to_string(),
            });
            return Ok(());
        }
    };
    report(&Said::Opened);
    let while_open = take(false);
    let worker = registered(hub.worker())
        .shutdown_timeout(Duration::from_secs(5))
        .start()
        .await;
    let errands = Errands {
        client: hub.client(),
        next: AtomicU64::new(brief.new.start),
    };
    join_all(brief.begun.iter().map(|n| errands.finish(*n))).await;
    join_all((0..brief.at_once).map(|_| errands.lane(brief.new.end))).await;
    if brief.idle_ms > 0 {
        let before = cpu_ms()?;
        tokio::time::sleep(Duration::from_millis(brief.idle_ms)).await;
        report(&Said::Idled {
            cpu_ms: cpu_ms()? - before,
        });
    }
    drop((before_open, while_open));
    if let Ok(worker) = worker {
        worker.shutdown().await;
    }
    drop(errands);
    report(&Said::Health {
        ready: hub.health().is_ready(),
    });
    let closed = hub.close().await;
    report(&Said::Closed {
        error: closed.err().map(|error| error.to_string()),
    });
    Ok(())
}

/// Clients of one hub.
struct Errands {
    client: Client,
    next: AtomicU64,
}

impl Errands {
    /// One new instance after the other, until there are enough or nothing is acknowledged.
    async fn lane(&self, end: u64) {
        let mut denials = 0;
        while denials < DENIALS {
            let n = self.next.fetch_add(1, Ordering::Relaxed);
            if n >= end {
                return;
            }
            match self.errand(n).await {
                Some(()) => denials = 0,
                None => denials += 1,
            }
        }
    }

    async fn errand(&self, n: u64) -> Option<()> {
        let member = Member::errand(n);
        report(&Said::Asked {
            n,
            what: What::Start,
        });
        let started = start_one(&self.client, member).await;
        settle(n, What::Start, started.map_err(of_start))?;
        for (place, note) in member.notes().iter().enumerate() {
            self.note(n, place, note).await?;
        }
        self.end(n).await
    }

    async fn note(&self, n: u64, place: usize, note: &str) -> Option<()> {
        let what = What::Note(place);
        report(&Said::Asked { n, what });
        let raised = self
            .client
            .raise_event(Member::errand(n).id(), NOTE, note)
            .await;
        settle(n, what, raised.map_err(of_instance))
    }

    async fn end(&self, n: u64) -> Option<()> {
        let what = What::End;
        report(&Said::Asked { n, what });
        match self
            .client
            .wait_for_completion(Member::errand(n).id())
            .await
        {
            Ok(Some(status)) => {
                let output = status.output_json().map(Digest::of);
                report(&Said::Ended { n, output });
                Some(())
            }
            Ok(None) => {
                report(&Said::Missing { n });
                Some(())
            }
            Err(error) => settle(n, what, Err((of_hub(&error), error.to_string()))),
        }
    }

    /// Tells an instance that was begun before all that it may still wait for, and waits.
    async fn finish(&self, n: u64) {
        let member = Member::errand(n);
        for note in member.late_notes() {
            // It may have ended, or not be there at all.
            drop(self.client.raise_event(member.id(), NOTE, &note).await);
        }
        self.end(n).await;
    }
}

fn settle(n: u64, what: What, answer: Result<(), (Why, String)>) -> Option<()> {
    match answer {
        Ok(()) => {
            report(&Said::Told { n, what });
            Some(())
        }
        Err((why, error)) => {
            report(&Said::Denied {
                n,
                what,
                why,
                error,
            });
            None
        }
    }
}

fn of_start(error: StartError) -> (Why, String) {
    let why = if let StartError::Hub(error) = &error {
        of_hub(error)
    } else if matches!(error, StartError::LowOnSpace { .. }) {
        Why::Space
    } else {
        Why::Other
    };
    (why, error.to_string())
}

fn of_instance(error: InstanceError) -> (Why, String) {
    let why = if let InstanceError::Hub(error) = &error {
        of_hub(error)
    } else if matches!(error, InstanceError::LowOnSpace { .. }) {
        Why::Space
    } else {
        Why::Other
    };
    (why, error.to_string())
}

fn of_hub(error: &HubError) -> Why {
    match error {
        HubError::Store(_) => Why::Store,
        HubError::Closed => Why::Closed,
        HubError::Overloaded { .. } | _ => Why::Other,
    }
}

fn take_all_but(left: usize) -> Vec<std::fs::File> {
    let mut all: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
    all.truncate(all.len().saturating_sub(left));
    all
}

/// How much of the processor this process has used.
fn cpu_ms() -> Result<u64, AnyError> {
    const TICKS_PER_S: u64 = 100;
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // After the name, which may hold anything: state is the 3rd, user and system time the 14th and
    // 15th.
    let (_, rest) = stat.rsplit_once(')').ok_or("no name in /proc/self/stat")?;
    let ticks: u64 = rest
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(str::parse::<u64>)
        .sum::<Result<u64, std::num::ParseIntError>>()?;
    Ok(ticks * 1000 / TICKS_PER_S)
}

/// Without a reader there is nobody to work for.
fn report(said: &Said) {
    let said = serde_json::to_string(said).map_err(io::Error::other);
    if said.and_then(|text| say(&text)).is_err() {
        std::process::exit(3);
    }
}
