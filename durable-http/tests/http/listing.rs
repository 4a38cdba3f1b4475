//! Lists of instances, and purging, as clients of Durable Functions expect them.

use durable_http::Actions;
use http::{Method, StatusCode};
use serde_json::Value;

use crate::world::{KEY, Reply, World, fail, world, world_with};

const TOKEN: &str = "x-ms-continuation-token";

async fn list(world: &World, query: &str, token: Option<&str>) -> Reply {
    let mut headers = vec![("x-functions-key", KEY)];
    headers.extend(token.map(|token| (TOKEN, token)));
    let uri = format!("/instances{query}");
    world.send(Method::GET, &uri, &headers, "").await
}

fn ids(reply: &Reply) -> Vec<String> {
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    let Value::Array(objects) = reply.json() else {
        panic!("no list: {reply:?}");
    };
    let ids = objects
        .iter()
        .map(|object| object["instanceId"].as_str().expect("an id").to_owned());
    ids.collect()
}

async fn populated() -> World {
    let world = world_with(|api| api.admin_key(KEY).page_size(2)).await;
    for id in ["a1", "a2", "b1"] {
        world.ended(id, "\"in and out\"").await;
    }
    let failed = world
        .client
        .start_orchestration::<fail>("no".to_owned())
        .id("f");
    failed
        .await
        .expect("a start")
        .wait_for_completion()
        .await
        .expect_err("it fails");
    world.waiting("w").await;
    world
}

#[tokio::test]
async fn a_list_is_an_array_of_status_objects() {
    let world = populated().await;
    let reply = list(&world, "?top=100", None).await;
    assert_eq!(ids(&reply), ["a1", "a2", "b1", "f", "w"]);
    assert!(!reply.headers.contains_key(TOKEN), "{reply:?}");
    for object in reply.json().as_array().expect("a list") {
        let id = object["instanceId"].as_str().expect("an id");
        let alone = world
            .admin(Method::GET, &format!("/instances/{id}"), "")
            .await;
        assert_eq!(*object, alone.json());
    }
    let without = list(&world, "?top=100&showInput=false", None).await.json();
    assert!(
        without[0]["input"].is_null() && without[0]["output"] == "in and out",
        "{without}"
    );
}

#[tokio::test]
async fn a_list_comes_page_by_page() {
    let world = populated().await;
    for (top, size) in [
        ("", 2),
        ("?top=0", 2),
        ("?top=x", 2),
        ("?top=1", 1),
        ("?top=3", 3),
        ("?top=99999", 5),
    ] {
        let (mut found, mut token) = (Vec::new(), None::<String>);
        loop {
            let reply = list(&world, top, token.as_deref()).await;
            let page = ids(&reply);
            assert!(page.len() <= size, "{top}: {page:?}");
            found.extend(page);
            token = reply
                .headers
                .get(TOKEN)
                .map(|token| token.to_str().expect("text").to_owned());
            if token.is_none() {
                break;
            }
        }
        assert_eq!(found, ["a1", "a2", "b1", "f", "w"], "{top}");
    }
}

#[tokio::test]
async fn a_list_has_what_the_query_asks_for() {
    let world = populated().await;
    for (query, expected) in [
        ("instanceIdPrefix=a", &["a1", "a2"][..]),
        ("INSTANCEIDPREFIX=zz", &[]),
        ("runtimeStatus=Failed", &["f"]),
        ("runtimeStatus=Failed,Running", &["f", "w"]),
        ("runtimeStatus=Failed&runtimeStatus=Running", &["f", "w"]),
        ("runtimeStatus=3", &["f"]),
        ("runtimeStatus=Exploded&instanceIdPrefix=a", &["a1", "a2"]),
        (
            "createdTimeFrom=2020-01-01T00:00:00Z&instanceIdPrefix=w",
            &["w"],
        ),
        ("createdTimeTo=2020-01-01T00:00:00Z", &[]),
        ("createdTimeFrom=2199-01-01", &[]),
        ("runtimeStatus=Running&instanceIdPrefix=a", &[]),
    ] {
        let reply = list(&world, &format!("?top=100&{query}"), None).await;
        assert_eq!(ids(&reply), *expected, "{query}");
    }
}

#[tokio::test]
async fn a_list_that_nobody_can_ask_for_is_refused() {
    let world = populated().await;
    let token = list(&world, "", None).await.header(TOKEN).to_owned();
    for (query, token) in [
        ("?createdTimeFrom=yesterday", None),
        ("?createdTimeTo=soon", None),
        ("", Some("forged")),
        ("", Some("\u{e9}")),
        ("?instanceIdPrefix=a", Some(&*token)),
    ] {
        let reply = list(&world, query, token).await;
        assert_eq!(
            reply.status,
            StatusCode::BAD_REQUEST,
            "{query} {token:?}: {reply:?}"
        );
        assert!(reply.json()["ExceptionMessage"].is_string(), "{reply:?}");
    }
    // Blank is as good as none.
    assert_eq!(ids(&list(&world, "", Some(" ")).await), ["a1", "a2"]);
}

