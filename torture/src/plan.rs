//! What each instance does, and what must come out: a function of the seed and its number, so that
//! the process that runs it and the one that judges it need not talk about it.

use std::time::Duration;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

/// Attempts that the retry policy allows.
pub(crate) const MAX_ATTEMPTS: u32 = 4;

/// What kind of orchestration an instance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// `count` activities, each fed with the output of the one before.
    Chain,
    /// `count` activities at once, and one of all their outputs.
    Fan,
    /// An event or a timer, whichever is first, and one activity that is told which.
    Decide,
    /// `count` events of each of two names, between two activities.
    Ledger,
    /// An activity that fails `count` times, and one more if it did not fail for good.
    Retry,
    /// One activity, then an event that never comes.
    Endless,
}

/// The input of every orchestrator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) n: u64,
    pub(crate) count: u32,
    pub(crate) delay_ms: u64,
    /// The size of what activities return.
    pub(crate) bytes: usize,
    pub(crate) blob: String,
}

/// The output of every orchestrator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Output {
    /// The events that were seen, by name.
    pub(crate) events: [Vec<u64>; 2],
    /// How long a timer took.
    pub(crate) waited_us: Option<u64>,
    /// What the last activity returned.
    pub(crate) blob: String,
}

/// The input of the activity `step`: its place in its instance, and what it is fed with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) n: u64,
    pub(crate) place: u32,
    pub(crate) bytes: usize,
    pub(crate) blob: String,
}

impl Step {
    /// What it returns.
    pub(crate) fn output(&self) -> String {
        let seed = u64::from(crc32fast::hash(self.blob.as_bytes()));
        text(&mut rng(&[seed, self.n, u64::from(self.place)]), self.bytes)
    }
}

/// An instance as planned.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) program: Program,
    pub(crate) task: Task,
    /// When it is terminated, if it is.
    pub(crate) terminate_after: Option<Duration>,
    /// Whether it is purged once it has ended.
    pub(crate) purge: bool,
    /// When its first event is raised, and how long apart the others are.
    pub(crate) event_pause: Duration,
}

/// What the instances of a trial are like: each is a function of this and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plans {
    pub(crate) seed: u64,
    pub(crate) load: Load,
}

/// What kind of load they make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Load {
    /// Short lives, small payloads of all sizes.
    Brisk,
    /// Short lives, each payload of so many bytes.
    Sized(usize),
    /// Most sleep for up to [`LONGEST_SLEEP_MS`], small payloads of all sizes.
    Sleepy,
}

/// Long enough that thousands are under way at a modest rate of starts.
const LONGEST_SLEEP_MS: u64 = 45_000;

/// The most bytes of payload that one activity is fed with.
const MAX_STEP: usize = 8 << 20;
/// What a hub has to allow for that, with what else is in an input.
pub(crate) const MAX_PAYLOAD: usize = MAX_STEP + (1 << 20);

impl Plans {
    pub(crate) fn of(self, n: u64) -> Plan {
        let mut rng = rng(&[self.seed, n]);
        let program = match rng.u32(0..16) {
            _ if self.load == Load::Sleepy && rng.bool() => Program::Decide,
            0..5 => Program::Chain,
            5..8 => Program::Fan,
            8..10 => Program::Decide,
            10..13 => Program::Ledger,
            13..15 => Program::Retry,
            _ => Program::Endless,
        };
        let count = match program {
            Program::Chain => rng.u32(1..7),
            Program::Fan => rng.u32(1..9),
            Program::Ledger => rng.u32(1..6),
            Program::Retry => rng.u32(0..=MAX_ATTEMPTS),
            Program::Decide | Program::Endless => 1,
        };
        let bytes = match self.load {
            Load::Brisk | Load::Sleepy => any_size(&mut rng),
            Load::Sized(bytes) => bytes,
        };
        // A fan feeds one activity with the outputs of all others.
        let count = match u32::try_from(MAX_STEP / bytes.max(1)) {
            Ok(most) if program == Program::Fan => count.min(most.max(1)),
            Ok(_) | Err(_) => count,
        };
        let longest_sleep_ms = match (self.load, program) {
            (_, Program::Retry) => 16,
            (Load::Sleepy, _) => LONGEST_SLEEP_MS,
            (Load::Brisk | Load::Sized(_), _) => 120,
        };
        let longest_pause_us = if program == Program::Decide {
            longest_sleep_ms * 1_000
        } else {
            6_000
        };
        let terminate = program == Program::Endless || rng.u32(0..10) == 0;
        let purge = self.load == Load::Sleepy || rng.u32(0..4) == 0;
        let task = Task {
            n,
            count,
            delay_ms: rng.u64(1..longest_sleep_ms),
            bytes,
            blob: text(&mut rng, bytes),
        };
        Plan {
            program,
            task,
            terminate_after: terminate.then(|| Duration::from_millis(rng.u64(0..60))),
            purge,
            event_pause: Duration::from_micros(rng.u64(0..longest_pause_us)),
        }
    }
}

