//! The memory of a process, as Linux tells it (proc_pid_status(5)): what it has made, in KiB.
//!
//! Its program is not counted, which the system reads in by pages as they are first run: it can let go of them by
//! itself, and there is no more of it than the file has.
//!
//! Linux keeps the peak of all together, pages of files among it, and those that were read after the peak cannot be told
//! from those before. So what was made is looked at again and again besides.

use anyhow::{Context as _, Result};
use rustix::process::Pid;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(10);

/// The memory of one process, which is watched until this is dropped.
pub(super) struct Memory {
    process: Arc<Watched>,
    _watch: Sender<()>,
}

struct Watched {
    folder: PathBuf,
    /// The most that was made, and the most of files, since the last [`Memory::take_peak`].
    made: AtomicU64,
    files: AtomicU64,
    /// Nobody looks while the peak is taken.
    taking: RwLock<()>,
}

impl Memory {
    /// Begins to watch.
    pub(super) fn of(pid: Pid) -> Self {
        let process = Arc::new(Watched {
            folder: format!("/proc/{}", pid.as_raw_nonzero()).into(),
            made: AtomicU64::new(0),
            files: AtomicU64::new(0),
            taking: RwLock::new(()),
        });
        let (watch, end) = mpsc::channel();
        let watched = process.clone();
        thread::spawn(move || {
            while end.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                // It has ended: whoever asks for its memory is told so.
                if watched.look().is_err() {
                    return;
                }
            }
        });
        Self {
            process,
            _watch: watch,
        }
    }

    /// What it has made and not given back.
    pub(super) fn resident(&self) -> Result<u64> {
        self.process.look()
    }

    /// The most of that since this was last asked; then it begins anew (proc_pid_clear_refs(5)).
    pub(super) fn take_peak(&self) -> Result<u64> {
        let now = self.resident()?;
        let Watched {
            folder,
            made,
            files,
            taking,
        } = &*self.process;
        let _taking = taking.write().unwrap_or_else(PoisonError::into_inner);
        let all = field(&fs::read_to_string(folder.join("status"))?, "VmHWM:")?;
        fs::write(folder.join("clear_refs"), "5")?;
        let files = files.swap(0, Ordering::Relaxed);
        let made = made.swap(0, Ordering::Relaxed);
        Ok(now.max(made).max(all.saturating_sub(files)))
    }
}

impl Watched {
    fn look(&self) -> Result<u64> {
        let _looking = self.taking.read().unwrap_or_else(PoisonError::into_inner);
        let status = fs::read_to_string(self.folder.join("status"))?;
        let made = field(&status, "RssAnon:")? + field(&status, "RssShmem:")?;
        self.made.fetch_max(made, Ordering::Relaxed);
        let files = field(&status, "RssFile:")?;
        self.files.fetch_max(files, Ordering::Relaxed);
        Ok(made)
    }
}

fn field(status: &str, name: &str) -> Result<u64> {
    let mut values = status.lines().filter_map(|line| line.strip_prefix(name));
    let value = values.next().with_context(|| format!("no {name}"))?;
    let number = value.split_whitespace().next().context("no number")?;
    Ok(number.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::getpid;

    #[test]
    fn what_is_given_back_and_followed_by_pages_of_a_file_was_in_memory() {
        const MIB: usize = 1024 * 1024;
        let memory = Memory::of(getpid());
        let before = memory.take_peak().expect("it is alive");
        let made = vec![1_u8; 256 * MIB];
        assert!(memory.resident().expect("it is alive") >= before + 200 * 1024);
        drop(made);
        let peak = memory.take_peak().expect("it is alive");
        assert!(peak >= before + 200 * 1024, "{peak} KiB after {before}");
        let after = memory.take_peak().expect("it is alive");
        assert!(after < peak - 100 * 1024, "{after} KiB after {peak}");
    }
}
