//! Processes that a process of ours has started.

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

/// A process that was started by one of ours. A signal never reaches another one that has got its id.
#[derive(Debug)]
pub struct Kin {
    pid: Pid,
    program: String,
    handle: OwnedFd,
}

impl Kin {
    /// The name of the file that it runs.
    #[must_use]
    pub fn program(&self) -> &str {
        &self.program
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let sent = pidfd_send_signal(&self.handle, signal);
        sent.with_context(|| format!("signalling {} ({:?})", self.program, self.pid))
    }
}

pub(super) fn children(parent: Pid) -> Result<Vec<Kin>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.parse().ok());
        let Some(pid) = number.and_then(Pid::from_raw) else {
            continue;
        };
        found.extend(child(parent, pid));
    }
    Ok(found)
}

/// This process, if it is a child of `parent`. Its handle is taken before its parent is looked at: from then on the id
/// means no other.
fn child(parent: Pid, pid: Pid) -> Option<Kin> {
    let handle = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    let folder = Path::new("/proc").join(pid.as_raw_pid().to_string());
    let fields = stat(&folder).ok()?;
    let its_parent = fields.get(1)?.parse().ok().and_then(Pid::from_raw)?;
    let program = fs::read_link(folder.join("exe")).ok()?;
    (its_parent == parent).then(|| Kin {
        pid,
        program: program
            .file_name()
            .unwrap_or_default()
            .display()
            .to_string(),
        handle,
    })
}

/// Whether no thread of it runs outside the system: those in the midst of a call end there, as a stop lets no call
/// return.
pub(super) fn stands_still(pid: Pid) -> Result<()> {
    let mut stopped = false;
    for thread in fs::read_dir(format!("/proc/{}/task", pid.as_raw_pid()))? {
        let fields = stat(&thread?.path())?;
        let state = fields.first().map(String::as_str).unwrap_or_default();
        let still = matches!(state, "T" | "D" | "Z" | "X");
        ensure!(still, "a thread is in state {state}");
        stopped |= state == "T";
    }
    ensure!(stopped, "no thread has stopped yet");
    Ok(())
}

/// The fields of `/proc/…/stat` behind the name, which may hold anything: state, parent, ….
fn stat(folder: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(folder.join("stat"))?;
    let (_, behind) = text.rsplit_once(')').context("no name in it")?;
    Ok(behind.split_whitespace().map(str::to_owned).collect())
}
