//! Answers from a program's own routes.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{KEY, look, world, world_with};

#[tokio::test]
async fn a_status_response_is_202_until_the_end_then_200_and_404_for_nothing() {
    let world = world().await;
    world.waiting("w").await;
    let reply = look(world.api.status_response("w").await).await;
    assert_eq!(reply.status, StatusCode::ACCEPTED);
    assert_eq!(reply.header("retry-after"), "5");
    assert_eq!(reply.json()["input"], Value::Null);
    assert_eq!(reply.json()["customStatus"], "waiting");
    assert!(!reply.text.contains("dl1."), "the body has no links");

    let location = reply.location();
    world
        .client
        .raise_event("w", "go", &1)
        .await
        .expect("an event");
    world.client.wait_for_completion("w").await.expect("a hub");
    for reply in [
        world.get(&location).await,
        look(world.api.status_response("w").await).await,
    ] {
        assert_eq!(reply.status, StatusCode::OK);
        assert!(!reply.headers.contains_key("location"));
        assert_eq!(reply.json()["output"], 1);
    }
    for id in ["none", "", "@x", "..", "a\r\nb"] {
        let reply = look(world.api.status_response(id).await).await;
        assert_eq!(
            (reply.status, reply.text.as_str()),
            (StatusCode::NOT_FOUND, "")
        );
        let reply = look(world.api.check_status_response(id).await).await;
        assert_eq!(
            (reply.status, reply.text.as_str()),
            (StatusCode::NOT_FOUND, "")
        );
    }
}

#[tokio::test]
async fn a_status_response_leads_to_a_link_for_nothing_but_watching() {
    let world = world().await;
    world.waiting("w").await;
    let location = look(world.api.status_response("w").await).await.location();
    let (_, code) = location.split_once("code=").expect("a code");
    for uri in [
        "/instances/w/terminate",
        "/instances/w/raiseEvent/go",
        "/orchestrators/echo",
    ] {
        let reply = world.post(&format!("{uri}?code={code}"), "1").await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN);
    }
    assert_eq!(world.get(&location).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_status_response_says_what_its_route_wants_said() {
    let world = world().await;
    world.waiting("w").await;
    let response = world.api.status_response("w");
    let response = response
        .location("/api/orders/w")
        .retry_after(Duration::from_millis(1500))
        .body(|status| json!({"order": status.instance_id().as_str()}));
    let reply = look(response.await).await;
    assert_eq!(reply.location(), "/api/orders/w");
    assert_eq!(reply.header("retry-after"), "2");
    assert_eq!(reply.json(), json!({"order": "w"}));
}

#[tokio::test]
async fn whatever_a_location_is_made_of_it_stays_one_header() {
    let world = world().await;
    world.waiting("w").await;
    for (location, expected) in [
        ("/a\r\nset-cookie: x=1", "/a%0D%0Aset-cookie:%20x=1"),
        ("/a b\"<é>", "/a%20b%22%3C%C3%A9%3E"),
        ("https://api.test/x?y=%2F#z", "https://api.test/x?y=%2F#z"),
        ("/\u{0}\u{7f}", "/%00%7F"),
    ] {
        let reply = look(world.api.status_response("w").location(location).await).await;
        assert_eq!(reply.location(), expected);
        assert!(!reply.headers.contains_key("set-cookie"));
    }
}

#[tokio::test]
async fn a_check_status_response_hands_out_the_management_of_one_instance() {
    let world = world_with(|api| api.admin_key(KEY).public_url("https://api.test")).await;
    world.waiting("w").await;
    let reply = look(world.api.check_status_response("w").await).await;
    assert_eq!(reply.status, StatusCode::ACCEPTED);
    assert_eq!(reply.header("retry-after"), "10");
    assert_eq!(reply.json()["statusQueryGetUri"], reply.location());
    assert!(
        reply
            .location()
            .starts_with("https://api.test/runtime/webhooks/durabletask/instances/w?code=dl1.")
    );
    let terminate = reply.json()["terminatePostUri"]
        .as_str()
        .expect("a link")
        .replace("{text}", "x");
    let reply = world.send(Method::POST, &terminate, &[], "").await;
    assert_eq!(reply.status, StatusCode::ACCEPTED);
    assert!(world.status("w").await.runtime_status().is_terminal());
}

#[tokio::test]
async fn a_hub_that_is_closed_is_503_in_a_programs_own_routes_too() {
    let world = world().await;
    world.hub.clone().close().await.expect("a close");
    let reply = look(world.api.status_response("w").await).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
}
