//! The server for trying clients, driven over its sockets.

use std::io::{BufRead, BufReader, Read};
use std::process::Command;

use serde_json::json;

use crate::server::{Reply, Server};

const PROGRAM: &str = env!("CARGO_BIN_EXE_http_host");
const BASE: &str = "/runtime/webhooks/durabletask";
const KEY: &str = "a key for this test alone";

#[test]
fn whatever_is_echoed_comes_back_as_it_was() {
    let server = Server::start(PROGRAM, &["--allow-anonymous"]);
    for json in [
        "{\"b\": 1,  \"a\": [1.50, 1e300, 123456789012345678901234567890]}",
        "\"{\\\"written\\\": \\\"twice\\\"}\"",
        "\"\"",
        "null",
        " 7 ",
    ] {
        let reply = post(&server, "/orchestrators/Echo?timeout=60", json);
        assert_eq!((reply.status, reply.text.as_str()), (200, json.trim()));
    }
    let nothing = post(&server, "/orchestrators/Echo?timeout=60", "");
    assert_eq!((nothing.status, nothing.text.as_str()), (200, "null"));
}

#[test]
fn an_instance_waits_for_its_event_and_is_purged() {
    let server = Server::start(PROGRAM, &["--allow-anonymous"]);
    let started = post(&server, "/orchestrators/WaitForGo/w-1", "");
    assert_eq!((started.status, &started.body["id"]), (202, &json!("w-1")));
    let status = format!("http://{}{BASE}/instances/w-1", server.address());
    assert_eq!(started.header("location"), status);
    assert_eq!(started.header("retry-after"), "10");
    assert_eq!(started.body["statusQueryGetUri"], status);

    let running = get(&server, "/instances/w-1?showInput=True");
    assert_eq!((running.status, running.header("retry-after")), (202, "5"));
    let raised = post(&server, "/instances/w-1/raiseEvent/go", "{\"n\": 1}");
    assert_eq!((raised.status, raised.text.as_str()), (202, ""));
    let ended = get(&server, "/instances/w-1?timeout=60");
    assert_eq!(
        (ended.status, &ended.body["output"]),
        (200, &json!({"n": 1}))
    );
    let again = post(&server, "/instances/w-1/raiseEvent/go", "1");
    assert_eq!(again.status, 410);

    let purged = server.send(&format!("DELETE {BASE}/instances/w-1"), "", "");
    assert_eq!(
        (purged.status, purged.body),
        (200, json!({"instancesDeleted": 1}))
    );
    assert_eq!(get(&server, "/instances/w-1").status, 404);
}

#[test]
fn ends_of_other_kinds_are_told() {
    let server = Server::start(PROGRAM, &["--allow-anonymous"]);
    let failed = post(&server, "/orchestrators/Boom?timeout=60", "1");
    assert_eq!(
        (
            failed.status,
            &failed.body["runtimeStatus"],
            &failed.body["output"]
        ),
        (200, &json!("Failed"), &json!("boom"))
    );
    post(&server, "/orchestrators/WaitForGo/w", "1");
    let terminated = post(&server, "/instances/w/terminate?reason=enough", "");
    assert_eq!(terminated.status, 202);
    let ended = get(&server, "/instances/w?timeout=60");
    assert_eq!(ended.body["runtimeStatus"], "Terminated");
    assert_eq!(ended.body["output"], "enough");
    assert_eq!(post(&server, "/orchestrators/echo", "1").status, 400);
}

#[test]
fn a_list_has_pages_of_the_size_that_was_given() {
    let server = Server::start(PROGRAM, &["--allow-anonymous", "--page-size", "2"]);
    for number in 0..5 {
        let uri = format!("/orchestrators/Echo/e-{number}?timeout=60");
        assert_eq!(post(&server, &uri, "0").status, 200);
    }
    let (mut ids, mut token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let header = format!("x-ms-continuation-token: {token}\r\n");
        let page = server.send(&format!("GET {BASE}/instances/"), &header, "");
        let instances = page.body.as_array().expect("an array");
        assert!(instances.len() <= 2, "{page:?}");
        ids.extend(instances.iter().map(|one| one["instanceId"].clone()));
        pages += 1;
        match page.find("x-ms-continuation-token") {
            Some(next) if !next.is_empty() => next.clone_into(&mut token),
            _ => break,
        }
    }
    assert_eq!(ids, ["e-0", "e-1", "e-2", "e-3", "e-4"]);
    assert!(pages >= 3, "{pages}");
}

