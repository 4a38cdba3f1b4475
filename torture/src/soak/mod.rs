//! Keeps a hub busy for a long time, with a kill every few seconds, and looks whether anything
//! grows that should not.
//!
//! Thousands of instances are under way, most of them asleep; each that has ended is purged, looked
//! for once more by the next child, and forgotten here. Starts come at a pace that leaves about half
//! of two cores free. The judge is that of [`kill`](crate::kill). A hub that takes many times its
//! live bytes is compacted. In the end everything must have ended, and right.
//!
//! # What flat means
//!
//! The memory of the child, that of this process, and the bytes of the hub on disk are measured
//! twice a second. The median of the last quarter of the time may be at most [`TOLERANCE`] times that of
//! the second quarter (in the first one things fill up), and [`SLACK`] more. Children live for
//! seconds, so what is compared of them is how much they take up while they recover and work.

mod flat;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fastrand::Rng;

use self::flat::{SLACK, Series, TOLERANCE};
use crate::child::Brief;
use crate::clock::Stopwatch;
use crate::interrupt::Interrupt;
use crate::line::{complain, say};
use crate::plan::{Load, Plans, rng};
use crate::process::{Process, Timeout};
use crate::trial::Trial;
use crate::{AnyError, Verdict};

/// What `soak` is told.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) minutes: f64,
    pub(crate) seed: u64,
}

/// How long apart instances are started.
const PACE: Duration = Duration::from_millis(3);
/// A hub that takes more than so many times its live bytes is compacted.
const COMPACT_BEYOND: u64 = 4;
/// More are not started while so many are under way.
const MOST_UNDER_WAY: u64 = 5_000;
/// A child that is not ready by then never will be.
const READY_LIMIT: Duration = Duration::from_secs(60);
const SAMPLE_EVERY: Duration = Duration::from_millis(500);

/// Soaks as long as it is told, and says what became of it.
pub(crate) fn run(options: &Options) -> Result<Verdict, AnyError> {
    let interrupt = Interrupt::watch()?;
    let dir = tempfile::Builder::new().prefix("durable-soak-").tempdir()?;
    let hub = dir.path().join("hub");
    let plans = Plans {
        seed: options.seed,
        load: Load::Sleepy,
    };
    let mut soak = Soak {
        trial: Trial::new(hub.clone(), dir.path(), plans)?,
        hub,
        rng: rng(&[options.seed]),
        length: Duration::try_from_secs_f64(options.minutes * 60.0)?,
        clock: Stopwatch::start(),
        kills: 0,
        most_under_way: 0,
        child: Series::default(),
        parent: Series::default(),
        disk: Series::default(),
    };
    while soak.clock.left_of(soak.length).is_some() && soak.trial.holds() {
        let done = soak.round();
        if interrupt.is_set() {
            return Err("interrupted".into());
        }
        done?;
    }
    if soak.trial.holds() {
        soak.trial.audit()?;
        soak.judge_growth();
    }
    let kept = soak.trial.holds();
    if !kept {
        soak.trial.explain()?;
        complain(&format!("what is left: {}", dir.keep().display()));
    }
    say(&soak.figures())?;
    Ok(if kept { Verdict::Kept } else { Verdict::Broken })
}

/// A run of children on one directory, and what they take up.
#[derive(Debug)]
struct Soak {
    trial: Trial,
    hub: PathBuf,
    rng: Rng,
    length: Duration,
    clock: Stopwatch,
    kills: u64,
    most_under_way: usize,
    /// In bytes.
    child: Series,
    parent: Series,
    disk: Series,
}

impl Soak {
    /// One child, killed.
    fn round(&mut self) -> Result<(), AnyError> {
        let max_live = *self.rng.choice(&[100, 20_000]).unwrap_or(&100);
        let restarts = self.rng.u64(0..3);
        let process = self.trial.child(|brief| Brief {
            starts: MOST_UNDER_WAY.saturating_sub(brief.open.len() as u64),
            pace: Some(PACE),
            max_live,
            restarts,
            compact_beyond: Some(COMPACT_BEYOND),
            ..brief
        })?;
        let ready = self.watch(&process)?;
        let (rest, status) = process.kill()?;
        for line in rest {
            self.trial.take(&line)?;
        }
        self.kills += 1;
        if let Some(status) = status {
            self.trial
                .broken(format!("a child ended by itself: {status}"));
        } else if !ready {
            self.trial
                .broken(format!("a child was not ready after {READY_LIMIT:?}"));
        }
        Ok(())
    }

    /// Listens to a child, and looks at it now and then, until it is time. Says whether it was
    /// ready.
    fn watch(&mut self, process: &Process) -> Result<bool, AnyError> {
        let mut until = READY_LIMIT;
        let mut ready = false;
        let mut sample = SAMPLE_EVERY;
        loop {
            match process.line(until.min(sample)) {
                Ok(Some(line)) => {
                    if self.trial.take(&line)? {
                        ready = true;
                        until = process.age() + Duration::from_millis(self.rng.u64(1_000..10_000));
                    }
                }
                Ok(None) => return Ok(ready),
                Err(Timeout) if process.age() >= until => return Ok(ready),
                Err(Timeout) => {
                    sample = process.age() + SAMPLE_EVERY;
                    self.sample(process);
                }
            }
        }
    }

    fn sample(&mut self, process: &Process) {
        let now = self.clock.elapsed();
        self.most_under_way = self.most_under_way.max(self.trial.model.known());
        if let Some(bytes) = memory_of(process.id()) {
            self.child.push(now, bytes);
        }
        if let Some(bytes) = memory_of(std::process::id()) {
            self.parent.push(now, bytes);
        }
        self.disk.push(now, size_of(&self.hub));
    }

    fn judge_growth(&mut self) {
        for (what, series) in [
            ("the memory of a child", &self.child),
            ("the memory of the judge", &self.parent),
            ("the hub on disk", &self.disk),
        ] {
            if let Some(grown) = series.grown(self.length) {
                self.trial.broken(format!("{what} grows: {grown}"));
            }
        }
    }

    fn figures(&self) -> String {
        let counts = self.trial.model.counts;
        let instances = counts.instances;
        format!(
            "soak: minutes={:.1} seed={} kills={} instances={instances} right={:.2}% \
             most_at_once={} purged={} compactions={} acknowledged={} reads={} attempts={} {} \
             child_rss_mb({}) judge_rss_mb({}) disk_mb({}) tolerance={TOLERANCE}x+{}MB \
             reopen_max_ms={:.1}",
            self.length.as_secs_f64() / 60.0,
            self.trial.seed(),
            self.kills,
            self.trial.model.share_right() * 100.0,
            self.most_under_way,
            counts.purges,
            counts.compactions,
            counts.acknowledged(),
            counts.reads,
            counts.attempts,
            self.trial.model.tally(),
            self.child.text(self.length),
            self.parent.text(self.length),
            self.disk.text(self.length),
            SLACK >> 20,
            self.trial.openings.longest.as_secs_f64() * 1e3,
        )
    }
}

/// The bytes of memory that a process holds, where the system says so in `/proc`.
fn memory_of(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes << 10)
}

/// The bytes of all files; what is being replaced just now is not counted.
fn size_of(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else {
        return 0;
    };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.sum()
}
