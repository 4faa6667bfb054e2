//! What is printed and where: data on stdout, everything else on stderr.

use std::io::{IsTerminal, Write};

use clap::ValueEnum;
use serde_json::Value;

use crate::env::Env;
use crate::exit::{Exit, Failure, Result};
use crate::paint::Paint;

/// The form of what is printed on stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Table,
    /// The server's answer as JSON
    Json,
    /// The server's answer as YAML
    Yaml,
    /// Names or ids only, one a line
    Name,
}

/// The two streams and their manners.
#[derive(Clone, Debug, Default)]
pub(crate) struct Out {
    /// The form of data.
    pub(crate) format: Format,
    /// Say nothing that is not data or an error.
    pub(crate) quiet: bool,
    /// Colours on stdout.
    pub(crate) colour_out: bool,
    /// Colours on stderr.
    pub(crate) colour_err: bool,
    /// Columns of the terminal on stdout; `None` if it is none.
    pub(crate) width: Option<u16>,
    /// Whether stderr is a terminal.
    pub(crate) err_is_terminal: bool,
    /// Whether more than ASCII can be shown.
    pub(crate) utf8: bool,
}

impl Out {
    /// The process's own streams.
    pub(crate) fn new(format: Format, quiet: bool, no_color: bool, env: &Env) -> Self {
        let out_is_terminal = std::io::stdout().is_terminal();
        let err_is_terminal = std::io::stderr().is_terminal();
        let colours = !no_color && !env.no_color && !env.dumb;
        Self {
            format,
            quiet,
            colour_out: colours && out_is_terminal,
            colour_err: colours && err_is_terminal,
            width: out_is_terminal
                .then(|| crossterm::terminal::size().map_or(80, |(columns, _)| columns.max(40))),
            err_is_terminal,
            utf8: env.utf8,
        }
    }

    /// Colours for stdout.
    pub(crate) fn paint(&self) -> Paint {
        Paint(self.colour_out)
    }

    /// Colours for stderr.
    pub(crate) fn paint_err(&self) -> Paint {
        Paint(self.colour_err)
    }

    /// Columns to lay text out in, on a terminal or not.
    pub(crate) fn columns(&self) -> usize {
        self.width.map_or(80, usize::from)
    }

    /// Prints data and a newline on stdout.
    pub(crate) fn data(&self, text: &str) -> Result<()> {
        self.raw(format!("{text}\n").as_bytes())
    }

    /// Prints bytes on stdout as they are.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Result<()> {
        let mut stdout = std::io::stdout().lock();
        stdout
            .write_all(bytes)
            .and_then(|()| stdout.flush())
            .map_err(|error| {
                let mut failure = Failure::new(Exit::RunFailed, format!("stdout: {error}"));
                if error.kind() == std::io::ErrorKind::BrokenPipe {
                    // The reader has seen enough, as `head` does: nothing went wrong.
                    failure = Failure::new(Exit::Ok, "");
                }
                failure
            })
    }

    /// Prints a value as JSON or YAML, whichever is asked for; `false` if neither is.
    pub(crate) fn structured(&self, value: &Value) -> Result<bool> {
        match self.format {
            Format::Json => self.data(&pretty(value))?,
            Format::Yaml => self.raw(yaml(value)?.as_bytes())?,
            Format::Table | Format::Name => return Ok(false),
        }
        Ok(true)
    }

    /// Prints one thing: its name, the server's answer, or what `people` makes of it.
    pub(crate) fn thing(
        &self,
        value: &Value,
        name: &str,
        people: impl FnOnce() -> String,
    ) -> Result<()> {
        if self.structured(value)? {
            return Ok(());
        }
        if self.format == Format::Name {
            return self.data(name);
        }
        let text = people();
        if text.is_empty() {
            Ok(())
        } else {
            self.data(text.trim_end())
        }
    }

    /// Says something on stderr, unless told to be quiet.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet {
            self.err(text);
        }
    }

    /// Says which commands come next, one a line, unless told to be quiet.
    pub(crate) fn next(&self, commands: &[String]) {
        for command in commands {
            self.say(&format!("  {}", self.paint_err().dim(command)));
        }
    }

    /// Warns on stderr, quiet or not.
    pub(crate) fn warn(&self, text: &str) {
        let word = self
            .paint_err()
            .tone(crate::paint::Tone::Attention, "warning:");
        self.err(&format!("{word} {text}"));
    }

    /// Prints a line on stderr.
    pub(crate) fn err(&self, text: &str) {
        note(text);
    }
}

/// Prints a line on stderr; where stderr is gone there is nobody to tell.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// A value as indented JSON.
pub(crate) fn pretty(value: &Value) -> String {
    format!("{value:#}")
}

/// A value as YAML, with a newline at its end.
pub(crate) fn yaml(value: &Value) -> Result<String> {
    let text = serde_saphyr::to_string(value)
        .map_err(|error| Failure::new(Exit::Bug, error.to_string()))?;
    Ok(if text.ends_with('\n') {
        text
    } else {
        format!("{text}\n")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn yaml_reads_back_as_what_it_was() {
        let value = json!({
            "number": 1.5, "whole": 3, "text": "1.10", "yes": "yes", "empty": "", "null": null,
            "list": [{"a": "x: y"}, []], "lines": "a\nb\n", "at": "2026-01-01T00:00:00Z", "map": {},
        });
        let text = yaml(&value).expect("YAML");
        let back: Value = serde_saphyr::from_str(&text).expect("it reads back");
        assert_eq!(back, value, "{text}");
    }
}
