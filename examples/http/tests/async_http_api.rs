//! The async HTTP API, killed in the middle of an operation and started again.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

const KEY: &str = "a key for this test alone";

#[test]
fn an_operation_survives_a_kill_and_ends_where_its_location_says() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("hub");

    let mut first = Server::start(&data);
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

    let mut second = Server::start(&data);
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

    let third = Server::start(&data);
    assert_eq!(third.get(&location).body, ended.body);
}

#[test]
fn ctrl_c_lets_operations_that_run_finish() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("hub");
    let mut server = Server::start(&data);
    let started = server.post("/api/start-operation", "{\"processing_time\": 1}");
    server.wait_for("operation begins");
    let interrupt = Command::new("kill")
        .args(["-INT", &server.process.id().to_string()])
        .status();
    assert!(interrupt.expect("kill").success());
    server.wait_for("draining");
    server.wait_for("operation ends");
    server.wait_for("stopped dropped=0");
    assert!(server.process.wait().expect("an end").success());
    let ended = Server::start(&data).get(started.header("location"));
    assert_eq!(ended.body["status"], "Completed");
}

#[test]
fn what_is_not_there_or_not_understood_is_said_in_json() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(&directory.path().join("hub"));
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
    let server = Server::start(&directory.path().join("hub"));
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

/// The program, on a port of its own.
struct Server {
    process: Child,
    log: BufReader<ChildStdout>,
    address: String,
}

impl Server {
    fn start(data: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_async_http_api"))
            .args(["--listen", "127.0.0.1:0", "--key", KEY, "--data"])
            .arg(data)
            .env("NO_COLOR", "1")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program");
        let log = BufReader::new(process.stdout.take().expect("its output"));
        let mut server = Self {
            process,
            log,
            address: String::new(),
        };
        let line = server.wait_for("listening");
        let mut words = line.split_whitespace();
        let address = words.find_map(|word| word.strip_prefix("address="));
        server.address = address.map(str::to_owned).expect("an address");
        server
    }

    /// Reads the log to the line that has `text` in it.
    fn wait_for(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.log.read_line(&mut line).expect("a log");
            assert_ne!(read, 0, "the log ended before `{text}`");
            if line.contains(text) {
                return line;
            }
        }
    }

    /// SIGKILL: nothing is flushed, no destructor runs.
    fn kill(&mut self) {
        self.process.kill().expect("a kill");
        self.process.wait().expect("an end");
    }

    fn get(&self, path: &str) -> Reply {
        self.send(&format!("GET {path} HTTP/1.1"), "")
    }

    fn post(&self, path: &str, body: &str) -> Reply {
        self.send(&format!("POST {path} HTTP/1.1"), body)
    }

    /// The operation's end is logged a moment before it is recorded.
    fn until_200(&self, path: &str) -> Reply {
        for _ in 0..200 {
            let reply = self.get(path);
            if reply.status == 200 {
                return reply;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{path} does not end");
    }

    fn send(&self, request: &str, body: &str) -> Reply {
        let mut stream = TcpStream::connect(&self.address).expect("a connection");
        let len = body.len();
        let head = "host: x\r\nconnection: close\r\ncontent-type: application/json";
        let request = format!("{request}\r\n{head}\r\ncontent-length: {len}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("an answer");
        Reply::parse(&reply)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: Value,
}

impl Reply {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).expect("a status");
        Self {
            status: status.parse().expect("a number"),
            head: head.to_owned(),
            body: serde_json::from_str(body).expect("JSON"),
        }
    }

    fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let found = lines.find(|(own, _)| *own == name);
        found.unwrap_or_else(|| panic!("no {name} in {self:?}")).1
    }

    fn keys(&self) -> Vec<String> {
        let body = self.body.as_object().expect("an object");
        body.keys().cloned().collect()
    }
}
