//! Ids that are used again: what a start may replace, and starting once more what was there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use durable_core::{
    Client, HistoryError, HistoryEventKind, IdReusePolicy, InstanceQuery, LifecycleKind,
    OrchestrationContext, OrchestrationStatus, RestartError, RuntimeStatus, StartError, State,
    TaskHub, TaskHubOptions, WorkerBuilder, activity, orchestrator,
};
use futures_util::future::join_all;

use super::{Steps, chain, echo, names, on_both, over_restarts, soon, status_when, worker};

/// Ends as it is told, once it has heard.
#[orchestrator]
async fn obey(ctx: OrchestrationContext, wait: bool) -> Result<String, String> {
    ctx.set_custom_status("listening").unwrap();
    if wait {
        let word: String = ctx.wait_for_external_event("word").await.unwrap();
        return match word.as_str() {
            "fail" => Err(word),
            _ => Ok(word),
        };
    }
    Ok("at once".to_owned())
}

/// In two executions.
#[orchestrator]
async fn twice(ctx: OrchestrationContext, round: u32) -> u32 {
    if round == 0 {
        return ctx.continue_as_new::<twice, _>(1).await;
    }
    round
}

#[activity]
async fn count(State(counted): State<Arc<AtomicU32>>, (): ()) {
    counted.fetch_add(1, Ordering::Relaxed);
}

#[orchestrator]
async fn counts(ctx: OrchestrationContext) {
    ctx.call_activity::<count>(()).await.unwrap();
}

/// Has a child that goes on without it.
#[orchestrator]
async fn parent(ctx: OrchestrationContext, id: String) -> String {
    let child = ctx.call_sub_orchestrator::<obey>(true).id(id);
    child.await.unwrap()
}

fn everything(worker: WorkerBuilder) -> WorkerBuilder {
    worker
        .register::<obey>()
        .register::<parent>()
        .register::<echo>()
        .register::<twice>()
}

async fn status(client: &Client, id: &str) -> OrchestrationStatus {
    client.status(id).await.unwrap().unwrap()
}

async fn has_parent(client: &Client, id: &str) -> bool {
    let first = client.history(id).next().await.unwrap().unwrap();
    match first.kind {
        HistoryEventKind::ExecutionStarted { parent, .. } => parent.is_some(),
        other => panic!("it begins with {other:?}"),
    }
}

/// Has an instance of this id that is as it should be.
async fn make(client: &Client, id: &str, is: RuntimeStatus) {
    let later = Duration::from_secs(3_600);
    let start = client.start_orchestration::<obey>(is != RuntimeStatus::Completed);
    match is {
        RuntimeStatus::Pending => drop(start.id(id).start_after(later).await.unwrap()),
        _ => drop(start.id(id).await.unwrap()),
    }
    match is {
        RuntimeStatus::Failed => client.raise_event(id, "word", "fail").await.unwrap(),
        RuntimeStatus::Terminated => client.terminate(id, "enough").await.unwrap(),
        RuntimeStatus::Suspended => client.suspend(id, "wait").await.unwrap(),
        _ => {}
    }
    status_when(client, id, |status| status.runtime_status() == is).await;
}

const EVERY: [RuntimeStatus; 6] = [
    RuntimeStatus::Pending,
    RuntimeStatus::Running,
    RuntimeStatus::Suspended,
    RuntimeStatus::Completed,
    RuntimeStatus::Failed,
    RuntimeStatus::Terminated,
];

/// Whatever there is: it is refused, taken, or replaced, by name too, and it is so after a restart.
#[tokio::test]
async fn a_start_of_an_id_that_exists_does_what_its_policy_says() {
    use IdReusePolicy::{Refuse, ReplaceAny, ReplaceTerminal, UseExisting};
    over_restarts(TaskHubOptions::default(), everything, async |mut site| {
        let mut replaced = Vec::new();
        for (n, is) in EVERY.into_iter().enumerate() {
            for (m, policy) in [Refuse, UseExisting, ReplaceTerminal, ReplaceAny]
                .into_iter()
                .enumerate()
            {
                let client = site.client();
                let id = format!("{is}-{policy:?}");
                make(&client, &id, is).await;
                let before = status(&client, &id).await;
                let id = id.as_str();
                let start = client.start_orchestration::<echo>("new".to_owned()).id(id);
                let started = match (n + m) % 2 {
                    0 => start.id_reuse(policy).await.map(drop),
                    _ => client
                        .start_by_name("echo", "\"new\"")
                        .id(id)
                        .id_reuse(policy)
                        .await
                        .map(drop),
                };
                let is_to_go = match policy {
                    ReplaceTerminal => is.is_terminal(),
                    _ => policy == ReplaceAny,
                };
                if is_to_go || policy == UseExisting {
                    started.unwrap();
                } else {
                    assert!(
                        matches!(&started, Err(StartError::AlreadyExists { id: there, status })
                            if there.as_str() == id && *status == is),
                        "{id}: {started:?}"
                    );
                }
                if is_to_go {
                    replaced.push((id.to_owned(), before.incarnation()));
                } else {
                    assert_eq!(status(&client, id).await, before);
                }
            }
            site = site.restart().await;
        }
        for (id, before) in replaced {
            let client = site.client();
            let now = soon(client.wait_for_completion(id.as_str()))
                .await
                .unwrap()
                .unwrap();
            assert_eq!(now.output_json(), Some("\"new\""), "{id}");
            assert_eq!(now.custom_status_json(), None, "{id}");
            assert_ne!(now.incarnation(), before, "{id}");
        }
        site
    })
    .await;
}

