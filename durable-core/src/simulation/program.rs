//! Orchestrations made at random: a small tree of what an orchestrator can ask for, the real
//! orchestrator that follows it, and what may come out of it, worked out without the engine.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::Pin;
use std::time::Duration;

use fastrand::Rng;
use futures_util::FutureExt;
use futures_util::future::{Either, join_all, select, select_all};
use serde::{Deserialize, Serialize};

use crate::activity::{Activity, ActivityContext, ActivityFuture, Attempted, Requirements};
use crate::failure::{ActivityError, FailureDetails, FailureKind, NoError, SubOrchestrationError};
use crate::orchestrator::{Orchestrator, OrchestratorFuture};
use crate::payload::Payload;
use crate::registry::Registry;
use crate::replay::{EventError, OrchestrationContext};
use crate::retry::RetryPolicy;

/// One thing that an orchestrator does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Node {
    /// Calls an activity and waits for it.
    Call(Work),
    /// Begins an activity, does the rest, and then waits for it.
    Meanwhile(Work, Vec<Node>),
    /// A step of its own code.
    Inline(u64),
    /// Waits so many milliseconds.
    Sleep(u64),
    /// Waits for an event of this name.
    Event(u8),
    /// Waits for an event or so many milliseconds, whichever is first.
    EventOr(u8, u64),
    /// Every branch.
    All(Vec<Vec<Node>>),
    /// The branch that is done first; the others are dropped.
    First(Vec<Vec<Node>>),
    /// Sets the custom status.
    Status(u32),
    /// Draws an identifier, and looks at the clock.
    Draw,
    /// Raises an event at its own instance, and waits for one of that name.
    Letter,
    /// Has a child do this.
    Child(Vec<Node>, Kin),
    /// Has an instance of its own do this.
    Detached(Vec<Node>),
    /// Continues as new, and does this.
    Again(Vec<Node>),
    /// Fails.
    Fail,
    /// Panics.
    Panic,
    /// Waits for an event no longer than so many milliseconds.
    EventWithin(u8, u64),
    /// Does one thing or another: the code was changed here.
    Patched(u8),
    /// Calls an activity that fails until its instance is rewound, and fails with it.
    Must(Work),
}

/// How a child is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kin {
    /// It is given an id.
    pub(crate) named: bool,
    pub(crate) attempts: u32,
    pub(crate) pause_ms: u64,
    /// The error of this attempt is not retried, says the orchestrator.
    pub(crate) final_at: Option<u32>,
    /// Its parent fails with it.
    pub(crate) must: bool,
}

/// An activity, and how its attempts end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Work {
    pub(crate) n: u64,
    /// The size of what it is given and of what it returns.
    pub(crate) bytes: usize,
    /// So many attempts end badly.
    pub(crate) failures: u32,
    pub(crate) badly: Badly,
    pub(crate) attempts: u32,
    pub(crate) pause_ms: u64,
    pub(crate) timeout_ms: Option<u64>,
    /// So many hundredths of a pause may be left out.
    pub(crate) jitter: u8,
    /// So long after it was scheduled no attempt is due any more.
    pub(crate) give_up_ms: Option<u64>,
    /// The error of this attempt is not retried, says the orchestrator.
    pub(crate) final_at: Option<u32>,
    /// It asks so many times to be asked again, before all else.
    pub(crate) polls: u32,
    pub(crate) poll_ms: u64,
    /// So often an attempt says at most how far it has come.
    pub(crate) reports: u32,
    /// So long it may say nothing.
    pub(crate) heartbeat_ms: Option<u64>,
    /// So many attempts have the process die, before all else; until somebody mends it.
    pub(crate) kills: u32,
    /// None of the failures happens once its instance was rewound.
    pub(crate) mended: bool,
}

/// How an attempt ends that does not end well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Badly {
    Error,
    Panic,
    /// It goes on until it times out.
    Hang,
}

/// What an orchestrator has seen, in the order of its program: its output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Seen {
    Output(u64),
    Failed(Why),
    Inline(u64),
    Event(u8, u64),
    Timer,
    /// The branch that was first.
    First(usize),
    Drawn(String),
    Letter,
    /// What the child has seen, or how it failed: with the error of an attempt, or otherwise.
    Child(Result<Vec<Seen>, Option<u32>>),
    Patched(u8, bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Why {
    Error(u32),
    Panic,
    Timeout,
}

/// What an event carries: its number among all of its instance, and something to make it long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Raised {
    pub(crate) number: u64,
    pub(crate) padding: String,
}

