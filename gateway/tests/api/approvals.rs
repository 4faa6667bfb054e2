//! Approvals: the card, the decision, its rules.

use serde_json::{Value, json};

use crate::support::{Answer, CHANGES, Client, World};

/// A run that waits for consent, and the approval.
async fn asked(world: &World) -> (String, Value) {
    world.save(CHANGES).await;
    let run = world.run("changes", json!({"value": "5"})).await;
    world.settled(&run).await;
    let list = world.engineer.get("/api/v1/approvals?state=pending").await;
    let approval = list.items().first().expect("one approval").clone();
    (run, approval)
}

async fn decide(client: &Client, approval: &Value, verb: &str, body: Value) -> Answer {
    let id = approval["id"].as_str().expect("an id");
    client
        .post(&format!("/api/v1/approvals/{id}/{verb}"))
        .json(&body)
        .await
}

#[tokio::test]
async fn the_card_shows_exactly_what_is_consented_to() {
    let world = World::start().await;
    let (run, approval) = asked(&world).await;
    let id = approval["id"].as_str().expect("an id");
    let card = world
        .engineer
        .get(&format!("/api/v1/approvals/{id}"))
        .await
        .json;
    assert_eq!(card, approval, "the list shows the same");
    assert_eq!(card["run"], run.as_str());
    assert_eq!(card["step"], "change");
    assert_eq!(card["action"], "demo/change");
    assert_eq!(card["permission"], "MODIFY");
    assert_eq!(card["params"], json!({"value": "5"}));
    assert_eq!(
        card["sources"]["value"],
        json!(["source=input:value", "tenant=default", "trust=person"])
    );
    assert_eq!(card["requester"], "key:otto");
    assert_eq!(card["i_may_decide"], true);
    assert_eq!(card["digest"].as_str().map(str::len), Some(64));
    let operator = world
        .operator
        .get(&format!("/api/v1/approvals/{id}"))
        .await
        .json;
    assert_eq!(operator["i_may_decide"], false);
    let mine = world
        .operator
        .get("/api/v1/approvals?i_may_decide=true")
        .await;
    assert_eq!(mine.items().len(), 0);
    let theirs = world
        .engineer
        .get("/api/v1/approvals?i_may_decide=true")
        .await;
    assert_eq!(theirs.items().len(), 1);
}

#[tokio::test]
async fn the_card_of_every_call_shows_what_stands_beside_a_secret() {
    let world = World::start().await;
    let secret = world.admin.put("/api/v1/secrets/tok");
    assert_eq!(secret.json(&json!({"value": "canary"})).await.status, 201);
    let text = r#"
workflow: sends
inputs: { hosts: { type: array } }
steps:
  - id: send
    for_each: inputs.hosts
    uses: demo/change
    with: { value: "https://${{ item }}/hook?t=${{ secrets.tok }}" }
"#;
    world.save(text).await;
    let run = world.run("sends", json!({"hosts": ["a", "evil"]})).await;
    let run = world.settled(&run).await;
    assert_eq!(run["status"], "waiting", "{run}");
    let list = world.engineer.get("/api/v1/approvals").await;
    let items = &list.items()[0]["items"];
    for (n, host) in ["a", "evil"].into_iter().enumerate() {
        let expected = json!([{"pointer": "/value", "parts": [
            {"text": format!("https://{host}/hook?t=")}, {"secret": {"name": "tok", "version": 1}}]}]);
        assert_eq!(items[n]["secrets"], expected, "{items}");
    }
}

#[tokio::test]
async fn only_the_shown_digest_is_approved_and_only_once() {
    let world = World::start().await;
    let (run, approval) = asked(&world).await;
    let digest = &approval["digest"];
    let other = json!({"digest": "0".repeat(64)});
    assert_eq!(
        decide(&world.engineer, &approval, "approve", other)
            .await
            .code(409),
        "approval_changed"
    );
    let no = decide(
        &world.engineer,
        &approval,
        "approve",
        json!({"digest": "x"}),
    )
    .await;
    assert_eq!(no.code(422), "invalid");
    let done = decide(
        &world.engineer,
        &approval,
        "approve",
        json!({"digest": digest, "comment": "ok"}),
    )
    .await;
    assert_eq!(
        (done.status, &done.json["state"]),
        (200, &json!("approved"))
    );
    assert_eq!(done.json["decisions"][0]["who"], "key:eve");
    assert_eq!(done.json["decisions"][0]["comment"], "ok");
    let prefixed = format!("sha256:{}", digest.as_str().expect("a digest"));
    let again = decide(
        &world.engineer,
        &approval,
        "approve",
        json!({"digest": prefixed}),
    )
    .await;
    assert_eq!(again.status, 200, "one's own same decision again");
    let changed = decide(
        &world.engineer,
        &approval,
        "reject",
        json!({"digest": digest}),
    )
    .await;
    assert_eq!(changed.code(409), "approval_closed");
    world.owner.grant(&run, 0).await;
    world
        .owner
        .succeed(&run, "change", json!({"value": "5"}))
        .await;
    let run = world.settled(&run).await;
    assert_eq!(run["status"], "succeeded");
    let expected = json!([{"step": "change", "item": null, "action": "demo/change", "permission": "MODIFY", "outcome": "succeeded"}]);
    assert_eq!(run["changes"], expected);
}

