//! Groups of routes that are left out.

use std::time::Duration;

use durable_http::{Action, Actions};
use http::{Method, StatusCode};

use crate::world::{KEY, world_with};

const ROUTES: [(Method, &str, &str, Actions); 14] = [
    (Method::POST, "/orchestrators/echo", "1", Actions::START),
    (Method::GET, "/instances/w", "", Actions::STATUS),
    (Method::GET, "/instances/w/events", "", Actions::STATUS),
    (Method::GET, "/instances", "", Actions::LIST),
    (Method::GET, "/openapi.json", "", Actions::DESCRIBE),
    (
        Method::POST,
        "/instances/w/raiseEvent/Other",
        "1",
        Actions::RAISE,
    ),
    (Method::POST, "/instances/w/suspend", "", Actions::SUSPEND),
    (Method::POST, "/instances/w/resume", "", Actions::RESUME),
    (Method::POST, "/instances/w/rewind", "", Actions::REWIND),
    (Method::POST, "/instances/w/restart", "", Actions::RESTART),
    (Method::POST, "/instances/w/retry", "", Actions::RETRY),
    (
        Method::POST,
        "/instances/w/terminate",
        "",
        Actions::TERMINATE,
    ),
    (Method::DELETE, "/instances/w", "", Actions::PURGE),
    (
        Method::DELETE,
        "/instances?createdTimeFrom=2000-01-01",
        "",
        Actions::PURGE,
    ),
];

#[tokio::test]
async fn what_is_not_served_is_not_there_for_anybody() {
    for action in [
        Action::Start,
        Action::Status,
        Action::List,
        Action::Describe,
        Action::Raise,
        Action::Suspend,
        Action::Resume,
        Action::Rewind,
        Action::Restart,
        Action::Retry,
        Action::Terminate,
        Action::Purge,
    ] {
        let rules = |api: durable_http::HttpApiBuilder| {
            let api = api.admin_key(KEY).serve(action.into());
            api.max_event_stream_time(Duration::ZERO)
        };
        let world = world_with(rules).await;
        world.waiting("w").await;
        for (method, uri, body, needs) in ROUTES {
            // It is not told from a path that was never there.
            let reply = world.admin(method, uri, body).await;
            let served = needs == action.into();
            let not_there = reply.status == StatusCode::NOT_FOUND && reply.text.is_empty();
            let nothing_to_purge = uri.contains("createdTimeFrom");
            assert_eq!(not_there, !served || nothing_to_purge, "{action:?}: {uri}");
        }
    }
}
