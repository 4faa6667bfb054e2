//! The configuration: built-in defaults, under a file, under the environment, under the command line.
//!
//! The command line's own definition (`args.rs`) is the only list of settings. A value of the file becomes the default
//! of its flag, so it is read by the very same parser; a nested key is the flag with a hyphen (`tls: {cert: …}` is
//! `--tls-cert`).

use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, CommandFactory, FromArgMatches};
use engine::expression::did_you_mean;
use engine::yaml::{self, Entry, Kind, Node, Position};

use crate::args::{Args, Usage, Verb};
use crate::settings::without_password;
use crate::{dev, environment};

/// The flag that names the file.
const FILE: &str = "config";
/// The verb that has every setting.
const ALL: &str = "config";
/// No file is longer, in bytes.
const BYTES_MAX: u64 = 1024 * 1024;
/// Instead of the file `root.key`.
pub(crate) const ROOT_KEY: &str = "MIRASTACK_ROOT_KEY";

/// The command line, with the file's values as defaults. Ends the process where clap does: help, version, usage.
pub(crate) fn parse() -> anyhow::Result<Args> {
    let words: Vec<OsString> = std::env::args_os().collect();
    let args = parsed(&words, read).or_else(|error| match error.downcast::<clap::Error>() {
        Ok(usage) => usage.exit(),
        Err(error) => Err(error),
    })?;
    match &args.verb {
        Verb::Dev(_)
        | Verb::Gateway(_)
        | Verb::Scheduler(_)
        | Verb::Worker(_)
        | Verb::Config(_)
        | Verb::Check(_)
        | Verb::Backup(_)
        | Verb::Restore(_) => {
            environment::check(&Args::command())?;
        }
        Verb::Version | Verb::Later(_) => {}
    }
    Ok(args)
}

/// What `mirastack config` prints when it is called with these flags and a file with this text.
///
/// # Errors
/// What is wrong with one of them.
pub fn effective(flags: &[String], text: &str) -> anyhow::Result<String> {
    let words = ["mirastack", "config", "--config=FILE"].map(OsString::from);
    let words: Vec<OsString> = words
        .into_iter()
        .chain(flags.iter().map(OsString::from))
        .collect();
    let Verb::Config(config) = parsed(&words, |path| checked(path, text))?.verb else {
        bail!("it is called for the configuration")
    };
    Ok(config.shown)
}

/// The command line of these words. Help, the version and a mistake of usage are clap's own errors.
fn parsed(
    words: &[OsString],
    read: impl FnOnce(&Path) -> anyhow::Result<Vec<Setting>>,
) -> anyhow::Result<Args> {
    let command = Args::command();
    let first = command.clone().try_get_matches_from(words)?;
    let Some((verb, given)) = first.subcommand() else {
        return Ok(Args::from_arg_matches(&first)?);
    };
    let named = given.try_get_one::<PathBuf>(FILE).ok().flatten();
    let settings = match named {
        Some(path) => read(path)?,
        None => Vec::new(),
    };
    let mut filled = command.clone();
    // A word that is none of ours is a verb to clap all the same.
    if command.find_subcommand(verb).is_some() {
        filled = filled.mut_subcommand(verb, |verb| with_defaults(verb, &settings));
    }
    let matches = filled.try_get_matches_from(words)?;
    let mut args = Args::from_arg_matches(&matches)?;
    if let (Verb::Config(config), Some((verb, given))) = (&mut args.verb, matches.subcommand()) {
        let verb = command.find_subcommand(verb).context("it was just used")?;
        config.shown = shown(verb, given, named.map(PathBuf::as_path), &settings);
    }
    Ok(args)
}

/// A value of the file.
struct Setting {
    /// The id of its flag.
    id: String,
    values: Vec<String>,
    at: Position,
}

fn with_defaults(verb: Command, settings: &[Setting]) -> Command {
    let mut verb = verb;
    for setting in settings {
        if verb
            .get_arguments()
            .all(|arg| arg.get_id() != setting.id.as_str())
        {
            // It is about another verb.
            continue;
        }
        // clap keeps defaults for as long as the process lives, and so do we.
        let values: Vec<&'static str> = setting
            .values
            .iter()
            .map(|value| &*Box::leak(value.clone().into_boxed_str()))
            .collect();
        verb = verb.mut_arg(setting.id.clone(), |arg| arg.default_values(values));
    }
    verb
}

