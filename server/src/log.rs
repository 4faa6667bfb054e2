//! Logging: to stderr, in text or JSON. What is said beside the log goes there too, and in JSON is a line of it: whoever
//! reads the stream reads every line alike.

use std::io::IsTerminal;
use std::net::SocketAddr;

use anyhow::Context;
use serde_json::json;
use store::clock::{Clock, ProcessClock};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::settings::Telling;
use crate::supervisor;

/// How stderr is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    Json,
}

impl Form {
    pub(crate) fn of(telling: &Telling) -> Self {
        match telling.log_format.as_str() {
            "json" => Self::Json,
            _ => Self::Text,
        }
    }

    /// A text beside the log, as a line of it where that is JSON.
    fn write(self, level: &str, text: &str) -> String {
        match self {
            Self::Text => text.to_owned(),
            Self::Json => json!({
                "timestamp": ProcessClock::start().now(),
                "level": level,
                "fields": {"message": text.trim()},
                "target": "mirastack",
            })
            .to_string(),
        }
    }
}

pub(crate) fn begin(telling: &Telling) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&telling.log).with_context(|| {
        format!(
            "--log {:?} is no filter; write a level, such as info or debug",
            telling.log
        )
    })?;
    let to_stderr = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match Form::of(telling) {
        Form::Json => to_stderr.json().init(),
        Form::Text => to_stderr.with_ansi(std::io::stderr().is_terminal()).init(),
    }
    Ok(())
}

/// The last words of a program that could not do its work.
#[expect(
    clippy::print_stderr,
    reason = "there may be no log yet, and a person is waiting"
)]
pub(crate) fn complain(form: Form, error: &anyhow::Error) {
    eprintln!("{}", form.write("ERROR", &format!("mirastack: {error:#}")));
}

/// Something for the person who started the program, beside the log.
#[expect(
    clippy::print_stderr,
    reason = "it is for a person, whatever the filter of the log"
)]
pub(crate) fn tell(form: Form, text: &str) {
    eprintln!("{}", form.write("INFO", text));
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
pub(crate) fn ready(
    http: Option<(&str, SocketAddr)>,
    grpc: Option<SocketAddr>,
    metrics: Option<SocketAddr>,
) {
    let http = http.map(|(scheme, http)| format!(" http={scheme}://{http}"));
    let grpc = grpc.map(|grpc| format!(" grpc={grpc}"));
    let metrics = metrics.map(|metrics| format!(" metrics={metrics}"));
    let [http, grpc, metrics] = [http, grpc, metrics].map(Option::unwrap_or_default);
    println!("ready{http}{grpc}{metrics}");
    supervisor::ready();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_beside_a_log_in_json_is_a_line_of_it() {
        let line = Form::Json.write("INFO", "\ndata: here\nTry:\n");
        assert!(!line.contains('\n'), "{line}");
        let read: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(read["level"], "INFO");
        assert_eq!(read["fields"]["message"], "data: here\nTry:");
        let at = read["timestamp"].as_str().expect("a time");
        assert!(at.ends_with('Z'), "{at}");
        assert_eq!(Form::Text.write("INFO", "as it is\n"), "as it is\n");
    }
}
