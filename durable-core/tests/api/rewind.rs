//! An instance that has failed goes on where it failed: what succeeded stays, and nothing runs twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use durable_core::testing::{TestHub, TestHubBuilder};
use durable_core::{
    ActivityContext, Client, HistoryEvent, HistoryEventKind as Kind, InstanceError,
    OrchestrationContext, OrchestrationStatus, ProblemKind, RetryPolicy, RewindError,
    RuntimeStatus, State, TaskHub, WorkerBuilder, activity, orchestrator,
};
use futures_util::TryStreamExt;
use futures_util::future::{join_all, try_join_all};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{Place, listen, names, on_both, over_restarts, soon, status_when};

const MINUTE: Duration = Duration::from_secs(60);

/// What an orchestrator does, one after the other.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Do {
    Work(String),
    /// With so many attempts.
    Tries(String, u32),
    /// All at once, and all are heard out.
    All(Vec<String>),
    /// All at once, until one fails.
    Race(Vec<String>),
    /// The work beside a timer of so many minutes.
    Beside(String, u32),
    /// Another one, by the end of its id.
    Child(String, Vec<Do>),
    /// With so many attempts.
    ChildTries(String, u32, Vec<Do>),
    /// Several of them at once, and all are heard out.
    Children(Vec<(String, Vec<Do>)>),
    /// The work and the child at once, until one fails.
    RaceChild(String, String, Vec<Do>),
    /// In an execution of its own.
    Anew(Vec<Do>),
    /// Waits for an event.
    Hear(String),
    /// So many minutes.
    Sleep(u32),
    /// The work; if it fails, the second before it fails.
    Saga(String, String),
}

#[orchestrator]
async fn follow(ctx: OrchestrationContext, plan: Vec<Do>) -> Result<Vec<String>, String> {
    let mut done = Vec::new();
    for what in plan {
        if let Do::Anew(plan) = what {
            return ctx.continue_as_new::<follow, _>(plan).await;
        }
        done.extend(take(&ctx, what).await?);
    }
    Ok(done)
}

async fn take(ctx: &OrchestrationContext, what: Do) -> Result<Vec<String>, String> {
    let call = async |name: String| {
        let called = ctx.call_activity::<work>(name).await;
        called.map_err(|error| error.to_string())
    };
    match what {
        Do::Work(name) => Ok(vec![call(name).await?]),
        Do::Tries(name, attempts) => {
            let policy = RetryPolicy::fixed(attempts, Duration::from_millis(1));
            let called = ctx.call_activity::<work>(name).retry(policy).await;
            called
                .map(|done| vec![done])
                .map_err(|error| error.to_string())
        }
        Do::All(names) => join_all(names.into_iter().map(call))
            .await
            .into_iter()
            .collect(),
        Do::Race(names) => try_join_all(names.into_iter().map(call)).await,
        Do::Beside(name, minutes) => {
            let timer = async {
                ctx.create_timer(MINUTE * minutes).await;
                Ok::<_, String>(())
            };
            let (done, ()) = futures_util::try_join!(call(name), timer)?;
            Ok(vec![done])
        }
        Do::Child(name, plan) => child_of(ctx, name, 1, plan).await,
        Do::ChildTries(name, attempts, plan) => child_of(ctx, name, attempts, plan).await,
        Do::Children(plans) => {
            let children = plans
                .into_iter()
                .map(|(name, plan)| child_of(ctx, name, 1, plan));
            let done: Result<Vec<_>, _> = join_all(children).await.into_iter().collect();
            Ok(done?.concat())
        }
        Do::RaceChild(work, name, plan) => {
            let child = child_of(ctx, name, 1, plan);
            let (done, of_child) = futures_util::try_join!(call(work), child)?;
            Ok([vec![done], of_child].concat())
        }
        Do::Anew(_) => unreachable!("it is the end"),
        Do::Hear(name) => Ok(vec![ctx.wait_for_external_event(&name).await.unwrap()]),
        Do::Sleep(minutes) => {
            ctx.create_timer(MINUTE * minutes).await;
            Ok(Vec::new())
        }
        Do::Saga(name, compensation) => match call(name).await {
            Ok(done) => Ok(vec![done]),
            Err(error) => {
                call(compensation).await?;
                Err(error)
            }
        },
    }
}

async fn child_of(
    ctx: &OrchestrationContext,
    name: String,
    attempts: u32,
    plan: Vec<Do>,
) -> Result<Vec<String>, String> {
    let child = ctx.call_sub_orchestrator::<follow>(plan);
    let child = child.id(format!("{}-{name}", ctx.instance_id()));
    let retry = RetryPolicy::fixed(attempts, Duration::from_millis(1));
    child.retry(retry).await.map_err(|error| error.to_string())
}