#[test]
fn instances_go_on_after_a_kill() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("hub");
    let args = ["--data", data.to_str().expect("UTF-8"), "--key", KEY];
    let key = format!("x-functions-key: {KEY}\r\n");

    let mut first = Server::start(PROGRAM, &args);
    let start = format!("POST {BASE}/orchestrators/WaitForGo/w");
    assert_eq!(first.send(&start, "", "1").status, 401);
    let started = first.send(&start, &key, "1");
    assert_eq!(started.status, 202);
    assert!(!started.text.contains(KEY) && !started.header("location").contains(KEY));
    first.kill();

    let second = Server::start(PROGRAM, &args);
    let raise = format!("POST {BASE}/instances/w/raiseEvent/go");
    assert_eq!(second.send(&raise, &key, "[2]").status, 202);
    // A link outlives the process: but for the port, which is another.
    let location = started.header("location");
    let (_, path) = location.split_once(first.address()).expect("its address");
    let ended = second.get(&format!("{path}&timeout=60"));
    assert_eq!((ended.status, &ended.body["output"]), (200, &json!([2])));
}

#[test]
fn links_begin_with_the_public_url() {
    let url = "https://hub.example:8443/under";
    let server = Server::start(PROGRAM, &["--allow-anonymous", "--public-url", url]);
    let started = post(&server, "/orchestrators/WaitForGo/w", "1");
    let location = format!("{url}{BASE}/instances/w");
    assert_eq!(started.header("location"), location);
}

#[test]
fn who_listens_and_who_waits_does_not_hold_up_its_end() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::start(PROGRAM, &["--allow-anonymous"]);
        post(&server, "/orchestrators/WaitForGo/w", "1");
        let events = server.open(&format!("GET {BASE}/instances/w/events"), "", "");
        let mut events = BufReader::new(events);
        let mut line = String::new();
        while !line.starts_with("event: status") {
            line.clear();
            assert_ne!(events.read_line(&mut line).expect("a line"), 0);
        }
        let mut waits = server.open(&format!("GET {BASE}/instances/w?timeout=300"), "", "");
        server.signal(signal);
        let (status, printed) = server.exit();
        assert!(status.success(), "{status}");
        assert_eq!(printed, "", "one line and no more");
        let mut rest = String::new();
        events.read_to_string(&mut rest).expect("the end");
        waits.read_to_string(&mut rest).expect("an answer");
    }
}

#[test]
fn arguments_that_are_wrong_are_said_to_be() {
    for (args, message) in [
        (&[][..], "nobody could use it"),
        (&["--key", "short"], "at least 16 bytes"),
        (&["--key"], "missing argument for option '--key'"),
        (&["--listen", "here", "--allow-anonymous"], "\"here\""),
        (
            &["--allow-anonymous", "--page-size", "0"],
            "a page has 1 to 1000",
        ),
        (
            &["--allow-anonymous", "--page-size", "1001"],
            "a page has 1 to 1000",
        ),
        (
            &["--allow-anonymous", "--public-url", "ftp://x"],
            "the public URL",
        ),
        (&["--allow-anonymous=yes"], "unexpected argument"),
        (&["--what"], "invalid option '--what'"),
        (&["what"], "unexpected argument \"what\""),
    ] {
        let mut command = Command::new(PROGRAM);
        command.args(["--listen", "127.0.0.1:0"]).args(args);
        let output = command.output().expect("the program");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(message), "{args:?}: {said}");
        assert!(said.contains("usage: http_host"), "{args:?}: {said}");
        assert_eq!(output.stdout, b"", "{args:?}");
    }
    let help = Command::new(PROGRAM).arg("--help").output();
    let help = help.expect("the program");
    assert!(help.status.success() && help.stdout.starts_with(b"usage:"));
}

fn get(server: &Server, path: &str) -> Reply {
    server.get(&format!("{BASE}{path}"))
}

fn post(server: &Server, path: &str, body: &str) -> Reply {
    server.post(&format!("{BASE}{path}"), body)
}
