//! Deploys of changed code while instances of the old code are under way.

use durable_core::{
    ActivityError, Instance, NoError, OrchestrationContext, ProblemKind, TaskHub, Worker,
    orchestrator,
};

use super::{Place, Steps, on_both, soon, status_when, step, worker};

type Taken = Result<Vec<String>, ActivityError<NoError>>;

/// Takes the steps, one after each event `go`.
async fn take(ctx: OrchestrationContext, steps: [&str; 3]) -> Taken {
    assert_eq!(ctx.name(), "order");
    let mut taken = Vec::new();
    for name in steps {
        let () = ctx.wait_for_external_event("go").await.unwrap();
        taken.push(ctx.call_activity::<step>(name.to_owned()).await?);
        ctx.set_custom_status(&taken.len()).unwrap();
    }
    Ok(taken)
}

#[orchestrator(name = "order")]
async fn before(ctx: OrchestrationContext) -> Taken {
    take(ctx, ["pack", "send", "thank"]).await
}

/// The parcel is tracked, unless it was sent already.
#[orchestrator]
async fn order(ctx: OrchestrationContext) -> Taken {
    let mut taken = Vec::new();
    for name in ["pack", "send", "thank"] {
        let () = ctx.wait_for_external_event("go").await.unwrap();
        let name = match name {
            "send" if ctx.patched("tracked") => "send tracked",
            name => name,
        };
        taken.push(ctx.call_activity::<step>(name.to_owned()).await?);
        ctx.set_custom_status(&taken.len()).unwrap();
    }
    Ok(taken)
}

/// Nobody is left who sent without tracking.
#[orchestrator(name = "order")]
async fn afterwards(ctx: OrchestrationContext) -> Taken {
    take(ctx, ["pack", "send tracked", "thank"]).await
}

#[derive(Clone, Copy, Debug)]
enum Deployed {
    Before,
    Now,
    Afterwards,
}

async fn deploy(hub: &TaskHub, code: Deployed) -> Worker {
    let worker = worker(hub, &Steps::free().0);
    let worker = match code {
        Deployed::Before => worker.register::<before>(),
        Deployed::Now => worker.register::<order>(),
        Deployed::Afterwards => worker.register::<afterwards>(),
    };
    worker.start().await.unwrap()
}

/// Brings an instance forward by one step.
async fn go(hub: &TaskHub, id: &str, taken: usize) {
    hub.client().raise_event(id, "go", &()).await.unwrap();
    let is = |taken: usize| {
        move |status: &durable_core::OrchestrationStatus| {
            status.custom_status::<usize>().unwrap() == Some(taken) || status.problem().is_some()
        }
    };
    let status = status_when(&hub.client(), id, is(taken)).await;
    assert_eq!(status.problem(), None, "{id}");
}

async fn start(hub: &TaskHub, id: &str) -> Instance<order> {
    let start = hub.client().start_orchestration::<order>(());
    start.id(id).await.unwrap()
}

async fn check_end(hub: &TaskHub, id: &str, taken: [&str; 3]) {
    let instance = hub.client().instance::<order>(id).unwrap();
    assert_eq!(soon(instance.wait_for_completion()).await.unwrap(), taken);
}

const OLD: [&str; 3] = ["PACK", "SEND", "THANK"];
const NEW: [&str; 3] = ["PACK", "SEND TRACKED", "THANK"];

#[tokio::test]
async fn instances_end_on_the_path_that_they_took() {
    on_both(async |hub| {
        let worker = deploy(hub, Deployed::Before).await;
        for (id, steps) in [("sent", 2), ("packed", 1), ("begun", 0)] {
            start(hub, id).await;
            for taken in 1..=steps {
                go(hub, id, taken).await;
            }
        }
        worker.shutdown().await;
        let worker = deploy(hub, Deployed::Now).await;
        start(hub, "new").await;
        for (id, from) in [("packed", 2), ("begun", 1), ("new", 1)] {
            for taken in from..=2 {
                go(hub, id, taken).await;
            }
        }
        worker.shutdown().await;
        // The same code, which now finds in the history what it did.
        let worker = deploy(hub, Deployed::Now).await;
        go(hub, "sent", 3).await;
        go(hub, "packed", 3).await;
        worker.shutdown().await;
        let _worker = deploy(hub, Deployed::Afterwards).await;
        go(hub, "begun", 3).await;
        go(hub, "new", 3).await;
        check_end(hub, "sent", OLD).await;
        for id in ["packed", "begun", "new"] {
            check_end(hub, id, NEW).await;
        }
    })
    .await;
}

#[tokio::test]
async fn going_back_stops_what_took_the_new_path_until_the_new_code_is_back() {
    let place = Place::new();
    let hub = place.open().await;
    let worker = deploy(&hub, Deployed::Now).await;
    start(&hub, "x").await;
    go(&hub, "x", 1).await;
    go(&hub, "x", 2).await;
    worker.shutdown().await;
    hub.close().await.unwrap();

    let hub = place.open().await;
    let worker = deploy(&hub, Deployed::Before).await;
    hub.client().raise_event("x", "go", &()).await.unwrap();
    let client = hub.client();
    let status = status_when(&client, "x", |status| status.problem().is_some()).await;
    let problem = status.problem().unwrap();
    assert_eq!(problem.kind(), ProblemKind::Divergence);
    for part in ["send tracked", "\"send\"", "patches.rs:", "ctx.patched"] {
        assert!(
            problem.report().contains(part),
            "{part}: {}",
            problem.report()
        );
    }
    worker.shutdown().await;
    hub.close().await.unwrap();

    let hub = place.open().await;
    let _worker = deploy(&hub, Deployed::Now).await;
    check_end(&hub, "x", NEW).await;
}
