//! Questions to a person. Where there is no terminal nothing is asked: the command says what to
//! give it instead.

use std::io::{IsTerminal, Read};
use std::path::Path;

use inquire::InquireError;

use crate::config::Secret;
use crate::ctx::Ctx;
use crate::exit::{Exit, Failure, Result};

impl Ctx {
    /// Whether a person sits there who may be asked.
    pub(crate) fn can_ask(&self) -> bool {
        !self.no_input && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    /// Asks before something that cannot be taken back; `--yes` answers for scripts.
    pub(crate) fn confirm(&self, question: &str) -> Result<()> {
        if self.yes {
            return Ok(());
        }
        if !self.can_ask() {
            return Err(
                Failure::usage(format!("nobody can be asked here: {question}"))
                    .hint("add --yes if this is meant"),
            );
        }
        let answer = inquire::Confirm::new(question)
            .with_default(false)
            .prompt()
            .map_err(not_answered)?;
        if answer {
            Ok(())
        } else {
            Err(Failure::usage("nothing was done: the answer was no"))
        }
    }

    /// Asks for a line.
    pub(crate) fn ask(&self, question: &str, default: &str) -> Result<String> {
        let mut prompt = inquire::Text::new(question);
        if !default.is_empty() {
            prompt = prompt.with_default(default);
        }
        prompt.prompt().map_err(not_answered)
    }

    /// Asks for a secret without showing it.
    pub(crate) fn ask_secret(&self, question: &str) -> Result<Secret> {
        let answer = inquire::Password::new(question)
            .without_confirmation()
            .with_display_mode(inquire::PasswordDisplayMode::Hidden)
            .prompt()
            .map_err(not_answered)?;
        Ok(Secret::new(answer))
    }

    /// Reads a secret from `file` (`-` is stdin), else asks for it, else takes it from a pipe.
    pub(crate) fn secret_from(&self, file: Option<&Path>, question: &str) -> Result<Secret> {
        let text = match file {
            Some(path) if path == Path::new("-") => stdin()?,
            Some(path) => std::fs::read_to_string(path)
                .map_err(|e| Failure::usage(format!("{}: {e}", path.display())))?,
            None if self.can_ask() => return self.ask_secret(question),
            None if std::io::stdin().is_terminal() => {
                return Err(Failure::usage("a secret is needed and nobody may be asked")
                    .hint("pipe it in, or name a file with --file"));
            }
            None => stdin()?,
        };
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.is_empty() {
            return Err(Failure::usage("the secret is empty"));
        }
        Ok(Secret::new(text))
    }
}

/// All of stdin as text.
pub(crate) fn stdin() -> Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| Failure::usage(format!("stdin: {error}")))?;
    Ok(text)
}

fn not_answered(error: InquireError) -> Box<Failure> {
    if matches!(error, InquireError::OperationInterrupted) {
        return Failure::new(Exit::Interrupted, "interrupted; nothing was done");
    }
    if matches!(error, InquireError::OperationCanceled) {
        return Failure::usage("nothing was done: the question was not answered");
    }
    Failure::usage(format!("the question could not be asked: {error}"))
        .hint("use --yes or --no-input")
}
