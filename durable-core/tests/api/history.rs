//! The history of an instance: read, followed, exported.

use std::time::Duration;

use durable_core::{
    ActivityError, Client, ExportError, HistoryError, HistoryEvent, HistoryEventKind as Kind,
    NoError, OrchestrationContext, RuntimeStatus, orchestrator,
};
use futures_util::TryStreamExt;

use super::{Steps, chain, echo, names, on_both, over_restarts, soon, status_when, step, worker};

async fn read(client: &Client, id: &str) -> Vec<HistoryEvent> {
    let events = client.history(id).into_stream().try_collect();
    soon(events).await.unwrap()
}

/// Does one of most things.
#[orchestrator]
async fn tour(
    ctx: OrchestrationContext,
    _places: Vec<String>,
) -> Result<String, ActivityError<NoError>> {
    ctx.create_timer(Duration::from_millis(1)).await;
    let step = ctx.call_activity::<step>("a".to_owned()).await?;
    let child = ctx.call_sub_orchestrator::<echo>(step);
    let text = child.id("tour-child").await.unwrap_or_default();
    ctx.set_custom_status("waits").unwrap();
    drop(ctx.create_timer(Duration::from_secs(9_999)).start());
    let end: String = ctx.wait_for_external_event("End").await.unwrap();
    Ok(text + &end)
}

