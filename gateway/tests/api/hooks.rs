//! Hooks: made, proven, delivered to.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::{Answer, Client, World, config};

/// Starts for each alert of severity page, and waits for consent.
pub(crate) const SILENCES: &str = "\
workflow: silences
on:
  - hook: alerts
    if: event.alert.labels.severity == 'page'
    with: { value: \"${{ event.alert.labels.alertname }}\" }
inputs:
  value: { type: string }
steps:
  - id: change
    uses: demo/change
    with: { value: \"${{ inputs.value }}\" }
";

/// An installation with a hook for alerts; and its secret.
pub(crate) async fn alerts(world: &World) -> String {
    let made = world
        .engineer
        .post("/api/v1/hooks")
        .json(&json!({"hook": "alerts", "type": "alertmanager"}))
        .await;
    assert_eq!(made.status, 201, "{}", made.json);
    assert_eq!(made.json["url"], "/hooks/alerts");
    assert_eq!(made.json["secret_name"], "hook_alerts");
    made.text("secret")
}

pub(crate) fn alert(name: &str, status: &str, starts: &str, ends: &str) -> Value {
    json!({
        "status": status, "labels": {"alertname": name, "severity": "page"}, "annotations": {},
        "startsAt": starts, "endsAt": ends, "generatorURL": "http://prom", "fingerprint": format!("f-{name}"),
    })
}

pub(crate) fn firing(name: &str, starts: &str) -> Value {
    alert(name, "firing", starts, "0001-01-01T00:00:00Z")
}

pub(crate) async fn deliver(client: &Client, alerts: Value) -> Answer {
    deliver_with(client, alerts, 0).await
}

async fn deliver_with(client: &Client, alerts: Value, truncated: u32) -> Answer {
    let body = json!({
        "version": "4", "groupKey": "{}:{}", "truncatedAlerts": truncated, "status": "firing", "receiver": "mirastack",
        "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://am", "alerts": alerts,
    });
    client.post("/hooks/alerts").json(&body).await
}

/// A past minute.
pub(crate) fn at(minute: u32) -> String {
    format!("2026-01-01T00:{minute:02}:00Z")
}

pub(crate) fn ids(answer: &Answer) -> Vec<String> {
    let runs = answer.json["runs"].as_array().expect("runs").iter();
    runs.map(|run| run["id"].as_str().expect("an id").to_owned())
        .collect()
}

pub(crate) async fn runs(world: &World) -> usize {
    world.operator.get("/api/v1/runs").await.items().len()
}

pub(crate) async fn start() -> (World, Client) {
    let world = World::start().await;
    let secret = alerts(&world).await;
    world.save(SILENCES).await;
    let sender = world.nobody.with_token(&secret);
    (world, sender)
}

#[tokio::test]
async fn an_alert_starts_a_run_once_and_its_end_withdraws_it() {
    let (world, sender) = start().await;
    let first = deliver(&sender, json!([firing("Down", &at(1))])).await;
    assert_eq!(first.status, 202);
    assert_eq!(first.json["unmatched"], false);
    let run = ids(&first).pop().expect("one run");
    let shown = world.settled(&run).await;
    assert_eq!(shown["inputs"], json!({"value": "Down"}));
    assert_eq!(shown["requester"], "hook:alerts");
    assert_eq!(shown["trigger"]["fingerprint"], "f-Down");
    assert_eq!(shown["trigger"]["delivery"], first.json["delivery"]);
    assert_eq!(
        shown["trigger"]["event"]["alert"]["labels"]["alertname"],
        "Down"
    );
    let again = deliver(&sender, json!([firing("Down", &at(1))])).await;
    assert_eq!(
        (again.status, &again.json["duplicate"]),
        (200, &json!(true))
    );
    assert_eq!(ids(&again), std::slice::from_ref(&run));
    let over = deliver(&sender, json!([alert("Down", "resolved", &at(1), &at(9))])).await;
    assert_eq!((over.status, ids(&over)), (202, vec![run.clone()]));
    let ended = world
        .operator
        .get(&format!("/api/v1/runs/{run}?wait=20"))
        .await
        .json;
    assert_eq!(
        (&ended["status"], &ended["reason"]),
        (&json!("cancelled"), &json!("alert_resolved"))
    );
    let approvals = world
        .engineer
        .get("/api/v1/approvals?state=withdrawn")
        .await;
    assert_eq!(approvals.items().len(), 1);
    let repeated = deliver(&sender, json!([alert("Down", "resolved", &at(1), &at(9))])).await;
    assert_eq!(repeated.status, 200);
    let late = deliver(&sender, json!([firing("Down", &at(1))])).await;
    assert_eq!(late.status, 200, "a repetition that was on its way");
    assert_eq!(runs(&world).await, 1);
    let anew = deliver(&sender, json!([firing("Down", &at(10))])).await;
    assert_eq!(anew.status, 202);
    assert_eq!(runs(&world).await, 2);
    let by_alert = world
        .operator
        .get("/api/v1/runs?hook=alerts&fingerprint=f-Down")
        .await;
    assert_eq!(by_alert.items().len(), 2);
}

#[tokio::test]
async fn what_has_changed_something_is_not_cancelled_by_the_end_of_its_alert() {
    let (world, sender) = start().await;
    let run = ids(&deliver(&sender, json!([firing("Down", &at(1))])).await)
        .pop()
        .expect("one run");
    world.settled(&run).await;
    let approvals = world.engineer.get("/api/v1/approvals").await;
    let approval = &approvals.items()[0];
    let id = approval["id"].as_str().expect("an id");
    let body = json!({"digest": approval["digest"]});
    assert_eq!(
        world
            .engineer
            .post(&format!("/api/v1/approvals/{id}/approve"))
            .json(&body)
            .await
            .status,
        200
    );
    world.owner.grant(&run, 0).await;
    assert_eq!(
        deliver(&sender, json!([alert("Down", "resolved", &at(1), &at(9))]))
            .await
            .status,
        202
    );
    world
        .owner
        .succeed(&run, "change", json!({"value": "Down"}))
        .await;
    assert_eq!(world.settled(&run).await["status"], "succeeded");
}

#[tokio::test]
async fn alerts_of_one_delivery_count_each_for_itself() {
    let (world, sender) = start().await;
    let mut ticket = firing("Minor", &at(1));
    ticket["labels"]["severity"] = "ticket".into();
    let some = deliver(
        &sender,
        json!([firing("A", &at(1)), firing("B", &at(2)), ticket]),
    )
    .await;
    assert_eq!((some.status, ids(&some).len()), (202, 2));
    let mixed = deliver(&sender, json!([firing("A", &at(1)), firing("C", &at(3))])).await;
    assert_eq!((mixed.status, ids(&mixed).len()), (202, 1));
    let mut bare = firing("Bare", &at(1));
    bare["labels"] = json!({"alertname": "Bare"});
    let none = deliver(&sender, json!([bare])).await;
    assert_eq!(
        (none.status, &none.json["unmatched"]),
        (202, &json!(true)),
        "an absent label is ''"
    );
    assert_eq!(runs(&world).await, 3);
}

#[tokio::test]
async fn a_truncated_delivery_resolves_nothing() {
    let (world, sender) = start().await;
    let run = ids(&deliver(&sender, json!([firing("Down", &at(1))])).await)
        .pop()
        .expect("one run");
    let cut = deliver_with(
        &sender,
        json!([alert("Down", "resolved", &at(1), &at(9))]),
        3,
    )
    .await;
    assert_eq!(cut.status, 202);
    assert_eq!(world.settled(&run).await["status"], "waiting");
}

#[tokio::test]
async fn many_deliveries_of_one_alert_at_once_are_one_run() {
    let (world, sender) = start().await;
    let same = || {
        deliver(
            &sender,
            json!([firing("Down", &at(1)), firing("Down", &at(1))]),
        )
    };
    let all = futures::future::join_all((0..12).map(|_| same())).await;
    let found: std::collections::BTreeSet<String> = all.iter().flat_map(ids).collect();
    assert_eq!(found.len(), 1);
    assert_eq!(runs(&world).await, 1);
}

#[tokio::test]
async fn an_event_that_fits_no_input_is_never_swallowed() {
    let (world, sender) = start().await;
    world
        .save(&SILENCES.replace("event.alert.labels.alertname", "event.body.nope"))
        .await;
    let answer = deliver(&sender, json!([firing("Down", &at(1))])).await;
    assert_eq!(answer.status, 202);
    let run = world.settled(&ids(&answer)[0]).await;
    assert_eq!(
        (&run["status"], &run["error"]["code"]),
        (&json!("failed"), &json!("trigger_error"))
    );
    let deliveries = deliveries(&world, "alerts", |d| d["outcome"] == "error").await;
    assert_eq!(deliveries["runs"], json!([run["id"]]));
}

/// A delivery that is noted beside the answer.
async fn deliveries(world: &World, hook: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    loop {
        let list = world
            .engineer
            .get(&format!("/api/v1/hooks/{hook}/deliveries"))
            .await;
        if let Some(found) = list.items().iter().find(|d| wanted(d)) {
            return found.clone();
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn per_group_is_one_run_for_all_its_alerts() {
    let (world, sender) = start().await;
    let text = SILENCES
        .replace("workflow: silences", "workflow: groups")
        .replace(
            "    if: event.alert.labels.severity == 'page'\n",
            "    per: group\n",
        )
        .replace("event.alert.labels.alertname", "string(size(event.alerts))");
    world.save(&text).await;
    assert_eq!(
        world
            .engineer
            .delete("/api/v1/workflows/silences")
            .empty()
            .await
            .status,
        204
    );
    let first = deliver(&sender, json!([firing("A", &at(1)), firing("B", &at(2))])).await;
    let run = ids(&first).pop().expect("one run");
    assert_eq!(world.settled(&run).await["inputs"], json!({"value": "2"}));
    let more = deliver(&sender, json!([firing("A", &at(1)), firing("C", &at(3))])).await;
    assert_eq!(more.status, 200);
    let some = deliver(
        &sender,
        json!([alert("A", "resolved", &at(1), &at(4)), firing("C", &at(3))]),
    )
    .await;
    assert_eq!(some.status, 200, "one still fires");
    let all = deliver(
        &sender,
        json!([
            alert("A", "resolved", &at(1), &at(4)),
            alert("C", "resolved", &at(3), &at(5))
        ]),
    )
    .await;
    assert_eq!(all.status, 202);
    let run = world
        .operator
        .get(&format!("/api/v1/runs/{run}?wait=20"))
        .await
        .json;
    assert_eq!(run["status"], "cancelled");
}

#[tokio::test]
async fn the_end_of_an_alert_can_start_a_run_too() {
    let (world, sender) = start().await;
    world
        .save(&SILENCES.replacen("    with:", "    resolved: start\n    with:", 1))
        .await;
    assert_eq!(
        ids(&deliver(&sender, json!([firing("Down", &at(1))])).await).len(),
        1
    );
    let over = json!([alert("Down", "resolved", &at(1), &at(9))]);
    let answer = deliver(&sender, over.clone()).await;
    assert_eq!((answer.status, ids(&answer).len()), (202, 2));
    assert_eq!(deliver(&sender, over).await.status, 200);
    assert_eq!(runs(&world).await, 2);
    let open = world
        .operator
        .get("/api/v1/runs?status=queued,running,waiting")
        .await;
    assert_eq!(open.items().len(), 2, "nothing was cancelled");
}

#[tokio::test]
async fn whoever_cannot_prove_it_is_told_nothing() {
    let (world, sender) = start().await;
    let body = json!([firing("Down", &at(1))]);
    for forged in ["", "wrong", "hook_alerts"] {
        let answer = deliver(&world.nobody.with_token(forged), body.clone()).await;
        assert_eq!(answer.code(401), "unauthenticated");
        assert_eq!(answer.json["detail"], "not authenticated");
    }
    assert_eq!(deliver(&world.nobody, body.clone()).await.status, 401);
    assert_eq!(
        deliver(&world.admin, body.clone()).await.status,
        401,
        "a token of the API is no proof here"
    );
    let refused = deliveries(&world, "alerts", |d| d["outcome"] == "refused").await;
    assert!(refused["headers"].get("authorization").is_none());
    assert_eq!(runs(&world).await, 0);
    assert_eq!(
        sender.post("/hooks/nope").json(&json!({})).await.code(404),
        "not_found"
    );
    assert_eq!(
        sender
            .post("/hooks/acme/alerts")
            .json(&json!({}))
            .await
            .code(404),
        "not_found"
    );
    let garbage = sender
        .post("/hooks/alerts")
        .json(&json!({"alerts": 1}))
        .await;
    assert_eq!(garbage.code(400), "malformed");
    let own = sender
        .post("/hooks/default/alerts")
        .json(&json!({"alerts": []}))
        .await;
    assert_eq!((own.status, &own.json["unmatched"]), (202, &json!(true)));
}

#[tokio::test]
async fn over_its_rate_alertmanager_is_told_to_come_again() {
    let world = World::start().await;
    let made = world.engineer.post("/api/v1/hooks");
    let made = made
        .json(&json!({"hook": "alerts", "type": "alertmanager", "rate": {"max": 1, "per": "1h"}}))
        .await;
    let sender = world.nobody.with_token(&made.text("secret"));
    assert_eq!(deliver(&sender, json!([])).await.status, 202);
    let over = deliver(&sender, json!([])).await;
    assert_eq!(over.code(503), "rate_limited");
    assert!(
        over.header("retry-after")
            .parse::<u32>()
            .is_ok_and(|s| s > 3_000)
    );
    let forged = deliver(&world.nobody.with_token("x"), json!([])).await;
    assert_eq!(forged.status, 401, "strangers use nothing up");
}

#[tokio::test]
async fn under_overload_a_delivery_is_refused_and_not_lost() {
    let mut config = config();
    config.deliveries = 0;
    let world = World::with(config).await;
    let secret = alerts(&world).await;
    let answer = deliver(&world.nobody.with_token(&secret), json!([])).await;
    assert_eq!(answer.code(503), "unavailable");
    assert_eq!(answer.header("retry-after"), "1");
}

pub(crate) fn signed(secret: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key");
    mac.update(body.as_bytes());
    let mut text = "sha256=".to_owned();
    for byte in mac.finalize().into_bytes() {
        write!(text, "{byte:02x}").expect("memory");
    }
    text
}

#[tokio::test]
async fn a_generic_event_is_signed_and_stands_for_itself_once() {
    let world = World::start().await;
    let body = json!({"hook": "builds", "type": "generic", "dedupe": "event.body.id", "headers": ["X-Build"]});
    let made = world.engineer.post("/api/v1/hooks").json(&body).await;
    let secret = made.text("secret");
    let text = "workflow: builds\non:\n  - hook: builds\n    with: { value: \"${{ event.headers['x-build'] + '/' + string(event.body.id) }}\" }\n\
                inputs:\n  value: { type: string }\nsteps:\n  - id: read\n    uses: demo/read\n    with: { value: \"${{ inputs.value }}\" }\n";
    world.save(text).await;
    let deliver = |body: &str, signature: String, build: &str| {
        let ask = world
            .nobody
            .post("/hooks/builds")
            .header("content-type", "application/json");
        let ask = ask
            .header("x-mirastack-signature", &signature)
            .header("x-build", build);
        let body = body.to_owned();
        async move { ask.send(Some(body)).await }
    };
    let event = r#"{"id": 42}"#;
    let first = deliver(event, signed(&secret, event), "7").await;
    assert_eq!(
        (first.status, ids(&first).len()),
        (202, 1),
        "{}",
        first.json
    );
    let run = world
        .operator
        .get(&format!("/api/v1/runs/{}", ids(&first)[0]))
        .await
        .json;
    assert_eq!(run["inputs"]["value"], "7/42");
    let other_headers = deliver(event, signed(&secret, event), "8").await;
    assert_eq!(
        (other_headers.status, ids(&other_headers)),
        (200, ids(&first)),
        "whatever the unsigned headers say"
    );
    let spaced = r#"{ "id": 42 }"#;
    assert_eq!(
        deliver(spaced, signed(&secret, spaced), "7").await.status,
        200,
        "the same event in other bytes"
    );
    assert_eq!(
        deliver(spaced, signed(&secret, event), "7").await.status,
        401
    );
    assert_eq!(
        deliver(event, signed("other", event), "7").await.status,
        401
    );
    assert_eq!(
        deliver("{", signed(&secret, "{"), "7").await.code(400),
        "malformed"
    );
    let without = r#"{"x": 1}"#;
    let failed = deliver(without, signed(&secret, without), "7").await;
    assert_eq!(failed.status, 202);
    let run = world.settled(&ids(&failed)[0]).await;
    assert_eq!(run["error"]["code"], "trigger_error");
    assert_eq!(runs(&world).await, 2);
}

#[tokio::test]
async fn a_json_document_gets_its_secret_made_whatever_the_order_of_its_keys() {
    let world = World::start().await;
    let made = world.engineer.put("/api/v1/hooks/ours");
    let made = made
        .json(&json!({"description": "first by name", "hook": "ours", "type": "alertmanager"}))
        .await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert!(made.json["secret"].is_string(), "{}", made.body);
    assert_eq!(made.json["auth"]["bearer"][0], "${{ secrets.hook_ours }}");
}

#[tokio::test]
async fn a_hook_names_secrets_that_are_there() {
    let world = World::start().await;
    let text = "hook: named\ntype: alertmanager\nauth: { bearer: [\"${{ secrets.tok }}\"] }\n";
    let missing = world.engineer.put("/api/v1/hooks/named").yaml(text).await;
    assert_eq!(missing.json["errors"][0]["pointer"], "/auth/bearer/0");
    let set = world
        .admin
        .put("/api/v1/secrets/tok")
        .json(&json!({"value": "known-token"}))
        .await;
    assert_eq!(set.status, 201);
    let saved = world.engineer.put("/api/v1/hooks/named").yaml(text).await;
    assert_eq!((saved.status, saved.json.get("secret")), (201, None));
    let back = world
        .engineer
        .ask(reqwest::Method::GET, "/api/v1/hooks/named");
    assert_eq!(
        back.header("accept", "application/yaml").empty().await.body,
        text
    );
    let sender = world.nobody.with_token("known-token");
    let empty = json!({"alerts": []});
    assert_eq!(sender.post("/hooks/named").json(&empty).await.status, 202);
    let rotated = world
        .admin
        .put("/api/v1/secrets/tok")
        .json(&json!({"value": "next-token"}))
        .await;
    assert_eq!(rotated.status, 200);
    assert_eq!(sender.post("/hooks/named").json(&empty).await.status, 401);
    assert_eq!(
        world
            .nobody
            .with_token("next-token")
            .post("/hooks/named")
            .json(&empty)
            .await
            .status,
        202
    );
    assert_eq!(
        world
            .engineer
            .delete("/api/v1/hooks/named")
            .empty()
            .await
            .status,
        204
    );
    assert_eq!(
        sender.post("/hooks/named").json(&empty).await.code(404),
        "not_found"
    );
}

#[tokio::test]
async fn a_made_secret_is_shown_once_and_kept_when_the_hook_changes() {
    let world = World::start().await;
    let secret = alerts(&world).await;
    let text = "hook: alerts\ntype: alertmanager\ndescription: ours\n";
    let changed = world.engineer.put("/api/v1/hooks/alerts").yaml(text).await;
    assert_eq!(
        (changed.status, changed.json.get("secret")),
        (200, None),
        "{}",
        changed.json
    );
    assert_eq!(changed.json["revision"], 2);
    assert_eq!(
        deliver(&world.nobody.with_token(&secret), json!([]))
            .await
            .status,
        202
    );
    let again = world.engineer.post("/api/v1/hooks").yaml(text).await;
    assert_eq!(again.code(409), "conflict");
    let above = json!({"hook": "h", "type": "alertmanager", "role": "admin"});
    assert_eq!(
        world
            .engineer
            .post("/api/v1/hooks")
            .json(&above)
            .await
            .code(403),
        "forbidden"
    );
    let keyed = world
        .engineer
        .post("/api/v1/hooks")
        .header("idempotency-key", "k");
    assert_eq!(
        keyed
            .json(&json!({"hook": "h", "type": "alertmanager"}))
            .await
            .code(400),
        "malformed"
    );
}

#[tokio::test]
async fn a_hook_takes_no_secret_that_somebody_else_has_set() {
    let world = World::start().await;
    let set = |secret: &'static str| {
        let ask = world.admin.put("/api/v1/secrets/hook_pager");
        async move { ask.json(&json!({"value": secret})).await }
    };
    let set_by_an_admin = set("of the admin").await;
    assert!(set_by_an_admin.status < 300, "{}", set_by_an_admin.json);
    let document = json!({"hook": "pager", "type": "alertmanager"});
    let make = || world.engineer.post("/api/v1/hooks").json(&document);
    assert_eq!(make().await.code(409), "conflict");
    let kept = world.admin.get("/api/v1/secrets/hook_pager").await;
    assert_eq!(kept.json["version"], 1, "it is as the admin has set it");

    let gone = world.admin.delete("/api/v1/secrets/hook_pager");
    assert_eq!(gone.empty().await.status, 204);
    assert_eq!(make().await.status, 201);
    let hook = world.engineer.delete("/api/v1/hooks/pager");
    assert_eq!(hook.empty().await.status, 204);
    let again = make().await;
    assert_eq!(
        again.status, 201,
        "the secret is that of the hook before: {}",
        again.json
    );
    assert!(again.json["secret"].is_string());
}
