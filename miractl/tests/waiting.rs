//! Waiting for runs: exit codes, lost connections, lost answers, interrupts.

mod support;

use serde_json::{Value, json};
use support::{APPROVAL, Done, ENDED, RUN, Reply, Request, Server, record, run, spawn};

const CREATE: &str = "POST /api/v1/workflows/hello/runs";

fn events_route() -> String {
    format!("GET /api/v1/runs/{RUN}/events")
}

fn created() -> Reply {
    Reply::Json(202, json!({ "id": RUN, "status": "queued", "url": "/x" }))
}

fn state(status: &str) -> Value {
    json!({ "id": RUN, "workflow": "hello", "status": status, "outputs": { "greeting": "hi" }, "steps": [], "waiting_for": [] })
}

/// A server whose run is in `status` from the beginning.
fn in_status(run: Value) -> Server {
    let ended = !matches!(
        run["status"].as_str(),
        Some("running" | "waiting" | "parked")
    );
    Server::start(move |request, _| match request.route() {
        CREATE => created(),
        route if route.ends_with("/events") && ended => {
            Reply::Events(format!("{}{ENDED}", record(1, "x", &json!([]))))
        }
        route if route.ends_with("/events") => Reply::Silent(record(1, "x", &json!([]))),
        route if route.ends_with("/cancel") => Reply::Json(200, json!({})),
        _ => Reply::Json(200, run.clone()),
    })
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

#[test]
fn each_end_of_a_run_is_an_exit_code() {
    for (status, code) in [
        ("succeeded", 0),
        ("failed", 1),
        ("rejected", 3),
        ("cancelled", 9),
        ("timed_out", 10),
        ("parked", 11),
    ] {
        let done = run(
            &in_status(state(status)),
            &["workflow", "run", "hello", "--wait"],
        );
        assert_eq!(done.code, code, "{status}: {}", done.err);
        assert_eq!(lines(&done.err)[0], RUN, "{status}");
        assert_eq!(done.out, "greeting = hi\n", "{status}");
    }
}

#[test]
fn an_approval_is_waited_through_unless_attention_is_asked_for() {
    let mut waiting = state("waiting");
    waiting["waiting_for"] = json!([{ "kind": "approval", "step": "silence", "id": APPROVAL }]);
    let done = run(
        &in_status(waiting.clone()),
        &["workflow", "run", "hello", "--wait=attention"],
    );
    assert_eq!(done.code, 8, "{}", done.err);
    assert!(
        done.err.contains("miractl approval approve 456789ab.3.1"),
        "{}",
        done.err
    );
    let done = run(
        &in_status(waiting),
        &["workflow", "run", "hello", "--wait", "--timeout", "300ms"],
    );
    assert_eq!(done.code, 124, "{}", done.err);
    assert!(done.err.contains("goes on"), "{}", done.err);
}

#[test]
fn a_step_in_doubt_ends_the_wait() {
    let mut waiting = state("waiting");
    waiting["waiting_for"] = json!([{ "kind": "in_doubt", "step": "silence" }]);
    let done = run(&in_status(waiting), &["run", "watch", RUN]);
    assert_eq!(done.code, 11, "{}", done.err);
    assert!(done.err.contains("--not-done"), "{}", done.err);
}

#[test]
fn an_item_in_doubt_is_settled_with_the_very_command_that_is_shown() {
    let mut waiting = state("waiting");
    waiting["waiting_for"] = json!([{ "kind": "in_doubt", "step": "silence[it's 1/2]" }]);
    let step = format!("/api/v1/runs/{RUN}/steps/silence[it's%201%2F2]");
    let (get, post) = (format!("GET {step}"), format!("POST {step}/resolve"));
    let server = Server::start(move |request, _| match request.route() {
        route if route == get => Reply::Json(200, json!({ "attempts": [{ "number": 3 }] })),
        route if route == post => Reply::Json(200, json!({})),
        route if route.ends_with("/events") => Reply::Silent(record(1, "x", &json!([]))),
        route if route.contains("/steps/") => support::problem(404, "there is no such step"),
        _ => Reply::Json(200, waiting.clone()),
    });
    let watched = run(&server, &["run", "watch", RUN]);
    let shown = lines(&watched.err)
        .into_iter()
        .find(|line| line.contains("--not-done"));
    let shown = shown.unwrap_or_else(|| panic!("no command in {}", watched.err));
    let home = tempfile::tempdir().expect("a temporary folder");
    let program = support::miractl(&server.url, home.path());
    // The shell reads what a person would paste.
    let pasted = shown
        .trim()
        .replacen("miractl", "\"$0\" --yes", 1)
        .replacen("TEXT", "'not there'", 1)
        .replacen(&RUN[RUN.len() - 8..], RUN, 1);
    let mut shell = std::process::Command::new("sh");
    shell.arg("-c").arg(&pasted).arg(program.get_program());
    shell.env_clear().current_dir(home.path());
    shell.envs(program.get_envs().filter_map(|(k, v)| Some((k, v?))));
    let done: Done = shell.output().expect("it starts").into();
    assert_eq!(done.code, 0, "{pasted}: {}", done.err);
    let sent = server.of(&format!("POST {step}/resolve"));
    assert_eq!(sent[0].json()["attempt"], 3);
    assert_eq!(sent[0].json()["outcome"], "not_done");
}

#[test]
fn without_wait_the_id_is_all() {
    let done = run(&in_status(state("running")), &["workflow", "run", "hello"]);
    assert_eq!(
        (done.code, done.out.as_str()),
        (0, format!("{RUN}\n").as_str())
    );
    assert_eq!(lines(&done.err)[0], RUN);
    let quiet = run(
        &in_status(state("running")),
        &["workflow", "run", "hello", "-q"],
    );
    assert_eq!(quiet.err, format!("{RUN}\n"));
}

#[test]
fn an_answer_that_is_lost_is_asked_for_again_with_the_same_key() {
    for lost in [
        (|| Reply::Drop) as fn() -> Reply,
        || Reply::Half,
        || support::problem(503, "no leader"),
    ] {
        let server = Server::start(move |_, nth| if nth == 1 { lost() } else { created() });
        let done = run(&server, &["workflow", "run", "hello"]);
        assert_eq!(done.code, 0, "{}", done.err);
        let asked = server.of(CREATE);
        let keys: Vec<_> = asked
            .iter()
            .map(|r| r.header("idempotency-key").expect("a key"))
            .collect();
        assert_eq!(keys.len(), 2);
        assert_eq!(keys[0], keys[1]);
    }
}

#[test]
fn the_key_of_the_command_line_is_the_key_of_the_request() {
    let server = in_status(state("running"));
    run(
        &server,
        &["workflow", "run", "hello", "--idempotency-key", "build-7"],
    );
    assert_eq!(
        server.of(CREATE)[0].header("idempotency-key"),
        Some("build-7")
    );
}

#[test]
fn a_submit_whose_fate_is_unknown_says_how_to_find_out() {
    let server = Server::start(|_, _| Reply::Drop);
    let done = run(&server, &["workflow", "run", "hello", "--timeout", "1s"]);
    assert_eq!(done.code, 69, "{}", done.err);
    let key = server.of(CREATE)[0]
        .header("idempotency-key")
        .expect("a key")
        .to_owned();
    assert!(
        done.err.contains(&format!("--idempotency-key {key}")),
        "{}",
        done.err
    );
}

/// The events come over three connections: one that breaks, one that is refused, one that goes on.
fn breaking(request: &Request, nth: usize) -> Reply {
    let step = |kind: &str| json!([{ "type": "StepAdded", "step": 0, "name": "rate" }, { "type": kind, "step": 0 }]);
    match (request.route().ends_with("/events"), nth) {
        (true, 1) => Reply::Events(
            record(1, "running", &step("RunStarted"))
                + &record(2, "running", &step("StepSucceeded")),
        ),
        (true, 2) => support::problem(503, "no leader"),
        (true, _) => Reply::Events(
            record(
                3,
                "succeeded",
                &json!([{ "type": "RunEnded", "status": "succeeded" }]),
            ) + ENDED,
        ),
        (false, _) if request.line.contains("until=end") => Reply::Json(200, state("succeeded")),
        (false, _) => Reply::Json(200, state("running")),
    }
}

#[test]
fn a_broken_stream_goes_on_where_it_broke() {
    let server = Server::start(breaking);
    let done = run(&server, &["run", "watch", RUN]);
    assert_eq!(done.code, 0, "{}", done.err);
    let connections = server.of(&events_route());
    let last: Vec<_> = connections
        .iter()
        .map(|r| r.header("last-event-id"))
        .collect();
    assert_eq!(last, [None, Some("2"), Some("2")]);
    let shown = lines(&done.out);
    assert_eq!(shown.len(), 3, "{}", done.out);
    assert!(
        shown[1].contains("rate") && shown[1].ends_with("succeeded"),
        "{}",
        done.out
    );
    assert!(done.err.contains("connection lost"), "{}", done.err);
    assert!(done.err.contains("connected again"), "{}", done.err);
}

#[test]
fn watching_prints_records_as_json_where_a_program_reads() {
    let done = run(
        &Server::start(breaking),
        &["run", "watch", RUN, "-o", "json"],
    );
    let numbers: Vec<Value> = done
        .out
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).expect("JSON")["n"].clone())
        .collect();
    assert_eq!(numbers, [json!(1), json!(2), json!(3)]);
}

