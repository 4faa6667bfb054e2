//! The memory of a process, as Linux tells it (proc_pid_status(5)): what it has made, in KiB.
//!
//! Its program is not counted, which the system reads in by pages as they are first run: it can let go of them by
//! itself, and there is no more of it than the file has.

use anyhow::{Context as _, Result};
use rustix::process::Pid;
use std::fs;

/// The memory of one process.
pub(super) struct Memory {
    folder: String,
}

impl Memory {
    pub(super) fn of(pid: Pid) -> Self {
        Self {
            folder: format!("/proc/{}", pid.as_raw_nonzero()),
        }
    }

    /// What is resident now.
    pub(super) fn resident(&self) -> Result<u64> {
        let status = self.status()?;
        Ok(field(&status, "VmRSS:")?.saturating_sub(field(&status, "RssFile:")?))
    }

    /// The most that was resident since [`Memory::forget_peak`].
    pub(super) fn peak(&self) -> Result<u64> {
        let status = self.status()?;
        Ok(field(&status, "VmHWM:")?.saturating_sub(field(&status, "RssFile:")?))
    }

    /// The peak begins anew (proc_pid_clear_refs(5)).
    pub(super) fn forget_peak(&self) -> Result<()> {
        Ok(fs::write(format!("{}/clear_refs", self.folder), "5")?)
    }

    fn status(&self) -> Result<String> {
        Ok(fs::read_to_string(format!("{}/status", self.folder))?)
    }
}

fn field(status: &str, name: &str) -> Result<u64> {
    let mut values = status.lines().filter_map(|line| line.strip_prefix(name));
    let value = values.next().with_context(|| format!("no {name}"))?;
    let number = value.split_whitespace().next().context("no number")?;
    Ok(number.parse()?)
}
