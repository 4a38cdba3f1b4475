//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use durable_core::{TaskHub, TaskHubOptions};
use lexopt::prelude::*;

const USAGE: &str = "\
usage: durable-benches WORKLOAD [OPTION..]

what is counted, in each of --concurrency places one after the other:
  chain            steps: activities one after the other in one instance (--steps 1000)
  hello            orchestrations: start, one activity, wait for the end
  events           round trips: start, raise the event that is waited for, wait for the end
  children         children that a parent calls at once (--width 10)
  retry            attempts of an activity that fails but for the last time (--attempts 4)
  http             orchestrations as in `hello`, each a request that waits for the end; before that, on
                   64 connections at most, reads of the status beside a constant of the same server
  continue_as_new  rounds: one activity, then anew

what is measured once:
  fanout           activities at once in one instance (--width 10000)
  rounds           the size on disk and the memory after so many rounds of continue_as_new, and after a
                   hundredth and a tenth of them (--rounds 100000): compacted never, by itself, or
                   whenever the size is looked at; without the 8 MiB of ballast that a hub has
  sleepers         instances on a timer (--instances 1000000): seconds to start them, bytes on disk
                   and in memory, seconds until a new process has opened the hub and ended one of
                   them, after a kill and after the hub was closed
  manage           what an operator does: reads of the status of 10,000 instances in memory (the line's
                   figures), then with --instances 1000000 that have ended pages of 100 for each
                   filter, and a purge of a tenth of them beside orchestrations that run

what is measured again and again, and its median told:
  replay           events of a history in memory, on one core (--steps 1000)

options:
  --concurrency C  1
  --seconds S      how long to measure: 10
  --warmup N       what is counted so often before the measured part begins: 0
  --cache M        MiB of pages that sled keeps in memory: 128
  --live N         orchestrators that are kept in memory between their turns: 20000
  --store S        sled or memory; `rounds` and `sleepers` are of sled only";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workload {
    Chain,
    Hello,
    Fanout,
    Events,
    Children,
    Retry,
    ContinueAsNew,
    Rounds,
    Sleepers,
    Replay,
    Manage,
    Http,
}

impl Workload {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "chain" => Self::Chain,
            "hello" => Self::Hello,
            "fanout" => Self::Fanout,
            "events" => Self::Events,
            "children" => Self::Children,
            "retry" => Self::Retry,
            "continue_as_new" => Self::ContinueAsNew,
            "rounds" => Self::Rounds,
            "sleepers" => Self::Sleepers,
            "replay" => Self::Replay,
            "manage" => Self::Manage,
            "http" => Self::Http,
            _ => return None,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    Sled,
    Memory,
}

impl Store {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sled => "sled",
            Self::Memory => "memory",
        }
    }
}

/// What to run.
#[derive(Clone, Debug)]
pub(crate) struct Args {
    pub(crate) workload: Workload,
    /// Instances at once.
    pub(crate) concurrency: usize,
    /// Activities one after the other in one instance (chain).
    pub(crate) steps: u64,
    /// Activities (fanout) or children at once in one instance.
    pub(crate) width: Option<u64>,
    /// Attempts until an activity succeeds (retry).
    pub(crate) attempts: u32,
    /// Executions of one instance (rounds).
    pub(crate) rounds: u32,
    /// How many sleep.
    pub(crate) instances: u64,
    pub(crate) seconds: Duration,
    /// Operations before the measured part begins, so that sled's cache is full.
    pub(crate) warmup: u64,
    /// MiB of pages that sled keeps in memory.
    pub(crate) cache: u64,
    /// Orchestrators that are kept in memory between their turns.
    pub(crate) live: usize,
    pub(crate) store: Store,
    /// The hub of a process that `sleepers` starts.
    pub(crate) hub: Option<PathBuf>,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            workload: Workload::Chain,
            concurrency: 1,
            steps: 1000,
            width: None,
            attempts: 4,
            rounds: 100_000,
            instances: 1_000_000,
            seconds: Duration::from_secs(10),
            warmup: 0,
            cache: 128,
            live: 20_000,
            store: Store::Sled,
            hub: None,
        }
    }
}

impl Args {
    pub(crate) fn parse() -> Result<Self, lexopt::Error> {
        let mut parser = lexopt::Parser::from_env();
        let mut args = Self::default();
        let mut workload = None;
        while let Some(arg) = parser.next()? {
            match arg {
                Value(name) if workload.is_none() => {
                    workload = Some(Workload::named(&name.string()?).ok_or(USAGE)?);
                }
                Long("help") | Short('h') => return Err(USAGE.into()),
                Long(option) => {
                    let option = option.to_owned();
                    args.option(&option, &mut parser)?;
                }
                Short(_) | Value(_) => return Err(arg.unexpected()),
            }
        }
        args.workload = workload.ok_or(USAGE)?;
        Ok(args)
    }

    fn option(&mut self, option: &str, parser: &mut lexopt::Parser) -> Result<(), lexopt::Error> {
        match option {
            "concurrency" => self.concurrency = parser.value()?.parse()?,
            "steps" => self.steps = parser.value()?.parse()?,
            "width" => self.width = Some(parser.value()?.parse()?),
            "attempts" => self.attempts = parser.value()?.parse()?,
            "rounds" => self.rounds = parser.value()?.parse()?,
            "instances" => self.instances = parser.value()?.parse()?,
            "seconds" => self.seconds = Duration::from_secs_f64(parser.value()?.parse()?),
            "warmup" => self.warmup = parser.value()?.parse()?,
            "cache" => self.cache = parser.value()?.parse()?,
            "live" => self.live = parser.value()?.parse()?,
            "hub" => self.hub = Some(parser.value()?.into()),
            "store" => {
                self.store = parser.value()?.parse_with(|store| match store {
                    "sled" => Ok(Store::Sled),
                    "memory" => Ok(Store::Memory),
                    _ => Err("neither sled nor memory"),
                })?;
            }
            _ => return Err(Long(option).unexpected()),
        }
        Ok(())
    }

    pub(crate) fn options(&self) -> TaskHubOptions {
        TaskHub::options()
            .cache_capacity(self.cache << 20)
            .max_live_instances(self.live)
    }
}
