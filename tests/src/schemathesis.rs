//! Somebody else's program that knows the API from its description alone, and tries what the description says.

use crate::mirastack::{Mirastack, Setup};
use anyhow::{Context as _, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// Tries so many requests of each operation, in an order that the seed decides, and shows what it finds.
///
/// # Errors
/// An answer that the description does not have, a server error, or any other failed check.
pub async fn try_all(requests: usize, seed: u64) -> Result<()> {
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
    Ok(())
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
