//! The names that an expression may use.

use std::collections::BTreeMap;

use super::Type;

/// The names in scope with their types.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    names: BTreeMap<String, Type>,
    secrets: bool,
}

impl Scope {
    /// Nothing in scope.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with `name`, too. Cheap: types share their parts.
    #[must_use]
    pub fn with(mut self, name: &str, ty: Type) -> Self {
        self.set(name, ty);
        self
    }

    /// The same, and templates may carry `${{ secrets.NAME }}`.
    #[must_use]
    pub fn with_secrets(mut self) -> Self {
        self.secrets = true;
        self
    }

    /// Puts `name` in scope.
    pub fn set(&mut self, name: &str, ty: Type) {
        self.names.insert(name.to_owned(), ty);
    }

    /// The type of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Type> {
        self.names.get(name)
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = (&str, &Type)> {
        self.names.iter().map(|(name, ty)| (name.as_str(), ty))
    }

    pub(super) fn allows_secrets(&self) -> bool {
        self.secrets
    }
}
