//! Removing what has ended.

use durable_core::{HubError, PurgeError, RuntimeStatus};

use super::{Place, Steps, chain, echo, names, on_both, soon, worker};

#[tokio::test]
async fn what_was_purged_is_unknown_and_its_id_is_free() {
    on_both(async |hub| {
        let _worker = worker(hub, &Steps::free().0).start().await.unwrap();
        let client = hub.client();
        let start = async |text: &str| {
            let started = client.start_orchestration::<echo>(text.to_owned());
            started.id("e").await.unwrap()
        };
        let first = start("first").await;
        assert_eq!(soon(first.wait_for_completion()).await.unwrap(), "first");
        let before = first.status().await.unwrap().unwrap().incarnation();
        first.purge().await.unwrap();
        assert!(client.status("e").await.unwrap().is_none());
        assert!(client.wait_for_completion("e").await.unwrap().is_none());
        let again = client.purge("e").await;
        assert!(matches!(again, Err(PurgeError::NotFound { id }) if id.as_str() == "e"));

        let second = start("second").await;
        assert_eq!(soon(second.wait_for_completion()).await.unwrap(), "second");
        let after = second.status().await.unwrap().unwrap().incarnation();
        assert_ne!(after, before);
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_purged_is_refused_with_the_reason() {
    on_both(async |hub| {
        let (steps, mut begun) = Steps::held();
        let _worker = worker(hub, &steps).start().await.unwrap();
        let client = hub.client();
        let instance = client.start_orchestration::<chain>(names(&["a"])).id("c");
        let instance = instance.await.unwrap();
        soon(begun.recv()).await.unwrap();
        let refused = client.purge("c").await;
        assert!(
            matches!(&refused, Err(PurgeError::NotEnded { id, status: RuntimeStatus::Running }) if id.as_str() == "c"),
            "{refused:?}"
        );
        steps.end(1);
        assert_eq!(soon(instance.wait_for_completion()).await.unwrap(), ["A"], "nothing was lost");

        let unknown = client.purge("nobody").await;
        assert!(matches!(unknown, Err(PurgeError::NotFound { .. })), "{unknown:?}");
        let invalid = client.purge("").await;
        assert!(matches!(invalid, Err(PurgeError::InvalidId(_))), "{invalid:?}");
    })
    .await;
}

/// An attempt of the purged one that still runs answers nobody.
#[tokio::test]
async fn what_is_left_of_a_purged_instance_does_not_reach_the_next_one() {
    on_both(async |hub| {
        let (steps, mut begun) = Steps::held();
        let _worker = worker(hub, &steps).start().await.unwrap();
        let client = hub.client();
        let start = async || {
            let started = client.start_orchestration::<chain>(names(&["a"]));
            started.id("c").await.unwrap()
        };
        start().await;
        assert_eq!(soon(begun.recv()).await.unwrap(), "a");
        client.terminate("c", "").await.unwrap();
        client.purge("c").await.unwrap();
        let second = start().await;
        // The first attempt is told to stop, says so, and returns.
        let mut said = [(); 2].map(|()| String::new());
        for said in &mut said {
            *said = soon(begun.recv()).await.unwrap();
        }
        said.sort();
        assert_eq!(said, ["a", "a cancelled"]);
        let status = second.status().await.unwrap().unwrap();
        assert_eq!(status.runtime_status(), RuntimeStatus::Running);
        steps.end(1);
        assert_eq!(soon(second.wait_for_completion()).await.unwrap(), ["A"]);
    })
    .await;
}

#[tokio::test]
async fn of_two_purges_of_one_instance_one_finds_it() {
    on_both(async |hub| {
        let _worker = worker(hub, &Steps::free().0).start().await.unwrap();
        let client = hub.client();
        for round in 0..20 {
            let id = format!("e{round}");
            let started = client.start_orchestration::<echo>(String::new());
            let instance = started.id(&id).await.unwrap();
            soon(instance.wait_for_completion()).await.unwrap();
            let both = tokio::join!(client.purge(&id), client.purge(&id));
            assert!(
                matches!(
                    both,
                    (Ok(()), Err(PurgeError::NotFound { .. }))
                        | (Err(PurgeError::NotFound { .. }), Ok(()))
                ),
                "{both:?}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_purged_stays_gone_over_a_restart() {
    let place = Place::new();
    let hub = place.open().await;
    let running = worker(&hub, &Steps::free().0).start().await.unwrap();
    let client = hub.client();
    for id in ["gone", "kept"] {
        let started = client.start_orchestration::<echo>(id.to_owned()).id(id);
        let instance = started.await.unwrap();
        soon(instance.wait_for_completion()).await.unwrap();
    }
    client.purge("gone").await.unwrap();
    // As a kill would: nothing is closed.
    drop((running, hub, client));

    let hub = place.open().await;
    let client = hub.client();
    assert!(client.status("gone").await.unwrap().is_none());
    let kept = client.status("kept").await.unwrap().unwrap();
    assert_eq!(kept.output::<String>().unwrap().as_deref(), Some("kept"));
    hub.close().await.unwrap();
    let closed = client.purge("kept").await;
    assert!(
        matches!(closed, Err(PurgeError::Hub(HubError::Closed))),
        "{closed:?}"
    );
}
