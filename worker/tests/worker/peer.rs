//! An agent of the JSON form in the test's hands: it answers each call as it is told to, and says what it is told to say.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::{Future, pending};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use proto::connection::Connection;
use proto::path;
use proto::wire::RawCodec;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::interval;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::{Service, http};
use tonic::server::{NamedService, UnaryService};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};

use crate::bench::within;
use crate::yard;

/// What a call is answered.
#[derive(Clone)]
pub(crate) enum Answer {
    Json(Value),
    Fails(&'static str),
    Hangs,
}

/// How it behaves, and what it was asked.
struct Manners {
    answers: Mutex<BTreeMap<String, Answer>>,
    asked: watch::Sender<Vec<(String, Value)>>,
}

/// The agent.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) id: String,
    pub(crate) address: SocketAddr,
    pub(crate) version: &'static str,
    manners: Arc<Manners>,
    engine: Grpc<Connection>,
    tasks: JoinSet<()>,
}

impl Peer {
    /// It serves, and has not registered yet.
    pub(crate) async fn new(engine: SocketAddr, name: &'static str, id: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let manners = Arc::new(Manners {
            answers: Mutex::default(),
            asked: watch::Sender::default(),
        });
        let serving = Server::builder()
            .add_service(Served(Arc::clone(&manners)))
            .serve_with_incoming(TcpIncoming::from(listener));
        let mut tasks = JoinSet::new();
        tasks.spawn(async { serving.await.expect("a bound socket") });
        let engine = engine.to_string().parse().expect("an address");
        let connection = Connection::open(&engine, Duration::from_secs(5)).await;
        let connection = connection.expect("it listens");
        let connection = connection.with_content_type("application/grpc+json");
        let peer = Self {
            name,
            id: id.to_owned(),
            address,
            version: "1",
            manners,
            engine: Grpc::with_origin(connection, Connection::origin()),
            tasks,
        };
        peer.answers("Info", Answer::Json(info(name, &["read"])));
        peer.answers("HealthCheck", Answer::Json(json!({ "healthy": true })));
        let acknowledged = json!({ "acknowledged": true });
        peer.answers("ConfigUpdated", Answer::Json(acknowledged));
        peer
    }

    /// From now on it answers this.
    pub(crate) fn answers(&self, method: &str, answer: Answer) {
        let mut answers = self.manners.answers.lock().expect("no panic");
        answers.insert(method.to_owned(), answer);
    }

    /// Waits until it was asked this for so many times, and answers with what the last one said.
    pub(crate) async fn asked(&self, method: &str, times: usize) -> Value {
        let mut asked = self.manners.asked.subscribe();
        let of = |all: &[(String, Value)]| -> Vec<Value> {
            let all = all.iter().filter(|(name, _)| name == method);
            all.map(|(_, said)| said.clone()).collect()
        };
        let enough = asked.wait_for(|all| of(all).len() >= times);
        let all = within(enough).await.expect("it serves").clone();
        of(&all).remove(times - 1)
    }

    /// How often it was asked this.
    pub(crate) fn times(&self, method: &str) -> usize {
        let asked = self.manners.asked.borrow();
        asked.iter().filter(|(name, _)| name == method).count()
    }

    /// Says something to the engine.
    pub(crate) async fn says(&self, method: &str, message: Value) -> Result<Value, Status> {
        let path = format!("/{}/{method}", path::ENGINE_SERVICE);
        let path = PathAndQuery::try_from(path).expect("a path");
        let message = Request::new(Bytes::from(message.to_string()));
        let answer = self.engine.clone().unary(message, path, RawCodec).await?;
        Ok(serde_json::from_slice(&answer.into_inner()).expect("JSON"))
    }

    /// From now on it says so often that it lives.
    pub(crate) fn beats(&mut self, every: Duration) {
        let message = json!({ "name": self.name, "instance_id": self.id }).to_string();
        let mut engine = self.engine.clone();
        self.tasks.spawn(async move {
            let mut beat = interval(every);
            loop {
                beat.tick().await;
                let path = PathAndQuery::from_static(path::HEARTBEAT);
                let message = Request::new(Bytes::from(message.clone()));
                // An engine that is gone is told by what it does not do.
                let _ = engine.unary(message, path, RawCodec).await;
            }
        });
    }

    /// Registers, and answers why it was not let in: nothing, where it was.
    pub(crate) async fn registers(&self) -> String {
        self.registers_at(&self.address.to_string()).await
    }

    pub(crate) async fn registers_at(&self, address: &str) -> String {
        let message = json!({
            "name": self.name, "version": self.version, "grpc_addr": address, "plugin_type": 1,
            "instance_id": self.id, "tenant_id": yard::tenant().as_str(),
        });
        let answer = self.says("RegisterPlugin", message).await;
        let answer = answer.expect("an answer");
        let why = answer["error"].as_str().unwrap_or_default().to_owned();
        assert_eq!(answer["success"] == true, why.is_empty(), "{answer}");
        why
    }
}

/// What an agent of that name says of itself, with these READ actions.
pub(crate) fn info(name: &str, actions: &[&str]) -> Value {
    let action = |id: &&str| json!({ "id": id, "description": "Reads.", "permission": 1 });
    let actions: Vec<Value> = actions.iter().map(action).collect();
    json!({ "name": name, "version": "1", "description": "Is tested.", "type": 1, "actions": actions })
}

/// What agents of the Go dialect answer a call.
pub(crate) fn result(value: &Value) -> Answer {
    Answer::Json(json!({ "success": true, "result_json": value.to_string() }))
}

#[derive(Clone)]
struct Served(Arc<Manners>);

impl NamedService for Served {
    const NAME: &'static str = path::PLUGIN_SERVICE;
}

impl Service<http::Request<Body>> for Served {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path();
        let method = path.rsplit('/').next().unwrap_or_default().to_owned();
        let one = One(Arc::clone(&self.0), method);
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(RawCodec);
            Ok(grpc.unary(one, request).await)
        })
    }
}

/// One call.
struct One(Arc<Manners>, String);

impl UnaryService<Bytes> for One {
    type Response = Bytes;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Status>> + Send>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let Self(manners, method) = self;
        let said = serde_json::from_slice(&request.into_inner()).expect("JSON");
        let answer = manners.answers.lock().expect("no panic");
        let answer = answer.get(method).cloned();
        let asked = (method.clone(), said);
        manners.asked.send_modify(|all| all.push(asked));
        Box::pin(async move {
            match answer {
                Some(Answer::Json(answer)) => Ok(Response::new(answer.to_string().into())),
                Some(Answer::Fails(why)) => Err(Status::new(Code::Internal, why)),
                Some(Answer::Hangs) => pending().await,
                None => Err(Status::unimplemented("it knows no such call")),
            }
        })
    }
}
