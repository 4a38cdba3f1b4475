//! Damages a hub's files in every way there is, and looks at what is said of it.
//!
//! Two hubs are made once: one is left closed, a copy of it is left open; an older copy and another
//! hub are kept beside them, for files that are put back or put in the wrong place. Each case
//! damages a copy, and a process of its own opens it, looks at every instance, lets everything go
//! on to its end, and looks again after another opening. Everything must be as it is without the
//! damage, or somebody must say that it is not.

mod damage;
#[cfg(test)]
mod tests;
mod verdict;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;

use self::damage::Damage;
pub(crate) use self::verdict::is_right;
use self::verdict::{Finding, Verdict as Judgement};
use crate::line::{complain, say};
use crate::plan::rng;
use crate::population::{self, Leave, Sight};
use crate::{AnyError, Verdict};

/// What `corrupt` is told.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) cases: u64,
    pub(crate) seed: u64,
    /// Only this one.
    pub(crate) case: Option<u64>,
    /// Where the hubs are kept, to be used again; made if it is missing.
    pub(crate) hubs: Option<PathBuf>,
}

/// Instances of a hub that is damaged; half of them are in the older copy and in the other hub.
const INSTANCES: u64 = 330;

/// Damages as often as it is told, and says what was said of it.
pub(crate) fn run(options: &Options) -> Result<Verdict, AnyError> {
    let dir = scratch()?;
    let kept = options.hubs.as_deref();
    let hubs = Hubs::in_directory(kept.unwrap_or(dir.path()))?;
    let run = Run {
        options,
        hubs: &hubs,
        scratch: dir.path(),
        next: AtomicU64::new(options.case.unwrap_or(0)),
        end: options.case.map_or(options.cases, |case| case + 1),
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
    let holds = tally.holds();
    if !holds && options.hubs.is_none() {
        complain(&format!(
            "the hubs are kept: --hubs {}",
            dir.keep().display()
        ));
    }
    say(&tally.figures(options.seed))?;
    Ok(if holds {
        Verdict::Kept
    } else {
        Verdict::Broken
    })
}

/// A directory in memory where there is one: this is about what is in files, not about disks.
fn scratch() -> Result<TempDir, AnyError> {
    let memory = Path::new("/dev/shm");
    let temporary = std::env::temp_dir();
    let place = if memory.is_dir() { memory } else { &temporary };
    Ok(tempfile::Builder::new()
        .prefix("durable-corrupt-")
        .tempdir_in(place)?)
}

/// A hub to be damaged, and what is seen of it if it is not.
#[derive(Debug)]
struct Hub {
    path: PathBuf,
    whole: Sight,
}

/// The hubs that damage is made with.
#[derive(Debug)]
struct Hubs {
    /// One that was closed, one that was left open.
    left: [Hub; 2],
    older: PathBuf,
    other: PathBuf,
}

impl Hubs {
    fn in_directory(dir: &Path) -> Result<Self, AnyError> {
        let path = |name: &str| dir.join(name);
        let [closed, open, older, other] =
            [path("closed"), path("open"), path("older"), path("other")];
        if !closed.exists() {
            let half = INSTANCES / 2;
            population::child::make(&older, 0..half, Leave::Closed)?;
            population::child::make(&other, 0..half, Leave::Closed)?;
            for (to, leave) in [(&closed, Leave::Closed), (&open, Leave::Open)] {
                copy(&older, to)?;
                population::child::make(to, half..INSTANCES, leave)?;
            }
        }
        let scratch = path("whole");
        let hub = |path: PathBuf| -> Result<Hub, AnyError> {
            copy(&path, &scratch)?;
            let whole = population::child::look(&scratch, 0..INSTANCES)?;
            fs::remove_dir_all(&scratch)?;
            is_right(&whole, 0..INSTANCES)?;
            Ok(Hub { path, whole })
        };
        Ok(Self {
            left: [hub(closed)?, hub(open)?],
            older,
            other,
        })
    }
}

/// All cases, in several threads.
struct Run<'a> {
    options: &'a Options,
    hubs: &'a Hubs,
    scratch: &'a Path,
    next: AtomicU64,
    end: u64,
    tally: Mutex<Tally>,
}

impl Run<'_> {
    fn all(&self) -> Result<(), AnyError> {
        loop {
            let case = self.next.fetch_add(1, Ordering::Relaxed);
            if case >= self.end {
                return Ok(());
            }
            let (damage, finding) = self.case(case)?;
            let said = self.options.case.is_some();
            if said || finding.verdict.is_violation() {
                complain(&format!(
                    "case {case} (seed {}): {damage}: {finding}",
                    self.options.seed
                ));
            }
            self.tally
                .lock()
                .map_err(|_| "the harness panicked")?
                .add(damage.name(), finding.verdict);
        }
    }

    /// One copy, damaged and looked at.
    fn case(&self, case: u64) -> Result<(Damage, Finding), AnyError> {
        let mut rng = rng(&[self.options.seed, case]);
        let hub = &self.hubs.left[rng.usize(0..self.hubs.left.len())];
        let path = self.scratch.join(format!("case-{case}"));
        copy(&hub.path, &path)?;
        let damage = Damage::choose(&mut rng, &path)?;
        damage.inflict(&path, self.hubs)?;
        let looked = population::child::look_at_damage(&path, 0..INSTANCES)?;
        fs::remove_dir_all(&path)?;
        Ok((damage, Finding::judge(&hub.whole, &looked)))
    }
}

/// How many cases came to what.
#[derive(Debug, Default)]
struct Tally {
    verdicts: BTreeMap<Judgement, u64>,
    ways: BTreeMap<&'static str, u64>,
}

impl Tally {
    fn add(&mut self, way: &'static str, verdict: Judgement) {
        *self.verdicts.entry(verdict).or_default() += 1;
        *self.ways.entry(way).or_default() += 1;
    }

    fn count(&self, verdict: Judgement) -> u64 {
        self.verdicts.get(&verdict).copied().unwrap_or_default()
    }

    fn holds(&self) -> bool {
        self.verdicts.keys().all(|verdict| !verdict.is_violation())
    }

    fn figures(&self, seed: u64) -> String {
        let ways: Vec<_> = self
            .ways
            .iter()
            .map(|(way, n)| format!("{way}={n}"))
            .collect();
        format!(
            "corrupt: cases={} seed={seed} ({}) intact={} refused_at_open={} told_at_the_read={} \
             told_by_verify={} silent={} panicked={} hung={}",
            self.verdicts.values().sum::<u64>(),
            ways.join(", "),
            self.count(Judgement::Intact),
            self.count(Judgement::AtOpen),
            self.count(Judgement::AtRead),
            self.count(Judgement::ByVerify),
            self.count(Judgement::Silent),
            self.count(Judgement::Panicked),
            self.count(Judgement::Hung),
        )
    }
}

/// Copies a directory.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), AnyError> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
