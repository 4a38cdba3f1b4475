//! Ids that are used again over HTTP: starts that replace, and restarts.

use durable_core::IdReusePolicy;
use durable_http::{Action, Actions, Verdict};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{KEY, Reply, World, world, world_with};

async fn output(world: &World, id: &str) -> Value {
    let status = world.client.wait_for_completion(id).await;
    let status = status.expect("a hub").expect("an instance");
    serde_json::from_str(status.output_json().expect("an output")).expect("JSON")
}

/// As in Durable Functions: what has ended is replaced, and links to it lead nowhere.
#[tokio::test]
async fn a_start_replaces_what_has_ended_and_nothing_else() {
    let world = world().await;
    let start = async |id: &str| {
        let uri = format!("/orchestrators/echo/{id}");
        world.admin(Method::POST, &uri, "\"new\"").await
    };
    let ended = start("e").await;
    assert_eq!(output(&world, "e").await, "new");
    let old = ended.location();
    world.failed("f").await;
    for id in ["e", "f"] {
        assert_eq!(start(id).await.status, StatusCode::ACCEPTED, "{id}");
        assert_eq!(output(&world, id).await, "new", "{id}");
    }
    assert_eq!(world.get(&old).await.status, StatusCode::NOT_FOUND);
    let waiting = world.waiting("w").await;
    let refused = start("w").await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.json()["Message"].is_string());
    assert_eq!(world.status("w").await, waiting);
}

#[tokio::test]
async fn what_a_start_may_replace_can_be_said() {
    use IdReusePolicy::{Refuse, ReplaceAny, ReplaceTerminal, UseExisting};
    for (policy, ended, running) in [
        (Refuse, 409, 409),
        (UseExisting, 202, 202),
        (ReplaceTerminal, 202, 409),
        (ReplaceAny, 202, 202),
    ] {
        let world = world_with(|api| api.admin_key(KEY).id_reuse(policy)).await;
        let before = [world.ended("e", "1").await, world.waiting("w").await];
        for (before, expected) in before.into_iter().zip([ended, running]) {
            let id = before.instance_id().as_str();
            let uri = format!("/orchestrators/echo/{id}");
            let reply = world.admin(Method::POST, &uri, "2").await;
            assert_eq!(reply.status.as_u16(), expected, "{policy:?}: {id}");
            let is_new = expected == 202 && policy != UseExisting;
            let now = world.status(id).await;
            assert_eq!(
                now.incarnation() != before.incarnation(),
                is_new,
                "{policy:?}: {id}"
            );
        }
    }
}

/// What is replaced is purged.
#[tokio::test]
async fn who_may_not_purge_an_instance_does_not_replace_it() {
    let open = Actions::START | Actions::STATUS;
    let world = world_with(|api| api.allow_anonymous(open)).await;
    let before = world.ended("e", "1").await;
    let reply = world.post("/orchestrators/echo/e", "2").await;
    assert_eq!(reply.status, StatusCode::CONFLICT);
    assert_eq!(world.status("e").await, before);

    let hook = |access: durable_http::Access| async move {
        if access.action() == Action::Purge && access.instance() == Some("kept") {
            return Verdict::Forbidden;
        }
        Verdict::Allow
    };
    let world = world_with(|api| api.authorize(hook)).await;
    for (id, expected) in [
        ("kept", StatusCode::CONFLICT),
        ("free", StatusCode::ACCEPTED),
    ] {
        world.ended(id, "1").await;
        let reply = world.post(&format!("/orchestrators/echo/{id}"), "2").await;
        assert_eq!(reply.status, expected, "{id}");
    }
    let world = world_with(|api| api.admin_key(KEY).serve(Actions::START)).await;
    world.ended("e", "1").await;
    let reply = world
        .admin(Method::POST, "/orchestrators/echo/e", "2")
        .await;
    assert_eq!(reply.status, StatusCode::CONFLICT, "purging is not served");
}