#[test]
fn a_server_of_which_nothing_was_ever_heard_is_not_waited_for() {
    let mut server = Server::start(|_, _| Reply::Drop);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    server.url = format!("http://{}", closed.local_addr().expect("an address"));
    drop(closed);
    let done = run(&server, &["run", "watch", RUN]);
    assert_eq!(done.code, 69, "{}", done.err);
    assert!(!done.err.contains("trying again"), "{}", done.err);
}

#[test]
fn a_server_that_stays_away_leaves_the_state_unknown() {
    let server = Server::start(|request, nth| match request.route() {
        CREATE => created(),
        route if route.ends_with("/events") && nth == 1 => {
            Reply::Events(record(1, "running", &json!([])))
        }
        _ => Reply::Drop,
    });
    let done = run(
        &server,
        &["workflow", "run", "hello", "--wait", "--timeout", "1s"],
    );
    assert_eq!(done.code, 69, "{}", done.err);
    assert!(done.err.contains("not known"), "{}", done.err);
}

/// Starts a wait, sends `signal` once it follows, and reads what it came to.
fn interrupted(server: &Server, args: &[&str], signal: rustix::process::Signal) -> Done {
    let home = tempfile::tempdir().expect("a temporary folder");
    let child = spawn(server, home.path(), args);
    server.wait_for(&events_route());
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, signal).expect("it runs");
    child.wait_with_output().expect("it ends").into()
}

