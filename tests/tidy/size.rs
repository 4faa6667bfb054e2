//! Sizes: lines of a file and of a function, parameters, methods of a trait.

use crate::ratchet::{self, Sins};
use crate::{nothing_to_say, tree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// Without its inline tests, for these may be long as long as what they test is short.
const FILE_LINES_MAX: usize = 400;
/// No list excuses more.
const FILE_LINES_HARD_MAX: usize = 600;
/// A file of nothing but tests, or of cases of the conformance suite.
const TEST_FILE_LINES_MAX: usize = 650;
/// From `fn` to the closing brace: what fits on a screen.
const FUNCTION_LINES_MAX: usize = 70;
/// Without `self`. Who needs more has not found the struct.
const PARAMETERS_MAX: usize = 5;
/// What one can hold in the head, and what a second implementation can be tested against.
const METHODS_MAX: usize = 5;

#[test]
fn files_functions_parameters_and_ports_are_small() {
    let listed = std::fs::read_to_string(tree::root().join("tests/tidy.ratchet"))
        .expect("the list is checked in");
    let listed = ratchet::parse(&listed).expect("the list is well formed");
    let mut found = Sins::new();
    for file in tree::files_ending(".rs") {
        found.append(&mut measure(&file.path, &file.text));
    }
    let mut complaints = ratchet::compare(&found, &listed);
    for ((kind, place), number) in &found {
        if kind == "lines" && *number > FILE_LINES_HARD_MAX.max(file_lines_max(place)) {
            complaints.push(format!(
                "{place}: {number} lines, and no list excuses more than {FILE_LINES_HARD_MAX}"
            ));
        }
    }
    nothing_to_say(&complaints);
}

/// What is over a limit in one file.
fn measure(path: &str, text: &str) -> Sins {
    let mut sizes = Sizes {
        path,
        sins: Sins::new(),
        test_lines: 0,
    };
    let file = syn::parse_file(text).unwrap_or_else(|error| panic!("{path}: {error}"));
    sizes.visit_file(&file);
    let lines = text.lines().count() - sizes.test_lines;
    sizes.note("lines", path.to_owned(), lines, file_lines_max(path));
    sizes.sins
}

fn file_lines_max(path: &str) -> usize {
    let folders = || path.split('/');
    let tests =
        path.ends_with("/tests.rs") || folders().any(|f| f == "tests" || f == "conformance");
    if tests {
        TEST_FILE_LINES_MAX
    } else {
        FILE_LINES_MAX
    }
}

struct Sizes<'a> {
    path: &'a str,
    sins: Sins,
    test_lines: usize,
}

impl Sizes<'_> {
    fn note(&mut self, kind: &str, place: String, number: usize, most: usize) {
        if number > most {
            let sin = self.sins.entry((kind.to_owned(), place)).or_default();
            *sin = number.max(*sin);
        }
    }

    fn function(&mut self, signature: &syn::Signature, end: &impl Spanned) {
        let first = signature.fn_token.span.start().line;
        let lines = end.span().end().line - first + 1;
        let place = format!("{}::{}", self.path, signature.ident);
        self.note("function-lines", place, lines, FUNCTION_LINES_MAX);
    }

    fn parameters(&mut self, signature: &syn::Signature) {
        let typed = |input: &&syn::FnArg| matches!(input, syn::FnArg::Typed(_));
        let number = signature.inputs.iter().filter(typed).count();
        let place = format!("{}::{}", self.path, signature.ident);
        self.note("parameters", place, number, PARAMETERS_MAX);
    }
}

