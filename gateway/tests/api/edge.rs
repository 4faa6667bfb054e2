//! Connections that do not behave.

use std::net::SocketAddr;

use engine::duration::Duration;
use gateway::{Config, Edge};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::support::{World, config};

fn quick() -> Config {
    Config {
        edge: Edge {
            first_byte: Duration::from_millis(150),
            headers: Duration::from_millis(150),
            body_idle: Duration::from_millis(150),
            idle: Duration::from_millis(300),
            body_bytes: 64 * 1024,
            ..Edge::default()
        },
        ..config()
    }
}

/// Sends something and reads until the server closes; what it said, and that it took less than 5 s.
async fn closed_after(address: SocketAddr, sent: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.write_all(sent).await.expect("it takes bytes");
    let mut said = Vec::new();
    let start = Instant::now();
    let read = timeout(
        std::time::Duration::from_secs(5),
        stream.read_to_end(&mut said),
    )
    .await;
    assert!(read.is_ok(), "still open after {:?}", start.elapsed());
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn whoever_says_nothing_or_stops_in_the_middle_is_cut_off() {
    let world = World::with(quick()).await;
    assert_eq!(closed_after(world.address, b"").await, "");
    assert_eq!(
        closed_after(world.address, b"PRI * HTTP/2.0\r\n").await,
        "",
        "half a preface"
    );
    closed_after(world.address, b"GET /livez HTTP/1.1\r\nhost: x\r\nx-slow: ").await;
    let idle = closed_after(world.address, b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(
        idle.starts_with("HTTP/1.1 200"),
        "an idle connection is closed after its answer"
    );
    let stalled = b"POST /api/v1/auth/token HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{";
    let said = closed_after(world.address, stalled).await;
    assert!(
        said.starts_with("HTTP/1.1 408") && said.contains("request_timeout"),
        "{said}"
    );
}

#[tokio::test]
async fn an_http2_peer_without_a_request_is_told_to_go() {
    let world = World::with(quick()).await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
    let mut stream = TcpStream::connect(world.address).await.expect("it listens");
    stream.write_all(preface).await.expect("it takes bytes");
    let mut said = Vec::new();
    let read = timeout(
        std::time::Duration::from_secs(8),
        stream.read_to_end(&mut said),
    )
    .await;
    assert!(read.is_ok(), "still open");
    // A frame of type 7 (GOAWAY) after the settings.
    assert!(said.windows(2).any(|pair| pair == [7, 0]), "{said:?}");
}

#[tokio::test]
async fn too_much_is_refused_before_it_is_read() {
    let world = World::with(quick()).await;
    let big = b"POST /api/v1/auth/token HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1073741824\r\n\r\n{";
    let said = closed_after(world.address, big).await;
    assert!(
        said.starts_with("HTTP/1.1 413") && said.contains("too_large"),
        "{said}"
    );
    let mut chunked = b"POST /api/v1/auth/token HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..9 {
        chunked.extend_from_slice(b"2000\r\n");
        chunked.extend(std::iter::repeat_n(b' ', 0x2000));
        chunked.extend_from_slice(b"\r\n");
    }
    let said = closed_after(world.address, &chunked).await;
    assert!(said.starts_with("HTTP/1.1 413"), "{said}");
    let headers = format!(
        "GET /livez HTTP/1.1\r\nhost: x\r\n{}\r\n",
        "x-a: b\r\n".repeat(80)
    );
    let said = closed_after(world.address, headers.as_bytes()).await;
    assert!(said.starts_with("HTTP/1.1 431"), "{said}");
    let long = format!(
        "GET /livez HTTP/1.1\r\nhost: x\r\nx-a: {}\r\n\r\n",
        "b".repeat(17 * 1024)
    );
    let said = closed_after(world.address, long.as_bytes()).await;
    assert!(said.starts_with("HTTP/1.1 431"), "{said}");
}

/// RFC 9112, section 3.2.
#[tokio::test]
async fn a_request_names_one_host() {
    let world = World::start().await;
    let answers = [
        ("HTTP/1.1", "", 400),
        ("HTTP/1.1", "host: x\r\nhost: x\r\n", 400),
        ("HTTP/1.1", "host: x\r\nhost: y\r\n", 400),
        ("HTTP/1.1", "host: x y\r\n", 400),
        ("HTTP/1.1", "host: a@x\r\n", 400),
        ("HTTP/1.1", "host: x/y\r\n", 400),
        ("HTTP/1.1", "host: x\r\n", 200),
        ("HTTP/1.1", "host: [::1]:80\r\n", 200),
        ("HTTP/1.1", "host:\r\n", 200),
        ("HTTP/1.0", "", 200),
    ];
    for (version, hosts, status) in answers {
        let asked = format!("GET /livez {version}\r\n{hosts}connection: close\r\n\r\n");
        let said = closed_after(world.address, asked.as_bytes()).await;
        assert!(
            said.starts_with(&format!("{version} {status}")),
            "{asked}{said}"
        );
        let is_problem = said.contains("\"code\":\"malformed\"");
        assert_eq!(is_problem, status == 400, "{asked}{said}");
    }
}

#[tokio::test]
async fn an_early_answer_is_not_taken_back_from_a_peer_that_still_sends() {
    let world = World::start().await;
    let mut stream = TcpStream::connect(world.address).await.expect("it listens");
    let head = "POST /api/v1/runs HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("it is open");
    // It is answered already, and has not looked yet.
    stream.readable().await.expect("an answer");
    for _ in 0..100 {
        stream.write_all(&[b' '; 10_000]).await.expect("it is open");
    }
    let mut said = String::new();
    stream
        .read_to_string(&mut said)
        .await
        .expect("all of the answer, and an orderly end");
    assert!(said.starts_with("HTTP/1.1 4"), "{said}");
}

#[tokio::test]
async fn over_the_number_of_connections_the_next_is_closed_at_once() {
    let mut config = quick();
    config.edge.connections = 4;
    config.edge.headers = Duration::from_secs(30);
    config.edge.first_byte = Duration::from_secs(30);
    let world = World::with(config).await;
    // The clients of the test keep one connection each way open; the rest is filled up here.
    let mut open = Vec::new();
    let refused = loop {
        let mut stream = TcpStream::connect(world.address).await.expect("it listens");
        let asked = stream
            .write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
            .await;
        let mut byte = [0u8; 1];
        match asked.and(stream.read(&mut byte).await.map(|_| ())) {
            Ok(()) if byte[0] == b'H' => open.push(stream),
            Ok(()) | Err(_) => break open.len(),
        }
    };
    assert!(refused <= 4, "{refused} connections were taken");
    drop(open);
}

#[tokio::test]
async fn http2_is_spoken_too() {
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let world = World::start().await;
    let stream = TcpStream::connect(world.address).await.expect("it listens");
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("HTTP/2");
    let request = http::Request::get("http://x/livez").body(axum::body::Body::empty());
    let asked = sender.send_request(request.expect("a request"));
    let answer = tokio::select! {
        answer = asked => answer.expect("an answer"),
        ended = connection => panic!("the connection ended: {ended:?}"),
    };
    assert_eq!(
        (answer.status().as_u16(), answer.version()),
        (200, http::Version::HTTP_2)
    );
}

#[tokio::test]
async fn an_http2_peer_that_takes_nothing_of_an_answer_is_given_up() {
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let mut config = quick();
    config.edge.write_stall = Duration::from_millis(200);
    config.edge.headers = Duration::from_secs(30);
    let world = World::with(config).await;
    let stream = TcpStream::connect(world.address).await.expect("it listens");
    // It answers pings, and never opens its window.
    let (mut sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(0)
        .handshake(TokioIo::new(stream))
        .await
        .expect("HTTP/2");
    let request = http::Request::get("http://x/livez").body(axum::body::Body::empty());
    let answer = sender.send_request(request.expect("a request"));
    let limit = std::time::Duration::from_secs(20);
    let both = async { tokio::join!(answer, connection) };
    let (answer, _) = timeout(limit, both).await.expect("it is still open");
    assert_eq!(answer.expect("its head").status(), 200);
}