#[tokio::test]
async fn a_refusal_ends_the_run() {
    let world = World::start().await;
    let (run, approval) = asked(&world).await;
    let done = decide(
        &world.engineer,
        &approval,
        "reject",
        json!({"digest": approval["digest"]}),
    )
    .await;
    assert_eq!(done.json["state"], "rejected");
    let run = world.settled(&run).await;
    assert_eq!(
        (&run["status"], &run["error"]["code"]),
        (&json!("rejected"), &json!("rejected"))
    );
    let late = decide(
        &world.admin,
        &approval,
        "approve",
        json!({"digest": approval["digest"]}),
    )
    .await;
    assert_eq!(late.code(409), "approval_closed");
}

#[tokio::test]
async fn an_admin_step_takes_an_admin() {
    let world = World::start().await;
    let text =
        "workflow: wipes\nsteps:\n  - id: wipe\n    uses: demo/wipe\n    with: { value: x }\n";
    assert_eq!(
        world
            .admin
            .put("/api/v1/workflows/wipes")
            .yaml(text)
            .await
            .status,
        201
    );
    let run = world.run("wipes", json!({})).await;
    world.settled(&run).await;
    let list = world.engineer.get("/api/v1/approvals").await;
    let approval = &list.items()[0];
    assert_eq!(approval["i_may_decide"], false);
    let body = json!({"digest": approval["digest"]});
    assert_eq!(
        decide(&world.engineer, approval, "approve", body.clone())
            .await
            .code(403),
        "forbidden"
    );
    assert_eq!(
        decide(&world.operator, approval, "approve", body.clone())
            .await
            .code(403),
        "forbidden"
    );
    assert_eq!(
        decide(&world.admin, approval, "approve", body).await.status,
        200
    );
}

#[tokio::test]
async fn what_is_no_approval_is_not_found() {
    let world = World::start().await;
    let (run, _) = asked(&world).await;
    for id in [
        "x",
        &run,
        &format!("{run}.0"),
        &format!("{run}.9.1"),
        &format!("{run}.0.2"),
        "0197c0de-1111-7abc-8def-0123456789ab.0.1",
    ] {
        let answer = world.engineer.get(&format!("/api/v1/approvals/{id}")).await;
        assert_eq!(answer.code(404), "not_found", "{id}");
    }
    assert_eq!(
        world
            .engineer
            .get("/api/v1/approvals?state=open")
            .await
            .code(400),
        "malformed"
    );
}

#[tokio::test]
async fn states_that_exclude_each_other_and_none_at_all_list_nothing() {
    let world = World::start().await;
    asked(&world).await;
    let listed = async |query: &str| {
        let path = format!("/api/v1/approvals{query}");
        world.engineer.get(&path).await.items().len()
    };
    assert_eq!(listed("?state=pending,used").await, 1);
    assert_eq!(listed("?state=pending,used&state=pending").await, 1);
    for nothing in ["state=pending&state=used", "state=", "state=,"] {
        assert_eq!(listed(&format!("?{nothing}")).await, 0, "{nothing}");
        let mine = format!("?i_may_decide=true&{nothing}");
        assert_eq!(listed(&mine).await, 0, "{nothing}");
    }
}

#[tokio::test]
async fn what_one_may_decide_is_what_one_may_still_decide() {
    let world = World::start().await;
    let mine = async |query: &str| {
        let path = format!("/api/v1/approvals?i_may_decide=true{query}");
        let list = world.engineer.get(&path).await;
        list.items()
            .iter()
            .map(|card| card["state"].clone())
            .collect::<Vec<_>>()
    };
    world.save(TWO).await;
    let run = world.run("two", json!({})).await;
    world.settled(&run).await;
    assert_eq!(mine("").await, ["pending"]);
    let list = world.engineer.get("/api/v1/approvals").await;
    let digest = json!({"digest": list.items()[0]["digest"]});
    let half = decide(&world.engineer, &list.items()[0], "approve", digest).await;
    assert_eq!(half.json["state"], "pending", "{}", half.json);
    assert!(mine("").await.is_empty(), "one has decided it already");

    let (_, rejected) = asked(&world).await;
    let digest = json!({"digest": rejected["digest"]});
    decide(&world.admin, &rejected, "reject", digest).await;
    assert!(mine("").await.is_empty());
    assert!(mine("&state=rejected").await.is_empty());
}

/// Two people must agree.
const TWO: &str = "\
workflow: two
steps:
  - id: change
    uses: demo/change
    with: { value: x }
    approval: { quorum: 2 }
";
