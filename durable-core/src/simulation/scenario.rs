//! Runs made by hand, to be gone through point by point.

use super::plan::{Case, Chances, Deploy, Life, Order, Plan, Sizes};
use super::program::{Badly, Code, Kin, Node, Work};

/// A run made by hand.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    deploys: &'static [Deploy],
    cases: fn() -> Vec<Case>,
}

impl Scenario {
    pub(super) fn plan(&self) -> Plan {
        Plan {
            seed: 1,
            cases: (self.cases)(),
            deploys: self.deploys.to_vec(),
            chances: Chances::CALM,
            sizes: Sizes {
                shadow: false,
                live: 2,
                waiting: 20,
                turns_per_commit: 2,
                events_per_turn: 3,
                timer_window: 2,
                messages_at_once: 2,
            },
            fault: None,
            crash: None,
            moves: 3_000,
            keep_ms: None,
        }
    }
}

const RIGHT: &[Deploy] = &[Deploy::Start(Code::Right)];

/// A worker that stops in good order, and the next one.
const RESTARTED: &[Deploy] = &[
    Deploy::Start(Code::Right),
    Deploy::Drain,
    Deploy::Stop,
    Deploy::Start(Code::Right),
];

/// Nobody runs anything, and then somebody does.
const LATE: &[Deploy] = &[
    Deploy::Stop,
    Deploy::Stop,
    Deploy::Stop,
    Deploy::Start(Code::Right),
];

/// Wrong code between right code.
const CHANGED: &[Deploy] = &[
    Deploy::Start(Code::Right),
    Deploy::Start(Code::Changed),
    Deploy::Start(Code::Changed),
    Deploy::Start(Code::Right),
];

/// Right code, the code before it, and right code again.
const ROLLED_BACK: &[Deploy] = &[
    Deploy::Start(Code::Old),
    Deploy::Start(Code::Right),
    Deploy::Start(Code::Old),
    Deploy::Start(Code::Right),
];

const INCOMPLETE: &[Deploy] = &[
    Deploy::Start(Code::NoActivity),
    Deploy::Start(Code::NoOrchestrator),
    Deploy::Start(Code::Right),
];

macro_rules! scenarios {
    ($($name:literal, $deploys:expr, $cases:expr;)*) => {
        pub(super) const SCENARIOS: &[Scenario] = &[
            $(Scenario { name: $name, deploys: $deploys, cases: || $cases },)*
        ];
    };
}

