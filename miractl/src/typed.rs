//! What somebody types and keeps in files, read as far as no server is needed: for tests that give it anything at all.

use clap::FromArgMatches;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::cli::{self, Cli};
use crate::config::{self, Config, Tokens};
use crate::human::parse_since;
use crate::inputs::{convert, declared};
use crate::later;
use crate::login;
use crate::target::parse_server;

/// Reads the words behind `miractl`.
///
/// # Errors
/// What is wrong with them.
pub fn words(words: &[String]) -> Result<(), String> {
    let words = std::iter::once("miractl").chain(words.iter().map(String::as_str));
    let matches = cli::command()
        .try_get_matches_from(words)
        .map_err(|error| error.to_string())?;
    later::refuse(&matches).map_err(|failure| failure.message)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.to_string())?;
    Ok(())
}

/// Reads `--input` of `miractl workflow run`: pairs `name=value`, for the workflow with this text. `name=@FILE` reads a
/// file.
///
/// # Errors
/// What is wrong with one of them.
pub fn inputs(workflow: &str, pairs: &[String]) -> Result<Map<String, Value>, String> {
    let types = declared(workflow).map_err(|failure| failure.message)?;
    convert(pairs, &types, true).map_err(|failure| failure.message)
}

/// Reads `config.yaml` and writes it again, and the same with `tokens.yaml`.
///
/// # Errors
/// What is wrong with one of them.
pub fn kept(config: &str, tokens: &str) -> Result<[String; 2], String> {
    let config: Config = config::of_text(config).map_err(|error| error.to_string())?;
    let tokens: Tokens = config::of_text(tokens).map_err(|error| error.to_string())?;
    let config = serde_saphyr::to_string(&config).map_err(|error| error.to_string())?;
    let tokens = serde_saphyr::to_string(&tokens).map_err(|error| error.to_string())?;
    Ok([config, tokens])
}

/// Reads what `miractl login` is given, JSON or two lines: the id of a key, and its secret.
///
/// # Errors
/// That there is no key.
pub fn key(text: &str) -> Result<[String; 2], String> {
    let key = login::parse(text).and_then(login::key);
    let key = key.map_err(|failure| failure.message)?;
    Ok([key.id, key.secret.reveal().to_owned()])
}

/// Reads `--since`, a time or a length of time before now, which is so many milliseconds after 1970.
///
/// # Errors
/// What is wrong with it.
pub fn since(text: &str, now: i64) -> Result<String, String> {
    let now = Timestamp::from_millisecond(now).map_err(|error| error.to_string())?;
    let since = parse_since(text, now).map_err(|failure| failure.message)?;
    Ok(since.to_string())
}

/// Reads the address of a server.
///
/// # Errors
/// What is wrong with it.
pub fn server(address: &str) -> Result<String, String> {
    let url = parse_server(address).map_err(|failure| failure.message)?;
    Ok(url.into())
}
