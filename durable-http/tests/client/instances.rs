//! What is done to instances, by their ids and by their links.

use std::collections::BTreeSet;
use std::future::IntoFuture;
use std::time::{Duration, SystemTime};

use durable_http::client::{ClientError, Outcome, RuntimeStatus, Status};
use futures_util::TryStreamExt;
use serde_json::{Value, json};

use crate::served::{KEY, anonymous, with_key};

#[tokio::test]
async fn an_instance_is_started_watched_steered_and_purged() {
    let served = with_key().await;
    let client = served.client_with(|client| client.key(KEY));
    let id = "a/ü &1?";
    let input = json!({"cents": 4200});
    let instance = client
        .start("wait")
        .id(id)
        .input(&input)
        .await
        .expect("a start");
    assert_eq!(instance.id(), id);
    let again = client.start("wait").id(id).await;
    assert!(
        matches!(again, Err(ClientError::Conflict { .. })),
        "{again:?}"
    );

    let running = instance.status().await.expect("a status");
    assert_eq!((running.name(), running.instance_id()), ("wait", id));
    assert!(!running.runtime_status().is_terminal());
    assert_eq!(running.input::<Value>().expect("JSON"), Some(input));
    assert!(running.created_at() <= running.last_updated_at());
    assert!(
        running
            .created_at()
            .is_some_and(|time| time > SystemTime::UNIX_EPOCH)
    );
    let lean = instance.status().show_input(false).await.expect("a status");
    assert_eq!((lean.input_json(), lean.history().is_none()), (None, true));

    instance.suspend("for a while").await.expect("suspended");
    let held = instance.status().await.expect("a status");
    assert_eq!(held.runtime_status(), &RuntimeStatus::Suspended);
    assert_eq!(
        held.output::<String>().expect("a text").as_deref(),
        Some("for a while")
    );
    instance.resume("").await.expect("resumed");
    let early = instance.purge().await;
    assert!(
        matches!(early, Err(ClientError::NotAsNeeded { .. })),
        "{early:?}"
    );
    let early = instance.rewind("").await;
    assert!(
        matches!(early, Err(ClientError::NotAsNeeded { .. })),
        "{early:?}"
    );

    instance.raise_event("go", &[1, 2]).await.expect("an event");
    let ended = instance.wait_for_completion().await.expect("an end");
    assert_eq!(ended.runtime_status(), &RuntimeStatus::Completed);
    assert_eq!(
        ended.output::<Vec<u32>>().expect("numbers"),
        Some(vec![1, 2])
    );
    let custom = ended.custom_status::<Vec<String>>().expect("texts");
    assert_eq!(custom, Some(vec!["waiting".to_owned()]));
    assert_eq!(
        instance.raise_event("go", &1).await,
        Err(ClientError::Ended)
    );
    assert_eq!(instance.terminate("").await, Err(ClientError::Ended));

    let told = instance
        .status()
        .show_history(true)
        .show_history_output(true);
    let told = told.await.expect("a history");
    let events = told.history().expect("a history");
    let first = events.first().expect("an event");
    assert_eq!(first.event_type(), "ExecutionStarted");
    assert!(first.timestamp().is_some() && first.json().contains("4200"));
    let last = events.last().expect("an event");
    assert!(last.json().contains("\"Result\":[1,2]"), "{last:?}");

    instance.purge().await.expect("purged");
    assert_eq!(instance.purge().await, Err(ClientError::NotFound));
    assert!(matches!(
        instance.status().await,
        Err(ClientError::NotFound)
    ));
    assert_eq!(instance.rewind("").await, Err(ClientError::NotFound));
    assert!(matches!(
        instance.wait_for_completion().await,
        Err(ClientError::NotFound)
    ));
}

