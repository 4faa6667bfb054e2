//! What happened, as one number: two runs of a seed that differ anywhere differ here.

use std::fmt;
use std::sync::Mutex;

/// FNV-1a over the lines of what happened. With `TRACE=1` they are printed, too.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: Mutex<(u64, u64)>,
    print: bool,
}

impl Trace {
    pub(crate) fn new(print: bool) -> Self {
        let hash = Mutex::new((0xcbf2_9ce4_8422_2325, 0));
        Self { hash, print }
    }

    /// Something happened, at so many milliseconds.
    pub(crate) fn note(&self, ms: u64, what: fmt::Arguments<'_>) {
        let line = format!("{ms} {what}");
        if self.print {
            eprintln!("{line}");
        }
        let mut hash = self.hash.lock().expect("nobody panics with it");
        for byte in line.bytes() {
            hash.0 = (hash.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        hash.1 += 1;
    }

    /// The number, and how many lines it stands for.
    pub(crate) fn sum(&self) -> (u64, u64) {
        *self.hash.lock().expect("nobody panics with it")
    }
}
