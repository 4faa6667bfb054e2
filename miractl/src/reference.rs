//! `docs/miractl.md`, generated from the command line itself and held to it by a test.

use std::fmt::Write;
use std::path::Path;

use clap::{Arg, Command};

use crate::cli::command;

fn reference() -> String {
    let mut root = command();
    root.build();
    let mut text = String::from(
        "# miractl\n\n<!-- Generated from the command line: UPDATE_GOLDEN=1 cargo test -p miractl reference -->\n\n",
    );
    let _ = writeln!(
        text,
        "{}.\n",
        root.get_about().expect("the program says what it is")
    );
    let help = root
        .get_after_long_help()
        .expect("the program has examples")
        .to_string();
    let _ = writeln!(text, "```text\n{help}\n```\n");
    let _ = writeln!(text, "## Global options\n\n{}", options(&root, true));
    for verb in shown(&root) {
        describe(verb, "miractl", 2, &mut text);
    }
    text.trim_end().to_owned() + "\n"
}

fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    command
        .get_subcommands()
        .filter(|c| !c.is_hide_set() && c.get_name() != "help")
}

fn describe(command: &Command, path: &str, level: usize, text: &mut String) {
    let path = format!("{path} {}", command.get_name());
    let about = command
        .get_long_about()
        .or_else(|| command.get_about())
        .map(ToString::to_string)
        .unwrap_or_default();
    let _ = writeln!(text, "{} {path}\n\n{about}\n", "#".repeat(level));
    if command.has_subcommands() && shown(command).next().is_some() {
        for verb in shown(command) {
            describe(verb, &path, level + 1, text);
        }
        return;
    }
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let _ = writeln!(text, "```text\n{usage}\n```\n\n{}", options(command, false));
    let help = command
        .get_after_long_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let _ = writeln!(text, "```text\n{}\n```\n", help.trim());
}

/// The arguments and flags as a list; the global ones only where they are asked for.
fn options(command: &Command, global: bool) -> String {
    let wanted = |arg: &&Arg| {
        !arg.is_hide_set()
            && arg.is_global_set() == global
            && !matches!(arg.get_id().as_str(), "help" | "version")
    };
    let mut text = String::new();
    for arg in command.get_arguments().filter(wanted) {
        let names = arg.get_value_names().unwrap_or_default().join(" ");
        let takes = arg.get_action().takes_values();
        let flag = match (arg.get_short(), arg.get_long()) {
            (Some(short), Some(long)) => format!("-{short}, --{long}"),
            (None, Some(long)) => format!("--{long}"),
            (Some(short), None) => format!("-{short}"),
            (None, None) => String::new(),
        };
        let value = if takes && !flag.is_empty() {
            format!(" {names}")
        } else if takes {
            names.to_owned()
        } else {
            String::new()
        };
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let default = arg
            .get_default_values()
            .iter()
            .filter_map(|v| v.to_str())
            .collect::<Vec<_>>()
            .join(", ");
        let default = if default.is_empty() || !takes {
            String::new()
        } else {
            format!(" (default: `{default}`)")
        };
        let _ = writeln!(text, "- `{flag}{value}`: {help}{default}");
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text.trim_end_matches('\n').to_owned() + if text.is_empty() { "" } else { "\n" }
}

#[test]
fn the_reference_is_what_the_command_line_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/miractl.md");
    let made = reference();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &made).expect("docs/miractl.md can be written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == made,
        "docs/miractl.md is out of date: UPDATE_GOLDEN=1 cargo test -p miractl reference"
    );
}
