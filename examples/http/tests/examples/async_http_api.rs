//! The async HTTP API, killed in the middle of an operation and started again.

use std::path::Path;

use crate::server::Server;

const KEY: &str = "a key for this test alone";

#[test]
fn an_operation_survives_a_kill_and_ends_where_its_location_says() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("hub");

    let mut first = start(&data);
    let started = first.post("/api/start-operation", "{\"processing_time\": 2}");
    assert_eq!((started.status, started.header("retry-after")), (202, "5"));
    let location = started.header("location").to_owned();
    let id = started.body["operation_id"].clone();
    assert_eq!(
        location,
        format!("/api/operations/{}", id.as_str().expect("an id"))
    );
    assert_eq!(started.body["status_url"], location);
    first.wait_for("operation begins");
    let running = first.get(&location);
    assert_eq!(
        (running.status, running.header("location")),
        (202, location.as_str())
    );
    assert_eq!(running.header("retry-after"), "5");
    assert_eq!(running.keys(), ["last_updated", "operation_id", "status"]);
    assert_eq!(running.body["status"], "Running");
    first.kill();

    let mut second = start(&data);
    assert_eq!(second.get(&location).status, 202);
    second.wait_for("operation ends");
    let ended = second.until_200(&location);
    assert_eq!(ended.keys(), ["operation_id", "result", "status"]);
    assert_eq!(
        (&ended.body["operation_id"], &ended.body["status"]),
        (&id, &"Completed".into())
    );
    let result = &ended.body["result"];
    let id = id.as_str().expect("an id");
    assert_eq!(result["operation_id"], id);
    assert_eq!(result["status"], "completed");
    assert_eq!(
        result["result"],
        format!("Operation {id} completed successfully")
    );
    assert!(result["processed_at"].is_u64());
    second.kill();

    let third = start(&data);
    assert_eq!(third.get(&location).body, ended.body);
}

#[test]
fn ctrl_c_lets_operations_that_run_finish() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("hub");
    let mut server = start(&data);
    let started = server.post("/api/start-operation", "{\"processing_time\": 1}");
    server.wait_for("operation begins");
    server.signal("INT");
    server.wait_for("draining");
    server.wait_for("operation ends");
    server.wait_for("stopped dropped=0");
    assert!(server.exit().0.success());
    let ended = start(&data).get(started.header("location"));
    assert_eq!(ended.body["status"], "Completed");
}

#[test]
fn what_is_not_there_or_not_understood_is_said_in_json() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = start(&directory.path().join("hub"));
    let unknown = server.get("/api/operations/nobody");
    assert_eq!(unknown.status, 404);
    assert_eq!(unknown.body["detail"], "Operation nobody not found");
    let odd = server.get("/api/operations/a%0d%0ab%2F..");
    assert_eq!((odd.status, odd.keys()), (404, vec!["detail".to_owned()]));
    let malformed = server.post("/api/start-operation", "{");
    assert_eq!(
        (malformed.status, malformed.keys()),
        (400, vec!["detail".to_owned()])
    );
    let default = server.post("/api/start-operation", "{}");
    assert_eq!(default.status, 202);
}

#[test]
fn the_management_routes_want_the_key() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = start(&directory.path().join("hub"));
    let started = server.post("/api/start-operation", "{\"processing_time\": 60}");
    let id = started.body["operation_id"].as_str().expect("an id");
    let status = format!("/runtime/webhooks/durabletask/instances/{id}");
    assert_eq!(server.get(&status).status, 401);
    assert_eq!(
        server
            .get(&format!("{status}?code=a+key+for+another+test"))
            .status,
        401
    );
    let code = KEY.replace(' ', "+");
    let managed = server.get(&format!("{status}?code={code}"));
    assert_eq!(managed.status, 202);
    assert_eq!(managed.body["input"]["processing_time"], 60);
}

fn start(data: &Path) -> Server {
    let data = data.to_str().expect("UTF-8");
    let program = env!("CARGO_BIN_EXE_async_http_api");
    Server::start(program, &["--key", KEY, "--data", data])
}
