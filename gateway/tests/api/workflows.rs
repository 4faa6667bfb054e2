//! Workflows: saved, read back, checked, deleted.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gateway::{Config, Gateway};
use reqwest::Method;
use serde_json::{Value, json};
use store::clock::SystemRandom;
use store::embedded::{Embedded, Options, Place};
use store::port::{Change, Expect, Item, Registry};
use store::{Backend, Error};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::client::Client;
use crate::support::{READS, TestClock, World, config, parts};

#[tokio::test]
async fn a_saved_workflow_reads_back_byte_for_byte() {
    let world = World::start().await;
    let saved = world
        .engineer
        .put("/api/v1/workflows/reads")
        .yaml(READS)
        .await;
    assert_eq!((saved.status, &saved.json["revision"]), (201, &json!(1)));
    assert_eq!(saved.header("etag"), "\"1\"");
    let text = world.operator.ask(Method::GET, "/api/v1/workflows/reads");
    let text = text.header("accept", "application/yaml").empty().await;
    assert_eq!(text.body, READS);
    let json = world.operator.get("/api/v1/workflows/reads").await;
    assert_eq!(json.json["digest"], saved.json["digest"]);
    assert_eq!(json.json["permission"], "READ");
    assert_eq!(json.json["definition"]["steps"][0]["id"], "read");
    assert_eq!(json.json["saved_by"], "key:eve");
    let list = world.operator.get("/api/v1/workflows").await;
    assert_eq!(list.items()[0]["name"], "reads");
}

#[tokio::test]
async fn what_is_as_it_was_keeps_its_revision_and_a_change_counts_up() {
    let world = World::start().await;
    let put = |text: String| {
        let ask = world.engineer.put("/api/v1/workflows/reads");
        async move {
            let answer = ask.yaml(&text).await;
            (answer.status, answer.json["revision"].as_u64())
        }
    };
    assert_eq!(put(READS.to_owned()).await, (201, Some(1)));
    assert_eq!(put(READS.to_owned()).await, (200, Some(1)));
    assert_eq!(put(format!("{READS}# a remark\n")).await, (200, Some(2)));
    let old = world
        .operator
        .get("/api/v1/workflows/reads?revision=1")
        .await;
    assert_eq!(old.json["revision"], 1);
    let none = world
        .operator
        .get("/api/v1/workflows/reads?revision=3")
        .await;
    assert_eq!(none.code(404), "not_found");
    let revisions = world
        .operator
        .get("/api/v1/workflows/reads/revisions")
        .await;
    let numbers: Vec<&Value> = revisions.items().iter().map(|r| &r["revision"]).collect();
    assert_eq!(numbers, [&json!(2), &json!(1)]);
    assert_eq!(
        world
            .engineer
            .delete("/api/v1/workflows/reads")
            .empty()
            .await
            .status,
        204
    );
    assert_eq!(
        world
            .operator
            .get("/api/v1/workflows/reads")
            .await
            .code(404),
        "not_found"
    );
    assert_eq!(
        world
            .engineer
            .delete("/api/v1/workflows/reads")
            .empty()
            .await
            .code(404),
        "not_found"
    );
    assert_eq!(
        put(READS.to_owned()).await,
        (201, Some(3)),
        "numbers are never given twice"
    );
}

#[tokio::test]
async fn conditions_hold_back_lost_updates() {
    let world = World::start().await;
    let put = |condition: (&'static str, &'static str)| {
        let ask = world
            .engineer
            .put("/api/v1/workflows/reads")
            .header(condition.0, condition.1);
        async move { ask.yaml(READS).await }
    };
    assert_eq!(
        put(("if-match", "\"1\"")).await.code(412),
        "precondition_failed"
    );
    assert_eq!(put(("if-none-match", "*")).await.status, 201);
    assert_eq!(
        put(("if-none-match", "*")).await.code(412),
        "precondition_failed"
    );
    assert_eq!(put(("if-match", "\"1\"")).await.status, 200);
    let stale = world
        .engineer
        .delete("/api/v1/workflows/reads")
        .header("if-match", "\"7\"");
    assert_eq!(stale.empty().await.code(412), "precondition_failed");
}

