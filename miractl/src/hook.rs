//! `miractl hook`: entrances for events from outside.

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::apply::{self, Files};
use crate::call::{Call, v1};
use crate::ctx::Ctx;
use crate::exit::{Exit, Failure, Result};
use crate::human::{age, count, short};
use crate::list::{self, Look, Paging};
use crate::model::{error_text, joined, text, time};
use crate::output::{Format, yaml};
use crate::paint::Tone;
use crate::receiver;
use crate::table::{cell, status};

/// Hooks: entrances for alerts and other events
#[derive(Debug, Subcommand)]
pub(crate) enum Cmd {
    List(ListCmd),
    Get(GetCmd),
    Create(CreateCmd),
    Apply(ApplyCmd),
    Deliveries(DeliveriesCmd),
    Delete(DeleteCmd),
}

/// List the hooks
#[derive(Debug, Args)]
#[command(
    visible_alias = "ls",
    after_long_help = "\
Examples:
  miractl hook list"
)]
pub(crate) struct ListCmd {
    #[command(flatten)]
    paging: Paging,
}

/// Show a hook
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl hook get alerts
  miractl hook get alerts -o json")]
pub(crate) struct GetCmd {
    /// The hook's name
    name: String,
}

/// Make a hook with a new secret
///
/// The server makes the secret and answers it once. What the sender needs is printed on stdout,
/// ready to paste: for Alertmanager a receiver and a route.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl hook create alerts --type alertmanager
  miractl hook create alerts --type alertmanager --role engineer
  miractl hook create github --type github
  miractl hook create builds --type generic --dedupe event.headers['x-build-id']")]
pub(crate) struct CreateCmd {
    /// The hook's name
    name: String,
    /// alertmanager, github or generic
    #[arg(long = "type", value_name = "TYPE")]
    kind: String,
    /// The role in which its runs are asked for [default: operator]
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// generic: what makes two deliveries the same event, an expression, or none
    #[arg(long, value_name = "EXPR|none")]
    dedupe: Option<String>,
}

/// Save hooks from files
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl hook apply -f alerts.mira.yaml")]
pub(crate) struct ApplyCmd {
    #[command(flatten)]
    files: Files,
}

/// Show what was delivered to a hook and what it started
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl hook deliveries alerts
  miractl hook deliveries alerts --limit 5 -o json")]
pub(crate) struct DeliveriesCmd {
    /// The hook's name
    name: String,
    #[command(flatten)]
    paging: Paging,
}

/// Delete a hook
///
/// Its address answers 404 from then on. Runs that it started go on.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl hook delete alerts")]
pub(crate) struct DeleteCmd {
    /// The hook's name
    name: String,
}

/// Does what was asked.
pub(crate) async fn execute(ctx: &Ctx, cmd: &Cmd) -> Result<Exit> {
    match cmd {
        Cmd::List(cmd) => list(ctx, cmd).await,
        Cmd::Get(cmd) => get(ctx, &cmd.name).await,
        Cmd::Create(cmd) => create(ctx, cmd).await,
        Cmd::Apply(cmd) => apply::files(ctx, &cmd.files, Some("hook")).await,
        Cmd::Deliveries(cmd) => deliveries(ctx, cmd).await,
        Cmd::Delete(cmd) => delete(ctx, &cmd.name).await,
    }
}

fn missing(failure: Box<Failure>) -> Box<Failure> {
    if failure.exit == Exit::NotFound && failure.hint.is_none() {
        return failure.hint("`miractl hook list` shows the names");
    }
    failure
}

/// A hook's name, which documents give as `hook`.
fn name_of(hook: &Value) -> &str {
    [text(hook, "name"), text(hook, "hook")]
        .into_iter()
        .find(|n| !n.is_empty())
        .unwrap_or_default()
}

async fn list(ctx: &Ctx, cmd: &ListCmd) -> Result<Exit> {
    let page = list::fetch(ctx.api()?, Call::get(v1(["hooks"])), cmd.paging).await?;
    let look = Look {
        headings: &["NAME", "TYPE", "ROLE", "~STARTS", "~URL"],
        row: &|h| {
            vec![
                name_of(h).into(),
                text(h, "type").into(),
                text(h, "role").into(),
                joined(&h["workflows"]).into(),
                text(h, "url").into(),
            ]
        },
        name: &|h| name_of(h).to_owned(),
        empty: "No hooks yet. Make one: miractl hook create alerts --type alertmanager",
    };
    list::print(ctx, &page, &look)?;
    Ok(Exit::Ok)
}

async fn get(ctx: &Ctx, name: &str) -> Result<Exit> {
    let api = ctx.api()?;
    let hook = api
        .send(Call::get(v1(["hooks", name])))
        .await
        .map_err(missing)?
        .json()?;
    if ctx.out.format == Format::Table {
        ctx.out.raw(yaml(&hook)?.as_bytes())?;
        ctx.out.say(&format!(
            "its sender posts to {}",
            receiver::address(api.server(), name, &hook)
        ));
    } else {
        ctx.out.thing(&hook, name, String::new)?;
    }
    Ok(Exit::Ok)
}

