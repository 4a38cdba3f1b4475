//! The command line.

use std::path::PathBuf;

use lexopt::{Arg, Parser, ValueExt};

use crate::population::Leave;
use crate::simulate::Mode;
use crate::{
    AnyError, child, corrupt, faults, golden, kill, overload, population, powercut, simulate, soak,
    space,
};

const USAGE: &str = "usage: durable-torture COMMAND [OPTIONS]

  kill    kills a process under load with SIGKILL again and again, at any moment and at calls into
          the store, and compares what is stored with what was acknowledged
            --rounds N     how often (default 200)
            --seed S       what the load and the moments are made of (default: a new one)
            --instances M  orchestrations under way at once (default 16)
  powercut  cuts the power of a file system with a hub on it, at any moment, and compares as above;
          then does so without syncing, which must lose something. Takes root, loop devices,
          mkfs.ext4 and python3, and skips with a notice where it cannot
            --rounds N     on how many file systems, each cut once or several times (default 20)
            --seed S       as above
  soak    kills as above every few seconds, with thousands of instances under way that are purged
          when they have ended; neither memory nor disk may grow
            --minutes M    for how long (default 3)
            --seed S       as above
  corrupt damages the files of a hub, and looks whether somebody says so
            --cases N      how many copies are damaged (default 280)
            --seed S       what the damage is made of (default: a new one)
            --case K       only this one, and what came of it
            --hubs DIR     where the hubs to be damaged are kept (default: made anew)
  faults  makes the store fail, and looks how the hub behaves and what is left; what needs root,
          strace or mount is skipped where it is missing, and counted
            --only TEXT    only the cases with this in their names
            --list         name every case and how it came out
  golden  opens copies of the hubs that are kept for later versions, and finds what was left there
            --dir DIR      where they are (default: those of the repository)
            --write        make them instead
  simulate  runs the whole hub on one thread under one seed, with a store that forgets and fails
            --seeds A..B   random runs (default: 2,000 from a new seed)
            --exhaustive   each scenario, once for every point where it can die or fail
            --self-test    planted bugs: every one must be found
            --steps N      what happens until nothing goes wrong any more (default 1500)
            --threads N    (default: one for each core)
  overload  loads a hub with more than it can do at once, and measures how long others wait
            --events N     for one instance (default 100,000)
            --instances M  that are busy all the time (default 10,000)
            --seconds S    how long they are (default 10)
            --bound-ms MS  what the p99 of a turn's delay may be (default 100)
  space   writes and purges instances again and again; the files must end below 3 times the
          largest live set
            --cycles N     how often (default 168)
            --instances M  how many at a time (default 10,000)
            --factor F     the hub's compaction factor (default 3; 0: no compaction)";

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Command {
    Kill(kill::Options),
    Powercut(powercut::Options),
    Soak(soak::Options),
    Corrupt(corrupt::Options),
    Faults(faults::Options),
    Golden(golden::Options),
    /// The process that meets a fault.
    Errands,
    Simulate(simulate::Options),
    Overload(overload::Options),
    Space(space::Options),
    /// The process that is killed; started by the others.
    Child(child::Options),
    /// A process that makes or looks at instances; started by the others.
    Population(population::child::Options),
}

pub(crate) fn parse() -> Result<Command, AnyError> {
    let mut parser = Parser::from_env();
    let Some(Arg::Value(command)) = parser.next()? else {
        return Err(USAGE.into());
    };
    match command.string()?.as_str() {
        "kill" => kill_options(&mut parser).map(Command::Kill),
        "powercut" => powercut_options(&mut parser).map(Command::Powercut),
        "soak" => soak_options(&mut parser).map(Command::Soak),
        "corrupt" => corrupt_options(&mut parser).map(Command::Corrupt),
        "faults" => faults_options(&mut parser).map(Command::Faults),
        "errands" => Ok(Command::Errands),
        "golden" => golden_options(&mut parser).map(Command::Golden),
        what @ ("make" | "look") => population_options(&mut parser, what).map(Command::Population),
        "simulate" => simulate_options(&mut parser).map(Command::Simulate),
        "overload" => overload_options(&mut parser).map(Command::Overload),
        "space" => space_options(&mut parser).map(Command::Space),
        "child" => child_options(&mut parser).map(Command::Child),
        other => Err(format!("there is no command `{other}`\n{USAGE}").into()),
    }
}

fn kill_options(parser: &mut Parser) -> Result<kill::Options, AnyError> {
    let mut options = kill::Options {
        rounds: 200,
        seed: fastrand::u64(..1_000_000_000),
        instances: 16,
    };
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("rounds") => options.rounds = parser.value()?.parse()?,
            Arg::Long("seed") => options.seed = parser.value()?.parse()?,
            Arg::Long("instances") => options.instances = parser.value()?.parse()?,
            other @ (Arg::Short(_) | Arg::Long(_) | Arg::Value(_)) => {
                return Err(other.unexpected().into());
            }
        }
    }
    Ok(options)
}

fn powercut_options(parser: &mut Parser) -> Result<powercut::Options, AnyError> {
    let mut options = powercut::Options {
        rounds: 20,
        seed: fastrand::u64(..1_000_000_000),
    };
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("rounds") => options.rounds = parser.value()?.parse()?,
            Arg::Long("seed") => options.seed = parser.value()?.parse()?,
            other @ (Arg::Short(_) | Arg::Long(_) | Arg::Value(_)) => {
                return Err(other.unexpected().into());
            }
        }
    }
    Ok(options)
}