fn any_size(rng: &mut Rng) -> usize {
    match rng.u32(0..20) {
        0..12 => rng.usize(0..200),
        12..17 => rng.usize(200..4_096),
        17..19 => rng.usize(4_096..16_384),
        _ => rng.usize(16_384..40_960),
    }
}

impl Plan {
    /// The step of a chain whose beginning means that the one before is recorded; of the others,
    /// the step that waits for everything before it.
    pub(crate) fn waits_for_all_before(&self, step: u32) -> bool {
        self.program != Program::Fan || step == self.task.count
    }

    /// How many names events are raised under.
    pub(crate) fn event_names(&self) -> usize {
        match self.program {
            Program::Decide => 1,
            Program::Ledger => 2,
            Program::Chain | Program::Fan | Program::Retry | Program::Endless => 0,
        }
    }

    /// Attempts that a step may need.
    pub(crate) fn attempts(&self, step: u32) -> u32 {
        if self.program == Program::Retry && step == 0 {
            (self.task.count + 1).min(MAX_ATTEMPTS)
        } else {
            1
        }
    }

    /// Whether it must end with an error.
    pub(crate) fn fails(&self) -> bool {
        self.program == Program::Retry && self.task.count >= MAX_ATTEMPTS
    }

    /// Whether it must end with this error.
    pub(crate) fn fails_with(&self, why: &str) -> bool {
        self.fails() && why.ends_with(&format!("attempt {MAX_ATTEMPTS} fails"))
    }

    /// What its last activity returns, given the events that were seen.
    pub(crate) fn blob(&self, events: &[Vec<u64>; 2]) -> String {
        let task = &self.task;
        match self.program {
            Program::Chain => (0..task.count).fold(task.blob.clone(), |blob, step| {
                task.step(step, blob).output()
            }),
            Program::Fan => {
                let parts = (0..task.count).map(|step| task.step(step, task.blob.clone()).output());
                task.step(task.count, parts.collect()).output()
            }
            Program::Decide => task.step(0, seen(events)).output(),
            Program::Ledger | Program::Retry => task.step(1, seen(events)).output(),
            Program::Endless => task.step(0, task.blob.clone()).output(),
        }
    }
}

impl Task {
    pub(crate) fn step(&self, place: u32, blob: String) -> Step {
        Step {
            n: self.n,
            place,
            bytes: self.bytes,
            blob,
        }
    }
}

/// What an activity is told of the events that were seen.
pub(crate) fn seen(events: &[Vec<u64>; 2]) -> String {
    format!("{events:?}")
}

/// The id of an instance.
pub(crate) fn id(n: u64) -> String {
    format!("instance-{n}")
}

/// Randomness that is a function of numbers.
pub(crate) fn rng(of: &[u64]) -> Rng {
    let bytes: Vec<u8> = of.iter().flat_map(|number| number.to_le_bytes()).collect();
    let (high, low) = bytes.split_at(bytes.len() / 2);
    let hash = |first: &[u8], then: &[u8]| u64::from(crc32fast::hash(&[first, then].concat()));
    Rng::with_seed(hash(high, low) << 32 | hash(low, high))
}

pub(crate) fn text(rng: &mut Rng, bytes: usize) -> String {
    std::iter::repeat_with(|| rng.alphanumeric())
        .take(bytes)
        .collect()
}
