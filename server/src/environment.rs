//! The variables that the program takes. One that begins as they do and is none of them is a mistake in its name: it is
//! told, as in the file, and never ignored.

use std::ffi::OsString;

use clap::{Arg, Command};
use engine::expression::did_you_mean;

use crate::args::Usage;
use crate::config::ROOT_KEY;

const OURS: &str = "MIRASTACK_";
/// What agents and their SDKs read, and what builds and tests this program.
const OF_OTHERS: [&str; 11] = [
    "MIRASTACK_CACHE",
    "MIRASTACK_CHAOS",
    "MIRASTACK_ENGINE_",
    "MIRASTACK_FUZZ_",
    "MIRASTACK_PLUGIN_",
    "MIRASTACK_SCHEMATHESIS_",
    "MIRASTACK_SDK_",
    "MIRASTACK_SIEGE_",
    "MIRASTACK_STORE_TEST_",
    "MIRASTACK_TARGET_DIR",
    "MIRASTACK_TEST_",
];

/// Refuses variables that no setting has.
///
/// # Errors
/// All of them, each with the nearest name.
pub(crate) fn check(command: &Command) -> anyhow::Result<()> {
    let unknown = unknown(command, std::env::vars_os());
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Usage(unknown.join("\n")).into())
}

fn unknown(command: &Command, given: impl Iterator<Item = (OsString, OsString)>) -> Vec<String> {
    let args = command.get_subcommands().flat_map(Command::get_arguments);
    let mut known: Vec<&str> = args
        .filter_map(Arg::get_env)
        .filter_map(|n| n.to_str())
        .collect();
    known.push(ROOT_KEY);
    let text = |text: &OsString| text.to_string_lossy().into_owned();
    let given = given.map(|(name, value)| (text(&name), text(&value)));
    let mut unknown: Vec<String> = given
        .filter(|(name, value)| {
            name.starts_with(OURS)
                && !known.contains(&name.as_str())
                && !is_of_others(name)
                && !is_of_a_service(name, value)
        })
        .map(|(name, _)| {
            let hint = did_you_mean(&name, known.iter().copied());
            let hint =
                hint.unwrap_or_else(|| "`mirastack dev --help` has those there are".to_owned());
            format!("the environment has {name}, and there is no such setting; {hint}")
        })
        .collect();
    unknown.sort();
    unknown
}

fn is_of_others(name: &str) -> bool {
    OF_OTHERS.iter().any(|of| name.starts_with(of))
}

/// Kubernetes gives each container the addresses of the services beside it, under their names, and one may be called
/// `mirastack`.
fn is_of_a_service(name: &str, value: &str) -> bool {
    let numbered = |(_, rest): (&str, &str)| rest.starts_with(|c: char| c.is_ascii_digit());
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || (name.ends_with("_PORT") && value.contains("://"))
        || name.split_once("_PORT_").is_some_and(numbered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Args;
    use clap::CommandFactory;

    fn told(given: &[(&str, &str)]) -> Vec<String> {
        let given = given
            .iter()
            .map(|(name, value)| (name.into(), value.into()));
        unknown(&Args::command(), given)
    }

    #[test]
    fn a_misspelt_variable_is_told_with_the_nearest_name() {
        let told = told(&[
            ("MIRASTACK_TRUST_AGENT", "a"),
            ("MIRASTACK_DATE", "/x"),
            ("MIRASTACK_NOTHING_OF_THE_KIND", ""),
        ]);
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(
            told[0].contains("did you mean `MIRASTACK_DATA`?"),
            "{told:?}"
        );
        assert!(told[1].contains("mirastack dev --help"), "{told:?}");
        assert!(
            told[2].contains("did you mean `MIRASTACK_TRUST_AGENTS`?"),
            "{told:?}"
        );
    }

    #[test]
    fn what_is_set_for_us_or_for_others_is_no_mistake() {
        let none = told(&[
            ("MIRASTACK_ROOT_KEY", "0"),
            ("MIRASTACK_LOG_FORMAT", "json"),
            ("MIRASTACK_CONFIG", "/x"),
            ("MIRASTACK_PLUGIN_ADDR", "127.0.0.1:1"),
            ("MIRASTACK_ENGINE_ADDR", "127.0.0.1:1"),
            ("MIRASTACK_CHAOS", "1"),
            ("MIRASTACK_SERVICE_HOST", "10.0.0.1"),
            ("MIRASTACK_SERVICE_PORT_HTTP", "8080"),
            ("MIRASTACK_PORT", "tcp://10.0.0.1:8080"),
            ("MIRASTACK_PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("MIRACTL_SERVER", "x"),
        ]);
        assert!(none.is_empty(), "{none:?}");
        assert_eq!(told(&[("MIRASTACK_PORT", "8080")]).len(), 1);
    }
}
