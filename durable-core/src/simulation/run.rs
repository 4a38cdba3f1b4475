//! Whole runs, as the harness asks for them.

use std::fmt;

use super::plan::Plan;
use super::process::Fault;
use super::scenario::{SCENARIOS, Scenario};
use super::world::World;
use crate::replay::{catch, note_locations};

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// What happened, one thing after the other.
    pub moves: u64,
    /// How often the process died of itself.
    pub crashes: u64,
    /// How often it died of a failed call into the store.
    pub faults: u64,
    /// How often it died of an activity.
    pub kills: u64,
    /// How often the clock was set.
    pub jumps: u64,
    /// How often the operator did something to the worker.
    pub deploys: u64,
    /// Attempts at activities.
    pub attempts: u64,
    /// What they have said of how far they have come.
    pub reports: u64,
    /// How often somebody had an instance rewound.
    pub rewinds: u64,
    /// What clients asked for.
    pub asked: u64,
    /// What they were answered, reads included.
    pub answers: u64,
    /// Instances that were followed to their end.
    pub ended: u64,
}

impl std::ops::AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.moves += other.moves;
        self.crashes += other.crashes;
        self.faults += other.faults;
        self.kills += other.kills;
        self.jumps += other.jumps;
        self.deploys += other.deploys;
        self.attempts += other.attempts;
        self.reports += other.reports;
        self.rewinds += other.rewinds;
        self.asked += other.asked;
        self.answers += other.answers;
        self.ended += other.ended;
    }
}

impl std::ops::AddAssign for Exhausted {
    fn add_assign(&mut self, other: Self) {
        self.crash_points += other.crash_points;
        self.store_calls += other.store_calls;
        self.runs += other.runs;
    }
}

/// A promise that was not kept.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What was found, and where.
    pub message: String,
    /// What led to it; after [`shrink`](Self::shrink) little more than what it takes.
    plan: Box<Plan>,
}

impl Failure {
    /// The line that found it.
    fn place(&self) -> Option<&str> {
        self.message.rsplit_once("(at ").map(|(_, place)| place)
    }

    /// Looks for a smaller run that fails in the same place, in at most so many tries.
    #[must_use]
    pub fn shrink(mut self, mut tries: u64) -> Self {
        'smaller: loop {
            for plan in self.plan.smaller() {
                // Another order of things may be needed when there are fewer of them.
                for seed in [plan.seed, 1, 2, 3] {
                    if tries == 0 {
                        return self;
                    }
                    tries -= 1;
                    let plan = Plan {
                        seed,
                        ..plan.clone()
                    };
                    if let Err(failure) = run(plan)
                        && failure.place() == self.place()
                    {
                        self = failure;
                        continue 'smaller;
                    }
                }
            }
            return self;
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{:#?}", self.message, self.plan)
    }
}

pub(super) fn run(plan: Plan) -> Result<Figures, Failure> {
    note_locations();
    let ran = catch(|| World::new(plan.clone()).run());
    ran.map_err(|panicked| Failure {
        message: panicked.text(),
        plan: Box::new(plan),
    })
}

/// A random run: of so many moves at most until nothing goes wrong any more.
///
/// # Errors
///
/// The first promise that was broken.
pub fn simulate(seed: u64, moves: u64) -> Result<Figures, Failure> {
    run(Plan::random(seed, moves))
}

/// The names of the scenarios made by hand.
pub fn scenarios() -> impl Iterator<Item = &'static str> {
    SCENARIOS.iter().map(|scenario| scenario.name)
}

/// What going through all points of a scenario came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exhausted {
    /// Moves before which the process died, each with different amounts of what was not synced.
    pub crash_points: u64,
    /// Calls into the store that failed, each before it was made and after.
    pub store_calls: u64,
    /// Runs in all.
    pub runs: u64,
}

/// Runs a scenario once for each move before which the process may die, and once for each call
/// into the store that may fail, until a run meets no more of them.
///
/// # Errors
///
/// The first promise that was broken; [`None`] if there is no scenario of that name.
pub fn exhaust(name: &str) -> Option<Result<Exhausted, Failure>> {
    let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name)?;
    Some(exhaust_scenario(scenario))
}

fn exhaust_scenario(scenario: &Scenario) -> Result<Exhausted, Failure> {
    let mut done = Exhausted::default();
    let plan = scenario.plan();
    run(plan.clone())?;
    for at in 0.. {
        let mut crashes = 0;
        for (kept, again) in [(0, None), (1, None), (3, None), (0, Some(4)), (1, Some(15))] {
            let crash = Some((at, kept, again));
            let ran = run(Plan {
                crash,
                ..plan.clone()
            })?;
            crashes += ran.crashes;
            done.runs += 1;
        }
        if crashes == 0 {
            break;
        }
        done.crash_points += 1;
    }
    for calls in 0.. {
        let mut faults = 0;
        for after in [false, true] {
            let fault = Some(Fault { calls, after });
            let ran = run(Plan {
                fault,
                ..plan.clone()
            })?;
            faults += ran.faults;
            done.runs += 1;
        }
        if faults == 0 {
            break;
        }
        done.store_calls += 1;
    }
    Ok(done)
}
