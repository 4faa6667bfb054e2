//! Signing in: where keys come from, where they are kept, when a token is renewed, whom it is sent to.

mod support;

use std::path::Path;
use std::process::Command;

use serde_json::json;
use support::{Done, Reply, Server, feed, miractl, problem};

const TOKEN: &str = "POST /api/v1/auth/token";

/// The program without any credentials in its environment.
fn bare(home: &Path) -> Command {
    let mut command = miractl("", home);
    command
        .env_remove("MIRACTL_SERVER")
        .env_remove("MIRACTL_TOKEN");
    command
}

fn me() -> Server {
    Server::start(|_, _| {
        Reply::Json(
            200,
            json!({ "principal": "key:admin", "tenant": "default", "roles": ["admin"], "rights": [], "items": [] }),
        )
    })
}

fn login(home: &Path, server: &Server) -> Done {
    feed(
        bare(home).args(["login", "--server", &server.url, "--context", "dev", "-v"]),
        "k1\ncanary-secret\n",
    )
}

#[test]
fn a_login_is_kept_for_the_owner_and_used_by_the_next_command() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = me();
    let done = login(home.path(), &server);
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.err.contains("key:admin (admin)"), "{}", done.err);
    assert!(
        !format!("{}{}", done.out, done.err).contains("canary"),
        "{}",
        done.err
    );
    let sent = server.of(TOKEN);
    assert_eq!(
        sent[0].json(),
        json!({ "api_key_id": "k1", "api_secret": "canary-secret" })
    );
    assert_eq!(sent[0].header("idempotency-key"), None);
    let next = feed(bare(home.path()).args(["run", "list"]), "");
    assert_eq!(next.code, 0, "{}", next.err);
    let last = server.of("GET /api/v1/runs");
    assert_eq!(
        last[0].header("authorization"),
        Some("Bearer v4.local.canary-token")
    );
    assert_eq!(server.of(TOKEN).len(), 1, "the kept token is used");
    let view = feed(bare(home.path()).args(["config", "view"]), "");
    assert!(
        view.out.contains("***") && !view.out.contains("canary"),
        "{}",
        view.out
    );
}

#[test]
fn a_bootstrap_file_is_all_that_a_login_needs() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = me();
    let address = server.url.trim_start_matches("http://");
    let file = home.path().join("bootstrap.json");
    let text =
        json!({ "api_key_id": "k1", "api_secret": "s1", "http": address, "grpc": "127.0.0.1:1" });
    std::fs::write(&file, text.to_string()).expect("a file");
    let done = feed(bare(home.path()).args(["login", "--file"]).arg(&file), "");
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(server.of(TOKEN).len(), 1);
}

#[test]
fn a_wrong_key_is_not_kept() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(|_, _| problem(401, "no such key"));
    let args = ["login", "--server", &server.url, "--context", "dev"];
    let done = feed(bare(home.path()).args(args), "k1\nwrong-canary\n");
    assert_eq!(done.code, 4, "{}", done.err);
    assert!(!done.err.contains("canary"), "{}", done.err);
    assert!(!home.path().join("miractl/config.yaml").exists());
    assert!(!home.path().join("miractl/tokens.yaml").exists());
}

#[test]
fn a_token_that_the_server_no_longer_takes_is_renewed_once() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(|request, nth| match request.route() {
        "GET /api/v1/runs" if nth == 1 => problem(401, "expired"),
        "GET /api/v1/approvals" => problem(401, "never"),
        _ => Reply::Json(200, json!({ "principal": "key:admin", "items": [] })),
    });
    assert_eq!(login(home.path(), &server).code, 0);
    let done = feed(bare(home.path()).args(["run", "list"]), "");
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(server.of(TOKEN).len(), 2);
    let never = feed(bare(home.path()).args(["approval", "list"]), "");
    assert_eq!(never.code, 4, "{}", never.err);
    assert_eq!(
        server.of(TOKEN).len(),
        3,
        "one renewal, not one for each refusal"
    );
}

#[test]
fn a_token_that_ends_soon_is_renewed_before_it_is_used() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = me();
    assert_eq!(login(home.path(), &server).code, 0);
    let path = home.path().join("miractl/tokens.yaml");
    let kept = std::fs::read_to_string(&path).expect("tokens.yaml");
    std::fs::write(&path, kept.replace("2099", "2020")).expect("an old token");
    let done = feed(bare(home.path()).args(["run", "list"]), "");
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(server.of(TOKEN).len(), 2);
    let kept = std::fs::read_to_string(&path).expect("tokens.yaml");
    assert!(kept.contains("2099"), "the new token is kept");
}

#[test]
fn kept_credentials_are_not_sent_to_another_server() {
    let home = tempfile::tempdir().expect("a temporary folder");
    assert_eq!(login(home.path(), &me()).code, 0);
    let other = me();
    let done = feed(
        bare(home.path()).args(["run", "list", "--server", &other.url]),
        "",
    );
    assert_eq!(done.code, 4, "{}", done.err);
    assert!(other.requests().is_empty());
}

#[test]
fn ci_signs_in_from_its_environment() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = me();
    let file = home.path().join("secret");
    std::fs::write(&file, "s1\n").expect("a file");
    let mut command = bare(home.path());
    command
        .env("MIRACTL_SERVER", &server.url)
        .env("MIRACTL_API_KEY_ID", "k1")
        .env("MIRACTL_API_SECRET_FILE", &file);
    let done = feed(command.args(["run", "list"]), "");
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(server.of(TOKEN)[0].json()["api_secret"], json!("s1"));
    assert!(
        !home.path().join("miractl").exists(),
        "nothing of the environment is written down"
    );
}

#[test]
fn nobody_logged_in_is_said_before_anything_is_sent() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = me();
    let done = feed(
        bare(home.path()).args(["run", "list", "--server", &server.url]),
        "",
    );
    assert_eq!(done.code, 4, "{}", done.err);
    assert!(done.err.contains("miractl login"), "{}", done.err);
    let nowhere = feed(bare(home.path()).args(["run", "list"]), "");
    assert_eq!(nowhere.code, 2, "{}", nowhere.err);
    assert!(nowhere.err.contains("mirastack dev"), "{}", nowhere.err);
}
