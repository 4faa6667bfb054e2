//! Calls over real connections: what the client makes of a plugin that misbehaves, and what the server makes
//! of messages that it cannot read.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use proto::{
    address::Address,
    client::{CallOptions, PluginClient},
    connection::Connection,
    engine_server::{Engine, EngineServer, Sender},
    limits, metadata, path,
    v1::{
        CacheSetRequest, CacheSetResponse, ExecuteEvent, ExecuteRequest, ExecuteResponse,
        HeartbeatRequest, HeartbeatResponse, LogLine, execute_event::Event,
    },
    wire::{Form, RawCodec},
};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_stream::{Stream, StreamExt};
use tonic::{
    Code, Request, Response, Status,
    body::Body,
    client::Grpc,
    codegen::{BoxFuture, Service},
    server::NamedService,
    transport::{Server, server::TcpIncoming},
};

type Answers = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

/// A plugin that answers every call with these messages, then ends or hangs.
#[derive(Clone)]
struct Plugin {
    messages: Vec<Bytes>,
    hangs: bool,
}

impl NamedService for Plugin {
    const NAME: &'static str = path::PLUGIN_SERVICE;
}

impl Service<http::Request<Body>> for Plugin {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let plugin = self.clone();
        Box::pin(async move {
            Ok(tonic::server::Grpc::new(RawCodec)
                .server_streaming(Script(plugin), request)
                .await)
        })
    }
}

struct Script(Plugin);

impl tonic::server::ServerStreamingService<Bytes> for Script {
    type Response = Bytes;
    type ResponseStream = Answers;
    type Future = BoxFuture<Response<Answers>, Status>;

    fn call(&mut self, _: Request<Bytes>) -> Self::Future {
        let messages = tokio_stream::iter(self.0.messages.clone()).map(Ok);
        let answers: Answers = match self.0.hangs {
            true => Box::pin(messages.chain(tokio_stream::pending())),
            false => Box::pin(messages),
        };
        Box::pin(async move { Ok(Response::new(answers)) })
    }
}

async fn plugin(messages: Vec<Bytes>, hangs: bool, tasks: &mut JoinSet<()>) -> PluginClient {
    let (listener, address) = bind().await;
    tasks.spawn(async move {
        let server = Server::builder().add_service(Plugin { messages, hangs });
        server
            .serve_with_incoming(TcpIncoming::from(listener))
            .await
            .expect("serving goes on");
    });
    PluginClient::connect(&address, Some("secret"))
        .await
        .expect("it listens")
}

async fn bind() -> (TcpListener, Address) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = Address::Tcp(listener.local_addr().expect("bound").to_string());
    (listener, address)
}

fn options() -> CallOptions {
    CallOptions::within(Duration::from_secs(20))
}

fn event(event: Event) -> Bytes {
    encode(&ExecuteEvent { event: Some(event) })
}

fn log(message: &str) -> Event {
    Event::Log(LogLine {
        message: message.to_owned(),
        ..LogLine::default()
    })
}

fn result(size: usize) -> Event {
    Event::Result(ExecuteResponse {
        success: true,
        result_json: vec![b' '; size].into(),
        ..ExecuteResponse::default()
    })
}

/// Reads to the end; the code and the text of the failure that ends it.
async fn failure(client: &PluginClient) -> (Code, String) {
    let mut events = client
        .execute_stream(&ExecuteRequest::default(), &options())
        .await
        .expect("taken");
    loop {
        match events.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the call ended well"),
            Err(failure) => {
                assert!(failure.sent);
                assert_eq!(events.next().await.expect("no second failure"), None);
                return (failure.code, failure.message);
            }
        }
    }
}

