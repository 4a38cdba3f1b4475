//! The call for speakers: what is told of a talk, what must not be, and a kill in the middle.

use std::process::Command;

use serde_json::json;

use crate::server::Server;

const PROGRAM: &str = env!("CARGO_BIN_EXE_call_for_speakers");
const TALK: &str = r#"{"title": "Notes on an engine", "description": "What it may do", "track": "Machines",
    "speaker": {"name": "Ada", "email": "ada@example.org", "bio": "Counts", "country": "UK"}}"#;

#[test]
fn speakers_get_to_know_what_is_decided() {
    let output = Command::new(env!("CARGO_BIN_EXE_call_for_speakers_client")).output();
    let output = output.expect("the program");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(told.matches("congratulations").count(), 1, "{told}");
    assert_eq!(told.matches("not this time").count(), 3, "{told}");
}

#[test]
fn a_talk_survives_a_kill_and_its_status_tells_no_more_than_it_must() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("hub");
    let args = ["--seed", "42", "--data", data.to_str().expect("UTF-8")];
    let mut first = Server::start(PROGRAM, &args);
    let submitted = first.post("/api/submit", TALK);
    assert_eq!(
        (submitted.status, submitted.header("retry-after")),
        (202, "1")
    );
    first.kill();

    let second = Server::start(PROGRAM, &args);
    let decided = second.until_200(submitted.header("location"));
    let expected =
        json!({"stage": "Approved", "message": "congratulations, your talk was selected"});
    assert_eq!(decided.body, expected);

    let id = submitted.header("location").replace("/api/status/", "");
    let raw = second.get(&format!("/api/rawcheckstatusresponse/{id}"));
    assert_eq!(raw.status, 202);
    // What one is not to publish: with it everything that was submitted can be wiped out.
    let purge = raw.body["purgeHistoryDeleteUri"].as_str().expect("a link");
    assert_eq!(second.send(&format!("DELETE {purge}"), "", "").status, 200);
    let gone = second.get(submitted.header("location"));
    assert_eq!(
        (gone.status, gone.keys()),
        (404, vec!["message".to_owned()])
    );
}

#[test]
fn what_is_no_talk_is_refused() {
    let server = Server::start(PROGRAM, &["--seed", "42"]);
    for (body, status) in [("{", 400), ("{}", 422), ("", 400)] {
        assert_eq!(server.post("/api/submit", body).status, status, "{body}");
    }
    assert_eq!(server.get("/api/status/nobody").status, 404);
    assert_eq!(server.get("/api/rawcheckstatusresponse/nobody").status, 404);
}
