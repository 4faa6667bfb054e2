//! Where the programs are that tests start.

use crate::miractl;
use anyhow::{Context as _, Result, bail};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program of this workspace, built in the same profile as the caller.
///
/// # Errors
/// It is not there: cargo builds a test without the programs of other packages that it starts.
pub fn built(name: &str) -> Result<PathBuf> {
    let caller = std::env::current_exe().context("where is this program?")?;
    let mut folder = caller.parent().context("a program lies in a folder")?;
    if folder.ends_with("deps") {
        folder = folder
            .parent()
            .context("deps lies in the folder of its profile")?;
    }
    let program = folder.join(name);
    if !program.is_file() {
        bail!(
            "{} is missing: build the workspace first (`make test` does)",
            program.display()
        );
    }
    Ok(program)
}

/// Where programs of the system's administrator lie, which are on no other user's PATH.
const SYSTEM: [&str; 2] = ["/usr/sbin", "/sbin"];

/// A program that the machine brings, under the first of its names that is on PATH, or among those of the system.
///
/// # Errors
/// It is there under none of them.
pub fn on_path(names: &[&str]) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = SYSTEM.into_iter().map(PathBuf::from);
    let folders: Vec<PathBuf> = std::env::split_paths(&path).chain(system).collect();
    let programs = names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    match programs.into_iter().find(|program| program.is_file()) {
        Some(program) => Ok(program),
        None => bail!(
            "{} is not on PATH: scripts/servers installs it",
            names.join(" or ")
        ),
    }
}

/// A server that many processes share: as scripts/servers has built it, or as it is on PATH.
///
/// # Errors
/// It is in neither place.
pub fn shared(name: &str) -> Result<PathBuf> {
    let built = cache()?.join("servers").join(name);
    if built.is_file() {
        return Ok(built);
    }
    on_path(&[name])
}

/// Where the scripts put what they fetch.
fn cache() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("MIRASTACK_CACHE") {
        return Ok(folder.into());
    }
    let folder = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let folder = folder.or_else(home).context("there is no HOME")?;
    Ok(folder.join("mirastack"))
}

/// A command that sees nothing of the caller's environment but PATH and the folder for temporary files: a test must not
/// depend on the settings of whoever runs it, nor change theirs.
#[must_use]
pub fn alone(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    let kept = ["PATH", "TMPDIR"].map(|name| (name, std::env::var_os(name)));
    command.env_clear();
    command.envs(
        kept.into_iter()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    command
        .env("HOME", home)
        .env("MIRACTL_CONFIG", miractl::config(home));
    command.env("RUST_BACKTRACE", "1");
    command
}

/// Starts a server that cannot pick a port itself on one that is free. Somebody else may take the port in between;
/// then it is tried again on another.
///
/// # Errors
/// Those of `start`.
pub async fn on_free_address<S>(
    start: impl AsyncFn(SocketAddr) -> Result<S>,
) -> Result<(SocketAddr, S)> {
    let mut tries = 0;
    loop {
        let address = free_address()?;
        tries += 1;
        match start(address).await {
            Ok(server) => return Ok((address, server)),
            Err(error) if tries < TRIES && is_taken(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Each language says it in its own way.
fn is_taken(error: &anyhow::Error) -> bool {
    let said = format!("{error:#}").to_lowercase();
    said.contains("address already in use") || said.contains("failed to bind to address")
}

/// A free port is taken by somebody else once in thousands of starts.
const TRIES: usize = 3;

/// A file of this project, by its path from the root.
#[must_use]
pub fn of_project(path: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.join(path)
}

/// An address that nobody listened at just now.
///
/// # Errors
/// There is none.
pub fn free_address() -> Result<SocketAddr> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("binding any loopback port")?;
    Ok(listener.local_addr()?)
}
