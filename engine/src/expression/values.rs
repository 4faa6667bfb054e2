//! Where an evaluation takes its values from.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::Budget;

/// Values by name, read lazily: nothing is asked for that an expression does not touch, and nothing is copied.
///
/// An implementation for the root answers `inputs`, `steps` …; `steps` may be another implementation that answers each
/// step, so that an output of 4 MiB stays where it is. Equal implementations must answer equally, and [`Self::names`]
/// in a fixed order. They may be read from any thread, for compiled expressions hold values and are shared.
pub trait Values: Send + Sync {
    /// The value of that name; `None` if there is none.
    fn get(&self, name: &str) -> Option<View<'_>>;

    /// All names that [`Self::get`] answers, sorted: asked for where an expression uses the whole.
    fn names(&self) -> Vec<String>;

    /// What the evaluations with these values may cost together; of the root. `None`: as much as each may cost alone.
    fn budget(&self) -> Option<&Budget> {
        None
    }
}

/// How a value is at hand.
pub enum View<'v> {
    /// As JSON.
    Json(&'v Json),
    /// As a mapping that is itself read lazily.
    Values(&'v dyn Values),
    /// Not yet: the evaluation ends with [`super::ErrorKind::Missing`] and this text, which says what to fetch.
    Missing(String),
}

impl Values for serde_json::Map<String, Json> {
    fn get(&self, name: &str) -> Option<View<'_>> {
        serde_json::Map::get(self, name).map(View::Json)
    }

    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }
}

impl Values for BTreeMap<String, Json> {
    fn get(&self, name: &str) -> Option<View<'_>> {
        BTreeMap::get(self, name).map(View::Json)
    }

    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }
}
