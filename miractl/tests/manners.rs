//! Manners: what goes where, what is asked, what is refused, what is never shown.

mod support;

use std::process::Stdio;

use serde_json::{Value, json};
use support::{APPROVAL, RUN, Reply, Server, feed, miractl, problem, run, run_with};

fn empty() -> Server {
    Server::start(|_, _| Reply::Json(200, json!({ "items": [], "next_cursor": null })))
}

#[test]
fn every_refusal_has_its_exit_code_and_leaves_stdout_empty() {
    for (status, code) in [
        (400, 2),
        (401, 4),
        (403, 7),
        (404, 5),
        (409, 6),
        (412, 6),
        (422, 2),
        (500, 69),
        (501, 2),
    ] {
        let server = Server::start(move |_, _| problem(status, "the reason"));
        let done = run(&server, &["run", "get", RUN]);
        assert_eq!(done.code, code, "{status}: {}", done.err);
        assert!(done.out.is_empty(), "{status}: {}", done.out);
        assert!(
            done.err.starts_with("error: the reason\n"),
            "{status}: {}",
            done.err
        );
        assert!(done.err.contains("request req-1"), "{status}: {}", done.err);
    }
}

#[test]
fn a_server_that_is_not_there_is_said_at_once() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    drop(listener);
    let output = miractl(&url, home.path())
        .args(["run", "list"])
        .output()
        .expect("it starts");
    assert_eq!(output.status.code(), Some(69));
    assert!(String::from_utf8_lossy(&output.stderr).contains("mirastack dev"));
}