/// What becomes of a work.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// Once so many have begun.
    Fails(usize),
    /// Once so many have ended.
    Succeeds(usize),
    /// Until it is cancelled.
    Hangs,
    /// If it is one of so many that have begun.
    IsOneOf(usize),
}
use Fate::{Fails, Hangs, IsOneOf, Succeeds};

/// The works that were begun, in their order, and how many have ended.
#[derive(Clone, Debug, Default)]
struct Log {
    begun: Vec<String>,
    ended: usize,
}

/// How a test sees the activity, and has it fail.
#[derive(Clone, Debug, Default)]
struct Desk {
    fates: Arc<Mutex<BTreeMap<String, Fate>>>,
    log: Arc<watch::Sender<Log>>,
}

impl Desk {
    /// What is not named here succeeds at once. The log is empty then.
    fn set(&self, fates: &[(&str, Fate)]) {
        let fates = fates.iter().map(|(name, fate)| ((*name).to_owned(), *fate));
        *self.fates.lock().unwrap() = fates.collect();
        self.log.send_replace(Log::default());
    }

    /// What was begun, in alphabetical order.
    fn begun(&self) -> Vec<String> {
        let mut begun = self.log.borrow().begun.clone();
        begun.sort_unstable();
        begun
    }

    async fn log_when(&self, is: impl FnMut(&Log) -> bool) {
        self.log.subscribe().wait_for(is).await.unwrap();
    }
}

/// Attempts after the first are logged with their number.
#[activity]
async fn work(
    State(desk): State<Desk>,
    ctx: ActivityContext,
    name: String,
) -> Result<String, String> {
    let attempt = ctx.attempt();
    let shown = if attempt == 1 {
        name.clone()
    } else {
        format!("{name}{attempt}")
    };
    let fate = desk.fates.lock().unwrap().get(&name).copied();
    desk.log.send_modify(|log| log.begun.push(shown));
    let result = match fate {
        Some(Fails(begun)) => {
            desk.log_when(|log| log.begun.len() >= begun).await;
            Err(format!("{name} is broken"))
        }
        Some(IsOneOf(first)) if desk.log.borrow().begun.len() <= first => {
            Err(format!("{name} is broken"))
        }
        Some(Hangs) => {
            ctx.cancellation_token().cancelled().await;
            Err("cancelled".to_owned())
        }
        Some(Succeeds(ended)) => {
            desk.log_when(|log| log.ended >= ended).await;
            Ok(name)
        }
        Some(IsOneOf(_)) | None => Ok(name),
    };
    desk.log.send_modify(|log| log.ended += 1);
    result
}

fn deploy(desk: &Desk) -> impl Fn(WorkerBuilder) -> WorkerBuilder + use<> {
    let desk = desk.clone();
    move |builder| {
        let builder = builder.state(desk.clone()).register::<work>();
        builder.register::<follow>().register::<listen>()
    }
}

fn works(name: &str) -> Do {
    Do::Work(name.to_owned())
}

fn child(name: &str, plan: &[Do]) -> Do {
    Do::Child(name.to_owned(), plan.to_vec())
}

async fn start(client: &Client, id: &str, plan: &[Do]) {
    let start = client.start_orchestration::<follow>(plan.to_vec()).id(id);
    start.await.unwrap();
}

#[track_caller]
fn end(client: &Client, id: &str) -> impl Future<Output = OrchestrationStatus> {
    let ended = soon(client.wait_for_completion(id));
    async { ended.await.unwrap().unwrap() }
}

async fn failed(client: &Client, id: &str) {
    let status = end(client, id).await;
    assert_eq!(status.runtime_status(), RuntimeStatus::Failed, "{id}");
}

async fn completed(client: &Client, id: &str, output: &[&str]) {
    let status = end(client, id).await;
    let failure = status.failure();
    assert_eq!(
        status.runtime_status(),
        RuntimeStatus::Completed,
        "{id}: {failure:?}"
    );
    let found = status.output::<Vec<String>>().unwrap().unwrap();
    assert_eq!(found, output, "{id}");
}

async fn history(client: &Client, id: &str) -> Vec<HistoryEvent> {
    soon(client.history(id).into_stream().try_collect())
        .await
        .unwrap()
}

/// The reasons of its rewinds.
async fn rewinds(client: &Client, id: &str) -> Vec<String> {
    let reason = |event: HistoryEvent| match event.kind {
        Kind::ExecutionRewound { reason, .. } => Some(reason),
        _ => None,
    };
    let events = history(client, id).await;
    events.into_iter().filter_map(reason).collect()
}