/// Event names as orchestrators write them, and as clients do: they are compared without case.
pub(crate) const NAMES: [(&str, &str); 3] = [("Go", "GO"), ("stop", "Stop"), ("other", "other")];

/// The name of the events that orchestrators raise.
const LETTER: &str = "letter";

/// What a program is told to fail with.
pub(crate) const PLANNED: &str = "as planned";

/// What it fails with that cannot do without something.
const MUST: &str = "it must";

impl Work {
    /// One that ends well at once.
    pub(crate) fn well(n: u64) -> Self {
        Self {
            n,
            bytes: 0,
            failures: 0,
            badly: Badly::Error,
            attempts: 1,
            pause_ms: 0,
            timeout_ms: None,
            jitter: 0,
            give_up_ms: None,
            final_at: None,
            polls: 0,
            poll_ms: 0,
            reports: 0,
            heartbeat_ms: None,
            kills: 0,
            mended: false,
        }
    }

    /// One that ends well only once its instance was rewound.
    fn mended(rng: &mut Rng) -> Self {
        Self {
            failures: u32::MAX,
            attempts: rng.u32(1..3),
            mended: true,
            ..Self::random(rng)
        }
    }

    pub(crate) fn random(rng: &mut Rng) -> Self {
        let badly = match rng.u8(0..6) {
            0 => Badly::Panic,
            1 => Badly::Hang,
            _ => Badly::Error,
        };
        let bytes = match rng.u8(0..8) {
            0 => rng.usize(1_000..12_000),
            _ => rng.usize(0..40),
        };
        let timeout_ms = (rng.u8(0..4) == 0).then(|| rng.u64(1_000..60_000));
        let heartbeat_ms = (rng.u8(0..6) == 0).then(|| rng.u64(1_000..60_000));
        let needs_limit = badly == Badly::Hang && heartbeat_ms.is_none();
        Self {
            n: rng.u64(0..1_000),
            bytes,
            failures: if rng.u8(0..3) == 0 { rng.u32(1..4) } else { 0 },
            badly,
            attempts: rng.u32(1..5),
            pause_ms: rng.u64(0..4_000),
            timeout_ms: timeout_ms.or(needs_limit.then_some(3_000)),
            jitter: [0, 0, 50, 100][rng.usize(0..4)],
            give_up_ms: (rng.u8(0..6) == 0).then(|| rng.u64(0..20_000)),
            final_at: (rng.u8(0..6) == 0).then(|| rng.u32(1..4)),
            polls: if rng.u8(0..5) == 0 { rng.u32(1..4) } else { 0 },
            poll_ms: rng.u64(0..3_000),
            reports: if rng.u8(0..3) == 0 { rng.u32(1..5) } else { 0 },
            heartbeat_ms,
            kills: match rng.u8(0..16) {
                0 => rng.u32(1..8),
                1 => u32::MAX,
                _ => 0,
            },
            mended: false,
        }
    }

    fn input(&self) -> (Self, String) {
        (self.clone(), "x".repeat(self.bytes))
    }

    fn output(&self) -> u64 {
        self.n.wrapping_mul(7) + 1
    }

    /// The number of the last attempt that its failures can lead to.
    pub(crate) fn last_attempt(&self) -> u32 {
        let last = self.final_at.filter(|_| self.badly == Badly::Error);
        last.map_or(self.attempts, |last| self.attempts.min(last))
    }

    /// The least that is between the failure of attempt number `attempt` and the next one.
    pub(crate) fn pause_after(&self, attempt: u32) -> u64 {
        let whole = (self.pause_ms * 1_000) << (attempt - 1);
        whole * (100 - u64::from(self.jitter)) / 100
    }

    /// How attempt number `attempt` ends, that goes on from `state`, of an instance that was rewound
    /// or not.
    pub(crate) fn answer(&self, attempt: u32, state: Option<&Payload>, rewound: bool) -> Answer {
        let polled: u32 = state.map_or(0, |state| state.decode().expect("a state"));
        if polled < self.polls {
            return Answer::Ends(Ok(Attempted::Again {
                after: Duration::from_millis(self.poll_ms),
                state: encode(&(polled + 1)),
            }));
        }
        if attempt > self.failures || (self.mended && rewound) {
            let output = (self.output(), "y".repeat(self.bytes));
            return Answer::Ends(Ok(Attempted::Done(encode(&output))));
        }
        let failure = |kind, text: String| FailureDetails::new(kind, "planned", text);
        match self.badly {
            Badly::Error => {
                let text = format!("attempt {attempt}");
                let failure = failure(FailureKind::Application, text).with_value(encode(&attempt));
                Answer::Ends(Err(failure))
            }
            Badly::Panic => {
                let text = "an activity panicked".to_owned();
                Answer::Ends(Err(failure(FailureKind::Panic, text)))
            }
            Badly::Hang => Answer::Hangs,
        }
    }

