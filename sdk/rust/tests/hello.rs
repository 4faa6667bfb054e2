//! The example holds what the SDK promises.

use mirastack_sdk::testing::{Call, Harness};
use proto::v1::Change;
use serde_json::json;

#[path = "../examples/hello.rs"]
#[expect(dead_code, reason = "a test has a main of its own")]
mod hello;

#[test]
fn an_agent_is_written_in_fifty_lines() {
    assert!(include_str!("../examples/hello.rs").lines().count() <= 50);
}

#[tokio::test]
async fn hello_greets_and_holds() {
    let harness = Harness::start(hello::agent()).await;
    let greet = Call::new("greet", json!({ "name": "Ada" }));
    let outcome = harness.run(&greet).await;
    assert_eq!(outcome.output(), json!({ "text": "Hello, Ada!" }));
    assert_eq!(outcome.log, ["greeting Ada"]);
    harness
        .configure(&[("word", "Servus")])
        .await
        .expect("a declared setting");
    let outcome = harness.run(&greet).await;
    assert_eq!(outcome.output(), json!({ "text": "Servus, Ada!" }));
    let nobody = harness
        .run(&Call::new("greet", json!({ "name": "" })))
        .await;
    assert_eq!(nobody.failure(), ("nobody", Change::Unspecified));
    harness
        .fail_every_action_in_turn(std::slice::from_ref(&greet))
        .await;
    harness.run_every_action_twice(&[greet]).await;
    assert_eq!(harness.health().await, Ok("in a good mood".to_owned()));
}
