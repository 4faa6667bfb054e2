//! Deliveries that are forged or broken: refused before they are read, and nothing of them stays.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::duration::Duration;
use engine::id::Tenant;
use engine::key::{episode_key, event_key};
use gateway::{Config, Edge};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{World, config};

mod alertmanager;
mod bodies;
mod generic;
mod github;
mod requests;
mod signatures;

/// The most that a body may have here, in bytes.
const BODY_MAX: usize = 64 * 1024;

/// One delivery that nobody should take.
struct Forged {
    name: String,
    request: Vec<u8>,
    status: u16,
}

fn forged(name: impl Into<String>, request: Vec<u8>, status: u16) -> Forged {
    Forged {
        name: name.into(),
        request,
        status,
    }
}

/// A POST with these header lines and this body.
fn post(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = format!("content-length: {}\r\n", body.len());
    post_with(path, &format!("{headers}{length}"), body)
}

/// The same without a length.
fn post_with(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n{headers}\r\n"
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hmac(secret: &[u8], body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("any key");
    mac.update(body);
    hex(&mac.finalize().into_bytes())
}

async fn world() -> World {
    let edge = Edge {
        headers: Duration::from_millis(500),
        body_idle: Duration::from_millis(300),
        body_bytes: BODY_MAX,
        ..Edge::default()
    };
    World::with(Config { edge, ..config() }).await
}

/// What is answered to these bytes: the status and all of it.
async fn send(address: SocketAddr, request: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    // Who is refused early is not read to the end.
    let _ = stream.write_all(request).await;
    let mut said = Vec::new();
    let read = stream.read_to_end(&mut said);
    let read = timeout(std::time::Duration::from_secs(20), read).await;
    // A reset after the answer takes nothing back.
    let _ = read.expect("an end");
    let said = String::from_utf8_lossy(&said).into_owned();
    let status = said.get(9..12).and_then(|s| s.parse().ok());
    (status.unwrap_or_default(), said)
}

/// Each is refused as it should be, by an answer that says nothing of secrets.
async fn all_refused(world: &World, secret: &str, all: &[Forged]) {
    assert!(all.len() >= 60, "{} deliveries", all.len());
    let mut wrong = Vec::new();
    for forged in all {
        let (status, said) = send(world.address, &forged.request).await;
        let silent =
            !said.contains(secret) && (status != 401 || said.contains("not authenticated"));
        if status != forged.status || !silent {
            wrong.push(format!("{}: {said}, not {}", forged.name, forged.status));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// No run, no key, and of deliveries only the note that they were refused.
async fn nothing_stays(world: &World, hook: &str, keys: &[String]) {
    let runs = world.operator.get("/api/v1/runs").await;
    assert_eq!(runs.items(), [] as [Value; 0]);
    for key in keys {
        let now = world.backend.clock.now();
        let kept = world.backend.keys.get(&Tenant::default(), key, now).await;
        assert_eq!(kept.expect("an open store"), None, "{key}");
    }
    let path = format!("/api/v1/hooks/{hook}/deliveries?limit=1000");
    for row in world.engineer.get(&path).await.items() {
        assert_eq!(row["outcome"], "refused", "{row}");
        assert_eq!(row["runs"], json!([]), "{row}");
        assert!(row["headers"].get("authorization").is_none(), "{row}");
        let body = row["body"].as_str().unwrap_or_default();
        assert!(body.len() <= 3 * 4_096, "{} bytes", body.len());
    }
}
