//! What happened, as one number: two runs of a seed that differ anywhere differ here.

use std::fmt::{self, Write as _};
use std::sync::Mutex;

#[derive(Debug, Default)]
struct Sum {
    crc: u32,
    bytes: u64,
    lines: u64,
}

impl fmt::Write for Sum {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.crc = crc32c::crc32c_append(self.crc, text.as_bytes());
        self.bytes += text.len() as u64;
        Ok(())
    }
}

/// A checksum over the lines of what happened. With `TRACE=1` they are printed, too.
#[derive(Debug)]
pub(crate) struct Trace {
    sum: Mutex<Sum>,
    print: bool,
}

impl Trace {
    pub(crate) fn new(print: bool) -> Self {
        let sum = Mutex::default();
        Self { sum, print }
    }

    /// Something happened, at so many milliseconds.
    pub(crate) fn note(&self, ms: u64, what: fmt::Arguments<'_>) {
        if self.print {
            eprintln!("{ms} {what}");
        }
        let mut sum = self.sum.lock().expect("nobody panics with it");
        // A sum takes everything.
        let _ = writeln!(sum, "{ms} {what}");
        sum.lines += 1;
    }

    /// The number, and how many lines it stands for.
    pub(crate) fn sum(&self) -> (u64, u64) {
        let sum = self.sum.lock().expect("nobody panics with it");
        (u64::from(sum.crc) << 32 | sum.bytes, sum.lines)
    }
}