fn soak_options(parser: &mut Parser) -> Result<soak::Options, AnyError> {
    let mut options = soak::Options {
        minutes: 3.0,
        seed: fastrand::u64(..1_000_000_000),
    };
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("minutes") => options.minutes = parser.value()?.parse()?,
            Arg::Long("seed") => options.seed = parser.value()?.parse()?,
            other @ (Arg::Short(_) | Arg::Long(_) | Arg::Value(_)) => {
                return Err(other.unexpected().into());
            }
        }
    }
    Ok(options)
}

fn simulate_options(parser: &mut Parser) -> Result<simulate::Options, AnyError> {
    let first = fastrand::u64(..1_000_000_000);
    let mut options = simulate::Options {
        mode: Mode::Seeds(first..first + 2_000),
        steps: 1_500,
        threads: std::thread::available_parallelism()?.get(),
    };
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("seeds") => {
                let seeds = parser.value()?.string()?;
                let (from, to) = seeds.split_once("..").ok_or("--seeds takes A..B")?;
                options.mode = Mode::Seeds(from.parse()?..to.parse()?);
            }
            Arg::Long("exhaustive") => options.mode = Mode::Exhaustive,
            Arg::Long("self-test") => options.mode = Mode::SelfTest,
            Arg::Long("steps") => options.steps = parser.value()?.parse()?,
            Arg::Long("threads") => options.threads = parser.value()?.parse()?,
            other @ (Arg::Short(_) | Arg::Long(_) | Arg::Value(_)) => {
                return Err(other.unexpected().into());
            }
        }
    }
    Ok(options)
}

fn overload_options(parser: &mut Parser) -> Result<overload::Options, AnyError> {
    let mut options = overload::Options {
        events: 100_000,
        instances: 10_000,
        seconds: 10,
        bound_ms: 100,
    };
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("events") => options.events = parser.value()?.parse()?,
            Arg::Long("instances") => options.instances = parser.value()?.parse()?,
            Arg::Long("seconds") => options.seconds = parser.value()?.parse()?,
            Arg::Long("bound-ms") => options.bound_ms = parser.value()?.parse()?,
            other @ (Arg::Short(_) | Arg::Long(_) | Arg::Value(_)) => {
                return Err(other.unexpected().into());
            }
        }
    }
    Ok(options)
}

fn space_options(parser: &mut Parser) -> Result<space::Options, AnyError> {
    let mut options = space::Options {
        cycles: 168,
        instances: 10_000,
        factor: 3,
    };
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("cycles") => options.cycles = parser.value()?.parse()?,
            Arg::Long("instances") => options.instances = parser.value()?.parse()?,
            Arg::Long("factor") => options.factor = parser.value()?.parse()?,
            other @ (Arg::Short(_) | Arg::Long(_) | Arg::Value(_)) => {
                return Err(other.unexpected().into());
            }
        }
    }
    Ok(options)
}

fn child_options(parser: &mut Parser) -> Result<child::Options, AnyError> {
    let mut dir = None;
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("dir") => dir = Some(PathBuf::from(parser.value()?)),
            other @ (Arg::Short(_) | Arg::Long(_) | Arg::Value(_)) => {
                return Err(other.unexpected().into());
            }
        }
    }
    Ok(child::Options {
        dir: dir.ok_or("--dir is missing")?,
    })
}

fn corrupt_options(parser: &mut Parser) -> Result<corrupt::Options, AnyError> {
    let mut options = corrupt::Options {
        cases: 280,
        seed: fastrand::u64(..1_000_000_000),
        case: None,
        hubs: None,
    };
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("cases") => options.cases = parser.value()?.parse()?,
            Arg::Long("seed") => options.seed = parser.value()?.parse()?,
            Arg::Long("case") => options.case = Some(parser.value()?.parse()?),
            Arg::Long("hubs") => options.hubs = Some(PathBuf::from(parser.value()?)),
            other @ (Arg::Short(_) | Arg::Long(_) | Arg::Value(_)) => {
                return Err(other.unexpected().into());
            }
        }
    }
    Ok(options)
}

fn faults_options(parser: &mut Parser) -> Result<faults::Options, AnyError> {
    let mut options = faults::Options {
        only: None,
        list: false,
    };
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("only") => options.only = Some(parser.value()?.string()?),
            Arg::Long("list") => options.list = true,
            other @ (Arg::Short(_) | Arg::Long(_) | Arg::Value(_)) => {
                return Err(other.unexpected().into());
            }
        }
    }
    Ok(options)
}

fn population_options(
    parser: &mut Parser,
    what: &str,
) -> Result<population::child::Options, AnyError> {
    let (mut dir, mut from, mut to) = (None, None, None);
    let mut leave = Leave::Closed;
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("dir") => dir = Some(PathBuf::from(parser.value()?)),
            Arg::Long("from") => from = Some(parser.value()?.parse()?),
            Arg::Long("to") => to = Some(parser.value()?.parse()?),
            Arg::Long("leave-open") => leave = Leave::Open,
            other @ (Arg::Short(_) | Arg::Long(_) | Arg::Value(_)) => {
                return Err(other.unexpected().into());
            }
        }
    }
    let dir = dir.ok_or("--dir is missing")?;
    let numbers = from.ok_or("--from is missing")?..to.ok_or("--to is missing")?;
    Ok(if what == "look" {
        population::child::Options::Look { dir, numbers }
    } else {
        population::child::Options::Make {
            dir,
            numbers,
            leave,
        }
    })
}

fn golden_options(parser: &mut Parser) -> Result<golden::Options, AnyError> {
    let mut options = golden::Options {
        dir: golden::kept(),
        write: false,
    };
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("dir") => options.dir = PathBuf::from(parser.value()?),
            Arg::Long("write") => options.write = true,
            other @ (Arg::Short(_) | Arg::Long(_) | Arg::Value(_)) => {
                return Err(other.unexpected().into());
            }
        }
    }
    Ok(options)
}