/// The rewind that `after` begins with names the calls that had failed and succeed now, and no other.
#[track_caller]
fn names_what_is_asked_for_again(before: &[HistoryEvent], after: &[HistoryEvent]) {
    let calls = |events: &[HistoryEvent], which: fn(&Kind) -> Option<u32>| -> BTreeSet<u32> {
        let calls = events.iter().filter_map(|event| which(&event.kind));
        calls.collect()
    };
    let failed = calls(before, |kind| match kind {
        Kind::TaskFailed { call, .. } | Kind::SubOrchestrationInstanceFailed { call, .. } => {
            Some(*call)
        }
        _ => None,
    });
    let mended = calls(after, |kind| match kind {
        Kind::TaskCompleted { call, .. } | Kind::SubOrchestrationInstanceCompleted { call, .. } => {
            Some(*call)
        }
        _ => None,
    });
    let Kind::ExecutionRewound { calls, .. } = &after[0].kind else {
        panic!("{after:?}");
    };
    let expected: Vec<_> = failed.intersection(&mended).copied().collect();
    assert!(!expected.is_empty() && *calls == expected, "{after:?}");
}

/// Fails, is mended, and goes on.
struct Row {
    what: &'static str,
    plan: Vec<Do>,
    fates: &'static [(&'static str, Fate)],
    before: &'static [&'static str],
    again: &'static [&'static str],
    output: &'static [&'static str],
}

fn of_works() -> Vec<Row> {
    vec![
        Row {
            what: "one of several",
            plan: vec![works("a"), works("b"), works("c")],
            fates: &[("b", Fails(0))],
            before: &["a", "b"],
            again: &["b", "c"],
            output: &["a", "b", "c"],
        },
        Row {
            what: "the first",
            plan: vec![works("a")],
            fates: &[("a", Fails(0))],
            before: &["a"],
            again: &["a"],
            output: &["a"],
        },
        Row {
            what: "after its attempts, they begin anew",
            plan: vec![works("a"), Do::Tries("b".to_owned(), 3)],
            fates: &[("b", Fails(0))],
            before: &["a", "b", "b2", "b3"],
            again: &["b"],
            output: &["a", "b"],
        },
        Row {
            what: "several of those that were heard out",
            plan: vec![Do::All(names(&["a", "b", "c", "d"])), works("e")],
            fates: &[("b", Fails(0)), ("d", Fails(4))],
            before: &["a", "b", "c", "d"],
            again: &["b", "d", "e"],
            output: &["a", "b", "c", "d", "e"],
        },
        Row {
            what: "several, and the last one heard of has succeeded",
            plan: vec![Do::All(names(&["a", "b", "c"]))],
            fates: &[("a", Fails(0)), ("b", Fails(0)), ("c", Succeeds(2))],
            before: &["a", "b", "c"],
            again: &["a", "b"],
            output: &["a", "b", "c"],
        },
        Row {
            what: "all of those that were heard out",
            plan: vec![works("a"), Do::All(names(&["b", "c"]))],
            fates: &[("b", Fails(0)), ("c", Fails(0))],
            before: &["a", "b", "c"],
            again: &["b", "c"],
            output: &["a", "b", "c"],
        },
        Row {
            what: "one, and the others were given up",
            plan: vec![works("a"), Do::Race(names(&["b", "c", "d"]))],
            fates: &[("b", Hangs), ("c", Fails(4)), ("d", Hangs)],
            before: &["a", "b", "c", "d"],
            again: &["b", "c", "d"],
            output: &["a", "b", "c", "d"],
        },
    ]
}

fn of_children() -> Vec<Row> {
    vec![
        Row {
            what: "in a child",
            plan: vec![
                works("p"),
                child("kid", &[works("a"), works("b")]),
                works("q"),
            ],
            fates: &[("b", Fails(0))],
            before: &["a", "b", "p"],
            again: &["b", "q"],
            output: &["p", "a", "b", "q"],
        },
        Row {
            what: "in a child of a child",
            plan: vec![child(
                "kid",
                &[works("a"), child("kid", &[works("b"), works("c")])],
            )],
            fates: &[("c", Fails(0))],
            before: &["a", "b", "c"],
            again: &["c"],
            output: &["a", "b", "c"],
        },
        Row {
            what: "in several children",
            plan: vec![Do::Children(vec![
                ("x".to_owned(), vec![works("a"), works("b")]),
                ("y".to_owned(), vec![works("c")]),
                ("z".to_owned(), vec![works("d"), works("e")]),
            ])],
            fates: &[("b", Fails(0)), ("e", Fails(0))],
            before: &["a", "b", "c", "d", "e"],
            again: &["b", "e"],
            output: &["a", "b", "c", "d", "e"],
        },
        Row {
            what: "in each attempt at a child, of which the first goes on",
            plan: vec![Do::ChildTries(
                "kid".to_owned(),
                2,
                vec![works("a"), works("b")],
            )],
            fates: &[("b", Fails(0))],
            before: &["a", "a", "b", "b"],
            again: &["b"],
            output: &["a", "b"],
        },
        Row {
            what: "beside a child that has completed",
            plan: vec![
                child("kid", &[works("a")]),
                Do::RaceChild("b".to_owned(), "boy".to_owned(), vec![works("c")]),
            ],
            // Once the child of the race has begun its work.
            fates: &[("b", Fails(3)), ("c", Hangs)],
            before: &["a", "b", "c"],
            again: &["b", "c"],
            output: &["a", "b", "c"],
        },
        Row {
            what: "in a later execution",
            plan: vec![works("a"), Do::Anew(vec![works("b"), works("c")])],
            fates: &[("c", Fails(0))],
            before: &["a", "b", "c"],
            again: &["c"],
            output: &["b", "c"],
        },
    ]
}

