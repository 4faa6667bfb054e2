//! Which names an expression mentions: for dependencies between steps, labels of results and warnings.

use std::collections::BTreeMap;

/// The names that an expression mentions, each as far as it stands there: `steps.rate.output.series`, or `steps` alone
/// for `steps[x]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The paths, and whether each is mentioned outside of `strings.quote(…)`.
    paths: BTreeMap<Vec<String>, bool>,
}

impl Names {
    /// All paths, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &[String]> {
        self.paths.keys().map(Vec::as_slice)
    }

    /// The paths that are mentioned outside of `strings.quote(…)`, sorted: where data from outside enters the query of
    /// another system unescaped.
    pub fn unquoted(&self) -> impl Iterator<Item = &[String]> {
        let bare = self.paths.iter().filter(|(_, bare)| **bare);
        bare.map(|(path, _)| path.as_slice())
    }

    /// Whether the root name is mentioned.
    #[must_use]
    pub fn mentions(&self, root: &str) -> bool {
        self.paths.keys().any(|path| path[0] == root)
    }

    /// What follows the root name: for `steps` the ids of the steps, sorted, each once.
    pub fn under<'n>(&'n self, root: &'n str) -> impl Iterator<Item = &'n str> {
        let mut last = None;
        let paths = self.paths.keys().filter(move |path| path[0] == root);
        let seconds = paths.filter_map(|path| path.get(1).map(String::as_str));
        seconds.filter(move |second| last.replace(*second) != Some(*second))
    }

    /// Whether the root name stands alone somewhere, so that everything under it is mentioned (`size(steps)`).
    #[must_use]
    pub fn whole(&self, root: &str) -> bool {
        self.paths
            .keys()
            .any(|path| path.len() == 1 && path[0] == root)
    }

    /// Everything that `other` mentions, too.
    pub fn join(&mut self, other: &Self) {
        for (path, bare) in &other.paths {
            self.add(path.clone(), *bare);
        }
    }

    pub(super) fn add(&mut self, path: Vec<String>, bare: bool) {
        if !path.is_empty() {
            *self.paths.entry(path).or_default() |= bare;
        }
    }
}
