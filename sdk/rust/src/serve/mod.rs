//! The process around an agent: arguments, surroundings, serving, registering, ending.

mod ending;
mod instance;
mod register;
mod secure;
mod surroundings;

use std::{
    io::{self, Write},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use proto::{address::Address, environment};
use tokio::{
    net::{TcpListener, UnixListener},
    runtime,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{self, server::TcpIncoming};
use tracing::{info, warn};

use crate::Agent;
use ending::{End, Ending};
pub(crate) use instance::Instance;
use register::Registration;
use surroundings::Surroundings;

/// How long running calls are waited for once the plugin was asked to end.
const GRACE: Duration = Duration::from_secs(5);
/// How many calls one connection may have open: more than run at once, so that the refusal is an answer.
const STREAMS_MAX: u32 = 2048;

/// How many calls may be cancelled before they were looked at. The caller is the engine, and cancels what a
/// failed step still runs all at once.
const RESETS_MAX: usize = STREAMS_MAX as usize;

const USAGE: &str = "Usage: <agent> [--engine ADDRESS | --manifest | --version | --help]\n\
    Without arguments it serves, in the surroundings that the engine gives it by environment variables.\n\
    --engine ADDRESS serves and registers with the engine there, such as 127.0.0.1:50051, or https://HOST:PORT.\n\
    --manifest prints what it can do and how it is configured, as JSON.\n";

/// The whole program.
pub(crate) fn main(agent: Agent) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Err(problem) = agent.verify() {
        return fail(1, &problem);
    }
    match arguments
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        [] => serve(agent, None),
        ["--engine", engine] => serve(agent, Some(engine)),
        ["--manifest"] => print(&format!(
            "{}\n",
            serde_json::to_string_pretty(&agent.manifest).expect("a manifest is JSON")
        )),
        ["--version"] => print(&format!(
            "{} {}\n",
            agent.manifest.name, agent.manifest.version
        )),
        ["--help" | "-h"] => print(USAGE),
        _ => fail(
            2,
            &format!("unknown arguments: {}\n{USAGE}", arguments.join(" ")),
        ),
    }
}

fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn fail(code: u8, problem: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "error: {}", problem.trim_end());
    ExitCode::from(code)
}

fn serve(agent: Agent, engine: Option<&str>) -> ExitCode {
    let surroundings = match Surroundings::from_environment(engine) {
        Ok(surroundings) => surroundings,
        Err(problem) => return fail(1, &problem),
    };
    log_to_stderr();
    // Two threads: one busy handler leaves cancellation and health to the other.
    let runtime = match runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(e) => return fail(1, &format!("cannot start the runtime: {e}")),
    };
    let ended = runtime.block_on(live(agent, surroundings));
    // Not waited for: a handler that blocks must not keep an ended plugin alive.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => fail(1, &problem),
    }
}

fn log_to_stderr() {
    let level = std::env::var(environment::LOG)
        .ok()
        .and_then(|l| l.parse().ok())
        .unwrap_or(tracing::Level::INFO);
    let log = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_max_level(level)
        .finish();
    // Somebody who set a subscriber before `main` keeps it.
    let _ = tracing::subscriber::set_global_default(log);
}