#[tokio::test]
async fn what_failed_runs_again_and_nothing_else() {
    for restart in [false, true] {
        let desk = Desk::default();
        over_restarts(TaskHub::options(), deploy(&desk), async |mut site| {
            for row in of_works().into_iter().chain(of_children()) {
                let (what, id) = (row.what, row.what.replace(' ', "-"));
                desk.set(row.fates);
                start(&site.client(), &id, &row.plan).await;
                failed(&site.client(), &id).await;
                assert_eq!(desk.begun(), row.before, "{what}");
                if restart {
                    site = site.restart().await;
                }
                desk.set(&[]);
                let client = site.client();
                let before = history(&client, &id).await;
                client.rewind(&*id, "mended").await.unwrap();
                completed(&client, &id, row.output).await;
                assert_eq!(desk.begun(), row.again, "{what}");
                // What was stays.
                let mut after = history(&client, &id).await;
                assert_eq!(after[..before.len()], before, "{what}");
                assert_eq!(rewinds(&client, &id).await, ["mended"], "{what}");
                names_what_is_asked_for_again(&before, &after.split_off(before.len()));
            }
            site
        })
        .await;
    }
}

#[tokio::test]
async fn a_child_that_failed_is_rewound_itself() {
    let desk = Desk::default();
    over_restarts(TaskHub::options(), deploy(&desk), async |mut site| {
        desk.set(&[("b", Fails(0))]);
        let plan = [child("kid", &[works("a"), works("b"), works("c")])];
        start(&site.client(), "p", &plan).await;
        failed(&site.client(), "p").await;
        let incarnation = async |client: &Client| {
            let status = client.status("p-kid").await.unwrap().unwrap();
            status.incarnation()
        };
        let first = incarnation(&site.client()).await;
        // The parent goes on, and its child fails once more, elsewhere.
        for (now, broken, begun) in [("c", true, ["b", "c"].as_slice()), ("-", false, &["c"])] {
            site = site.restart().await;
            let client = site.client();
            desk.set(&[(now, Fails(0))]);
            client.rewind("p", "again").await.unwrap();
            if broken {
                failed(&client, "p").await;
            } else {
                completed(&client, "p", &["a", "b", "c"]).await;
            }
            assert_eq!(desk.begun(), begun);
        }
        let client = site.client();
        completed(&client, "p-kid", &["a", "b", "c"]).await;
        assert_eq!(incarnation(&client).await, first);
        let reason = "its parent p was rewound";
        assert_eq!(rewinds(&client, "p-kid").await, [reason, reason]);
        site
    })
    .await;
}

/// The second attempt is there from before, and has failed then.
#[tokio::test]
async fn a_second_attempt_at_a_child_runs_again_too() {
    let desk = Desk::default();
    over_restarts(TaskHub::options(), deploy(&desk), async |mut site| {
        desk.set(&[("b", Fails(0))]);
        let tries = Do::ChildTries("kid".to_owned(), 2, vec![works("a"), works("b")]);
        start(&site.client(), "tries", &[tries]).await;
        failed(&site.client(), "tries").await;
        site = site.restart().await;
        desk.set(&[("b", IsOneOf(1))]);
        site.client().rewind("tries", "mended").await.unwrap();
        completed(&site.client(), "tries", &["a", "b"]).await;
        assert_eq!(desk.begun(), ["b", "b"]);
        assert_eq!(rewinds(&site.client(), "tries-kid:2").await.len(), 1);
        site
    })
    .await;
}

#[tokio::test]
async fn a_child_that_was_purged_begins_anew() {
    on_both(async |hub| {
        let desk = Desk::default();
        let _worker = deploy(&desk)(hub.worker()).start().await.unwrap();
        let client = hub.client();
        desk.set(&[("b", Fails(0))]);
        start(
            &client,
            "p",
            &[works("p"), child("kid", &[works("a"), works("b")])],
        )
        .await;
        failed(&client, "p").await;
        desk.set(&[]);
        client.purge("p-kid").await.unwrap();
        client.rewind("p", "").await.unwrap();
        completed(&client, "p", &["p", "a", "b"]).await;
        assert_eq!(desk.begun(), ["a", "b"]);
    })
    .await;
}

