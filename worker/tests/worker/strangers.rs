//! What somebody who proves nothing may not do at the engine's service for plugins.

use engine::registry::Kind;
use proto::connection::Connection;
use proto::v1::engine_service_client::EngineServiceClient;
use proto::v1::{self, PluginType};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tonic::{Code, Request};

use crate::peer::Peer;
use crate::remote::restarted;
use crate::yard::{self, Yard, install, quick};

/// An engine with a co-located agent `one`, and a connection of nobody in particular.
async fn engine() -> (Yard, EngineServiceClient<Connection>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound socket").to_string();
    let store = store::embedded::Embedded::inline(
        store::embedded::Place::Memory,
        store::embedded::Options::default(),
    );
    let folder = TempDir::new().expect("a temporary folder");
    install(folder.path(), "one", "good");
    let yard = Yard::at(listener, quick(), folder, store.expect("an empty store")).await;
    let patience = std::time::Duration::from_secs(5);
    let connection = Connection::open(&address.parse().expect("an address"), patience).await;
    let connection = connection.expect("it listens");
    let client = EngineServiceClient::with_origin(connection, Connection::origin());
    (yard, client)
}

fn asking() -> v1::RegisterPluginRequest {
    v1::RegisterPluginRequest {
        name: "guest".to_owned(),
        version: "1".to_owned(),
        grpc_addr: "127.0.0.1:1".to_owned(),
        plugin_type: PluginType::Agent.into(),
        instance_id: "first".to_owned(),
        tenant_id: yard::tenant().to_string(),
    }
}

#[tokio::test]
async fn a_registration_that_is_not_in_order_is_refused_with_its_reason() {
    let (yard, mut client) = engine().await;
    type Change = fn(&mut v1::RegisterPluginRequest);
    let cases: [(Change, &str); 7] = [
        (
            |r| r.name = "one".to_owned(),
            "belongs to an agent that is installed here",
        ),
        (
            |r| r.tenant_id = "other".to_owned(),
            "tenant other not found",
        ),
        (|r| r.instance_id = "a/b".to_owned(), "its instance id"),
        (|r| r.instance_id = String::new(), "its instance id"),
        (
            |r| r.grpc_addr = "192.0.2.1:80".to_owned(),
            "MIRASTACK_PLUGIN_ADVERTISE_ADDR",
        ),
        (|r| r.grpc_addr = "nonsense".to_owned(), "is no address"),
        (|_| {}, "the engine cannot call it back at 127.0.0.1:1"),
    ];
    for (change, why) in cases {
        let mut request = asking();
        change(&mut request);
        let answer = client
            .register_plugin(request)
            .await
            .expect("an answer")
            .into_inner();
        assert!(
            !answer.success && answer.error.contains(why),
            "{why}: {}",
            answer.error
        );
    }
    let guest = Kind::Agents.key(&yard::tenant(), "guest");
    assert_eq!(
        yard.backend
            .registry
            .get(&guest)
            .await
            .expect("an open store"),
        None
    );
}

#[tokio::test]
async fn an_agent_whose_folder_is_gone_is_forgotten_at_the_next_start_and_one_that_registered_is_not()
 {
    let (yard, _) = engine().await;
    install(yard.folder.path(), "two", "good");
    let address = yard.engine.parse().expect("an address");
    let yard = restarted(yard, address, quick()).await;
    let peer = Peer::new(address, "odd", "one").await;
    assert_eq!(peer.registers().await, "");
    let folder = yard.folder.path().join("one");
    std::fs::remove_dir_all(folder).expect("it is there");
    let yard = restarted(yard, address, quick()).await;
    let known = async |name: &str| {
        let key = Kind::Agents.key(&yard::tenant(), name);
        let item = yard.backend.registry.get(&key).await;
        item.expect("an open store").is_some()
    };
    assert!(!known("one").await, "its folder is gone");
    assert!(known("two").await && known("odd").await);
}

#[tokio::test]
async fn who_answers_at_an_address_must_be_who_registered() {
    let (yard, mut client) = engine().await;
    yard.pid("one").await;
    let known = yard.until("one", |i| i.address.is_some()).await;
    let request = v1::RegisterPluginRequest {
        grpc_addr: known.address.expect("it runs"),
        ..asking()
    };
    let answer = client
        .register_plugin(request)
        .await
        .expect("an answer")
        .into_inner();
    assert!(
        answer.error.contains("another instance answers"),
        "{}",
        answer.error
    );
}

#[tokio::test]
async fn without_a_registration_nothing_is_answered_and_a_wrong_token_is_none() {
    let (_yard, mut client) = engine().await;
    let config = |name: &str| v1::GetConfigRequest {
        plugin_name: name.to_owned(),
        tenant_id: yard::tenant().to_string(),
    };
    for name in ["one", "guest"] {
        let refused = client
            .get_config(config(name))
            .await
            .expect_err("a stranger");
        assert_eq!(refused.code(), Code::PermissionDenied, "{name}");
    }
    let cache = v1::CacheGetRequest {
        key: "k".to_owned(),
        tenant_id: yard::tenant().to_string(),
    };
    let refused = client.cache_get(cache).await.expect_err("a stranger");
    assert_eq!(refused.code(), Code::PermissionDenied);
    let beat = v1::HeartbeatRequest {
        name: "guest".to_owned(),
        instance_id: "first".to_owned(),
    };
    let beat = client
        .heartbeat(beat)
        .await
        .expect("an answer")
        .into_inner();
    assert!(beat.acknowledged && beat.re_register_required);
    let mut guessed = Request::new(asking());
    let token = "Bearer guessed".parse().expect("text");
    guessed.metadata_mut().insert("authorization", token);
    let refused = client
        .register_plugin(guessed)
        .await
        .expect_err("no token of ours");
    assert_eq!(refused.code(), Code::Unauthenticated);
}