#[tokio::test]
async fn events_come_in_order_and_nothing_follows_the_result() {
    let mut tasks = JoinSet::new();
    let messages = vec![
        event(log("one")),
        event(log("two")),
        event(result(2)),
        event(log("late")),
        event(result(3)),
    ];
    let client = plugin(messages, false, &mut tasks).await;
    let mut events = client
        .execute_stream(&ExecuteRequest::default(), &options())
        .await
        .expect("taken");
    for expected in [log("one"), log("two"), result(2)] {
        assert_eq!(events.next().await.expect("an event"), Some(expected));
    }
    assert_eq!(events.next().await.expect("no failure"), None);
}

#[tokio::test]
async fn a_plugin_that_breaks_the_protocol_is_told_from_one_that_fails() {
    let mut tasks = JoinSet::new();
    for (messages, code, text) in [
        (vec![], Code::Internal, "without a result"),
        (vec![event(log("one"))], Code::Internal, "without a result"),
        (
            vec![encode(&ExecuteEvent { event: None })],
            Code::Internal,
            "unknown kind",
        ),
        (
            vec![Bytes::from_static(b"\xff\xff")],
            Code::Internal,
            "cannot be read",
        ),
        (
            vec![Bytes::from_static(b"{\"success\": true}")],
            Code::Internal,
            "JSON form",
        ),
        (
            vec![event(result(limits::EXECUTE_REPLY))],
            Code::OutOfRange,
            "too large",
        ),
    ] {
        let client = plugin(messages, false, &mut tasks).await;
        let (found, message) = failure(&client).await;
        assert!(
            found == code && message.contains(text),
            "{found:?}: {message}"
        );
    }
    let client = plugin(vec![event(result(limits::MESSAGE))], false, &mut tasks).await;
    let mut events = client
        .execute_stream(&ExecuteRequest::default(), &options())
        .await
        .expect("taken");
    assert_eq!(
        events.next().await.expect("the largest result"),
        Some(result(limits::MESSAGE))
    );
}

#[tokio::test]
async fn a_plugin_that_hangs_is_given_up_at_the_time_out() {
    let mut tasks = JoinSet::new();
    let client = plugin(vec![event(log("one"))], true, &mut tasks).await;
    let options = CallOptions::within(Duration::from_millis(100));
    let mut events = client
        .execute_stream(&ExecuteRequest::default(), &options)
        .await
        .expect("taken");
    assert_eq!(events.next().await.expect("an event"), Some(log("one")));
    let late = events.next().await.expect_err("nothing more comes");
    assert!(
        late.sent && matches!(late.code, Code::DeadlineExceeded | Code::Cancelled),
        "{late}"
    );
}

/// Answers heartbeats with who asked, and swallows cache values, whose bytes must all be the same.
struct Recorder;

#[tonic::async_trait]
impl Engine for Recorder {
    fn admit(&self, _: &Request<()>, _: &str) -> Result<Sender, Status> {
        Ok(Sender::Proven)
    }

    async fn heartbeat(
        &self,
        request: Request<HeartbeatRequest>,
    ) -> Result<HeartbeatResponse, Status> {
        let known = request
            .metadata()
            .get(metadata::AUTHORIZATION)
            .is_some_and(|token| token == "Bearer t");
        let re_register_required = request.get_ref().name != "demo";
        Ok(HeartbeatResponse {
            acknowledged: known,
            re_register_required,
            ..HeartbeatResponse::default()
        })
    }

    async fn cache_set(
        &self,
        request: Request<CacheSetRequest>,
    ) -> Result<CacheSetResponse, Status> {
        let value = &request.get_ref().value;
        let success = value.iter().all(|byte| *byte == value[0]);
        Ok(CacheSetResponse { success })
    }
}

struct Caller(Grpc<Connection>);

impl Caller {
    async fn start(tasks: &mut JoinSet<()>) -> Self {
        let (listener, address) = bind().await;
        tasks.spawn(async move {
            let server = Server::builder().add_service(EngineServer::new(
                Arc::new(Recorder),
                Duration::from_secs(5),
            ));
            server
                .serve_with_incoming(TcpIncoming::from(listener))
                .await
                .expect("serving goes on");
        });
        let connection = Connection::open(&address, Duration::from_secs(20))
            .await
            .expect("it listens");
        Self(Grpc::with_origin(connection, Connection::origin()))
    }

