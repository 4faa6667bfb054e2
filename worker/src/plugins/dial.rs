//! Connecting to an agent that registered: where that may be, and what is spoken on the way.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use proto::address::Address;
use proto::client::{CallOptions, PluginClient};
use proto::tls::{self, ClientConfig, Own};
use proto::v1::InfoResponse;
use proto::wire::Form;
use tokio::net::lookup_host;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::Common;

/// How long it may take to connect to it and to hear who it is; it waits 10 s for the answer to its registration.
pub(super) const HANDSHAKE_MAX: Duration = Duration::from_secs(4);

/// The address as one that we may call: a name is looked up once, so that what was checked is what is called.
pub(super) async fn reachable(
    common: &Common,
    peer: IpAddr,
    text: &str,
) -> Result<Address, String> {
    let here = peer.to_canonical().is_loopback();
    let hint = "set MIRASTACK_PLUGIN_ADVERTISE_ADDR to an address on this machine, such as 127.0.0.1:PORT, \
                or let the engine's configuration name the network";
    let refused = || format!("the engine does not call {text}: {hint}");
    let (host, name) = match text.parse::<Address>().map_err(|e| e.to_string())? {
        Address::Unix(path) if here => return Ok(Address::Unix(path)),
        Address::Unix(_) => return Err(refused()),
        Address::Tcp(host) => (host, None),
        Address::Tls { at, name } => (at, Some(name)),
    };
    let found = timeout(HANDSHAKE_MAX, lookup_host(&host))
        .await
        .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
        .map_err(|e| format!("{text} is not known here ({e}): {hint}"))?;
    let remote = &common.config.remote;
    // Nobody far away has a say in what is called on this machine.
    let may = |ip: IpAddr| remote.reaches(ip) && (here || !ip.to_canonical().is_loopback());
    let mut fit = found.filter(|address| address.port() != 0 && may(address.ip()));
    let address = fit.next().ok_or_else(refused)?;
    let at = address.to_string();
    Ok(match name {
        Some(name) => Address::Tls { at, name },
        None => Address::Tcp(at),
    })
}

/// What it says about itself, or why it does not.
pub(super) type Said = Result<InfoResponse, String>;

pub(super) async fn shake_hands(
    common: &Common,
    address: &Address,
    form: Form,
) -> Result<(PluginClient, Said), String> {
    let tls = tls(common, address).await.map_err(|e| e.to_string())?;
    let client = PluginClient::connect_to(address, form, tls.as_ref())
        .await
        .map_err(|e| e.to_string())?;
    let info = client.info(&CallOptions::within(HANDSHAKE_MAX)).await;
    Ok((client, info.map_err(|e| e.to_string())))
}

/// What is spoken to it, where its address wants TLS. The files are read each time: they may have changed.
async fn tls(common: &Common, address: &Address) -> io::Result<Option<Arc<ClientConfig>>> {
    let remote = &common.config.remote;
    let (Address::Tls { .. }, Some(ca)) = (address, remote.ca.clone()) else {
        return Ok(None);
    };
    let own = remote.own.clone();
    let read = spawn_blocking(move || {
        let own = own.as_ref().map(|(cert, key)| Own { cert, key });
        tls::client(&ca, own).map(Some)
    });
    read.await.map_err(io::Error::other)?
}
