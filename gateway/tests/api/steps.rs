//! Steps and items of a run: looked at and settled, by the names that people are shown.

use engine::command::Outcome;
use serde_json::json;

use crate::support::World;
use crate::support::owner::key_of;

const EACH: &str = "\
workflow: each
inputs: { hosts: { type: array } }
steps:
  - id: change
    for_each: inputs.hosts
    key: ${{ item }}
    uses: demo/change
    with: { value: \"${{ item }}\" }
";

#[tokio::test]
async fn an_item_in_doubt_is_found_and_settled_by_the_name_that_is_shown() {
    let world = World::start().await;
    world.save(EACH).await;
    let host = "it's /a b";
    let run = world.run("each", json!({"hosts": [host]})).await;
    world.settled(&run).await;
    let list = world.engineer.get("/api/v1/approvals").await;
    let (id, digest) = (list.items()[0]["id"].as_str(), &list.items()[0]["digest"]);
    let approve = format!("/api/v1/approvals/{}/approve", id.expect("an id"));
    let approved = world.engineer.post(&approve);
    let approved = approved.json(&json!({"digest": digest})).await;
    assert_eq!(approved.status, 200, "{}", approved.json);
    world.owner.grant(&run, 1).await;
    let lost = Outcome::Unknown {
        reason: "the agent died".to_owned(),
        plugin_dead: true,
    };
    let name = format!("change[{host}]");
    world.owner.report(&run, &name, lost).await;
    world.owner.wake(&key_of(&run)).await;

    let shown = world.settled(&run).await;
    let waits = &shown["waiting_for"][0];
    assert_eq!(
        (&waits["kind"], &waits["step"]),
        (&json!("in_doubt"), &json!(name))
    );
    let path = format!("/api/v1/runs/{run}/steps/change%5Bit's%20%2Fa%20b%5D");
    let step = world.engineer.get(&path).await;
    assert_eq!(step.status, 200, "{}", step.json);
    assert_eq!(
        (&step.json["id"], &step.json["attempts"][0]["number"]),
        (&json!(name), &json!(1))
    );
    let other = world.engineer.get(&path.replace("it's", "its")).await;
    assert_eq!(other.code(404), "not_found");
    let word =
        json!({"outcome": "done", "output": {"value": "x"}, "comment": "seen", "attempt": 1});
    let settled = world.engineer.post(&format!("{path}/resolve"));
    assert_eq!(settled.json(&word).await.status, 200);
    assert_eq!(world.settled(&run).await["status"], "succeeded");
}
