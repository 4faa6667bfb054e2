//! Two thousand connections whose peers send a byte a second.

use super::PATIENCE;
use super::ground::Ground;
use super::honest;
use super::memory::Memory;
use crate::mirastack::{Mirastack, Setup};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
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
/// Nobody is closed before so much of the time that they have, apart from those for whom there is no room.
const EARLY: f64 = 0.9;

/// The beginning of HTTP/2 (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The beginning of HTTP/2, and the head of a frame of 16 KiB (RFC 9113, sections 3.4 and 4.1).
const FRAME: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x40\x00\x0a\x00\x00\x00\x00\x00";

/// Where it stands, a token that lets in is sent.
const TOKEN: &[u8] = b"{token}";

/// A kind of slow peer: what it sends at once, what then byte for byte, and when it is closed.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    first: &'static [u8],
    /// Again and again; nothing, if it is empty.
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
pub(super) const HTTP: [Kind; 9] = [
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
    kind(
        "http: a document of somebody known",
        b"POST /api/v1/validate HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/yaml\r\ncontent-length: 9000\r\n\r\n",
        b" ",
        30,
    ),
    kind(
        "http: a run of somebody known",
        b"POST /api/v1/workflows/honest/runs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: 9000\r\n\r\n",
        b" ",
        30,
    ),
    kind(
        "http: half a run of somebody known",
        b"POST /api/v1/workflows/honest/runs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: 9000\r\n\r\n{",
        b"",
        10,
    ),
    kind("http: the beginning of HTTP/2", b"", PREFACE, 5),
    kind("http: a frame of HTTP/2", FRAME, &[0], 40),
    kind("http: a handshake of TLS", b"\x16\x03\x01\x10\x00\x01\x00\x0f\xfc", &[0], 5),
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

/// How long the peers of a kind were there, the shortest first.
struct Lived(Vec<Duration>);

impl Lived {
    /// Of half of them none was closed earlier.
    fn half(&self) -> Duration {
        self.0[self.0.len() / 2]
    }

    fn longest(&self) -> Duration {
        self.0[self.0.len() - 1]
    }
}

impl fmt::Debug for Lived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (all, half, longest) = (self.0.len(), self.half(), self.longest());
        write!(f, "{all}: {half:.1?}, at most {longest:.1?}")
    }
}

/// Each of them is closed at its deadline, and nobody else notices. Panics where that is not so.
pub async fn slow(setup: Setup) {
    open_many_files();
    let mut server = Mirastack::start(setup).await.expect("it starts");
    let ground = Ground::lay(&server).await.expect("it is laid");
    let memory = Memory::of(server.process().pid());
    let honest = honest::begin(ground.api.clone(), honest::SOON);
    honest.warm().await;
    let idle = memory.resident().expect("it is alive");
    memory.take_peak().expect("it is alive");
    let lived = all_drip(&ground).await;
    let peak = memory.take_peak().expect("it is alive");
    let done = honest.end().await;
    let more = peak.saturating_sub(idle);
    eprintln!("{lived:#?}; {more} KiB more than idle ({idle}), {done}");
    done.assert_rate();
    for kind in HTTP.iter().chain(&GRPC) {
        let early = kind.deadline.mul_f64(EARLY);
        let half = lived[kind.name].half();
        assert!(
            half >= early,
            "half of {} are closed after {half:?}",
            kind.name
        );
    }
    assert!(
        more <= EACH_MAX * CONNECTIONS as u64,
        "{more} KiB more than when it is idle"
    );
}

async fn all_drip(ground: &Ground) -> BTreeMap<&'static str, Lived> {
    let token: Arc<str> = ground.token.as_str().into();
    let mut peers = JoinSet::new();
    for number in 0..CONNECTIONS {
        let (address, kind) = match number % 10 {
            0..7 => (ground.http, HTTP[number % HTTP.len()]),
            _ => (ground.grpc, GRPC[number % GRPC.len()]),
        };
        peers.spawn(drip(address, kind, token.clone()));
    }
    let mut lived = BTreeMap::<_, Lived>::new();
    while let Some(closed) = peers.join_next().await {
        let (kind, after) = closed.expect("every peer is closed in time");
        let Lived(all) = lived.entry(kind).or_insert(Lived(Vec::new()));
        all.insert(all.partition_point(|other| *other < after), after);
    }
    lived
}

/// Sends a byte a second until it is closed; answers after how long.
async fn drip(address: SocketAddr, kind: Kind, token: Arc<str>) -> (&'static str, Duration) {
    let connected = TcpStream::connect(address).await;
    let mut stream = connected.expect("it listens, however many come");
    let start = Instant::now();
    let closed = async {
        let mut then = kind.then.iter().cycle();
        let mut second = interval(Duration::from_secs(1));
        let mut said = [0; 1_024];
        if stream.write_all(&kind.first(&token)).await.is_err() {
            return;
        }
        loop {
            tokio::select! {
                biased;
                read = stream.read(&mut said) => match read {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                },
                _ = second.tick() => {
                    let next = then.next().map(std::slice::from_ref).unwrap_or_default();
                    if stream.write_all(next).await.is_err() {
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

impl Kind {
    fn first(&self, token: &str) -> Vec<u8> {
        let mut windows = self.first.windows(TOKEN.len());
        match windows.position(|part| part == TOKEN) {
            None => self.first.to_vec(),
            Some(at) => {
                let (before, rest) = self.first.split_at(at);
                [before, token.as_bytes(), &rest[TOKEN.len()..]].concat()
            }
        }
    }
}

fn open_many_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, all).expect("what is allowed is allowed");
}
