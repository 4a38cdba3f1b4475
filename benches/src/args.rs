//! The command line.

use std::time::Duration;

use lexopt::prelude::*;

const USAGE: &str = "usage: durable-benches chain|hello|fanout [--concurrency C] [--steps N] [--width N] \
    [--seconds S] [--warmup OPERATIONS] [--store sled|memory]";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workload {
    Chain,
    Hello,
    Fanout,
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
    /// Activities at once in one instance (fanout).
    pub(crate) width: u64,
    pub(crate) seconds: Duration,
    /// Operations before the measured part begins, so that sled's cache is full.
    pub(crate) warmup: u64,
    pub(crate) store: Store,
}

impl Args {
    pub(crate) fn parse() -> Result<Self, lexopt::Error> {
        let mut parser = lexopt::Parser::from_env();
        let mut args = Self {
            workload: Workload::Chain,
            concurrency: 1,
            steps: 1000,
            width: 10_000,
            seconds: Duration::from_secs(10),
            warmup: 0,
            store: Store::Sled,
        };
        let mut workload = None;
        while let Some(arg) = parser.next()? {
            match arg {
                Long("concurrency") => args.concurrency = parser.value()?.parse()?,
                Long("steps") => args.steps = parser.value()?.parse()?,
                Long("width") => args.width = parser.value()?.parse()?,
                Long("seconds") => args.seconds = Duration::from_secs_f64(parser.value()?.parse()?),
                Long("warmup") => args.warmup = parser.value()?.parse()?,
                Long("store") => {
                    args.store = parser.value()?.parse_with(|store| match store {
                        "sled" => Ok(Store::Sled),
                        "memory" => Ok(Store::Memory),
                        _ => Err("neither sled nor memory"),
                    })?;
                }
                Value(value) if workload.is_none() => {
                    workload = Some(value.parse_with(|workload| match workload {
                        "chain" => Ok(Workload::Chain),
                        "hello" => Ok(Workload::Hello),
                        "fanout" => Ok(Workload::Fanout),
                        _ => Err(USAGE),
                    })?);
                }
                Short(_) | Long(_) | Value(_) => return Err(arg.unexpected()),
            }
        }
        args.workload = workload.ok_or(USAGE)?;
        Ok(args)
    }
}
