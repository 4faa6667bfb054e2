//! The files of the checkout.

use std::path::{Path, PathBuf};

/// A text file and its path from the root, with `/`.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// The top folder. Asked at run time, because a build folder may outlive the checkout it was built from.
pub(crate) fn root() -> PathBuf {
    let package =
        std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it for the tests that it runs");
    Path::new(&package)
        .parent()
        .expect("the package lies in a folder of the root")
        .to_owned()
}

/// Every text file that belongs to the project, sorted by path.
pub(crate) fn files() -> Vec<File> {
    let root = root();
    let mut files = Vec::new();
    collect(&root, &root, &mut files);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// Those whose path ends so.
pub(crate) fn files_ending(end: &str) -> Vec<File> {
    files()
        .into_iter()
        .filter(|file| file.path.ends_with(end))
        .collect()
}

/// Not of the project: git's own, and what a virtual machine, an editor or libFuzzer left.
const FOREIGN: [&str; 4] = [".git", "node_modules", ".venv", "corpus"];
/// It lies in a folder that was built.
const BUILT: &str = "CACHEDIR.TAG";

fn collect(root: &Path, folder: &Path, files: &mut Vec<File>) {
    for entry in std::fs::read_dir(folder).expect("the checkout can be read") {
        let path = entry.expect("the checkout can be read").path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .expect("names are UTF-8");
        if path.is_dir() && !FOREIGN.contains(&name) && !path.join(BUILT).exists() {
            collect(root, &path, files);
        } else if path.is_file()
            && let Ok(text) = std::fs::read_to_string(&path)
        {
            let path = path
                .strip_prefix(root)
                .expect("it was found under the root");
            files.push(File {
                path: path.to_str().expect("names are UTF-8").to_owned(),
                text,
            });
        }
    }
}
