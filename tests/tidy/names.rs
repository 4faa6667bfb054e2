//! Names that say nothing, and the first words of each crate.

use crate::tree::File;
use crate::{nothing_to_say, tree};
use syn::visit::{self, Visit};

/// A crate, or a module at the top of one, that is named after nothing collects everything. Further down the way there
/// says what it is about (`expression/types.rs`).
const MODULES: [&str; 9] = [
    "common", "types", "utils", "util", "core", "helpers", "helper", "misc", "prelude",
];

/// What stands before these is the name.
const TYPE_ENDS: [&str; 5] = ["Manager", "Helper", "Util", "Utils", "Impl"];

#[test]
fn every_name_says_what_it_names() {
    let mut complaints: Vec<String> = tree::files_ending(".rs")
        .iter()
        .flat_map(vague_names)
        .collect();
    for manifest in tree::files_ending("Cargo.toml") {
        complaints.extend(vague_crate(&manifest));
    }
    nothing_to_say(&complaints);
}

#[test]
fn every_library_begins_with_what_it_is() {
    let libraries = tree::files_ending("/lib.rs");
    assert!(!libraries.is_empty());
    nothing_to_say(&libraries.iter().filter_map(mute).collect::<Vec<_>>());
}

fn mute(file: &File) -> Option<String> {
    (!file.text.starts_with("//! ")).then(|| {
        format!(
            "{}: begin with `//!`: what it is and what it must never do",
            file.path
        )
    })
}

/// The name of the crate whose manifest this is.
pub(crate) fn of_crate(manifest: &File) -> Option<String> {
    let table: toml::Table = toml::from_str(&manifest.text).expect("cargo has read it");
    let name = table.get("package")?.get("name")?.as_str()?;
    Some(name.to_owned())
}

fn vague_crate(manifest: &File) -> Option<String> {
    let name = of_crate(manifest)?;
    let vague = name.split('-').any(|part| MODULES.contains(&part));
    vague.then(|| format!("{}: a crate called {name}: after what?", manifest.path))
}

fn vague_names(file: &File) -> Vec<String> {
    let is_top = ["lib.rs", "main.rs"]
        .iter()
        .any(|top| file.path.ends_with(top));
    let mut names = Names {
        found: Vec::new(),
        is_top,
    };
    names.visit_file(
        &syn::parse_file(&file.text).unwrap_or_else(|error| panic!("{}: {error}", file.path)),
    );
    let complaint = |name| format!("{}: {name} names nothing", file.path);
    names.found.into_iter().map(complaint).collect()
}

struct Names {
    found: Vec<String>,
    is_top: bool,
}

impl Names {
    fn of_type(&mut self, name: &syn::Ident) {
        let name = name.to_string();
        if TYPE_ENDS.iter().any(|end| name.ends_with(end)) {
            self.found.push(name);
        }
    }
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        let name = module.ident.to_string();
        if self.is_top && MODULES.contains(&name.as_str()) {
            self.found.push(format!("mod {name}"));
        }
        visit::visit_item_mod(self, module);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.of_type(&item.ident);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.of_type(&item.ident);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.of_type(&item.ident);
        visit::visit_item_trait(self, item);
    }
}

#[test]
fn a_name_that_says_nothing_is_found() {
    let file = |path: &str, text: &str| File {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    let text = "mod runs; mod utils; struct Run; struct RunManager; mod a { trait StoreImpl {} }";
    assert_eq!(vague_names(&file("a/src/lib.rs", text)).len(), 3);
    assert_eq!(vague_names(&file("a/src/b/mod.rs", text)).len(), 2);
    assert!(
        vague_crate(&file(
            "a/Cargo.toml",
            "[package]\nname = \"mirastack-common\""
        ))
        .is_some()
    );
    assert!(vague_crate(&file("a/Cargo.toml", "[package]\nname = \"mirastack-sdk\"")).is_none());
    assert!(mute(&file("a/lib.rs", "use x;\n//! late")).is_some());
    assert!(mute(&file("a/lib.rs", "//! The run machine.")).is_none());
}