/// From listening to the end.
async fn live(agent: Agent, surroundings: Surroundings) -> Result<(), String> {
    let mut ending = Ending::watch(surroundings.call_secret.is_some())
        .map_err(|e| format!("cannot watch for signals: {e}"))?;
    let listener = Listener::bind(&surroundings.listen)
        .await
        .map_err(|e| format!("cannot listen on {}: {e}", surroundings.listen))?;
    let listener = match &surroundings.tls {
        Some(tls) => listener.secured(tls.server()?),
        None => listener,
    };
    let address = listener
        .address()
        .map_err(|e| format!("cannot tell where it listens: {e}"))?;
    let instance = Instance::new(agent, surroundings.call_secret.clone());
    let proves = |tls: &secure::Files| tls.client_ca.is_some();
    let guarded =
        surroundings.call_secret.is_some() || surroundings.tls.as_ref().is_some_and(proves);
    announce(&address, guarded);
    let closing = CancellationToken::new();
    let mut server = JoinSet::new();
    server.spawn(listener.serve(instance.clone(), closing.clone()));
    let registration = Registration::new(&instance, &surroundings, &address);
    let mut registering = JoinSet::new();
    if let Some(registration) = registration.clone() {
        registering.spawn(async move { registration.stay().await });
    }
    tokio::select! {
        biased;
        end = ending.next() => match end {
            End::Orphaned => {
                info!("the starter is gone");
                server.shutdown().await;
                return Ok(());
            }
            End::Asked => info!("asked to end"),
        },
        Some(ended) = server.join_next() => return ended.unwrap_or_else(|e| Err(e.to_string())),
    }
    registering.abort_all();
    let leave = async {
        if let Some(registration) = registration {
            registration.deregister().await;
        }
        closing.cancel();
        instance.calls.running.close();
        instance.calls.running.wait().await;
        server.join_next().await;
    };
    tokio::select! {
        biased;
        _ = ending.next() => warn!("ended at once; running calls are cut off"),
        done = timeout(GRACE, leave) => if done.is_err() {
            warn!(grace_s = GRACE.as_secs(), "running calls did not end in time and are cut off");
        },
    }
    // Its socket file goes with it, also when it was cut off.
    server.shutdown().await;
    Ok(())
}

/// Tells the starter where to call. Nobody reading it is no reason to end.
fn announce(address: &Address, guarded: bool) {
    let port = match address {
        Address::Tcp(at) | Address::Tls { at, .. } => at.rsplit(':').next().unwrap_or_default(),
        Address::Unix(_) => "0",
    };
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{}{port}", environment::PORT_LINE).and_then(|()| out.flush());
    info!(%address, "serving");
    if !guarded {
        warn!(
            "without {} any process on this machine can call this plugin",
            environment::CALL_SECRET
        );
    }
}

/// A bound socket.
pub(crate) enum Listener {
    Tcp(TcpListener),
    Tls(TcpListener, TlsAcceptor),
    Unix(UnixListener, SocketFile),
}

/// Removed when the plugin ends.
pub(crate) struct SocketFile(std::path::PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Listener {
    pub(crate) async fn bind(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => Ok(Self::Tcp(TcpListener::bind(address.as_str()).await?)),
            Address::Tls { .. } => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "write host:port: it serves TLS where it has a certificate",
            )),
            Address::Unix(path) => Ok(Self::Unix(
                UnixListener::bind(path)?,
                SocketFile(path.clone()),
            )),
        }
    }

    /// The same with TLS. A Unix socket stays as it is.
    fn secured(self, tls: Arc<ServerConfig>) -> Self {
        match self {
            Self::Tcp(listener) => Self::Tls(listener, tls.into()),
            Self::Tls(..) | Self::Unix(..) => self,
        }
    }

    pub(crate) fn address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(listener) => Ok(Address::Tcp(listener.local_addr()?.to_string())),
            Self::Tls(listener, _) => {
                let at = listener.local_addr()?;
                let name = at.ip().to_string();
                Ok(Address::Tls {
                    at: at.to_string(),
                    name,
                })
            }
            Self::Unix(_, file) => Ok(Address::Unix(file.0.clone())),
        }
    }

    /// Serves until `closing`, then until the last call has ended.
    pub(crate) async fn serve(
        self,
        instance: Instance,
        closing: CancellationToken,
    ) -> Result<(), String> {
        let router = transport::Server::builder()
            .max_concurrent_streams(STREAMS_MAX)
            .http2_max_pending_accept_reset_streams(Some(RESETS_MAX))
            .http2_max_header_list_size(16 * 1024)
            .add_service(instance.service());
        let closed = closing.cancelled_owned();
        match self {
            Self::Tcp(listener) => {
                let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
                router.serve_with_incoming_shutdown(incoming, closed).await
            }
            Self::Tls(listener, acceptor) => {
                let incoming = secure::incoming(listener, acceptor);
                router.serve_with_incoming_shutdown(incoming, closed).await
            }
            Self::Unix(listener, _file) => {
                router
                    .serve_with_incoming_shutdown(UnixListenerStream::new(listener), closed)
                    .await
            }
        }
        .map_err(|e| format!("serving ended: {e}"))
    }
}
