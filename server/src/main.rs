//! The program `mirastack`.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A run is made of many small things that one thread makes and another lets go. The system's allocator has its threads
/// wait for each other over that: with it, a run of one step takes a fifth more of a processor.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    mirastack::start()
}
