use proto::address::Address;
use proto::connection::Connection;
use proto::v1::engine_service_client::EngineServiceClient;
use proto::v1::{
    CacheGetBatchRequest, CacheSetRequest, GetConfigRequest, HeartbeatRequest, LogEventRequest,
    PublishResultRequest, RegisterPluginRequest,
};
use serde_json::json;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tonic::{Code, Request, Response, Status};

use crate::yard::Yard;

type Engine = EngineServiceClient<Connection>;

async fn engine(yard: &Yard) -> Engine {
    let address: Address = yard.engine.parse().expect("an address");
    let connection = Connection::open(&address, Duration::from_secs(5)).await;
    EngineServiceClient::with_origin(connection.expect("it listens"), Connection::origin())
        .max_encoding_message_size(64 << 20)
}

async fn token(yard: &Yard, agent: &str) -> String {
    let told = yard.result(agent, json!({ "do": "token" })).await;
    told["token"].as_str().expect("a token").to_owned()
}

fn with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let bearer = format!("Bearer {token}").parse().expect("text");
    request.metadata_mut().insert("authorization", bearer);
    request
}

fn code<T>(answer: Result<Response<T>, Status>) -> Code {
    answer.map_or_else(|status| status.code(), |_| Code::Ok)
}

fn registration(name: &str, instance: &str, tenant: &str) -> RegisterPluginRequest {
    RegisterPluginRequest {
        name: name.to_owned(),
        instance_id: instance.to_owned(),
        tenant_id: tenant.to_owned(),
        ..RegisterPluginRequest::default()
    }
}

#[tokio::test]
async fn a_token_is_good_for_its_own_instance_and_its_own_name() {
    let yard = Yard::new(&[("one", "good"), ("two", "good")]).await;
    let (one, two) = (token(&yard, "one").await, token(&yard, "two").await);
    let mut engine = engine(&yard).await;
    let cases = [
        (
            &one,
            registration("one", "one", "default"),
            Code::Ok,
            "again",
        ),
        (
            &one,
            registration("one", "one", ""),
            Code::Ok,
            "without a tenant",
        ),
        (
            &one,
            registration("one", "second", "default"),
            Code::PermissionDenied,
            "twice, as another",
        ),
        (
            &one,
            registration("one", "", "default"),
            Code::PermissionDenied,
            "nameless",
        ),
        (
            &one,
            registration("two", "one", "default"),
            Code::PermissionDenied,
            "as its neighbour",
        ),
        (
            &two,
            registration("one", "one", "default"),
            Code::PermissionDenied,
            "with the neighbour's token",
        ),
        (
            &one,
            registration("one", "one", "acme"),
            Code::PermissionDenied,
            "for another tenant",
        ),
        (
            &String::new(),
            registration("one", "one", ""),
            Code::Unauthenticated,
            "with no token",
        ),
        (
            &"0".repeat(64),
            registration("one", "one", ""),
            Code::Unauthenticated,
            "with a guess",
        ),
    ];
    for (token, message, expected, what) in cases {
        let answer = engine.register_plugin(with(token, message)).await;
        assert_eq!(code(answer), expected, "{what}");
    }
}

#[tokio::test]
async fn a_token_ends_with_the_process_that_it_was_given_to() {
    let yard = Yard::new(&[("one", "good"), ("two", "good")]).await;
    let (one, two) = (token(&yard, "one").await, token(&yard, "two").await);
    let mut engine = engine(&yard).await;
    let config = || GetConfigRequest {
        plugin_name: "one".to_owned(),
        ..GetConfigRequest::default()
    };
    assert_eq!(
        code(engine.get_config(with(&one, config())).await),
        Code::Ok
    );
    yard.act("one", json!({ "do": "die" })).await;
    let next = token(&yard, "one").await;
    assert_ne!(next, one);
    let old = engine.get_config(with(&one, config())).await;
    assert_eq!(
        code(old),
        Code::Unauthenticated,
        "of a process that is gone"
    );
    assert_eq!(
        code(engine.get_config(with(&next, config())).await),
        Code::Ok
    );
    assert_eq!(token(&yard, "two").await, two, "the other one was touched");
}

#[tokio::test]
async fn call_backs_are_bounded_and_about_what_the_plugin_runs_now() {
    let yard = Yard::new(&[("one", "good"), ("two", "good")]).await;
    let (one, two) = (token(&yard, "one").await, token(&yard, "two").await);
    let mut engine = engine(&yard).await;
    let run = crate::yard::job("one").key.run.to_string();
    for execution_id in [run.as_str(), "", "../..", "\u{0}", &"9".repeat(10_000)] {
        let message = PublishResultRequest {
            execution_id: execution_id.to_owned(),
            ..PublishResultRequest::default()
        };
        let answer = engine.publish_result(with(&one, message)).await;
        assert_eq!(code(answer), Code::PermissionDenied, "{execution_id:.20?}");
    }
    let set = |key: String, bytes: usize| CacheSetRequest {
        key,
        value: vec![7; bytes].into(),
        ttl_seconds: i64::MIN,
        tenant_id: "default".to_owned(),
    };
    let key = || "k".to_owned();
    for (message, expected) in [
        (set(key(), 1), Code::Ok),
        (set(String::new(), 1), Code::InvalidArgument),
        (set("k".repeat(1_025), 1), Code::InvalidArgument),
        (set(key(), 5 << 20), Code::OutOfRange),
    ] {
        let (length, answer) = (
            message.key.len(),
            engine.cache_set(with(&one, message)).await,
        );
        assert_eq!(code(answer), expected, "a key of {length}");
    }
    let get = |keys: Vec<String>| CacheGetBatchRequest {
        keys,
        tenant_id: "default".to_owned(),
    };
    let many = engine
        .cache_get_batch(with(&one, get(vec![key(); 1_001])))
        .await;
    assert_eq!(code(many), Code::InvalidArgument);
    let foreign = engine.cache_get_batch(with(&two, get(vec![key()]))).await;
    let foreign = foreign.expect("its own cache").into_inner();
    assert!(!foreign.entries[0].found, "another plugin's cache");
    let long = LogEventRequest {
        event_type: "x".repeat(1 << 20),
        ..LogEventRequest::default()
    };
    assert_eq!(
        code(engine.log_event(with(&one, long)).await),
        Code::OutOfRange
    );
    let beat = HeartbeatRequest {
        name: "two".to_owned(),
        instance_id: "one".to_owned(),
    };
    let beat = engine.heartbeat(with(&one, beat)).await.expect("an answer");
    assert!(beat.into_inner().acknowledged);
}

#[tokio::test]
async fn strangers_at_the_engine_s_door_keep_no_plugin_out() {
    let yard = Yard::new(&[("one", "good")]).await;
    let mut open = Vec::new();
    let half_a_frame = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x40";
    let words: [&[u8]; 5] = [
        b"",
        half_a_frame,
        b"GET / HTTP/1.1\r\n\r\n",
        &[0xff; 4096],
        b"\x16\x03\x01",
    ];
    for n in 0..200 {
        let mut stream = TcpStream::connect(&yard.engine).await.expect("it listens");
        // A stranger that was shut out is what is wanted.
        let _ = stream.write_all(words[n % words.len()]).await;
        open.push(stream);
    }
    // It must register with the same door before it can answer.
    yard.pid("one").await;
    drop(open);
}
