use std::fs;

use engine::registry::{self, Agent, Kind};
use serde_json::json;
use worker::{CallResult, NotSent};

use super::field::is_harmless;
use crate::bench::within;
use crate::yard::{self, Yard, is_alive, job};

/// How `--manifest` may lie, and what is said of it.
const LIES: [(&str, &str); 18] = [
    ("manifest-fails", "it ended with exit status: 4"),
    ("manifest-endless", "bytes; at most"),
    ("manifest-empty", "EOF while parsing"),
    ("manifest-huge", "bytes; at most"),
    ("manifest-bytes", "expected value"),
    ("manifest-deep", "recursion limit"),
    ("manifest-hangs", "did not end within 2s"),
    ("manifest-forks", "did not end within 2s"),
    ("manifest-other-name", "calls itself somebody-else"),
    ("manifest-twice", "action act is declared twice"),
    ("manifest-no-schema", "input_schema is no JSON object"),
    ("manifest-bad-schema", "the output schema of its action act"),
    ("manifest-far-schema", "the input schema of its action act"),
    ("manifest-file-schema", "the input schema of its action act"),
    (
        "manifest-loose-pattern",
        "the output schema of its action act",
    ),
    ("manifest-no-permission", "unknown variant `NONE`"),
    ("manifest-no-number", "invalid type: string"),
    ("manifest-long-id", "the manifest's action aaa"),
];

#[tokio::test]
async fn a_plugin_that_lies_in_its_manifest_is_left_out_and_people_are_told_the_lie() {
    let more = [
        ("manifest-escapes", "description must have"),
        ("manifest-many", "actions are more than 200"),
    ];
    let lies: Vec<_> = LIES.into_iter().chain(more).collect();
    let installed = lies.iter().map(|(lie, _)| (*lie, *lie));
    let installed: Vec<_> = installed.chain([("good", "good")]).collect();
    let yard = Yard::new(&installed).await;
    let names: Vec<&str> = yard.plugins.names().map(|(_, name)| name).collect();
    assert_eq!(names, ["good"]);
    for (lie, says) in lies {
        let start = format!("{lie}: ");
        let told = yard.plugins.problems().iter();
        let told: Vec<_> = told.filter(|p| p.starts_with(&start)).collect();
        let [told] = told[..] else {
            panic!("{lie}: {} problems", told.len())
        };
        assert!(told.contains(says), "{lie}: {told:.300}");
        assert!(is_harmless(told), "{lie}: {} bytes", told.len());
    }
    let child = fs::read_to_string(yard.folder.path().join("manifest-forks/child"));
    let child = child.expect("it was written").parse().expect("a pid");
    within(async {
        while is_alive(child) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    yard.pid("good").await;
}

#[tokio::test]
async fn a_manifest_that_changes_under_a_waiting_run_keeps_the_run_from_calling_what_it_did_not_pin()
 {
    let yard = Yard::new(&[("one", "good"), ("good", "good")]).await;
    let pinned = job("one");
    yard.pid("one").await;
    fs::write(yard.folder.path().join("one/other"), "").expect("a temporary folder");
    yard.act("one", json!({ "do": "die" })).await;
    let result = yard.act("one", json!({})).await;
    let CallResult::NotSent(NotSent::NotOffered(told)) = result else {
        panic!("{result:?}")
    };
    let digest = pinned.action.digest.to_string();
    assert!(
        told.contains("the run has pinned one/act as") && told.contains(&digest),
        "{told}"
    );
    let key = Kind::Agents.key(&yard::tenant(), "one");
    let stored = yard.backend.registry.get(&key).await;
    let stored = stored.expect("an open store").expect("an agent");
    let agent: Agent = registry::decode(&stored.value).expect("an agent");
    let act = agent.manifest.action("act").expect("it still has it");
    assert_eq!(act.input["required"], json!(["more"]), "new runs pin this");
    fs::remove_file(yard.folder.path().join("one/other")).expect("it is there");
    yard.act("one", json!({ "do": "die" })).await;
    yard.until("one", |i| i.restarts > 0).await;
    yard.pid("good").await;
}