#[tokio::test]
async fn a_restart_begins_another_instance_with_the_same_input() {
    let world = world().await;
    world.ended("e", "{\"a\": 1}").await;
    world.waiting("w").await;
    for (id, query) in [
        ("e", ""),
        ("e", "?restartWithNewInstanceId=True"),
        ("w", "?restartWithNewInstanceId=nonsense"),
    ] {
        let before = world.status(id).await;
        let uri = format!("/instances/{id}/restart{query}");
        let reply = world.admin(Method::POST, &uri, "").await;
        assert_eq!(reply.status, StatusCode::ACCEPTED, "{uri}");
        assert_eq!(reply.header("retry-after"), "10");
        let body = reply.json();
        let new = body["id"].as_str().expect("an id");
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        assert!(new.len() == 32 && new.bytes().all(is_hex), "{new}");
        assert_eq!(reply.location(), body["statusQueryGetUri"]);
        assert!(
            reply
                .location()
                .contains(&format!("/instances/{new}?code=dl1."))
        );
        let status = world.status(new).await;
        assert_eq!(
            (status.name(), status.input_json()),
            (before.name(), before.input_json())
        );
        assert_eq!(world.status(id).await, before);
    }
}

#[tokio::test]
async fn a_restart_with_the_same_id_takes_the_place_of_what_has_ended() {
    let world = world().await;
    let before = world.ended("e", "7").await;
    let uri = "/instances/e/restart?restartWithNewInstanceId=False";
    let reply = world.admin(Method::POST, uri, "").await;
    assert_eq!(
        (reply.status, &reply.json()["id"]),
        (StatusCode::ACCEPTED, &json!("e"))
    );
    assert_eq!(output(&world, "e").await, 7);
    assert_ne!(world.status("e").await.incarnation(), before.incarnation());

    let before = world.waiting("w").await;
    let uri = "/instances/w/restart?restartWithNewInstanceId=false";
    let reply = world.admin(Method::POST, uri, "").await;
    assert_eq!(reply.status, StatusCode::CONFLICT);
    assert!(
        reply.json()["Message"]
            .as_str()
            .expect("why")
            .contains("Running")
    );
    assert_eq!(world.status("w").await, before);
}

#[tokio::test]
async fn a_restart_waits_as_a_start_does() {
    let world = world().await;
    world.ended("e", "[1]").await;
    world.failed("f").await;
    let restart = async |id: &str, query: &str| -> Reply {
        let uri = format!("/instances/{id}/restart?{query}");
        world.admin(Method::POST, &uri, "").await
    };
    let same = "restartWithNewInstanceId=false&timeout=20&pollingInterval=1";
    for query in ["timeout=20", same] {
        let reply = restart("e", query).await;
        assert_eq!(
            (reply.status, reply.json()),
            (StatusCode::OK, json!([1])),
            "{query}"
        );
        let reply = restart("f", query).await;
        assert_eq!(reply.status, StatusCode::OK, "{query}");
        assert_eq!(reply.json()["runtimeStatus"], "Failed", "{query}");
    }
    let before = world.status("e").await;
    let reply = restart(
        "e",
        "restartWithNewInstanceId=false&timeout=1&pollingInterval=2",
    )
    .await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(world.status("e").await, before, "nothing was started");
}

/// The original answers 400, not 404.
#[tokio::test]
async fn an_instance_that_is_not_there_is_not_restarted() {
    let world = world().await;
    for id in ["nobody", "@e@1", "%20"] {
        for query in ["", "?restartWithNewInstanceId=false"] {
            let uri = format!("/instances/{id}/restart{query}");
            let reply = world.admin(Method::POST, &uri, "").await;
            assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{uri}");
            let text = "InstanceId does not match a valid orchestration instance.";
            assert_eq!(reply.json()["ExceptionMessage"], text, "{uri}");
        }
    }
    let total = world.hub.stats().await.expect("stats").total();
    assert_eq!(total, 0);
}

/// A link is for one incarnation, and what it begins is not its own.
#[tokio::test]
async fn a_link_restarts_its_instance_and_gives_no_more() {
    let world = world().await;
    let status = world.ended("e", "1").await;
    let code = world.forge(&json!([1, "e", status.incarnation(), 1 << 10, null]));
    let uri = format!("/instances/e/restart?restartWithNewInstanceId=false&timeout=20&code={code}");
    let reply = world.post(&uri, "").await;
    assert_eq!(reply.status, StatusCode::ACCEPTED, "{reply:?}");
    assert!(!reply.text.contains("code="), "{}", reply.text);
    let again = world.post(&uri, "").await;
    assert_eq!((again.status, &*again.text), (StatusCode::NOT_FOUND, ""));
}
