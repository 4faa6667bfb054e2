//! A server of a few routes whose every byte the test decides, and the program run against it.
//!
//! It is written on bare sockets because the interesting answers are those that no HTTP library
//! gives: none at all, half of one, and a stream that breaks off.

#![expect(
    dead_code,
    reason = "each test binary uses another part of this module"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};

use serde_json::{Value, json};

/// A run's id, and an approval's.
pub(crate) const RUN: &str = "0197c0de-1111-7abc-8def-0123456789ab";
/// An approval's id.
pub(crate) const APPROVAL: &str = "0197c0de-1111-7abc-8def-0123456789ab.3.1";

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// `METHOD /path?query`.
    pub(crate) line: String,
    /// Header lines, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: String,
}

impl Request {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// `METHOD /path` without the query.
    pub(crate) fn route(&self) -> &str {
        self.line.split('?').next().unwrap_or_default()
    }
}

/// What the server does with a request.
pub(crate) enum Reply {
    /// A whole answer.
    Json(u16, Value),
    /// A whole answer of another type, with more headers.
    Raw(u16, &'static str, String),
    /// The connection is closed without a byte.
    Drop,
    /// The beginning of an answer, then the connection is closed.
    Half,
    /// Server-sent events, then the connection is closed.
    Events(String),
    /// Server-sent events, then silence until the test ends.
    Silent(String),
}

/// The answer of a problem.
pub(crate) fn problem(status: u16, detail: &str) -> Reply {
    let body = json!({ "title": "x", "status": status, "detail": detail, "code": "some_code", "request_id": "req-1" });
    Reply::Raw(
        status,
        "content-type: application/problem+json\r\n",
        body.to_string(),
    )
}

/// One record as the event stream sends it.
pub(crate) fn record(n: u64, status: &str, events: &Value) -> String {
    let data = json!({ "n": n, "at": "2026-01-01T00:00:00Z", "summary": { "status": status }, "events": events });
    format!("event: record\nid: {n}\ndata: {data}\n\n")
}

/// The end of an event stream.
pub(crate) const ENDED: &str = "event: run.ended\ndata: {}\n\n";

/// The requests so far, and a bell for each.
type Seen = Arc<(Mutex<Vec<Request>>, Condvar)>;
/// Decides about the n-th request of its route, from 1.
type Handler = dyn Fn(&Request, usize) -> Reply + Send + Sync;

/// The server.
pub(crate) struct Server {
    /// Its address.
    pub(crate) url: String,
    seen: Seen,
}

impl Server {
    /// A server that answers with `handler`; tokens it gives itself.
    pub(crate) fn start(
        handler: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let seen = Seen::default();
        let (handler, log) = (Arc::new(handler), Arc::clone(&seen));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (handler, log) = (Arc::clone(&handler), Arc::clone(&log));
                std::thread::spawn(move || serve(stream, &*handler, &log));
            }
        });
        Self { url, seen }
    }

    /// All requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.0.lock().expect("no handler panicked").clone()
    }

    /// The requests of one route so far.
    pub(crate) fn of(&self, route: &str) -> Vec<Request> {
        self.requests()
            .into_iter()
            .filter(|r| r.route() == route)
            .collect()
    }

    /// Waits until a route was asked for.
    pub(crate) fn wait_for(&self, route: &str) {
        let (lock, bell) = &*self.seen;
        let limit = std::time::Duration::from_secs(20);
        let seen = lock.lock().expect("no handler panicked");
        let found = |seen: &mut Vec<Request>| !seen.iter().any(|r| r.route() == route);
        let (_seen, late) = bell
            .wait_timeout_while(seen, limit, found)
            .expect("no handler panicked");
        assert!(!late.timed_out(), "nobody asked for {route}");
    }
}

fn serve(stream: TcpStream, handler: &Handler, seen: &Seen) {
    let Some(request) = read(&stream) else { return };
    let nth = {
        let mut seen_now = seen.0.lock().expect("no handler panicked");
        seen_now.push(request.clone());
        seen_now
            .iter()
            .filter(|r| r.route() == request.route())
            .count()
    };
    seen.1.notify_all();
    let token = request.route() == "POST /api/v1/auth/token" && !request.body.contains("wrong");
    let reply = if token {
        Reply::Json(
            200,
            json!({ "token": "v4.local.canary-token", "expires_at": "2099-01-01T00:00:00Z" }),
        )
    } else {
        handler(&request, nth)
    };
    // A client that went away is no trouble of this server.
    let _ = write(stream, reply);
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let line = line.trim().trim_end_matches(" HTTP/1.1").to_owned();
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(':') else {
            break;
        };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let length = headers
        .iter()
        .find(|(n, _)| n == "content-length")
        .and_then(|(_, v)| v.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Request {
        line,
        headers,
        body: String::from_utf8(body).ok()?,
    })
}

fn write(mut stream: TcpStream, reply: Reply) -> std::io::Result<()> {
    let events = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    match reply {
        Reply::Json(status, body) => whole(
            &mut stream,
            status,
            "content-type: application/json\r\n",
            &body.to_string(),
        ),
        Reply::Raw(status, headers, body) => whole(&mut stream, status, headers, &body),
        Reply::Drop => Ok(()),
        Reply::Half => stream.write_all(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{",
        ),
        Reply::Events(text) => stream.write_all(format!("{events}{text}").as_bytes()),
        Reply::Silent(text) => {
            stream.write_all(format!("{events}{text}").as_bytes())?;
            // Ends when the client closes its side.
            stream.read(&mut [0; 1]).map(|_| ())
        }
    }
}

fn whole(stream: &mut TcpStream, status: u16, headers: &str, body: &str) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())
}

/// The program with an empty home, no environment and an API key for `server`.
pub(crate) fn miractl(server: &str, home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_miractl"));
    command
        .env_clear()
        .env("HOME", home)
        .env("MIRACTL_CONFIG", home.join("miractl"))
        .env("MIRACTL_SERVER", server)
        .env("MIRACTL_TOKEN", "v4.local.canary-token")
        .current_dir(home)
        .stdin(Stdio::null());
    command
}

/// What a command came to.
pub(crate) struct Done {
    /// Its exit code.
    pub(crate) code: i32,
    /// Its stdout.
    pub(crate) out: String,
    /// Its stderr.
    pub(crate) err: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("it was not killed"),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        }
    }
}

/// Runs `miractl` with `args` against `server`.
pub(crate) fn run(server: &Server, args: &[&str]) -> Done {
    let home = tempfile::tempdir().expect("a temporary folder");
    miractl(&server.url, home.path())
        .args(args)
        .output()
        .expect("it starts")
        .into()
}

/// Starts `miractl` and leaves it running.
pub(crate) fn spawn(server: &Server, home: &Path, args: &[&str]) -> Child {
    miractl(&server.url, home)
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts")
}

/// Runs `miractl` with `input` on stdin.
pub(crate) fn run_with(server: &Server, args: &[&str], input: &str) -> Done {
    let home = tempfile::tempdir().expect("a temporary folder");
    feed(miractl(&server.url, home.path()).args(args), input)
}

/// Runs a command with `input` on stdin.
pub(crate) fn feed(command: &mut Command, input: &str) -> Done {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    // A command that refuses its input may end before it is written.
    let _ = child
        .stdin
        .take()
        .expect("piped")
        .write_all(input.as_bytes());
    child.wait_with_output().expect("it ends").into()
}
