//! Runs: started, waited for, looked at, followed, stopped.

use engine::record::{Encoded, Record};
use futures::StreamExt;
use serde_json::{Value, json};

use crate::support::owner::key_of;
use crate::support::{CHANGES, READS, WAITS, World};

#[tokio::test]
async fn a_run_is_accepted_looked_at_and_ends() {
    let world = World::start().await;
    world.save(READS).await;
    let answer = world
        .operator
        .post("/api/v1/workflows/reads/runs")
        .json(&json!({"inputs": {"value": "v"}, "labels": {"release": "7"}}))
        .await;
    assert_eq!(answer.status, 202);
    let id = answer.text("id");
    assert_eq!(answer.header("location"), format!("/api/v1/runs/{id}"));
    world
        .owner
        .succeed(&id, "read", json!({"value": "v"}))
        .await;
    let run = world.settled(&id).await;
    assert_eq!(run["status"], "succeeded");
    assert_eq!(run["outputs"], json!({"value": "v"}));
    assert_eq!(run["inputs"], json!({"value": "v", "window": "30m"}));
    assert_eq!(run["labels"], json!({"team": "payments", "release": "7"}));
    assert_eq!(run["requester"], "key:otto");
    assert_eq!(run["trigger"]["kind"], "api");
    assert_eq!(run["steps"][0]["action"], "demo/read");
    assert_eq!(run["steps"][0]["output"], json!({"value": "v"}));
}

#[tokio::test]
async fn preferring_to_wait_answers_the_ended_run_or_202() {
    let world = World::start().await;
    world.save(READS).await;
    world.save(WAITS).await;
    let started = world
        .operator
        .post("/api/v1/workflows/reads/runs")
        .header("prefer", "wait=30")
        .header("idempotency-key", "k1");
    let body = json!({"inputs": {"value": "v"}});
    let ends = async {
        let list = loop {
            let list = world.operator.get("/api/v1/runs").await;
            if !list.items().is_empty() {
                break list;
            }
        };
        let id = list.items()[0]["id"].as_str().expect("an id").to_owned();
        world
            .owner
            .succeed(&id, "read", json!({"value": "v"}))
            .await;
    };
    let (answer, ()) = tokio::join!(biased; started.json(&body), ends);
    assert_eq!(
        (answer.status, &answer.json["status"]),
        (200, &json!("succeeded"))
    );
    let waits = world
        .operator
        .post("/api/v1/workflows/waits/runs")
        .header("prefer", "wait=0")
        .json(&json!({}))
        .await;
    assert_eq!(waits.status, 202);
}