    /// Whether its caller may see this in the end.
    fn may_come_to(&self, seen: &Seen) -> bool {
        let last = self.last_attempt();
        let Seen::Failed(why) = seen else {
            return self.failures < last && *seen == Seen::Output(self.output());
        };
        // Out of time it fails with any of its failures, else with that of the last attempt.
        let may_fail_at =
            |attempt| attempt == last || (self.give_up_ms.is_some() && attempt < last);
        let mut failures = 1..=self.failures.min(last);
        match (self.badly, why) {
            (Badly::Error, Why::Error(attempt)) => {
                failures.contains(attempt) && may_fail_at(*attempt)
            }
            (Badly::Panic, Why::Panic) | (Badly::Hang, Why::Timeout) => failures.any(may_fail_at),
            _ => false,
        }
    }
}

/// What an attempt comes to.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Ends(Result<Attempted, FailureDetails>),
    Hangs,
    /// The process dies.
    Kills,
}

fn encode<T: Serialize>(value: &T) -> Payload {
    Payload::encode(value).expect("JSON")
}

// Making one up.

/// A program of about `budget` nodes.
pub(crate) fn random(rng: &mut Rng, budget: usize) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut left = budget.max(1);
    while left > 0 {
        let node = random_node(rng, left);
        left -= size(&node).min(left);
        nodes.push(node);
    }
    match rng.u8(0..16) {
        0 => nodes.push(Node::Fail),
        1 => nodes.push(Node::Panic),
        2 if budget > 1 => nodes.push(Node::Again(random(rng, budget / 2))),
        _ => {}
    }
    nodes
}

fn random_node(rng: &mut Rng, budget: usize) -> Node {
    let name = |rng: &mut Rng| rng.u8(..) % 3;
    let branches = |rng: &mut Rng| -> Vec<Vec<Node>> {
        let count = rng.usize(2..4);
        let each = (budget / count).clamp(1, 3);
        (0..count)
            .map(|_| {
                let length = rng.usize(1..=each);
                (0..length)
                    .map(|_| random_node(rng, budget / (2 * count)))
                    .collect()
            })
            .collect()
    };
    match rng.u8(0..27) {
        25 => Node::Must(Work::mended(rng)),
        26 if budget > 4 => crowd(rng),
        23 => Node::EventWithin(name(rng), rng.u64(0..30_000)),
        24 => Node::Patched(name(rng)),
        8 | 9 => Node::Sleep(rng.u64(0..20_000)),
        10 | 11 => Node::Event(name(rng)),
        12 => Node::EventOr(name(rng), rng.u64(0..30_000)),
        13 => Node::Inline(rng.u64(0..100)),
        14 => Node::Status(rng.u32(0..100)),
        15 => Node::Draw,
        16 | 17 if budget > 2 => Node::All(branches(rng)),
        18 if budget > 2 => Node::First(branches(rng)),
        20 => Node::Letter,
        21 if budget > 1 => {
            let mut nodes = without_events(random(rng, budget / 2));
            // How children fail is worth the more looks.
            if rng.u8(0..3) == 0 && end(&nodes).is_none() && !continues(&nodes) {
                nodes.push(Node::Fail);
            }
            Node::Child(nodes, Kin::random(rng))
        }
        22 if budget > 1 => Node::Detached(without_events(random(rng, budget / 2))),
        19 if budget > 2 => {
            let inner = random_node(rng, budget / 2);
            Node::Meanwhile(Work::random(rng), vec![inner])
        }
        _ => Node::Call(Work::random(rng)),
    }
}

/// Something that fails until its instance is rewound, beside children that take turn after turn: they
/// are given up with it, and called again.
fn crowd(rng: &mut Rng) -> Node {
    let must = Work {
        failures: u32::MAX,
        mended: true,
        ..Work::well(rng.u64(0..1_000))
    };
    let child = |rng: &mut Rng| {
        let turns = vec![Node::Sleep(0); rng.usize(10..40)];
        let kin = Kin {
            must: false,
            ..Kin::random(rng)
        };
        vec![Node::Child(turns, kin)]
    };
    let children: Vec<_> = (0..rng.usize(3..7)).map(|_| child(rng)).collect();
    let must = vec![Node::Must(must)];
    Node::First([must].into_iter().chain(children).collect())
}

fn continues(nodes: &[Node]) -> bool {
    matches!(nodes.last(), Some(Node::Again(_)))
}

