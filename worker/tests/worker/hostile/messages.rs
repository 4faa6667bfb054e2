//! Messages in the JSON form from somebody who proves nothing, while an agent of elsewhere is registered: then they are
//! read.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use proto::connection::Connection;
use proto::path;
use proto::wire::RawCodec;
use tokio::process::Command;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Status};

use super::answers::alone;
use super::field::resident;
use crate::remote::{Process, engine, remote, until};
use crate::yard::{self, Yard, example};

/// By so much may the memory of the engine grow meanwhile, in bytes. That of the peers is in it: they send from here.
const GROWTH_MAX: usize = 256 << 20;

/// An engine where an agent has registered.
async fn with_visitor() -> (Yard, SocketAddr, Process) {
    let (yard, address) = engine(remote(90, &["visitor"])).await;
    let mut command = Command::new(example("visitor"));
    command.args(["--engine", &address.to_string()]);
    let visitor = Process::start(command);
    until(&yard, "visitor", 1).await;
    (yard, address, visitor)
}

async fn call(
    engine: SocketAddr,
    path: &'static str,
    name: Option<&'static str>,
    message: impl Into<Bytes>,
) -> Result<Bytes, Status> {
    let address = engine.to_string().parse().expect("an address");
    let connection = Connection::open(&address, Duration::from_secs(5)).await;
    let connection = connection.expect("it listens");
    let connection = connection.with_content_type("application/grpc+json");
    let mut request = Request::new(message.into());
    if let Some(name) = name {
        let name = name.parse().expect("visible");
        request.metadata_mut().insert("x-plugin-name", name);
    }
    let mut grpc = Grpc::with_origin(connection, Connection::origin());
    let path = PathAndQuery::from_static(path);
    let answer = grpc.unary(request, path, RawCodec).await?;
    Ok(answer.into_inner())
}

/// A message of so many bytes: `begin`, as many `parts` as fit, and `end`.
fn filled(bytes: usize, begin: &str, part: &str, end: &str) -> Bytes {
    let parts = part.repeat((bytes - begin.len()) / part.len());
    [begin, &parts, end].concat().into()
}

struct Case {
    name: &'static str,
    path: &'static str,
    message: fn() -> Bytes,
    code: Code,
}

const fn case(name: &'static str, path: &'static str, message: fn() -> Bytes, code: Code) -> Case {
    Case {
        name,
        path,
        message,
        code,
    }
}

const LARGEST: usize = 31 << 20;
const LARGE: usize = 4_000_000;

fn tenant(rest: &str) -> String {
    format!(r#"{{"tenant_id":"{}",{rest}"#, yard::tenant())
}

const CASES: [Case; 9] = [
    case(
        "small objects",
        path::CACHE_SET,
        || filled(LARGEST, r#"{"x":["#, r#"{"":0},"#, "0]}"),
        Code::InvalidArgument,
    ),
    case(
        "names",
        path::CACHE_SET,
        || {
            let names: String = (0..100_000).map(|n| format!(r#""{n}":0,"#)).collect();
            filled(LARGEST, &format!("{{{names}"), " ", r#""":0}"#)
        },
        Code::InvalidArgument,
    ),
    case(
        "31 MiB of objects",
        path::CACHE_SET,
        || filled(LARGEST, "", r#"{"":"#, ""),
        Code::InvalidArgument,
    ),
    case(
        "small objects where JSON belongs",
        path::CACHE_SET,
        || filled(LARGEST, r#"{"data_json":["#, r#"{"":0},"#, "0]}"),
        Code::PermissionDenied,
    ),
    case(
        "a value of 23 MiB in base64",
        path::CACHE_SET,
        || {
            let begin = tenant(r#""key":"k","value":""#);
            filled(LARGEST, &begin, "AAAA", r#""}"#)
        },
        Code::Ok,
    ),
    case(
        "parameters of small objects",
        path::CALL_PLUGIN,
        || {
            let begin =
                tenant(r#""caller_plugin":"visitor","target_plugin":"visitor","params_json":["#);
            filled(LARGE, &begin, r#"{"":0},"#, "0]}")
        },
        Code::PermissionDenied,
    ),
    case(
        "a result of lists",
        path::PUBLISH_RESULT,
        || {
            let begin = tenant(r#""result_json":["#);
            filled(LARGE, &begin, "[],", "0]}")
        },
        Code::PermissionDenied,
    ),
    case(
        "a name twice",
        path::CACHE_GET,
        || tenant(r#""key":"k","key":"l"}"#).into(),
        Code::InvalidArgument,
    ),
    case(
        "half an object",
        path::CACHE_GET,
        || tenant(r#""key":"#).into(),
        Code::InvalidArgument,
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_strangers_send_beside_an_agent_that_registered_takes_little_memory() {
    let name = "hostile::messages::whatever_strangers_send_beside_an_agent_that_registered_takes_little_memory";
    let test = Box::pin(async {
        let (_yard, address, _visitor) = with_visitor().await;
        let before = resident();
        for case in &CASES {
            let answer = call(address, case.path, None, (case.message)()).await;
            let code = answer.map_or_else(|e| e.code(), |_| Code::Ok);
            assert_eq!(code, case.code, "{}", case.name);
            let grown = peak().saturating_sub(before);
            assert!(grown <= GROWTH_MAX, "{}: {grown} bytes more", case.name);
        }
    });
    alone(name, test).await;
}

/// The most memory that this process ever had, in bytes.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    1024 * kib
        .and_then(|kib| kib.parse::<usize>().ok())
        .expect("a number")
}

#[tokio::test]
async fn who_says_that_it_is_nobody_who_registered_is_not_read() {
    let (_yard, address, _visitor) = with_visitor().await;
    for (name, code) in [
        (None, Code::InvalidArgument),
        (Some("visitor"), Code::InvalidArgument),
        (Some("nobody"), Code::PermissionDenied),
    ] {
        let refused = call(address, path::CACHE_SET, name, &b"{"[..]).await;
        assert_eq!(
            refused.expect_err("half a message").code(),
            code,
            "{name:?}"
        );
    }
}
