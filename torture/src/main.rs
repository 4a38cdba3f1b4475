//! Breaks a task hub in every way there is, and looks at what is left of it.
//!
//! ```text
//! cargo run --release -p durable-torture -- kill --rounds 200
//! cargo run --release -p durable-torture -- overload
//! cargo run --release -p durable-torture -- powercut --rounds 20
//! cargo run --release -p durable-torture -- soak --minutes 60
//! cargo run --release -p durable-torture -- space --cycles 168 --instances 10000
//! ```
//!
//! Each command is a module with a `run` function. It says what it found in one line of figures,
//! and ends with an exit code other than 0 if a promise was broken.

mod args;
mod child;
mod clock;
mod corrupt;
mod faults;
mod golden;
mod interrupt;
mod judge;
mod kill;
mod line;
mod overload;
mod plan;
mod population;
mod powercut;
mod process;
mod simulate;
mod soak;
mod space;
mod trial;

use std::error::Error;
use std::process::ExitCode;

use self::args::Command;

fn main() -> ExitCode {
    let done = args::parse().and_then(|command| match command {
        Command::Kill(options) => kill::run(&options),
        Command::Corrupt(options) => corrupt::run(&options),
        Command::Faults(options) => faults::run(&options),
        Command::Golden(options) => golden::run(&options),
        Command::Errands => faults::errands::run().map(|()| Verdict::Kept),
        Command::Population(options) => population::child::run(&options).map(|()| Verdict::Kept),
        Command::Simulate(options) => simulate::run(&options),
        Command::Overload(options) => overload::run(&options),
        Command::Powercut(options) => powercut::run(&options),
        Command::Soak(options) => soak::run(&options),
        Command::Child(options) => child::run(&options),
        Command::Space(options) => space::run(&options),
    });
    match done {
        Ok(Verdict::Kept) => ExitCode::SUCCESS,
        Ok(Verdict::Broken) => ExitCode::FAILURE,
        Err(error) => {
            line::complain(&format!("durable-torture: {error}"));
            ExitCode::from(2)
        }
    }
}

/// What a command found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Every promise was kept.
    Kept,
    /// One was not; what exactly was said.
    Broken,
}

type AnyError = Box<dyn Error + Send + Sync>;