/// The old one's history is no more, and whoever follows it is told so.
#[tokio::test]
async fn nothing_is_left_of_what_was_replaced() {
    use LifecycleKind::{Completed, Failed, Purged, Started};
    on_both(async |hub| {
        let mut events = hub.subscribe();
        let _worker = everything(hub.worker()).start().await.unwrap();
        let client = hub.client();
        make(&client, "a", RuntimeStatus::Failed).await;
        let mut history = client.history("a");
        while history.next().await.unwrap().is_some() {}
        client
            .start_by_name("echo", "\"new\"")
            .id("a")
            .tag("kind", "second")
            .id_reuse(IdReusePolicy::ReplaceTerminal)
            .await
            .unwrap();
        soon(client.wait_for_completion("a")).await.unwrap();
        let superseded = history.next().await;
        assert!(
            matches!(superseded, Err(HistoryError::Superseded { .. })),
            "{superseded:?}"
        );
        let stats = hub.stats().await.unwrap();
        assert_eq!(stats.total(), 1);
        let failed = client
            .query(InstanceQuery::new().status(RuntimeStatus::Failed))
            .await
            .unwrap();
        assert!(failed.instances.is_empty(), "the index has it no longer");
        let mut kinds = Vec::new();
        while kinds.last() != Some(&Completed) {
            kinds.push(soon(events.next()).await.unwrap().unwrap().kind());
        }
        assert_eq!(kinds, [Started, Failed, Purged, Started, Completed]);
        assert!(hub.verify().await.unwrap().is_sound());
    })
    .await;
}

/// What runs for the one that is replaced is told to stop, and what it returns reaches nobody.
#[tokio::test]
async fn a_live_instance_is_terminated_to_be_replaced() {
    on_both(async |hub| {
        let (steps, mut begun) = Steps::held();
        let _worker = worker(hub, &steps).start().await.unwrap();
        let client = hub.client();
        let start = |name| client.start_orchestration::<chain>(names(&[name])).id("c");
        start("a").await.unwrap();
        assert_eq!(soon(begun.recv()).await.unwrap(), "a");
        let second = start("b")
            .id_reuse(IdReusePolicy::ReplaceAny)
            .await
            .unwrap();
        let mut said = vec![
            soon(begun.recv()).await.unwrap(),
            soon(begun.recv()).await.unwrap(),
        ];
        said.sort();
        assert_eq!(said, ["a cancelled", "b"]);
        steps.end(1);
        assert_eq!(soon(second.wait_for_completion()).await.unwrap(), ["B"]);
    })
    .await;
}

/// As with a purge; and what a child then says is for nobody.
#[tokio::test]
async fn the_children_of_what_is_replaced_stay() {
    on_both(async |hub| {
        let _worker = everything(hub.worker()).start().await.unwrap();
        let client = hub.client();
        let start = |child: &str| {
            client
                .start_orchestration::<parent>(child.to_owned())
                .id("p")
        };
        start("first").await.unwrap();
        let listens = |status: &OrchestrationStatus| status.custom_status_json().is_some();
        status_when(&client, "first", listens).await;
        let again = start("second")
            .id_reuse(IdReusePolicy::ReplaceAny)
            .await
            .unwrap();
        status_when(&client, "second", listens).await;
        client
            .raise_event("first", "word", "for nobody")
            .await
            .unwrap();
        soon(client.wait_for_completion("first")).await.unwrap();
        client.raise_event("second", "word", "heard").await.unwrap();
        assert_eq!(soon(again.wait_for_completion()).await.unwrap(), "heard");
    })
    .await;
}

