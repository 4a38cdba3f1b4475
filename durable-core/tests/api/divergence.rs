//! Every way in which changed code can contradict a history: the instance stops, says why and where, loses
//! nothing, and goes on once the code is right again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use durable_core::testing::TestHub;
use durable_core::{
    Client, OrchestrationContext, OrchestrationStatus, ProblemKind, RuntimeStatus, TaskHub, Worker,
    WorkerBuilder, activity, orchestrator,
};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};

use super::{Place, listen, over_restarts, soon, status_when};

/// One thing that an orchestrator asks for.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Pack(&'static str),
    Send(&'static str),
    /// After so many hours.
    Timer(u32),
    Event(&'static str),
    /// By id and version.
    Child(&'static str, &'static str),
    OtherChild(&'static str),
    /// At this instance.
    Raise(&'static str),
    Status(&'static str),
    /// A call that is made and dropped.
    Dropped,
    Kept,
    Return,
    /// In the first execution.
    ContinueAsNew,
}

use Ask::{
    Child, ContinueAsNew, Dropped, Event, Kept, OtherChild, Pack, Raise, Return, Send, Status,
    Timer,
};

/// A change of what is asked for before `Go` is waited for.
struct Row {
    what: &'static str,
    before: &'static [Ask],
    after: &'static [Ask],
    recorded: &'static str,
    asked: &'static str,
    /// What stands on the line that the report names; nothing, if nothing is asked for there.
    line: &'static str,
}

const ROWS: &[Row] = &[
    Row {
        what: "another kind",
        before: &[Pack("a")],
        after: &[Timer(1)],
        recorded: "call #0 of activity `pack` with \"a\"",
        asked: "timer #0 due at ",
        line: "create_timer(",
    },
    Row {
        what: "another name",
        before: &[Pack("a")],
        after: &[Send("a")],
        recorded: "call #0 of activity `pack` with \"a\"",
        asked: "call #0 of activity `send` with \"a\"",
        line: "call_activity::<send>",
    },
    Row {
        what: "another input",
        before: &[Pack("a")],
        after: &[Pack("b")],
        recorded: "call #0 of activity `pack` with \"a\"",
        asked: "call #0 of activity `pack` with \"b\"",
        line: "call_activity::<pack>",
    },
    Row {
        what: "one less",
        before: &[Pack("a"), Pack("b")],
        after: &[Pack("a")],
        recorded: "call #1 of activity `pack` with \"b\"",
        asked: "wait #1 for event `go`",
        line: "wait_for_external_event(\"Go\")",
    },
    Row {
        what: "one that is not made, and nothing in its place",
        before: &[Dropped],
        after: &[Kept],
        recorded: "cancellation of call #0",
        asked: "nothing",
        line: "",
    },
    Row {
        what: "one more",
        before: &[Pack("a")],
        after: &[Pack("a"), Pack("b")],
        recorded: "wait #1 for event `go`",
        asked: "call #1 of activity `pack` with \"b\"",
        line: "call_activity::<pack>",
    },
    Row {
        what: "another order",
        before: &[Pack("a"), Pack("b")],
        after: &[Pack("b"), Pack("a")],
        recorded: "call #0 of activity `pack` with \"a\"",
        asked: "call #0 of activity `pack` with \"b\"",
        line: "call_activity::<pack>",
    },
    Row {
        what: "another child",
        before: &[Child("kid", "")],
        after: &[OtherChild("kid")],
        recorded: "child #0 `kid` of orchestrator `listen` with \"never\"",
        asked: "child #0 `kid` of orchestrator `other` with \"never\"",
        line: "call_sub_orchestrator::<other>",
    },
    Row {
        what: "another id of a child",
        before: &[Child("boy", "")],
        after: &[Child("girl", "")],
        recorded: "child #0 `boy` of orchestrator `listen` with \"never\"",
        asked: "child #0 `girl` of orchestrator `listen` with \"never\"",
        line: "call_sub_orchestrator::<listen>",
    },
    Row {
        what: "another version of a child",
        before: &[Child("teen", "1")],
        after: &[Child("teen", "2")],
        recorded: "child #0 `teen` of orchestrator `listen` version 1 with",
        asked: "child #0 `teen` of orchestrator `listen` version 2 with",
        line: "call_sub_orchestrator::<listen>",
    },
    Row {
        what: "another event",
        before: &[Event("Paid")],
        after: &[Event("Settled")],
        recorded: "wait #0 for event `paid`",
        asked: "wait #0 for event `settled`",
        line: "wait_for_external_event::<()>(name)",
    },
    Row {
        what: "another time",
        before: &[Timer(1)],
        after: &[Timer(2)],
        recorded: "timer #0 due at ",
        asked: "timer #0 due at ",
        line: "create_timer(",
    },
    Row {
        what: "another receiver of an event",
        before: &[Raise("nobody")],
        after: &[Raise("somebody")],
        recorded: "event #0 `paid` for instance `nobody` with 1",
        asked: "event #0 `paid` for instance `somebody` with 1",
        line: "raise_event(",
    },
    Row {
        what: "another custom status",
        before: &[Status("old")],
        after: &[Status("new")],
        recorded: "custom status \"old\"",
        asked: "custom status \"new\"",
        line: "set_custom_status(",
    },
    Row {
        what: "an end that comes earlier",
        before: &[],
        after: &[Return],
        recorded: "wait #0 for event `go`",
        asked: "completion with \"returned\"",
        line: "",
    },
    Row {
        what: "another input in an execution that another one has made",
        before: &[ContinueAsNew, Pack("a")],
        after: &[ContinueAsNew, Pack("b")],
        recorded: "call #0 of activity `pack` with \"a\"",
        asked: "call #0 of activity `pack` with \"b\"",
        line: "call_activity::<pack>",
    },
];

#[activity]
async fn pack(_what: String) {
    std::future::pending::<()>().await;
}

#[activity]
async fn send(_what: String) {
    std::future::pending::<()>().await;
}

#[orchestrator]
async fn other(ctx: OrchestrationContext, name: String) -> String {
    ctx.wait_for_external_event(&name).await.unwrap()
}

async fn ask(ctx: OrchestrationContext, row: usize, asks: &[Ask]) -> String {
    let mut begun: Vec<BoxFuture<'static, ()>> = vec![std::future::pending().boxed()];
    let never = || "never".to_owned();
    for ask in asks {
        match *ask {
            Pack(what) => begun.push(ctx.call_activity::<pack>(what.into()).map(drop).boxed()),
            Send(what) => begun.push(ctx.call_activity::<send>(what.into()).map(drop).boxed()),
            Timer(hours) => begun.push(ctx.create_timer(hours * HOUR).boxed()),
            Event(name) => {
                let wait = ctx.wait_for_external_event::<()>(name);
                begun.push(wait.map(drop).boxed());
            }
            Child(id, version) => {
                let call = ctx.call_sub_orchestrator::<listen>(never());
                begun.push(call.id(id).version(version).map(drop).boxed());
            }
            OtherChild(id) => {
                let call = ctx.call_sub_orchestrator::<other>(never());
                begun.push(call.id(id).map(drop).boxed());
            }
            Raise(to) => ctx.raise_event(to, "Paid", &1).unwrap(),
            Status(text) => ctx.set_custom_status(text).unwrap(),
            Dropped => drop(ctx.create_timer(SECOND).start()),
            Kept => begun.push(ctx.create_timer(SECOND).start().boxed()),
            Return => return "returned".to_owned(),
            ContinueAsNew if ctx.execution_id().generation() == 0 => {
                return ctx.continue_as_new::<before, _>(row).await;
            }
            ContinueAsNew => {}
        }
    }
    tokio::select! { biased;
        _ = join_all(begun) => unreachable!("it has no end"),
        went = ctx.wait_for_external_event("Go") => went.unwrap(),
    }
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

#[orchestrator(name = "subject")]
async fn before(ctx: OrchestrationContext, row: usize) -> String {
    ask(ctx, row, ROWS[row].before).await
}

#[orchestrator(name = "subject")]
async fn after(ctx: OrchestrationContext, row: usize) -> String {
    ask(ctx, row, ROWS[row].after).await
}

/// Has a worker or a test hub know everything but the subject.
macro_rules! others {
    ($builder:expr) => {{ $builder }
        .register::<pack>()
        .register::<send>()
        .register::<listen>()
        .register::<other>()};
}

async fn start_all(client: &Client) {
    for (row, Row { what, .. }) in ROWS.iter().enumerate() {
        let start = client.start_orchestration::<before>(row);
        start.id(*what).await.unwrap();
    }
}

/// Each goes on only if the code fits its history.
async fn let_all_go(client: &Client) {
    for Row { what, .. } in ROWS {
        client.raise_event(*what, "go", "went").await.unwrap();
    }
}

/// What the status tells of an instance that contradicts its history.
fn check_problem(row: &Row, status: &OrchestrationStatus) {
    let what = row.what;
    assert_eq!(status.runtime_status(), RuntimeStatus::Running, "{what}");
    let problem = status.problem().unwrap_or_else(|| panic!("{what}"));
    assert_eq!(problem.kind(), ProblemKind::Divergence, "{what}");
    let report = problem.report();
    for (part, expected) in [
        ("instance  ", what),
        ("execution ", &status.execution_id().to_string()),
        ("code      orchestrator ", "`subject`, version none"),
        ("history recorded: ", row.recorded),
        ("the code now asks for: ", row.asked),
        ("likely cause: ", ""),
        ("remedy: ", ""),
    ] {
        let line = report.lines().find_map(|line| line.strip_prefix(part));
        let as_expected = line.is_some_and(|line| line.starts_with(expected));
        assert!(as_expected, "{what}: no `{part}{expected}` in\n{report}");
    }
    let named = named_line(report).unwrap_or_default();
    assert!(named.contains(row.line), "{what}: {named}\n{report}");
    assert_eq!(named.is_empty(), row.line.is_empty(), "{what}: {named}");
    assert!(problem.message().contains(row.asked), "{problem}");
}

/// What stands where the call was made, as the report says.
fn named_line(report: &str) -> Option<&'static str> {
    let (_, place) = report.split_once("(call made at ")?;
    let mut parts = place.split(':');
    assert!(file!().ends_with(parts.next()?), "{place}");
    let number: usize = parts.next()?.parse().ok()?;
    include_str!("divergence.rs").lines().nth(number - 1)
}

#[tokio::test]
async fn a_contradiction_is_explained_and_changes_nothing() {
    let code = || {
        others!(TestHub::builder())
            .mock_async::<pack, _>(async |_| std::future::pending().await)
            .mock_async::<send, _>(async |_| std::future::pending().await)
    };
    let mut hub = soon(code().register::<before>().start()).await.unwrap();
    start_all(&hub.client()).await;
    let histories = async |hub: &TestHub| {
        let mut all = Vec::new();
        for Row { what, .. } in ROWS {
            all.push(hub.history(*what).await.unwrap());
        }
        all
    };
    let recorded = histories(&hub).await;
    hub.check_replay_with(&code().register::<after>())
        .await
        .unwrap_err();
    hub.restart_with(code().register::<after>()).await.unwrap();
    let_all_go(&hub.client()).await;
    let mut since = Vec::new();
    for life in 0..2 {
        for row in ROWS {
            let status = hub.client().status(row.what).await.unwrap().unwrap();
            check_problem(row, &status);
            since.push(status.problem_since());
        }
        assert_eq!(histories(&hub).await, recorded, "life {life}");
        // To try again the same code helps nobody, and does no harm.
        for Row { what, .. } in ROWS {
            hub.client().retry(*what).await.unwrap();
        }
        hub.advance(SECOND).await.unwrap();
        hub.restart().await.unwrap();
    }
    assert_eq!(
        since[..ROWS.len()],
        since[ROWS.len()..],
        "it is still the same"
    );
    hub.restart_with(code().register::<before>()).await.unwrap();
    check_went(&hub.client()).await;
    assert_eq!(hub.check_replay().await.unwrap(), instances());
}

/// Those of the table, and their children.
fn instances() -> usize {
    let is_child = |ask: &&Ask| matches!(ask, Child(..));
    let children = ROWS.iter().flat_map(|row| row.before).filter(is_child);
    ROWS.len() + children.count()
}

async fn check_went(client: &Client) {
    for Row { what, .. } in ROWS {
        let ended = soon(client.wait_for_completion(*what)).await.unwrap();
        let ended = ended.unwrap();
        assert_eq!(ended.problem(), None, "{what}");
        assert_eq!(ended.output().unwrap(), Some("went".to_owned()), "{what}");
    }
}

#[tokio::test]
async fn a_contradiction_is_found_again_after_each_restart_until_the_code_is_right() {
    let place = Place::new();
    let hub = place.open().await;
    let worker = others!(hub.worker())
        .register::<before>()
        .start()
        .await
        .unwrap();
    start_all(&hub.client()).await;
    for Row { what, before, .. } in ROWS {
        status_when(&hub.client(), what, |status| {
            let generation = u32::from(matches!(before, [ContinueAsNew, ..]));
            let is_begun = status.runtime_status() == RuntimeStatus::Running;
            is_begun && status.execution_id().generation() == generation
        })
        .await;
    }
    drop(worker);
    soon(hub.close()).await.unwrap();

    for life in 0..2 {
        let hub = place.open().await;
        let client = hub.client();
        let worker = others!(hub.worker())
            .register::<after>()
            .start()
            .await
            .unwrap();
        if life == 0 {
            let_all_go(&client).await;
        }
        for row in ROWS {
            let stopped = |status: &OrchestrationStatus| status.problem().is_some();
            check_problem(row, &status_when(&client, row.what, stopped).await);
        }
        assert!(soon(hub.verify()).await.unwrap().is_sound());
        drop((client, worker));
        soon(hub.close()).await.unwrap();
        // Nobody runs, and it is known.
        let hub = place.open().await;
        for row in ROWS {
            check_problem(row, &hub.client().status(row.what).await.unwrap().unwrap());
        }
        soon(hub.close()).await.unwrap();
    }
    let hub = place.open().await;
    let _worker = others!(hub.worker())
        .register::<before>()
        .start()
        .await
        .unwrap();
    check_went(&hub.client()).await;
}

/// What the code is follows from outside of it, as from a flag that is read at the start.
static IS_ON: AtomicBool = AtomicBool::new(false);

#[orchestrator]
async fn flagged(ctx: OrchestrationContext) -> String {
    if IS_ON.load(Ordering::SeqCst) {
        ctx.create_timer(SECOND).await;
    }
    ctx.wait_for_external_event("Go").await.unwrap()
}

#[tokio::test]
async fn what_was_mended_without_a_new_worker_is_tried_again_when_it_is_said() {
    over_restarts(
        TaskHub::options(),
        WorkerBuilder::register::<flagged>,
        async |mut site| {
            let start = site.client().start_orchestration::<flagged>(());
            start.id("x").await.unwrap();
            status_when(&site.client(), "x", |status| {
                status.runtime_status() == RuntimeStatus::Running
            })
            .await;
            IS_ON.store(true, Ordering::SeqCst);
            site = site.restart().await;
            let client = site.client();
            client.raise_event("x", "go", "went").await.unwrap();
            let stopped = |status: &OrchestrationStatus| status.problem().is_some();
            let status = status_when(&client, "x", stopped).await;
            client.retry("x").await.unwrap();
            let again = status_when(&client, "x", stopped).await;
            assert_eq!(again.problem(), status.problem());
            assert_eq!(again.problem_since(), status.problem_since());
            IS_ON.store(false, Ordering::SeqCst);
            client.retry("x").await.unwrap();
            let ended = client.instance::<flagged>("x").unwrap();
            assert_eq!(soon(ended.wait_for_completion()).await.unwrap(), "went");
            site
        },
    )
    .await;
}

mod versions {
    use durable_core::{OrchestrationContext, orchestrator};

    /// Its next execution has the version that it is told.
    #[orchestrator(name = "pinned", version = "1")]
    pub(super) async fn first(ctx: OrchestrationContext, goes_on: bool) -> String {
        if goes_on {
            return ctx.continue_as_new::<second, _>(false).await;
        }
        ctx.wait_for_external_event("Go").await.unwrap()
    }

    #[orchestrator(name = "pinned", version = "2")]
    pub(super) async fn second(ctx: OrchestrationContext, _goes_on: bool) -> String {
        ctx.create_timer(super::SECOND).await;
        ctx.wait_for_external_event("Go").await.unwrap()
    }

    /// Serves all versions.
    #[orchestrator(name = "pinned")]
    pub(super) async fn any(ctx: OrchestrationContext, _goes_on: bool) -> String {
        ctx.wait_for_external_event("Stop").await.unwrap()
    }
}

type Deploy = fn(WorkerBuilder) -> WorkerBuilder;

/// Whether an instance was begun in version 1 or has continued in version 2, it keeps that.
#[tokio::test]
async fn a_version_that_is_gone_or_changed_stops_who_has_it() {
    let place = Place::new();
    let on = async |builder: Deploy| {
        let hub = place.open().await;
        let worker = builder(hub.worker()).start().await.unwrap();
        (hub, worker)
    };
    let close = async |(hub, worker): (TaskHub, Worker)| {
        drop(worker);
        soon(hub.close()).await.unwrap();
    };
    let both: Deploy = |worker| {
        worker
            .register::<versions::first>()
            .register::<versions::second>()
    };
    let rows: [(&str, bool, &str, Deploy); 2] = [
        ("begun", false, "1", |worker| {
            worker.register::<versions::second>()
        }),
        ("continued", true, "2", |worker| {
            worker.register::<versions::first>()
        }),
    ];
    let runs = on(both).await;
    for (id, continues, version, _) in rows {
        let start = runs
            .0
            .client()
            .start_orchestration::<versions::first>(continues);
        start.id(id).await.unwrap();
        status_when(&runs.0.client(), id, |status| {
            status.runtime_status() == RuntimeStatus::Running && status.version() == version
        })
        .await;
    }
    close(runs).await;
    for (id, _, version, deploy) in rows {
        for (deploy, kind, told) in [
            (
                deploy,
                ProblemKind::OrchestratorNotRegistered,
                "no orchestrator `pinned`",
            ),
            (
                |worker| worker.register::<versions::any>(),
                ProblemKind::Divergence,
                "event `stop`",
            ),
        ] {
            let runs = on(deploy).await;
            runs.0.client().raise_event(id, "go", "went").await.unwrap();
            let client = runs.0.client();
            let stopped = status_when(&client, id, |status| {
                status
                    .problem()
                    .is_some_and(|problem| problem.kind() == kind)
            });
            let status = stopped.await;
            let report = status.problem().unwrap().report();
            let version = format!("version {version}");
            assert!(
                report.contains(told) && report.contains(&version),
                "{report}"
            );
            drop(client);
            close(runs).await;
        }
    }
    let (hub, _worker) = on(both).await;
    for (id, _, version, _) in rows {
        let ended = soon(hub.client().wait_for_completion(id)).await.unwrap();
        let ended = ended.unwrap();
        assert_eq!(ended.output().unwrap(), Some("went".to_owned()), "{id}");
        assert_eq!(ended.version(), version);
    }
}