impl<'ast> Visit<'ast> for Sizes<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if module.content.is_some() && module.attrs.iter().any(is_cfg_test) {
            let span = module.span();
            self.test_lines += span.end().line - span.start().line + 1;
        }
        visit::visit_item_mod(self, module);
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.function(&function.sig, &function.block);
        self.parameters(&function.sig);
        visit::visit_item_fn(self, function);
    }

    fn visit_item_impl(&mut self, block: &'ast syn::ItemImpl) {
        for item in &block.items {
            if let syn::ImplItem::Fn(function) = item {
                self.function(&function.sig, &function.block);
                if block.trait_.is_none() {
                    self.parameters(&function.sig); // a trait's are counted where the trait is ours
                }
            }
        }
        visit::visit_item_impl(self, block);
    }

    fn visit_item_trait(&mut self, port: &'ast syn::ItemTrait) {
        let methods = |item: &&syn::TraitItem| matches!(item, syn::TraitItem::Fn(_));
        let number = port.items.iter().filter(methods).count();
        let place = format!("{}::{}", self.path, port.ident);
        self.note("methods", place, number, METHODS_MAX);
        for item in &port.items {
            if let syn::TraitItem::Fn(function) = item {
                self.function(&function.sig, function);
                self.parameters(&function.sig);
            }
        }
        visit::visit_item_trait(self, port);
    }
}

fn is_cfg_test(attribute: &syn::Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute
            .parse_args::<syn::Path>()
            .is_ok_and(|path| path.is_ident("test"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sins(text: &str) -> Vec<String> {
        let sins = measure("a.rs", text);
        sins.into_iter()
            .map(|((kind, place), n)| format!("{kind} {place} {n}"))
            .collect()
    }

    #[test]
    fn a_function_of_71_lines_is_too_long() {
        let function = |lines: usize| format!("fn f() {{\n{}}}\n", "    g();\n".repeat(lines - 2));
        assert_eq!(sins(&function(70)), [""; 0]);
        assert_eq!(sins(&function(71)), ["function-lines a.rs::f 71"]);
        let method = format!("impl A {{ {} }}", function(71));
        assert_eq!(sins(&method), ["function-lines a.rs::f 71"]);
    }

    #[test]
    fn a_file_is_measured_without_its_inline_tests() {
        let code = "const A: u8 = 1;\n".repeat(400);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{code}}}\n");
        assert_eq!(sins(&format!("{code}{tests}")), [""; 0]);
        assert_eq!(sins(&format!("{code}// one more\n")), ["lines a.rs 401"]);
        assert_eq!(
            sins(&format!("{code}{}", tests.replace("(test)", "(unix)"))),
            ["lines a.rs 803"]
        );
    }

    #[test]
    fn a_file_of_tests_may_be_longer() {
        let code = "const A: u8 = 1;\n".repeat(600);
        assert_eq!(measure("tests/a.rs", &code).len(), 0);
        assert_eq!(measure("engine/src/yaml/tests.rs", &code).len(), 0);
        assert_eq!(measure("engine/src/a.rs", &code).len(), 1);
        assert_eq!(measure("tests/a.rs", &format!("{code}{code}")).len(), 1);
    }

    #[test]
    fn six_parameters_are_too_many_unless_a_foreign_trait_asks_for_them() {
        let six = "fn f(&self, a: u8, b: u8, c: u8, d: u8, e: u8, f: u8) {}";
        assert_eq!(
            sins(&format!("impl A {{ {six} }}")),
            ["parameters a.rs::f 6"]
        );
        assert_eq!(
            sins(&format!("trait A {{ {six} }}")),
            ["parameters a.rs::f 6"]
        );
        assert_eq!(sins(&format!("impl B for A {{ {six} }}")), [""; 0]);
        assert_eq!(
            sins(&format!("impl A {{ {} }}", six.replace(", f: u8", ""))),
            [""; 0]
        );
    }

    #[test]
    fn a_port_of_six_methods_is_too_wide() {
        let methods = |n: usize| {
            (0..n)
                .map(|i| format!("fn m{i}(&self);"))
                .collect::<String>()
        };
        assert_eq!(sins(&format!("trait Port {{ {} }}", methods(5))), [""; 0]);
        assert_eq!(
            sins(&format!("trait Port {{ {} }}", methods(6))),
            ["methods a.rs::Port 6"]
        );
    }
}