async fn create(ctx: &Ctx, cmd: &CreateCmd) -> Result<Exit> {
    let api = ctx.api()?;
    let answer = api
        .send(Call::post(v1(["hooks"])).once().yaml(&document(cmd)))
        .await?
        .json()?;
    let paste = receiver::paste(&answer, api.server());
    if paste.is_none() {
        ctx.out.warn("the server answered no secret");
    }
    ctx.out
        .thing(&answer, &cmd.name, || paste.unwrap_or_default())?;
    if ctx.out.format == Format::Table {
        ctx.out.say("The secret above is shown only now.");
        ctx.out
            .next(&[format!("miractl hook deliveries {}", cmd.name)]);
    }
    Ok(Exit::Ok)
}

/// The hook as a document; its first key has to be the one that names its kind.
fn document(cmd: &CreateCmd) -> String {
    let mut text = format!("hook: {}\ntype: {}\n", scalar(&cmd.name), scalar(&cmd.kind));
    for (key, value) in [("role", &cmd.role), ("dedupe", &cmd.dedupe)] {
        if let Some(value) = value {
            text.push_str(&format!("{key}: {}\n", scalar(value)));
        }
    }
    text
}

/// A YAML string: plain where that is safe, else as JSON, which YAML reads.
fn scalar(text: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic());
    if begins && text.chars().all(is_word) {
        text.to_owned()
    } else {
        Value::from(text).to_string()
    }
}

async fn deliveries(ctx: &Ctx, cmd: &DeliveriesCmd) -> Result<Exit> {
    let call = Call::get(v1(["hooks", &cmd.name, "deliveries"]));
    let page = list::fetch(ctx.api()?, call, cmd.paging)
        .await
        .map_err(missing)?;
    let now = ctx.now();
    let look = Look {
        headings: &["ID", "AGE", "RESULT", "~RUNS", "~WHY"],
        row: &|d| {
            let at = ["at", "received_at", "created_at"]
                .iter()
                .find_map(|f| time(d, f));
            let result = ["result", "status", "outcome", "state"]
                .iter()
                .map(|f| text(d, f))
                .find(|t| !t.is_empty())
                .unwrap_or_default();
            let why = [text(d, "reason").to_owned(), error_text(&d["error"])]
                .into_iter()
                .find(|w| !w.is_empty())
                .unwrap_or_default();
            let id = [text(d, "id"), text(d, "delivery")]
                .into_iter()
                .find(|i| !i.is_empty())
                .unwrap_or_default();
            vec![
                short(id).into(),
                cell(at.map(|t| age(t, now)).unwrap_or_default(), Tone::Dim),
                status(result),
                runs(&d["runs"]).into(),
                cell(why, Tone::Dim),
            ]
        },
        name: &|d| {
            [text(d, "id"), text(d, "delivery")]
                .into_iter()
                .find(|i| !i.is_empty())
                .unwrap_or_default()
                .to_owned()
        },
        empty: "Nothing was delivered yet. `miractl hook get NAME` shows the address that the sender posts to.",
    };
    list::print(ctx, &page, &look)?;
    Ok(Exit::Ok)
}

/// The runs of a delivery: the endings of the first ones.
fn runs(runs: &Value) -> String {
    let all: Vec<&str> = runs
        .as_array()
        .into_iter()
        .flatten()
        .map(|r| r.as_str().unwrap_or_else(|| text(r, "id")))
        .collect();
    let shown = all
        .iter()
        .take(3)
        .map(|id| short(id))
        .collect::<Vec<_>>()
        .join(" ");
    if all.len() > 3 {
        format!("{shown} of {}", count(all.len(), "run"))
    } else {
        shown
    }
}

async fn delete(ctx: &Ctx, name: &str) -> Result<Exit> {
    ctx.confirm(&format!(
        "Delete the hook {name}? What is sent to it is lost from then on."
    ))?;
    ctx.api()?
        .send(Call::delete(v1(["hooks", name])))
        .await
        .map_err(missing)?;
    ctx.out.say(&format!("hook {name} deleted"));
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_names_its_kind_first_and_quotes_what_needs_it() {
        let cmd = CreateCmd {
            name: "builds".to_owned(),
            kind: "generic".to_owned(),
            role: None,
            dedupe: Some("event.headers['x: id']".to_owned()),
        };
        let expected = "hook: builds\ntype: generic\ndedupe: \"event.headers['x: id']\"\n";
        assert_eq!(document(&cmd), expected);
        assert_eq!(scalar("007"), "\"007\"");
    }
}