/// Nobody raises events for it.
fn without_events(nodes: Vec<Node>) -> Vec<Node> {
    let all = |branches: Vec<Vec<Node>>| branches.into_iter().map(without_events).collect();
    let one = |node| match node {
        Node::Event(name) => Node::EventOr(name, 100),
        Node::All(branches) => Node::All(all(branches)),
        Node::First(branches) => Node::First(all(branches)),
        Node::Meanwhile(work, nodes) => Node::Meanwhile(work, without_events(nodes)),
        Node::Again(nodes) => Node::Again(without_events(nodes)),
        other => other,
    };
    nodes.into_iter().map(one).collect()
}

impl Kin {
    fn random(rng: &mut Rng) -> Self {
        Self {
            named: rng.bool(),
            attempts: rng.u32(1..4),
            pause_ms: rng.u64(0..4_000),
            final_at: rng.bool().then(|| rng.u32(1..4)),
            must: rng.u8(0..4) == 0,
        }
    }

    /// The number of the last attempt that failures with an error can lead to.
    pub(crate) fn last_attempt(&self) -> u32 {
        self.final_at
            .map_or(self.attempts, |last| self.attempts.min(last))
    }
}

fn size(node: &Node) -> usize {
    1 + children(node).flatten().map(size).sum::<usize>()
}

fn children(node: &Node) -> impl Iterator<Item = &Vec<Node>> {
    let (branches, inner) = match node {
        Node::All(branches) | Node::First(branches) => (branches.as_slice(), None),
        Node::Meanwhile(_, inner)
        | Node::Child(inner, _)
        | Node::Detached(inner)
        | Node::Again(inner) => ([].as_slice(), Some(inner)),
        Node::Call(_)
        | Node::Inline(_)
        | Node::Sleep(_)
        | Node::Event(_)
        | Node::EventOr(..)
        | Node::EventWithin(..)
        | Node::Patched(_)
        | Node::Must(_)
        | Node::Status(_)
        | Node::Draw
        | Node::Letter
        | Node::Fail
        | Node::Panic => ([].as_slice(), None),
    };
    branches.iter().chain(inner)
}

/// The names of all events it may wait for, one for each wait.
pub(crate) fn waits(nodes: &[Node]) -> Vec<u8> {
    let mut names = Vec::new();
    for node in nodes {
        if let Node::Event(name) | Node::EventOr(name, _) | Node::EventWithin(name, _) = node {
            names.push(*name);
        }
        if !matches!(node, Node::Child(..) | Node::Detached(_)) {
            for branch in children(node) {
                names.extend(waits(branch));
            }
        }
    }
    names
}

/// Smaller programs than this one, to find out what a failure needs.
pub(crate) fn smaller(nodes: &[Node]) -> Vec<Vec<Node>> {
    let mut all = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let with = |replaced: Vec<Node>| {
            let mut nodes = nodes.to_vec();
            nodes.splice(index..=index, replaced);
            nodes
        };
        all.push(with(Vec::new()));
        // What comes after the end is never done.
        let ends = |nodes: &Vec<Node>| {
            matches!(
                nodes.last(),
                Some(Node::Fail | Node::Panic | Node::Again(_))
            )
        };
        let last = index + 1 == nodes.len();
        let branches = children(node).filter(|branch| last || !ends(branch));
        all.extend(branches.map(|branch| with(branch.clone())));
        let inner = |nodes: &Vec<Node>| smaller(nodes);
        match node {
            Node::Child(nodes, kin) => {
                all.extend(
                    inner(nodes)
                        .into_iter()
                        .map(|nodes| with(vec![Node::Child(nodes, *kin)])),
                );
            }
            Node::Again(nodes) => {
                all.extend(
                    inner(nodes)
                        .into_iter()
                        .map(|nodes| with(vec![Node::Again(nodes)])),
                );
            }
            _ => {}
        }
        if let Node::Call(work) = node
            && *work != Work::well(work.n)
        {
            all.push(with(vec![Node::Call(Work::well(work.n))]));
        }
    }
    all.retain(|nodes| !nodes.is_empty());
    all
}

// Following one.

/// Which code a worker runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    Right,
    /// As it was before it was changed at every [`Node::Patched`].
    Old,
    /// It asks for something else when it is replayed.
    Changed,
    /// The orchestrator is not there.
    NoOrchestrator,
    /// The activity is not there.
    NoActivity,
}