#[tokio::test]
async fn wrong_inputs_are_all_told_and_nothing_is_started() {
    let world = World::start().await;
    world.save(READS).await;
    let start = |body: Value| {
        let ask = world.operator.post("/api/v1/workflows/reads/runs");
        async move { ask.json(&body).await }
    };
    let wrong = start(json!({"inputs": {"valu": "v", "window": "soon"}})).await;
    assert_eq!(wrong.code(422), "invalid");
    let pointers: Vec<&str> = wrong.json["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .map(|e| e["pointer"].as_str().expect("a pointer"))
        .collect();
    assert_eq!(
        pointers,
        ["/inputs/valu", "/inputs/value", "/inputs/window"]
    );
    assert_eq!(start(json!({"input": {}})).await.code(422), "invalid");
    assert_eq!(world.operator.get("/api/v1/runs").await.items().len(), 0);
    let dry = start(json!({"inputs": {"value": "v"}, "dry_run": true})).await;
    assert_eq!(dry.json["inputs"], json!({"value": "v", "window": "30m"}));
    assert_eq!(world.operator.get("/api/v1/runs").await.items().len(), 0);
    let nothing = json!({});
    let missing = world
        .operator
        .post("/api/v1/workflows/nope/runs")
        .json(&nothing);
    assert_eq!(missing.await.code(404), "not_found");
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let world = World::start().await;
    world.save(READS).await;
    world.save(WAITS).await;
    for value in ["a", "b", "c"] {
        world.run("reads", json!({"value": value})).await;
    }
    let waits = world.run("waits", json!({})).await;
    world.settled(&waits).await;
    let operator = &world.operator;
    let list = |query: &'static str| async move {
        let answer = operator.get(&format!("/api/v1/runs?{query}")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.items().len()
    };
    assert_eq!(list("").await, 4);
    assert_eq!(list("workflow=reads").await, 3);
    assert_eq!(list("workflow=reads,waits").await, 4);
    assert_eq!(list("workflow=reads&workflow=waits").await, 0);
    assert_eq!(list("label=team%3Dpayments").await, 3);
    assert_eq!(list("label=team%3Dother").await, 0);
    assert_eq!(list("requester=key:otto&status=running,waiting").await, 4);
    assert_eq!(list("since=2100-01-01T00:00:00Z").await, 0);
    let ending = format!("/api/v1/runs?ending={}", &waits[waits.len() - 8..]);
    assert_eq!(world.operator.get(&ending).await.items().len(), 1);
    let first = world.operator.get("/api/v1/runs?limit=3").await;
    let cursor = first.text("next_cursor");
    assert_eq!(first.items().len(), 3);
    let rest = world
        .operator
        .get(&format!("/api/v1/runs?limit=3&cursor={cursor}"))
        .await;
    assert_eq!(rest.items().len(), 1);
    assert_eq!(rest.json["next_cursor"], Value::Null);
    for wrong in [
        "statsu=failed",
        "status=faild",
        "limit=0",
        "since=yesterday",
        "cursor=%00",
    ] {
        let answer = world.operator.get(&format!("/api/v1/runs?{wrong}")).await;
        assert_eq!(answer.code(400), "malformed", "{wrong}");
    }
    let later = world.operator.get("/api/v1/runs?parent=x").await;
    assert_eq!(later.code(400), "not_supported");
}

#[tokio::test]
async fn a_run_that_has_not_changed_is_not_sent_again() {
    let world = World::start().await;
    world.save(WAITS).await;
    let id = world.run("waits", json!({})).await;
    world.owner.wake(&crate::support::owner::key_of(&id)).await;
    let path = format!("/api/v1/runs/{id}");
    let first = world.operator.get(&path).await;
    let tag = first.header("etag").to_owned();
    let again = world.operator.ask(reqwest::Method::GET, &path);
    let again = again.header("if-none-match", &tag).empty().await;
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    let waited = world
        .operator
        .ask(reqwest::Method::GET, &format!("{path}?wait=0"));
    let waited = waited.header("if-none-match", &tag).empty().await;
    assert_eq!(
        waited.status, 200,
        "a long poll answers with the present state"
    );
    let head = world
        .operator
        .ask(reqwest::Method::HEAD, &path)
        .empty()
        .await;
    assert_eq!((head.status, head.header("etag")), (200, tag.as_str()));
}

#[tokio::test]
async fn a_long_poll_answers_as_soon_as_a_person_is_needed() {
    let world = World::start().await;
    world.save(CHANGES).await;
    let id = world.run("changes", json!({})).await;
    let run = world.settled(&id).await;
    assert_eq!(run["status"], "waiting");
    assert_eq!(run["waiting_for"][0]["kind"], "approval");
    assert_eq!(run["reason"], "approval");
    let wrong = world
        .operator
        .get(&format!("/api/v1/runs/{id}?wait=1&until=ever"))
        .await;
    assert_eq!(wrong.code(400), "malformed");
}

/// The events of a stream until it ends: name, id, data.
async fn events(response: reqwest::Response) -> Vec<(String, Option<u64>, Value)> {
    let mut text = String::new();
    let mut parts = response.bytes_stream();
    while let Some(part) = parts.next().await {
        text.push_str(std::str::from_utf8(&part.expect("a part")).expect("text"));
    }
    text.split("\n\n").filter_map(event).collect()
}

fn event(text: &str) -> Option<(String, Option<u64>, Value)> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let data = serde_json::from_str(field("data: ")?).expect("JSON");
    let id = field("id: ").map(|id| id.parse().expect("a number"));
    Some((field("event: ")?.to_owned(), id, data))
}

