//! Peers that mean harm against the living process, while its memory is watched and somebody does honest work.
//!
//! Start reading at [`slow()`].

mod ground;
mod honest;
mod memory;
mod slow;

use std::time::Duration;

pub use slow::slow;

/// How much more memory than when it is idle the process may take, in KiB.
const MORE_MAX: u64 = 64 * 1024;
/// Longer than any deadline of the process.
const PATIENCE: Duration = Duration::from_secs(60);