pub(crate) fn registry(code: Code) -> Registry {
    let mut registry = Registry::default();
    match code {
        Code::Right => {
            registry.activity::<Worked>();
            registry.orchestrator::<Script>();
            registry.orchestrator::<ByAnother<Script>>();
        }
        Code::Old => {
            registry.activity::<Worked>();
            registry.orchestrator::<OldScript>();
            registry.orchestrator::<ByAnother<OldScript>>();
        }
        Code::Changed => {
            registry.activity::<Worked>();
            registry.orchestrator::<ChangedScript>();
            registry.orchestrator::<ByAnother<ChangedScript>>();
        }
        Code::NoOrchestrator => registry.activity::<Worked>(),
        Code::NoActivity => {
            registry.orchestrator::<Script>();
            registry.orchestrator::<ByAnother<Script>>();
        }
    }
    registry
}

/// The one activity. The world answers for it; nothing runs.
pub(crate) struct Worked;

impl Activity for Worked {
    type Input = (Work, String);
    type Output = (u64, String);
    type Error = u32;
    const NAME: &'static str = "Worked";

    fn require(_: &mut Requirements) {}

    fn run(_: ActivityContext, _: Payload) -> ActivityFuture {
        unreachable!("the world answers")
    }
}

pub(crate) struct Script;

impl Orchestrator for Script {
    type Input = Vec<Node>;
    type Output = Vec<Seen>;
    type Error = u32;
    const NAME: &'static str = "Script";
    const VERSION: &'static str = "";

    fn run(ctx: OrchestrationContext, input: Payload) -> OrchestratorFuture {
        Box::pin(async move {
            let nodes: Vec<Node> = input.decode().expect("a program");
            follow(ctx, nodes).await.map(|seen| encode(&seen))
        })
    }
}

/// What is begun by another. It has a name of its own, so that it can be kept for another time.
pub(crate) struct ByAnother<S>(PhantomData<S>);

impl<S> Orchestrator for ByAnother<S>
where
    S: Orchestrator<Input = Vec<Node>, Output = Vec<Seen>, Error = u32>,
{
    type Input = S::Input;
    type Output = S::Output;
    type Error = S::Error;
    const NAME: &'static str = "Child";
    const VERSION: &'static str = S::VERSION;

    fn run(ctx: OrchestrationContext, input: Payload) -> OrchestratorFuture {
        S::run(ctx, input)
    }
}

thread_local! {
    /// Whether the code is run that asks for no patches.
    static OLD: Cell<bool> = const { Cell::new(false) };
}

/// Puts back what it was before, also over a panic.
struct IsOld(bool);

impl Drop for IsOld {
    fn drop(&mut self) {
        OLD.set(self.0);
    }
}

/// What `Script` was before it was changed.
struct OldScript;

impl Orchestrator for OldScript {
    type Input = Vec<Node>;
    type Output = Vec<Seen>;
    type Error = u32;
    const NAME: &'static str = Script::NAME;
    const VERSION: &'static str = "";

    fn run(ctx: OrchestrationContext, input: Payload) -> OrchestratorFuture {
        Box::pin(async move {
            let mut script = Script::run(ctx, input);
            poll_fn(|cx| {
                let _old = IsOld(OLD.replace(true));
                script.as_mut().poll(cx)
            })
            .await
        })
    }
}

struct ChangedScript;

impl Orchestrator for ChangedScript {
    type Input = Vec<Node>;
    type Output = Vec<Seen>;
    type Error = u32;
    const NAME: &'static str = Script::NAME;
    const VERSION: &'static str = "";

    fn run(ctx: OrchestrationContext, input: Payload) -> OrchestratorFuture {
        Box::pin(async move {
            if ctx.is_replaying() {
                // No program has a timer of this length.
                ctx.create_timer(Duration::from_micros(7_000_001)).await;
            }
            Script::run(ctx, input).await
        })
    }
}

type Following = Pin<Box<dyn Future<Output = Result<Vec<Seen>, FailureDetails>> + Send>>;

fn follow(ctx: OrchestrationContext, nodes: Vec<Node>) -> Following {
    Box::pin(async move {
        let mut seen = Vec::new();
        for node in nodes {
            follow_node(ctx, node, &mut seen).await?;
        }
        Ok(seen)
    })
}

async fn again(ctx: OrchestrationContext, nodes: Vec<Node>) {
    if ctx.name() == Script::NAME {
        ctx.continue_as_new::<Script, ()>(nodes).await;
    } else {
        ctx.continue_as_new::<ByAnother<Script>, ()>(nodes).await;
    }
}

