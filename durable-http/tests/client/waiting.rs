//! Waiting for the end of an instance.

use std::future::IntoFuture;
use std::time::Duration;

use durable_http::client::{Client, ClientError, Instance, RuntimeStatus};

use crate::script::{HANG_UP, Script, answer};
use crate::served::{Served, anonymous, without_events};

const RUNNING: &str = r#"{"instanceId": "w", "runtimeStatus": "Running"}"#;
const ENDED: &str = r#"{"instanceId": "w", "runtimeStatus": "Completed", "output": 7}"#;

/// An instance that waits for `Go`.
async fn waiting(served: &Served) -> Instance {
    let start = served.client().start("wait").id("w");
    start.await.expect("a start")
}

#[tokio::test]
async fn who_waits_listens_and_asks_once() {
    let served = anonymous().await;
    let instance = waiting(&served).await;
    let waits = tokio::spawn(instance.wait_for_completion().into_future());
    while served.times("/instances/w/events") == 0 {
        tokio::task::yield_now().await;
    }
    instance.raise_event("Go", &7).await.expect("an event");
    let ended = waits.await.expect("no panic").expect("an end");
    assert_eq!(ended.output::<u32>().expect("a number"), Some(7));
    assert_eq!(served.times("/instances/w"), 1);
    // What has ended is not listened to.
    instance.wait_for_completion().await.expect("an end");
    assert_eq!(served.times("/instances/w/events"), 1);
}

#[tokio::test]
async fn where_there_are_no_events_it_is_asked_again_and_again() {
    let served = without_events().await;
    let instance = waiting(&served).await;
    let wait = instance.wait_for_completion();
    let wait = wait.poll_interval(Duration::from_millis(1));
    let waits = tokio::spawn(wait.into_future());
    while served.times("/instances/w") < 5 {
        tokio::task::yield_now().await;
    }
    instance.raise_event("Go", &7).await.expect("an event");
    let ended = waits.await.expect("no panic").expect("an end");
    assert_eq!(ended.output::<u32>().expect("a number"), Some(7));
    assert_eq!(served.times("/instances/w/events"), 1);
}

#[tokio::test]
async fn who_does_not_want_to_listen_does_not() {
    let served = anonymous().await;
    let instance = waiting(&served).await;
    let wait = instance.wait_for_completion().listen(false);
    let wait = wait.poll_interval(Duration::from_millis(1));
    let wait = wait.timeout(Duration::from_millis(50));
    assert!(matches!(wait.await, Err(ClientError::NotEnded)));
    assert!(served.times("/instances/w") > 1);
    assert_eq!(served.times("/instances/w/events"), 0);
}

#[tokio::test]
async fn the_time_that_is_given_is_over_while_it_listens() {
    let served = anonymous().await;
    let instance = waiting(&served).await;
    let wait = instance
        .wait_for_completion()
        .timeout(Duration::from_millis(100));
    assert!(matches!(wait.await, Err(ClientError::NotEnded)));
    assert_eq!(served.times("/instances/w/events"), 1);
}