#[tokio::test]
async fn events_have_no_gap_and_nothing_twice_and_then_end() {
    let world = World::start().await;
    world.save(READS).await;
    let id = world.run("reads", json!({"value": "v"})).await;
    let path = format!("/api/v1/runs/{id}/events");
    let live = world.operator.open(&path, &[]).await;
    assert_eq!(live.headers()["content-type"], "text/event-stream");
    let (heard, ()) =
        tokio::join!(biased; events(live), world.owner.succeed(&id, "read", json!({"value": "v"})));
    let ids: Vec<u64> = heard
        .iter()
        .filter(|(name, ..)| name == "record")
        .filter_map(|(_, id, _)| *id)
        .collect();
    let expected: Vec<u64> = (1..=ids.len() as u64).collect();
    assert_eq!(ids, expected);
    let (last, last_id, data) = heard.last().expect("events");
    assert_eq!(
        (last.as_str(), *last_id),
        ("run.ended", ids.last().copied())
    );
    assert_eq!(data["status"], "succeeded");
    let journal = world
        .operator
        .get(&format!("/api/v1/runs/{id}/journal"))
        .await;
    let records: Vec<&Value> = journal.items().iter().collect();
    let told: Vec<&Value> = heard
        .iter()
        .filter(|(name, ..)| name == "record")
        .map(|(.., data)| data)
        .collect();
    assert_eq!(told, records, "live and stored say the same");
    let resumed = world.operator.open(&path, &[("last-event-id", "1")]).await;
    let rest = events(resumed).await;
    assert_eq!(rest[0].1, Some(2));
    let last_id = ids.len().to_string();
    let over = world
        .operator
        .open(&path, &[("last-event-id", &last_id)])
        .await;
    assert_eq!(over.status().as_u16(), 204);
}