async fn follow_node(
    ctx: OrchestrationContext,
    node: Node,
    seen: &mut Vec<Seen>,
) -> Result<(), FailureDetails> {
    match node {
        Node::Call(work) => seen.push(outcome(call(ctx, &work).await)),
        Node::Meanwhile(work, nodes) => {
            let begun = call(ctx, &work).start();
            seen.extend(follow(ctx, nodes).await?);
            seen.push(outcome(begun.await));
        }
        Node::Inline(n) => {
            let step = ctx.run::<u64, NoError, _, _>("inline", move || async move { Ok(n) });
            seen.push(Seen::Inline(step.await.expect("an inline step's output")));
        }
        Node::Sleep(ms) => ctx.create_timer(Duration::from_millis(ms)).await,
        Node::Event(name) => seen.push(event(ctx, name).await),
        Node::EventOr(name, ms) => {
            let timer = ctx.create_timer(Duration::from_millis(ms));
            seen.push(match select(event(ctx, name).boxed(), timer).await {
                Either::Left((event, _)) => event,
                Either::Right(((), _)) => Seen::Timer,
            });
        }
        Node::All(branches) => {
            let branches = branches.into_iter().map(|nodes| follow(ctx, nodes));
            for branch in join_all(branches).await {
                seen.extend(branch?);
            }
        }
        Node::First(branches) => {
            let branches = branches.into_iter().map(|nodes| follow(ctx, nodes));
            let (first, index, rest) = select_all(branches).await;
            drop(rest);
            seen.push(Seen::First(index));
            seen.extend(first?);
        }
        Node::Status(status) => ctx.set_custom_status(&status).expect("JSON"),
        Node::Draw => {
            let mut drawn = ctx.new_uuid().to_string();
            let now = ctx.now().duration_since(std::time::UNIX_EPOCH);
            let _ = write!(drawn, " {}", now.expect("after 1970").as_micros());
            seen.push(Seen::Drawn(drawn));
        }
        Node::Letter => {
            let name = LETTER.to_uppercase();
            let raised = Raised {
                number: ctx.random_u64(),
                padding: String::new(),
            };
            ctx.raise_event(ctx.instance_id(), &name, &raised)?;
            let wait = ctx.wait_for_external_event::<Raised>(LETTER);
            wait.await.expect("an event's data");
            seen.push(Seen::Letter);
        }
        Node::Child(nodes, kin) => {
            let policy = RetryPolicy::fixed(kin.attempts, Duration::from_millis(kin.pause_ms));
            let mut call = ctx
                .call_sub_orchestrator::<ByAnother<Script>>(nodes)
                .retry(policy);
            if kin.named {
                call = call.id(format!("named {}", ctx.new_uuid()));
            }
            if let Some(last) = kin.final_at {
                call = call.retry_if(move |attempt| *attempt != last);
            }
            let child = call.await.map_err(|error| match error {
                SubOrchestrationError::Application(attempt) => Some(attempt),
                _ => None,
            });
            if kin.must && child.is_err() {
                return Err(failed(ctx, MUST));
            }
            seen.push(Seen::Child(child));
        }
        Node::Detached(nodes) => {
            let call = ctx.call_sub_orchestrator::<ByAnother<Script>>(nodes);
            call.detach().map_err(|error| {
                FailureDetails::new(FailureKind::Application, "detach", error.to_string())
            })?;
        }
        Node::Again(nodes) => again(ctx, nodes).await,
        Node::EventWithin(name, ms) => {
            let wait = ctx.wait_for_external_event::<Raised>(NAMES[usize::from(name)].0);
            seen.push(match wait.timeout(Duration::from_millis(ms)).await {
                Err(EventError::TimedOut) => Seen::Timer,
                event => Seen::Event(name, event.expect("an event's data").number),
            });
        }
        Node::Patched(name) => {
            let patched = !OLD.get() && ctx.patched(format!("patch {name}"));
            // Replay must be able to tell which path it was.
            ctx.set_custom_status(&(name, patched)).expect("JSON");
            seen.push(Seen::Patched(name, patched));
        }
        Node::Must(work) => match call(ctx, &work).await {
            Ok((output, _)) => seen.push(Seen::Output(output)),
            Err(_) => return Err(failed(ctx, MUST)),
        },
        Node::Fail => return Err(failed(ctx, PLANNED)),
        Node::Panic => panic!("{PLANNED}"),
    }
    Ok(())
}

/// It tells which attempt it was.
fn failed(ctx: OrchestrationContext, why: &str) -> FailureDetails {
    let failure = FailureDetails::new(FailureKind::Application, "planned", why);
    failure.with_value(encode(&attempt(ctx.instance_id().as_str())))
}

