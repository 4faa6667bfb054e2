//! `miractl key`: API keys. A key's secret is shown once, when it is made.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::call::{Call, v1};
use crate::ctx::Ctx;
use crate::exit::{Exit, Result};
use crate::human::{age, dash};
use crate::list::{self, Look, Paging};
use crate::model::{text, time};
use crate::output::Format;
use crate::paint::Tone;
use crate::table::cell;

/// API keys: who may sign in as what
#[derive(Debug, Subcommand)]
pub(crate) enum Cmd {
    Create(CreateCmd),
    List(ListCmd),
    Revoke(RevokeCmd),
}

/// Make an API key
///
/// Its secret is printed once, on stdout, and cannot be shown again.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl key create ci --role operator
  miractl key create ci --role operator -o json > ci-key.json
  miractl key create ci --role operator -o json | \\
      miractl login --server https://mirastack.example --context ci")]
pub(crate) struct CreateCmd {
    /// The key's name; its principal is key:NAME
    name: String,
    /// operator, engineer or admin; not above your own
    #[arg(long, value_name = "ROLE")]
    role: String,
}

/// List the API keys
#[derive(Debug, Args)]
#[command(
    visible_alias = "ls",
    after_long_help = "\
Examples:
  miractl key list"
)]
pub(crate) struct ListCmd {
    #[command(flatten)]
    paging: Paging,
}

/// Revoke an API key
///
/// Its tokens end with it, and its consents no longer count for calls that were not made yet.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl key revoke ci")]
pub(crate) struct RevokeCmd {
    /// The key's name
    name: String,
}

/// Does what was asked.
pub(crate) async fn execute(ctx: &Ctx, cmd: &Cmd) -> Result<Exit> {
    match cmd {
        Cmd::Create(cmd) => create(ctx, cmd).await,
        Cmd::List(cmd) => list(ctx, cmd).await,
        Cmd::Revoke(cmd) => revoke(ctx, cmd).await,
    }
}

async fn create(ctx: &Ctx, cmd: &CreateCmd) -> Result<Exit> {
    let body = json!({ "name": cmd.name, "role": cmd.role });
    let answer = ctx
        .api()?
        .send(Call::post(v1(["api-keys"])).once().json(&body))
        .await?
        .json()?;
    let id = [text(&answer, "api_key_id"), text(&answer, "id")]
        .into_iter()
        .find(|id| !id.is_empty())
        .unwrap_or_default();
    let secret = [text(&answer, "api_secret"), text(&answer, "secret")]
        .into_iter()
        .find(|s| !s.is_empty())
        .unwrap_or_default();
    ctx.out.thing(&answer, id, || {
        format!("api_key_id  {}\napi_secret  {}", dash(id), dash(secret))
    })?;
    if ctx.out.format != Format::Name {
        ctx.out.say("The secret is shown only now: keep it.");
        ctx.out.next(&[format!(
            "miractl login --server {} --context {}",
            ctx.api()?.server().as_str().trim_end_matches('/'),
            cmd.name
        )]);
    }
    Ok(Exit::Ok)
}

async fn list(ctx: &Ctx, cmd: &ListCmd) -> Result<Exit> {
    let page = list::fetch(ctx.api()?, Call::get(v1(["api-keys"])), cmd.paging).await?;
    let now = ctx.now();
    let when =
        |t: Option<jiff::Timestamp>| cell(t.map(|t| age(t, now)).unwrap_or_default(), Tone::Dim);
    let look = Look {
        headings: &["NAME", "ROLE", "STATE", "AGE", "~KEY ID"],
        row: &|k| {
            let revoked = time(k, "revoked_at").is_some()
                || k["revoked"].as_bool() == Some(true)
                || text(k, "state") == "revoked";
            let id = [text(k, "api_key_id"), text(k, "id")]
                .into_iter()
                .find(|id| !id.is_empty())
                .unwrap_or_default();
            vec![
                text(k, "name").into(),
                text(k, "role").into(),
                if revoked {
                    cell("revoked", Tone::Dim)
                } else {
                    cell("active", Tone::Good)
                },
                when(time(k, "created_at")),
                id.into(),
            ]
        },
        name: &|k| text(k, "name").to_owned(),
        empty: "No keys. Make one: miractl key create NAME --role operator",
    };
    list::print(ctx, &page, &look)?;
    Ok(Exit::Ok)
}

async fn revoke(ctx: &Ctx, cmd: &RevokeCmd) -> Result<Exit> {
    ctx.confirm(&format!("Revoke the key {}?", cmd.name))?;
    ctx.api()?
        .send(Call::delete(v1(["api-keys", &cmd.name])))
        .await?;
    ctx.out.say(&format!("key {} revoked", cmd.name));
    Ok(Exit::Ok)
}
