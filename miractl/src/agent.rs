//! `miractl agent`: what can be done, whether it is well, and its settings.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use crate::agent_config;
use crate::call::{Call, v1};
use crate::ctx::Ctx;
use crate::exit::{Exit, Failure, Result};
use crate::list::{self, Look, Paging};
use crate::model::{clean, error_text, text};
use crate::paint::Tone;
use crate::table::{Table, cell, status};

/// An agent that does not run is started before it is asked.
const STARTING: Duration = Duration::from_secs(60);

/// Agents: what they can do, their health, their settings
#[derive(Debug, Subcommand)]
pub(crate) enum Cmd {
    List(ListCmd),
    Get(GetCmd),
    Health(HealthCmd),
    Delete(DeleteCmd),
    Config(agent_config::ConfigCmd),
    #[command(name = "config-set")]
    ConfigSet(agent_config::ConfigSetCmd),
}

/// List the agents
#[derive(Debug, Args)]
#[command(
    visible_alias = "ls",
    after_long_help = "\
Examples:
  miractl agent list
  miractl agent list -o name"
)]
pub(crate) struct ListCmd {
    #[command(flatten)]
    paging: Paging,
}

/// Show an agent and its actions
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl agent get metrics
  miractl agent get metrics -o json | jq '.actions[].input'")]
pub(crate) struct GetCmd {
    /// The agent's name
    name: String,
}

/// Ask an agent now whether it is well
///
/// Starts it if it does not run. Exit code 1 if it is not healthy.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl agent health metrics")]
pub(crate) struct HealthCmd {
    /// The agent's name
    name: String,
}

/// Forget an agent that registered itself and is gone
///
/// Its settings stay, should it come back. Runs that wait for it fail.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl agent delete old-queries
  miractl agent delete old-queries --yes")]
pub(crate) struct DeleteCmd {
    /// The agent's name
    name: String,
}

/// Does what was asked.
pub(crate) async fn execute(ctx: &Ctx, cmd: &Cmd) -> Result<Exit> {
    match cmd {
        Cmd::List(cmd) => list(ctx, cmd).await,
        Cmd::Get(cmd) => get(ctx, &cmd.name).await,
        Cmd::Health(cmd) => health(ctx, &cmd.name).await,
        Cmd::Delete(cmd) => delete(ctx, &cmd.name).await,
        Cmd::Config(cmd) => agent_config::show(ctx, cmd).await,
        Cmd::ConfigSet(cmd) => agent_config::set(ctx, cmd).await,
    }
}

async fn delete(ctx: &Ctx, name: &str) -> Result<Exit> {
    ctx.confirm(&format!(
        "Forget the agent {name}? Runs that wait for it fail."
    ))?;
    ctx.api()?
        .send(Call::delete(v1(["agents", name])))
        .await
        .map_err(missing)?;
    ctx.out.say(&format!("agent {name} deleted"));
    Ok(Exit::Ok)
}

/// An agent as the server knows it.
pub(crate) async fn fetch(ctx: &Ctx, name: &str) -> Result<Value> {
    ctx.api()?
        .send(Call::get(v1(["agents", name])))
        .await
        .map_err(missing)?
        .json()
}

fn missing(failure: Box<Failure>) -> Box<Failure> {
    if failure.exit == Exit::NotFound && failure.hint.is_none() {
        return failure.hint("`miractl agent list` shows the names");
    }
    failure
}

async fn list(ctx: &Ctx, cmd: &ListCmd) -> Result<Exit> {
    let page = list::fetch(ctx.api()?, Call::get(v1(["agents"])), cmd.paging).await?;
    let look = Look {
        headings: &[
            "NAME",
            "VERSION",
            "STATE",
            "ACTIONS",
            "REMARKS",
            "~DESCRIPTION",
        ],
        row: &|a| {
            vec![
                text(a, "name").into(),
                text(a, "version").into(),
                status(&state(a)),
                a["actions"]
                    .as_array()
                    .map_or(0, Vec::len)
                    .to_string()
                    .into(),
                cell(remarks(a), Tone::Attention),
                text(a, "description").into(),
            ]
        },
        name: &|a| text(a, "name").to_owned(),
        empty: "No agents. The server looks for them in its --plugins folder and beside its executable.",
    };
    list::print(ctx, &page, &look)?;
    Ok(Exit::Ok)
}

/// What is to be known before an agent is relied on.
fn remarks(agent: &Value) -> String {
    let mut remarks = Vec::new();
    if agent["authenticated"] == false {
        remarks.push("unauthenticated");
    }
    if agent["metadata_unavailable"].is_string() {
        remarks.push("metadata unavailable");
    }
    remarks.join(", ")
}

/// The state of an agent in one word: the worst of its instances, if it does not say one itself.
pub(crate) fn state(agent: &Value) -> String {
    if well(agent) == Some(false) {
        return "unhealthy".to_owned();
    }
    let own = [text(agent, "state"), text(agent, "status")];
    if let Some(word) = own.into_iter().find(|w| !w.is_empty()) {
        return word.to_owned();
    }
    let words: Vec<&str> = instances(agent).map(|i| text(i, "state")).collect();
    let worst = ["backoff", "starting", "ready", "stopped"]
        .into_iter()
        .find(|w| words.contains(w));
    worst
        .unwrap_or(if well(agent) == Some(true) {
            "healthy"
        } else {
            "idle"
        })
        .to_owned()
}

/// Whether an agent needs somebody: it says that it is not well, or does not stay up.
pub(crate) fn is_sick(agent: &Value) -> bool {
    well(agent) == Some(false) || state(agent) == "backoff"
}