scenarios! {
    "ends at once", RIGHT, one(vec![]);
    "ends at once, with events on their way", RIGHT,
        with(vec![], &[Order::Raise(0, 0), Order::Raise(0, 0), Order::Raise(1, 7_000)]);
    "fails", RIGHT, one(vec![call(1), Node::Fail]);
    "panics", RIGHT, one(vec![call(1), Node::Panic]);
    "one activity", RIGHT, one(vec![call(1)]);
    "a chain", RIGHT, one((0..5).map(call).collect());
    "a fan-out", RIGHT, one(vec![Node::All((0..6).map(|n| vec![call(n)]).collect())]);
    "payloads of many chunks", RIGHT, one(vec![Node::Call(large(1)), Node::Call(large(2))]);
    "an inline step", RIGHT, one(vec![Node::Inline(1), call(2), Node::Inline(3)]);
    "a timer", RIGHT, one(vec![Node::Sleep(5_000)]);
    "no time at all", RIGHT, one(vec![Node::Sleep(0), call(1)]);
    "timers in any order", RIGHT,
        one(vec![Node::All([3_000, 1_000, 2_000, 1_000].map(|ms| vec![Node::Sleep(ms)]).into())]);
    "an event", RIGHT, one(vec![Node::Event(0)]);
    "events before anybody waits", RIGHT,
        one(vec![call(1), Node::Event(0), Node::Event(0), Node::Event(1)]);
    "waits of one name", RIGHT,
        one(vec![Node::All(vec![vec![Node::Event(0)], vec![Node::Event(0), Node::Event(0)]])]);
    "an event or a timer", RIGHT, one(vec![Node::EventOr(0, 100), call(1)]);
    "an event that gives up a timer", RIGHT, one(vec![Node::EventOr(0, 1_000_000), call(1)]);
    "an event in time", RIGHT, one(vec![Node::EventWithin(0, 1_000_000), call(1)]);
    "an event that may be late", RIGHT, one(vec![Node::EventWithin(0, 100), Node::EventOr(0, 9_000)]);
    "a race of activities", RIGHT,
        one(vec![Node::First(vec![vec![call(1), call(2)], vec![call(3)], vec![Node::Sleep(1)]])]);
    "a dropped wait gives its event back", RIGHT,
        one(vec![Node::First(vec![vec![Node::Event(0)], vec![call(1)]]), Node::EventOr(0, 9_000)]);
    "begun early", RIGHT, one(vec![Node::Meanwhile(Work::well(1), vec![call(2), Node::Sleep(10)])]);
    "a retry", RIGHT, one(vec![Node::Call(failing(2, 4, Badly::Error))]);
    "retries that run out", RIGHT, one(vec![Node::Call(failing(3, 3, Badly::Panic))]);
    "attempts that report", RIGHT,
        one(vec![Node::Call(Work { reports: 3, ..failing(2, 3, Badly::Error) })]);
    "attempts that report, and ask to be made again", RESTARTED,
        one(vec![Node::Call(Work { reports: 2, polls: 2, poll_ms: 500, ..failing(0, 1, Badly::Error) })]);
    "attempts that give no sign of life", RIGHT,
        one(vec![Node::Call(Work { reports: 2, heartbeat_ms: Some(900), ..failing(1, 2, Badly::Hang) })]);
    "attempts that hang", RIGHT, one(vec![Node::Call(failing(1, 2, Badly::Hang))]);
    "retries side by side", RIGHT,
        one(vec![Node::All((1..4).map(|n| vec![Node::Call(failing(n, 4, Badly::Error))]).collect())]);
    "an error that is not retried", RIGHT,
        one(vec![Node::Call(Work { final_at: Some(2), ..failing(3, 5, Badly::Error) })]);
    "retries that run out of time", RIGHT,
        one(vec![Node::Call(Work { give_up_ms: Some(2_000), ..failing(4, 5, Badly::Error) })]);
    "an activity that asks again", RIGHT,
        one(vec![Node::Call(Work { polls: 3, poll_ms: 500, ..failing(1, 3, Badly::Error) })]);
    "custom status and drawing", RIGHT,
        one(vec![Node::Status(1), Node::Draw, call(1), Node::Status(2), Node::Draw]);
    "terminated at some moment", RIGHT,
        with(vec![call(1), Node::Call(failing(2, 3, Badly::Error)), Node::Sleep(100)], &[Order::Terminate]);
    "terminated while it waits", RIGHT,
        with(vec![Node::All(vec![vec![Node::Sleep(90_000)], vec![Node::Event(0)]])], &[Order::Terminate]);
    "terminated before anybody runs it", LATE, with(vec![call(1)], &[Order::Terminate]);
    "terminated while it is blocked", CHANGED,
        with(vec![call(1), Node::Sleep(50), call(2)], &[Order::Raise(0, 0), Order::Terminate]);
    "suspended and resumed", RIGHT,
        with(
            vec![call(1), Node::Event(0), Node::Sleep(50), Node::Call(failing(2, 3, Badly::Error))],
            &[Order::Suspend, Order::Raise(0, 0), Order::Resume],
        );
    "suspended and terminated", RIGHT,
        with(vec![call(1), Node::Sleep(90_000)], &[Order::Suspend, Order::Terminate]);
    "suspended without a worker", LATE,
        with(vec![Node::Event(0), call(1)], &[Order::Suspend, Order::Raise(0, 7_000), Order::Resume]);
    "begins later", RIGHT, later(one(vec![call(1)]));
    "begins later, with events that came before", RESTARTED,
        later(with(vec![Node::Event(0), call(1), Node::Event(0)], &[Order::Raise(0, 0), Order::Raise(0, 7_000)]));
    "begins later, when nobody runs anything", LATE, later(one(vec![call(1)]));
    "terminated and purged before it begins", RIGHT, vec![Case {
        lives: later(vec![Case { lives: vec![ended(vec![call(1)], &[Order::Raise(0, 0), Order::Terminate])] }])
            .remove(0).lives.into_iter().chain([Life::of(vec![call(2)])]).collect(),
    }];
    "suspended before it begins", RIGHT, later(with(
        vec![Node::Event(0), call(1)], &[Order::Suspend, Order::Raise(0, 0), Order::Resume]));
    "started by an event", RESTARTED,
        with(vec![Node::Event(0), Node::Event(0), call(1), Node::Event(1)],
            &[Order::StartOrRaise(0, 0), Order::StartOrRaise(0, 7_000), Order::StartOrRaise(1, 0), Order::StartOrRaise(1, 0)]);
    "started later by an event", RIGHT, later(with(vec![Node::Event(0)],
        &[Order::StartOrRaise(0, 0), Order::StartOrRaise(1, 0), Order::Terminate, Order::StartOrRaise(0, 0)]));
    "fails, and is rewound", RIGHT,
        with(
            vec![Node::All(vec![vec![Node::Must(mended(1))], vec![Node::Must(mended(2))], vec![call(3)]]), Node::Event(0)],
            &[Order::Raise(0, 0), Order::Raise(0, 7_000)],
        );
    "fails with its child, and both are rewound", RESTARTED,
        one(vec![call(1), Node::Child(vec![call(2), Node::Must(mended(3))], KIN), Node::Sleep(50)]);
    "started twice", RIGHT, with(vec![call(1)], &[Order::StartAgain, Order::StartAgain]);
    "purged, and its id used again", RIGHT, vec![Case {
        lives: vec![
            ended(vec![call(1), Node::Call(large(2))], &[]),
            ended(vec![Node::Event(0)], &[Order::Raise(0, 7_000)]),
            Life::of(vec![Node::Call(failing(1, 2, Badly::Error))]),
        ],
    }];
    "terminated and purged, and its id used again", RIGHT, vec![Case {
        lives: vec![ended(vec![Node::Sleep(60_000)], &[Order::Terminate]), Life::of(vec![call(1)])],
    }];
    "replaced once it has ended", RESTARTED, vec![Case {
        lives: vec![
            replaced(vec![call(1), Node::Call(large(2))], &[], false),
            replaced(vec![Node::Event(0)], &[Order::Raise(0, 7_000)], true),
            Life::of(vec![Node::Call(failing(1, 2, Badly::Error)), Node::Event(0)]),
        ],
    }];
    "terminated and replaced", RIGHT, vec![Case {
        lives: vec![replaced(vec![Node::Sleep(60_000)], &[Order::Terminate], true), Life::of(vec![call(1)])],
    }];
    "replaced by one that begins later", LATE, vec![Case {
        lives: vec![
            replaced(vec![call(1)], &[Order::Raise(0, 0)], false),
            Life { begins_ms: Some(4_000), ..Life::of(vec![call(2)]) },
        ],
    }];
    "a worker that stops in good order", RESTARTED,
        one(vec![call(1), Node::Call(failing(1, 3, Badly::Error)), Node::Sleep(20), call(2)]);
    "no worker for a while", LATE,
        with(vec![Node::Event(0), call(1)], &[Order::Raise(0, 0), Order::Raise(1, 7_000)]);
    "a deploy of changed code, and of right code", CHANGED,
        one(vec![call(1), Node::Sleep(100), Node::Event(0), call(2)]);
    "a patch, and going back to the code before it", ROLLED_BACK,
        one(vec![call(1), Node::Patched(0), Node::Sleep(50), Node::Patched(0), call(2), Node::Patched(1)]);
    "a patch in branches", ROLLED_BACK, one(vec![Node::All((1..4).map(|n| {
        vec![call(n), Node::Patched(0), Node::Sleep(n), Node::Patched(1)]
    }).collect())]);
    "a worker that lacks something", INCOMPLETE, one(vec![call(1), Node::Inline(2), call(3)]);
    "more instances than fit in memory", RIGHT,
        (0..5).map(|n| case(vec![call(n), Node::Sleep(n * 10), call(n)])).collect();
    "an activity that has the process die", RIGHT, one(vec![Node::Call(killing(6)), call(1)]);
    "one that has the process die, among others", RIGHT, vec![
        case(vec![Node::All((1..4).map(|n| vec![call(n)]).chain([vec![Node::Call(killing(4))]]).collect())]),
        case(vec![Node::Call(failing(1, 2, Badly::Error)), Node::Sleep(40), call(2)]),
    ];
    "two of everything", RIGHT, vec![
        case(vec![Node::EventOr(0, 500), Node::Call(failing(1, 2, Badly::Error))]),
        case(vec![Node::All(vec![vec![call(1)], vec![Node::Sleep(40)], vec![Node::Event(2)]])]),
    ];
}

