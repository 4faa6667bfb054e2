//! Settings: how they are declared, and the values that the engine gives.

use std::collections::BTreeMap;

use proto::manifest;
use serde::de::DeserializeOwned;

use crate::{ActionError, Duration};

/// One declared setting. Values are set by people, checked against the declaration before they reach the
/// agent, and never read from the environment.
#[derive(Clone, Debug)]
pub struct Setting(pub(crate) manifest::Setting);

impl Setting {
    /// A text.
    #[must_use]
    pub fn string(key: &str, description: &str) -> Self {
        Self::new(key, description, manifest::SettingType::String)
    }

    /// A whole number.
    #[must_use]
    pub fn int(key: &str, description: &str) -> Self {
        Self::new(key, description, manifest::SettingType::Int)
    }

    /// `true` or `false`.
    #[must_use]
    pub fn bool(key: &str, description: &str) -> Self {
        Self::new(key, description, manifest::SettingType::Bool)
    }

    /// A length of time, such as `30s`.
    #[must_use]
    pub fn duration(key: &str, description: &str) -> Self {
        Self::new(key, description, manifest::SettingType::Duration)
    }

    /// Any JSON.
    #[must_use]
    pub fn json(key: &str, description: &str) -> Self {
        Self::new(key, description, manifest::SettingType::Json)
    }

    fn new(key: &str, description: &str, kind: manifest::SettingType) -> Self {
        Self(manifest::Setting {
            key: key.to_owned(),
            kind,
            required: false,
            default: None,
            description: description.to_owned(),
            secret: false,
        })
    }

    /// Without it no action runs.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.0.required = true;
        self
    }

    /// Its value when it is not set.
    #[must_use]
    pub fn default(mut self, value: &str) -> Self {
        self.0.default = Some(value.to_owned());
        self
    }

    /// Its value is never shown.
    #[must_use]
    pub fn secret(mut self) -> Self {
        self.0.secret = true;
        self
    }
}

/// The values of the settings, defaults included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    values: BTreeMap<String, String>,
}

impl Config {
    /// The defaults of what is declared.
    pub(crate) fn defaults(declared: &[manifest::Setting]) -> Self {
        let values = declared
            .iter()
            .filter_map(|s| Some((s.key.clone(), s.default.clone()?)));
        Self {
            values: values.collect(),
        }
    }

    /// Defaults, overlaid with given values; all that is wrong with them as the error.
    pub(crate) fn checked(
        declared: &[manifest::Setting],
        given: BTreeMap<String, String>,
    ) -> Result<Self, String> {
        let mut config = Self::defaults(declared);
        let mut problems = Vec::new();
        for (key, value) in given {
            match declared.iter().find(|s| s.key == key) {
                None => problems.push(format!("there is no setting `{key}`")),
                Some(setting) => problems.extend(problem(setting, &value)),
            }
            config.values.insert(key, value);
        }
        problems.extend(config.missing(declared));
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(problems.join("; "))
        }
    }

    /// What is required and not set, as a sentence.
    pub(crate) fn missing(&self, declared: &[manifest::Setting]) -> Option<String> {
        let missing: Vec<_> = declared
            .iter()
            .filter(|s| s.required && self.values.get(&s.key).is_none_or(String::is_empty))
            .map(|s| format!("`{}`", s.key))
            .collect();
        (!missing.is_empty()).then(|| format!("not set, but required: {}", missing.join(", ")))
    }

    /// A setting's text; `None` when it is not set and has no default.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// A required setting's text.
    ///
    /// # Errors
    /// `not_configured`, when it is not set; nothing was changed.
    pub fn require(&self, key: &str) -> Result<&str, ActionError> {
        self.get(key).ok_or_else(|| {
            ActionError::not_made("not_configured", format!("the setting `{key}` is not set"))
        })
    }

    /// An `int` setting.
    #[must_use]
    pub fn int(&self, key: &str) -> Option<i64> {
        self.get(key)?.parse().ok()
    }

    /// A `bool` setting.
    #[must_use]
    pub fn bool(&self, key: &str) -> Option<bool> {
        self.get(key)?.parse().ok()
    }

    /// A `duration` setting.
    #[must_use]
    pub fn duration(&self, key: &str) -> Option<Duration> {
        self.get(key)?.parse().ok()
    }

    /// A `json` setting.
    ///
    /// # Errors
    /// When the JSON has another shape than asked for.
    pub fn json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, ActionError> {
        Ok(self.get(key).map(serde_json::from_str).transpose()?)
    }
}

/// What is wrong with a value. It never repeats the value, which may be secret.
pub(crate) fn problem(setting: &manifest::Setting, value: &str) -> Option<String> {
    let (fits, expected) = match setting.kind {
        manifest::SettingType::String => (true, "a text"),
        manifest::SettingType::Int => (value.parse::<i64>().is_ok(), "a whole number"),
        manifest::SettingType::Bool => (value.parse::<bool>().is_ok(), "true or false"),
        manifest::SettingType::Duration => (
            value.parse::<Duration>().is_ok(),
            "a duration such as 500ms or 1h30m",
        ),
        manifest::SettingType::Json => (
            serde_json::from_str::<serde_json::Value>(value).is_ok(),
            "JSON",
        ),
    };
    (!fits).then(|| format!("`{}` must be {expected}", setting.key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared() -> Vec<manifest::Setting> {
        [
            Setting::string("url", "Where.").required(),
            Setting::duration("timeout", "How long.").default("30s"),
            Setting::int("retries", "How often."),
            Setting::json("labels", "Which."),
            Setting::bool("strict", "Whether."),
        ]
        .map(|s| s.0)
        .to_vec()
    }

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn values_are_read_by_their_type_and_defaults_fill_the_rest() {
        let pairs = [
            ("url", "http://x"),
            ("retries", "3"),
            ("labels", "{\"a\":1}"),
            ("strict", "true"),
        ];
        let config = Config::checked(&declared(), given(&pairs)).expect("all good");
        assert_eq!(
            config.require("url").map_err(|e| e.to_string()),
            Ok("http://x")
        );
        assert_eq!(config.duration("timeout"), Some(Duration::from_secs(30)));
        assert_eq!(
            (config.int("retries"), config.bool("strict")),
            (Some(3), Some(true))
        );
        let labels = config
            .json::<BTreeMap<String, u8>>("labels")
            .expect("of that shape");
        assert_eq!(labels, Some(BTreeMap::from([("a".to_owned(), 1)])));
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once_and_no_value_is_repeated() {
        let pairs = [
            ("retries", "hunter2"),
            ("timeout", "soon"),
            ("labels", "{"),
            ("strict", "yes"),
            ("urll", "x"),
        ];
        let problems =
            Config::checked(&declared(), given(&pairs)).expect_err("five problems and one missing");
        assert_eq!(
            problems,
            "`labels` must be JSON; `retries` must be a whole number; `strict` must be true or false; \
             `timeout` must be a duration such as 500ms or 1h30m; there is no setting `urll`; \
             not set, but required: `url`"
        );
    }
}