#[tokio::test]
async fn a_wrong_document_is_told_all_its_errors_with_their_places() {
    let world = World::start().await;
    let text = READS
        .replace("demo/read", "demo/raed")
        .replace("steps.read.output", "steps.read.outptu");
    let answer = world
        .engineer
        .put("/api/v1/workflows/reads")
        .yaml(&text)
        .await;
    assert_eq!(answer.code(422), "invalid");
    let errors = answer.json["errors"].as_array().expect("errors");
    assert!(errors.len() >= 2, "{errors:?}");
    assert!(
        errors
            .iter()
            .all(|e| e["line"].is_u64() && e["column"].is_u64())
    );
    let action = errors
        .iter()
        .find(|e| e["line"] == 9)
        .expect("the line of uses");
    assert!(
        action["hint"]
            .as_str()
            .is_some_and(|hint| hint.contains("demo/read")),
        "{action}"
    );
    assert_eq!(
        world.operator.get("/api/v1/workflows").await.items().len(),
        0
    );
    let same = world.operator.post("/api/v1/validate").yaml(&text).await;
    assert_eq!(same.json["errors"], answer.json["errors"]);
}

#[tokio::test]
async fn json_is_taken_too_in_any_order_of_keys() {
    let world = World::start().await;
    let body = json!({"workflow": "naps", "steps": [{"id": "nap", "wait": "1m"}], "description": "sleeps"});
    let saved = world
        .engineer
        .put("/api/v1/workflows/naps")
        .json(&body)
        .await;
    assert_eq!(saved.status, 201, "{}", saved.json);
    let wrong = json!({"workflow": "naps", "a": 1, "steps": []});
    let answer = world
        .engineer
        .put("/api/v1/workflows/naps")
        .json(&wrong)
        .await;
    assert_eq!(answer.code(422), "invalid");
    assert!(
        answer.json["errors"][0].get("line").is_none(),
        "its lines would mislead"
    );
}

#[tokio::test]
async fn a_document_belongs_to_its_address_and_comes_alone() {
    let world = World::start().await;
    let put = |name: &str, text: String| {
        let ask = world.engineer.put(&format!("/api/v1/workflows/{name}"));
        async move { ask.yaml(&text).await }
    };
    assert_eq!(put("other", READS.to_owned()).await.code(422), "invalid");
    let two = format!(
        "{READS}---\n{}",
        READS.replace("workflow: reads", "workflow: more")
    );
    assert_eq!(put("reads", two).await.code(422), "invalid");
    assert_eq!(
        put(
            "reads",
            "hook: reads\ntype: generic\ndedupe: none\nauth: { bearer: [\"${{ secrets.x }}\"] }\n"
                .to_owned()
        )
        .await
        .code(422),
        "invalid"
    );
    let kind = world
        .engineer
        .put("/api/v1/workflows/reads")
        .header("content-type", "text/plain");
    assert_eq!(
        kind.send(Some(READS.to_owned())).await.code(415),
        "unsupported_media_type"
    );
}

#[tokio::test]
async fn nobody_saves_above_their_own_rights() {
    let world = World::start().await;
    let text =
        "workflow: wipes\nsteps:\n  - id: wipe\n    uses: demo/wipe\n    with: { value: x }\n";
    let engineer = world
        .engineer
        .put("/api/v1/workflows/wipes")
        .yaml(text)
        .await;
    assert_eq!(engineer.code(403), "forbidden");
    assert_eq!(
        world
            .admin
            .put("/api/v1/workflows/wipes")
            .yaml(text)
            .await
            .status,
        201
    );
}

#[tokio::test]
async fn validating_shows_the_graph_and_saves_nothing() {
    let world = World::start().await;
    let answer = world.operator.post("/api/v1/validate").yaml(READS).await;
    assert_eq!(answer.json["kind"], "workflow");
    let expected = json!([{"section": "steps", "id": "read", "kind": "uses", "uses": "demo/read", "permission": "READ", "needs": []}]);
    assert_eq!(answer.json["graph"], expected);
    assert_eq!(
        world.operator.get("/api/v1/workflows").await.items().len(),
        0
    );
    let schema = world.nobody.get("/schemas/workflow.json").await;
    assert!(schema.body.contains("max_parallel"));
}