#[tokio::test]
async fn a_list_shows_what_the_caller_may_see() {
    for (more, input, output) in [
        (Actions::NONE, false, false),
        (Actions::INPUT, true, false),
        (Actions::OUTPUT, false, true),
    ] {
        let world = world_with(|api| api.allow_anonymous(Actions::LIST | more)).await;
        world.ended("e", "\"in and out\"").await;
        let shown = world.get("/instances").await.json();
        assert_eq!(shown[0]["input"] == "in and out", input, "{shown}");
        assert_eq!(shown[0]["output"] == "in and out", output, "{shown}");
    }
}

#[tokio::test]
async fn one_is_purged_once_it_has_ended() {
    let world = populated().await;
    let purge = async |id: &str| {
        world
            .admin(Method::DELETE, &format!("/instances/{id}"), "")
            .await
    };
    let reply = purge("a1").await;
    assert_eq!(
        (reply.status, &*reply.text),
        (StatusCode::OK, "{\"instancesDeleted\":1}")
    );
    let reply = purge("a1").await;
    assert_eq!((reply.status, &*reply.text), (StatusCode::NOT_FOUND, ""));
    let reply = purge("w").await;
    assert_eq!(reply.status, StatusCode::PRECONDITION_FAILED);
    assert!(
        reply
            .json()
            .as_str()
            .is_some_and(|text| text.contains("has not ended")),
        "{reply:?}"
    );
    assert!(world.client.status("w").await.expect("a hub").is_some());

    // The link for it that every start is answered with.
    let start = world
        .admin(Method::POST, "/orchestrators/echo/linked", "1")
        .await;
    let ended = world.client.wait_for_completion("linked").await;
    ended.expect("a hub").expect("an instance");
    let link = start.json()["purgeHistoryDeleteUri"]
        .as_str()
        .expect("a link")
        .to_owned();
    let reply = world.send(Method::DELETE, &link, &[], "").await;
    assert_eq!(reply.status, StatusCode::OK);
}

#[tokio::test]
async fn many_are_purged_by_what_they_are() {
    let world = populated().await;
    let purge = async |query: &str| {
        world
            .admin(Method::DELETE, &format!("/instances{query}"), "")
            .await
    };
    for (query, message) in [
        ("", "createdTimeFrom"),
        ("?runtimeStatus=Completed", "createdTimeFrom"),
        // What is written wrong must not stand for everything.
        (
            "?createdTimeFrom=2020-01-01&runtimeStatus=completed",
            "runtimeStatus",
        ),
    ] {
        let reply = purge(query).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{query}");
        assert!(
            reply
                .json()
                .as_str()
                .is_some_and(|text| text.contains(message)),
            "{reply:?}"
        );
    }
    let reply = purge("?createdTimeFrom=never").await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        ids(&list(&world, "?top=100", None).await).len(),
        5,
        "nothing is lost by that"
    );

    for none in [
        "?createdTimeFrom=2199-01-01",
        "?createdTimeFrom=2020-01-01&instanceIdPrefix=c",
    ] {
        let reply = purge(none).await;
        assert_eq!((reply.status, &*reply.text), (StatusCode::NOT_FOUND, ""));
    }
    let reply = purge("?createdTimeFrom=2020-01-01&instanceIdPrefix=b").await;
    assert_eq!(&*reply.text, "{\"instancesDeleted\":1}");
    assert_eq!(
        ids(&list(&world, "?top=100", None).await),
        ["a1", "a2", "f", "w"],
        "only what was named is gone"
    );

    let reply = purge("?createdTimeFrom=2020-01-01&runtimeStatus=Completed").await;
    assert_eq!(
        (reply.status, &*reply.text),
        (StatusCode::OK, "{\"instancesDeleted\":2}")
    );
    let reply = purge("?createdTimeFrom=2020-01-01").await;
    assert_eq!(
        (reply.status, &*reply.text),
        (StatusCode::OK, "{\"instancesDeleted\":1}")
    );
    assert_eq!(
        ids(&list(&world, "?top=100", None).await),
        ["w"],
        "it has not ended"
    );
}

#[tokio::test]
async fn a_hub_that_is_closed_answers_503() {
    let world = world().await;
    world.hub.clone().close().await.expect("a close");
    for (method, uri) in [
        (Method::GET, "/instances"),
        (Method::DELETE, "/instances/a"),
        (Method::DELETE, "/instances?createdTimeFrom=2020-01-01"),
    ] {
        let reply = world.admin(method, uri, "").await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{uri}");
        assert_eq!(reply.header("retry-after"), "10");
    }
}
