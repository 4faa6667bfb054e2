//! Settings of agents: what a manifest declares, and what is set.

use std::collections::BTreeMap;

use engine::manifest::Setting;
use engine::registry::{Agent, AgentConfig, SettingValue};
use serde_json::{Map, Value as Json, json};

use crate::problem::{Problem, Spot};

/// No value is longer as JSON, in bytes.
const VALUE_MAX: usize = 64 * 1024;
/// So long is the name of a setting that nobody has declared, in bytes, and so many of those an agent has.
const KEY_MAX: usize = 63;
const OPEN_MAX: usize = 200;

/// What an agent can be given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    /// What it declares.
    declared: &'a [Setting],
    /// It could not say what it takes: any name with a text is.
    is_open: bool,
}

impl<'a> Known<'a> {
    pub(crate) fn of(agent: &'a Agent) -> Self {
        Self {
            declared: &agent.manifest.settings,
            is_open: agent.metadata_unavailable.is_some(),
        }
    }

    fn find(self, key: &str) -> Option<&'a Setting> {
        self.declared.iter().find(|setting| setting.key == key)
    }
}

/// The settings as they are shown: each one that is declared or set, its value or null, secret ones as `{secret, set}`.
pub(crate) fn shown(known: Known<'_>, config: &AgentConfig) -> Map<String, Json> {
    let declared = known.declared.iter().map(|setting| setting.key.as_str());
    let undeclared = config.values.keys().map(String::as_str);
    let undeclared = undeclared.filter(|key| known.find(key).is_none());
    declared
        .chain(undeclared)
        .map(|key| {
            let secret = known.find(key).is_some_and(|setting| setting.secret);
            let value = match config.values.get(key) {
                set if secret => json!({"secret": true, "set": set.is_some()}),
                Some(SettingValue::Plain(value)) => value.clone(),
                // It was secret when it was set, and stays so.
                Some(SettingValue::Sealed(_)) => json!({"secret": true, "set": true}),
                None => Json::Null,
            };
            (key.to_owned(), value)
        })
        .collect()
}

/// The settings after a merge patch. The revision counts up when anything has changed.
///
/// # Errors
/// 422 with every setting that is not declared or is of another type.
pub(crate) fn patched(
    known: Known<'_>,
    old: &AgentConfig,
    patch: &Map<String, Json>,
    seal: impl Fn(&str, &Json) -> SettingValue,
) -> Result<AgentConfig, Problem> {
    let mut wrong = Vec::new();
    let mut values: BTreeMap<String, SettingValue> = old.values.clone();
    for (key, value) in patch {
        let setting = known.find(key);
        // What is set can be taken back, also where the agent does not know it any more.
        if setting.is_none() && !known.is_open && !(value.is_null() && values.contains_key(key)) {
            wrong.push(unknown(key, known.declared));
            continue;
        }
        if value.is_null() {
            values.remove(key);
            continue;
        }
        let checked = setting.map_or_else(|| check_any(key, value), |s| check(s, value));
        if let Err(message) = checked {
            wrong.push(Spot::at(format!("/{key}"), format!("{key}: {message}")));
            continue;
        }
        let was_sealed = matches!(values.get(key), Some(SettingValue::Sealed(_)));
        let new = match was_sealed || setting.is_some_and(|setting| setting.secret) {
            true => seal(key, value),
            false => SettingValue::Plain(value.clone()),
        };
        values.insert(key.clone(), new);
    }
    if known.is_open && values.len() > OPEN_MAX {
        let message = format!("an agent that declares no settings takes at most {OPEN_MAX}");
        wrong.push(Spot::at(String::new(), message));
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

/// A setting of an agent that could not say which ones it takes.
fn check_any(key: &str, value: &Json) -> Result<(), &'static str> {
    let starts = |b: &u8| b.is_ascii_alphabetic() || *b == b'_';
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if key.len() > KEY_MAX || !key.bytes().all(plain) || !key.as_bytes().first().is_some_and(starts)
    {
        return Err("a name has 1 to 63 letters, digits and `_`, and begins with no digit");
    }
    check_size(value)?;
    if value.is_string() {
        return Ok(());
    }
    Err("it must be a text")
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
    check_size(value)?;
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

fn check_size(value: &Json) -> Result<(), &'static str> {
    if value.to_string().len() > VALUE_MAX {
        return Err("a value has at most 64 KiB");
    }
    Ok(())
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

    fn known(declared: &[Setting], is_open: bool) -> Known<'_> {
        Known { declared, is_open }
    }

    fn patch(json: Json, old: &AgentConfig) -> Result<AgentConfig, Problem> {
        patch_of(known(&declared(), false), json, old)
    }

    fn patch_of(known: Known<'_>, json: Json, old: &AgentConfig) -> Result<AgentConfig, Problem> {
        let map = json.as_object().cloned().expect("an object");
        patched(known, old, &map, |_, _| {
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
        let declared = declared();
        let shown = shown(known(&declared, false), &new);
        assert!(!Json::Object(shown.clone()).to_string().contains("canary"));
        assert_eq!(shown["token"], json!({"secret": true, "set": true}));
        assert_eq!(shown["limit"], Json::Null);
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

    #[test]
    fn an_agent_that_could_not_say_what_it_takes_is_given_any_name_with_a_text() {
        let open = known(&[], true);
        let old = AgentConfig {
            revision: 4,
            values: [(
                "token".to_owned(),
                SettingValue::Sealed("before".to_owned()),
            )]
            .into(),
        };
        let new = json!({"metrics_url": "http://x", "token": "canary"});
        let new = patch_of(open, new, &old).expect("right");
        assert_eq!(new.revision, 5);
        let seen = Json::Object(shown(open, &new));
        let secret = json!({"secret": true, "set": true});
        assert_eq!(seen, json!({"metrics_url": "http://x", "token": secret}));
        let wrong = json!({"": "x", "a-b": "x", "1a": "x", "limit": 3, "list": ["x"]});
        let problem = patch_of(open, wrong, &new).expect_err("wrong");
        assert_eq!(problem.errors.len(), 5);
        let many: Map<String, Json> = (0..200).map(|n| (format!("k{n}"), json!("x"))).collect();
        let problem = patch_of(open, many.into(), &new).expect_err("too many");
        assert_eq!(problem.errors.len(), 1);
        // It says now what it takes: what was set without that stays in sight, and can only be taken back.
        let declared = [setting("url", "string", false)];
        let closed = known(&declared, false);
        assert_eq!(shown(closed, &new)["metrics_url"], "http://x");
        assert!(patch_of(closed, json!({"metrics_url": "http://y"}), &new).is_err());
        let back = patch_of(closed, json!({"metrics_url": null}), &new).expect("right");
        assert!(!back.values.contains_key("metrics_url"));
    }
}