fn call(n: u64) -> Node {
    Node::Call(Work::well(n))
}

fn large(n: u64) -> Work {
    Work {
        bytes: 8_000,
        ..Work::well(n)
    }
}

/// A child that its parent cannot do without.
const KIN: Kin = Kin {
    named: false,
    attempts: 1,
    pause_ms: 0,
    final_at: None,
    must: true,
};

fn mended(n: u64) -> Work {
    Work {
        failures: u32::MAX,
        mended: true,
        ..Work::well(n)
    }
}

fn killing(kills: u32) -> Work {
    Work {
        kills,
        ..Work::well(1)
    }
}

fn failing(failures: u32, attempts: u32, badly: Badly) -> Work {
    Work {
        failures,
        attempts,
        badly,
        pause_ms: 700,
        timeout_ms: (badly == Badly::Hang).then_some(3_000),
        ..Work::well(1)
    }
}

fn case(program: Vec<Node>) -> Case {
    Case {
        lives: vec![Life::of(program)],
    }
}

fn one(program: Vec<Node>) -> Vec<Case> {
    vec![case(program)]
}

/// These orders instead of the events that it waits for.
fn with(program: Vec<Node>, orders: &[Order]) -> Vec<Case> {
    vec![Case {
        lives: vec![Life {
            orders: orders.to_vec(),
            ..Life::of(program)
        }],
    }]
}

/// A life that ends with its purge.
fn ended(program: Vec<Node>, orders: &[Order]) -> Life {
    let orders = [orders, &[Order::Await, Order::Purge]].concat();
    Life {
        orders,
        ..Life::of(program)
    }
}

/// A life that ends when the next takes its place.
fn replaced(program: Vec<Node>, orders: &[Order], only: bool) -> Life {
    let orders = [orders, &[Order::Await, Order::Replace(only)]].concat();
    Life {
        orders,
        ..Life::of(program)
    }
}

/// The first life of each case begins later.
fn later(mut cases: Vec<Case>) -> Vec<Case> {
    for case in &mut cases {
        case.lives[0].begins_ms = Some(4_000);
    }
    cases
}