#[tokio::test]
async fn a_crash_between_a_revision_and_the_newest_is_rolled_forward() {
    use engine::registry::{Form, Kind, SavedWorkflow, decode, encode, revision_key};
    let world = World::start().await;
    world.save(READS).await;
    let tenant = engine::id::Tenant::default();
    let key = Kind::Workflows.key(&tenant, "reads");
    let item = world
        .backend
        .registry
        .get(&key)
        .await
        .expect("in memory")
        .expect("saved");
    let saved: SavedWorkflow = decode(&item.value).expect("a workflow");
    let orphan = SavedWorkflow {
        revision: 2,
        text: format!("{READS}# orphan\n"),
        form: Form::Yaml,
        ..saved
    };
    let (key, bytes) = (revision_key(&tenant, "reads", 2), encode(&orphan));
    let put = world
        .backend
        .registry
        .put(&key, &bytes, store::port::Expect::Absent);
    put.await.expect("it is new");
    let next = world
        .engineer
        .put("/api/v1/workflows/reads")
        .yaml(&format!("{READS}# next\n"))
        .await;
    assert_eq!(next.json["revision"], 3);
    let second = world
        .operator
        .ask(Method::GET, "/api/v1/workflows/reads?revision=2");
    let second = second.header("accept", "application/yaml").empty().await;
    assert_eq!(second.body, orphan.text);
}

#[tokio::test]
async fn an_expression_that_would_stall_is_refused_with_its_place() {
    let world = World::start().await;
    let brackets = format!("{}1{}", "(".repeat(20_000), ")".repeat(20_000));
    let doubled = format!("size([inputs.value]{})", ".map(y, y + y)".repeat(400));
    for (source, why) in [
        (
            "[1].map(a, [1].map(b, [1].map(c, c)))",
            "more than 2 comprehensions",
        ),
        ("cel.bind(y, 'x', y + y)", "`cel.bind` is not supported"),
        ("inputs.value.matches('(a{1000}){1000}')", "too large"),
        (doubled.as_str(), "4096"),
        (brackets.as_str(), "4096"),
    ] {
        let text = format!(
            "workflow: stalls\ninputs:\n  value: {{ type: string }}\nsteps:\n  - id: read\n    uses: demo/read\n    \
             with: {{ value: \"${{{{ string({source}) }}}}\" }}\n"
        );
        let answer = world.operator.post("/api/v1/validate").yaml(&text).await;
        let told = answer.json["errors"].to_string();
        assert!(told.contains(why), "{why}: {} {told:.500}", answer.status);
        assert!(
            answer.body.len() < 16 * 1024,
            "{why}: {} bytes",
            answer.body.len()
        );
        assert!(told.contains("\"line\":7"), "{told:.300}");
    }
}

#[tokio::test]
async fn while_a_heavy_document_is_checked_others_are_answered() {
    let world = World::start().await;
    let list = "1,".repeat(1_200);
    let mut text = "workflow: heavy\nsteps:\n".to_owned();
    for n in 0..300 {
        let step = format!("  - id: s{n}\n    assert: size([{list}1]) > {n}\n");
        text.push_str(&step);
    }
    let (begun, checked) = (Instant::now(), watch::Sender::new(false));
    let check = async {
        let answer = world.operator.post("/api/v1/validate").yaml(&text).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        checked.send_replace(true);
        begun.elapsed()
    };
    let ask = async {
        let mut longest = Duration::ZERO;
        while !*checked.borrow() {
            let asked = Instant::now();
            assert_eq!(world.nobody.get("/livez").await.status, 200);
            longest = longest.max(asked.elapsed());
        }
        longest
    };
    let (whole, longest) = tokio::join!(biased; check, ask);
    // All of it runs on one thread: who checks there answers nobody until it is done.
    assert!(longest < whole / 2, "{longest:?} of {whole:?}");
}

/// A registry of which nobody reads more at once than a list shows at most.
struct Bounded(Arc<dyn Registry>);

#[async_trait]
impl Registry for Bounded {
    async fn get(&self, key: &str) -> Result<Option<Item>, Error> {
        self.0.get(key).await
    }

    async fn list(&self, prefix: &str, after: &str, max: usize) -> Result<Vec<Item>, Error> {
        assert!(max <= 1_000, "{max} items of {prefix}");
        self.0.list(prefix, after, max).await
    }

    async fn put(&self, key: &str, value: &[u8], expect: Expect) -> Result<u64, Error> {
        self.0.put(key, value, expect).await
    }

    async fn delete(&self, key: &str, revision: u64) -> Result<(), Error> {
        self.0.delete(key, revision).await
    }

    async fn watch(&self, prefix: &str, revision: u64) -> Result<Vec<Change>, Error> {
        self.0.watch(prefix, revision).await
    }
}

