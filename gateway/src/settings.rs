//! Settings of agents: what a manifest declares, and what is set.

use std::collections::BTreeMap;

use engine::manifest::Setting;
use engine::registry::{AgentConfig, SettingValue};
use serde_json::{Map, Value as Json, json};

use crate::problem::{Problem, Spot};

/// No value is longer as JSON, in bytes.
const VALUE_MAX: usize = 64 * 1024;

/// The settings as they are shown: each one that is declared, its value or null, secret ones as `{secret, set}`.
pub(crate) fn shown(declared: &[Setting], config: &AgentConfig) -> Map<String, Json> {
    declared
        .iter()
        .map(|setting| {
            let value = match config.values.get(&setting.key) {
                set if setting.secret => json!({"secret": true, "set": set.is_some()}),
                Some(SettingValue::Plain(value)) => value.clone(),
                // It was secret when it was set, and stays so.
                Some(SettingValue::Sealed(_)) => json!({"secret": true, "set": true}),
                None => Json::Null,
            };
            (setting.key.clone(), value)
        })
        .collect()
}

/// The settings after a merge patch. The revision counts up when anything has changed.
///
/// # Errors
/// 422 with every setting that is not declared or is of another type.
pub(crate) fn patched(
    declared: &[Setting],
    old: &AgentConfig,
    patch: &Map<String, Json>,
    seal: impl Fn(&str, &Json) -> SettingValue,
) -> Result<AgentConfig, Problem> {
    let mut wrong = Vec::new();
    let mut values: BTreeMap<String, SettingValue> = old.values.clone();
    for (key, value) in patch {
        let Some(setting) = declared.iter().find(|setting| setting.key == *key) else {
            wrong.push(unknown(key, declared));
            continue;
        };
        if value.is_null() {
            values.remove(key);
            continue;
        }
        if let Err(message) = check(setting, value) {
            wrong.push(Spot::at(format!("/{key}"), format!("{key}: {message}")));
            continue;
        }
        let new = match setting.secret {
            true => seal(key, value),
            false => SettingValue::Plain(value.clone()),
        };
        values.insert(key.clone(), new);
    }
    if !wrong.is_empty() {
        let detail = match wrong.as_slice() {
            [one] => one.message.clone(),
            many => format!("{} settings are wrong", many.len()),
        };
        return Err(Problem::invalid(detail, wrong));
    }
    let changed = values != old.values;
    Ok(AgentConfig {
        revision: old.revision + u64::from(changed),
        values,
    })
}

fn unknown(key: &str, declared: &[Setting]) -> Spot {
    let names: Vec<&str> = declared.iter().map(|s| s.key.as_str()).collect();
    let mut spot = Spot::at(format!("/{key}"), format!("there is no setting {key}"));
    spot.hint = Some(match names.is_empty() {
        true => "this agent has no settings".to_owned(),
        false => format!("its settings are {}", names.join(", ")),
    });
    spot
}

fn check(setting: &Setting, value: &Json) -> Result<(), &'static str> {
    if value.to_string().len() > VALUE_MAX {
        return Err("a value has at most 64 KiB");
    }
    let text = value.as_str();
    match setting.kind.as_str() {
        "string" if text.is_none() => Err("it must be a text"),
        "int" if !value.is_i64() && !value.is_u64() => Err("it must be a whole number"),
        "bool" if !value.is_boolean() => Err("it must be true or false"),
        "duration"
            if text.is_none_or(|text| text.parse::<engine::duration::Duration>().is_err()) =>
        {
            Err("it must be a duration, such as 30s or 1h30m")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(key: &str, kind: &str, secret: bool) -> Setting {
        Setting {
            key: key.to_owned(),
            kind: kind.to_owned(),
            required: false,
            default: None,
            description: String::new(),
            secret,
        }
    }

    fn declared() -> [Setting; 4] {
        [
            setting("url", "string", false),
            setting("token", "string", true),
            setting("limit", "int", false),
            setting("wait", "duration", false),
        ]
    }

    fn patch(json: Json, old: &AgentConfig) -> Result<AgentConfig, Problem> {
        let map = json.as_object().cloned().expect("an object");
        patched(&declared(), old, &map, |_, _| {
            SettingValue::Sealed("sealed".to_owned())
        })
    }

    #[test]
    fn a_secret_setting_is_sealed_and_never_shown() {
        let new = patch(
            json!({"token": "canary", "url": "http://x"}),
            &AgentConfig::default(),
        )
        .expect("right");
        assert_eq!(new.revision, 1);
        let text = Json::Object(shown(&declared(), &new)).to_string();
        assert!(!text.contains("canary"));
        assert_eq!(
            shown(&declared(), &new)["token"],
            json!({"secret": true, "set": true})
        );
        assert_eq!(shown(&declared(), &new)["limit"], Json::Null);
        assert!(matches!(new.values["token"], SettingValue::Sealed(_)));
    }

    #[test]
    fn null_takes_a_setting_back_and_no_change_keeps_the_revision() {
        let one = patch(json!({"url": "http://x"}), &AgentConfig::default()).expect("right");
        let same = patch(json!({"url": "http://x"}), &one).expect("right");
        assert_eq!(same.revision, 1);
        let none = patch(json!({"url": null}), &one).expect("right");
        assert_eq!((none.revision, none.values.len()), (2, 0));
    }

    #[test]
    fn every_wrong_setting_is_told_at_once() {
        let wrong = json!({"urll": "x", "limit": "3", "wait": "soon", "url": 1});
        let problem = patch(wrong, &AgentConfig::default()).expect_err("wrong");
        assert_eq!(problem.errors.len(), 4);
    }
}