/// Why an agent is not well, in one line.
pub(crate) fn trouble(agent: &Value) -> String {
    let of = |from: &Value| {
        let said = [
            text(&from["health"], "message"),
            text(from, "message"),
            text(from, "last_error"),
        ];
        said.into_iter().find(|t| !t.is_empty()).map(str::to_owned)
    };
    of(agent)
        .or_else(|| instances(agent).find_map(of))
        .unwrap_or_else(|| error_text(&agent["error"]))
}

fn instances(agent: &Value) -> impl Iterator<Item = &Value> {
    agent["instances"].as_array().into_iter().flatten()
}

/// What it says about its health, or what its instances say; one that is not well is enough.
fn well(agent: &Value) -> Option<bool> {
    let of = |from: &Value| {
        let health = &from["health"];
        let words = [
            &health["ok"],
            &health["healthy"],
            &from["healthy"],
            &from["ok"],
        ];
        words.into_iter().find_map(Value::as_bool)
    };
    let all = of(agent).into_iter().chain(instances(agent).filter_map(of));
    all.reduce(|one, other| one && other)
}

async fn get(ctx: &Ctx, name: &str) -> Result<Exit> {
    let agent = fetch(ctx, name).await?;
    ctx.out.thing(&agent, name, || page(ctx, &clean(&agent)))?;
    Ok(Exit::Ok)
}

fn page(ctx: &Ctx, agent: &Value) -> String {
    let paint = ctx.out.paint();
    let mut page = format!(
        "{} {}  {}\n",
        paint.strong(text(agent, "name")),
        text(agent, "version"),
        paint.status(&state(agent))
    );
    if !text(agent, "description").is_empty() {
        page.push_str(&format!("{}\n", text(agent, "description")));
    }
    if agent["authenticated"] == false {
        page.push_str(
            "unauthenticated: it registered itself, and nothing proves that it is who it says\n",
        );
    }
    let unavailable = text(agent, "metadata_unavailable");
    let notes: BTreeSet<&str> = instances(agent).map(|i| text(i, "note")).collect();
    if !unavailable.is_empty() && notes.iter().all(|note| !note.contains(unavailable)) {
        page.push_str(&format!("metadata unavailable: {unavailable}\n"));
    }
    for note in notes.into_iter().filter(|note| !note.is_empty()) {
        page.push_str(&format!("{note}\n"));
    }
    let mut table = Table::new(&["ACTION", "PERMISSION", "~PARAMETERS", "~DESCRIPTION"]);
    let actions = agent["actions"].as_array().cloned().unwrap_or_default();
    for action in &actions {
        let permission = text(action, "permission");
        let tone = if permission == "READ" {
            Tone::Plain
        } else {
            Tone::Attention
        };
        table.row(vec![
            format!("{}/{}", text(agent, "name"), text(action, "id")).into(),
            cell(permission, tone),
            parameters(schema(action)).into(),
            text(action, "description").into(),
        ]);
    }
    if !actions.is_empty() {
        page.push_str(&format!("\n{}\n", table.render(&ctx.out)));
    }
    let settings = agent_config::table(ctx, agent);
    if !settings.is_empty() {
        page.push_str(&format!("\n{settings}\n"));
    }
    page
}

/// The schema of an action's parameters.
pub(crate) fn schema(action: &Value) -> &Value {
    [&action["input"], &action["input_schema"], &action["params"]]
        .into_iter()
        .find(|s| s.is_object())
        .unwrap_or(&Value::Null)
}

/// Parameters by name, the required ones with a star.
fn parameters(schema: &Value) -> String {
    let required: Vec<&str> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let names = schema["properties"]
        .as_object()
        .into_iter()
        .flat_map(Map::keys);
    let star = |name: &String| {
        if required.contains(&name.as_str()) {
            format!("{name}*")
        } else {
            name.clone()
        }
    };
    names.map(star).collect::<Vec<_>>().join(", ")
}

async fn health(ctx: &Ctx, name: &str) -> Result<Exit> {
    let answer = ctx
        .api()?
        .send(Call::post(v1(["agents", name, "health"])).within(STARTING))
        .await
        .map_err(missing)?
        .json()?;
    let healthy = !is_sick(&answer);
    ctx.out.thing(&answer, name, || {
        let said = trouble(&clean(&answer));
        let word = if healthy { "healthy" } else { "unhealthy" };
        let colon = if said.is_empty() { "" } else { ": " };
        format!("{name} is {}{colon}{said}", ctx.out.paint().status(word))
    })?;
    Ok(if healthy { Exit::Ok } else { Exit::RunFailed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_to_be_known_before_an_agent_is_relied_on_stands_in_its_row() {
        let agent = json!({"authenticated": false, "metadata_unavailable": "it is mute"});
        assert_eq!(remarks(&agent), "unauthenticated, metadata unavailable");
        let ours = json!({"authenticated": true, "metadata_unavailable": null});
        assert_eq!(remarks(&ours), "");
    }

    #[test]
    fn health_is_understood_wherever_it_stands() {
        assert!(is_sick(
            &json!({"health": {"ok": false, "message": "refused"}})
        ));
        assert!(is_sick(
            &json!({"instances": [{"state": "ready"}, {"state": "backoff", "last_error": "exit 1"}]})
        ));
        assert!(is_sick(
            &json!({"instances": [{"state": "ready", "health": {"ok": false, "message": "refused"}}]})
        ));
        assert!(!is_sick(&json!({"state": "stopped"})));
        assert!(!is_sick(&json!({"instances": []})));
        assert_eq!(state(&json!({"ok": true})), "healthy");
        assert_eq!(
            trouble(&json!({"instances": [{"last_error": "exit 1"}]})),
            "exit 1"
        );
    }
}