#[tokio::test]
async fn it_can_be_rewound_again_and_again() {
    let desk = Desk::default();
    over_restarts(TaskHub::options(), deploy(&desk), async |mut site| {
        let plan = [works("a"), Do::Tries("b".to_owned(), 2), works("c")];
        desk.set(&[("b", Fails(0))]);
        start(&site.client(), "i", &plan).await;
        failed(&site.client(), "i").await;
        let rounds: [(&[_], &[&str]); 3] = [
            // Nobody has mended it.
            (&[("b", Fails(0))], &["b", "b2"]),
            (&[("c", Fails(0))], &["b", "c"]),
            (&[("c", Fails(0))], &["c"]),
        ];
        for (round, (fates, begun)) in rounds.into_iter().enumerate() {
            desk.set(fates);
            let client = site.client();
            client.rewind("i", round.to_string()).await.unwrap();
            failed(&client, "i").await;
            assert_eq!(desk.begun(), begun, "{round}");
            site = site.restart().await;
        }
        desk.set(&[]);
        let client = site.client();
        client.rewind("i", "3").await.unwrap();
        completed(&client, "i", &["a", "b", "c"]).await;
        assert_eq!(desk.begun(), ["c"]);
        assert_eq!(rewinds(&client, "i").await, ["0", "1", "2", "3"]);
        site
    })
    .await;
}

/// It has begun something else when the work failed: that stays, and so it fails as it did.
#[tokio::test]
async fn a_compensation_is_not_taken_back() {
    let desk = Desk::default();
    over_restarts(TaskHub::options(), deploy(&desk), async |mut site| {
        let saga = Do::Saga("pay".to_owned(), "pay back".to_owned());
        desk.set(&[("pay", Fails(0))]);
        start(&site.client(), "s", &[works("a"), saga]).await;
        failed(&site.client(), "s").await;
        assert_eq!(desk.begun(), ["a", "pay", "pay back"]);
        for _round in 0..2 {
            desk.set(&[]);
            site.client().rewind("s", "").await.unwrap();
            failed(&site.client(), "s").await;
            assert_eq!(desk.begun(), names(&[]));
            site = site.restart().await;
        }
        site
    })
    .await;
}

mod broken {
    use super::*;

    #[orchestrator(name = "divide")]
    pub(super) async fn divide(ctx: OrchestrationContext, by: u32) -> Result<u32, String> {
        ctx.call_activity::<work>("a".to_owned()).await.unwrap();
        Ok(100_u32.checked_div(by).unwrap())
    }
}

mod mended {
    use super::*;

    #[orchestrator(name = "divide")]
    pub(super) async fn divide(ctx: OrchestrationContext, by: u32) -> Result<u32, String> {
        ctx.call_activity::<work>("a".to_owned()).await.unwrap();
        let part = 100_u32.checked_div(by).unwrap_or_default();
        ctx.call_activity::<work>("b".to_owned()).await.unwrap();
        Ok(part)
    }
}

#[tokio::test]
async fn one_that_panicked_goes_on_with_mended_code() {
    let desk = Desk::default();
    let with = {
        let deploy = deploy(&desk);
        move |builder| deploy(builder).register::<broken::divide>()
    };
    over_restarts(TaskHub::options(), with, async |site| {
        desk.set(&[]);
        let start = site.client().start_orchestration::<broken::divide>(0);
        start.id("d").await.unwrap();
        failed(&site.client(), "d").await;
        // With the same code it is the same.
        site.client().rewind("d", "perhaps").await.unwrap();
        failed(&site.client(), "d").await;
        let deploy = deploy(&desk);
        let mended = move |builder| deploy(builder).register::<mended::divide>();
        let site = site.restart_with(mended).await;
        let client = site.client();
        client.rewind("d", "mended").await.unwrap();
        let status = end(&client, "d").await;
        assert_eq!(status.output::<u32>().unwrap(), Some(0));
        assert_eq!(desk.begun(), ["a", "b"]);
        site
    })
    .await;
}

mod changed {
    use super::*;

    /// Against the history from its beginning.
    #[orchestrator(name = "divide")]
    pub(super) async fn divide(ctx: OrchestrationContext, _by: u32) -> Result<u32, String> {
        ctx.call_activity::<work>("z".to_owned()).await.unwrap();
        Ok(0)
    }
}

mod fickle {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    static CALLS: AtomicU32 = AtomicU32::new(0);

