//! Expressions that cost as much as they may, and more, in runs: the owners of the runs evaluate them while somebody
//! does honest work.

use super::ground::Ground;
use super::honest;
use super::memory::Memory;
use crate::api::Api;
use crate::mirastack::{Mirastack, Setup};
use crate::person;
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::task::JoinSet;

/// So many runs of each at once: one for each owner that a process has.
const LANES: usize = 4;
/// How much more memory than when it is idle the process may take, in KiB: an evaluation reads 16 MiB and makes as much,
/// and each owner does one at a time.
const MORE_MAX: u64 = LANES as u64 * 2 * 16 * 1024;

/// An honest run waits until its owner has decided about another, which takes so many steps that a build without
/// optimisation needs seconds for it.
const IN_TURN: Duration = Duration::from_secs(45);

/// What it is, the inputs, an expression that is a number, and how a run with it ends: status and code.
type Row = (&'static str, fn() -> Value, fn() -> String, &'static str);

const ENDS: &str = "succeeded ";
const BEYOND: &str = "failed expression";

const ROWS: &[Row] = &[
    ("a replace that makes 3 MiB", three, || replace(5), ENDS),
    (
        "a replace that makes all there is",
        few,
        || replace(12),
        BEYOND,
    ),
    ("as many rounds as there may be", numbers, rounds, ENDS),
    ("more rounds than there may be", many, rounds, BEYOND),
    ("lists of lists of texts", numbers, texts, ENDS),
    ("a list of letters", long, letters, BEYOND),
    ("a text four times as long", long, sum, ENDS),
    ("a text in every element", both, join, ENDS),
    ("a pattern on all that it may read", most, pattern, ENDS),
];

/// Runs with each of them in a condition, in parameters and in an assertion, on every lane at once.
pub async fn costly() {
    let mut server = Mirastack::start(Setup::default()).await.expect("it starts");
    let ground = Ground::lay(&server).await.expect("it is laid");
    for (number, (name, _, expression, _)) in ROWS.iter().enumerate() {
        let saved = save(&ground, number, &expression()).await;
        saved.unwrap_or_else(|error| panic!("{name}: {error:#}"));
    }
    let memory = Memory::of(server.process().pid());
    let honest = honest::begin(ground.api.clone(), IN_TURN);
    honest.warm().await;
    let idle = memory.resident().expect("it is alive");
    let mut most = 0;
    for (number, (name, inputs, _, ends)) in ROWS.iter().enumerate() {
        memory.take_peak().expect("it is alive");
        let mut lanes = JoinSet::new();
        for _ in 0..LANES {
            lanes.spawn(one(ground.api.clone(), workflow(number), inputs()));
        }
        for ended in lanes.join_all().await {
            let ended = ended.unwrap_or_else(|error| panic!("{name}: {error:#}"));
            assert_eq!(ended, *ends, "{name}");
        }
        let peak = memory.take_peak().expect("it is alive");
        let more = peak.saturating_sub(idle);
        eprintln!("{more:6} KiB more: {name}");
        most = most.max(more);
    }
    let done = honest.end().await;
    eprintln!("idle {idle} KiB, {done}");
    assert!(most <= MORE_MAX, "{most} KiB more than when it is idle");
}

async fn one(api: Api, workflow: String, inputs: Value) -> Result<String> {
    let run = person::starts(&api, &workflow, &inputs).await?;
    let path = format!("/api/v1/runs/{run}?wait=60&until=end");
    let run = api.get(&path).await?.ok()?;
    let status = run["status"].as_str().context("no status")?;
    let code = run["error"]["code"].as_str().unwrap_or_default();
    Ok(format!("{status} {code}"))
}

async fn save(ground: &Ground, number: usize, expression: &str) -> Result<()> {
    let name = workflow(number);
    let document = format!(
        "workflow: {name}
inputs: {{ text: {{ type: string }}, list: {{ type: array }} }}
steps:
  - id: read
    if: \"{expression} >= 0\"
    uses: demo/read
    with: {{ key: \"${{{{ string({expression}) }}}}\" }}
    continue_on_error: true
  - id: sure
    needs: []
    assert: \"{expression} >= 0\"
    message: it is none
"
    );
    let path = format!("/api/v1/workflows/{name}");
    ground.api.put_yaml(&path, &document).await?.ok().map(drop)
}

fn workflow(number: usize) -> String {
    format!("costly-{number}")
}

fn replace(times: usize) -> String {
    (0..times).fold("inputs.text".to_owned(), |inner, _| {
        format!("{inner}.replace('a', 'aaaaaaaaaaaaaaaa')")
    }) + ".size()"
}

fn rounds() -> String {
    "inputs.list.map(a, inputs.list.all(b, int(a) + int(b) >= 0)).size()".to_owned()
}

fn texts() -> String {
    "inputs.list.map(a, inputs.list.map(b, string(a) + 'x' + string(b))).size()".to_owned()
}

fn letters() -> String {
    "inputs.text.split('').size()".to_owned()
}

fn sum() -> String {
    "(inputs.text + inputs.text + inputs.text + inputs.text).size()".to_owned()
}

fn join() -> String {
    "inputs.list.map(a, inputs.text).join(',').size()".to_owned()
}

fn pattern() -> String {
    "(inputs.text.matches('(a|aa|aaa){1,100}b') ? 1 : 0)".to_owned()
}

fn three() -> Value {
    inputs(3, 0)
}

fn few() -> Value {
    inputs(8, 0)
}

fn most() -> Value {
    inputs(60_000, 0)
}

fn long() -> Value {
    inputs(900_000, 0)
}

fn numbers() -> Value {
    inputs(1, 300)
}

fn many() -> Value {
    inputs(1, 2_000)
}

fn both() -> Value {
    inputs(10_000, 1_000)
}

/// A text of so many letters, and a list of so many numbers.
fn inputs(letters: usize, count: usize) -> Value {
    json!({ "text": "a".repeat(letters), "list": (0..count).collect::<Vec<_>>() })
}
