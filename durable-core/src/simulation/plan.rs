//! What a run is made of: who is started, what is done to them, and what goes wrong. Everything is
//! a function of the seed, until it is shrunk.

use fastrand::Rng;

use super::process::Fault;
use super::program::{self, Code, Node};
use crate::engine::Config;

/// A whole run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Decides the order of everything.
    pub(crate) seed: u64,
    pub(crate) cases: Vec<Case>,
    /// What the operator does to the worker, one thing after the other.
    pub(crate) deploys: Vec<Deploy>,
    pub(crate) chances: Chances,
    pub(crate) sizes: Sizes,
    /// The call into the store that goes wrong, besides those by chance.
    pub(crate) fault: Option<Fault>,
    /// The move before which the process dies, besides by chance; how much of what was not synced
    /// survives; and after how many further moves it dies again.
    pub(crate) crash: Option<(u64, usize, Option<u64>)>,
    /// After so many moves nothing goes wrong any more, and everything must come to its end.
    pub(crate) moves: u64,
    /// How long children are kept once they have ended, if not for ever.
    pub(crate) keep_ms: Option<u64>,
}

/// One instance, or several of one id after one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) lives: Vec<Life>,
}

/// What one client does with an id, from its start on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) program: Vec<Node>,
    pub(crate) orders: Vec<Order>,
    /// So many milliseconds after the beginning of the world it is to begin, at the earliest.
    pub(crate) begins_ms: Option<u64>,
}

/// What a client asks for after the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Raises the next event of this name, with so many bytes.
    Raise(u8, usize),
    Terminate,
    /// Waits for the end.
    Await,
    /// Starts it again, which must be refused.
    StartAgain,
    Purge,
    Suspend,
    /// Follows every suspension, so that the instance can end.
    Resume,
    /// Raises the next event of this name at the instance, which is started if it is not there; as the
    /// first order it takes the place of the start.
    StartOrRaise(u8, usize),
    /// Starts the next life in the place of this one, which has ended; of this one only, or whatever is
    /// there.
    Replace(bool),
}

impl Order {
    /// Whether it ends a life, so that another can follow.
    fn frees(self) -> bool {
        matches!(self, Self::Purge | Self::Replace(_))
    }
}

/// What the operator does to the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deploy {
    /// No new attempts are begun.
    Drain,
    /// Everything that runs is dropped.
    Stop,
    Start(Code),
}

/// How likely things are: once in so many moves, never if 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chances {
    /// The power fails.
    pub(crate) crash: usize,
    /// A call into the store is chosen that goes wrong.
    pub(crate) fault: usize,
    /// The clock is set, forth or back.
    pub(crate) jump: usize,
    /// A client no longer waits for its answer (in so many answers).
    pub(crate) drop: usize,
    /// An attempt of a stopped worker reports all the same.
    pub(crate) stale: usize,
    /// The operator does the next thing.
    pub(crate) deploy: usize,
    /// Time passes.
    pub(crate) time: usize,
    /// Somebody reads.
    pub(crate) look: usize,
    /// The disk gets a turn; the higher the slower it is.
    pub(crate) disk: usize,
}

/// Bounds of the engine, small ones, so that they are met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) shadow: bool,
    pub(crate) live: usize,
    pub(crate) waiting: usize,
    pub(crate) turns_per_commit: usize,
    pub(crate) events_per_turn: usize,
    pub(crate) timer_window: usize,
    pub(crate) messages_at_once: usize,
}

impl Sizes {
    pub(super) fn config(self) -> Config {
        Config {
            shadow: self.shadow,
            max_live: self.live,
            max_waiting: self.waiting,
            turns_per_commit: self.turns_per_commit,
            events_per_turn: self.events_per_turn,
            timer_window: self.timer_window,
            messages_at_once: self.messages_at_once,
            ..Config::default()
        }
    }
}

impl Chances {
    /// Nothing goes wrong.
    pub(crate) const CALM: Self = Self {
        crash: 0,
        fault: 0,
        jump: 0,
        drop: 0,
        stale: 0,
        deploy: 6,
        time: 20,
        look: 10,
        disk: 3,
    };

    fn random(rng: &mut Rng) -> Self {
        // Each fault in about half of all runs: a run without it shows what the others do.
        let mut sometimes = |often: std::ops::Range<usize>| match rng.bool() {
            true => rng.usize(often),
            false => 0,
        };
        Self {
            crash: sometimes(30..400),
            fault: sometimes(30..400),
            jump: sometimes(50..400),
            drop: sometimes(3..20),
            stale: sometimes(10..100),
            deploy: sometimes(20..150),
            time: rng.usize(5..40),
            look: rng.usize(5..40),
            disk: rng.usize(2..8),
        }
    }
}

impl Plan {
    /// The plan of a seed.
    pub(crate) fn random(seed: u64, moves: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let cases = (0..rng.usize(1..7))
            .map(|_| Case::random(&mut rng))
            .collect();
        let deploys = (0..rng.usize(0..8))
            .map(|_| Deploy::random(&mut rng))
            .collect();
        Self {
            seed,
            cases,
            deploys,
            chances: Chances::random(&mut rng),
            sizes: Sizes {
                shadow: rng.u8(0..4) == 0,
                live: rng.usize(1..6),
                waiting: rng.usize(3..30),
                turns_per_commit: rng.usize(1..5),
                events_per_turn: rng.usize(1..5),
                timer_window: rng.usize(1..6),
                messages_at_once: rng.usize(1..6),
            },
            fault: None,
            crash: None,
            moves,
            keep_ms: rng.bool().then(|| rng.u64(1_000..90_000)),
        }
    }