/// Everything in the file, checked as the command line is.
fn read(path: &Path) -> anyhow::Result<Vec<Setting>> {
    let named = path.display();
    let length =
        fs::metadata(path).with_context(|| format!("cannot read the configuration {named}"))?;
    if length.len() > BYTES_MAX {
        bail!("{named} is longer than a configuration can be ({BYTES_MAX} bytes)");
    }
    let text = fs::read_to_string(path);
    let text = text.with_context(|| format!("cannot read the configuration {named}"))?;
    checked(path, &text)
}

fn checked(path: &Path, text: &str) -> anyhow::Result<Vec<Setting>> {
    let named = path.display();
    let mut faults = Faults::default();
    let settings = settings_in(text, &mut faults);
    if faults.0.is_empty() {
        return Ok(settings);
    }
    faults.0.sort_by_key(|(at, _)| *at);
    let lines = faults
        .0
        .iter()
        .map(|(at, what)| format!("{named}:{}:{}: {what}", at.line, at.column));
    Err(Usage(lines.collect::<Vec<_>>().join("\n")).into())
}

/// What is wrong with a file, and where.
#[derive(Default)]
struct Faults(Vec<(Position, String)>);

impl Faults {
    fn add(&mut self, at: Position, what: impl Into<String>, hint: Option<String>) {
        let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        self.0.push((at, format!("{}{hint}", what.into())));
    }
}

fn settings_in(text: &str, faults: &mut Faults) -> Vec<Setting> {
    let (documents, problems) = match yaml::parse(text) {
        Ok(documents) => (documents, Vec::new()),
        Err(problems) => (Vec::new(), problems),
    };
    for problem in problems {
        faults.add(problem.at, problem.message, problem.hint);
    }
    if let Some(second) = documents.get(1) {
        faults.add(second.at, "a configuration is one document", None);
    }
    let all = Args::command();
    let all = all.find_subcommand(ALL).expect("the verb exists");
    let mut settings = Vec::new();
    let Some(node) = documents.first().filter(|node| !node.is_null()) else {
        return settings;
    };
    match node.map() {
        Some(entries) => add_all("", entries, all, (&mut settings, faults)),
        None => faults.add(node.at, "a configuration is a mapping of settings", None),
    }
    settings
}

fn add_all(
    prefix: &str,
    entries: &[Entry],
    all: &Command,
    (found, faults): (&mut Vec<Setting>, &mut Faults),
) {
    for entry in entries {
        if faults.0.len() >= yaml::PROBLEMS_MAX {
            // Nobody reads more at once, and each is compared with every name there is.
            return;
        }
        let key = format!("{prefix}{}", entry.key);
        let id = key.replace('.', "_");
        let known = keys(all);
        let nested = format!("{key}.");
        if let (Some(inner), true) = (
            entry.value.map(),
            known.iter().any(|k| k.starts_with(&nested)),
        ) {
            add_all(&nested, inner, all, (&mut *found, &mut *faults));
        } else if !known.contains(&key) {
            let hint = did_you_mean(&key, known.iter().map(String::as_str));
            faults.add(entry.at, format!("there is no setting `{key}`"), hint);
        } else if entry.value.is_null() {
            // As if it were not there.
        } else if let Some(values) = texts(&entry.value) {
            let planted = engine::planted!("fuzz_settings");
            assert!(
                !(planted && key == "trust_agents" && values.iter().any(|v| v.len() > 6)),
                "planted: settings"
            );
            if let Err(why) = check(all, &id, &values) {
                faults.add(entry.value.at, format!("{key}: {why}"), None);
            }
            found.push(Setting {
                id,
                values,
                at: entry.value.at,
            });
        } else {
            let what = format!("{key}: {} cannot stand here", entry.value.kind_name());
            faults.add(entry.value.at, what, None);
        }
    }
}

/// The keys of the file: the flags of the verb that has all of them.
fn keys(all: &Command) -> Vec<String> {
    settings_of(all).map(key_of).collect()
}

fn settings_of(verb: &Command) -> impl Iterator<Item = &Arg> {
    verb.get_arguments()
        .filter(|arg| arg.get_id() != FILE && arg.get_long().is_some() && arg.get_env().is_some())
}

/// `tls_cert` is `tls.cert` in the file; other keys are as their flags with `_`.
fn key_of(arg: &Arg) -> String {
    let id = arg.get_id().as_str();
    id.strip_prefix("tls_")
        .map_or_else(|| id.to_owned(), |rest| format!("tls.{rest}"))
}

/// The values as text; `None` for what no setting can be. Null is none of these.
fn texts(node: &Node) -> Option<Vec<String>> {
    match &node.kind {
        Kind::Scalar(scalar) => Some(vec![scalar.text.clone()]),
        Kind::List(items) => {
            let texts = items
                .iter()
                .map(|item| item.scalar().map(|s| s.text.clone()));
            texts.collect()
        }
        Kind::Map(_) => None,
    }
}

