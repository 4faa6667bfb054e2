//! A plugin for tests that does as it is told, in good manners and bad.
//!
//! Called as `puppet NAME MANNERS`, or under its own name without arguments. It is built from the protocol alone, so
//! that it can break every promise that the SDK keeps. `manifest` says who it is, `act` what it does in a call, `wire`
//! what it does to its connection, `call_back` what it asks of the engine.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use proto::connection::Connection;
use proto::environment;
use proto::v1::engine_service_client::EngineServiceClient;
use proto::v1::plugin_service_server::PluginServiceServer;
use proto::v1::{self, PluginType};
use tokio::net::{TcpListener, TcpSocket};
use tonic::Request;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

mod act;
mod call_back;
mod manifest;
mod service;
mod wire;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().collect();
    let asked_for_manifest = arguments.last().is_some_and(|last| last == "--manifest");
    if asked_for_manifest {
        arguments.pop();
    }
    let own = Path::new(&arguments[0])
        .file_name()
        .map(|n| n.to_string_lossy().replace("mirastack-agent-", ""));
    let name = arguments.get(1).cloned().or(own).unwrap_or_default();
    let manners = arguments.get(2).cloned().unwrap_or_default();
    if asked_for_manifest {
        return manifest::print(&name, &manners);
    }
    match manners.as_str() {
        "dies" => {
            say("no more will to live");
            return ExitCode::from(3);
        }
        "silent" => return std::future::pending().await,
        "garbage" => println!("hello"),
        "endless-line" => endless_line(),
        "no-port" => println!("{}0", environment::PORT_LINE),
        "elsewhere" => {
            // It has the port, so that nobody else has it, and does not listen there.
            let socket = TcpSocket::new_v4().expect("a socket");
            let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
            socket.bind(any).expect("a free port");
            let address = socket.local_addr().expect("a bound socket");
            println!("{}{}", environment::PORT_LINE, address.port());
            return std::future::pending().await;
        }
        _ => {}
    }
    let wire = Arc::default();
    serve(Puppet {
        name,
        manners,
        wire,
    })
    .await
}

/// Writes without end and without a line, until nobody reads it.
fn endless_line() {
    let mut out = std::io::stdout();
    while out.write_all(&[b'x'; 4096]).is_ok() {}
}

async fn serve(puppet: Puppet) -> ExitCode {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    let mut out = std::io::stdout();
    let shown = match puppet.manners.as_str() {
        "wire" => puppet.wire.open(address).await,
        "mumbles" => wire::mumble().await,
        "deaf" => wire::take_and_say_nothing().await,
        _ => address,
    };
    writeln!(out, "{}{}", environment::PORT_LINE, shown.port()).expect("an open pipe");
    out.flush().expect("an open pipe");
    let stubborn = puppet.manners == "stubborn";
    let registering = async {
        if puppet.manners != "mute" {
            puppet.register(&address.to_string()).await;
        }
        std::future::pending::<()>().await;
    };
    let server = Server::builder()
        .add_service(PluginServiceServer::new(puppet.clone()).max_decoding_message_size(16 << 20))
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)));
    let mut terminate =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).expect("signals");
    let asked = async {
        loop {
            terminate.recv().await;
            if !stubborn {
                return;
            }
        }
    };
    tokio::select! {
        biased;
        () = asked => {}
        served = server => served.expect("a server"),
        () = registering => {}
    }
    ExitCode::SUCCESS
}

#[derive(Clone)]
struct Puppet {
    name: String,
    manners: String,
    wire: Arc<wire::Wire>,
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

impl Puppet {
    async fn engine(&self) -> EngineServiceClient<Connection> {
        let address = variable(environment::ENGINE_ADDR)
            .parse()
            .expect("an address");
        let connection = Connection::open(&address, std::time::Duration::from_secs(5))
            .await
            .expect("the engine");
        EngineServiceClient::with_origin(connection, Connection::origin())
    }

    fn request<T>(&self, message: T) -> Request<T> {
        self.request_with(message, &variable(environment::TOKEN))
    }

    fn request_with<T>(&self, message: T, token: &str) -> Request<T> {
        let mut request = Request::new(message);
        let bearer = format!("Bearer {token}");
        request
            .metadata_mut()
            .insert("authorization", bearer.parse().expect("text"));
        request
            .metadata_mut()
            .insert("x-plugin-name", self.name.parse().expect("text"));
        request
    }

    async fn register(&self, address: &str) {
        let mut asked = v1::RegisterPluginRequest {
            name: self.name.clone(),
            version: "1.0.0".to_owned(),
            grpc_addr: address.to_owned(),
            plugin_type: PluginType::Agent.into(),
            instance_id: "one".to_owned(),
            tenant_id: variable(environment::TENANT_ID),
        };
        let mut token = variable(environment::TOKEN);
        match self.manners.as_str() {
            "registers-as-another" => asked.name = "good".to_owned(),
            "registers-elsewhere" => asked.tenant_id = "acme".to_owned(),
            "registers-nameless" => asked.instance_id.clear(),
            "registers-with-a-guess" => token = "guessed".to_owned(),
            _ => {}
        }
        let request = self.request_with(asked, &token);
        let answer = self.engine().await.register_plugin(request).await;
        say(&format!(
            "registered: {}",
            answer.is_ok_and(|a| a.into_inner().success)
        ));
    }
}
