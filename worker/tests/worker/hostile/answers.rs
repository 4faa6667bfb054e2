use std::time::Duration;

use futures::StreamExt;
use futures::future::{Either, select};
use serde_json::{Value, json};
use store::port::{News, Topic};
use tokio::process::Command;
use worker::Said;

use crate::bench::Bench;
use crate::jobs;

use super::field::{Field, is_harmless, resident};

/// So many plugins misbehave at the same time.
const AT_ONCE: usize = 10;
/// By so much may the memory of the worker grow meanwhile, in bytes.
const GROWTH_MAX: usize = 64 << 20;
/// A call that never ends is given so long.
const SHORT: Duration = Duration::from_millis(400);
const LONG: Duration = Duration::from_secs(60);

/// One way to misbehave in a call.
struct Case {
    name: &'static str,
    /// What the plugin is told to do.
    params: Value,
    limit: Duration,
    /// What stands in the journal: the code, empty for a success, and a part of the message or output.
    code: &'static str,
    says: &'static str,
    then: Then,
}

/// What the plugin is good for afterwards.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    /// It serves, after a new start if need be.
    Serves,
    /// It does not answer any more, and nobody but itself is worse off for it.
    Silent,
}

fn case(
    name: &'static str,
    params: Value,
    limit: Duration,
    (code, says): (&'static str, &'static str),
) -> Case {
    Case {
        name,
        params,
        limit,
        code,
        says,
        then: Then::Serves,
    }
}

fn silent(case: Case) -> Case {
    Case {
        then: Then::Silent,
        ..case
    }
}

fn bad(how: &str) -> Value {
    json!({ "do": "bad", "how": how })
}

/// In time.
fn times() -> Vec<Case> {
    let late = ("timeout", "no result within 400ms");
    vec![
        case("hangs", json!({"do": "hang"}), SHORT, late),
        case("talks-on", json!({"do": "talk on"}), SHORT, late),
        case("progresses", bad("progress"), SHORT, late),
        case("checkpoints", bad("checkpoints"), SHORT, late),
        case("late", bad("late"), SHORT, late),
        silent(case("stopped", bad("stop"), SHORT, late)),
    ]
}

/// In results.
fn results() -> Vec<Case> {
    let protocol = "plugin_protocol";
    vec![
        case(
            "hangs-up",
            json!({"do": "hang up"}),
            LONG,
            (protocol, "ended the call without a result"),
        ),
        case(
            "nonsense",
            json!({"do": "nonsense"}),
            LONG,
            (protocol, "an event of an unknown kind"),
        ),
        case("huge", json!({"do": "huge"}), LONG, ("limit", "too large")),
        case(
            "doubled",
            json!({"do": "answer twice"}),
            LONG,
            ("", "{\"n\":1}"),
        ),
        case("no-json", bad("no json"), LONG, (protocol, "is no JSON")),
        case("empty", bad("empty"), LONG, (protocol, "is no JSON")),
        case("no-text", bad("no text"), LONG, (protocol, "is no JSON")),
        case("nul", bad("nul"), LONG, (protocol, "is no JSON")),
        case(
            "dense",
            json!({"do": "dense"}),
            LONG,
            ("limit", "many small values"),
        ),
        case(
            "name-twice",
            json!({"do": "name twice"}),
            LONG,
            (protocol, "in two ways: \"c\" stands there twice"),
        ),
        case("deep", bad("deep"), LONG, (protocol, "recursion limit")),
        case(
            "no-number",
            bad("no number"),
            LONG,
            (protocol, "number out of range"),
        ),
        case(
            "other-schema",
            bad("other schema"),
            LONG,
            ("output_invalid", "does not fit its schema"),
        ),
    ]
}

/// In failures, and in what is said meanwhile.
fn words() -> Vec<Case> {
    let protocol = "plugin_protocol";
    vec![
        case(
            "large-checkpoint",
            bad("large checkpoint"),
            LONG,
            ("", "{}"),
        ),
        case("odd-progress", bad("odd progress"), LONG, ("", "{}")),
        case("many-lines", bad("many lines"), LONG, ("", "{}")),
        case("stdout", bad("stdout"), LONG, ("", "{}")),
        case(
            "long-error",
            bad("long error"),
            LONG,
            ("long", "e\\u{1b}[2Je"),
        ),
        case(
            "escapes",
            bad("escapes"),
            LONG,
            ("odd", "\\u{1b}]0;owned\\u{7}\\u{202e}txt.exe\\u{0}"),
        ),
        case("long-code", bad("long code"), LONG, ("plugin_error", "why")),
        case(
            "status",
            bad("status"),
            LONG,
            (protocol, "\\u{1b}[2J broken"),
        ),
        case("long-status", bad("long status"), LONG, (protocol, "sss")),
        case(
            "too-long-status",
            bad("too long status"),
            LONG,
            ("plugin_unavailable", "too_many_continuations"),
        ),
        case(
            "refuses",
            json!({"do": "refuse"}),
            LONG,
            (protocol, "refused the call: who are you?"),
        ),
        case(
            "dies",
            json!({"do": "die"}),
            LONG,
            (
                "plugin_unavailable",
                "the plugin died, or broke its connection, during the call",
            ),
        ),
    ]
}