    /// In the step that is taken again.
    #[orchestrator(name = "divide")]
    pub(super) async fn divide(ctx: OrchestrationContext, _by: u32) -> Result<u32, String> {
        ctx.call_activity::<work>("a".to_owned()).await.unwrap();
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        ctx.call_activity::<work>(call.to_string()).await.unwrap();
        Ok(0)
    }
}

/// Code that is no better stops the rewind, and loses nothing.
#[tokio::test]
async fn with_code_that_is_wrong_it_waits() {
    let desk = Desk::default();
    let code = {
        let desk = desk.clone();
        move |wrong: fn(WorkerBuilder) -> WorkerBuilder| {
            let deploy = deploy(&desk);
            move |builder| wrong(deploy(builder))
        }
    };
    let broken = code(WorkerBuilder::register::<broken::divide>);
    let test = over_restarts(TaskHub::options(), broken, async |mut site| {
        for (id, kind, wrong) in [
            (
                "changed",
                ProblemKind::Divergence,
                WorkerBuilder::register::<changed::divide> as fn(_) -> _,
            ),
            (
                "fickle",
                ProblemKind::Nondeterminism,
                WorkerBuilder::register::<fickle::divide>,
            ),
        ] {
            let ended = format!("{id}-ended");
            desk.set(&[]);
            site = site
                .restart_with(code(WorkerBuilder::register::<broken::divide>))
                .await;
            for id in [id, &*ended] {
                let client = site.client();
                let start = client.start_orchestration::<broken::divide>(0);
                start.id(id).await.unwrap();
                failed(&client, id).await;
            }
            assert_eq!(desk.begun(), ["a", "a"]);
            site = site.restart_with(code(wrong)).await;
            for id in [id, &*ended] {
                let client = site.client();
                client.rewind(id, "perhaps").await.unwrap();
                let is_blocked = |status: &OrchestrationStatus| status.problem().is_some();
                let blocked = status_when(&client, id, is_blocked).await;
                assert_eq!(blocked.problem().unwrap().kind(), kind, "{id}");
                assert_eq!(blocked.runtime_status(), RuntimeStatus::Running);
                assert_eq!(rewinds(&client, id).await, names(&[]), "{id}");
            }
            site.client().terminate(&*ended, "enough").await.unwrap();
            let terminated = end(&site.client(), &ended).await;
            assert_eq!(terminated.runtime_status(), RuntimeStatus::Terminated);
            let mended = code(WorkerBuilder::register::<mended::divide>);
            site = site.restart_with(mended).await;
            let status = end(&site.client(), id).await;
            assert_eq!(status.output::<u32>().unwrap(), Some(0), "{id}");
            assert_eq!(desk.begun(), ["a", "a", "b"]);
        }
        site
    });
    Box::pin(test).await;
}

async fn clocked(desk: &Desk) -> TestHub {
    let builder: TestHubBuilder = TestHub::builder()
        .state(desk.clone())
        .register::<work>()
        .register::<follow>()
        .skip_time(false);
    soon(builder.start()).await.unwrap()
}

/// Of one that no time has to pass for.
async fn status_now(hub: &TestHub, id: &str) -> RuntimeStatus {
    hub.advance(Duration::ZERO).await.unwrap();
    let status = hub.client().status(id).await.unwrap().unwrap();
    status.runtime_status()
}

#[tokio::test]
async fn a_timer_that_has_fired_is_not_waited_for_again() {
    let desk = Desk::default();
    let mut hub = clocked(&desk).await;
    desk.set(&[("a", Fails(0))]);
    start(&hub.client(), "t", &[Do::Sleep(10), works("a")]).await;
    hub.advance(MINUTE * 10).await.unwrap();
    assert_eq!(status_now(&hub, "t").await, RuntimeStatus::Failed);
    hub.restart().await.unwrap();
    desk.set(&[]);
    hub.client().rewind("t", "").await.unwrap();
    assert_eq!(status_now(&hub, "t").await, RuntimeStatus::Completed);
    assert_eq!(desk.begun(), ["a"]);
}

#[tokio::test]
async fn a_timer_that_was_open_keeps_the_time_at_which_it_is_due() {
    let second = Duration::from_secs(1);
    // Of an hour so many minutes have passed before it is rewound.
    for passed in [0, 20, 70] {
        for restarts in [false, true] {
            let desk = Desk::default();
            let mut hub = clocked(&desk).await;
            desk.set(&[("a", Fails(0))]);
            start(&hub.client(), "t", &[Do::Beside("a".to_owned(), 60)]).await;
            assert_eq!(status_now(&hub, "t").await, RuntimeStatus::Failed);
            hub.advance(MINUTE * passed).await.unwrap();
            desk.set(&[]);
            hub.client().rewind("t", "").await.unwrap();
            if restarts {
                hub.restart().await.unwrap();
            }
            if let Some(left) = 60_u32.checked_sub(passed) {
                hub.advance((MINUTE * left).saturating_sub(second))
                    .await
                    .unwrap();
                assert_eq!(status_now(&hub, "t").await, RuntimeStatus::Running);
                hub.advance(second * 2).await.unwrap();
            }
            let status = status_now(&hub, "t").await;
            assert_eq!(status, RuntimeStatus::Completed, "{passed} {restarts}");
            // The attempt may be lost with the process, and is made again then.
            assert!(restarts || desk.begun() == ["a"], "{passed}");
        }
    }
}