/// What a kind is called, with what is of interest of it.
fn brief(event: &HistoryEvent) -> String {
    match &event.kind {
        Kind::ExecutionStarted { name, input, .. } => format!("started {name} {}", input.json()),
        Kind::TimerCreated { call, .. } => format!("timer {call}"),
        Kind::TimerFired { call } => format!("fired {call}"),
        Kind::TaskScheduled { call, name, .. } => format!("task {call} {name}"),
        Kind::TaskCompleted { call, output } => format!("done {call} {}", output.json()),
        Kind::SubOrchestrationInstanceCreated { call, instance, .. } => {
            format!("child {call} {instance}")
        }
        Kind::SubOrchestrationInstanceCompleted { call, .. } => format!("child ended {call}"),
        Kind::CustomStatusSet { status } => format!("status {}", status.json()),
        Kind::CallCancelled { call } => format!("cancelled {call}"),
        Kind::EventAwaited { call, name } => format!("awaits {call} {name}"),
        Kind::EventRaised { name, data, .. } => format!("raised {name} {}", data.json()),
        Kind::ExecutionCompleted { output } => format!("completed {}", output.json()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_history_tells_what_has_happened_also_after_a_restart() {
    let (steps, _begun) = Steps::free();
    let deploy = move |builder: durable_core::WorkerBuilder| {
        builder
            .state(steps.clone())
            .register::<step>()
            .register::<echo>()
            .register::<tour>()
    };
    over_restarts(durable_core::TaskHub::options(), deploy, async |site| {
        let client = site.client();
        let start = client.start_orchestration::<tour>(names(&["a"])).id("t");
        start.await.unwrap();
        let waits = status_when(&client, "t", |status| status.custom_status_json().is_some());
        waits.await;
        let before = read(&client, "t").await;
        let site = site.restart().await;
        let client = site.client();
        assert_eq!(read(&client, "t").await, before);
        client.raise_event("t", "END", "!").await.unwrap();
        let status = soon(client.wait_for_completion("t"))
            .await
            .unwrap()
            .unwrap();
        let events = read(&client, "t").await;
        assert_eq!(events[..before.len()], before);
        let shown: Vec<_> = events.iter().map(brief).collect();
        assert_eq!(
            shown,
            [
                "started tour [\"a\"]",
                "timer 0",
                "fired 0",
                "task 1 step",
                "done 1 \"A\"",
                "child 2 tour-child",
                "child ended 2",
                "status \"waits\"",
                "timer 3",
                "cancelled 3",
                "awaits 4 end",
                "raised end \"!\"",
                "completed \"A!\"",
            ]
        );
        assert!(events.is_sorted_by_key(|event| (event.turn, event.time)));
        assert_eq!(events[0].turn, 1);
        let last = events.last().unwrap();
        assert_eq!(last.time, status.last_updated_at());
        assert_eq!(last.execution, status.execution_id());
        site
    })
    .await;
}

#[tokio::test]
async fn whoever_has_come_to_the_end_gets_what_comes_later() {
    on_both(async |hub| {
        let (steps, mut begun) = Steps::held();
        let _worker = worker(hub, &steps).start().await.unwrap();
        let client = hub.client();
        let start = client.start_orchestration::<chain>(names(&["a", "b"]));
        let instance = start.id("c").await.unwrap();
        soon(begun.recv()).await.unwrap();
        let mut history = instance.history();
        let mut seen = 0;
        while history.next().await.unwrap().is_some() {
            seen += 1;
        }
        assert_eq!(seen, 2);
        assert_eq!(history.next().await.unwrap(), None);
        steps.end(2);
        soon(instance.wait_for_completion()).await.unwrap();
        let mut later = Vec::new();
        while let Some(event) = history.next().await.unwrap() {
            later.push(event);
        }
        assert_eq!(later[..], read(&client, "c").await[seen..]);
        assert!(matches!(
            later.last().unwrap().kind,
            Kind::ExecutionCompleted { .. }
        ));
    })
    .await;
}

/// Waits for `go`, and begins again.
#[orchestrator]
async fn over_and_over(ctx: OrchestrationContext, round: u32) -> u32 {
    ctx.wait_for_external_event::<()>("go").await.unwrap();
    ctx.continue_as_new::<over_and_over, _>(round + 1).await
}

#[tokio::test]
async fn continuing_as_new_begins_another_history() {
    on_both(async |hub| {
        let started = worker(hub, &Steps::free().0).register::<over_and_over>();
        let _worker = started.start().await.unwrap();
        let client = hub.client();
        let start = client.start_orchestration::<over_and_over>(0).id("o");
        start.await.unwrap();
        let mut history = client.history("o");
        status_when(&client, "o", |status| {
            status.runtime_status() == RuntimeStatus::Running
        })
        .await;
        while soon(history.next()).await.unwrap().is_some() {}
        client.raise_event("o", "go", &()).await.unwrap();
        status_when(&client, "o", |status| {
            status.execution_id().generation() == 1
        })
        .await;
        for _again in 0..2 {
            let next = soon(history.next()).await;
            assert!(
                matches!(next, Err(HistoryError::Superseded { .. })),
                "{next:?}"
            );
        }
        let events = read(&client, "o").await;
        assert!(events.iter().all(|event| event.execution.generation() == 1));
        match &events[0].kind {
            Kind::ExecutionStarted { input, .. } => assert_eq!(input.json(), "1"),
            other => panic!("{other:?}"),
        }
    })
    .await;
}

#[tokio::test]
async fn of_what_is_not_there_nothing_is_read() {
    on_both(async |hub| {
        let client = hub.client();
        let missing = client.history("nobody").next().await;
        assert!(
            matches!(missing, Err(HistoryError::NotFound { .. })),
            "{missing:?}"
        );
        let invalid = client.history("").next().await;
        assert!(
            matches!(invalid, Err(HistoryError::InvalidId(_))),
            "{invalid:?}"
        );

        client.start_by_name("listen", "1").id("p").await.unwrap();
        let mut history = client.history("p");
        assert_eq!(history.next().await.unwrap(), None, "it is Pending");
        client.terminate("p", "enough").await.unwrap();
        assert!(history.next().await.unwrap().is_some());
        client.purge("p").await.unwrap();
        assert!(
            history.next().await.unwrap().is_some(),
            "it was read already"
        );
        let gone = history.next().await;
        assert!(
            matches!(gone, Err(HistoryError::NotFound { .. })),
            "{gone:?}"
        );
        client.start_by_name("listen", "1").id("p").await.unwrap();
        let other = history.next().await;
        assert!(
            matches!(other, Err(HistoryError::Superseded { .. })),
            "{other:?}"
        );
    })
    .await;
}

/// 80 of them, 1.6 MB.
fn long_names() -> Vec<String> {
    vec!["x".repeat(20_000); 80]
}

/// More than is read at once, in turns and in bytes.
#[tokio::test]
async fn long_histories_are_read_whole() {
    on_both(async |hub| {
        let _worker = worker(hub, &Steps::free().0).start().await.unwrap();
        let client = hub.client();
        let mut steps = names(&["a"; 600]);
        steps.extend(long_names());
        let start = client.start_orchestration::<chain>(steps.clone());
        let instance = start.id("long").await.unwrap();
        soon(instance.wait_for_completion()).await.unwrap();
        let events = read(&client, "long").await;
        let inputs = events.iter().filter_map(|event| match &event.kind {
            Kind::TaskScheduled { input, .. } => Some(input.decode::<String>().unwrap()),
            _ => None,
        });
        assert!(inputs.eq(steps));
        assert_eq!(events.len(), 2 + 2 * 680);

        let mut lines = Vec::new();
        let count = client.history("long").export(&mut lines).await.unwrap();
        assert_eq!(count, 1_362);
        let lines = String::from_utf8(lines).unwrap();
        let exported: Vec<HistoryEvent> = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(exported, events);
    })
    .await;
}

#[tokio::test]
async fn an_export_has_one_line_for_each_event_whatever_is_in_it() {
    on_both(async |hub| {
        let _worker = worker(hub, &Steps::free().0).start().await.unwrap();
        let client = hub.client();
        let input = "\r\n\"two\\nlines\"\n\n";
        client.start_by_name("echo", input).id("e").await.unwrap();
        soon(client.wait_for_completion("e")).await.unwrap();
        let mut lines = Vec::new();
        let mut history = client.history("e");
        assert_eq!(history.export(&mut lines).await.unwrap(), 2);
        let lines = String::from_utf8(lines).unwrap();
        let lines: Vec<_> = lines.lines().collect();
        assert_eq!(lines.len(), 2);
        for (line, event) in lines.iter().zip(read(&client, "e").await) {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(value, serde_json::to_value(event).unwrap());
        }
        // There is no more of it.
        assert_eq!(history.export(&mut Vec::new()).await.unwrap(), 0);
        let refused = client.history("nobody").export(&mut Vec::new()).await;
        assert!(matches!(
            refused,
            Err(ExportError::History(HistoryError::NotFound { .. }))
        ));
        let mut room = [0_u8; 10];
        let mut full = std::io::Cursor::new(&mut room[..]);
        let cut = client.history("e").export(&mut full).await;
        assert!(matches!(cut, Err(ExportError::Write(_))), "{cut:?}");
    })
    .await;
}
