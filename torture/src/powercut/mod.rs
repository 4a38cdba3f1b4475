//! Cuts the power under a hub, again and again: a file system that from one moment on keeps nothing
//! that was not durable before.
//!
//! The file system is an ext4 in a file, shut down by ext4's own ioctl without a flush of its
//! journal. Each round makes one, and a hub on it; the load and the judge are those of
//! [`kill`](crate::kill), with payloads of one of [`SIZES`]. The power is cut once or several times:
//! while the hub is made, under load, after a while without any, right after it was opened again.
//! Then a child looks at everything.
//!
//! That the harness can find a loss is shown by control rounds, in which commits are not synced:
//! unless these lose something the command fails.
//!
//! It takes root, a loop device, `mkfs.ext4` and `python3`. Where something is missing it says so
//! and ends well.

mod disk;

use std::ops::Add;
use std::time::Duration;

use fastrand::Rng;

use self::disk::{Disk, Workshop};
use crate::child::Brief;
use crate::interrupt::Interrupt;
use crate::judge::Tally;
use crate::line::{complain, say};
use crate::plan::{Load, Plans, rng};
use crate::process::{Process, Timeout};
use crate::trial::Trial;
use crate::{AnyError, Verdict};

/// What `powercut` is told.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) rounds: u64,
    pub(crate) seed: u64,
}

/// What a payload has, how many instances are under way at once, and how many a child starts.
#[derive(Clone, Copy, Debug)]
struct Size {
    name: &'static str,
    bytes: usize,
    at_once: u64,
    starts: u64,
}

/// Rounds go through these: within a page, a chunk and its head, many chunks, the largest payload
/// that is allowed by default.
const SIZES: [Size; 4] = [
    size("200B", 200, 16, 1_600),
    size("16KiB", 16 << 10, 16, 400),
    size("300KiB", 300 << 10, 8, 40),
    size("2MiB", 2 << 20, 4, 12),
];

const fn size(name: &'static str, bytes: usize, at_once: u64, starts: u64) -> Size {
    Size {
        name,
        bytes,
        at_once,
        starts,
    }
}

/// Control rounds, and the number of sizes they go through, from the smallest on: where payloads are
/// large little is acknowledged between two syncs of sled's own.
const CONTROL_ROUNDS: u64 = 4;
const CONTROL_SIZES: usize = 2;
/// What opening is thought to take before it was measured.
const OPENING_GUESS: Duration = Duration::from_millis(20);
/// A child that is not ready by then never will be.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// Cuts as often as it is told, and says what became of what was acknowledged.
pub(crate) fn run(options: &Options) -> Result<Verdict, AnyError> {
    let interrupt = Interrupt::watch()?;
    let workshop = Workshop::open()?;
    if let Err(reason) = a_cut_loses_what_is_not_synced(&workshop) {
        complain(&format!("power cuts are skipped: {reason}"));
        let skipped = reason.to_string().replace(char::is_whitespace, "_");
        say(&format!("powercut: rounds=0 skipped={skipped}"))?;
        return Ok(Verdict::Kept);
    }
    let mut report = Report::new(options.seed);
    for number in 0..options.rounds {
        let mut round = Round::start(&workshop, options.seed, number, Syncing::AsShipped)?;
        uninterrupted(&interrupt, round.run())?;
        report.add(&round);
        if !round.trial.holds() {
            round.trial.explain()?;
            let Round { size, blows, .. } = &round;
            complain(&format!("in round {number}, {}: {blows:?}", size.name));
            break;
        }
    }
    if report.tally != Tally::default() {
        complain(&format!("what is left: {}", workshop.keep().display()));
        say(&report.figures())?;
        return Ok(Verdict::Broken);
    }
    for number in 0..CONTROL_ROUNDS {
        let mut round = Round::start(&workshop, options.seed, number, Syncing::Skipped)?;
        uninterrupted(&interrupt, round.run_as_control())?;
        report.control_rounds += 1;
        report.control_lost += u64::from(!round.trial.holds());
    }
    say(&report.figures())?;
    if report.control_lost == 0 {
        complain("nothing was lost without a sync, so that nothing was lost with it means nothing");
        return Ok(Verdict::Broken);
    }
    Ok(Verdict::Kept)
}

/// An interrupt also ends the children of this process, and what it was about to do fails.
fn uninterrupted<T>(interrupt: &Interrupt, done: Result<T, AnyError>) -> Result<T, AnyError> {
    if interrupt.is_set() {
        return Err("interrupted".into());
    }
    done
}

