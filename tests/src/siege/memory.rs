//! The memory of a process, as Linux tells it.

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

    /// What is resident now, in KiB.
    pub(super) fn resident(&self) -> Result<u64> {
        self.field("VmRSS:")
    }

    /// The most that was resident since [`Memory::forget_peak`], in KiB.
    pub(super) fn peak(&self) -> Result<u64> {
        self.field("VmHWM:")
    }

    /// The peak begins anew (proc_pid_clear_refs(5)).
    pub(super) fn forget_peak(&self) -> Result<()> {
        Ok(fs::write(format!("{}/clear_refs", self.folder), "5")?)
    }

    fn field(&self, name: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("{}/status", self.folder))?;
        let mut values = status.lines().filter_map(|line| line.strip_prefix(name));
        let value = values.next().with_context(|| format!("no {name}"))?;
        let number = value.split_whitespace().next().context("no number")?;
        Ok(number.parse()?)
    }
}
