//! Somebody else's program that knows the API from its description alone, and tries what the description says.

use crate::mirastack::{Mirastack, Setup};
use anyhow::{Context as _, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// Tries so many requests of each operation, in an order that the seed decides, then chains of them, and shows what it
/// finds. Answers how many requests there were in all.
///
/// # Errors
/// An answer that the description does not have, a server error, or any other failed check; or no chains.
pub async fn try_all(requests: usize, seed: u64) -> Result<usize> {
    let program = fetched().await?;
    let server = Mirastack::start(Setup::default()).await?;
    let api = server.api().await?;
    let folder = tempfile::tempdir()?;
    let mut command = Command::new(program);
    command
        .current_dir(folder.path())
        .arg("--config-file")
        .arg(beside("schemathesis.toml"))
        .args(["run", &format!("{}/openapi.json", server.url())])
        .args(["--checks", "all", "--continue-on-failure", "--no-color"])
        .args([
            "--suppress-health-check",
            "all",
            "--generation-deterministic",
        ])
        .args(["--seed", &seed.to_string()])
        .args(["--max-examples", &requests.to_string()])
        .arg("--header")
        .arg(format!(
            "Authorization: Bearer {}",
            api.token().context("it has logged in")?
        ))
        .env("PYTHONPATH", beside(""))
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("SCHEMATHESIS_OWN_KEY", server.bootstrap_key()?.api_key_id)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let ended = command.output().await?;
    let said = String::from_utf8_lossy(&ended.stdout);
    eprintln!("{said}");
    let complaints = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.success(), "{}: {complaints}", ended.status);
    tried(&said)
}

/// How many requests there were, by its summary, which must say that they were put together, too.
fn tried(said: &str) -> Result<usize> {
    let (_, summary) = said.rsplit_once("SUMMARY").context("no summary")?;
    for phase in ["Coverage", "Fuzzing", "Stateful"] {
        let went = summary
            .lines()
            .any(|line| line.trim() == format!("✅ {phase}"));
        ensure!(went, "the phase {phase} did not take place");
    }
    let mut counts = summary
        .lines()
        .filter_map(|line| line.split_once(" generated, "));
    let (count, _) = counts.next().context("no number of test cases")?;
    count
        .trim()
        .replace(',', "")
        .parse()
        .context("no number of test cases")
}

#[test]
fn a_phase_that_did_not_take_place_is_missed() {
    let said = "=== SUMMARY ===\nTest Phases:\n  ⏭  Examples\n  ✅ Coverage\n  ✅ Fuzzing\n  ✅ Stateful\nWarnings:\n  1 operation mostly rejected generated data\nTest cases:\n  2,345 generated, 2,345 passed\n";
    assert_eq!(tried(said).expect("all of it"), 2_345);
    assert!(tried(&said.replace("✅ Stateful", "⏭  Stateful")).is_err());
    assert!(tried("no tests").is_err());
}

async fn fetched() -> Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/schemathesis");
    let fetched = Command::new(script).stdin(Stdio::null()).output().await?;
    let complaints = String::from_utf8_lossy(&fetched.stderr);
    ensure!(fetched.status.success(), "{complaints}");
    Ok(PathBuf::from(String::from_utf8(fetched.stdout)?.trim()))
}

fn beside(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("schemathesis")
        .join(name)
}
