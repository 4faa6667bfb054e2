//! What a process holds and uses, as Linux tells it in `/proc/PID` (proc_pid_status(5)).

use std::time::Duration;

use anyhow::Context as _;

/// The resident memory of one process, in KiB. Its children are not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resident {
    /// Now.
    pub(crate) now_kib: u64,
    /// At most so far.
    pub(crate) peak_kib: u64,
}

/// Reads it.
///
/// # Errors
/// There is no such process, or this is not Linux.
pub(crate) fn read(pid: u32) -> anyhow::Result<Resident> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("reading {path}: has the server ended?"))?;
    parse(&text).with_context(|| format!("{path} has no VmRSS and VmHWM"))
}

/// How long the process was on a processor so far, all of its threads together.
///
/// # Errors
/// There is no such process, or this is not Linux.
pub(crate) fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{pid}/task");
    let threads = std::fs::read_dir(&path)
        .with_context(|| format!("reading {path}: has the server ended?"))?;
    let mut nanos = 0;
    for thread in threads {
        // A thread that has ended since it was listed is not counted any more.
        let stat = std::fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
        nanos += on_processor(&stat);
    }
    Ok(Duration::from_nanos(nanos))
}

/// The first of its three numbers, in nanoseconds (Documentation/scheduler/sched-stats.rst of Linux).
fn on_processor(schedstat: &str) -> u64 {
    let first = schedstat.split_whitespace().next();
    first.and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn parse(status: &str) -> Option<Resident> {
    let kib = |name: &str| {
        let line = status.lines().find_map(|l| l.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse().ok()
    };
    Some(Resident {
        now_kib: kib("VmRSS:")?,
        peak_kib: kib("VmHWM:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::{Resident, cpu, on_processor, parse};

    #[test]
    fn resident_memory_is_read_in_kib() {
        let text = "Name:\tmirastack\nVmPeak:\t 9 kB\nVmHWM:\t   20480 kB\nVmRSS:\t   10240 kB\n";
        let expected = Resident {
            now_kib: 10_240,
            peak_kib: 20_480,
        };
        assert_eq!(parse(text), Some(expected));
    }

    #[test]
    fn a_process_without_memory_is_no_figure() {
        assert_eq!(parse("Name:\tkthreadd\n"), None);
        assert_eq!(parse("VmHWM:\t1 kB\nVmRSS:\tmany kB\n"), None);
    }

    #[test]
    fn time_on_a_processor_is_read_in_nanoseconds() {
        assert_eq!(on_processor("1500 20 3\n"), 1500);
        assert_eq!(on_processor(""), 0);
        assert!(cpu(std::process::id()).is_ok());
    }
}