#[tokio::test]
async fn events_that_nobody_has_heard_are_still_there() {
    for restarts in [false, true] {
        let desk = Desk::default();
        let mut hub = clocked(&desk).await;
        let client = hub.client();
        let hears = ["x", "y", "z", "x"].map(|name| Do::Hear(name.to_owned()));
        let plan: Vec<_> = [works("a")].into_iter().chain(hears).collect();
        // It fails once another one was begun.
        desk.set(&[("a", Fails(2))]);
        start(&client, "e", &plan).await;
        // In its history; behind its failure in the store; before it there.
        client.raise_event("e", "x", "1").await.unwrap();
        assert_eq!(status_now(&hub, "e").await, RuntimeStatus::Running);
        client.suspend("e", "").await.unwrap();
        client.raise_event("e", "y", "2").await.unwrap();
        desk.log.send_modify(|log| log.begun.push("-".to_owned()));
        assert_eq!(status_now(&hub, "e").await, RuntimeStatus::Suspended);
        client.raise_event("e", "z", "3").await.unwrap();
        client.resume("e").await.unwrap();
        assert_eq!(status_now(&hub, "e").await, RuntimeStatus::Failed);
        let late = client.raise_event("e", "x", "late").await;
        assert!(matches!(late, Err(InstanceError::Ended { .. })), "{late:?}");
        if restarts {
            hub.restart().await.unwrap();
        }
        desk.set(&[]);
        let client = hub.client();
        client.rewind("e", "").await.unwrap();
        client.raise_event("e", "x", "4").await.unwrap();
        completed(&client, "e", &["a", "1", "2", "3", "4"]).await;
        assert_eq!(desk.begun(), ["a"]);
    }
}

#[track_caller]
fn assert_not_failed(refused: &Result<(), RewindError>, id: &str, status: RuntimeStatus) {
    match refused {
        Err(RewindError::NotFailed { id: of, status: is }) => {
            assert_eq!((of.as_str(), *is), (id, status));
        }
        other => panic!("{id}: {other:?}"),
    }
}

#[tokio::test]
async fn what_has_not_failed_is_not_rewound() {
    on_both(async |hub| {
        let desk = Desk::default();
        let client = hub.client();
        start(&client, "pending", &[]).await;
        let refused = client.rewind("pending", "").await;
        assert_not_failed(&refused, "pending", RuntimeStatus::Pending);

        let _worker = deploy(&desk)(hub.worker()).start().await.unwrap();
        let waits = [Do::Hear("go".to_owned())];
        for id in ["running", "suspended", "terminated"] {
            start(&client, id, &waits).await;
            status_when(&client, id, |status| {
                status.runtime_status() == RuntimeStatus::Running
            })
            .await;
        }
        client.suspend("suspended", "").await.unwrap();
        client.terminate("terminated", "").await.unwrap();
        completed(&client, "pending", &[]).await;
        end(&client, "terminated").await;
        for (id, status) in [
            ("pending", RuntimeStatus::Completed),
            ("running", RuntimeStatus::Running),
            ("suspended", RuntimeStatus::Suspended),
            ("terminated", RuntimeStatus::Terminated),
        ] {
            assert_not_failed(&client.rewind(id, "").await, id, status);
            let is = client.status(id).await.unwrap().unwrap();
            assert_eq!(is.runtime_status(), status);
            assert_eq!(rewinds(&client, id).await, names(&[]));
        }
        let nobody = client.rewind("nobody", "").await;
        assert!(
            matches!(&nobody, Err(RewindError::NotFound { id }) if id.as_str() == "nobody"),
            "{nobody:?}"
        );
        let invalid = client.rewind("", "").await;
        assert!(
            matches!(invalid, Err(RewindError::InvalidId(_))),
            "{invalid:?}"
        );
    })
    .await;
}

/// Of a long reason the first part is kept, whole characters.
#[tokio::test]
async fn the_reason_is_cut() {
    on_both(async |hub| {
        let desk = Desk::default();
        let _worker = deploy(&desk)(hub.worker()).start().await.unwrap();
        let client = hub.client();
        desk.set(&[("a", Fails(0))]);
        start(&client, "i", &[works("a")]).await;
        failed(&client, "i").await;
        client.rewind("i", "€".repeat(1_000)).await.unwrap();
        failed(&client, "i").await;
        assert_eq!(rewinds(&client, "i").await, ["€".repeat(170)]);
    })
    .await;
}