#[tokio::test]
async fn a_page_of_revisions_reads_no_others() {
    let clock = Arc::new(TestClock::start());
    let options = Options::new(clock.clone(), Arc::new(SystemRandom));
    let (backend, _handle) = Embedded::inline(Place::Memory, options).expect("in memory");
    let registry = Arc::new(Bounded(backend.registry.clone()));
    let backend = Backend {
        registry,
        ..backend
    };
    let world = World::over(config(), backend, clock).await;
    for n in 1..=5 {
        world.save(&format!("{READS}# {n}\n")).await;
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/v1/workflows/reads/revisions?limit=2{cursor}");
        let part = world.operator.get(&path).await;
        assert_eq!(part.status, 200, "{}", part.json);
        assert!(part.items().len() <= 2);
        let numbers = part.items().iter().map(|item| item["revision"].as_u64());
        seen.extend(numbers.map(|n| n.expect("a number")));
        match part.json["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, [5, 4, 3, 2, 1]);
    let wrong = "/api/v1/workflows/reads/revisions?cursor=d2hhdD8";
    assert_eq!(world.operator.get(wrong).await.code(400), "malformed");
}

#[tokio::test]
async fn a_tag_of_another_life_of_the_data_means_nothing() {
    let before = World::start().await;
    let config = Config {
        life: "f00d-1".to_owned(),
        ..config()
    };
    let after = World::with(config).await;
    // Both count from the backup: each has a first revision, and a run of two records.
    for world in [&before, &after] {
        world.save(READS).await;
    }
    let path = "/api/v1/workflows/reads";
    let tag = before.engineer.get(path).await.header("etag").to_owned();
    assert_eq!(tag, "\"1\"");
    let other = READS.replace("Reads a value.", "Reads it.");
    let put = after.engineer.put(path).header("if-match", &tag);
    assert_eq!(put.yaml(&other).await.code(412), "precondition_failed");
    let delete = after.engineer.delete(path).header("if-match", &tag);
    assert_eq!(delete.empty().await.code(412), "precondition_failed");
    let get = after.engineer.ask(reqwest::Method::GET, path);
    let get = get.header("if-none-match", &tag).empty().await;
    assert_eq!(get.status, 200);
    let tag = get.header("etag").to_owned();
    let put = after.engineer.put(path).header("if-match", &tag);
    assert_eq!(put.yaml(&other).await.status, 200);
}

/// A registry that tells nothing of what changes.
struct Silent(Arc<dyn Registry>);

#[async_trait]
impl Registry for Silent {
    async fn get(&self, key: &str) -> Result<Option<Item>, Error> {
        self.0.get(key).await
    }

    async fn list(&self, prefix: &str, after: &str, max: usize) -> Result<Vec<Item>, Error> {
        self.0.list(prefix, after, max).await
    }

    async fn put(&self, key: &str, value: &[u8], expect: Expect) -> Result<u64, Error> {
        self.0.put(key, value, expect).await
    }

    async fn delete(&self, key: &str, revision: u64) -> Result<(), Error> {
        self.0.delete(key, revision).await
    }

    async fn watch(&self, _: &str, _: u64) -> Result<Vec<Change>, Error> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_workflow_that_was_saved_through_another_gateway_is_found_at_once() {
    let clock = Arc::new(TestClock::start());
    let options = Options::new(Arc::<TestClock>::clone(&clock), Arc::new(SystemRandom));
    let (backend, _handle) = Embedded::inline(Place::Memory, options).expect("in memory");
    let silent = Backend {
        registry: Arc::new(Silent(backend.registry.clone())),
        ..backend.clone()
    };
    let late = World::over(config(), silent, clock.clone()).await;
    assert_eq!(
        late.operator.get("/api/v1/workflows/reads").await.code(404),
        "not_found"
    );
    // Another gateway saves what the first is told of too late.
    let other = Gateway::new(config(), backend, parts());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let mut serving = JoinSet::new();
    let (serves, stop) = (other.clone(), late.stop.clone());
    serving.spawn(async move { serves.serve(listener, stop).await });
    other.ready().await;
    let eve = Client::new(address).with_token(&late.engineer.token());
    let saved = eve.put("/api/v1/workflows/reads").yaml(READS).await;
    assert_eq!(saved.status, 201, "{}", saved.json);
    assert_eq!(
        late.operator.get("/api/v1/workflows/reads").await.status,
        200
    );
}
