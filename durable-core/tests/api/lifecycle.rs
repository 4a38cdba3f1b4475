//! Starting, asking, waiting, raising, terminating.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use durable_core::{
    Client, FailureKind, HubError, InstanceError, NoError, OrchestrationContext,
    OrchestrationError, RuntimeStatus, StartError, TaskHub, orchestrator,
};
use serde::{Deserialize, Serialize};

use super::{Steps, chain, echo, listen, names, nap, on_both, soon, status_when, worker};

#[tokio::test]
async fn an_instance_that_was_started_returns_its_output() {
    on_both(async |hub| {
        let _worker = worker(hub, &Steps::free().0).start().await.unwrap();
        let instance = hub
            .client()
            .start_orchestration::<chain>(names(&["a", "b"]))
            .await
            .unwrap();
        assert_eq!(instance.wait_for_completion().await.unwrap(), ["A", "B"]);
    })
    .await;
}

#[tokio::test]
async fn a_hub_needs_no_worker_to_take_orders() {
    on_both(async |hub| {
        let client = hub.client();
        let instance = client
            .start_orchestration::<listen>("go".to_owned())
            .id("early")
            .await
            .unwrap();
        client.raise_event("early", "go", "first").await.unwrap();
        client.raise_event("early", "go", "second").await.unwrap();
        let status = client.status("early").await.unwrap().unwrap();
        assert_eq!(status.runtime_status(), RuntimeStatus::Pending);
        assert_eq!(
            status.input::<String>().unwrap().as_deref(),
            Some("go"),
            "{status:?}"
        );
        assert_eq!(status.problem(), None);

        let _worker = worker(hub, &Steps::free().0).start().await.unwrap();
        assert_eq!(instance.wait_for_completion().await.unwrap(), "first");
    })
    .await;
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Offer {
    cents: u32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Refused {
    TooLow { by: u32 },
}

/// Accepts the first offer if it is not below its limit.
#[orchestrator(version = "2")]
async fn negotiate(ctx: OrchestrationContext, item: String, limit: u32) -> Result<Offer, Refused> {
    ctx.set_custom_status(&format!("waiting for an offer for {item}"))
        .unwrap();
    let offer: Offer = ctx.wait_for_external_event("Offer").await.unwrap();
    ctx.set_custom_status(&offer).unwrap();
    match limit.checked_sub(offer.cents) {
        None | Some(0) => Ok(offer),
        Some(by) => Err(Refused::TooLow { by }),
    }
}

#[tokio::test]
async fn a_status_tells_all_of_an_instance() {
    on_both(async |hub| {
        let _worker = hub.worker().register::<negotiate>().start().await.unwrap();
        let client = hub.client();
        let before = now();
        let instance = client
            .start_orchestration::<negotiate>(("chair".to_owned(), 100))
            .id("chair")
            .await
            .unwrap();

        let running = instance.status().await.unwrap().unwrap();
        assert_eq!(running.instance_id().as_str(), "chair");
        assert_eq!(running.execution_id().generation(), 0);
        assert_eq!((running.name(), running.version()), ("negotiate", "2"));
        assert_eq!(running.runtime_status(), RuntimeStatus::Running);
        assert_eq!(
            running.input::<(String, u32)>().unwrap(),
            Some(("chair".to_owned(), 100))
        );
        assert_eq!(running.output::<Offer>().unwrap(), None);
        assert_eq!(running.failure(), None);
        assert_eq!(running.problem(), None);
        assert_eq!(running.problem_since(), None);
        assert_eq!(
            running.custom_status::<String>().unwrap().as_deref(),
            Some("waiting for an offer for chair")
        );
        assert!(running.created_at() >= before, "{:?}", running.created_at());
        assert!(running.created_at() <= running.last_updated_at());
        assert!(running.last_updated_at() <= now());
        assert!(running.input::<u32>().is_err(), "another type is refused");

        let raised = now();
        instance
            .raise_event("Offer", &Offer { cents: 120 })
            .await
            .unwrap();
        let offer = instance.wait_for_completion().await.unwrap();
        assert_eq!(offer, Offer { cents: 120 });

        let ended = client.wait_for_completion("chair").await.unwrap().unwrap();
        assert_eq!(ended.runtime_status(), RuntimeStatus::Completed);
        assert_eq!(ended.output().unwrap(), Some(Offer { cents: 120 }));
        assert_eq!(ended.custom_status().unwrap(), Some(Offer { cents: 120 }));
        assert_eq!(ended.failure(), None);
        assert_eq!(ended.created_at(), running.created_at());
        assert!(ended.last_updated_at() >= raised);
        assert_eq!(
            ended.input::<(String, u32)>().unwrap(),
            Some(("chair".to_owned(), 100))
        );
        assert_eq!(instance.status().await.unwrap(), Some(ended));
    })
    .await;
}

#[tokio::test]
async fn an_instance_is_created_when_it_is_started_also_on_a_hub_that_was_idle() {
    on_both(async |hub| {
        for _ in 0..3 {
            let before = now();
            let start = hub.client().start_orchestration::<echo>(String::new());
            let status = start.await.unwrap().status().await.unwrap().unwrap();
            assert!(status.created_at() >= before, "{:?}", status.created_at());
            assert!(status.created_at() <= now());
        }
    })
    .await;
}

#[tokio::test]
async fn an_orchestrators_own_error_comes_back() {
    on_both(async |hub| {
        let _worker = hub.worker().register::<negotiate>().start().await.unwrap();
        let instance = hub
            .client()
            .start_orchestration::<negotiate>(("chair".to_owned(), 100))
            .await
            .unwrap();
        instance
            .raise_event("offer", &Offer { cents: 70 })
            .await
            .unwrap();
        match instance.wait_for_completion().await {
            Err(OrchestrationError::Application(error)) => {
                assert_eq!(error, Refused::TooLow { by: 30 });
            }
            other => panic!("{other:?}"),
        }
        let status = instance.status().await.unwrap().unwrap();
        assert_eq!(status.runtime_status(), RuntimeStatus::Failed);
        assert_eq!(status.output::<Offer>().unwrap(), None);
        let failure = status.failure().unwrap();
        assert_eq!(failure.kind(), FailureKind::Application);
        assert!(failure.error_type().ends_with("Refused"), "{failure:?}");
    })
    .await;
}

#[tokio::test]
async fn an_id_that_exists_is_refused_with_what_it_is_doing() {
    on_both(async |hub| {
        let client = hub.client();
        let start = async |input: &str| {
            let start = client.start_orchestration::<listen>(input.to_owned());
            start.id("order-42").await.map(drop)
        };
        start("go").await.unwrap();
        let refused = async |expected| match start("other").await {
            Err(StartError::AlreadyExists { id, status }) => {
                assert_eq!(id.as_str(), "order-42");
                assert_eq!(status, expected);
            }
            other => panic!("{other:?}"),
        };
        refused(RuntimeStatus::Pending).await;
        let _worker = worker(hub, &Steps::free().0).start().await.unwrap();
        status_when(&client, "order-42", is(RuntimeStatus::Running)).await;
        refused(RuntimeStatus::Running).await;
        client.raise_event("order-42", "go", "done").await.unwrap();
        let ended = client.wait_for_completion("order-42").await.unwrap();
        refused(RuntimeStatus::Completed).await;
        assert_eq!(client.status("order-42").await.unwrap(), ended);
        assert_eq!(
            ended.unwrap().input::<String>().unwrap().as_deref(),
            Some("go")
        );
    })
    .await;
}

#[tokio::test]
async fn of_many_starts_of_one_id_one_succeeds() {
    on_both(async |hub| {
        let _worker = worker(hub, &Steps::free().0).start().await.unwrap();
        let client = hub.client();
        let starts = (0..50).map(|n: u32| {
            client
                .start_orchestration::<echo>(n.to_string())
                .id("same")
                .into_future()
        });
        let started = futures_util::future::join_all(starts).await;
        let (ok, refused): (Vec<_>, Vec<_>) = started.into_iter().partition(Result::is_ok);
        assert_eq!((ok.len(), refused.len()), (1, 49));
        for refused in refused {
            assert!(matches!(refused, Err(StartError::AlreadyExists { .. })));
        }
    })
    .await;
}

#[tokio::test]
async fn instances_without_an_id_get_one_each() {
    on_both(async |hub| {
        let client = hub.client();
        let mut ids = BTreeSet::new();
        for _ in 0..100 {
            let start = client.start_orchestration::<echo>(String::new());
            ids.insert(start.await.unwrap().id().clone());
        }
        assert_eq!(ids.len(), 100);
    })
    .await;
}

#[tokio::test]
async fn a_start_that_is_not_awaited_starts_nothing() {
    on_both(async |hub| {
        let client = hub.client();
        drop(client.start_orchestration::<echo>(String::new()).id("x"));
        let start = client.start_orchestration::<echo>(String::new()).id("x");
        drop(start.into_future());
        assert_eq!(client.status("x").await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_start_that_is_dropped_on_its_way_has_happened_or_not() {
    on_both(async |hub| {
        let client = hub.client();
        let mut start = client
            .start_orchestration::<echo>("x".to_owned())
            .id("x")
            .into_future();
        // Polled once: the engine has the command, and nobody waits for its answer any more.
        let _ = futures_util::poll!(&mut start);
        drop(start);
        let again = client.start_orchestration::<echo>("x".to_owned()).id("x");
        match again.await {
            Ok(_) | Err(StartError::AlreadyExists { .. }) => {}
            other => panic!("{other:?}"),
        }
        let _worker = worker(hub, &Steps::free().0).start().await.unwrap();
        let ended = client.wait_for_completion("x").await.unwrap().unwrap();
        assert_eq!(ended.output::<String>().unwrap().as_deref(), Some("x"));
    })
    .await;
}

#[tokio::test]
async fn every_waiter_is_told_of_the_end() {
    on_both(async |hub| {
        let _worker = worker(hub, &Steps::free().0).start().await.unwrap();
        let client = hub.client();
        let instance = client
            .start_orchestration::<listen>("go".to_owned())
            .id("x")
            .await
            .unwrap();
        let mut waits = Vec::new();
        for n in 0..40 {
            let instance = instance.clone();
            let mut wait = Box::pin(async move { instance.wait_for_completion().await.unwrap() });
            assert!(futures_util::poll!(&mut wait).is_pending());
            // Half of them lose patience.
            if n % 2 == 0 {
                waits.push(wait);
            }
        }
        instance.raise_event("go", "now").await.unwrap();
        for wait in waits {
            assert_eq!(soon(wait).await, "now");
        }
        assert_eq!(instance.wait_for_completion().await.unwrap(), "now");
    })
    .await;
}

#[tokio::test]
async fn a_finished_instance_is_found_by_its_id_alone() {
    on_both(async |hub| {
        let worker = worker(hub, &Steps::free().0).start().await.unwrap();
        let client = hub.client();
        let start = client.start_orchestration::<echo>("text".to_owned());
        start
            .id("x")
            .await
            .unwrap()
            .wait_for_completion()
            .await
            .unwrap();
        worker.shutdown().await;
        let instance = client.instance::<echo>("x").unwrap();
        assert_eq!(instance.wait_for_completion().await.unwrap(), "text");
    })
    .await;
}

#[tokio::test]
async fn of_an_unknown_id_nothing_is_known() {
    on_both(async |hub| {
        let client = hub.client();
        assert_eq!(client.status("nobody").await.unwrap(), None);
        assert_eq!(client.wait_for_completion("nobody").await.unwrap(), None);
        let instance = client.instance::<echo>("nobody").unwrap();
        assert_eq!(instance.status().await.unwrap(), None);
        match instance.wait_for_completion().await {
            Err(OrchestrationError::NotFound { id }) => assert_eq!(id.as_str(), "nobody"),
            other => panic!("{other:?}"),
        }
        for told in [
            client.raise_event("nobody", "go", &1).await,
            client.terminate("nobody", "why").await,
        ] {
            match told {
                Err(InstanceError::NotFound { id }) => assert_eq!(id.as_str(), "nobody"),
                other => panic!("{other:?}"),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn events_go_to_waits_in_the_order_of_their_arrival_whatever_the_case() {
    #[orchestrator]
    async fn three(ctx: OrchestrationContext) -> Vec<u32> {
        let mut got = Vec::new();
        for name in ["Number", "OTHER", "number"] {
            got.push(ctx.wait_for_external_event::<u32>(name).await.unwrap());
        }
        got
    }
    on_both(async |hub| {
        let _worker = hub.worker().register::<three>().start().await.unwrap();
        let instance = hub.client().start_orchestration::<three>(()).await.unwrap();
        for (name, data) in [("NUMBER", 1), ("number", 2), ("Number", 3), ("other", 4)] {
            instance.raise_event(name, &data).await.unwrap();
        }
        assert_eq!(instance.wait_for_completion().await.unwrap(), [1, 4, 2]);
    })
    .await;
}

#[tokio::test]
async fn thousands_at_once_are_all_served_and_none_is_held_up_by_a_busy_one() {
    const EVENTS: usize = 3000;
    #[orchestrator]
    async fn collect(ctx: OrchestrationContext) -> Vec<usize> {
        let mut got = Vec::new();
        while got.len() < EVENTS {
            got.push(ctx.wait_for_external_event("n").await.unwrap());
        }
        got
    }
    on_both(async |hub| {
        let worker = worker(hub, &Steps::free().0).register::<collect>();
        let _worker = worker.start().await.unwrap();
        let client = hub.client();
        let start = client.start_orchestration::<collect>(());
        let busy = start.await.unwrap();
        let raised = (0..EVENTS).map(|n| {
            let busy = busy.clone();
            async move { busy.raise_event("n", &n).await.unwrap() }
        });
        let echoes = (0..2000).map(|n: u32| {
            let start = client.start_orchestration::<echo>(n.to_string());
            async move { start.await.unwrap().wait_for_completion().await.unwrap() }
        });
        let raised = futures_util::future::join_all(raised);
        let echoes = futures_util::future::join_all(echoes);
        let (_, echoes) = soon(futures_util::future::join(raised, echoes)).await;
        assert!(echoes.into_iter().eq((0..2000).map(|n| n.to_string())));
        let mut got = soon(busy.wait_for_completion()).await.unwrap();
        // What is raised at once has no order.
        got.sort_unstable();
        assert!(got.into_iter().eq(0..EVENTS));
    })
    .await;
}

#[tokio::test]
async fn delays_without_end_are_no_mistake() {
    #[orchestrator]
    async fn for_ever(ctx: OrchestrationContext) -> String {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40);
        tokio::select! { biased;
            () = ctx.create_timer(Duration::MAX) => "too early".to_owned(),
            () = ctx.create_timer_at(at) => "too early".to_owned(),
            go = ctx.wait_for_external_event("go") => go.unwrap(),
        }
    }
    on_both(async |hub| {
        let worker = hub.worker().register::<for_ever>().register::<nap>();
        let _worker = worker.start().await.unwrap();
        let start = hub.client().start_orchestration::<for_ever>(());
        let instance = start.await.unwrap();
        let start = hub.client().start_orchestration::<nap>(5);
        start.await.unwrap().wait_for_completion().await.unwrap();
        instance.raise_event("go", "enough").await.unwrap();
        assert_eq!(instance.wait_for_completion().await.unwrap(), "enough");
    })
    .await;
}

#[tokio::test]
async fn what_is_pending_can_be_terminated() {
    on_both(async |hub| {
        let client = hub.client();
        let start = client.start_orchestration::<echo>("x".to_owned());
        start.id("x").await.unwrap();
        check_terminate(&client).await;
    })
    .await;
}

#[tokio::test]
async fn what_waits_for_an_activity_can_be_terminated_which_tells_the_activity() {
    on_both(async |hub| {
        let (steps, mut begun) = Steps::held();
        let _worker = worker(hub, &steps).start().await.unwrap();
        let client = hub.client();
        let start = client.start_orchestration::<chain>(names(&["a", "b"]));
        start.id("x").await.unwrap();
        assert_eq!(begun.recv().await.unwrap(), "a");
        check_terminate(&client).await;
        assert_eq!(begun.recv().await.unwrap(), "a cancelled");
    })
    .await;
}

#[tokio::test]
async fn what_sleeps_can_be_terminated() {
    on_both(async |hub| {
        let _worker = worker(hub, &Steps::free().0).start().await.unwrap();
        let client = hub.client();
        let start = client.start_orchestration::<nap>(3_600_000);
        start.id("x").await.unwrap();
        status_when(&client, "x", is(RuntimeStatus::Running)).await;
        check_terminate(&client).await;
    })
    .await;
}

#[tokio::test]
async fn what_waits_for_an_event_can_be_terminated_also_without_a_worker() {
    on_both(async |hub| {
        let worker = worker(hub, &Steps::free().0).start().await.unwrap();
        let client = hub.client();
        let start = client.start_orchestration::<listen>("go".to_owned());
        start.id("x").await.unwrap();
        status_when(&client, "x", is(RuntimeStatus::Running)).await;
        worker.shutdown().await;
        check_terminate(&client).await;
    })
    .await;
}

/// Terminates instance `x`, which has not ended, and looks at what everybody is told.
async fn check_terminate(client: &Client) {
    let instance = client.instance::<echo>("x").unwrap();
    let waiter = instance.clone();
    let mut wait = Box::pin(async move { waiter.wait_for_completion().await });
    assert!(futures_util::poll!(&mut wait).is_pending());

    instance.terminate("no longer wanted").await.unwrap();

    match soon(wait).await {
        Err(OrchestrationError::Terminated(details)) => {
            assert_eq!(details.message(), "no longer wanted");
        }
        other => panic!("{other:?}"),
    }
    let status = instance.status().await.unwrap().unwrap();
    assert_eq!(status.runtime_status(), RuntimeStatus::Terminated);
    assert_eq!(status.output::<String>().unwrap(), None);
    let failure = status.failure().unwrap();
    assert_eq!(failure.kind(), FailureKind::Terminated);
    assert_eq!(failure.message(), "no longer wanted");
    assert!(status.last_updated_at() >= status.created_at());

    check_ended(client, RuntimeStatus::Terminated).await;
    assert_eq!(instance.status().await.unwrap(), Some(status));
}

/// Instance `x` takes nothing any more.
async fn check_ended(client: &Client, expected: RuntimeStatus) {
    for told in [
        client.terminate("x", "again").await,
        client.raise_event("x", "go", &1).await,
    ] {
        match told {
            Err(InstanceError::Ended { id, status }) => {
                assert_eq!((id.as_str(), status), ("x", expected));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn what_has_completed_stays_completed() {
    on_both(async |hub| {
        let _worker = worker(hub, &Steps::free().0).start().await.unwrap();
        let client = hub.client();
        let start = client.start_orchestration::<echo>("text".to_owned());
        let instance = start.id("x").await.unwrap();
        instance.wait_for_completion().await.unwrap();
        check_ended(&client, RuntimeStatus::Completed).await;
        assert_eq!(instance.wait_for_completion().await.unwrap(), "text");
    })
    .await;
}

#[tokio::test]
async fn a_call_that_is_dropped_tells_its_activity() {
    #[orchestrator]
    async fn impatient(ctx: OrchestrationContext) -> String {
        tokio::select! { biased;
            done = ctx.call_activity::<super::step>("slow".to_owned()) => done.unwrap(),
            go = ctx.wait_for_external_event::<String>("go") => go.unwrap(),
        }
    }
    on_both(async |hub| {
        let (steps, mut begun) = Steps::held();
        let worker = worker(hub, &steps).register::<impatient>();
        let _worker = worker.start().await.unwrap();
        let start = hub.client().start_orchestration::<impatient>(());
        let instance = start.await.unwrap();
        assert_eq!(begun.recv().await.unwrap(), "slow");
        instance.raise_event("go", "gone on").await.unwrap();
        assert_eq!(begun.recv().await.unwrap(), "slow cancelled");
        assert_eq!(instance.wait_for_completion().await.unwrap(), "gone on");
    })
    .await;
}

#[tokio::test]
async fn a_timer_is_never_early() {
    #[orchestrator]
    async fn naps(ctx: OrchestrationContext) -> bool {
        for ms in [0, 1, 10] {
            let delay = Duration::from_millis(ms);
            let before = ctx.now();
            ctx.create_timer(delay).await;
            if ctx.now() < before + delay {
                return false;
            }
            let at = ctx.now() + delay;
            ctx.create_timer_at(at).await;
            if ctx.now() < at {
                return false;
            }
        }
        true
    }
    on_both(async |hub| {
        let _worker = hub.worker().register::<naps>().start().await.unwrap();
        let before = now();
        let instance = hub.client().start_orchestration::<naps>(()).await.unwrap();
        assert!(instance.wait_for_completion().await.unwrap());
        assert!(now() >= before + Duration::from_millis(22));
    })
    .await;
}

#[tokio::test]
async fn who_waits_when_the_hub_closes_is_told() {
    let place = super::Place::new();
    for hub in [TaskHub::in_memory().await.unwrap(), place.open().await] {
        let worker = worker(&hub, &Steps::free().0).start().await.unwrap();
        let client = hub.client();
        let start = client.start_orchestration::<listen>("go".to_owned());
        let instance = start.id("x").await.unwrap();
        let mut wait = Box::pin(client.wait_for_completion("x"));
        assert!(futures_util::poll!(&mut wait).is_pending());
        worker.shutdown().await;
        let second = hub.clone();
        soon(hub.close()).await.unwrap();
        assert!(matches!(soon(wait).await, Err(HubError::Closed)));

        assert!(matches!(client.status("x").await, Err(HubError::Closed)));
        let start = client.start_orchestration::<echo>(String::new()).await;
        assert!(matches!(start, Err(StartError::Hub(HubError::Closed))));
        let told = instance.terminate("why").await;
        assert!(matches!(told, Err(InstanceError::Hub(HubError::Closed))));
        let worker = super::worker(&second, &Steps::free().0).start().await;
        assert!(worker.is_err());
        soon(second.close()).await.unwrap();
    }
}

#[tokio::test]
async fn an_orchestrator_that_returns_nothing_has_an_output_all_the_same() {
    #[orchestrator]
    async fn nothing(_ctx: OrchestrationContext) -> Result<(), NoError> {
        Ok(())
    }
    on_both(async |hub| {
        let _worker = hub.worker().register::<nothing>().start().await.unwrap();
        let start = hub.client().start_orchestration::<nothing>(());
        let instance = start.await.unwrap();
        let () = instance.wait_for_completion().await.unwrap();
        let status = instance.status().await.unwrap().unwrap();
        assert_eq!(status.output::<()>().unwrap(), Some(()));
    })
    .await;
}

fn is(expected: RuntimeStatus) -> impl Fn(&durable_core::OrchestrationStatus) -> bool {
    move |status| status.runtime_status() == expected
}

#[expect(clippy::disallowed_methods, reason = "compares with the hub's clock")]
fn now() -> SystemTime {
    SystemTime::now()
}

#[tokio::test]
async fn a_start_may_take_what_exists() {
    on_both(async |hub| {
        let (steps, mut begun) = Steps::free();
        let _worker = worker(hub, &steps).start().await.unwrap();
        let client = hub.client();
        for _ in 0..3 {
            let start = client.start_orchestration::<chain>(names(&["a"])).id("x");
            let instance = start.use_existing().await.unwrap();
            assert_eq!(instance.wait_for_completion().await.unwrap(), ["A"]);
        }
        assert_eq!(begun.recv().await.unwrap(), "a");
        assert!(begun.try_recv().is_err(), "it was started once");
    })
    .await;
}