fn call(ctx: OrchestrationContext, work: &Work) -> crate::replay::ActivityCall<(u64, String), u32> {
    let policy = RetryPolicy::exponential(work.attempts, Duration::from_millis(work.pause_ms));
    let policy = match work.give_up_ms {
        Some(ms) => policy.retry_timeout(Duration::from_millis(ms)),
        None => policy,
    };
    let call = ctx.call_activity::<Worked>(work.input());
    let call = call.retry(policy.jitter(f64::from(work.jitter) / 100.0));
    let call = match work.final_at {
        Some(last) => call.retry_if(move |attempt| *attempt != last),
        None => call,
    };
    let call = match work.heartbeat_ms {
        Some(ms) => call.heartbeat_timeout(Duration::from_millis(ms)),
        None => call,
    };
    match work.timeout_ms {
        Some(ms) => call.timeout(Duration::from_millis(ms)),
        None => call,
    }
}

/// Which attempt at a child has this id.
pub(crate) fn attempt(id: &str) -> u32 {
    let number = id
        .rsplit_once(':')
        .and_then(|(_, number)| number.parse().ok());
    number.unwrap_or(1)
}

async fn event(ctx: OrchestrationContext, name: u8) -> Seen {
    let wait = ctx.wait_for_external_event::<Raised>(NAMES[usize::from(name)].0);
    Seen::Event(name, wait.await.expect("an event's data").number)
}

fn outcome(result: Result<(u64, String), ActivityError<u32>>) -> Seen {
    match result {
        Ok((output, _)) => Seen::Output(output),
        Err(ActivityError::Application(attempt)) => Seen::Failed(Why::Error(attempt)),
        Err(ActivityError::Panicked(_)) => Seen::Failed(Why::Panic),
        Err(ActivityError::TimedOut(_)) => Seen::Failed(Why::Timeout),
        Err(other) => panic!("an activity ended with {other:?}"),
    }
}

// What may come out.

/// Whether an orchestrator with this program may have ended with this.
pub(crate) fn judge(
    nodes: &[Node],
    result: Result<&Payload, &FailureDetails>,
    raised: u64,
) -> Result<(), String> {
    let must = |failure: &FailureDetails| failure.message() == MUST && may_fail(nodes);
    if result.is_err_and(must) {
        return Ok(());
    }
    if let Some(Node::Again(nodes)) = nodes.last() {
        return judge(nodes, result, raised);
    }
    let output = match result {
        Ok(output) => output,
        Err(failure) => return judge_failure(nodes, failure),
    };
    let seen: Vec<Seen> = output
        .decode()
        .map_err(|error| format!("no output: {error}"))?;
    judge_seen(nodes, seen, raised)
}

fn judge_seen(nodes: &[Node], seen: Vec<Seen>, raised: u64) -> Result<(), String> {
    if let Some(Node::Again(nodes)) = nodes.last() {
        return judge_seen(nodes, seen, raised);
    }
    let mut judge = Judge {
        seen: seen.into_iter(),
        raised,
        events: BTreeSet::new(),
        drawn: BTreeSet::new(),
        patched: BTreeMap::new(),
    };
    judge.sequence(nodes, &mut BTreeMap::new())?;
    match judge.seen.next() {
        None => Ok(()),
        Some(more) => Err(format!("it saw {more:?} after its end")),
    }
}

/// How it fails in the end, however often it is tried.
fn end(nodes: &[Node]) -> Option<&Node> {
    match nodes.last() {
        Some(Node::Again(nodes)) => end(nodes),
        Some(failure @ (Node::Fail | Node::Panic)) => Some(failure),
        Some(_) | None => None,
    }
}

/// Whether it may fail before its end.
fn may_fail(nodes: &[Node]) -> bool {
    nodes.iter().any(|node| match node {
        Node::Must(_) => true,
        Node::Child(nodes, kin) => kin.must && (may_fail(nodes) || end(nodes).is_some()),
        Node::Detached(_) => false,
        other => children(other).any(|branch| may_fail(branch)),
    })
}

fn judge_failure(nodes: &[Node], failure: &FailureDetails) -> Result<(), String> {
    let planned = match nodes.last() {
        Some(Node::Fail) => failure.kind() == FailureKind::Application,
        Some(Node::Panic) => failure.kind() == FailureKind::Panic,
        Some(_) | None => false,
    };
    if planned && failure.message().starts_with(PLANNED) {
        Ok(())
    } else {
        Err(format!("it failed with {failure:?}"))
    }
}

struct Judge {
    seen: std::vec::IntoIter<Seen>,
    raised: u64,
    events: BTreeSet<u64>,
    drawn: BTreeSet<String>,
    /// The path that was taken at each patch.
    patched: BTreeMap<u8, bool>,
}