/// Whether the flag would take these values.
fn check(all: &Command, id: &str, values: &[String]) -> Result<(), String> {
    let arg = all.get_arguments().find(|arg| arg.get_id() == id);
    let long = arg
        .and_then(Arg::get_long)
        .expect("it is a key, so it is a flag");
    let words = values.iter().map(|value| format!("--{long}={value}"));
    let words = std::iter::once("dev".to_owned()).chain(words);
    let tried = all
        .clone()
        .ignore_errors(false)
        .try_get_matches_from(words.map(OsString::from));
    match tried {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::ArgumentConflict => {
            Err("one value is needed".to_owned())
        }
        Err(error) => Err(error
            .source()
            .map_or_else(|| first_line(&error.to_string()), ToString::to_string)),
    }
}

fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}

/// The effective configuration as a file would have it, each value with where it comes from.
fn shown(verb: &Command, given: &ArgMatches, file: Option<&Path>, settings: &[Setting]) -> String {
    let mut lines = Vec::new();
    let mut section = "";
    for arg in settings_of(verb) {
        let key = key_of(arg);
        let (name, indent) = match key.split_once('.') {
            Some((outer, inner)) => {
                if section != "tls" {
                    lines.push((format!("{outer}:"), String::new()));
                }
                section = "tls";
                (inner.to_owned(), "  ")
            }
            None => (key, ""),
        };
        let value = value(arg, given);
        let line = format!("{indent}{name}: {value}");
        lines.push((line, format!("# {}", source(arg, given, file, settings))));
    }
    let width = lines.iter().map(|(line, _)| line.len()).max().unwrap_or(0);
    let lines = lines.iter().map(|(line, source)| {
        let line = format!("{line:width$}  {source}");
        line.trim_end().to_owned()
    });
    let root_key = format!("# the root key: {}", root_key());
    lines.chain([root_key]).collect::<Vec<_>>().join("\n")
}

fn value(arg: &Arg, given: &ArgMatches) -> String {
    let raw = given.get_raw(arg.get_id().as_str());
    let texts = raw
        .into_iter()
        .flatten()
        .map(|v| v.to_string_lossy().into_owned());
    let quoted: Vec<String> = texts.map(|text| quoted(&without_password(&text))).collect();
    match arg.get_value_delimiter() {
        Some(_) => format!("[{}]", quoted.join(", ")),
        None => quoted.into_iter().next().unwrap_or_else(|| unset(arg)),
    }
}

/// JSON is YAML, and it needs no thought about quoting; but what cannot be seen, YAML takes only in its escaped form
/// (`c-printable`).
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    for c in serde_json::Value::from(text).to_string().chars() {
        if c.is_control() || matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}') {
            quoted.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            quoted.push(c);
        }
    }
    quoted
}

/// What holds where nothing is set.
fn unset(arg: &Arg) -> String {
    match dev::data_folder(None) {
        Ok(folder) if arg.get_id() == "data" => quoted(&folder.to_string_lossy()),
        _ => "null".to_owned(),
    }
}

fn source(arg: &Arg, given: &ArgMatches, file: Option<&Path>, settings: &[Setting]) -> String {
    let id = arg.get_id().as_str();
    let setting = settings.iter().find(|setting| setting.id == id);
    match (given.value_source(id), setting, file) {
        (Some(ValueSource::CommandLine), _, _) => {
            format!("flag --{}", arg.get_long().unwrap_or(id))
        }
        (Some(ValueSource::EnvVariable), _, _) => {
            let name = arg
                .get_env()
                .map(|name| name.to_string_lossy().into_owned());
            format!("environment {}", name.unwrap_or_default())
        }
        (_, Some(setting), Some(file)) => {
            format!(
                "file {}:{}:{}",
                file.display(),
                setting.at.line,
                setting.at.column
            )
        }
        _ => "default".to_owned(),
    }
}

fn root_key() -> String {
    if std::env::var_os(ROOT_KEY).is_some() {
        format!("environment {ROOT_KEY} (hidden)")
    } else {
        "the file root.key in the folder of the data (hidden)".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_text_reads_back_from_yaml_whatever_is_in_it() {
        let texts = [
            "plain",
            "with \"quotes\" and \\",
            "line\nbreak\ttab",
            "\u{7f}\u{85}\u{9b}",
            "\u{feff}\u{ffff}\u{2028}é🙂",
        ];
        for text in texts {
            let read: String = serde_saphyr::from_str(&quoted(text)).expect("it is YAML");
            assert_eq!(read, text);
        }
    }
}
