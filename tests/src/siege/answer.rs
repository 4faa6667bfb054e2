//! HTTP by hand: what is sent is exactly what a case says, and what is answered is looked at closely.

use super::frames::{self, Heard};
use anyhow::{Context as _, Result, bail, ensure};
use engine::code::Code;
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// No answer to bad input is longer.
const ANSWER_MAX: usize = 1024 * 1024;

/// What was answered over HTTP/1.
pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    body: Vec<u8>,
}

/// Sends these bytes over a connection of their own; `None`: it was closed without an answer.
pub(super) async fn exchange(address: SocketAddr, bytes: &[u8]) -> Result<Option<Answer>> {
    let mut stream = TcpStream::connect(address).await?;
    let (mut read, mut write) = stream.split();
    // Whoever is refused early does not take the rest.
    let send = async { drop(write.write_all(bytes).await) };
    let hear = async {
        let mut said = Vec::new();
        loop {
            if let Some(answer) = Answer::read(&said)? {
                return Ok(Some(answer));
            }
            ensure!(said.len() < ANSWER_MAX, "it does not stop to answer");
            match read.read_buf(&mut said).await {
                Ok(0) | Err(_) if said.is_empty() => return Ok(None),
                Ok(0) | Err(_) => bail!("half an answer: {}", String::from_utf8_lossy(&said)),
                Ok(_) => {}
            }
        }
    };
    tokio::pin!(hear);
    tokio::select! {
        biased;
        heard = &mut hear => heard,
        () = send => hear.await,
    }
}

/// Sends these bytes of HTTP/2 and hears what becomes of them: until the other side gives up the connection or a request,
/// or until it says nothing for so long.
pub(super) async fn talk(
    address: SocketAddr,
    bytes: &[u8],
    patience: Duration,
) -> Result<BTreeSet<Heard>> {
    let mut stream = TcpStream::connect(address).await?;
    let (mut read, mut write) = stream.split();
    let send = async { drop(write.write_all(bytes).await) };
    let hear = async {
        let (mut said, mut heard) = (Vec::new(), BTreeSet::new());
        loop {
            match timeout(patience, read.read_buf(&mut said)).await {
                Ok(Ok(1..)) => heard.extend(frames::take(&mut said)),
                Ok(Ok(0) | Err(_)) => heard.extend([Heard::Closed]),
                Err(_) => heard.extend([Heard::Open]),
            }
            if heard.iter().any(|what| !matches!(what, Heard::Answer(_))) {
                return heard;
            }
        }
    };
    tokio::pin!(hear);
    Ok(tokio::select! {
        biased;
        heard = &mut hear => heard,
        () = send => hear.await,
    })
}

impl Answer {
    /// The answer, once all of it is there.
    fn read(said: &[u8]) -> Result<Option<Self>> {
        let Some(end) = said.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = String::from_utf8(said[..end].to_vec())?.to_ascii_lowercase();
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        let mut answer = Self {
            status,
            head,
            body: said[end + 4..].to_vec(),
        };
        if status == 100 {
            return Self::read(&answer.body);
        }
        let length = answer.header("content-length").unwrap_or("0").parse()?;
        if answer.body.len() < length {
            return Ok(None);
        }
        answer.body.truncate(length);
        Ok(Some(answer))
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    /// A documented refusal, of one of these statuses, for lack of room, or because a busy machine was too slow to send
    /// it. What is no HTTP is refused without a word.
    pub(super) fn check(&self, expects: &[u16], is_http: bool) -> Result<()> {
        let told = || format!("{}\n\n{}", self.head, String::from_utf8_lossy(&self.body));
        let later = matches!(self.status, 429 | 503);
        ensure!(
            later || self.status == 408 || expects.contains(&self.status),
            "{}, expected {expects:?}: {}",
            self.status,
            told()
        );
        ensure!(
            !later || self.header("retry-after").is_some(),
            "no Retry-After: {}",
            told()
        );
        if !is_http && self.body.is_empty() || self.status < 400 {
            return Ok(());
        }
        let media = self.header("content-type");
        ensure!(
            media == Some("application/problem+json"),
            "no problem: {}",
            told()
        );
        let problem: Value = serde_json::from_slice(&self.body)?;
        let code = problem["code"].as_str().context("no code")?;
        let known = Code::ALL.iter().any(|known| known.as_str() == code);
        ensure!(known, "the code {code} is not documented");
        ensure!(
            problem["request_id"].is_string(),
            "no request id: {}",
            told()
        );
        Ok(())
    }
}