#[test]
fn an_interrupt_ends_the_wait_and_not_the_run() {
    use rustix::process::Signal;
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let server = in_status(state("running"));
        let done = interrupted(&server, &["workflow", "run", "hello", "--wait"], signal);
        assert_eq!(done.code, code, "{}", done.err);
        assert!(done.err.contains("the run goes on"), "{}", done.err);
        assert!(
            done.err.contains(&format!("miractl run watch {RUN}")),
            "{}",
            done.err
        );
        assert!(
            server
                .of(&format!("POST /api/v1/runs/{RUN}/cancel"))
                .is_empty()
        );
    }
}

#[test]
fn an_interrupt_cancels_the_run_where_that_was_asked_for() {
    let server = in_status(state("running"));
    let args = [
        "workflow",
        "run",
        "hello",
        "--wait",
        "--cancel-on-interrupt",
    ];
    let done = interrupted(&server, &args, rustix::process::Signal::INT);
    assert_eq!(done.code, 130, "{}", done.err);
    assert_eq!(
        server.of(&format!("POST /api/v1/runs/{RUN}/cancel")).len(),
        1
    );
}

#[test]
fn progress_and_logs_are_shown_when_asked_for() {
    let server = Server::start(|request, _| match request.route() {
        CREATE => created(),
        route if route.ends_with("/events") => Reply::Events(format!(
            "event: progress\ndata: {}\n\nevent: log\ndata: {}\n\n: comment\n\nevent: news\ndata: x\n\n{ENDED}",
            json!({ "step": "rate", "percent": 40, "message": "reading" }),
            json!({ "step": "rate", "level": "info", "message": "a\u{1b}[2Jline" }),
        )),
        _ => Reply::Json(200, state("succeeded")),
    });
    let done = run(&server, &["workflow", "run", "hello", "--follow"]);
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.err.contains("40% reading"), "{}", done.err);
    assert!(
        done.err.contains("line") && !done.err.contains('\u{1b}'),
        "{}",
        done.err
    );
}

#[test]
fn a_call_of_an_action_answers_what_the_action_answered() {
    let server = Server::start(|request, _| {
        let blob = json!({ "blob": "/x", "size": 20000, "sha256": "abc" });
        let step = json!({ "id": "call", "status": "succeeded", "output": { "series": blob, "count": 2 } });
        match request.route() {
            "POST /api/v1/agents/metrics/actions/query" => created(),
            route if route.ends_with("/events") => Reply::Events(ENDED.to_owned()),
            route if route.ends_with("/blobs/abc") => Reply::Json(200, json!(["large"])),
            _ => Reply::Json(
                200,
                json!({ "id": RUN, "workflow": null, "status": "succeeded", "outputs": {}, "steps": [step] }),
            ),
        }
    });
    let done = run(&server, &["action", "invoke", "metrics", "query", "--wait"]);
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(done.out, "count = 2\nseries = [\"large\"]\n");
}
