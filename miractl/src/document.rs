//! Documents of files: which files, which documents in them, and what each one is.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::ask;
use crate::exit::{Failure, Result, Source};

/// The ending that a folder is searched for.
const ENDING: &str = ".mira.yaml";
/// Kinds that this version applies, in the order in which they depend on each other.
const KINDS: [&str; 2] = ["hook", "workflow"];
/// Kinds that a later version brings.
const LATER: [&str; 4] = ["schedule", "role", "environment", "standing_approval"];

/// One document of a file.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    /// `hook` or `workflow`; empty if it does not say.
    pub(crate) kind: &'static str,
    /// The name in its first line; empty if it could not be read.
    pub(crate) name: String,
    /// Its text, byte for byte.
    pub(crate) text: String,
    /// The file, for messages.
    pub(crate) source: Source,
}

/// The first key of a document.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Head {
    workflow: Option<String>,
    hook: Option<String>,
    schedule: Option<serde_json::Value>,
    role: Option<serde_json::Value>,
    environment: Option<serde_json::Value>,
    standing_approval: Option<serde_json::Value>,
}

/// Reads all documents of the given files and folders; `-` is stdin.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<Document>> {
    let mut documents = Vec::new();
    for path in paths {
        for file in files(path)? {
            let (name, text) = load(&file)?;
            for (lines_before, part) in split(&text) {
                let source = Source {
                    name: name.clone(),
                    text: text.clone(),
                    lines_before,
                };
                documents.push(identify(part, source)?);
            }
        }
    }
    if documents.is_empty() {
        return Err(Failure::usage("there is no document in what was named")
            .hint("`miractl init` writes an example"));
    }
    // Hooks first: workflows name them.
    documents.sort_by_key(|d| KINDS.iter().position(|k| *k == d.kind));
    Ok(documents)
}

fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if path == Path::new("-") || !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let wrong = |e: std::io::Error| Failure::usage(format!("{}: {e}", path.display()));
    let mut found = Vec::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(wrong)? {
            let entry = entry.map_err(wrong)?;
            let kind = entry.file_type().map_err(wrong)?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if kind.is_dir() && !name.starts_with('.') {
                folders.push(entry.path());
            } else if name.ends_with(ENDING) && !kind.is_dir() {
                found.push(entry.path());
            }
        }
    }
    if found.is_empty() {
        return Err(Failure::usage(format!(
            "{} holds no file that ends with {ENDING}",
            path.display()
        ))
        .hint("name a file itself if it is called otherwise"));
    }
    found.sort();
    Ok(found)
}

fn load(path: &Path) -> Result<(String, String)> {
    if path == Path::new("-") {
        return Ok(("stdin".to_owned(), ask::stdin()?));
    }
    let text = std::fs::read_to_string(path)
        .map_err(|e| Failure::usage(format!("{}: {e}", path.display())))?;
    Ok((path.display().to_string(), text))
}

/// The documents of a file with the number of lines before each. `---` in the first column always
/// separates, even within a block scalar (YAML 1.2, 9.1.2), so that no parser is needed here.
fn split(text: &str) -> Vec<(usize, &str)> {
    let mut parts = Vec::new();
    let (mut start, mut start_line, mut at) = (0, 0, 0);
    for (n, line) in text.split_inclusive('\n').enumerate() {
        let bare = line.trim_end();
        if bare == "---" || bare == "..." {
            parts.push((start_line, &text[start..at]));
            (start, start_line) = (at + line.len(), n + 1);
        }
        at += line.len();
    }
    parts.push((start_line, &text[start..]));
    let is_empty = |part: &str| {
        part.lines()
            .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
    };
    parts.retain(|(_, part)| !is_empty(part));
    parts
}

fn identify(text: &str, source: Source) -> Result<Document> {
    let head = serde_saphyr::from_str::<Head>(text).unwrap_or_else(|_| by_line(text));
    let later = [
        &head.schedule,
        &head.role,
        &head.environment,
        &head.standing_approval,
    ];
    if head.workflow.is_none()
        && head.hook.is_none()
        && let Some(kind) = LATER
            .iter()
            .zip(later)
            .find(|(_, value)| value.is_some())
            .map(|(kind, _)| kind)
    {
        let place = format!("{}:{}", source.name, source.lines_before + 1);
        return Err(Failure::usage(format!(
            "{place}: a document of kind `{kind}` is not supported in this version"
        )));
    }
    let (kind, name) = match (head.workflow, head.hook) {
        (Some(name), _) => ("workflow", name),
        (None, Some(name)) => ("hook", name),
        (None, None) => ("", String::new()),
    };
    Ok(Document {
        kind,
        name,
        text: text.to_owned(),
        source,
    })
}

/// The kind and name of a document that is not valid YAML: enough to ask the server what is wrong.
fn by_line(text: &str) -> Head {
    let first = |key: &str| {
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        let value = value.split(" #").next()?.trim().trim_matches(['"', '\'']);
        (!value.is_empty()).then(|| value.to_owned())
    };
    Head {
        workflow: first("workflow"),
        hook: first("hook"),
        ..Head::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn a_file_of_several_documents_keeps_the_lines_of_each() {
        let text =
            "# head\nhook: a\ntype: generic\n---\n# only a comment\n---\nworkflow: b\nsteps: []\n";
        let parts = split(text);
        assert_eq!(
            parts,
            [
                (0, "# head\nhook: a\ntype: generic\n"),
                (6, "workflow: b\nsteps: []\n")
            ]
        );
    }

    #[test]
    fn hooks_come_before_the_workflows_that_name_them() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let file = dir.path().join("a.mira.yaml");
        std::fs::write(
            &file,
            "workflow: w\nsteps: []\n---\nhook: h\ntype: generic\n",
        )
        .expect("a file");
        std::fs::write(dir.path().join("notes.yaml"), "other: true\n").expect("a file");
        let read = read(&[dir.path().to_owned()]).expect("documents");
        let names: Vec<_> = read.iter().map(|d| (d.kind, d.name.as_str())).collect();
        assert_eq!(names, [("hook", "h"), ("workflow", "w")]);
    }

    #[test]
    fn the_name_is_found_in_json_and_in_broken_yaml() {
        let source = || Source {
            name: "x".to_owned(),
            text: String::new(),
            lines_before: 0,
        };
        let json = identify("{\"workflow\": \"a\", \"steps\": []}", source()).expect("JSON");
        assert_eq!((json.kind, json.name.as_str()), ("workflow", "a"));
        let broken = identify("workflow: b # comment\nsteps: [\n", source()).expect("broken");
        assert_eq!((broken.kind, broken.name.as_str()), ("workflow", "b"));
    }

    #[test]
    fn kinds_of_later_versions_are_refused_with_their_place() {
        let source = Source {
            name: "x.mira.yaml".to_owned(),
            text: String::new(),
            lines_before: 3,
        };
        let failure = identify("schedule: nightly\n", source).expect_err("not yet");
        assert_eq!(failure.exit, Exit::Usage);
        assert!(
            failure.message.contains("x.mira.yaml:4") && failure.message.contains("not supported")
        );
    }

    #[test]
    fn nothing_found_is_an_error_and_not_a_success() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(
            read(&[dir.path().to_owned()]).expect_err("empty").exit,
            Exit::Usage
        );
    }
}