/// A hub in a directory, closed, with instances that have failed; `a` and `b` were begun in each.
async fn place_of_failed(ids: &[&str], desk: &Desk) -> Place {
    let place = Place::new();
    let hub = place.open().await;
    let running = deploy(desk)(hub.worker()).start().await.unwrap();
    let client = hub.client();
    desk.set(&[("b", Fails(0))]);
    for id in ids {
        start(&client, id, &[works("a"), works("b")]).await;
        failed(&client, id).await;
    }
    desk.set(&[]);
    running.shutdown().await;
    soon(hub.close()).await.unwrap();
    place
}

#[tokio::test]
async fn it_goes_on_with_the_next_worker() {
    let desk = Desk::default();
    let place = place_of_failed(&["i"], &desk).await;
    let hub = place.open().await;
    let client = hub.client();
    client.rewind("i", "").await.unwrap();
    for _open in 0..2 {
        let status = client.status("i").await.unwrap().unwrap();
        assert_eq!(status.runtime_status(), RuntimeStatus::Running);
        assert!(status.failure().is_none());
        let twice = client.rewind("i", "twice").await;
        assert_not_failed(&twice, "i", RuntimeStatus::Running);
    }
    soon(hub.close()).await.unwrap();

    let hub = place.open().await;
    let client = hub.client();
    let status = client.status("i").await.unwrap().unwrap();
    assert_eq!(status.runtime_status(), RuntimeStatus::Running);
    assert!(hub.verify().await.unwrap().is_sound());
    let _worker = deploy(&desk)(hub.worker()).start().await.unwrap();
    completed(&client, "i", &["a", "b"]).await;
    assert_eq!(desk.begun(), ["b"]);
    assert_eq!(rewinds(&client, "i").await, [""]);
    assert!(hub.verify().await.unwrap().is_sound());
}

#[tokio::test]
async fn without_its_code_it_shows_the_problem_and_goes_on_with_it() {
    let desk = Desk::default();
    let test = over_restarts(TaskHub::options(), deploy(&desk), async |site| {
        desk.set(&[("b", Fails(0))]);
        start(&site.client(), "i", &[works("a"), works("b")]).await;
        failed(&site.client(), "i").await;
        desk.set(&[]);
        let site = site.restart_with(WorkerBuilder::register::<listen>).await;
        let client = site.client();
        client.rewind("i", "").await.unwrap();
        let blocked = status_when(&client, "i", |status| status.problem().is_some()).await;
        assert_eq!(blocked.runtime_status(), RuntimeStatus::Running);
        let kind = blocked.problem().unwrap().kind();
        assert_eq!(kind, ProblemKind::OrchestratorNotRegistered);
        let site = site.restart_with(deploy(&desk)).await;
        let client = site.client();
        completed(&client, "i", &["a", "b"]).await;
        let status = client.status("i").await.unwrap().unwrap();
        assert!(status.problem().is_none());
        assert_eq!(desk.begun(), ["b"]);
        site
    });
    Box::pin(test).await;
}

/// Before a worker has taken the turn.
#[tokio::test]
async fn a_rewind_that_waits_can_be_suspended_and_terminated() {
    let desk = Desk::default();
    let place = place_of_failed(&["held", "ended", "other"], &desk).await;
    let hub = place.open().await;
    let client = hub.client();
    for id in ["held", "ended", "other"] {
        client.rewind(id, "").await.unwrap();
    }
    client.suspend("held", "").await.unwrap();
    client.terminate("ended", "enough").await.unwrap();
    soon(hub.close()).await.unwrap();

    let hub = place.open().await;
    let client = hub.client();
    let running = deploy(&desk)(hub.worker()).start().await.unwrap();
    completed(&client, "other", &["a", "b"]).await;
    assert_eq!(desk.begun(), ["b"]);
    let ended = end(&client, "ended").await;
    assert_eq!(ended.runtime_status(), RuntimeStatus::Terminated);
    let again = client.rewind("ended", "").await;
    assert_not_failed(&again, "ended", RuntimeStatus::Terminated);
    let held = client.status("held").await.unwrap().unwrap();
    assert_eq!(held.runtime_status(), RuntimeStatus::Suspended);
    running.shutdown().await;
    soon(hub.close()).await.unwrap();

    let hub = place.open().await;
    let client = hub.client();
    let _worker = deploy(&desk)(hub.worker()).start().await.unwrap();
    desk.set(&[]);
    client.resume("held").await.unwrap();
    completed(&client, "held", &["a", "b"]).await;
    assert_eq!(desk.begun(), ["b"]);
    assert!(hub.verify().await.unwrap().is_sound());
}
