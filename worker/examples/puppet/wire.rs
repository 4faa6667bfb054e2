//! What it does to its own connection: a relay stands before the server, and breaks what passes on command.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

/// The relay. It takes one connection, as the engine makes only one.
pub(crate) struct Wire {
    how: watch::Sender<String>,
    done: Notify,
}

impl Default for Wire {
    fn default() -> Self {
        Self {
            how: watch::Sender::new(String::new()),
            done: Notify::new(),
        }
    }
}

impl Wire {
    /// Begins to relay to the server, and says where.
    pub(crate) async fn open(self: &Arc<Self>, server: SocketAddr) -> SocketAddr {
        let (listener, address) = listen().await;
        let wire = Arc::clone(self);
        run(async move {
            let (engine, _) = listener.accept().await.expect("the engine");
            wire.relay(engine, server).await;
        });
        address
    }

    /// Breaks the connection, and comes back when that is done.
    pub(crate) async fn sabotage(&self, how: &str) {
        self.how.send_replace(how.to_owned());
        self.done.notified().await;
    }

    async fn relay(&self, engine: TcpStream, server: SocketAddr) {
        let server = TcpStream::connect(server).await.expect("the server");
        let (mut from_engine, mut to_engine) = engine.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let mut how = self.how.subscribe();
        let mut bytes = vec![0; 64 * 1024];
        let mut up = JoinSet::new();
        let mut told = self.how.subscribe();
        up.spawn(async move {
            let is_deaf = |how: &String| matches!(how.as_str(), "deaf" | "half-open");
            let deaf = async { told.wait_for(is_deaf).await.map(drop) };
            tokio::select! {
                biased;
                // Both ends stay open: a server that hears of an end does not answer any more.
                Ok(()) = deaf => std::future::pending::<()>().await,
                _ = copy(&mut from_engine, &mut to_server) => {}
            }
        });
        loop {
            tokio::select! {
                read = from_server.read(&mut bytes) => match read {
                    Ok(read) if read > 0 && to_engine.write_all(&bytes[..read]).await.is_ok() => {}
                    Ok(_) | Err(_) => return,
                },
                _ = how.changed() => {
                    let how = how.borrow_and_update().clone();
                    // What cannot be written any more has had its effect.
                    let _ = to_engine.write_all(&injected(&how)).await;
                    self.done.notify_one();
                    match how.as_str() {
                        "half-open" => return std::future::pending().await,
                        "cut" | "close" => return up.abort_all(),
                        _ => {}
                    }
                }
            }
        }
    }
}

/// Frames of HTTP/2 (RFC 9113) that nobody asked for.
fn injected(how: &str) -> Vec<u8> {
    match how {
        "garbage" => vec![0xff; 4096],
        "cut" => vec![0, 0x40],
        "foreign" => frame(0, 1, 9_999, b"\0\0\0\0\x02\x0a\0"),
        "good-bye" => frame(7, 0, 0, &[0; 8]),
        "pings" => frame(6, 0, 0, &[0; 8]).repeat(20_000),
        "settings" => frame(4, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]).repeat(2_000),
        _ => Vec::new(),
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A server that speaks something else.
pub(crate) async fn mumble() -> SocketAddr {
    let (listener, address) = listen().await;
    run(async move {
        let mut taken = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"220 mumble ESMTP\r\n").await;
            taken.push(stream);
        }
    });
    address
}

/// A server that takes connections and never says a word.
pub(crate) async fn take_and_say_nothing() -> SocketAddr {
    let (listener, address) = listen().await;
    run(async move {
        let mut taken = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            taken.push(stream);
        }
    });
    address
}

/// Runs it for as long as the process lives.
fn run(task: impl Future<Output = ()> + Send + 'static) {
    let mut tasks = JoinSet::new();
    tasks.spawn(task);
    std::mem::forget(tasks);
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    (listener, address)
}
