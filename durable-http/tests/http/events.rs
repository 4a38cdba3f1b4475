//! Server-sent events: what a browser that watches an instance is told.

use std::time::Duration;

use durable_http::{Actions, ResponseBody};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::world::{KEY, World, world, world_with};

async fn open(world: &World, uri: &str) -> http::Response<ResponseBody> {
    let request = Request::get(uri).header("x-functions-key", KEY);
    let request = request.body(String::new()).expect("a request");
    let answer = world.api.clone().oneshot(request).await;
    answer.expect("never an error")
}

/// The next event: its lines without the data, and the data. `None` at the end.
async fn next(body: &mut ResponseBody) -> Option<(String, Value)> {
    let frame = tokio::time::timeout(Duration::from_secs(30), body.frame());
    let frame = frame.await.expect("soon")?.expect("never an error");
    let text = String::from_utf8(frame.into_data().expect("data").to_vec()).expect("UTF-8");
    let text = text.strip_suffix("\n\n").expect("a whole event");
    let (head, data) = text.split_once("data: ").expect("data");
    Some((head.to_owned(), serde_json::from_str(data).expect("JSON")))
}

#[tokio::test]
async fn news_is_told_until_the_end() {
    let world = world().await;
    world.waiting("w").await;
    let answer = open(&world, "/instances/w/events").await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(
        answer.headers()["content-type"],
        "text/event-stream; charset=utf-8"
    );
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let mut body = answer.into_body();
    let (head, status) = next(&mut body).await.expect("how it is");
    assert_eq!(head, "event: status\n");
    assert_eq!(
        (&status["runtimeStatus"], &status["customStatus"]),
        (&json!("Running"), &json!("waiting"))
    );
    world.client.suspend("w", "a while").await.expect("a hub");
    let (_, status) = next(&mut body).await.expect("news");
    assert_eq!(status["runtimeStatus"], "Suspended");
    world.client.resume("w").await.expect("a hub");
    let (_, status) = next(&mut body).await.expect("news");
    assert_eq!(status["runtimeStatus"], "Running");
    world
        .client
        .raise_event("w", "Go", "done")
        .await
        .expect("a hub");
    let (head, status) = next(&mut body).await.expect("the end");
    assert_eq!(head, "event: status\nid: end\n");
    assert_eq!(status["output"], "done");
    assert_eq!(next(&mut body).await, None);

    // A browser comes again by itself, once.
    let headers = [("x-functions-key", KEY), ("last-event-id", "end")];
    let again = world
        .send(Method::GET, "/instances/w/events", &headers, "")
        .await;
    assert_eq!(
        (again.status, again.text.as_str()),
        (StatusCode::NO_CONTENT, "")
    );
    let whole = world.admin(Method::GET, "/instances/w/events", "").await;
    assert_eq!(
        (whole.status, whole.text.matches("data: ").count()),
        (StatusCode::OK, 1)
    );
}

#[tokio::test]
async fn an_event_is_one_line_whatever_is_in_it_and_shows_what_may_be_seen() {
    let world = world().await;
    world.ended("e", "[\n1,\r\n2]").await;
    let reply = world.admin(Method::GET, "/instances/e/events", "").await;
    let data: Vec<_> = reply
        .text
        .lines()
        .filter(|line| line.starts_with("data: "))
        .collect();
    assert_eq!((data.len(), reply.text.lines().count()), (1, 4));
    let status: Value = serde_json::from_str(&data[0][6..]).expect("JSON");
    assert_eq!(status["input"], json!([1, 2]));
    let missing = world
        .admin(Method::GET, "/instances/nobody/events", "")
        .await;
    assert_eq!(
        (missing.status, missing.text.as_str()),
        (StatusCode::NOT_FOUND, "")
    );

    let world = world_with(|api| api.allow_anonymous(Actions::STATUS)).await;
    world.ended("e", "\"secret\"").await;
    let reply = world.get("/instances/e/events").await;
    assert!(reply.text.contains("Completed") && !reply.text.contains("secret"));
}

#[tokio::test]
async fn streams_are_bounded_and_end_with_the_hub() {
    let world = world_with(|api| api.admin_key(KEY).max_event_streams(1)).await;
    world.waiting("w").await;
    let mut first = open(&world, "/instances/w/events").await.into_body();
    assert!(next(&mut first).await.is_some());
    let second = world.admin(Method::GET, "/instances/w/events", "").await;
    assert_eq!(second.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(second.headers.contains_key("retry-after"));
    drop(first);
    let mut third = open(&world, "/instances/w/events").await.into_body();
    assert!(next(&mut third).await.is_some());
    world.hub.close().await.expect("a hub");
    assert_eq!(next(&mut third).await, None);
}