#[tokio::test]
async fn an_event_begins_what_replaces_or_is_raised_at_what_lives() {
    on_both(async |hub| {
        let _worker = everything(hub.worker()).start().await.unwrap();
        let client = hub.client();
        for policy in [IdReusePolicy::ReplaceTerminal, IdReusePolicy::ReplaceAny] {
            let id = format!("{policy:?}");
            make(&client, &id, RuntimeStatus::Failed).await;
            let failed = status(&client, &id).await.incarnation();
            let say = async |word: &str| {
                let start = client.start_orchestration::<obey>(true).id(id.as_str());
                start
                    .id_reuse(policy)
                    .or_raise_event("word", word)
                    .await
                    .unwrap()
            };
            let instance = say("first").await;
            assert_eq!(soon(instance.wait_for_completion()).await.unwrap(), "first");
            let replaced = status(&client, &id).await.incarnation();
            assert_ne!(replaced, failed);

            make(&client, &format!("{id} live"), RuntimeStatus::Running).await;
            let live = client
                .start_orchestration::<obey>(true)
                .id(format!("{id} live"));
            let live = live
                .id_reuse(policy)
                .or_raise_event("word", "live")
                .await
                .unwrap();
            assert_eq!(soon(live.wait_for_completion()).await.unwrap(), "live");
        }
    })
    .await;
}

/// It waits for its time in the place of what was there, also over a restart.
#[tokio::test]
async fn what_begins_later_replaces_at_once() {
    over_restarts(TaskHubOptions::default(), everything, async |site| {
        make(&site.client(), "a", RuntimeStatus::Completed).await;
        let start = site.client().start_by_name("echo", "\"later\"").id("a");
        let policy = IdReusePolicy::ReplaceTerminal;
        start
            .id_reuse(policy)
            .start_after(Duration::from_secs(3_600))
            .await
            .unwrap();
        let site = site.restart().await;
        let pending = status(&site.client(), "a").await;
        assert_eq!(pending.runtime_status(), RuntimeStatus::Pending);
        assert_eq!(
            (pending.name(), pending.input_json()),
            ("echo", Some("\"later\""))
        );
        let again = site.client().start_by_name("echo", "\"now\"").id("a");
        let exists = again.id_reuse(policy).await;
        assert!(
            matches!(exists, Err(StartError::AlreadyExists { .. })),
            "{exists:?}"
        );
        site
    })
    .await;
}

#[tokio::test]
async fn a_restart_is_a_start_with_what_was_there() {
    over_restarts(TaskHubOptions::default(), everything, async |site| {
        let client = site.client();
        let start = client
            .start_orchestration::<echo>("hello".to_owned())
            .id("e");
        let first = start.version("1.2").tag("for", "everybody").await.unwrap();
        soon(first.wait_for_completion()).await.unwrap();
        let before = status(&client, "e").await;

        assert_eq!(client.restart("e").await.unwrap().as_str(), "e");
        let site = site.restart().await;
        let client = site.client();
        let same = soon(client.wait_for_completion("e"))
            .await
            .unwrap()
            .unwrap();
        assert_ne!(same.incarnation(), before.incarnation());
        assert!(same.created_at() >= before.last_updated_at());
        let other = client.restart("e").new_id().await.unwrap();
        let named = client.restart("e").id("f").version("2").await.unwrap();
        assert_eq!(named.as_str(), "f");
        let site = site.restart().await;
        let client = site.client();
        for (id, version) in [("e", "1.2"), (other.as_str(), "1.2"), ("f", "2")] {
            let now = soon(client.wait_for_completion(id)).await.unwrap().unwrap();
            assert_eq!((now.name(), now.version()), ("echo", version), "{id}");
            assert_eq!(now.tags(), before.tags(), "{id}");
            assert_eq!(now.output_json(), Some("\"hello\""), "{id}");
        }
        assert_eq!(status(&client, "e").await.incarnation(), same.incarnation());
        site
    })
    .await;
}

#[tokio::test]
async fn whatever_an_instance_does_it_can_be_restarted_as_another() {
    on_both(async |hub| {
        let _worker = everything(hub.worker()).start().await.unwrap();
        let client = hub.client();
        for is in EVERY {
            let id = is.to_string();
            make(&client, &id, is).await;
            let before = status(&client, &id).await;
            let other = client.restart(id.as_str()).new_id().await.unwrap();
            status_when(&client, other.as_str(), |status| {
                status.custom_status_json() == Some("\"listening\"")
            })
            .await;
            assert_eq!(status(&client, &id).await, before);
            let same = client.restart(id.as_str()).await;
            if is.is_terminal() {
                assert_eq!(same.unwrap().as_str(), id);
                continue;
            }
            assert!(
                matches!(&same, Err(RestartError::NotEnded { id: there, status })
                    if there.as_str() == id && *status == is),
                "{same:?}"
            );
            assert_eq!(status(&client, &id).await, before);
        }
    })
    .await;
}

