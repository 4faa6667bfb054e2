//! `miractl agent config` and `config-set`: an agent's settings, in the types that it declares.

use clap::Args;
use serde_json::{Map, Value};

use crate::agent::fetch;
use crate::ask;
use crate::call::{Call, v1};
use crate::ctx::Ctx;
use crate::exit::{Exit, Failure, Result};
use crate::human::nearest;
use crate::model::{clean, inline, text};
use crate::output::Format;
use crate::paint::Tone;
use crate::table::{Cell, Table, cell};

/// Show an agent's settings
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl agent config metrics")]
pub(crate) struct ConfigCmd {
    /// The agent's name
    name: String,
}

/// Change an agent's settings
///
/// Only the named settings change. A secret is never given on the command line: name=@FILE, or
/// name=- for stdin.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl agent config-set metrics metrics_url=http://127.0.0.1:9090
  miractl agent config-set metrics token=@token.txt
  miractl agent config-set metrics --unset token")]
pub(crate) struct ConfigSetCmd {
    /// The agent's name
    name: String,
    /// Settings
    #[arg(value_name = "NAME=VALUE", required_unless_present = "unset")]
    settings: Vec<String>,
    /// A setting to take back to its default; may be repeated
    #[arg(long, value_name = "NAME")]
    unset: Vec<String>,
}

/// Shows the settings.
pub(crate) async fn show(ctx: &Ctx, cmd: &ConfigCmd) -> Result<Exit> {
    let name = cmd.name.as_str();
    let agent = fetch(ctx, name).await?;
    let shown = if agent["config"].is_null() {
        agent["settings"].clone()
    } else {
        agent["config"].clone()
    };
    ctx.out.thing(&shown, name, || table(ctx, &clean(&agent)))?;
    if ctx.out.format == Format::Table && rows(&agent).is_empty() {
        ctx.out
            .say(&match agent["metadata_unavailable"].is_string() {
                true => format!(
                    "{name} does not say which settings it takes: any name with a text can be set."
                ),
                false => format!("{name} has no settings."),
            });
    }
    Ok(Exit::Ok)
}

/// The settings as a table: what each is set to, secrets as a word.
pub(crate) fn table(ctx: &Ctx, agent: &Value) -> String {
    let rows = rows(agent);
    if rows.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["SETTING", "TYPE", "~VALUE", "~DESCRIPTION"]);
    for (key, setting) in rows {
        let value = &agent["config"][key];
        let value = if value.is_null() {
            &setting["value"]
        } else {
            value
        };
        let kind = [text(setting, "type"), text(setting, "kind")]
            .into_iter()
            .find(|k| !k.is_empty())
            .unwrap_or_default();
        table.row(vec![
            key.into(),
            kind.into(),
            shown(value, setting),
            text(setting, "description").into(),
        ]);
    }
    table.render(&ctx.out)
}

fn shown(value: &Value, setting: &Value) -> Cell {
    let default = &setting["default"];
    match (
        value["secret"].as_bool(),
        value.is_null(),
        default.is_null(),
    ) {
        (Some(true), _, _) if value["set"].as_bool() == Some(true) => {
            cell("(secret, set)", Tone::Plain)
        }
        (Some(true), _, _) => cell("(secret, not set)", Tone::Dim),
        (_, false, _) => inline(value).into(),
        (_, true, false) => cell(format!("{} (default)", inline(default)), Tone::Dim),
        (_, true, true) if setting["required"].as_bool() == Some(true) => {
            cell("(must be set)", Tone::Attention)
        }
        (_, true, true) => cell("", Tone::Dim),
    }
}

/// What is declared, and what is set without that.
fn rows(agent: &Value) -> Vec<(&str, &Value)> {
    let declared = declared(agent);
    let of_declared = declared.iter().map(|s| (text(s, "key"), *s));
    let set = agent["config"].as_object().into_iter().flatten();
    let undeclared = set
        .map(|(key, _)| (key.as_str(), &Value::Null))
        .filter(|(key, _)| declared.iter().all(|s| text(s, "key") != *key));
    of_declared.chain(undeclared).collect()
}

fn declared(agent: &Value) -> Vec<&Value> {
    agent["settings"].as_array().into_iter().flatten().collect()
}

