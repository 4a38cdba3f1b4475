//! Versions: pinned to the instance, side by side, matched by the worker; limits on histories.

use std::time::Duration;

use durable_core::{
    NoError, OrchestrationContext, OrchestrationError, ProblemKind, RuntimeStatus,
    SubOrchestrationError, TaskHub, VersionMatch, VersionMismatch, orchestrator,
};

use super::{Place, on_both, soon, status_when};

mod v1 {
    use super::*;

    #[orchestrator(name = "greet", version = "1.0")]
    pub(super) async fn greet(ctx: OrchestrationContext, name: String) -> String {
        ctx.wait_for_external_event::<()>("go").await.unwrap();
        format!("Hello, {name}")
    }
}

mod v2 {
    use super::*;

    #[orchestrator(name = "greet", version = "2.0")]
    pub(super) async fn greet(ctx: OrchestrationContext, name: String) -> String {
        ctx.create_timer(Duration::ZERO).await;
        ctx.wait_for_external_event::<()>("go").await.unwrap();
        format!("Welcome, {name}")
    }
}

/// Serves every version.
#[orchestrator]
async fn tell(ctx: OrchestrationContext) -> String {
    ctx.version()
}

#[orchestrator]
async fn tell_child(
    ctx: OrchestrationContext,
    version: Option<String>,
) -> Result<String, SubOrchestrationError<NoError>> {
    let call = ctx.call_sub_orchestrator::<tell>(());
    match version {
        Some(version) => call.version(version).await,
        None => call.await,
    }
}

#[tokio::test]
async fn an_instance_keeps_its_version_through_a_deploy() {
    let place = Place::new();
    let hub = place.open().await;
    let worker = hub.worker().register::<v1::greet>().start().await.unwrap();
    let start = hub
        .client()
        .start_orchestration::<v1::greet>("Ada".to_owned());
    start.id("old").await.unwrap();
    let client = hub.client();
    let runs = status_when(&client, "old", |status| {
        status.runtime_status() == RuntimeStatus::Running
    });
    runs.await;
    worker.shutdown().await;
    soon(hub.close()).await.unwrap();

    let options = TaskHub::options().default_version("2.0");
    let hub = place.open_with(options).await;
    let builder = hub.worker().register::<v1::greet>().register::<v2::greet>();
    let _worker = builder.start().await.unwrap();
    let client = hub.client();
    client
        .start_by_name("greet", "\"Bob\"")
        .id("new")
        .await
        .unwrap();
    for (id, version, expected) in [("old", "1.0", "Hello, Ada"), ("new", "2.0", "Welcome, Bob")] {
        client.raise_event(id, "go", &()).await.unwrap();
        let ended = soon(client.wait_for_completion(id)).await.unwrap().unwrap();
        assert_eq!(ended.version(), version);
        assert_eq!(ended.output::<String>().unwrap().as_deref(), Some(expected));
    }
}

