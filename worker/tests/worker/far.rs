//! Agents that are somewhere else: who may call the engine from there, and where the engine goes for them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;
use futures::stream::unfold;
use serde_json::json;
use store::embedded::{Embedded, Options, Place};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tonic::Code;
use tonic::transport::server::{Connected, TcpConnectInfo};
use worker::{PluginsConfig, RemoteConfig};

use crate::peer::Peer;
use crate::yard::{Yard, quick};

/// A connection that seems to come from another machine.
pub(crate) struct Far(TcpStream, IpAddr);

/// The connections to a listener, as if they came from there.
pub(crate) fn connections(
    listener: TcpListener,
    from: IpAddr,
) -> impl Stream<Item = io::Result<Far>> {
    unfold(listener, move |listener| async move {
        let accepted = listener.accept().await;
        Some((accepted.map(|(stream, _)| Far(stream, from)), listener))
    })
}

impl Connected for Far {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        TcpConnectInfo {
            local_addr: None,
            remote_addr: Some((self.1, 40_000).into()),
        }
    }
}

impl AsyncRead for Far {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Far {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// An engine whose configuration names a network, and which everybody reaches from this address.
async fn engine(from: &str) -> (Yard, SocketAddr) {
    let config = PluginsConfig {
        remote: RemoteConfig {
            networks: vec!["10.1.0.0/16".parse().expect("a network")],
            ..RemoteConfig::default()
        },
        ..quick()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    let store = Embedded::inline(Place::Memory, Options::default()).expect("an empty store");
    let folder = TempDir::new().expect("a temporary folder");
    let from = from.parse().expect("an address");
    let yard = Yard::seen_from(Some(from), (listener, config), folder, store).await;
    (yard, address)
}

#[tokio::test]
async fn only_who_is_here_or_in_a_network_that_is_named_may_call() {
    let beat = || json!({ "name": "odd", "instance_id": "one" });
    let (_yard, address) = engine("192.0.2.7").await;
    let peer = Peer::new(address, "odd", "one").await;
    let refused = peer.says("Heartbeat", beat()).await;
    let refused = refused.expect_err("nobody has named its network");
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    assert!(refused.message().contains("networks"), "{refused}");
    for from in ["10.1.0.7", "::ffff:10.1.0.7"] {
        let (_yard, address) = engine(from).await;
        let peer = Peer::new(address, "odd", "one").await;
        let answer = peer.says("Heartbeat", beat()).await;
        let answer = answer.expect("its network is named");
        assert_eq!(answer["re_register_required"], true);
    }
}

#[tokio::test]
async fn nobody_far_away_has_a_say_in_what_is_called_on_this_machine() {
    let (_yard, address) = engine("10.1.0.7").await;
    let peer = Peer::new(address, "odd", "one").await;
    let port = peer.address.port();
    for at in [
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        format!("[::ffff:127.0.0.1]:{port}"),
        format!("0.0.0.0:{port}"),
        "unix:/run/other.sock".to_owned(),
    ] {
        let why = peer.registers_at(&at).await;
        assert!(why.contains("the engine does not call"), "{at}: {why}");
    }
    assert_eq!(peer.times("Info"), 0, "it was called");
}
