//! Connecting to an agent that registered: where that may be, and what is spoken on the way.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use proto::address::Address;
use proto::client::{CallOptions, PluginClient};
use proto::tls::{self, ClientConfig, Own};
use proto::v1::InfoResponse;
use proto::wire::Form;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::Common;
use super::greetings::Greeting;

/// How long it may take to find its address, to connect to it, and to hear who it is. All of that and its settings must
/// have an end within 10 s: so long it waits for the answer to its registration.
const LOOK_UP_MAX: Duration = Duration::from_secs(2);
const CONNECT_MAX: Duration = Duration::from_secs(2);
const INFO_MAX: Duration = Duration::from_secs(3);

/// The address as one that we may call: a name is looked up once, so that what was checked is what is called.
pub(super) async fn reachable(
    common: &Common,
    (peer, greeting): (IpAddr, &Arc<Greeting>),
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
    let found = timeout(LOOK_UP_MAX, look_up(host, Arc::clone(greeting)))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|e| format!("{text} is not known here ({e}): {hint}"))?;
    let remote = &common.config.remote;
    // Nobody far away has a say in what is called on this machine.
    let may = |ip: IpAddr| remote.reaches(ip) && (here || !ip.to_canonical().is_loopback());
    let mut found = found.into_iter();
    let fit = found.find(|address| address.port() != 0 && may(address.ip()));
    let at = fit.ok_or_else(refused)?.to_string();
    Ok(match name {
        Some(name) => Address::Tls { at, name },
        None => Address::Tcp(at),
    })
}

async fn look_up(host: String, greeting: Arc<Greeting>) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let looked = spawn_blocking(move || {
        // It takes its time whether or not anybody waits for it, and for so long its place is taken.
        let _taken = greeting;
        host.to_socket_addrs().map(Iterator::collect)
    });
    looked.await.map_err(io::Error::other)?
}

/// What it says about itself, or why it does not.
pub(super) type Said = Result<InfoResponse, String>;

pub(super) async fn shake_hands(
    common: &Common,
    address: &Address,
    form: Form,
) -> Result<(PluginClient, Said), String> {
    let client = timeout(CONNECT_MAX, connect(common, address, form))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|e| e.to_string())?;
    let said = ask(&client).await;
    Ok((client, said))
}

/// Asks it what it can do.
pub(super) async fn ask(client: &PluginClient) -> Said {
    let info = client.info(&CallOptions::within(INFO_MAX)).await;
    info.map_err(|e| e.to_string())
}

async fn connect(common: &Common, address: &Address, form: Form) -> io::Result<PluginClient> {
    let tls = tls(common, address).await?;
    PluginClient::connect_to(address, form, tls.as_ref()).await
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
