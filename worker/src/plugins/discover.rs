//! Which plugins there are.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tokio::process::Command;

use super::Site;

/// How the executables of the shipped agents begin.
const BESIDE: &str = "mirastack-agent-";
/// How long `plugin.yaml` may be. It is read whole, at every start, before anything else is known of the plugin.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A program that is a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) name: String,
    program: PathBuf,
    arguments: Vec<String>,
    /// Where it is started; `None`: where this process was.
    folder: Option<PathBuf>,
}

/// `plugin.yaml`: how a plugin is started that is no single executable.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PluginFile {
    /// The program and its arguments; a path with a slash counts from the folder of this file.
    command: Vec<String>,
}

impl Program {
    /// A command that starts it, with an argument of ours. Through `wrapper`, if there is one.
    pub(super) fn command(&self, wrapper: &[&str], argument: Option<&str>) -> Command {
        let mut command = match wrapper {
            [] => Command::new(&self.program),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(&self.program);
                command
            }
        };
        command.args(&self.arguments).args(argument);
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command
    }

    /// The file whose bytes tell one version of the plugin from another; `None` where it is more than one file.
    pub(super) fn executable(&self) -> Option<&Path> {
        self.folder.is_none().then_some(&self.program)
    }
}

/// All plugins, by name, and what looks like one and is none.
pub(super) fn find(site: &Site) -> (Vec<Program>, Vec<String>) {
    let mut found = BTreeMap::new();
    let mut problems = Vec::new();
    for folder in &site.folders {
        for (name, path) in entries(folder, "", &mut problems) {
            match in_folder(&name, &path) {
                Ok(Some(program)) => {
                    found.entry(name).or_insert(program);
                }
                Ok(None) => {}
                Err(problem) => problems.push(format!("{name}: {problem}")),
            }
        }
    }
    if let Some(folder) = &site.beside {
        for (name, path) in entries(folder, BESIDE, &mut problems) {
            if is_executable(&path) {
                found
                    .entry(name.clone())
                    .or_insert_with(|| executable(name, path));
            }
        }
    }
    (found.into_values().collect(), problems)
}

fn in_folder(name: &str, folder: &Path) -> Result<Option<Program>, String> {
    let file = folder.join("plugin.yaml");
    if file.is_file() {
        return described(name, folder, &file).map(Some);
    }
    let path = folder.join(name);
    Ok(is_executable(&path).then(|| executable(name.to_owned(), path)))
}

fn executable(name: String, program: PathBuf) -> Program {
    Program {
        name,
        program,
        arguments: Vec::new(),
        folder: None,
    }
}

fn described(name: &str, folder: &Path, file: &Path) -> Result<Program, String> {
    let told = |e: &dyn Display| format!("{}: {e}", file.display());
    let text = text(file).map_err(|e| told(&e))?;
    let mut arguments = command(&text).map_err(|e| told(&e))?;
    let program = arguments.remove(0);
    let program = if program.contains('/') {
        folder.join(program)
    } else {
        PathBuf::from(program)
    };
    Ok(Program {
        name: name.to_owned(),
        program,
        arguments,
        folder: Some(folder.to_owned()),
    })
}

fn text(file: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    let mut within = File::open(file)?.take(FILE_BYTES_MAX + 1);
    within.read_to_end(&mut bytes)?;
    if within.limit() == 0 {
        return Err(io::Error::other(format!(
            "it is longer than {} KiB, and has to say no more than a command",
            FILE_BYTES_MAX / 1024
        )));
    }
    String::from_utf8(bytes).map_err(io::Error::other)
}

/// The command that the text of a `plugin.yaml` names: a program, and its arguments.
///
/// # Errors
/// What is wrong with the text.
pub fn command(text: &str) -> Result<Vec<String>, String> {
    let described: PluginFile = serde_saphyr::from_str(text).map_err(|e| e.to_string())?;
    let command = described.command;
    let planted = engine::planted!("fuzz_local");
    assert!(
        !(planted && command.len() > 2 && command[0].contains('/')),
        "planted: local"
    );
    if command.first().is_none_or(String::is_empty) {
        return Err("`command` names no program".to_owned());
    }
    Ok(command)
}

/// The entries of a folder that are named as a plugin may be, after `prefix`. A folder that is not there has none.
fn entries(folder: &Path, prefix: &str, problems: &mut Vec<String>) -> Vec<(String, PathBuf)> {
    let listed = match fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(e) => {
            problems.push(format!("{}: {e}", folder.display()));
            return Vec::new();
        }
    };
    let named = |entry: fs::DirEntry| {
        let name = entry
            .file_name()
            .into_string()
            .ok()?
            .strip_prefix(prefix)?
            .to_owned();
        is_plugin_name(&name).then(|| (name, entry.path()))
    };
    let mut entries: Vec<_> = listed.filter_map(Result::ok).filter_map(named).collect();
    entries.sort();
    entries
}

/// `[a-z0-9][a-z0-9_-]{0,62}`, as manifests have it.
pub(super) fn is_plugin_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    name.len() <= 63
        && name.bytes().next().is_some_and(plain)
        && name.bytes().all(|b| plain(b) || b == b'-' || b == b'_')
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    use tempfile::TempDir;

    /// A plugin's folder with that `plugin.yaml`.
    fn folder(text: &str) -> TempDir {
        let folder = TempDir::new().expect("a temporary folder");
        fs::write(folder.path().join("plugin.yaml"), text).expect("a temporary folder");
        folder
    }

    #[test]
    fn a_path_counts_from_the_folder_and_a_name_does_not() {
        let program = |text: &str| {
            let folder = folder(text);
            let found = in_folder("own", folder.path()).expect(text).expect(text);
            let inside = found.program.strip_prefix(folder.path());
            (inside.unwrap_or(&found.program).to_owned(), found.arguments)
        };
        let own = program("command: [./own.py, --fast]");
        assert_eq!(own, ("own.py".into(), vec!["--fast".to_owned()]));
        assert_eq!(program("command: [python3]").0, Path::new("python3"));
    }

    #[test]
    fn a_plugin_yaml_that_names_no_program_is_a_problem() {
        for text in ["command: []", "command: ['', a]"] {
            let problem = in_folder("own", folder(text).path()).expect_err(text);
            assert!(problem.ends_with("`command` names no program"), "{problem}");
        }
    }

    /// Characters of two bytes, too: one of them is cut in the middle.
    #[test]
    fn a_plugin_yaml_is_read_up_to_a_bound() {
        let max = usize::try_from(FILE_BYTES_MAX).expect("it fits");
        let filled = |text: &str, filling: &str, bytes: usize| {
            let room = bytes - text.len();
            format!(
                "{text}{}{}",
                " ".repeat(room % filling.len()),
                filling.repeat(room / filling.len())
            )
        };
        let text = "command: [own] #";
        let fits = in_folder("own", folder(&filled(text, "-", max)).path());
        assert!(fits.is_ok_and(|found| found.is_some()));
        for filling in ["-", "\u{e4}"] {
            let long = filled(text, filling, max + 2);
            let problem = in_folder("own", folder(&long).path()).expect_err("it is too long");
            assert!(problem.contains("longer than 64 KiB"), "{problem}");
        }
    }
}
