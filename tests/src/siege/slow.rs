//! Two thousand connections whose peers send a byte a second.

use super::PATIENCE;
use super::ground::Ground;
use super::honest;
use super::memory::Memory;
use crate::mirastack::{Mirastack, Setup};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout};

/// Connections; of ten, seven are on the port for people.
const CONNECTIONS: usize = 2_000;
/// What one of them may cost, in KiB.
const EACH_MAX: u64 = 40;
/// A machine that builds beside the test looks at its timers late.
const LATE: Duration = Duration::from_secs(10);

/// The beginning of HTTP/2 (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The beginning of HTTP/2, and the head of a frame of 16 KiB (RFC 9113, sections 3.4 and 4.1).
const FRAME: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x40\x00\x0a\x00\x00\x00\x00\x00";

/// A kind of slow peer: what it sends at once, what then byte for byte, and until when it is closed.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    first: &'static [u8],
    /// Again and again.
    then: &'static [u8],
    deadline: Duration,
}

const fn kind(name: &'static str, first: &'static [u8], then: &'static [u8], seconds: u64) -> Kind {
    Kind {
        name,
        first,
        then,
        deadline: Duration::from_secs(seconds),
    }
}

/// `docs/operations.md` has these deadlines.
pub(super) const HTTP: [Kind; 6] = [
    kind("http: headers", b"GET /livez HTTP/1.1\r\nhost: x\r\nx-slow: ", b"a", 10),
    kind(
        "http: a body",
        b"POST /api/v1/auth/token HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9000\r\n\r\n",
        b" ",
        5,
    ),
    kind(
        "http: a body of a delivery",
        b"POST /hooks/signed HTTP/1.1\r\nhost: x\r\nx-proof: 00\r\ncontent-length: 9000\r\n\r\n",
        b" ",
        5,
    ),
    kind("http: the beginning of HTTP/2", b"", PREFACE, 5),
    kind("http: a frame of HTTP/2", FRAME, &[0], 40),
    kind("http: a handshake of TLS", b"\x16\x03\x01\x10\x00\x01\x00\x0f\xfc", &[0], 10),
];
pub(super) const GRPC: [Kind; 3] = [
    kind("agents: the beginning of HTTP/2", b"", PREFACE, 10),
    kind("agents: a frame of HTTP/2", FRAME, &[0], 30),
    kind(
        "agents: a handshake of TLS",
        b"\x16\x03\x01\x10\x00\x01\x00\x0f\xfc",
        &[0],
        10,
    ),
];

/// Each of them is closed by its deadline, and nobody else notices. Panics where that is not so.
pub async fn slow(setup: Setup) {
    open_many_files();
    let mut server = Mirastack::start(setup).await.expect("it starts");
    let ground = Ground::lay(&server).await.expect("it is laid");
    let memory = Memory::of(server.process().pid());
    let honest = honest::begin(ground.api.clone());
    honest.warm().await;
    let idle = memory.resident().expect("it is alive");
    memory.forget_peak().expect("it is alive");
    let mut peers = JoinSet::new();
    for number in 0..CONNECTIONS {
        match number % 10 {
            0..7 => peers.spawn(drip(ground.http, HTTP[number % HTTP.len()])),
            _ => peers.spawn(drip(ground.grpc, GRPC[number % GRPC.len()])),
        };
    }
    let mut latest = BTreeMap::<&str, Duration>::new();
    while let Some(closed) = peers.join_next().await {
        let (kind, after) = closed.expect("every peer is closed in time");
        let after = after.max(latest.get(kind).copied().unwrap_or_default());
        latest.insert(kind, after);
    }
    let peak = memory.peak().expect("it is alive");
    let runs = honest.end().await;
    let more = peak.saturating_sub(idle);
    eprintln!(
        "closed after at most {latest:?}; {more} KiB more than idle ({idle}), {runs} honest runs"
    );
    assert!(
        more <= EACH_MAX * CONNECTIONS as u64,
        "{more} KiB more than when it is idle"
    );
}

/// Sends a byte a second until it is closed; answers after how long.
async fn drip(address: SocketAddr, kind: Kind) -> (&'static str, Duration) {
    let Ok(mut stream) = TcpStream::connect(address).await else {
        return (kind.name, Duration::ZERO);
    };
    let start = Instant::now();
    let closed = async {
        let mut then = kind.then.iter().cycle();
        let mut second = interval(Duration::from_secs(1));
        let mut said = [0; 1_024];
        if stream.write_all(kind.first).await.is_err() {
            return;
        }
        loop {
            tokio::select! {
                read = stream.read(&mut said) => match read {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                },
                _ = second.tick() => {
                    let next = then.next().expect("there is a byte to send");
                    if stream.write_all(&[*next]).await.is_err() {
                        return;
                    }
                }
            }
        }
    };
    let limit = kind.deadline + LATE;
    let in_time = timeout(limit.min(PATIENCE), closed).await;
    assert!(in_time.is_ok(), "{} is open after {limit:?}", kind.name);
    (kind.name, start.elapsed())
}

fn open_many_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, all).expect("what is allowed is allowed");
}
