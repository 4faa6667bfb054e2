//! A relay before a server that can keep its answers to itself.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A relay, which ends when it is dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    mute: Arc<AtomicBool>,
    lives: watch::Sender<u64>,
    _task: JoinSet<()>,
}

impl Relay {
    /// A relay before this server.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn before(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mute = Arc::<AtomicBool>::default();
        let lives = watch::Sender::new(0);
        let mut task = JoinSet::new();
        task.spawn(accept(listener, server, Arc::clone(&mute), lives.clone()));
        Ok(Self {
            address,
            mute,
            lives,
            _task: task,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the server says from now on is lost.
    pub fn mute(&self) {
        self.mute.store(true, Ordering::SeqCst);
    }

    /// Closes all connections; later ones get every answer.
    pub fn cut(&self) {
        self.mute.store(false, Ordering::SeqCst);
        self.lives.send_modify(|life| *life += 1);
    }
}

async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    mute: Arc<AtomicBool>,
    lives: watch::Sender<u64>,
) {
    let mut all = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else {
            return;
        };
        let (mute, mut life) = (Arc::clone(&mute), lives.subscribe());
        all.spawn(async move {
            tokio::select! { biased;
                _ = life.changed() => {}
                () = relay(client, server, mute) => {}
            }
        });
    }
}

async fn relay(client: TcpStream, server: SocketAddr, mute: Arc<AtomicBool>) {
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let heard = Arc::default();
    tokio::select! { biased;
        () = copy(from_client, to_server, heard) => {}
        () = copy(from_server, to_client, mute) => {}
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mute: Arc<AtomicBool>) {
    let mut part = [0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut part).await {
        let is_lost = mute.load(Ordering::SeqCst);
        if !is_lost && to.write_all(&part[..length]).await.is_err() {
            return;
        }
    }
}