#[tokio::test]
async fn who_has_no_version_gets_the_default_and_serves_all() {
    for hub in [
        TaskHub::options()
            .default_version("7")
            .open_in_memory()
            .await
            .unwrap(),
        TaskHub::in_memory().await.unwrap(),
    ] {
        let default = hub.client().start_by_name("tell", "null");
        let default = default.await.is_err().then(String::new);
        assert_eq!(default, None, "without a worker everything can be started");
        let builder = hub.worker().register::<tell>().register::<tell_child>();
        let _worker = builder.start().await.unwrap();
        let client = hub.client();
        let told = client.start_orchestration::<tell>(()).await.unwrap();
        let told = told.wait_for_completion().await.unwrap();
        assert!(told == "7" || told.is_empty(), "{told}");
        let start = client.start_orchestration::<tell>(()).version("3");
        assert_eq!(
            start.await.unwrap().wait_for_completion().await.unwrap(),
            "3"
        );
        for (version, expected) in [(None, told.as_str()), (Some("4".to_owned()), "4")] {
            let start = client.start_orchestration::<tell_child>(version);
            let child = start.await.unwrap().wait_for_completion().await.unwrap();
            assert_eq!(child, expected);
        }
        hub.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_worker_leaves_versions_alone_that_it_does_not_take() {
    on_both(async |hub| {
        let client = hub.client();
        for version in ["1.9", "1.10", "2.0", "2.1"] {
            let start = client.start_orchestration::<tell>(()).id(version);
            start.version(version).await.unwrap();
        }
        let worker = async |matching| {
            let builder = hub.worker().register::<tell>().version("1.10");
            builder.version_match(matching).start().await.unwrap()
        };
        let statuses = async || {
            let mut all = Vec::new();
            for id in ["1.9", "1.10", "2.0", "2.1"] {
                let status = client.status(id).await.unwrap().unwrap();
                all.push((
                    status.runtime_status(),
                    status.problem().map(durable_core::Problem::kind),
                ));
            }
            all
        };
        let done = (RuntimeStatus::Completed, None);
        let left = (RuntimeStatus::Pending, Some(ProblemKind::VersionMismatch));

        let strict = worker(VersionMatch::Strict).await;
        soon(client.wait_for_completion("1.10")).await.unwrap();
        strict.shutdown().await;
        assert_eq!(statuses().await, [left, done, left, left]);
        let older = worker(VersionMatch::CurrentOrOlder).await;
        soon(client.wait_for_completion("1.9")).await.unwrap();
        older.shutdown().await;
        assert_eq!(statuses().await, [done, done, left, left]);
        let all = worker(VersionMatch::None).await;
        soon(client.wait_for_completion("2.1")).await.unwrap();
        soon(client.wait_for_completion("2.0")).await.unwrap();
        all.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_version_that_is_not_taken_fails_if_that_is_asked_for() {
    on_both(async |hub| {
        let builder = hub.worker().register::<tell>().version("1");
        let builder = builder.version_match(VersionMatch::Strict);
        let builder = builder.version_mismatch(VersionMismatch::Fail);
        let _worker = builder.start().await.unwrap();
        let start = hub.client().start_orchestration::<tell>(()).version("2");
        let failed = start.await.unwrap().wait_for_completion().await;
        assert!(
            matches!(failed, Err(OrchestrationError::VersionMismatch(_))),
            "{failed:?}"
        );
    })
    .await;
}

/// Takes events for ever.
#[orchestrator]
async fn endless(ctx: OrchestrationContext, lengths: Vec<usize>) -> Vec<usize> {
    let mut lengths = lengths;
    while let Ok(more) = ctx.wait_for_external_event::<bool>("more").await {
        lengths.push(ctx.history_length());
        if !more {
            return ctx.continue_as_new::<endless, _>(lengths).await;
        }
    }
    lengths
}

#[tokio::test]
async fn a_history_may_become_so_long_and_no_longer() {
    let options = TaskHub::options().max_history(5);
    let hub = options.open_in_memory().await.unwrap();
    let _worker = hub.worker().register::<endless>().start().await.unwrap();
    let start = hub.client().start_orchestration::<endless>(Vec::new());
    let instance = start.await.unwrap();
    // Four and the start, twice: at the limit it continues. The third time it does not.
    for more in [
        true, true, true, false, true, true, true, false, true, true, true, true, true,
    ] {
        instance.raise_event("more", &more).await.unwrap();
    }
    let failed = instance.wait_for_completion().await;
    assert!(
        matches!(failed, Err(OrchestrationError::LimitExceeded(_))),
        "{failed:?}"
    );
    let ended = hub.client().status(instance.id().clone()).await.unwrap();
    let lengths = ended.unwrap().input::<Vec<usize>>().unwrap();
    assert_eq!(lengths, Some(vec![2, 3, 4, 5, 2, 3, 4, 5]));
}

#[tokio::test]
async fn how_much_may_be_outstanding_and_how_deep_is_the_hubs_to_say() {
    let options = TaskHub::options().max_outstanding_calls(2).max_depth(0);
    let hub = options.open_in_memory().await.unwrap();
    let builder = hub.worker().register::<tell>().register::<tell_child>();
    let builder = builder.register::<three>().register::<three_alone>();
    let _worker = builder.start().await.unwrap();
    let start = hub.client().start_orchestration::<three_alone>(());
    start.await.unwrap().wait_for_completion().await.unwrap();
    let start = hub.client().start_orchestration::<three>(());
    let failed = start.await.unwrap().wait_for_completion().await;
    assert!(
        matches!(failed, Err(OrchestrationError::LimitExceeded(_))),
        "{failed:?}"
    );
    let start = hub.client().start_orchestration::<tell_child>(None);
    let failed = start.await.unwrap().wait_for_completion().await;
    let refused = matches!(
        &failed,
        Err(OrchestrationError::Application(
            SubOrchestrationError::LimitExceeded(_)
        ))
    );
    assert!(refused, "{failed:?}");
}

/// Nothing of what is detached is outstanding.
#[orchestrator]
async fn three_alone(ctx: OrchestrationContext) {
    for _ in 0..3 {
        ctx.call_sub_orchestrator::<tell>(()).detach().unwrap();
    }
    ctx.create_timer(Duration::from_millis(1)).await;
}

#[orchestrator]
async fn three(ctx: OrchestrationContext) {
    let timer = || ctx.create_timer(Duration::from_millis(1));
    futures_util::future::join3(timer(), timer(), timer()).await;
}

#[orchestrator]
async fn tagged(ctx: OrchestrationContext) -> Vec<(String, String)> {
    ctx.tags().into_iter().collect()
}

#[orchestrator]
async fn tags_child(
    ctx: OrchestrationContext,
    bytes: usize,
) -> Result<usize, SubOrchestrationError<NoError>> {
    let call = ctx.call_sub_orchestrator::<tagged>(());
    let tags = call.tag("team", "x".repeat(bytes)).await?;
    Ok(tags.len())
}

#[tokio::test]
async fn tags_are_shown_to_everybody() {
    on_both(async |hub| {
        let builder = hub.worker().register::<tagged>().register::<tags_child>();
        let _worker = builder.start().await.unwrap();
        let client = hub.client();
        let start = client.start_orchestration::<tagged>(()).id("x");
        let start = start.tag("team", "a").tag("team", "b").tag("what", "");
        let told = start.await.unwrap().wait_for_completion().await.unwrap();
        let expected = [("team", "b"), ("what", "")];
        assert!(
            told.iter()
                .map(|(name, value)| (&**name, &**value))
                .eq(expected)
        );
        let status = client.status("x").await.unwrap().unwrap();
        assert!(
            status
                .tags()
                .iter()
                .eq(told.iter().map(|(name, value)| (name, value)))
        );

        for (name, value, fits) in [
            ("", "x", false),
            ("n", &*"x".repeat(1_000), false),
            ("n", &*"x".repeat(999), true),
        ] {
            let start = client
                .start_by_name("tagged", "null")
                .tag(name, value)
                .await;
            let refused = matches!(start, Err(durable_core::StartError::InvalidTags));
            assert_eq!(refused, !fits, "{start:?}");
        }
        for (bytes, fits) in [(996, true), (997, false)] {
            let start = client.start_orchestration::<tags_child>(bytes);
            let ended = start.await.unwrap().wait_for_completion().await;
            assert_eq!(ended.is_ok(), fits, "{ended:?}");
        }
    })
    .await;
}