#[test]
fn a_redirect_is_not_followed() {
    let server = Server::start(|_, _| {
        Reply::Raw(
            302,
            "location: http://127.0.0.1:1/elsewhere\r\n",
            String::new(),
        )
    });
    let done = run(&server, &["run", "list"]);
    assert_eq!(done.code, 69, "{}", done.err);
    assert!(
        done.err.contains("http://127.0.0.1:1/elsewhere"),
        "{}",
        done.err
    );
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn every_list_has_a_good_empty_state() {
    let lists: [&[&str]; 7] = [
        &["run", "list"],
        &["workflow", "list"],
        &["approval", "list"],
        &["agent", "list"],
        &["hook", "list"],
        &["secret", "list"],
        &["key", "list"],
    ];
    for args in lists {
        let done = run(&empty(), args);
        assert_eq!((done.code, done.out.as_str()), (0, ""), "{args:?}");
        assert!(done.err.trim().len() > 10, "{args:?}: {}", done.err);
        let json = run(&empty(), &[args, &["-o", "json"]].concat());
        let read: Value = serde_json::from_str(&json.out).expect("JSON");
        assert_eq!(read["items"], json!([]), "{args:?}");
    }
    let done = run(&empty(), &["status"]);
    assert!(done.out.starts_with("All is well"), "{}", done.out);
}

#[test]
fn a_doubt_behind_a_thousand_runs_that_wait_is_shown() {
    let server = Server::start(|request, _| {
        let row = |n: usize, status: &str, reason: &str| {
            let id = format!("0197c0de-1111-7abc-8def-{n:012}");
            json!({ "id": id, "status": status, "reason": reason, "workflow": "w" })
        };
        let page = match request.line.as_str() {
            line if !line.contains("status=waiting") => json!({ "items": [] }),
            line if line.contains("cursor=more") => {
                json!({ "items": [row(7, "waiting", "in_doubt")] })
            }
            _ => {
                let approvals: Vec<Value> = (100..1_100)
                    .map(|n| row(n, "waiting", "approval"))
                    .collect();
                json!({ "items": approvals, "next_cursor": "more" })
            }
        };
        Reply::Json(200, page)
    });
    let done = run(&server, &["status"]);
    assert!(done.out.contains("In doubt or parked (1)"), "{}", done.out);
}

#[test]
fn what_was_not_looked_through_is_said() {
    let server = Server::start(|request, _| {
        let row = json!({ "id": "0197c0de-1111-7abc-8def-000000000001", "status": "waiting", "reason": "approval" });
        let waiting = request.line.contains("status=waiting");
        let items = if waiting {
            vec![row; 1_000]
        } else {
            Vec::new()
        };
        Reply::Json(
            200,
            json!({ "items": items, "next_cursor": waiting.then_some("more") }),
        )
    });
    let done = run(&server, &["status", "-o", "json"]);
    assert!(done.err.contains("only the newest 10000"), "{}", done.err);
    assert_eq!(server.of("GET /api/v1/runs").len(), 11);
}

#[test]
fn lists_page_as_far_as_they_are_asked_to() {
    let pages = |request: &support::Request| {
        let second = request.line.contains("cursor=abc");
        let row = |n: usize| json!({ "id": format!("0197c0de-1111-7abc-8def-{n:012}"), "status": "failed", "workflow": "w" });
        if second {
            json!({ "items": [row(3)], "next_cursor": null })
        } else {
            json!({ "items": [row(1), row(2)], "next_cursor": "abc" })
        }
    };
    let server = Server::start(move |request, _| Reply::Json(200, pages(request)));
    let all = run(&server, &["run", "list", "--all", "-o", "name"]);
    assert_eq!(all.out.lines().count(), 3);
    let two = run(&server, &["run", "list", "--limit", "2"]);
    assert_eq!(
        two.out.lines().count(),
        3,
        "two rows and a heading: {}",
        two.out
    );
    assert!(two.err.contains("--all"), "{}", two.err);
    assert!(!two.out.contains('\u{1b}'), "no colours in a pipe");
}

#[test]
fn filters_reach_the_server_as_the_contract_names_them() {
    let server = empty();
    let args = [
        "run",
        "list",
        "--since",
        "2026-01-01T00:00:00Z",
        "--status",
        "failed,waiting",
        "--hook",
        "alerts",
        "--alert",
        "abc",
        "--label",
        "team=a",
        "--label",
        "x=y",
        "--workflow",
        "w",
    ];
    run(&server, &args);
    let line = &server.requests()[0].line;
    for part in [
        "since=2026-01-01T00%3A00%3A00Z",
        "status=failed%2Cwaiting",
        "hook=alerts",
        "fingerprint=abc",
        "label=team%3Da&label=x%3Dy",
        "workflow=w",
    ] {
        assert!(line.contains(part), "{part} is missing in {line}");
    }
}

#[test]
fn what_cannot_be_taken_back_is_not_done_unasked() {
    let server = empty();
    for args in [
        ["workflow", "delete", "w"],
        ["hook", "delete", "h"],
        ["key", "revoke", "k"],
        ["secret", "delete", "s"],
    ] {
        let done = run(&server, &args);
        assert_eq!(done.code, 2, "{args:?}: {}", done.err);
        assert!(done.err.contains("--yes"), "{args:?}: {}", done.err);
    }
    assert!(server.requests().is_empty());
    let done = run(&server, &["workflow", "delete", "w", "--yes"]);
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(server.requests()[0].route(), "DELETE /api/v1/workflows/w");
}

fn with_approval() -> Server {
    Server::start(|request, _| {
        let approval = json!({ "id": APPROVAL, "run": RUN, "step": "silence", "state": "pending", "digest": "sha256:9b0d",
            "action": "alertmanager/create_silence", "permission": "MODIFY", "params": {}, "quorum": 1 });
        let run = json!({ "id": RUN, "status": "waiting", "waiting_for": [{ "kind": "approval", "step": "silence", "id": APPROVAL }] });
        match request.route() {
            route if route.ends_with(APPROVAL) || route.ends_with("/approve") => {
                Reply::Json(200, approval)
            }
            route if route.ends_with(&format!("/runs/{RUN}")) => Reply::Json(200, run),
            "GET /api/v1/runs" => Reply::Json(200, json!({ "items": [run] })),
            _ => problem(404, "no such thing"),
        }
    })
}

fn decisions(server: &Server) -> Vec<Value> {
    server
        .of(&format!("POST /api/v1/approvals/{APPROVAL}/approve"))
        .iter()
        .map(support::Request::json)
        .collect()
}

#[test]
fn nothing_is_approved_unseen() {
    let server = with_approval();
    let done = run(&server, &["approval", "approve", APPROVAL, "--yes"]);
    assert_eq!(done.code, 2, "{}", done.err);
    assert!(done.err.contains("--digest"), "{}", done.err);
    let done = run(
        &server,
        &["approval", "approve", APPROVAL, "--digest", "sha256:other"],
    );
    assert_eq!(done.code, 6, "{}", done.err);
    assert!(decisions(&server).is_empty());
}

#[test]
fn an_approval_is_found_by_every_name_it_has() {
    for name in [APPROVAL, "456789ab.3.1", RUN, "456789ab", "@last"] {
        let server = with_approval();
        let done = run(
            &server,
            &[
                "approval",
                "approve",
                name,
                "--digest",
                "sha256:9b0d",
                "--comment",
                "fine",
            ],
        );
        assert_eq!(done.code, 0, "{name}: {}", done.err);
        assert_eq!(
            decisions(&server),
            [json!({ "digest": "sha256:9b0d", "comment": "fine" })],
            "{name}"
        );
    }
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let rows: Vec<Value> = (0..900)
        .map(|n| json!({ "id": n.to_string(), "status": "failed", "workflow": "w" }))
        .collect();
    let server = Server::start(move |_, _| Reply::Json(200, json!({ "items": rows })));
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut child = miractl(&server.url, home.path())
        .args(["run", "list", "--all"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_secret_goes_in_by_a_pipe_and_is_never_shown() {
    let server = Server::start(|_, _| Reply::Json(200, json!({ "name": "s", "version": 2 })));
    let done = run_with(&server, &["secret", "set", "s", "-v"], "canary-secret\n");
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(
        server.requests()[0].json(),
        json!({ "value": "canary-secret" })
    );
    assert!(
        !format!("{}{}", done.out, done.err).contains("canary"),
        "{}",
        done.err
    );
    assert!(
        done.err.contains("PUT"),
        "-v shows the request: {}",
        done.err
    );
}

#[test]
fn a_key_that_is_made_is_asked_for_once_and_without_a_key_of_its_own() {
    let server = Server::start(|_, nth| {
        if nth == 1 {
            Reply::Json(201, json!({ "api_key_id": "k1", "api_secret": "s1" }))
        } else {
            Reply::Drop
        }
    });
    let done = run(&server, &["key", "create", "ci", "--role", "operator"]);
    assert_eq!(done.out, "api_key_id  k1\napi_secret  s1\n");
    assert_eq!(server.requests()[0].header("idempotency-key"), None);
    let lost = run(&server, &["key", "create", "ci", "--role", "operator"]);
    assert_eq!(lost.code, 69, "{}", lost.err);
    assert!(lost.err.contains("not known whether"), "{}", lost.err);
    assert_eq!(
        server.requests().len(),
        2,
        "an answer with a secret is not asked for twice"
    );
}

#[test]
fn a_hook_that_is_made_prints_what_to_paste() {
    let server = Server::start(|_, _| {
        Reply::Json(
            201,
            json!({ "name": "alerts", "type": "alertmanager", "secret": "s-1" }),
        )
    });
    let done = run(
        &server,
        &[
            "hook",
            "create",
            "alerts",
            "--type",
            "alertmanager",
            "--role",
            "engineer",
        ],
    );
    assert_eq!(done.code, 0, "{}", done.err);
    let pasted: Value = serde_saphyr::from_str(&done.out).expect("YAML");
    let webhook = &pasted["receivers"][0]["webhook_configs"][0];
    assert_eq!(
        webhook["url"],
        json!(format!("{}/hooks/alerts", server.url))
    );
    assert_eq!(
        webhook["http_config"]["authorization"]["credentials"],
        json!("s-1")
    );
    let sent = &server.requests()[0];
    assert_eq!(
        sent.body,
        "hook: alerts\ntype: alertmanager\nrole: engineer\n"
    );
    assert_eq!(sent.header("idempotency-key"), None);
}

#[test]
fn the_journal_is_checked_as_it_is_printed() {
    let journal = |second_prev: &'static str| {
        Server::start(move |_, _| {
            Reply::Json(
                200,
                json!({ "items": [
                { "n": 1, "at": "2026-01-01T00:00:00Z", "prev_hash": "00", "hash": "aa", "events": [{ "type": "RunStarted" }] },
                { "n": 2, "at": "2026-01-01T00:00:01Z", "prev_hash": second_prev, "hash": "bb", "events": [] },
            ] }),
            )
        })
    };
    let good = run(&journal("aa"), &["run", "journal", RUN]);
    assert_eq!(good.code, 0, "{}", good.err);
    assert!(
        good.err.contains("chain of 2 records holds"),
        "{}",
        good.err
    );
    let bad = run(&journal("ab"), &["run", "journal", RUN]);
    assert_eq!(bad.code, 1, "{}", bad.err);
    assert!(bad.err.contains("does not hold"), "{}", bad.err);
}

#[test]
fn an_example_is_written_once_and_never_over_another() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let init = || {
        miractl("http://127.0.0.1:1", home.path())
            .arg("init")
            .output()
            .expect("it starts")
    };
    let first = init();
    assert_eq!(
        String::from_utf8_lossy(&first.stdout),
        "my-first.mira.yaml\n"
    );
    assert_eq!(init().status.code(), Some(6));
    let written =
        std::fs::read_to_string(home.path().join("my-first.mira.yaml")).expect("the example");
    let read: Value = serde_saphyr::from_str(&written).expect("YAML");
    assert_eq!(read["workflow"], json!("my-first"));
}

#[test]
fn inputs_go_out_in_their_declared_types() {
    let server = Server::start(|request, _| match request.route() {
        "GET /api/v1/workflows/w" => Reply::Raw(
            200,
            "content-type: application/yaml\r\n",
            "workflow: w\ninputs:\n  n: { type: integer }\n  s: { type: string }\nsteps: []\n"
                .to_owned(),
        ),
        _ => Reply::Json(202, json!({ "id": RUN })),
    });
    let done = run_with(
        &server,
        &[
            "workflow", "run", "w", "--inputs", "-", "-i", "n=5", "-l", "team=a",
        ],
        "s: from a pipe\nn: 1\n",
    );
    assert_eq!(done.code, 0, "{}", done.err);
    let sent = server.of("POST /api/v1/workflows/w/runs")[0].json();
    assert_eq!(
        sent,
        json!({ "inputs": { "n": 5, "s": "from a pipe" }, "labels": { "team": "a" } })
    );
    let wrong = run(&server, &["workflow", "run", "w", "-i", "n=five"]);
    assert_eq!(wrong.code, 2, "{}", wrong.err);
}

#[test]
fn what_is_unsafe_about_a_connection_is_said() {
    let home = tempfile::tempdir().expect("a temporary folder");
    // Reserved for documentation (RFC 5737); nothing is sent to it here.
    let plain = feed(
        miractl("http://192.0.2.1:1", home.path()).args(["config", "view"]),
        "",
    );
    assert!(plain.err.contains("not encrypted"), "{}", plain.err);
    let mut insecure = miractl("https://192.0.2.1:1", home.path());
    let insecure = feed(insecure.args(["config", "view", "--insecure"]), "");
    assert!(insecure.err.contains("not checked"), "{}", insecure.err);
    let loopback = feed(
        miractl("http://127.0.0.1:1", home.path()).args(["config", "view"]),
        "",
    );
    assert_eq!((loopback.code, loopback.err.as_str()), (0, ""));
}

#[test]
fn the_configuration_is_shown_without_its_secrets() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let done = feed(
        miractl("http://127.0.0.1:1", home.path()).args(["config", "view"]),
        "",
    );
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(!done.out.contains("canary"), "{}", done.out);
    assert!(done.out.contains("MIRACTL_TOKEN"), "{}", done.out);
}

#[test]
fn no_command_line_that_is_broken_in_any_way_is_sent() {
    use std::os::unix::ffi::OsStrExt as _;
    let server = Server::start(|_, _| problem(500, "nothing may be asked"));
    let home = tempfile::tempdir().expect("a temporary folder");
    let long = "x".repeat(100_000);
    let lines: [&[&[u8]]; 14] = [
        &[b"nothing"],
        &[b"run"],
        &[b"run", b"get"],
        &[b"run", b"get", b""],
        &[b"run", b"get", long.as_bytes()],
        &[b"run", b"list", b"--limit", b"x"],
        &[b"run", b"list", b"--limit=-1"],
        &[b"run", b"list", b"--since", b"yesterday"],
        &[b"run", b"list", b"--statsu", b"failed"],
        &[b"run", b"list", b"--status=\xff"],
        &[b"\xff"],
        &[b"-o", b"xml", b"status"],
        &[b"workflow", b"run", b"x", b"--timeout=-1s"],
        &[b"apply", b"-f", b"no-such-file"],
    ];
    for line in lines {
        let words = line.iter().map(|word| std::ffi::OsStr::from_bytes(word));
        let mut command = miractl(&server.url, home.path());
        let output = command.args(words).output().expect("it starts");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{line:?}: {told}");
        assert!(output.stdout.is_empty(), "{line:?}");
        assert!(!told.contains("panicked"), "{line:?}: {told}");
    }
}

#[test]
fn no_file_of_its_own_that_is_broken_in_any_way_is_taken() {
    let server = empty();
    let home = tempfile::tempdir().expect("a temporary folder");
    let folder = home.path().join("config");
    std::fs::create_dir_all(&folder).expect("writable");
    let utf16: Vec<u8> = "contexts: {}"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let files: [&[u8]; 7] = [
        b"contexts: [",
        b"contexts: 7\n",
        b"contextz: {}\n",
        b"current_context: a\ncurrent_context: b\n",
        b"current_context: \xff\xfe",
        &utf16,
        &[b'['; 100_000],
    ];
    for file in files {
        std::fs::write(folder.join("config.yaml"), file).expect("writable");
        let mut command = miractl(&server.url, home.path());
        command.env("MIRACTL_CONFIG", &folder);
        let output = command.args(["run", "list"]).output().expect("it starts");
        let told = String::from_utf8_lossy(&output.stderr);
        let shown = String::from_utf8_lossy(&file[..file.len().min(40)]);
        assert_eq!(output.status.code(), Some(2), "{shown:?}: {told}");
        assert!(told.contains("config.yaml"), "{shown:?}: {told}");
    }
}