    /// Plans with less in them than this one, the boldest first.
    pub(crate) fn smaller(&self) -> Vec<Self> {
        let mut all = Vec::new();
        let mut with = |change: &dyn Fn(&mut Self)| {
            let mut plan = self.clone();
            change(&mut plan);
            if plan != *self {
                all.push(plan);
            }
        };
        for index in 0..self.cases.len() {
            with(&|plan| {
                plan.cases.remove(index);
            });
        }
        let no = Chances::CALM;
        with(&|plan| plan.deploys.clear());
        with(&|plan| plan.chances.fault = no.fault);
        with(&|plan| plan.chances.crash = no.crash);
        with(&|plan| plan.chances.jump = no.jump);
        with(&|plan| plan.chances.drop = no.drop);
        with(&|plan| plan.chances.stale = no.stale);
        with(&|plan| plan.sizes.shadow = false);
        with(&|plan| plan.sizes.live = 100);
        with(&|plan| plan.sizes.waiting = 1000);
        with(&|plan| plan.sizes.timer_window = 100);
        with(&|plan| plan.sizes.events_per_turn = 100);
        with(&|plan| plan.moves /= 2);
        with(&|plan| plan.keep_ms = None);
        for index in 0..self.deploys.len() {
            with(&|plan| {
                plan.deploys.remove(index);
            });
        }
        for (index, case) in self.cases.iter().enumerate() {
            for smaller in case.smaller() {
                with(&|plan| plan.cases[index] = smaller.clone());
            }
        }
        all
    }
}

impl Deploy {
    fn random(rng: &mut Rng) -> Self {
        match rng.u8(0..12) {
            0 => Self::Drain,
            1 | 2 => Self::Stop,
            3 => Self::Start(Code::NoOrchestrator),
            4 => Self::Start(Code::NoActivity),
            5 | 6 => Self::Start(Code::Changed),
            7 | 8 => Self::Start(Code::Old),
            _ => Self::Start(Code::Right),
        }
    }
}

impl Case {
    fn random(rng: &mut Rng) -> Self {
        let lives = if rng.u8(0..4) == 0 {
            rng.usize(2..4)
        } else {
            1
        };
        let mut lives: Vec<_> = (0..lives).map(|_| Life::random(rng)).collect();
        let last = lives.len() - 1;
        for life in &mut lives[..last] {
            let frees = match rng.bool() {
                true => Order::Purge,
                false => Order::Replace(rng.bool()),
            };
            life.orders.extend([Order::Await, frees]);
        }
        Self { lives }
    }

    fn smaller(&self) -> Vec<Self> {
        let mut all = Vec::new();
        for index in 0..self.lives.len() {
            if self.lives.len() > 1 {
                let mut case = self.clone();
                case.lives.remove(index);
                all.push(case);
            }
            let life = &self.lives[index];
            for order in 0..life.orders.len() {
                // Whoever waits for an event must get one, and who is suspended be resumed.
                if !matches!(
                    life.orders[order],
                    Order::Raise(..) | Order::StartOrRaise(..) | Order::Resume
                ) {
                    let mut case = self.clone();
                    case.lives[index].orders.remove(order);
                    all.push(case);
                }
            }
            if life.begins_ms.is_some() {
                let mut case = self.clone();
                case.lives[index].begins_ms = None;
                all.push(case);
            }
            for program in program::smaller(&life.program) {
                let mut case = self.clone();
                case.lives[index].program = program;
                all.push(case);
            }
        }
        // An id is used again only once it is free.
        let last = |case: &Self| case.lives.len() - 1;
        let free =
            |life: &Life| matches!(life.orders[..], [.., Order::Await, frees] if frees.frees());
        all.retain(|case| case.lives[..last(case)].iter().all(free));
        // And only what has ended is purged or replaced, if another follows.
        let frees = |life: &Life| life.orders.iter().any(|order| order.frees());
        all.retain(|case| !frees(&case.lives[last(case)]));
        all
    }
}

impl Life {
    /// A program that gets all the events it may wait for.
    pub(crate) fn of(program: Vec<Node>) -> Self {
        let orders = program::waits(&program)
            .into_iter()
            .map(|name| Order::Raise(name, 0))
            .collect();
        Self {
            program,
            orders,
            begins_ms: None,
        }
    }

    fn random(rng: &mut Rng) -> Self {
        let budget = rng.usize(1..14);
        let mut life = Self::of(program::random(rng, budget));
        rng.shuffle(&mut life.orders);
        for order in &mut life.orders {
            if let Order::Raise(_, bytes) = order
                && rng.u8(0..8) == 0
            {
                *bytes = rng.usize(100..8_000);
            }
        }
        for order in &mut life.orders {
            if let Order::Raise(name, bytes) = *order
                && rng.u8(0..6) == 0
            {
                *order = Order::StartOrRaise(name, bytes);
            }
        }
        if rng.u8(0..4) == 0 {
            // Nobody waits for it.
            life.orders.push(Order::Raise(rng.u8(0..3), 0));
        }
        if rng.u8(0..6) == 0 {
            life.orders
                .insert(rng.usize(0..=life.orders.len()), Order::StartAgain);
        }
        if rng.u8(0..6) == 0 {
            life.orders
                .insert(rng.usize(0..=life.orders.len()), Order::Terminate);
        }
        if rng.u8(0..6) == 0 {
            let suspend = rng.usize(0..=life.orders.len());
            life.orders.insert(suspend, Order::Suspend);
            let resume = rng.usize(suspend + 1..=life.orders.len());
            life.orders.insert(resume, Order::Resume);
        }
        life.begins_ms = (rng.u8(0..4) == 0).then(|| rng.u64(0..60_000));
        life
    }
}
