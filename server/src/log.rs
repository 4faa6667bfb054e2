//! Logging: to stderr, in text or JSON.

use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::args::Dev;

pub(crate) fn begin(dev: &Dev) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&dev.log).with_context(|| {
        format!(
            "--log {:?} is no filter; write a level, such as info or debug",
            dev.log
        )
    })?;
    let to_stderr = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if dev.log_format == "json" {
        to_stderr.json().init();
    } else {
        to_stderr.with_ansi(std::io::stderr().is_terminal()).init();
    }
    Ok(())
}

/// The last words of a program that could not do its work.
#[expect(
    clippy::print_stderr,
    reason = "there may be no log yet, and a person is waiting"
)]
pub(crate) fn complain(error: &anyhow::Error) {
    eprintln!("mirastack: {error:#}");
}

/// Something for the person who started the program, beside the log.
#[expect(
    clippy::print_stderr,
    reason = "it is for a person, and not part of the log"
)]
pub(crate) fn tell(text: &str) {
    eprintln!("{text}");
}

/// The answer of a command.
#[expect(
    clippy::print_stdout,
    reason = "the answer of a command belongs on stdout"
)]
pub(crate) fn say(text: &str) {
    println!("{text}");
}

/// The one line on stdout that scripts wait for.
#[expect(clippy::print_stdout, reason = "scripts wait for this line")]
pub(crate) fn ready(http: std::net::SocketAddr, grpc: std::net::SocketAddr) {
    println!("ready http=http://{http} grpc={grpc}");
}
