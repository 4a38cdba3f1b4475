//! Finding instances.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use durable_core::testing::TestHub;
use durable_core::{
    Client, HubError, InstanceQuery, OrchestrationContext, OrchestrationStatus, PageToken,
    QueryError, RuntimeStatus, StatusDetail, orchestrator,
};

use super::{Place, Steps, chain, echo, listen, names, nap, on_both, soon, worker};

#[orchestrator]
async fn fail(_ctx: OrchestrationContext, text: String) -> Result<(), String> {
    Err(text)
}

fn ids(instances: &[OrchestrationStatus]) -> Vec<&str> {
    let ids = instances.iter().map(|status| status.instance_id().as_str());
    ids.collect()
}

/// All pages, one after the other.
async fn all(client: &Client, query: InstanceQuery) -> Vec<OrchestrationStatus> {
    let mut page = client.query(query.clone()).await.unwrap();
    let mut instances = page.instances;
    while let Some(next) = page.next {
        page = client.query(query.clone().after(next)).await.unwrap();
        instances.append(&mut page.instances);
    }
    instances
}

async fn found(client: &Client, query: InstanceQuery) -> Vec<String> {
    let instances = all(client, query).await;
    ids(&instances).into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn instances_are_found_by_what_they_are_and_after_a_restart() {
    let place = Place::new();
    let hub = place.open().await;
    let running = worker(&hub, &Steps::free().0).register::<fail>();
    let running = running.start().await.unwrap();
    let client = hub.client();
    let one = client
        .start_orchestration::<echo>("text".to_owned())
        .id("e1");
    soon(one.await.unwrap().wait_for_completion())
        .await
        .unwrap();
    let one = client
        .start_orchestration::<fail>("no".to_owned())
        .id("f1")
        .tag("team", "a");
    soon(one.await.unwrap().wait_for_completion())
        .await
        .unwrap_err();
    let one = client
        .start_orchestration::<listen>("Go".to_owned())
        .id("l1")
        .tag("team", "b");
    one.await.unwrap();
    soon(running.shutdown()).await;
    client
        .start_by_name("nobody's", "1")
        .id("p1")
        .await
        .unwrap();
    let unregistered = worker(&hub, &Steps::free().0).start().await.unwrap();
    super::status_when(&client, "p1", |status| status.problem().is_some()).await;
    soon(unregistered.shutdown()).await;

    let start = client.status("e1").await.unwrap().unwrap().created_at();
    let query = InstanceQuery::new;
    let an_hour = Duration::from_secs(3600);
    let cases = [
        (query(), &["e1", "f1", "l1", "p1"][..]),
        (query().status(RuntimeStatus::Completed), &["e1"]),
        (
            query()
                .status(RuntimeStatus::Failed)
                .status(RuntimeStatus::Running),
            &["f1", "l1"],
        ),
        (query().status(RuntimeStatus::Terminated), &[]),
        (query().name("listen").name("echo"), &["e1", "l1"]),
        (query().name("Listen"), &[]),
        (query().id_prefix("f"), &["f1"]),
        (query().id_prefix(""), &["e1", "f1", "l1", "p1"]),
        (query().id_prefix("f11"), &[]),
        (query().tag("team", "b"), &["l1"]),
        (query().tag("team", "c"), &[]),
        (query().tag("team", "a").tag("none", "a"), &[]),
        (query().blocked(true), &["p1"]),
        (query().blocked(false), &["e1", "f1", "l1"]),
        (
            query().created(start - an_hour..=start + an_hour),
            &["e1", "f1", "l1", "p1"],
        ),
        (query().created(..start - an_hour), &[]),
        (query().created(start + an_hour..), &[]),
        (query().completed(start - an_hour..), &["e1", "f1"]),
        (query().completed(..start - an_hour), &[]),
        (
            query()
                .completed(..)
                .name("fail")
                .status(RuntimeStatus::Failed),
            &["f1"],
        ),
    ];
    for (query, expected) in &cases {
        assert_eq!(found(&client, query.clone()).await, *expected, "{query:?}");
        let one_by_one = query.clone().page_size(1);
        assert_eq!(found(&client, one_by_one).await, *expected, "{query:?}");
        let count = client.count(query.clone()).await.unwrap();
        assert_eq!(count, expected.len() as u64, "{query:?}");
    }
    soon(hub.close()).await.unwrap();
    let hub = place.open().await;
    let client = hub.client();
    for (query, expected) in cases {
        let count = client.count(query.clone()).await.unwrap();
        assert_eq!(count, expected.len() as u64, "{query:?}");
        assert_eq!(found(&client, query).await, *expected);
    }
    let first = client.query(query().page_size(1)).await.unwrap();
    let next = first.next.unwrap();
    let behind = client.count(query().after(next.clone())).await;
    assert_eq!(behind.unwrap(), 3);
    let of_another = client.count(query().blocked(true).after(next)).await;
    assert!(
        matches!(of_another, Err(QueryError::InvalidToken)),
        "{of_another:?}"
    );
}

#[tokio::test]
async fn what_is_listed_is_what_the_status_says() {
    on_both(async |hub| {
        let (steps, mut begun) = Steps::held();
        let _worker = worker(hub, &steps)
            .register::<fail>()
            .start()
            .await
            .unwrap();
        let client = hub.client();
        let text = "text".to_owned();
        let ended = client.start_orchestration::<echo>(text.clone()).id("e");
        soon(ended.await.unwrap().wait_for_completion())
            .await
            .unwrap();
        let failed = client.start_orchestration::<fail>(text.clone()).id("f");
        soon(failed.await.unwrap().wait_for_completion())
            .await
            .unwrap_err();
        let busy = client.start_orchestration::<chain>(names(&["a"])).id("c");
        busy.await.unwrap();
        soon(begun.recv()).await.unwrap();
        for payloads in [false, true] {
            let instances = all(&client, InstanceQuery::new().payloads(payloads)).await;
            assert_eq!(ids(&instances), ["c", "e", "f"]);
            for listed in instances {
                let alone = client.status(listed.instance_id()).await.unwrap().unwrap();
                assert_eq!(listed.input_json().is_some(), payloads);
                assert_eq!(
                    listed.failure().is_some(),
                    payloads && listed.name() == "fail"
                );
                if payloads {
                    assert_eq!(listed, alone);
                } else {
                    assert_eq!(listed.last_updated_at(), alone.last_updated_at());
                    assert_eq!(listed.runtime_status(), alone.runtime_status());
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_time_is_in_a_range_up_to_the_microsecond() {
    let hub = TestHub::builder().register::<nap>().start().await.unwrap();
    let client = hub.client();
    client.start_orchestration::<nap>(5).id("n").await.unwrap();
    let micro = Duration::from_micros(1);
    let at = client.status("n").await.unwrap().unwrap().created_at();
    let is_found = async |query: InstanceQuery| !found(&client, query).await.is_empty();
    let query = InstanceQuery::new;
    assert!(is_found(query().created(at..=at)).await);
    assert!(is_found(query().created(at..)).await);
    assert!(is_found(query().created(at..at + micro)).await);
    assert!(!is_found(query().created(at..at)).await);
    assert!(!is_found(query().created(at + micro..)).await);
    assert!(!is_found(query().created(..at)).await);
    assert!(is_found(query().created(SystemTime::UNIX_EPOCH..)).await);
    assert!(!is_found(query().completed(..)).await, "it has not ended");
}

#[tokio::test]
async fn a_page_that_nobody_can_ask_for_is_refused() {
    on_both(async |hub| {
        let client = hub.client();
        for n in 0..3 {
            client
                .start_by_name("nobody's", "1")
                .id(format!("i{n}"))
                .await
                .unwrap();
        }
        for size in [0, 1001, usize::MAX] {
            let refused = client.query(InstanceQuery::new().page_size(size)).await;
            assert!(
                matches!(refused, Err(QueryError::InvalidPageSize { max: 1000 })),
                "{refused:?}"
            );
        }
        let query = InstanceQuery::new().page_size(1);
        let token = client.query(query.clone()).await.unwrap().next.unwrap();
        let same = client
            .query(query.clone().after(token.clone()))
            .await
            .unwrap();
        assert_eq!(ids(&same.instances), ["i1"]);

        // Of another query, and changed in any way.
        let text = token.as_str();
        let mut forged: BTreeSet<String> = (0..text.len())
            .map(|at| {
                [
                    &text[..at],
                    if &text[at..=at] == "A" { "B" } else { "A" },
                    &text[at + 1..],
                ]
                .concat()
            })
            .collect();
        forged.extend((0..text.len()).map(|end| text[..end].to_owned()));
        forged.extend([format!("{text}A"), format!("{text}="), "ü".repeat(40)]);
        for forged in forged {
            let refused = client
                .query(query.clone().after(PageToken::from(forged)))
                .await;
            assert!(
                matches!(refused, Err(QueryError::InvalidToken)),
                "{refused:?}"
            );
        }
        let other = query
            .clone()
            .status(RuntimeStatus::Pending)
            .after(token.clone());
        let refused = client.query(other).await;
        assert!(
            matches!(refused, Err(QueryError::InvalidToken)),
            "{refused:?}"
        );
        // It is kept as text, and the size of a page may be another.
        let kept = PageToken::from(String::from(token));
        let rest = client
            .query(query.page_size(100).after(kept))
            .await
            .unwrap();
        assert_eq!(ids(&rest.instances), ["i1", "i2"]);
        assert!(rest.next.is_none());
    })
    .await;
}

/// While instances begin, end and are purged.
#[tokio::test]
async fn pages_lack_nothing_and_repeat_nothing() {
    on_both(async |hub| {
        let _worker = worker(hub, &Steps::free().0).start().await.unwrap();
        let client = hub.client();
        for n in 0..60 {
            client
                .start_orchestration::<listen>("Go".to_owned())
                .id(format!("l{n:02}"))
                .await
                .unwrap();
        }
        let churn = async {
            for n in 0_u32.. {
                let id = format!("l{:02}-{n}", n * 7 % 60);
                let one = client.start_orchestration::<echo>(id.clone()).id(id);
                let one = one.await.unwrap();
                one.wait_for_completion().await.unwrap();
                one.purge().await.unwrap();
            }
        };
        let look = async {
            for _ in 0..20 {
                let query = InstanceQuery::new().name("listen").page_size(7);
                let found = found(&client, query).await;
                let expected: Vec<_> = (0..60).map(|n| format!("l{n:02}")).collect();
                assert_eq!(found, expected);
            }
        };
        tokio::select! {
            () = churn => {}
            () = soon(look) => {}
        }
    })
    .await;
}

#[tokio::test]
async fn a_hub_that_is_closed_is_not_asked() {
    let place = Place::new();
    let hub = place.open().await;
    let client = hub.client();
    let asked = client.query(InstanceQuery::new()).await;
    assert!(asked.unwrap().instances.is_empty());
    let (closed, _) = tokio::join!(soon(hub.close()), client.query(InstanceQuery::new()));
    closed.unwrap();
    let asked = client.query(InstanceQuery::new()).await;
    assert!(
        matches!(asked, Err(QueryError::Hub(HubError::Closed))),
        "{asked:?}"
    );
    // Whoever read last has let go of the files.
    durable_core::TaskHub::open(place.0.path().join("orders.db"))
        .await
        .unwrap();
}

#[tokio::test]
async fn what_is_asked_for_is_purged_if_it_has_ended() {
    on_both(async |hub| {
        let _worker = worker(hub, &Steps::free().0).start().await.unwrap();
        let client = hub.client();
        for n in 0..25 {
            let one = client.start_orchestration::<echo>("x".to_owned());
            let one = one
                .id(format!("e{n:02}"))
                .tag("keep", if n < 20 { "no" } else { "yes" });
            soon(one.await.unwrap().wait_for_completion())
                .await
                .unwrap();
        }
        let waits = client.start_orchestration::<listen>("Go".to_owned());
        waits.id("waits").tag("keep", "no").await.unwrap();

        let query = InstanceQuery::new().tag("keep", "no").page_size(3);
        assert_eq!(client.purge_all(query.clone()).await.unwrap(), 20);
        assert_eq!(client.purge_all(query.clone()).await.unwrap(), 0);
        let left = found(&client, InstanceQuery::new()).await;
        assert_eq!(left, ["e20", "e21", "e22", "e23", "e24", "waits"]);
        let refused = client.purge_all(query.after(PageToken::from("?"))).await;
        assert!(
            matches!(refused, Err(QueryError::InvalidToken)),
            "{refused:?}"
        );
        assert_eq!(client.purge_all(InstanceQuery::new()).await.unwrap(), 5);
        assert_eq!(hub.stats().await.unwrap().total(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_status_shows_what_is_asked_for() {
    let place = Place::new();
    let hub = place.open().await;
    let (steps, mut begun) = Steps::free();
    let running = worker(&hub, &steps).register::<fail>();
    let running = running.start().await.unwrap();
    let client = hub.client();
    let start = client.start_orchestration::<fail>("no".to_owned()).id("f");
    soon(start.await.unwrap().wait_for_completion())
        .await
        .unwrap_err();
    let start = client.start_orchestration::<chain>(names(&["a"])).id("c");
    soon(start.await.unwrap().wait_for_completion())
        .await
        .unwrap();
    soon(begun.recv()).await.unwrap();
    soon(running.shutdown()).await;
    client.start_by_name("echo", "1").id("p").await.unwrap();

    let check = async |client: &Client| {
        for id in ["f", "c", "p"] {
            let whole = client.status(id).await.unwrap().unwrap();
            for bits in 0..8_u8 {
                let [input, output, progress] = [1, 2, 4].map(|bit| bits & bit != 0);
                let detail = StatusDetail::NONE.input(input).output(output);
                let asked = client.status_with(id, detail.progress(progress));
                let status = asked.await.unwrap().unwrap();
                assert_eq!(status.input_json(), whole.input_json().filter(|_| input));
                assert_eq!(status.output_json(), whole.output_json().filter(|_| output));
                assert_eq!(status.failure(), whole.failure().filter(|_| output));
                assert_eq!(status.runtime_status(), whole.runtime_status());
                assert_eq!(status.last_updated_at(), whole.last_updated_at());
                assert_eq!(
                    status == whole,
                    input && (output || id == "p"),
                    "{id} {bits}"
                );
            }
        }
        let nobody = client.status_with("nobody", StatusDetail::NONE).await;
        assert!(nobody.unwrap().is_none());
    };
    check(&client).await;
    soon(hub.close()).await.unwrap();
    let hub = place.open().await;
    check(&hub.client()).await;
    hub.close().await.unwrap();
}
