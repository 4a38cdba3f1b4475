//! Makes the store fail, at its seam and by the real system, and looks whether the hub behaves: it
//! says what has happened with a typed error, stops, retries nothing, and after the next opening
//! everything that was acknowledged is there and goes on.
//!
//! Each case runs a process with the fault, and another one without it that takes up what is left.

mod cases;
pub(crate) mod errands;
mod hook;
mod judge;
mod system;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use self::cases::{Case, World};
use self::errands::{Brief, Said};
use self::judge::{Book, Ended};
use self::system::{Process, Unable};
use crate::line::{complain, say};
use crate::{AnyError, Verdict};

/// What `faults` is told.
#[derive(Debug)]
pub(crate) struct Options {
    /// Only those whose name has this in it.
    pub(crate) only: Option<String>,
    /// Name each case and how it came out.
    pub(crate) list: bool,
}

/// Runs the table.
pub(crate) fn run(options: &Options) -> Result<Verdict, AnyError> {
    let dir = tempfile::Builder::new()
        .prefix("durable-faults-")
        .tempdir()?;
    let mut cases = cases::all();
    cases.retain(|case| {
        options
            .only
            .as_ref()
            .is_none_or(|only| case.name.contains(only))
    });
    let run = Run {
        options,
        scratch: dir.path(),
        cases: &cases,
        next: AtomicUsize::new(0),
        tally: Mutex::new(Tally::default()),
    };
    let jobs = std::thread::available_parallelism()?.get();
    std::thread::scope(|scope| {
        let jobs: Vec<_> = (0..jobs).map(|_| scope.spawn(|| run.all())).collect();
        jobs.into_iter().try_for_each(|job| match job.join() {
            Ok(done) => done,
            Err(_) => Err("the harness panicked".into()),
        })
    })?;
    let tally = run.tally.into_inner()?;
    say(&tally.figures(cases.len()))?;
    if tally.violated > 0 {
        complain(&format!("what is left: {}", dir.keep().display()));
        return Ok(Verdict::Broken);
    }
    Ok(Verdict::Kept)
}

/// All cases, in several threads.
struct Run<'a> {
    options: &'a Options,
    scratch: &'a Path,
    cases: &'a [Case],
    next: AtomicUsize,
    tally: Mutex<Tally>,
}

#[derive(Debug, Default)]
struct Tally {
    kept: usize,
    skipped: usize,
    violated: usize,
    acknowledged: u64,
}

/// How a case came out.
enum Outcome {
    Judged {
        wrong: Vec<String>,
        book: Book,
    },
    /// This machine cannot make such a fault.
    Skipped(Unable),
}

impl Run<'_> {
    fn all(&self) -> Result<(), AnyError> {
        while let Some(case) = self.cases.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = self
                .one(case)
                .map_err(|error| format!("{}: {error}", case.name))?;
            let mut tally = self.tally.lock().map_err(|_| "the harness panicked")?;
            match outcome {
                Outcome::Skipped(Unable(why)) => {
                    complain(&format!("{}: SKIPPED: {why}", case.name));
                    tally.skipped += 1;
                }
                Outcome::Judged { wrong, book } => {
                    tally.acknowledged += book.acknowledged;
                    if wrong.is_empty() {
                        tally.kept += 1;
                        if self.options.list {
                            complain(&format!(
                                "{}: kept, {} acknowledged",
                                case.name, book.acknowledged
                            ));
                        }
                    } else {
                        tally.violated += 1;
                    }
                    for wrong in wrong.iter().take(5) {
                        complain(&format!("{}: VIOLATED: {wrong}", case.name));
                    }
                }
            }
        }
        Ok(())
    }

    fn one(&self, case: &Case) -> Result<Outcome, AnyError> {
        let place = self.scratch.join(&case.name);
        std::fs::create_dir(&place)?;
        let mut world = match system::enter(&case.world, &place) {
            Ok(world) => world,
            Err(unable) => return Ok(Outcome::Skipped(unable)),
        };
        let (dir, mut book) = (place.join("hub"), Book::default());
        let mut wrong = Vec::new();
        if case.before > 0 {
            let (said, ended) =
                process(&World::Seam, &place, &clean(&dir, Vec::new(), case.before))?;
            wrong.extend(book.judge_fault(&said, ended, judge::Expect::GoesOn));
        }
        let brief = Brief {
            fault: case.fault,
            new: case.before..case.before + case.instances,
            at_once: case.at_once,
            descriptors: case.descriptors,
            min_free_space: case.min_free_space,
            idle_ms: case.idle_ms,
            ..clean(&dir, Vec::new(), 0)
        };
        world.strike()?;
        let (said, ended) = process(&case.world, &place, &brief)?;
        world.heal()?;
        wrong.extend(book.judge_fault(&said, ended, case.expect));
        wrong.extend(system::retried(&case.world, &place)?);
        let (said, ended) = process(&World::Seam, &place, &clean(&dir, book.begun(), 0))?;
        wrong.extend(book.judge_recovery(&said, ended));
        if wrong.is_empty() {
            drop(world);
            std::fs::remove_dir_all(&place)?;
        }
        Ok(Outcome::Judged { wrong, book })
    }
}

/// Runs one process, and takes down what it says.
fn process(world: &World, place: &Path, brief: &Brief) -> Result<(Vec<Said>, Ended), AnyError> {
    let Process { lines, ended } = system::run(world, place, &serde_json::to_vec(brief)?)?;
    let which = if brief.fault.is_some() || *world != World::Seam {
        "met"
    } else {
        "clean"
    };
    // Beside the place: that may be full.
    std::fs::write(place.with_extension(which), &lines)?;
    // A process that dies may have died in the middle of its last line.
    let whole = lines
        .lines()
        .map(serde_json::from_str)
        .map_while(Result::ok);
    Ok((whole.collect(), ended))
}

/// Without a fault.
fn clean(dir: &Path, begun: Vec<u64>, instances: u64) -> Brief {
    Brief {
        dir: PathBuf::from(dir),
        fault: None,
        begun,
        new: 0..instances,
        at_once: 8,
        descriptors: None,
        min_free_space: 0,
        idle_ms: 0,
    }
}

impl Tally {
    fn figures(&self, cases: usize) -> String {
        let Self {
            kept,
            skipped,
            violated,
            acknowledged,
        } = self;
        format!(
            "faults: cases={cases} kept={kept} violated={violated} skipped={skipped} \
             acknowledged_and_checked={acknowledged}"
        )
    }
}
