//! A program that serves, and what asks it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;

/// The program, on a port of its own.
pub(crate) struct Server {
    process: Child,
    log: BufReader<ChildStdout>,
    address: String,
}

impl Server {
    pub(crate) fn start(program: &str, args: &[&str]) -> Self {
        let mut process = Command::new(program)
            .args(["--listen", "127.0.0.1:0"])
            .args(args)
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
        let address = words.find_map(|word| {
            let logged = word.strip_prefix("address=");
            logged.or_else(|| word.strip_prefix("http://"))
        });
        server.address = address.map(str::to_owned).expect("an address");
        server
    }

    /// Where it listens, as in `127.0.0.1:8000`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Reads the log to the line that has `text` in it.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
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
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("a kill");
        self.process.wait().expect("an end");
    }

    pub(crate) fn signal(&self, signal: &str) {
        let id = self.process.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{signal}"), &id])
            .status();
        assert!(sent.expect("kill").success());
    }

    /// Waits for its end; with what it has printed since it was looked at last.
    pub(crate) fn exit(&mut self) -> (ExitStatus, String) {
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).expect("a log");
        (self.process.wait().expect("an end"), rest)
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.send(&format!("GET {path}"), "", "")
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Reply {
        self.send(&format!("POST {path}"), "", body)
    }

    /// The operation's end is logged a moment before it is recorded.
    pub(crate) fn until_200(&self, path: &str) -> Reply {
        for _ in 0..200 {
            let reply = self.get(path);
            if reply.status == 200 {
                return reply;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{path} does not end");
    }

    /// `METHOD path`, with these lines of headers.
    pub(crate) fn send(&self, request: &str, headers: &str, body: &str) -> Reply {
        let mut stream = self.open(request, headers, body);
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("an answer");
        Reply::parse(&reply)
    }

    /// Sends a request whose answer is read by whoever wants it.
    pub(crate) fn open(&self, request: &str, headers: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).expect("a connection");
        let len = body.len();
        let head = "host: x\r\nconnection: close\r\ncontent-type: application/json";
        let request =
            format!("{request} HTTP/1.1\r\n{head}\r\n{headers}content-length: {len}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).expect("sent");
        stream
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    head: String,
    pub(crate) text: String,
    /// Null if there is none, or none in JSON.
    pub(crate) body: Value,
}

impl Reply {
    fn parse(reply: &str) -> Self {
        let (head, text) = reply.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).expect("a status");
        Self {
            status: status.parse().expect("a number"),
            head: head.to_owned(),
            text: text.to_owned(),
            body: serde_json::from_str(text).unwrap_or_default(),
        }
    }

    pub(crate) fn find(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        Some(lines.find(|(own, _)| *own == name)?.1)
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.find(name)
            .unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        let body = self.body.as_object().expect("an object");
        body.keys().cloned().collect()
    }
}
