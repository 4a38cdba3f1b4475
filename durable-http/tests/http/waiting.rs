//! Waiting for an end: at the start, at the status, in a program's own route.

use std::time::Duration;

use durable_http::{Action, Actions, Verdict};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{KEY, Reply, look, world, world_with};

#[tokio::test]
async fn a_start_that_waits_answers_with_the_bare_output() {
    let world = world().await;
    for (query, input) in [
        ("timeout=20&pollingInterval=0.5", "{\"a\": [1, null]}"),
        ("TIMEOUT=20", "\"text\""),
        ("timeout=20.5&pollingInterval=x", "null"),
        ("timeout=20&pollingInterval=-1", "7"),
    ] {
        let uri = format!("/orchestrators/echo?{query}");
        let reply = world.admin(Method::POST, &uri, input).await;
        assert_eq!(reply.status, StatusCode::OK, "{query}");
        let input: Value = serde_json::from_str(input).unwrap();
        assert_eq!(reply.json(), input, "{query}");
        assert!(!reply.headers.contains_key("location"));
    }
}

#[tokio::test]
async fn a_start_that_waits_answers_with_the_status_of_what_ends_otherwise() {
    let world = world().await;
    let uri = "/orchestrators/fail/f?timeout=20";
    let reply = world.admin(Method::POST, uri, "\"no\"").await;
    assert_eq!(reply.status, StatusCode::OK);
    let body = reply.json();
    assert_eq!(body["runtimeStatus"], "Failed");
    assert_eq!(
        (&body["input"], &body["output"]),
        (&json!("no"), &json!("no"))
    );
    let uri = "/orchestrators/fail?timeout=20&returnInternalServerErrorOnFailure=true";
    let reply = world.admin(Method::POST, uri, "\"no\"").await;
    assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn a_start_that_waits_in_vain_answers_202() {
    let world = world_with(|api| api.admin_key(KEY).max_wait_time(Duration::from_millis(5))).await;
    for query in [
        "timeout=0.01&pollingInterval=0.01",
        // No longer than is allowed.
        "timeout=100000000",
        "timeout=1e300",
        // As if it were not there.
        "timeout=0",
        "timeout=-5",
        "timeout=NaN",
        "timeout=soon&pollingInterval=1",
        "pollingInterval=1",
    ] {
        let uri = format!("/orchestrators/wait?{query}");
        let reply = world.admin(Method::POST, &uri, "").await;
        assert_eq!(reply.status, StatusCode::ACCEPTED, "{query}");
        assert_eq!(reply.header("retry-after"), "10");
        assert!(reply.json()["id"].is_string());
    }
}

#[tokio::test]
async fn whoever_looks_less_often_than_it_waits_is_refused() {
    let world = world().await;
    let uri = "/orchestrators/echo/x?timeout=1&pollingInterval=2";
    let reply = world.admin(Method::POST, uri, "").await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert!(
        world.client.status("x").await.unwrap().is_none(),
        "nothing was started"
    );
}

/// Who may start but not see the output is told where to look, and no more.
#[tokio::test]
async fn the_output_is_for_whoever_may_see_it() {
    for (more, status) in [
        (Actions::NONE, StatusCode::ACCEPTED),
        (Actions::OUTPUT, StatusCode::OK),
    ] {
        let world = world_with(|api| api.allow_anonymous(Actions::START | more)).await;
        let reply = world
            .post("/orchestrators/echo?timeout=20", "\"secret\"")
            .await;
        assert_eq!(reply.status, status);
        assert_eq!(reply.text.contains("secret"), more != Actions::NONE);
    }
    let hook = |api: durable_http::HttpApiBuilder| {
        api.authorize(|access: durable_http::Access| async move {
            if access.action() == Action::Input {
                Verdict::Forbidden
            } else {
                Verdict::Allow
            }
        })
    };
    let world = world_with(hook).await;
    let reply = world.post("/orchestrators/fail?timeout=20", "\"no\"").await;
    let body = reply.json();
    assert_eq!(
        (&body["input"], &body["output"]),
        (&Value::Null, &json!("no"))
    );
}

#[tokio::test]
async fn a_status_waits_for_the_end() {
    let world = world().await;
    world.waiting("w").await;
    let none = world
        .admin(Method::GET, "/instances/w?timeout=0.01", "")
        .await;
    assert_eq!(none.status, StatusCode::ACCEPTED);
    let waits = world.admin(Method::GET, "/instances/w?timeout=20", "");
    let raises = world.client.raise_event("w", "Go", "done");
    let (reply, sent) = tokio::join!(waits, raises);
    sent.unwrap();
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.json()["output"], "done");
    let missing = world
        .admin(Method::GET, "/instances/nobody?timeout=20", "")
        .await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn who_waits_when_the_hub_is_closed_is_answered_at_once() {
    let world = world().await;
    world.waiting("w").await;
    let waits = world.admin(Method::GET, "/instances/w?timeout=300", "");
    let starts = world.admin(Method::POST, "/orchestrators/wait/x?timeout=300", "");
    let closes = async {
        while world.client.status("x").await.unwrap().is_none() {
            tokio::task::yield_now().await;
        }
        world.hub.clone().close().await.unwrap();
    };
    let (status, start, ()) = tokio::join!(waits, starts, closes);
    for reply in [status, start] {
        let looks_again = [StatusCode::ACCEPTED, StatusCode::SERVICE_UNAVAILABLE];
        assert!(looks_again.contains(&reply.status), "{reply:?}");
        assert!(reply.headers.contains_key("retry-after"));
    }
}

#[tokio::test]
async fn a_route_of_ones_own_waits_or_hands_out_links() {
    let world = world().await;
    world.ended("e", "[1]").await;
    world.waiting("w").await;
    let start = world.client.start_by_name("fail", "\"no\"").id("f");
    start.await.unwrap();
    let wait = async |id: &str, fails: bool| -> Reply {
        let answer = world.api.wait_for_completion_or_check_status_response(id);
        let answer = answer.timeout(Duration::from_millis(if id == "w" { 5 } else { 20_000 }));
        let answer = answer.retry_after(Duration::from_millis(2_500));
        look(answer.internal_server_error_on_failure(fails).await).await
    };
    let reply = wait("e", true).await;
    assert_eq!((reply.status, reply.json()), (StatusCode::OK, json!([1])));
    let reply = wait("f", false).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.json()["output"], "no");
    assert_eq!(wait("nobody", true).await.status, StatusCode::NOT_FOUND);
    assert_eq!(wait("", true).await.status, StatusCode::NOT_FOUND);
    for fails in [false, true] {
        let reply = wait("w", fails).await;
        assert_eq!(reply.status, StatusCode::ACCEPTED);
        assert_eq!(reply.header("retry-after"), "3");
        let location = reply.location();
        assert_eq!(
            location.contains("returnInternalServerErrorOnFailure=true"),
            fails
        );
        assert_eq!(reply.json()["statusQueryGetUri"], location);
        assert_eq!(world.get(&location).await.status, StatusCode::ACCEPTED);
    }
}

#[tokio::test]
async fn a_client_that_understands_only_status_codes_is_told_of_a_failure() {
    let world = world().await;
    let start = world.client.start_by_name("fail", "\"no\"").id("f");
    start.await.unwrap();
    world.client.wait_for_completion("f").await.unwrap();
    for (fails, status) in [
        (false, StatusCode::OK),
        (true, StatusCode::INTERNAL_SERVER_ERROR),
    ] {
        let answer = world.api.status_response("f");
        let reply = answer.internal_server_error_on_failure(fails).await;
        assert_eq!(reply.status(), status);
        let answer = world.api.check_status_response("f");
        let reply = answer
            .retry_after(Duration::from_secs(1))
            .internal_server_error_on_failure(fails)
            .await;
        let reply = look(reply).await;
        assert_eq!(reply.header("retry-after"), "1");
        let followed = world.admin(Method::GET, &reply.location(), "").await;
        assert_eq!(followed.status, status);
    }
}
