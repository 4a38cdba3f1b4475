//! Speakers of `call_for_speakers`: each submits a talk and waits until it is decided on, asking where the server says
//! to ask, and when.
//!
//! ```text
//! cargo build --release -p durable-http-examples --bins
//! cargo run --release -p durable-http-examples --bin call_for_speakers_client
//! cargo run --release -p durable-http-examples --bin call_for_speakers_client -- http://127.0.0.1:8000
//! ```
//!
//! Without the URL of a server it starts one, whose committee is known to like one of these talks.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::http::{Request, StatusCode};
use durable_http::client::send_until_complete;
use futures_util::future::try_join_all;
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T = (), E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

const TALKS: [(&str, &str); 4] = [
    ("Ada", "Notes on an engine"),
    ("Grace", "What a compiler knows"),
    ("Edsger", "On the cruelty of teaching"),
    ("Barbara", "Abstraction, and what it hides"),
];

fn main() -> Result {
    let url = std::env::args().nth(1);
    let server = url.is_none().then(Server::start).transpose()?;
    let own = server.as_ref().map(|server| server.url.clone());
    let url = url.or(own).unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let stages = runtime.block_on(try_join_all(
        TALKS.map(|(name, title)| submit(&url, name, title)),
    ))?;
    if server.is_some() {
        assert_eq!(stages, ["Approved", "Rejected", "Rejected", "Rejected"]);
    }
    Ok(())
}

/// Submits a talk; comes to how it ended.
async fn submit(url: &str, name: &str, title: &str) -> Result<String> {
    let talk = json!({
        "speaker": {"name": name, "email": "me@example.org", "bio": "Speaks", "country": "NL"},
        "title": title,
        "description": "As the title says",
        "track": "Foundations",
    });
    let request = Request::post(format!("{url}/api/submit"))
        .header("content-type", "application/json")
        .body(talk.to_string())?;
    // 202, then `Location` after `Retry-After`, again and again, until it is something else.
    let answer = send_until_complete(request)
        .timeout(Duration::from_secs(600))
        .await?;
    let news: Value = serde_json::from_slice(answer.body())?;
    println!("{name}, {title}: {}", news["message"]);
    if answer.status() != StatusCode::OK {
        return Err(format!("{title}: {}", answer.status()).into());
    }
    // What is published is what is needed: no id, no link, nothing of what was submitted.
    let keys: Vec<_> = news.as_object().into_iter().flatten().collect();
    assert_eq!(keys.len(), 2, "{news}");
    Ok(news["stage"].as_str().unwrap_or_default().to_owned())
}

/// The other program, on a port of its own. It ends with this.
struct Server {
    process: Child,
    url: String,
}

impl Server {
    fn start() -> Result<Self> {
        let program = std::env::current_exe()?.with_file_name("call_for_speakers");
        let mut process = Command::new(&program)
            .args(["--listen", "127.0.0.1:0", "--seed", "42"])
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{} is not built: {error}", program.display()))?;
        let output = process.stdout.take().ok_or("it has an output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let url = line.trim().strip_prefix("listening on ");
        let url = url.unwrap_or_default().to_owned();
        Ok(Self { process, url })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