#[tokio::test]
async fn the_journal_is_paged_and_chained() {
    let world = World::start().await;
    world.save(READS).await;
    let id = world.run("reads", json!({"value": "v"})).await;
    world
        .owner
        .succeed(&id, "read", json!({"value": "v"}))
        .await;
    let path = format!("/api/v1/runs/{id}/journal");
    let mut records = Vec::new();
    let mut cursor = String::new();
    loop {
        let part = world.operator.get(&format!("{path}?limit=1{cursor}")).await;
        records.extend(part.items().to_vec());
        match part.json["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert!(records.len() >= 3);
    for pair in records.windows(2) {
        assert_eq!(pair[1]["prev_hash"], pair[0]["hash"]);
    }
    assert_eq!(records[0]["events"][0]["type"], "RunCreated");
}

#[tokio::test]
async fn steps_have_pages_of_their_own() {
    let world = World::start().await;
    world.save(READS).await;
    let id = world.run("reads", json!({"value": "v"})).await;
    world
        .owner
        .succeed(&id, "read", json!({"value": "v"}))
        .await;
    let steps = world
        .operator
        .get(&format!("/api/v1/runs/{id}/steps"))
        .await;
    assert_eq!(steps.items()[0]["id"], "read");
    let step = world
        .operator
        .get(&format!("/api/v1/runs/{id}/steps/read"))
        .await;
    assert_eq!(step.json["status"], "succeeded");
    let none = world
        .operator
        .get(&format!("/api/v1/runs/{id}/steps/nope"))
        .await;
    assert_eq!(none.code(404), "not_found");
    let no_items = world
        .operator
        .get(&format!("/api/v1/runs/{id}/steps/read/items"))
        .await;
    assert_eq!(no_items.code(404), "not_found");
}

#[tokio::test]
async fn large_values_go_by_reference() {
    let world = World::start().await;
    world.save(READS).await;
    let large = "x".repeat(20_000);
    let id = world.run("reads", json!({"value": large})).await;
    let run = world.operator.get(&format!("/api/v1/runs/{id}")).await;
    let value = &run.json["inputs"]["value"];
    assert_eq!(value["size"], 20_002);
    let blob = value["blob"].as_str().expect("where it is");
    let read = world.operator.get(blob).await;
    assert_eq!(read.json, json!(large));
    let none = blob.replace(value["sha256"].as_str().expect("a digest"), &"0".repeat(64));
    assert_eq!(world.operator.get(&none).await.code(404), "not_found");
}

#[tokio::test]
async fn a_run_is_cancelled_once_and_then_it_has_ended() {
    let world = World::start().await;
    world.save(WAITS).await;
    let id = world.run("waits", json!({})).await;
    let cancel = || world.operator.post(&format!("/api/v1/runs/{id}/cancel"));
    let answer = cancel().json(&json!({"reason": "enough"})).await;
    assert_eq!(
        (answer.status, &answer.json["status"]),
        (200, &json!("cancelled"))
    );
    assert_eq!(answer.json["error"]["code"], "cancelled");
    assert_eq!(cancel().json(&json!({})).await.code(409), "run_ended");
    let undo = cancel().json(&json!({"compensate": false})).await;
    assert_eq!(undo.code(422), "not_supported");
    let resume = world.engineer.post(&format!("/api/v1/runs/{id}/resume"));
    assert_eq!(resume.json(&json!({})).await.code(409), "run_ended");
    let none = world
        .operator
        .post("/api/v1/runs/0197c0de-1111-7abc-8def-0123456789ab/cancel");
    assert_eq!(none.json(&json!({})).await.code(404), "not_found");
}

#[tokio::test]
async fn a_command_that_nobody_decides_is_kept() {
    let world = World::start().await;
    world.save(WAITS).await;
    let id = world.run("waits", json!({})).await;
    world.settled(&id).await;
    let deaf = world.owner.deaf.lock().await;
    let kept = world
        .operator
        .post(&format!("/api/v1/runs/{id}/cancel"))
        .json(&json!({}))
        .await;
    assert_eq!(kept.status, 202);
    assert_eq!(kept.header("location"), format!("/api/v1/runs/{id}"));
    drop(deaf);
    let run = world
        .operator
        .get(&format!("/api/v1/runs/{id}?wait=20"))
        .await;
    assert_eq!(run.json["status"], "cancelled");
}

#[tokio::test]
async fn many_runs_are_cancelled_by_a_filter() {
    let world = World::start().await;
    world.save(WAITS).await;
    world.save(READS).await;
    for _ in 0..3 {
        world.run("waits", json!({})).await;
    }
    let other = world.run("reads", json!({"value": "v"})).await;
    let cancel = |body: Value| {
        let ask = world.operator.post("/api/v1/runs/cancel");
        async move { ask.json(&body).await }
    };
    assert_eq!(cancel(json!({"filter": {}})).await.code(422), "invalid");
    assert_eq!(
        cancel(json!({"filter": {"workflwo": "waits"}}))
            .await
            .code(422),
        "invalid"
    );
    for nothing in [json!([]), json!(""), json!([""]), json!(",")] {
        for name in ["label", "since", "until", "ending", "workflow", "status"] {
            let refused = cancel(json!({"filter": {name: nothing}})).await;
            assert_eq!(refused.code(422), "invalid", "{name}: {nothing}");
        }
    }
    for later in ["parent", "environment"] {
        let refused = cancel(json!({"filter": {later: "x"}})).await;
        assert_eq!(refused.code(422), "not_supported", "{later}");
    }
    let two = json!({"filter": {"since": ["2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"]}});
    assert_eq!(cancel(two).await.code(422), "invalid");
    let long = json!({"filter": {"workflow": "waits"}, "reason": "x".repeat(4_097)});
    assert_eq!(cancel(long).await.code(422), "invalid");
    let answer = cancel(json!({"filter": {"workflow": "waits"}, "reason": "over"})).await;
    assert_eq!(answer.json, json!({"matched": 3, "cancelled": 3}));
    let again = cancel(json!({"filter": {"workflow": ["waits"]}})).await;
    assert_eq!(again.json, json!({"matched": 0, "cancelled": 0}));
    let run = world.operator.get(&format!("/api/v1/runs/{other}")).await;
    assert_eq!(run.json["status"], "running");
}

#[tokio::test]
async fn all_runs_can_be_followed_at_once() {
    let world = World::start().await;
    world.save(WAITS).await;
    let stream = world.operator.open("/api/v1/events", &[]).await;
    let id = world.run("waits", json!({})).await;
    let mut parts = stream.bytes_stream();
    let mut text = String::new();
    while !text.contains(&id) {
        let part = parts.next().await.expect("it goes on").expect("a part");
        text.push_str(std::str::from_utf8(&part).expect("text"));
    }
    let found = text
        .split("\n\n")
        .filter_map(event)
        .find(|(.., data)| data["run"] == *id);
    assert_eq!(found.map(|(name, ..)| name).as_deref(), Some("record"));
}

#[tokio::test]
async fn the_stream_of_all_runs_does_not_pretend_to_go_on_after_something() {
    let world = World::start().await;
    let stream = world.operator.ask(reqwest::Method::GET, "/api/v1/events");
    let refused = stream.header("last-event-id", "7").empty().await;
    assert_eq!(refused.code(400), "malformed");
    assert!(
        refused.text("hint").contains("/api/v1/runs"),
        "{}",
        refused.body
    );
}

#[tokio::test]
async fn a_run_whose_journal_is_damaged_is_shown_as_it_is_described() {
    let world = World::start().await;
    world.save(WAITS).await;
    let id = world.run("waits", json!({})).await;
    world.settled(&id).await;
    let journal = &world.backend.journal;
    let entries = journal.read(&key_of(&id), 0).await.expect("in memory");
    let last = entries.last().expect("it has records");
    let events = last.record.events().expect("they are whole");
    let garbage = Record {
        n: last.record.n + 1,
        prev_hash: last.hash,
        payload: vec![0xff].into(),
        ..last.record.clone()
    };
    let appended = journal.append(&Encoded::of(garbage), &events).await;
    appended.expect("it hangs on the last");
    let run = world.operator.get(&format!("/api/v1/runs/{id}")).await;
    assert_eq!(run.status, 200, "{}", run.body);
    let run = run.json;
    assert_eq!(
        (&run["status"], &run["workflow"]),
        (&json!("parked"), &json!("waits"))
    );
    assert_eq!(run["error"]["code"], "record_damaged");
    assert_eq!(
        (&run["permission"], &run["counts"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(run["trigger"]["kind"], Value::Null);
}

#[tokio::test]
async fn labels_have_limits_at_every_door() {
    let world = World::start().await;
    world.save(READS).await;
    let many: serde_json::Map<String, Value> =
        (0..65).map(|n| (format!("l{n}"), json!("x"))).collect();
    let wrong = [json!(many), json!({"a": "x".repeat(600)}), json!({"": "x"})];
    for labels in wrong {
        for path in [
            "/api/v1/workflows/reads/runs",
            "/api/v1/agents/demo/actions/read",
        ] {
            let ask = world.operator.post(path);
            let refused = ask.json(&json!({"labels": labels})).await;
            assert_eq!(refused.code(422), "invalid");
            let places = refused.json["errors"].to_string();
            assert!(places.contains("/labels"), "{path}: {places}");
        }
    }
}

#[tokio::test]
async fn nothing_is_kept_for_a_run_that_is_not_there() {
    let world = World::start().await;
    let output = json!({"value": "x".repeat(20_000)});
    let id = "0197c0de-1111-7abc-8def-0123456789ab";
    let resolve = world
        .admin
        .post(&format!("/api/v1/runs/{id}/steps/read/resolve"));
    let body = json!({"outcome": "done", "output": output, "comment": "seen"});
    assert_eq!(resolve.json(&body).await.code(404), "not_found");
    let labels = engine::value::Labels::default();
    let made = engine::value::Value::make(&output, labels, 1_024).expect("it is small enough");
    let kept = world
        .backend
        .blobs
        .get(&key_of(id), made.value.digest)
        .await;
    assert_eq!(kept.expect("in memory"), None);
}

#[tokio::test]
async fn a_filter_has_a_bounded_number_of_values() {
    let world = World::start().await;
    let many = |n: usize| vec!["x=y"; n].join(",");
    for name in ["workflow", "hook", "fingerprint", "requester", "label"] {
        let path = |n| format!("/api/v1/runs?{name}={}", many(n));
        assert_eq!(world.operator.get(&path(100)).await.status, 200, "{name}");
        let refused = world.operator.get(&path(101)).await;
        assert_eq!(refused.code(400), "malformed", "{name}");
    }
    let labels = |n: usize| {
        let labels: String = (0..n).map(|n| format!("&label=l{n}=x")).collect();
        format!("/api/v1/runs?limit=1{labels}")
    };
    assert_eq!(world.operator.get(&labels(20)).await.status, 200);
    assert_eq!(world.operator.get(&labels(21)).await.code(400), "malformed");
}