#[tokio::test]
async fn what_continued_as_new_begins_with_its_last_input_and_a_child_without_its_parent() {
    on_both(async |hub| {
        let _worker = everything(hub.worker()).start().await.unwrap();
        let client = hub.client();
        let start = client
            .start_orchestration::<twice>(0)
            .id("t")
            .await
            .unwrap();
        soon(start.wait_for_completion()).await.unwrap();
        client.restart("t").await.unwrap();
        let now = soon(client.wait_for_completion("t"))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (now.execution_id().generation(), now.input_json()),
            (0, Some("1"))
        );

        let start = client.start_orchestration::<parent>("child".to_owned());
        let parent = start.await.unwrap();
        let listens = |status: &OrchestrationStatus| status.custom_status_json().is_some();
        status_when(&client, "child", listens).await;
        client.raise_event("child", "word", "first").await.unwrap();
        assert_eq!(soon(parent.wait_for_completion()).await.unwrap(), "first");
        assert!(has_parent(&client, "child").await);
        client.restart("child").await.unwrap();
        client.raise_event("child", "word", "second").await.unwrap();
        let second = soon(client.wait_for_completion("child"))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(second.output_json(), Some("\"second\""));
        assert!(!has_parent(&client, "child").await);
    })
    .await;
}

/// Each that says it has restarted it has begun one.
#[tokio::test]
async fn of_many_restarts_at_once_each_replaces_another_one() {
    on_both(async |hub| {
        let counted = Arc::new(AtomicU32::new(0));
        let worker = hub.worker().state(Arc::clone(&counted));
        let _worker = worker
            .register::<counts>()
            .register::<count>()
            .start()
            .await
            .unwrap();
        let client = hub.client();
        let start = client
            .start_orchestration::<counts>(())
            .id("c")
            .await
            .unwrap();
        soon(start.wait_for_completion()).await.unwrap();
        let mut begun = 1;
        for _ in 0..10 {
            let restarts = (0..20).map(|_| async { client.restart("c").await });
            for restarted in join_all(restarts).await {
                match restarted {
                    Ok(_) => begun += 1,
                    Err(RestartError::NotEnded { .. }) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
            soon(start.wait_for_completion()).await.unwrap();
        }
        assert!(begun > 10);
        assert_eq!(counted.load(Ordering::Relaxed), begun);
        let stats = hub.stats().await.unwrap();
        assert_eq!(stats.total(), 1);
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_restarted_is_refused_with_the_reason() {
    on_both(async |hub: &TaskHub| {
        let client = hub.client();
        let unknown = client.restart("nobody").await;
        assert!(
            matches!(&unknown, Err(RestartError::NotFound { id }) if id.as_str() == "nobody"),
            "{unknown:?}"
        );
        let invalid = client.restart("").await;
        assert!(matches!(invalid, Err(RestartError::InvalidId(_))), "{invalid:?}");

        let running = everything(hub.worker()).start().await.unwrap();
        make(&client, "a", RuntimeStatus::Completed).await;
        make(&client, "b", RuntimeStatus::Completed).await;
        let before = status(&client, "b").await;
        let taken = client.restart("a").id("b").await;
        assert!(
            matches!(&taken, Err(RestartError::AlreadyExists { id, .. }) if id.as_str() == "b"),
            "{taken:?}"
        );
        let advice = taken.unwrap_err().to_string();
        assert!(!advice.contains("use_existing"), "a restart has none: {advice}");
        assert_eq!(status(&client, "b").await, before);
        for id in ["", "@x"] {
            let invalid = client.restart("a").id(id).await;
            assert!(matches!(invalid, Err(RestartError::Start(StartError::InvalidId(_)))), "{invalid:?}");
        }
        let version = client.restart("a").version("9".repeat(257)).await;
        assert!(matches!(version, Err(RestartError::Start(StartError::InvalidName))), "{version:?}");
        running.shutdown().await;

        // What nobody could run is not begun, and what was there stays.
        let _other = hub.worker().register::<echo>().start().await.unwrap();
        let before = status(&client, "a").await;
        let missing = client.restart("a").await;
        assert!(
            matches!(&missing, Err(RestartError::Start(StartError::NotRegistered { name, .. })) if name == "obey"),
            "{missing:?}"
        );
        assert_eq!(status(&client, "a").await, before);
        hub.clone().close().await.unwrap();
        let closed = client.restart("a").await;
        assert!(matches!(closed, Err(RestartError::Hub(_))), "{closed:?}");
    })
    .await;
}
