//! Runs the simulator: random runs by seed, hand-made scenarios point by point, planted bugs.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use durable_core::simulation::{
    Exhausted, Failure, Figures, Planted, exhaust, plant, scenarios, simulate,
};

use crate::clock::Stopwatch;
use crate::line::{complain, say};
use crate::{AnyError, Verdict};

/// What to simulate.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) mode: Mode,
    /// Moves of a run before nothing goes wrong any more.
    pub(crate) steps: u64,
    pub(crate) threads: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Seeds(Range<u64>),
    Exhaustive,
    SelfTest,
}

/// Tries that are spent on making a failure small.
const SHRINKING: u64 = 6_000;

/// Seeds after which a planted bug counts as not found.
const ENOUGH: u64 = 20_000;

pub(crate) fn run(options: &Options) -> Result<Verdict, AnyError> {
    // A broken promise is a panic that is caught and reported; so is what orchestrators are told
    // to do.
    std::panic::set_hook(Box::new(|_| ()));
    match &options.mode {
        Mode::Seeds(seeds) => random(seeds.clone(), options),
        Mode::Exhaustive => exhaustive(options),
        Mode::SelfTest => self_test(options),
    }
}

/// Does `one` for all of `range`, on several threads, until one of them fails.
fn everywhere<T: Send, S: std::ops::AddAssign<T> + Default + Send>(
    range: Range<u64>,
    threads: usize,
    one: impl Fn(u64) -> Result<T, Failure> + Sync,
) -> (S, Option<(u64, Failure)>) {
    let next = AtomicU64::new(range.start);
    let found = Mutex::new((S::default(), None));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= range.end {
                        return;
                    }
                    let result = one(number);
                    let Ok(mut found) = found.lock() else { return };
                    match result {
                        Ok(done) => found.0 += done,
                        Err(failure) => {
                            next.store(range.end, Ordering::Relaxed);
                            found.1.get_or_insert((number, failure));
                        }
                    }
                }
            });
        }
    });
    found.into_inner().unwrap_or_default()
}

fn random(seeds: Range<u64>, options: &Options) -> Result<Verdict, AnyError> {
    let watch = Stopwatch::start();
    let count = seeds.end.saturating_sub(seeds.start);
    let (done, failed): (Figures, _) = everywhere(seeds.clone(), options.threads, |seed| {
        simulate(seed, options.steps)
    });
    if let Some((seed, failure)) = &failed {
        complain(&format!(
            "seed {seed} breaks a promise: {}",
            failure.message
        ));
        complain(&format!("{}", failure.clone().shrink(SHRINKING)));
        complain(&format!(
            "again: cargo run --release -p durable-torture -- simulate --seeds {seed}..{} --steps {}",
            seed + 1,
            options.steps
        ));
    }
    let seconds = watch.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate for a person to read")]
    let rate = count as f64 / seconds;
    say(&format!(
        "simulate: seeds={}..{} steps={} moves={} crashes={} store_faults={} clock_jumps={} \
         deploys={} attempts={} reports={} asked={} answers={} ended={} seconds={seconds:.1} \
         seeds_per_second={rate:.0} violations={}",
        seeds.start,
        seeds.end,
        options.steps,
        done.moves,
        done.crashes,
        done.faults,
        done.jumps,
        done.deploys,
        done.attempts,
        done.reports,
        done.asked,
        done.answers,
        done.ended,
        u64::from(failed.is_some()),
    ))?;
    Ok(verdict(failed.is_none()))
}

fn exhaustive(options: &Options) -> Result<Verdict, AnyError> {
    let watch = Stopwatch::start();
    let names: Vec<_> = scenarios().collect();
    let count = u64::try_from(names.len())?;
    let (done, failed): (Exhausted, _) = everywhere(0..count, options.threads, |index| {
        let name = usize::try_from(index)
            .ok()
            .and_then(|index| names.get(index));
        name.and_then(|name| exhaust(name))
            .unwrap_or(Ok(Exhausted::default()))
    });
    if let Some((index, failure)) = &failed {
        let name = usize::try_from(*index)
            .ok()
            .and_then(|index| names.get(index));
        complain(&format!("scenario {name:?} breaks a promise: {failure}"));
    }
    say(&format!(
        "simulate --exhaustive: scenarios={count} crash_points={} store_calls={} runs={} \
         seconds={:.1} violations={}",
        done.crash_points,
        done.store_calls,
        done.runs,
        watch.elapsed().as_secs_f64(),
        u64::from(failed.is_some()),
    ))?;
    Ok(verdict(failed.is_none()))
}

/// Every planted bug must be found.
fn self_test(options: &Options) -> Result<Verdict, AnyError> {
    let watch = Stopwatch::start();
    let mut missed = 0;
    let mut most = 0;
    for bug in Planted::ALL {
        let found = search(*bug, options);
        if let Some((seed, failure)) = &found {
            most = most.max(seed + 1);
            let first = failure.message.lines().next().unwrap_or_default();
            let short: String = first.chars().take(140).collect();
            say(&format!("{bug:?}: found by seed {seed}: {short}"))?;
        } else {
            missed += 1;
            say(&format!("{bug:?}: not found in {ENOUGH} seeds"))?;
        }
    }
    let planted = Planted::ALL.len();
    say(&format!(
        "simulate --self-test: planted={planted} found={} most_seeds={most} seconds={:.1}",
        planted - missed,
        watch.elapsed().as_secs_f64(),
    ))?;
    Ok(verdict(missed == 0))
}

fn search(bug: Planted, options: &Options) -> Option<(u64, Failure)> {
    let (_, found): (Figures, _) = everywhere(0..ENOUGH, options.threads, |seed| {
        plant(Some(bug));
        let ran = simulate(seed, options.steps);
        plant(None);
        ran
    });
    found
}

fn verdict(kept: bool) -> Verdict {
    if kept { Verdict::Kept } else { Verdict::Broken }
}
