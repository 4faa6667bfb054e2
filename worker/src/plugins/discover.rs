//! Which plugins there are.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tokio::process::Command;

use super::Site;

/// How the executables of the shipped agents begin.
const BESIDE: &str = "mirastack-agent-";

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
    let text = fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let described: PluginFile =
        serde_saphyr::from_str(&text).map_err(|e| format!("{}: {e}", file.display()))?;
    let Some((program, arguments)) = described.command.split_first() else {
        return Err(format!("{}: `command` names no program", file.display()));
    };
    let program = if program.contains('/') {
        folder.join(program)
    } else {
        PathBuf::from(program)
    };
    Ok(Program {
        name: name.to_owned(),
        program,
        arguments: arguments.to_vec(),
        folder: Some(folder.to_owned()),
    })
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