#[tokio::test]
async fn what_a_service_waits_for_is_told_in_the_answer_to_the_start() {
    let served = anonymous().await;
    let client = served.client();
    let second = Duration::from_secs(1);
    // That its output looks like the status of something else does not matter.
    for input in [
        json!({"a": [1.5, null]}),
        Value::Null,
        json!({"instanceId": "x", "runtimeStatus": "Failed"}),
    ] {
        let outcome = client.start("echo").input(&input).wait(60 * second).await;
        let Ok(Outcome::Completed { output }) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(output, input.to_string());
    }
    let outcome = client
        .start("echo")
        .input_json("  [1]")
        .wait(60 * second)
        .await;
    assert!(matches!(outcome, Ok(Outcome::Completed { output }) if output == "[1]"));

    let outcome = client
        .start("fail")
        .id("f")
        .input("no")
        .wait(60 * second)
        .await;
    let Ok(Outcome::Ended(status)) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(status.runtime_status(), &RuntimeStatus::Failed);
    assert_eq!(
        status.output::<String>().expect("a text").as_deref(),
        Some("no")
    );

    let outcome = client
        .start("wait")
        .id("w")
        .wait(Duration::from_millis(1))
        .await;
    let Ok(Outcome::Running(instance)) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(instance.id(), "w");
    instance
        .terminate("enough & more")
        .await
        .expect("terminated");
    let ended = instance.wait_for_completion().await.expect("an end");
    assert_eq!(ended.runtime_status(), &RuntimeStatus::Terminated);
    assert_eq!(
        ended.output::<String>().expect("a text").as_deref(),
        Some("enough & more")
    );
}

#[tokio::test]
async fn what_has_failed_is_rewound() {
    let served = anonymous().await;
    let instance = served
        .client()
        .start("fail")
        .input("no")
        .await
        .expect("a start");
    instance.wait_for_completion().await.expect("an end");
    instance.rewind("try it again").await.expect("rewound");
    let ended = instance.wait_for_completion().await.expect("an end");
    assert_eq!(ended.runtime_status(), &RuntimeStatus::Failed);
    let told = instance
        .status()
        .show_history(true)
        .await
        .expect("a history");
    let events = told.history().expect("a history");
    let rewound =
        |event: &&durable_http::client::HistoryEvent| event.event_type() == "ExecutionRewound";
    assert_eq!(events.iter().filter(rewound).count(), 1, "{events:?}");
}

#[tokio::test]
async fn what_has_ended_is_started_once_more_under_its_id_or_another() {
    let served = anonymous().await;
    let client = served.client();
    let start = client.start("echo").id("e").input(&[7]);
    start.wait(Duration::from_secs(60)).await.expect("an end");
    let first = client.instance("e");
    first.retry().await.expect_err("it has ended");
    for same in [true, false] {
        let again = first.restart().same_id(same).await.expect("a restart");
        assert_eq!(again.id() == "e", same);
        let ended = again.wait_for_completion().await.expect("an end");
        assert_eq!(ended.output::<Vec<u32>>().expect("numbers"), Some(vec![7]));
    }
    let waits = client.start("wait").id("w").await.expect("a start");
    let error = waits.restart().same_id(true).await.expect_err("it runs");
    assert!(matches!(error, ClientError::Conflict { .. }), "{error:?}");
    waits.retry().await.expect("nothing stops it");
    let error = client.instance("none").restart().await.expect_err("none");
    assert_eq!(error, ClientError::NotFound);

    let again = client.start("wait").id("w2").await.expect("a start");
    let by_links = served.by_links("w2").await;
    assert_eq!(by_links.retry().await, Err(ClientError::NoLink));
    again.raise_event("Go", &1).await.expect("an event");
    again.wait_for_completion().await.expect("an end");
    // The answer to a link has links again.
    let third = by_links.restart().await;
    assert!(third.is_ok(), "{third:?}");
}

#[tokio::test]
async fn links_are_enough_for_one_instance() {
    let served = with_key().await;
    let admin = served.client_with(|client| client.key(KEY));
    admin.start("wait").id("w").await.expect("a start");
    admin.start("wait").id("other").await.expect("a start");
    let instance = served.by_links("w").await;
    assert_eq!(instance.id(), "w");
    assert!(!format!("{instance:?}").contains("dl1."));

    instance.suspend("a & b").await.expect("suspended");
    let status = instance.status().await.expect("a status");
    assert_eq!(
        status.output::<String>().expect("a text").as_deref(),
        Some("a & b")
    );
    instance.resume("").await.expect("resumed");
    let refused = instance.rewind("").await;
    assert!(
        matches!(refused, Err(ClientError::NotAsNeeded { .. })),
        "{refused:?}"
    );
    let waits = tokio::spawn(instance.wait_for_completion().into_future());
    while served.times("/instances/w/events") == 0 {
        tokio::task::yield_now().await;
    }
    instance.raise_event("Go", "x").await.expect("an event");
    let ended = waits.await.expect("no panic").expect("an end");
    assert_eq!(
        ended.output::<String>().expect("a text").as_deref(),
        Some("x")
    );
    instance.purge().await.expect("purged");

    // Without a key the same client can do nothing else.
    let other = served.client().instance("other");
    assert!(matches!(
        other.status().await,
        Err(ClientError::Unauthorized)
    ));
    assert_eq!(other.terminate("").await, Err(ClientError::Unauthorized));
}

