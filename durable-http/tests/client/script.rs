//! A server that says what it is told to, one answer to a connection.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The server; it ends with the test.
pub(crate) struct Script {
    pub(crate) url: String,
    answers: Arc<Mutex<Vec<String>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

/// Takes the request and never answers.
pub(crate) const SILENCE: &str = "silence";
/// Takes the request and closes the connection.
pub(crate) const HANG_UP: &str = "hang up";

impl Script {
    /// These answers, in this order, the last one again and again. `{url}` in one is where this server is.
    pub(crate) async fn of(answers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let answers: Vec<String> = answers
            .iter()
            .map(|text| text.replace("{url}", &url))
            .collect();
        let answers = Arc::new(Mutex::new(answers));
        let says = Arc::clone(&answers);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        tokio::spawn(async move {
            loop {
                let Ok((mut stream, _)) = listener.accept().await else {
                    return;
                };
                // A connection that was not used.
                let Some(request) = request(&mut stream).await else {
                    continue;
                };
                let answer = {
                    let mut seen = seen.lock().expect("unpoisoned");
                    let answers = says.lock().expect("unpoisoned");
                    let at = seen.len().min(answers.len() - 1);
                    seen.push(request);
                    answers[at].clone()
                };
                match answer.as_str() {
                    SILENCE => {
                        tokio::spawn(async move {
                            let _open = stream;
                            std::future::pending::<()>().await;
                        });
                    }
                    HANG_UP => {}
                    answer => drop(stream.write_all(answer.as_bytes()).await),
                }
            }
        });
        Self {
            url,
            answers,
            asked,
        }
    }

    /// Says this first instead: where it leads to was not known before.
    pub(crate) fn answer_first(&self, answer: &str) {
        answer.clone_into(&mut self.answers.lock().expect("unpoisoned")[0]);
    }

    /// All requests so far, as they came.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("unpoisoned").clone()
    }

    /// The first line of each, without the version.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |request: &String| {
            let line = request.lines().next().unwrap_or_default();
            line.trim_end_matches(" HTTP/1.1").to_owned()
        };
        self.asked().iter().map(line).collect()
    }
}

async fn request(stream: &mut TcpStream) -> Option<String> {
    let (mut text, mut piece) = (String::new(), [0; 4096]);
    loop {
        let read = stream
            .read(&mut piece)
            .await
            .ok()
            .filter(|read| *read > 0)?;
        text.push_str(&String::from_utf8_lossy(&piece[..read]));
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_length = name.eq_ignore_ascii_case("content-length");
            is_length.then(|| value.trim().parse::<usize>().expect("a length"))
        });
        if body.len() >= length.unwrap_or(0) {
            return Some(text);
        }
    }
}

/// An answer with a body, and lines of headers.
pub(crate) fn answer(status: &str, headers: &[&str], body: &str) -> String {
    let mut lines = headers.join("\r\n");
    if !lines.is_empty() {
        lines += "\r\n";
    }
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\n{lines}content-length: {length}\r\n\r\n{body}"
    )
}
