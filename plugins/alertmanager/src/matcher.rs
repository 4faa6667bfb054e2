//! What selects alerts, and what a silence selects.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A condition on one label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Matcher {
    /// The label's name.
    #[schemars(length(min = 1, max = 1024))]
    pub(crate) name: String,
    /// What its value is compared with.
    #[schemars(length(max = 4096))]
    pub(crate) value: String,
    /// Whether `value` is a regular expression, which the whole label must match.
    #[serde(default)]
    pub(crate) is_regex: bool,
    /// Whether it must match (default) or must not.
    #[serde(default = "yes")]
    pub(crate) is_equal: bool,
}

fn yes() -> bool {
    true
}

impl Matcher {
    /// In the server's query language: `name="value"`.
    pub(crate) fn filter(&self) -> String {
        let operator = match (self.is_equal, self.is_regex) {
            (true, false) => "=",
            (false, false) => "!=",
            (true, true) => "=~",
            (false, true) => "!~",
        };
        let value = self
            .value
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
        format!("{}{operator}\"{value}\"", self.name)
    }
}

/// As query parameters.
pub(crate) fn filters(matchers: &[Matcher]) -> Vec<(&'static str, String)> {
    matchers
        .iter()
        .map(|matcher| ("filter", matcher.filter()))
        .collect()
}

/// As the server writes it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Wire {
    name: String,
    value: String,
    is_regex: bool,
    #[serde(default = "yes")]
    is_equal: bool,
}

impl From<Matcher> for Wire {
    fn from(m: Matcher) -> Self {
        Self {
            name: m.name,
            value: m.value,
            is_regex: m.is_regex,
            is_equal: m.is_equal,
        }
    }
}

impl From<Wire> for Matcher {
    fn from(m: Wire) -> Self {
        Self {
            name: m.name,
            value: m.value,
            is_regex: m.is_regex,
            is_equal: m.is_equal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_leave_its_quotes() {
        let matcher = |value: &str, is_equal, is_regex| Matcher {
            name: "job".to_owned(),
            value: value.to_owned(),
            is_regex,
            is_equal,
        };
        for (matcher, filter) in [
            (matcher("api", true, false), r#"job="api""#),
            (matcher("api", false, false), r#"job!="api""#),
            (matcher("api.*", true, true), r#"job=~"api.*""#),
            (matcher(r"a\d", false, true), r#"job!~"a\\d""#),
            (
                matcher("x\",env=\"y\n", true, false),
                r#"job="x\",env=\"y\n""#,
            ),
        ] {
            assert_eq!(matcher.filter(), filter);
        }
    }
}