#[tokio::test]
async fn a_list_is_read_page_by_page() {
    let served = anonymous().await;
    let client = served.client();
    for number in 0..7 {
        let start = client
            .start("echo")
            .id(format!("e-{number}"))
            .input(&number);
        start.wait(Duration::from_secs(60)).await.expect("an end");
    }
    client.start("wait").id("w").await.expect("a start");

    let ids = |list: Vec<Status>| -> Vec<String> {
        list.iter()
            .map(|status| status.instance_id().to_owned())
            .collect()
    };
    let all: Vec<Status> = client
        .list()
        .page_size(3)
        .instances()
        .into_stream()
        .try_collect()
        .await
        .expect("a list");
    let expected: Vec<_> = (0..7)
        .map(|number| format!("e-{number}"))
        .chain(["w".to_owned()])
        .collect();
    assert_eq!(ids(all), expected);
    assert!(served.times("/instances") >= 3);

    let page = client
        .list()
        .id_prefix("e-")
        .page_size(2)
        .page(None)
        .await
        .expect("a page");
    assert_eq!(page.instances.len(), 2);
    let next = page.next.expect("another");
    let second = client
        .list()
        .id_prefix("e-")
        .page_size(2)
        .page(Some(&next))
        .await;
    assert_eq!(ids(second.expect("a page").instances), ["e-2", "e-3"]);
    let forged = client.list().page(Some("forged")).await;
    assert!(
        matches!(forged, Err(ClientError::BadRequest { .. })),
        "{forged:?}"
    );
    let unsendable = client.list().page(Some("a\nb")).await;
    assert!(
        matches!(unsendable, Err(ClientError::Invalid { .. })),
        "{unsendable:?}"
    );

    let mut ended = client
        .list()
        .status(RuntimeStatus::Completed)
        .status(RuntimeStatus::Failed)
        .show_input(false)
        .instances();
    let mut found = BTreeSet::new();
    while let Some(status) = ended.next().await.expect("a list") {
        assert_eq!(status.input_json(), None);
        found.insert(status.instance_id().to_owned());
    }
    assert_eq!(found.len(), 7);
    assert!(ended.next().await.expect("still over").is_none());
    let later = client
        .list()
        .created_from(SystemTime::UNIX_EPOCH + Duration::from_secs(32_503_680_000));
    assert!(later.page(None).await.expect("a page").instances.is_empty());
}

#[tokio::test]
async fn many_are_purged_at_once_and_none_is_no_error() {
    let served = anonymous().await;
    let client = served.client();
    for input in [json!(1), json!(2)] {
        let outcome = client
            .start("echo")
            .input(&input)
            .wait(Duration::from_secs(60))
            .await;
        outcome.expect("an end");
    }
    client
        .start("fail")
        .input("no")
        .wait(Duration::from_secs(60))
        .await
        .expect("an end");
    client.start("wait").id("w").await.expect("a start");
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    assert_eq!(client.purge_all().created_to(long_ago).await, Ok(0));
    assert_eq!(
        client.purge_all().status(RuntimeStatus::Completed).await,
        Ok(2)
    );
    // Whoever misspells a status does not purge everything.
    let unknown = client
        .purge_all()
        .status(RuntimeStatus::Unknown("completed".to_owned()));
    assert!(matches!(unknown.await, Err(ClientError::Invalid { .. })));
    assert_eq!(client.purge_all().await, Ok(1));
    assert_eq!(client.purge_all().await, Ok(0));
    assert!(client.instance("w").status().await.is_ok());
}
