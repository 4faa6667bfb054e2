//! GitHub's webhooks, with the payloads that `scripts/github-payloads` fetches.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::hooks::{ids, signed};
use crate::support::{Answer, Client, World};

/// Takes everything that GitHub tells.
const ALL: &str = "\
workflow: all
on:
  - hook: github
    with:
      type: \"${{ event.type }}\"
      action: \"${{ event.action }}\"
      delivery: \"${{ event.delivery }}\"
      sender: \"${{ event.body.?sender.?login.orValue('') }}\"
inputs:
  type: { type: string }
  action: { type: string }
  delivery: { type: string }
  sender: { type: string }
steps:
  - id: read
    uses: demo/read
    with: { value: \"${{ inputs.type }}\" }
";

/// Takes only what its condition fits.
const OPENED: &str = "\
workflow: opened
on:
  - hook: github
    if: event.type == 'issues' && event.action == 'opened'
    with: { value: \"${{ event.body.issue.title }}\" }
inputs:
  value: { type: string }
steps:
  - id: read
    uses: demo/read
    with: { value: \"${{ inputs.value }}\" }
";

/// What GitHub sends of each event.
fn payloads() -> Vec<(String, Value)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/github-payloads");
    let fetched = Command::new(script).output().expect("a shell");
    let why = String::from_utf8_lossy(&fetched.stderr);
    assert!(fetched.status.success(), "{why}");
    let file = String::from_utf8(fetched.stdout).expect("a path");
    let text = std::fs::read(file.trim()).expect("the fetched file");
    let events: Vec<Value> = serde_json::from_slice(&text).expect("a list");
    let of = |event: &Value| {
        let examples = event["examples"].as_array().cloned().unwrap_or_default();
        let name = event["name"].as_str().expect("a name").to_owned();
        examples.into_iter().map(move |body| (name.clone(), body))
    };
    events.iter().flat_map(of).collect()
}

struct Github {
    world: World,
    secret: String,
}

impl Github {
    async fn hooked(workflows: &[&str]) -> Self {
        let world = World::start().await;
        let hook = json!({"hook": "github", "type": "github"});
        let made = world.engineer.post("/api/v1/hooks").json(&hook).await;
        for text in workflows {
            world.save(text).await;
        }
        let secret = made.text("secret");
        Self { world, secret }
    }

    async fn sends(&self, event: &str, delivery: &str, body: &str) -> Answer {
        let nobody: &Client = &self.world.nobody;
        let ask = nobody.post("/hooks/github");
        let ask = ask.header("content-type", "application/json");
        let ask = ask.header("x-hub-signature-256", &signed(&self.secret, body));
        let ask = ask.header("x-github-event", event);
        let ask = ask.header("x-github-delivery", delivery);
        ask.send(Some(body.to_owned())).await
    }

    async fn inputs(&self, run: &str) -> Value {
        let path = format!("/api/v1/runs/{run}");
        self.world.operator.get(&path).await.json["inputs"].clone()
    }
}

#[tokio::test]
async fn whatever_github_sends_starts_one_run_and_its_copies_none() {
    let github = Github::hooked(&[ALL]).await;
    let all = payloads();
    let events: BTreeSet<&str> = all.iter().map(|(event, _)| event.as_str()).collect();
    assert!(all.len() > 300 && events.len() > 50, "{}", all.len());
    // Some examples are the same, byte for byte.
    let mut runs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (number, (event, payload)) in all.iter().enumerate() {
        let (body, delivery) = (payload.to_string(), format!("delivery-{number}"));
        let answer = github.sends(event, &delivery, &body).await;
        let told = format!("{event} {number}: {}", answer.json);
        if event == "ping" {
            assert_eq!((answer.status, ids(&answer).len()), (202, 0), "{told}");
            assert_eq!(answer.json["unmatched"], json!(true), "{told}");
            continue;
        }
        if let Some(known) = runs.get(&body) {
            assert_eq!((answer.status, &ids(&answer)), (200, known), "{told}");
            continue;
        }
        assert_eq!((answer.status, ids(&answer).len()), (202, 1), "{told}");
        let expected = json!({
            "type": event,
            "action": payload["action"].as_str().unwrap_or_default(),
            "delivery": delivery,
            "sender": payload["sender"]["login"].as_str().unwrap_or_default(),
        });
        let made = ids(&answer);
        assert_eq!(github.inputs(&made[0]).await, expected, "{told}");
        runs.insert(body, made);
    }
    // Under another name and id: neither is signed.
    for (body, known) in &runs {
        let again = github.sends("star", "another", body).await;
        assert_eq!((again.status, &ids(&again)), (200, known));
    }
}

#[tokio::test]
async fn a_condition_on_type_and_action_picks_the_events() {
    let github = Github::hooked(&[OPENED]).await;
    let mut titles = Vec::new();
    for (number, (event, payload)) in payloads().iter().enumerate() {
        let delivery = format!("delivery-{number}");
        let answer = github.sends(event, &delivery, &payload.to_string()).await;
        let fits = event == "issues" && payload["action"] == "opened";
        let expected = (202, usize::from(fits));
        assert_eq!((answer.status, ids(&answer).len()), expected, "{event}");
        if fits {
            let inputs = github.inputs(&ids(&answer)[0]).await;
            assert_eq!(inputs["value"], payload["issue"]["title"]);
            titles.push(inputs);
        }
    }
    assert!(!titles.is_empty());
    let path = "/api/v1/runs?limit=1000";
    let runs = github.world.operator.get(path).await;
    assert_eq!(runs.items().len(), titles.len());
}

#[tokio::test]
async fn a_form_is_refused_with_the_setting_to_change() {
    let github = Github::hooked(&[ALL]).await;
    let body = "payload=%7B%7D";
    let ask = github.world.nobody.post("/hooks/github");
    let ask = ask.header("content-type", "application/x-www-form-urlencoded");
    let ask = ask.header("x-hub-signature-256", &signed(&github.secret, body));
    let answer = ask.send(Some(body.to_owned())).await;
    assert_eq!(answer.code(400), "malformed");
    let detail = answer.text("detail");
    assert!(
        detail.contains("content type to application/json"),
        "{detail}"
    );
}
