//! The program `miractl`.

use std::process::ExitCode;

fn main() -> ExitCode {
    miractl::start()
}
