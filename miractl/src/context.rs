//! `miractl config`: the contexts on this machine.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::ctx::Ctx;
use crate::exit::{Exit, Failure, Result};
use crate::human::{nearest, until};
use crate::output::{Format, yaml};
use crate::paint::Tone;
use crate::table::{Table, cell};

/// Servers that this machine knows
#[derive(Debug, Subcommand)]
pub(crate) enum Cmd {
    View(ViewCmd),
    #[command(name = "get-contexts")]
    GetContexts(GetContextsCmd),
    #[command(name = "use-context")]
    UseContext(UseContextCmd),
}

/// Show the configuration that is in effect, without secrets
///
/// Which server would be asked and with which credentials, after flags, environment and files.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl config view
  MIRACTL_CONTEXT=prod miractl config view -o json")]
pub(crate) struct ViewCmd {}

/// List the contexts
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl config get-contexts")]
pub(crate) struct GetContextsCmd {}

/// Make a context the current one
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl config use-context dev")]
pub(crate) struct UseContextCmd {
    /// The context's name
    name: String,
}

/// Does what was asked.
pub(crate) fn execute(ctx: &Ctx, cmd: &Cmd) -> Result<Exit> {
    match cmd {
        Cmd::View(_) => view(ctx),
        Cmd::GetContexts(_) => contexts(ctx),
        Cmd::UseContext(cmd) => use_context(ctx, &cmd.name),
    }
}

fn view(ctx: &Ctx) -> Result<Exit> {
    let target = ctx.target()?;
    ctx.warn_about(&target);
    let credentials = &target.credentials;
    let shown = json!({
        "folder": ctx.folder().path(),
        "context": target.context,
        "server": target.server.as_str(),
        "ca_cert": target.ca_cert,
        "insecure": target.insecure,
        "credentials": {
            "from": credentials.origin,
            "api_key_id": credentials.key.as_ref().map(|key| &key.id),
            "api_secret": credentials.key.as_ref().map(|_| "***"),
            "token": credentials.token.as_ref().map(|_| "***"),
            "expires_at": credentials.expires_at.map(|t| t.to_string()),
        },
    });
    match ctx.out.format {
        Format::Name => ctx
            .out
            .data(target.context.as_deref().unwrap_or_default())?,
        Format::Json => ctx.out.data(&crate::output::pretty(&shown))?,
        Format::Table | Format::Yaml => ctx.out.raw(yaml(&shown)?.as_bytes())?,
    }
    Ok(Exit::Ok)
}

fn contexts(ctx: &Ctx) -> Result<Exit> {
    let folder = ctx.folder();
    let (config, tokens) = (folder.config()?, folder.tokens()?);
    let current = config.current_context.as_deref();
    let items: Vec<Value> = config
        .contexts
        .iter()
        .map(|(name, context)| {
            let stored = tokens.contexts.get(name);
            json!({
                "name": name,
                "current": Some(name.as_str()) == current,
                "server": context.server,
                "api_key_id": context.api_key_id,
                "signed_in": stored.is_some_and(|s| s.api_secret.is_some() || s.token.is_some()),
                "expires_at": stored.and_then(|s| s.expires_at).map(|t| t.to_string()),
            })
        })
        .collect();
    if ctx.out.structured(&json!({ "items": items }))? {
        return Ok(Exit::Ok);
    }
    if items.is_empty() {
        ctx.out.say("No contexts yet. `miractl login --server URL` makes one; so does the first start of `mirastack dev`.");
        return Ok(Exit::Ok);
    }
    let mut table = Table::new(&["", "NAME", "~SERVER", "~KEY", "TOKEN"]);
    for (name, context) in &config.contexts {
        if ctx.out.format == Format::Name {
            ctx.out.data(name)?;
        }
        let stored = tokens.contexts.get(name);
        let token = match stored {
            Some(s) if s.api_secret.is_some() => cell("renewed", Tone::Good),
            Some(s) if s.token.is_some() => s.expires_at.map_or_else(
                || "kept".into(),
                |t| format!("ends {}", until(t, ctx.now())).into(),
            ),
            Some(_) | None => cell("none", Tone::Attention),
        };
        let mark = if Some(name.as_str()) == current {
            "*"
        } else {
            " "
        };
        table.row(vec![
            mark.into(),
            name.clone().into(),
            context.server.clone().into(),
            context.api_key_id.clone().unwrap_or_default().into(),
            token,
        ]);
    }
    if ctx.out.format == Format::Table {
        ctx.out.data(&table.render(&ctx.out))?;
    }
    Ok(Exit::Ok)
}

fn use_context(ctx: &Ctx, name: &str) -> Result<Exit> {
    let folder = ctx.folder();
    let config = folder.config()?;
    if !config.contexts.contains_key(name) {
        let near = nearest(name, config.contexts.keys());
        return Err(
            Failure::not_found(format!("there is no context `{name}`")).hint(near.map_or_else(
                || "miractl config get-contexts".to_owned(),
                |near| format!("did you mean `{near}`?"),
            )),
        );
    }
    folder.change_config(|config| config.current_context = Some(name.to_owned()))?;
    ctx.out
        .say(&format!("context {name} is now the current one"));
    Ok(Exit::Ok)
}