    async fn call(
        &mut self,
        path: &'static str,
        message: impl Into<Bytes>,
    ) -> Result<Bytes, Status> {
        let mut request = Request::new(message.into());
        request.metadata_mut().insert(
            metadata::AUTHORIZATION,
            "Bearer t".parse().expect("visible"),
        );
        let path = http::uri::PathAndQuery::from_static(path);
        self.0
            .unary(request, path, RawCodec)
            .await
            .map(Response::into_inner)
    }
}

#[tokio::test]
async fn the_engine_is_asked_with_metadata_and_answers() {
    let mut tasks = JoinSet::new();
    let mut caller = Caller::start(&mut tasks).await;
    let beat = encode(&HeartbeatRequest {
        name: "demo".to_owned(),
        instance_id: "i".to_owned(),
    });
    let answer = caller.call(path::HEARTBEAT, beat).await.expect("an answer");
    let expected = HeartbeatResponse {
        acknowledged: true,
        ..HeartbeatResponse::default()
    };
    assert_eq!(answer, encode(&expected));
    let asked = Bytes::from_static(b"{\"name\": \"demo\"}");
    let answer = caller
        .call(path::HEARTBEAT, asked)
        .await
        .expect("an answer");
    let answer: serde_json::Value = serde_json::from_slice(&answer).expect("JSON to JSON");
    assert_eq!(answer["acknowledged"], true);
}

#[tokio::test]
async fn what_the_engine_cannot_read_or_does_not_know_is_refused() {
    let mut tasks = JoinSet::new();
    let mut caller = Caller::start(&mut tasks).await;
    let large = |size| {
        encode(&CacheSetRequest {
            value: vec![0; size].into(),
            ..CacheSetRequest::default()
        })
    };
    for (path, message, code) in [
        (
            path::HEARTBEAT,
            Bytes::from_static(b"{\"name\": 7}"),
            Code::InvalidArgument,
        ),
        (
            path::HEARTBEAT,
            Bytes::from_static(b"\xff"),
            Code::InvalidArgument,
        ),
        (
            path::HEARTBEAT,
            vec![0; limits::SMALL + 1].into(),
            Code::OutOfRange,
        ),
        (path::CACHE_SET, large(limits::MESSAGE), Code::OutOfRange),
        (path::GET_CONFIG, Bytes::new(), Code::Unimplemented),
        (
            "/mirastack.plugin.v1.EngineService/Nothing",
            Bytes::new(),
            Code::Unimplemented,
        ),
    ] {
        let refused = caller.call(path, message).await.expect_err(path);
        assert_eq!(refused.code(), code, "{path}: {}", refused.message());
    }
    caller
        .call(path::CACHE_SET, large(limits::MESSAGE - 100))
        .await
        .expect("within the limit");
}

#[tokio::test]
async fn a_value_of_15_mib_is_taken_in_base64_and_one_over_the_limit_is_not() {
    let mut tasks = JoinSet::new();
    let mut caller = Caller::start(&mut tasks).await;
    let set = |triples: usize| format!(r#"{{"key":"k","value":"{}"}}"#, "AAAA".repeat(triples));
    let answer = caller.call(path::CACHE_SET, set(5 << 20)).await;
    assert_eq!(answer.expect("15 MiB"), r#"{"success":true}"#);
    let refused = caller.call(path::CACHE_SET, set(8 << 20)).await;
    assert_eq!(refused.expect_err("24 MiB").code(), Code::OutOfRange);
}

fn encode<M: prost::Message + serde::Serialize>(message: &M) -> Bytes {
    proto::wire::encode(message, Form::Protobuf)
}