impl Judge {
    /// `last` is the newest event of each name that must have come before.
    fn sequence(&mut self, nodes: &[Node], last: &mut BTreeMap<u8, u64>) -> Result<(), String> {
        nodes.iter().try_for_each(|node| self.node(node, last))
    }

    fn node(&mut self, node: &Node, last: &mut BTreeMap<u8, u64>) -> Result<(), String> {
        match node {
            Node::Call(work) => self.expect_of(work),
            Node::Must(work) => self.expect(&Seen::Output(work.output())),
            Node::Meanwhile(work, nodes) => {
                self.sequence(nodes, last)?;
                self.expect_of(work)
            }
            Node::Inline(n) => self.expect(&Seen::Inline(*n)),
            Node::Sleep(_) | Node::Status(_) | Node::Detached(_) => Ok(()),
            Node::Event(name) => match self.next()? {
                Seen::Event(seen, number) if seen == *name => self.event(*name, number, last),
                other => Err(format!("it saw {other:?} for {node:?}")),
            },
            Node::EventOr(name, _) | Node::EventWithin(name, _) => match self.next()? {
                Seen::Timer => Ok(()),
                Seen::Event(seen, number) if seen == *name => self.event(*name, number, last),
                other => Err(format!("it saw {other:?} for {node:?}")),
            },
            Node::All(branches) => {
                let before = last.clone();
                for branch in branches {
                    let mut own = before.clone();
                    self.sequence(branch, &mut own)?;
                    for (name, number) in own {
                        let newest = last.entry(name).or_default();
                        *newest = number.max(*newest);
                    }
                }
                Ok(())
            }
            // An event that the branch took may be newer than one that a dropped branch gave back.
            Node::First(branches) => match self.next()? {
                Seen::First(index) if index < branches.len() => {
                    self.sequence(&branches[index], &mut last.clone())
                }
                other => Err(format!("it saw {other:?} for a race")),
            },
            Node::Draw => match self.next()? {
                Seen::Drawn(drawn) if self.drawn.insert(drawn.clone()) => Ok(()),
                other => Err(format!("it drew {other:?}, again")),
            },
            Node::Letter => self.expect(&Seen::Letter),
            Node::Child(nodes, kin) => match (self.next()?, end(nodes)) {
                // One that must go well was not seen to fail.
                (Seen::Child(Err(_)), _) if kin.must => {
                    Err("it goes on without a child".to_owned())
                }
                (Seen::Child(Err(Some(attempt))), failure)
                    if attempt == kin.last_attempt()
                        && (may_fail(nodes) || matches!(failure, Some(Node::Fail))) =>
                {
                    Ok(())
                }
                (Seen::Child(Err(None)), Some(Node::Panic)) => Ok(()),
                (Seen::Child(Ok(seen)), None) => judge_seen(nodes, seen, 0),
                (other, _) => Err(format!("it saw {other:?} for {node:?}")),
            },
            Node::Patched(name) => match self.next()? {
                Seen::Patched(seen, patched)
                    if seen == *name && *self.patched.entry(seen).or_insert(patched) == patched =>
                {
                    Ok(())
                }
                other => Err(format!("it saw {other:?} for {node:?}")),
            },
            Node::Fail | Node::Panic | Node::Again(_) => Err("it should have ended".to_owned()),
        }
    }

    fn next(&mut self) -> Result<Seen, String> {
        self.seen
            .next()
            .ok_or_else(|| "it ended too early".to_owned())
    }

    fn expect_of(&mut self, work: &Work) -> Result<(), String> {
        let seen = self.next()?;
        if work.may_come_to(&seen) {
            Ok(())
        } else {
            Err(format!("it saw {seen:?} of {work:?}"))
        }
    }

    fn expect(&mut self, expected: &Seen) -> Result<(), String> {
        let seen = self.next()?;
        if seen == *expected {
            Ok(())
        } else {
            Err(format!("it saw {seen:?} instead of {expected:?}"))
        }
    }

    fn event(&mut self, name: u8, number: u64, last: &mut BTreeMap<u8, u64>) -> Result<(), String> {
        if number == 0 || number > self.raised {
            return Err(format!("it saw event {number}, which nobody raised"));
        }
        if !self.events.insert(number) {
            return Err(format!("it saw event {number} twice"));
        }
        match last.insert(name, number) {
            Some(before) if before > number => Err(format!("it saw event {number} after {before}")),
            Some(_) | None => Ok(()),
        }
    }
}
