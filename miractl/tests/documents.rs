//! Documents: what applying them says, and how an error in one is shown.

mod support;

use serde_json::{Value, json};
use support::{Reply, Request, Server, miractl};

fn apply(server: &Server, file: &str, verb: &[&str]) -> support::Done {
    let home = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(home.path().join("a.mira.yaml"), file).expect("a file");
    let args = [verb, &["-f", "a.mira.yaml"]].concat();
    miractl(&server.url, home.path())
        .env("LANG", "C.UTF-8")
        .args(args)
        .output()
        .expect("it starts")
        .into()
}

const TWO: &str = "workflow: w\nsteps: []\n---\nhook: h\ntype: generic\n";

fn saved(request: &Request, _: usize) -> Reply {
    match request.line.as_str() {
        "GET /api/v1/workflows/w" => Reply::Json(200, json!({ "name": "w", "revision": 3 })),
        "PUT /api/v1/workflows/w" => {
            Reply::Json(200, json!({ "name": "w", "revision": 3, "digest": "x" }))
        }
        "PUT /api/v1/hooks/h" => Reply::Json(201, json!({ "name": "h", "revision": 1 })),
        _ => support::problem(404, "not there"),
    }
}

#[test]
fn applying_says_what_changed_and_sends_the_text_as_it_is() {
    let server = Server::start(saved);
    let done = apply(&server, TWO, &["apply"]);
    assert_eq!(done.code, 0, "{}", done.err);
    let rows: Vec<Vec<&str>> = done
        .out
        .lines()
        .skip(1)
        .map(|l| l.split_whitespace().collect())
        .collect();
    assert_eq!(
        rows,
        [
            vec!["created", "hook", "h", "1"],
            vec!["unchanged", "workflow", "w", "3"]
        ]
    );
    assert_eq!(
        server.of("PUT /api/v1/workflows/w")[0].body,
        "workflow: w\nsteps: []\n"
    );
    assert_eq!(
        server.of("PUT /api/v1/workflows/w")[0].header("content-type"),
        Some("application/yaml")
    );
}

#[test]
fn a_hook_among_workflows_is_refused_before_anything_is_saved() {
    let server = Server::start(saved);
    let done = apply(&server, TWO, &["workflow", "apply"]);
    assert_eq!(done.code, 2, "{}", done.err);
    assert!(done.err.contains("a.mira.yaml:4"), "{}", done.err);
    assert!(server.requests().is_empty());
}

fn wrong(request: &Request, _: usize) -> Reply {
    if !request.line.starts_with("PUT /api/v1/workflows") {
        return saved(request, 1);
    }
    let body = json!({ "detail": "2 errors", "code": "invalid", "errors": [
        { "pointer": "/steps/0/uses", "line": 3, "column": 11, "message": "metrics has no action `instant_qeury`", "hint": "did you mean `metrics/instant_query`?" },
        { "pointer": "/steps", "message": "one more" },
    ] });
    Reply::Raw(
        422,
        "content-type: application/problem+json\r\n",
        body.to_string(),
    )
}

#[test]
fn all_errors_of_a_document_are_shown_where_they_stand_in_the_file() {
    let file =
        "hook: h\ntype: generic\n---\nworkflow: w\nsteps:\n  - uses: metrics/instant_qeury\n";
    let done = apply(&Server::start(wrong), file, &["apply"]);
    assert_eq!(done.code, 2, "{}", done.err);
    for part in [
        "a.mira.yaml:6:11",
        "- uses: metrics/instant_qeury",
        "did you mean `metrics/instant_query`?",
        "one more",
        "1 of 2 documents not saved",
    ] {
        assert!(
            done.err.contains(part),
            "{part} is missing in\n{}",
            done.err
        );
    }
    assert!(
        done.out.contains("created") && done.out.contains(" h "),
        "the hook is saved: {}",
        done.out
    );
}

#[test]
fn validating_shows_the_graph_and_the_warnings_and_saves_nothing() {
    let answer = json!({
        "graph": [{ "id": "rate", "uses": "metrics/range_query", "permission": "READ", "needs": [] },
                  { "id": "silence", "uses": "alertmanager/create_silence", "permission": "MODIFY", "needs": ["rate"] }],
        "warnings": [{ "line": 2, "column": 1, "message": "trigger data enters a query", "hint": "use strings.quote" }],
    });
    let server = Server::start(move |_, _| Reply::Json(200, answer.clone()));
    let done = apply(
        &server,
        "workflow: w\nsteps: []\n",
        &["workflow", "validate"],
    );
    assert_eq!(done.code, 0, "{}", done.err);
    let rows: Vec<Vec<&str>> = done
        .out
        .lines()
        .skip(2)
        .map(|l| l.split_whitespace().collect())
        .collect();
    assert_eq!(
        rows[1][..4],
        ["silence", "alertmanager/create_silence", "MODIFY", "rate"]
    );
    assert!(
        done.err.contains("trigger data enters a query") && done.err.contains("strings.quote"),
        "{}",
        done.err
    );
    assert!(
        server
            .requests()
            .iter()
            .all(|r| r.route() == "POST /api/v1/validate")
    );
}

#[test]
fn a_document_that_says_nothing_of_itself_is_the_servers_to_judge() {
    let server = Server::start(|_, _| Reply::Json(200, Value::Null));
    let done = apply(&server, "steps: []\n", &["apply"]);
    assert_eq!(done.code, 2, "{}", done.err);
    assert!(done.err.contains("a.mira.yaml:1"), "{}", done.err);
    assert_eq!(server.requests()[0].route(), "POST /api/v1/validate");
}

#[test]
fn a_secret_that_applying_makes_is_shown() {
    let made = json!({ "name": "h", "type": "generic", "secret": "s-1", "auth": { "hmac": { "header": "x-sig", "prefix": "" } } });
    let server = Server::start(move |request, _| {
        if request.line.starts_with("PUT") {
            Reply::Json(201, made.clone())
        } else {
            support::problem(404, "not there")
        }
    });
    let done = apply(
        &server,
        "hook: h\ntype: generic\ndedupe: none\n",
        &["hook", "apply"],
    );
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(
        done.out.contains("secret: \"s-1\"") && done.err.contains("only now"),
        "{}{}",
        done.out,
        done.err
    );
}