/// Whether all that is needed is there, and does what it is needed for.
fn a_cut_loses_what_is_not_synced(workshop: &Workshop) -> Result<(), AnyError> {
    let mut disk = Disk::create(workshop)?;
    let [synced, unsynced] = ["synced", "unsynced"].map(|name| disk.path().join(name));
    std::fs::write(&synced, "there")?;
    std::fs::File::open(&synced)?.sync_all()?;
    std::fs::write(&unsynced, "gone")?;
    disk.switch()?.cut()?;
    disk.remount()?;
    if std::fs::read(&synced)? != b"there" {
        return Err("a cut loses what was synced".into());
    }
    if std::fs::read(&unsynced).is_ok_and(|bytes| !bytes.is_empty()) {
        return Err("a cut does not lose what was not synced".into());
    }
    Ok(())
}

/// Whether commits are synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Syncing {
    AsShipped,
    Skipped,
}

/// What happens to a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    /// The power is cut around the time at which the hub is open, the first time or again.
    CutEarly,
    /// It is cut under load.
    CutWorking,
    /// It is cut some time after everything has ended.
    CutIdle,
    /// Only the process is killed: what it had not synced is still there, until the next cut.
    Kill,
}

/// One file system and the hub on it.
#[derive(Debug)]
struct Round {
    // Unmounted before anything else is dropped.
    disk: Disk,
    trial: Trial,
    size: Size,
    syncing: Syncing,
    rng: Rng,
    cuts: Cuts,
    /// What has happened to its children so far.
    blows: Vec<Blow>,
}

/// How many cuts came when.
#[derive(Clone, Copy, Debug, Default)]
struct Cuts {
    creating: u64,
    reopening: u64,
    working: u64,
    idle: u64,
    /// Kills of the process between cuts.
    kills: u64,
}

impl Cuts {
    fn all(self) -> u64 {
        self.creating + self.reopening + self.working + self.idle
    }
}

impl Add for Cuts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            creating: self.creating + other.creating,
            reopening: self.reopening + other.reopening,
            working: self.working + other.working,
            idle: self.idle + other.idle,
            kills: self.kills + other.kills,
        }
    }
}

impl Round {
    fn start(
        workshop: &Workshop,
        seed: u64,
        number: u64,
        syncing: Syncing,
    ) -> Result<Self, AnyError> {
        let sizes = match syncing {
            Syncing::AsShipped => SIZES.len(),
            Syncing::Skipped => CONTROL_SIZES,
        };
        let size = SIZES[usize::try_from(number)? % sizes];
        let mut rng = rng(&[seed, number, u64::from(syncing == Syncing::Skipped)]);
        let disk = Disk::create(workshop)?;
        let plans = Plans {
            seed: rng.u64(..),
            load: Load::Sized(size.bytes),
        };
        Ok(Self {
            trial: Trial::new(disk.path().join("hub"), workshop.path(), plans)?,
            disk,
            size,
            syncing,
            rng,
            cuts: Cuts::default(),
            blows: Vec::new(),
        })
    }

    fn run(&mut self) -> Result<(), AnyError> {
        use Blow::{CutEarly, CutIdle, CutWorking, Kill};
        let first = pick(&mut self.rng, [CutEarly, CutWorking, CutWorking, CutIdle]);
        self.strike(first)?;
        while self.rng.bool() && self.trial.holds() {
            let next = pick(&mut self.rng, [CutEarly, CutEarly, CutWorking, Kill]);
            self.strike(next)?;
        }
        if self.trial.holds() {
            self.trial.audit()?;
        }
        Ok(())
    }

    /// Only what must lose something, unless sled's own thread has synced just before: so it is done
    /// a few times.
    fn run_as_control(&mut self) -> Result<(), AnyError> {
        const TRIES: u32 = 4;
        for _ in 0..TRIES {
            self.strike(Blow::CutWorking)?;
            self.trial.audit()?;
            if !self.trial.holds() {
                break;
            }
        }
        Ok(())
    }

    /// One child, and its end.
    fn strike(&mut self, blow: Blow) -> Result<(), AnyError> {
        self.blows.push(blow);
        let Size {
            at_once, starts, ..
        } = self.size;
        // So few that they all end soon.
        let starts = if blow == Blow::CutIdle {
            at_once
        } else {
            starts
        };
        let unsynced = self.syncing == Syncing::Skipped;
        let is_first = self.trial.openings.last.is_none();
        let compact_beyond = (self.rng.u8(0..4) == 0).then_some(0);
        let switch = self.disk.switch()?;
        let process = self.trial.child(|brief| Brief {
            starts,
            at_once,
            compact_beyond,
            unsynced,
            ..brief
        })?;
        let watched = self.watch(&process, blow)?;
        if watched == Watched::Ended {
            let (rest, status) = process.kill()?;
            self.take_all(&rest)?;
            self.trial
                .broken(format!("a child ended by itself: {status:?}"));
        } else if blow == Blow::Kill {
            let (rest, _) = process.kill()?;
            self.take_all(&rest)?;
            self.cuts.kills += 1;
        } else {
            switch.cut()?;
            let (rest, _) = process.kill()?;
            for line in rest {
                self.trial.take_after_a_cut(&line)?;
            }
            self.disk.remount()?;
            self.count(blow, watched, is_first);
        }
        if watched == Watched::Opening && blow != Blow::CutEarly {
            self.trial
                .broken(format!("a child was not ready after {READY_LIMIT:?}"));
        }
        Ok(())
    }

