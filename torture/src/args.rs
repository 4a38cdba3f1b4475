//! The command line.

use std::path::PathBuf;

use lexopt::{Arg, Parser, ValueExt};

use crate::{AnyError, child, kill};

const USAGE: &str = "usage: durable-torture kill [--rounds N] [--seed S] [--instances M]

  kill    kills a process under load with SIGKILL again and again, at any moment and at calls into
          the store, and compares what is stored with what was acknowledged
            --rounds N     how often (default 200)
            --seed S       what the load and the moments are made of (default: a new one)
            --instances M  orchestrations under way at once (default 16)";

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Command {
    Kill(kill::Options),
    /// The process that is killed; started by the others.
    Child(child::Options),
}

pub(crate) fn parse() -> Result<Command, AnyError> {
    let mut parser = Parser::from_env();
    let Some(Arg::Value(command)) = parser.next()? else {
        return Err(USAGE.into());
    };
    match command.string()?.as_str() {
        "kill" => kill_options(&mut parser).map(Command::Kill),
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