/// On the connection itself.
fn wire() -> Vec<Case> {
    let late = ("timeout", "no result within 400ms");
    let died = (
        "plugin_unavailable",
        "the plugin died, or broke its connection, during the call",
    );
    let broke = |words| ("plugin_unavailable", words);
    let and = |how: &str| json!({"do": "bad", "how": how, "and": "answers"});
    vec![
        case(
            "wire-garbage",
            bad("garbage"),
            LONG,
            broke("connection error detected: frame with invalid size"),
        ),
        case(
            "wire-foreign",
            bad("foreign"),
            LONG,
            broke("connection error detected: unspecific protocol error"),
        ),
        case(
            "wire-cut",
            bad("cut"),
            LONG,
            broke("bytes remaining on stream"),
        ),
        case("wire-close", bad("close"), LONG, died),
        case(
            "wire-good-bye",
            bad("good-bye"),
            LONG,
            broke("connection error received: not a result of an error"),
        ),
        silent(case("wire-half-open", bad("half-open"), SHORT, late)),
        silent(case("wire-deaf", and("deaf"), LONG, ("", "{}"))),
        case("wire-pings", and("pings"), LONG, ("", "{}")),
        case("wire-settings", bad("settings"), LONG, died),
    ]
}

async fn misbehaves(field: &Field, case: &Case) {
    field.serves(case.name).await;
    let (code, text) = field.outcome(case.name, &case.params, case.limit).await;
    let told = format!("{}: {code}: {:.200}", case.name, text.escape_debug());
    assert_eq!(code, case.code, "{told}");
    assert!(text.contains(case.says), "{told}");
    assert!(is_harmless(&text), "{told}");
    if case.then == Then::Serves {
        return field.serves(case.name).await;
    }
    // More than any buffer on the way takes.
    let params = json!({ "a": "x".repeat(7_000) });
    for _ in 0..3 {
        let (code, text) = field.outcome(case.name, &params, SHORT).await;
        assert_eq!(code, "timeout", "{}: {text}", case.name);
    }
}

/// Runs a test in a process of its own: its memory is looked at, and here others use it, too.
pub(super) async fn alone(name: &str, test: impl Future<Output = ()>) {
    const ALONE: &str = "MIRASTACK_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return test.await;
    }
    let mut program = Command::new(std::env::current_exe().expect("this test"));
    program
        .args(["--exact", name, "--nocapture"])
        .env(ALONE, "1");
    let ended = program.kill_on_drop(true).status().await;
    assert!(ended.expect("it can be run").success(), "{name}");
}

/// All cases, some at the same time, while a good plugin beside them goes on to serve.
async fn all(cases: &[Case], manners: &str) {
    let mut plugins: Vec<_> = cases.iter().map(|case| (case.name, manners)).collect();
    plugins.push(("good", "good"));
    let field = Field::new(&plugins).await;
    field.serves("good").await;
    let pid = field.yard.pid("good").await;
    let before = resident();
    let mut bad = std::pin::pin!(
        futures::stream::iter(cases)
            .map(|case| misbehaves(&field, case))
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<()>>()
    );
    let (mut served, mut most) = (0, before);
    loop {
        let good = std::pin::pin!(field.serves("good"));
        match select(bad, good).await {
            Either::Left(_) => break,
            Either::Right(((), still)) => bad = still,
        }
        served += 1;
        most = most.max(resident());
    }
    assert!(served > 10, "{served} calls of the good plugin");
    assert_eq!(
        field.yard.pid("good").await,
        pid,
        "the good one was touched"
    );
    let grown = most.saturating_sub(before);
    assert!(grown <= GROWTH_MAX, "{grown} bytes more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_plugin_answers_its_call_ends_with_what_it_did_and_nobody_else_notices() {
    let cases = [times(), results(), words()].into_iter().flatten();
    let name = "hostile::answers::whatever_a_plugin_answers_its_call_ends_with_what_it_did_and_nobody_else_notices";
    alone(name, all(&cases.collect::<Vec<_>>(), "good")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_plugin_does_to_its_connection_nobody_else_notices() {
    let name = "hostile::answers::whatever_a_plugin_does_to_its_connection_nobody_else_notices";
    alone(name, all(&wire(), "wire")).await;
}

#[tokio::test(start_paused = true)]
async fn after_ten_thousand_lines_of_an_attempt_the_rest_is_left_out_and_that_is_said() {
    let mut bench = Bench::new().await;
    let job = jobs::read(1);
    let mut live = bench.backend.live.subscribe(Topic::Run(job.key.clone()));
    bench.offer(job).await;
    let call = bench.called().await;
    let events = call.events.clone().expect("a call");
    let mut heard = Vec::new();
    for _ in 0..10_200 {
        let message = "and another thing".to_owned();
        events
            .said(Said::Log {
                level: "info",
                message,
            })
            .await;
        // A watcher that hears each line as soon as it is said misses none.
        heard.extend(live.try_recv().ok());
    }
    assert_eq!(heard.len(), 10_001);
    let Some(News::Log { level, message, .. }) = heard.pop() else {
        panic!("no line")
    };
    assert_eq!(level, "warn");
    assert_eq!(message, "10000 lines and more: the rest is left out");
    call.succeed(&json!({}));
    bench.outcome().await;
}