    fn take_all(&mut self, lines: &[String]) -> Result<(), AnyError> {
        for line in lines {
            self.trial.take(line)?;
        }
        Ok(())
    }

    fn count(&mut self, blow: Blow, watched: Watched, is_first: bool) {
        let count = match blow {
            Blow::CutEarly if !is_first => &mut self.cuts.reopening,
            Blow::CutEarly if watched == Watched::Opening => &mut self.cuts.creating,
            Blow::CutEarly | Blow::CutWorking | Blow::Kill => &mut self.cuts.working,
            Blow::CutIdle => &mut self.cuts.idle,
        };
        *count += 1;
    }

    /// Listens to a child until it is time.
    fn watch(&mut self, process: &Process, blow: Blow) -> Result<Watched, AnyError> {
        let mut watched = Watched::Opening;
        let mut until = READY_LIMIT;
        if blow == Blow::CutEarly {
            let opening = self.trial.openings.last.unwrap_or(OPENING_GUESS);
            until = opening.mul_f64(2.0 * self.rng.f64());
        }
        let idle = Duration::from_millis(self.rng.u64(200..2_500));
        loop {
            match process.line(until) {
                Ok(Some(line)) => {
                    if self.trial.take(&line)? {
                        watched = Watched::Ready;
                        if matches!(blow, Blow::CutWorking | Blow::Kill) {
                            let working = match self.syncing {
                                Syncing::AsShipped => 5..=600,
                                // Something must have been acknowledged.
                                Syncing::Skipped => 300..=900,
                            };
                            until = process.age() + Duration::from_millis(self.rng.u64(working));
                        }
                    }
                    if blow == Blow::CutIdle && watched == Watched::Ready {
                        until = process.age() + idle;
                    }
                }
                Ok(None) => return Ok(Watched::Ended),
                Err(Timeout) => return Ok(watched),
            }
        }
    }
}

/// How far a child has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watched {
    Opening,
    Ready,
    Ended,
}

fn pick<const N: usize>(rng: &mut Rng, of: [Blow; N]) -> Blow {
    of[rng.usize(0..N)]
}

/// What all rounds together have come to.
#[derive(Debug)]
struct Report {
    seed: u64,
    rounds: u64,
    cuts: Cuts,
    cuts_by_size: [u64; SIZES.len()],
    acknowledged: u64,
    compactions: u64,
    tally: Tally,
    control_rounds: u64,
    control_lost: u64,
    reopen_max: Duration,
}

impl Report {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            rounds: 0,
            cuts: Cuts::default(),
            cuts_by_size: [0; SIZES.len()],
            acknowledged: 0,
            compactions: 0,
            tally: Tally::default(),
            control_rounds: 0,
            control_lost: 0,
            reopen_max: Duration::ZERO,
        }
    }

    fn add(&mut self, round: &Round) {
        let Round { trial, cuts, .. } = round;
        let of_this_size = self.rounds % SIZES.len() as u64;
        for (size, count) in (0..).zip(&mut self.cuts_by_size) {
            *count += if size == of_this_size { cuts.all() } else { 0 };
        }
        self.rounds += 1;
        self.cuts = self.cuts + *cuts;
        self.acknowledged += trial.model.counts.acknowledged();
        self.compactions += trial.model.counts.compactions;
        self.tally = self.tally + trial.model.tally();
        self.reopen_max = self.reopen_max.max(trial.openings.longest);
    }

    fn figures(&self) -> String {
        let by_size: Vec<String> = SIZES
            .iter()
            .zip(self.cuts_by_size)
            .map(|(size, cuts)| format!("{}={cuts}", size.name))
            .collect();
        let Cuts {
            creating,
            reopening,
            working,
            idle,
            kills,
        } = self.cuts;
        format!(
            "powercut: rounds={} seed={} cuts={} ({}; creating={creating}, reopening={reopening}, \
             working={working}, idle={idle}) kills_between={kills} compactions={} acknowledged={} {} \
             control_rounds={} control_lost={} reopen_max_ms={:.1}",
            self.rounds,
            self.seed,
            self.cuts.all(),
            by_size.join(", "),
            self.compactions,
            self.acknowledged,
            self.tally,
            self.control_rounds,
            self.control_lost,
            self.reopen_max.as_secs_f64() * 1e3,
        )
    }
}
