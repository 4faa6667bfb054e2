//! The verbs and flags of the contract that this version does not have yet.
//!
//! They are known, so that nobody gets "unrecognized subcommand" for something the documentation
//! of a later version names, and refused, so that nothing is ignored in silence.

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::exit::{Failure, Result};

/// Verbs, by the path of their group.
const VERBS: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "explain",
            "describe",
            "provider",
            "connector",
            "schedule",
            "settings",
            "user",
            "audit",
            "auth",
            "pause",
            "unpause",
            "test",
            "replay",
            "convert",
            "top",
            "dead",
            "chat",
            "intent",
            "prompt",
            "insight",
            "incident",
            "feedback",
            "annotation",
            "xai",
            "promote",
            "stack",
        ],
    ),
    ("workflow", &["create", "diff", "rollback"]),
    ("run", &["logs", "rerun", "signal"]),
    ("hook", &["redeliver"]),
    ("key", &["init-approver"]),
];

/// Flags, by the verb that has them.
const FLAGS: &[(&str, &str)] = &[("login", "oidc"), ("apply", "prune")];

/// Adds them to the command line, hidden.
pub(crate) fn add(command: Command) -> Command {
    command
        .mut_subcommands(|verb| {
            let name = verb.get_name().to_owned();
            let flags = FLAGS.iter().filter(|(of, _)| *of == name);
            let flags = flags.map(|(_, flag)| {
                Arg::new(flag)
                    .long(flag)
                    .action(ArgAction::SetTrue)
                    .hide(true)
            });
            verb.args(flags).subcommands(stubs(&name))
        })
        .subcommands(stubs(""))
}

fn stubs(group: &str) -> impl Iterator<Item = Command> {
    let of = VERBS.iter().filter(move |(of, _)| *of == group);
    of.flat_map(|(_, verbs)| verbs.iter().map(|verb| stub(verb)))
        .collect::<Vec<_>>()
        .into_iter()
}

fn stub(verb: &'static str) -> Command {
    let rest = Arg::new("rest")
        .num_args(0..)
        .trailing_var_arg(true)
        .allow_hyphen_values(true)
        .hide(true);
    Command::new(verb)
        .hide(true)
        .disable_help_flag(true)
        .arg(rest)
}

/// Fails if one of them was asked for.
pub(crate) fn refuse(matches: &ArgMatches) -> Result<()> {
    let Some((first, inner)) = matches.subcommand() else {
        return Ok(());
    };
    if listed("", first) {
        return Err(not_yet(first));
    }
    if let Some((second, _)) = inner.subcommand()
        && listed(first, second)
    {
        return Err(not_yet(&format!("{first} {second}")));
    }
    for (verb, flag) in FLAGS {
        if *verb == first && inner.get_flag(flag) {
            return Err(not_yet(&format!("{verb} --{flag}")));
        }
    }
    Ok(())
}

fn listed(group: &str, verb: &str) -> bool {
    VERBS
        .iter()
        .any(|(g, verbs)| *g == group && verbs.contains(&verb))
}

fn not_yet(what: &str) -> Box<Failure> {
    Failure::usage(format!("`miractl {what}` is not supported in this version"))
        .hint("`miractl --help` lists what is; CHANGELOG.md tells when something comes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command;
    use crate::exit::Exit;

    #[test]
    fn what_is_not_built_yet_is_refused_and_not_ignored() {
        for line in [
            "audit list --since 2h",
            "workflow rollback x 3",
            "run logs abc -f",
            "login --oidc",
            "apply -f x --prune",
            "explain",
        ] {
            let matches = command()
                .try_get_matches_from(std::iter::once("miractl").chain(line.split(' ')))
                .unwrap_or_else(|e| panic!("{line}: {e}"));
            let failure = refuse(&matches).expect_err(line);
            assert_eq!(failure.exit, Exit::Usage);
            assert!(
                failure.message.contains("not supported in this version"),
                "{}",
                failure.message
            );
        }
    }

    #[test]
    fn what_is_built_is_let_through() {
        let matches = command()
            .try_get_matches_from(["miractl", "run", "list"])
            .expect("it parses");
        assert!(refuse(&matches).is_ok());
    }
}