#[tokio::test]
async fn a_service_that_is_away_for_a_while_is_waited_for() {
    let running = answer("202 Accepted", &[], RUNNING);
    let cut_off = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 1000\r\n\r\n\
         event: status\ndata: {\"runtimeStatus\": \"Running\"}\n\n";
    let trouble = answer("502 Bad Gateway", &[], "<html>down</html>");
    let wrong = answer("200 OK", &[], "{\"runtimeStatus\": \"Running\"}");
    let ended = answer("200 OK", &[], ENDED);
    for (script, asked) in [
        // A stream that is cut off: then it is looked, and listened again.
        (vec![&*running, cut_off, &running, HANG_UP, &ended], 5),
        (
            vec![
                &running, HANG_UP, HANG_UP, &trouble, &running, cut_off, &ended,
            ],
            7,
        ),
        // What is no stream is not listened to again.
        (vec![&running, &wrong, &running, &running, &ended], 5),
        (vec![&trouble, &trouble, &trouble, &ended], 4),
    ] {
        let script = Script::of(&script).await;
        let client = Client::new(&script.url).expect("a client");
        let wait = client.instance("w").wait_for_completion();
        let status = wait.poll_interval(Duration::from_millis(1)).await;
        let status = status.expect("an end");
        assert_eq!(status.output::<u32>().expect("a number"), Some(7));
        assert_eq!(script.lines().len(), asked, "{:?}", script.lines());
    }
    // Longer than a service that was never there,
    let away: Vec<_> = [&*running].into_iter().chain([&*trouble; 4]).collect();
    let script = Script::of(&[&away[..], &[&ended]].concat()).await;
    let client = Client::builder(&script.url).retries(0).build();
    let wait = client
        .expect("a client")
        .instance("w")
        .wait_for_completion();
    let status = wait.listen(false).poll_interval(Duration::ZERO).await;
    assert_eq!(status.expect("an end").output::<u32>().expect("7"), Some(7));
    // but not for ever.
    let script = Script::of(&[&running, &trouble]).await;
    let client = Client::new(&script.url).expect("a client");
    let wait = client.instance("w").wait_for_completion().listen(false);
    let wait = wait.poll_interval(Duration::ZERO);
    let status = wait.max_absence(Duration::from_millis(300)).await;
    assert!(
        matches!(status, Err(ClientError::Unexpected { status: 502, .. })),
        "{status:?}"
    );
    let script = Script::of(&[&trouble]).await;
    let client = Client::builder(&script.url).retries(2).build();
    let wait = client
        .expect("a client")
        .instance("w")
        .wait_for_completion();
    let status = wait.await;
    assert!(
        matches!(status, Err(ClientError::Unexpected { status: 502, .. })),
        "{status:?}"
    );
    assert_eq!(script.lines().len(), 3);
}

#[tokio::test]
async fn a_status_that_is_not_known_has_ended_if_the_code_says_so() {
    let unknown = r#"{"runtimeStatus": "Hibernating"}"#;
    let script = Script::of(&[
        &answer("202 Accepted", &[], unknown),
        &answer("404 Not Found", &[], ""),
        &answer("200 OK", &[], unknown),
    ])
    .await;
    let client = Client::new(&script.url).expect("a client");
    let status = client.instance("w").wait_for_completion().await;
    let expected = RuntimeStatus::Unknown("Hibernating".to_owned());
    assert_eq!(status.expect("an end").runtime_status(), &expected);
    assert_eq!(
        script.lines(),
        [
            "GET /instances/w",
            "GET /instances/w/events",
            "GET /instances/w"
        ]
    );
}

#[tokio::test]
async fn a_failure_that_is_told_by_the_code_is_an_end_too() {
    for code in ["500 Internal Server Error", "400 Bad Request", "200 OK"] {
        let failed = r#"{"runtimeStatus": "Failed", "output": "no"}"#;
        let script = Script::of(&[&answer(code, &[], failed)]).await;
        let client = Client::new(&script.url).expect("a client");
        let status = client
            .instance("w")
            .wait_for_completion()
            .await
            .expect("an end");
        assert_eq!(status.runtime_status(), &RuntimeStatus::Failed);
    }
}

/// One second, which a service may ask for.
#[tokio::test]
async fn a_service_says_how_often_it_wants_to_be_asked() {
    let script = Script::of(&[
        &answer("202 Accepted", &["retry-after: 1"], RUNNING),
        &answer("404 Not Found", &[], ""),
        &answer("200 OK", &[], ENDED),
    ])
    .await;
    let client = Client::new(&script.url).expect("a client");
    let begun = tokio::time::Instant::now();
    client
        .instance("w")
        .wait_for_completion()
        .await
        .expect("an end");
    assert!(begun.elapsed() >= Duration::from_secs(1));
}