/// Changes settings.
pub(crate) async fn set(ctx: &Ctx, cmd: &ConfigSetCmd) -> Result<Exit> {
    let agent = fetch(ctx, &cmd.name).await?;
    let declared = declared(&agent);
    let mut patch = Map::new();
    for pair in &cmd.settings {
        let (name, raw) = pair
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("`{pair}` is not of the form name=value")))?;
        patch.insert(
            name.to_owned(),
            setting(find(&declared, name, &cmd.name)?, name, raw)?,
        );
    }
    for name in &cmd.unset {
        if agent["config"][name.as_str()].is_null() {
            find(&declared, name, &cmd.name)?;
        }
        patch.insert(name.clone(), Value::Null);
    }
    let answer = ctx
        .api()?
        .send(Call::patch(
            v1(["agents", &cmd.name, "config"]),
            &Value::Object(patch),
        ))
        .await?
        .json()?;
    ctx.out.thing(&answer, &cmd.name, String::new)?;
    ctx.out.say(&format!("settings of {} saved", cmd.name));
    ctx.out
        .next(&[format!("miractl agent health {}", cmd.name)]);
    Ok(Exit::Ok)
}

/// The declaration of a setting. Where an agent declares none the server is the judge of names.
fn find<'a>(declared: &[&'a Value], name: &str, agent: &str) -> Result<&'a Value> {
    if declared.is_empty() {
        return Ok(&Value::Null);
    }
    declared
        .iter()
        .find(|s| text(s, "key") == name)
        .copied()
        .ok_or_else(|| {
            let near = nearest(name, declared.iter().map(|s| text(s, "key")));
            Failure::usage(format!("{agent} has no setting `{name}`")).hint(near.map_or_else(
                || format!("miractl agent config {agent} lists them"),
                |near| format!("did you mean `{near}`?"),
            ))
        })
}

fn setting(declared: &Value, name: &str, raw: &str) -> Result<Value> {
    let secret = declared["secret"].as_bool() == Some(true);
    let raw = match raw {
        "-" => ask::stdin()?.trim_end_matches(['\r', '\n']).to_owned(),
        _ if raw.starts_with('@') => {
            let path = &raw[1..];
            let text = std::fs::read_to_string(path)
                .map_err(|e| Failure::usage(format!("{path}: {e}")))?;
            text.trim_end_matches(['\r', '\n']).to_owned()
        }
        _ if secret => {
            return Err(Failure::usage(format!(
                "`{name}` is a secret and does not belong on the command line"
            ))
            .hint(format!("write {name}=@FILE, or {name}=- and pipe it in")));
        }
        _ => raw.to_owned(),
    };
    let wrong = |kind: &str| {
        Failure::usage(format!(
            "setting `{name}` is declared as {kind}, and its value is none"
        ))
    };
    let kind = [text(declared, "type"), text(declared, "kind")]
        .into_iter()
        .find(|k| !k.is_empty())
        .unwrap_or_default();
    match kind {
        "int" | "integer" => raw
            .trim()
            .parse::<i64>()
            .map(Value::from)
            .map_err(|_| wrong(kind)),
        "bool" | "boolean" => raw
            .trim()
            .parse::<bool>()
            .map(Value::from)
            .map_err(|_| wrong(kind)),
        "json" => serde_json::from_str(&raw).map_err(|_| wrong(kind)),
        _ => Ok(raw.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_secret_on_the_command_line_is_refused() {
        let declared = json!({"key": "token", "kind": "string", "secret": true});
        let failure = setting(&declared, "token", "hunter2").expect_err("a secret");
        assert_eq!(failure.exit, Exit::Usage);
        assert!(!failure.message.contains("hunter2"));
    }

    #[test]
    fn settings_take_their_declared_types() {
        let int = json!({"key": "n", "kind": "int"});
        assert_eq!(setting(&int, "n", "3").expect("a number"), json!(3));
        assert!(setting(&int, "n", "three").is_err());
        assert_eq!(setting(&Value::Null, "n", "3").expect("a text"), json!("3"));
    }

    #[test]
    fn what_is_set_is_shown_also_where_nobody_declares_it() {
        let agent = json!({"settings": [{"key": "url"}], "config": {"token": "x", "url": null}});
        let rows = rows(&agent);
        let keys: Vec<&str> = rows.iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, ["url", "token"]);
    }

    #[test]
    fn an_unknown_setting_names_the_nearest() {
        let declared = json!({"key": "metrics_url"});
        let failure = find(&[&declared], "metric_url", "metrics").expect_err("unknown");
        assert_eq!(failure.hint.as_deref(), Some("did you mean `metrics_url`?"));
    }
}
