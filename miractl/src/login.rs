//! `miractl login`: an API key for a token, kept for the next command.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;

use crate::ask;
use crate::call::{Call, v1};
use crate::client::Api;
use crate::config::{Context, Secret};
use crate::ctx::Ctx;
use crate::exit::{Exit, Failure, Result};
use crate::model::{joined, text};
use crate::target::{ApiKey, Credentials, Target, from_env, parse_server};

/// Sign in to a server and remember it as a context
///
/// The API key's id and secret come from MIRACTL_API_KEY_ID and MIRACTL_API_SECRET, from --file, from
/// a pipe, or from a prompt that does not show them; never from flags. A file or pipe holds JSON with
/// api_key_id and api_secret (what `miractl key create -o json` prints, and the bootstrap.json of
/// `mirastack dev`), or the id on its first line and the secret on its second.
///
/// The key is kept in tokens.yaml (0600), so that tokens are renewed without asking.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl login --server https://mirastack.example
  miractl login --file ~/.local/share/mirastack/dev/bootstrap.json --context dev
  miractl key create ci --role operator -o json | miractl login --context ci")]
pub(crate) struct Cmd {
    /// The file with the API key; - is stdin
    #[arg(long, value_name = "FILE|-")]
    file: Option<PathBuf>,
}

/// A key as files and pipes give it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Given {
    api_key_id: String,
    api_secret: Option<Secret>,
    /// Where the server of a bootstrap file listens.
    http: Option<String>,
}

/// Does what was asked.
pub(crate) async fn execute(ctx: &Ctx, cmd: &Cmd) -> Result<Exit> {
    let given = given(ctx, cmd.file.as_deref())?;
    let (server, context) = place(ctx, given.as_ref())?;
    let key = match given {
        Some(given) => key(given)?,
        None => prompt(ctx, &server)?,
    };
    let target = Target {
        server: server.clone(),
        context: None,
        ca_cert: ctx.wish.ca_cert.clone(),
        insecure: ctx.wish.insecure,
        credentials: Credentials {
            key: Some(key.clone()),
            keep_in: Some(context.clone()),
            ..Credentials::default()
        },
    };
    ctx.warn_about(&target);
    let ca_cert = target
        .ca_cert
        .as_deref()
        .map(std::path::absolute)
        .transpose();
    let ca_cert = ca_cert.map_err(|e| Failure::usage(format!("--ca-cert: {e}")))?;
    let api = Api::new(target, ctx.folder(), ctx.verbose)?;
    api.renew().await?;
    let folder = ctx.folder();
    folder.change_tokens(|tokens| {
        tokens
            .contexts
            .entry(context.clone())
            .or_default()
            .api_secret = Some(key.secret.clone());
    })?;
    let address = server.as_str().trim_end_matches('/').to_owned();
    folder.change_config(|config| {
        config.contexts.insert(
            context.clone(),
            Context {
                server: address.clone(),
                api_key_id: Some(key.id.clone()),
                ca_cert,
            },
        );
        config.current_context = Some(context.clone());
    })?;
    greet(ctx, &api, &context, &address).await
}

async fn greet(ctx: &Ctx, api: &Api, context: &str, address: &str) -> Result<Exit> {
    let me = api.send(Call::get(v1(["whoami"]))).await?.json()?;
    ctx.out.thing(&me, context, String::new)?;
    let roles = joined(&me["roles"]);
    let roles = if roles.is_empty() {
        roles
    } else {
        format!(" ({roles})")
    };
    ctx.out.say(&format!(
        "signed in to {address} as {}{roles}; context {context} is now the current one",
        text(&me, "principal")
    ));
    Ok(Exit::Ok)
}

/// The key from the environment, a file or a pipe; `None` if it has to be asked for.
fn given(ctx: &Ctx, file: Option<&Path>) -> Result<Option<Given>> {
    let text = match file {
        Some(path) if path != Path::new("-") => std::fs::read_to_string(path)
            .map_err(|e| Failure::usage(format!("{}: {e}", path.display())))?,
        Some(_) => ask::stdin()?,
        None => {
            if let Some(key) = from_env(&ctx.env)?.and_then(|credentials| credentials.key) {
                return Ok(Some(Given {
                    api_key_id: key.id,
                    api_secret: Some(key.secret),
                    http: None,
                }));
            }
            if std::io::stdin().is_terminal() {
                return Ok(None);
            }
            ask::stdin()?
        }
    };
    parse(&text).map(Some)
}

fn parse(text: &str) -> Result<Given> {
    let text = text.trim();
    let wrong = || {
        Failure::usage("there is no API key in what was given")
            .hint("give JSON with api_key_id and api_secret, or the id on the first line and the secret on the second")
    };
    if text.starts_with('{') {
        let given: Given = serde_json::from_str(text).map_err(|_| wrong())?;
        return if given.api_key_id.is_empty() || given.api_secret.is_none() {
            Err(wrong())
        } else {
            Ok(given)
        };
    }
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    match (lines.next(), lines.next(), lines.next()) {
        (Some(id), Some(secret), None) => Ok(Given {
            api_key_id: id.to_owned(),
            api_secret: Some(Secret::new(secret)),
            http: None,
        }),
        (_, _, _) => Err(wrong()),
    }
}

fn key(given: Given) -> Result<ApiKey> {
    let secret = given
        .api_secret
        .ok_or_else(|| Failure::usage("the API key has no secret"))?;
    Ok(ApiKey {
        id: given.api_key_id,
        secret,
    })
}

fn prompt(ctx: &Ctx, server: &reqwest::Url) -> Result<ApiKey> {
    if !ctx.can_ask() {
        return Err(Failure::usage("an API key is needed and nobody may be asked")
            .hint("pipe it in, name a file with --file, or set MIRACTL_API_KEY_ID and MIRACTL_API_SECRET"));
    }
    ctx.out.say(&format!("Signing in to {server}"));
    let id = ctx.ask("API key id:", "")?;
    let secret = ctx.ask_secret("API secret:")?;
    if id.trim().is_empty() || secret.reveal().is_empty() {
        return Err(Failure::usage("an API key has an id and a secret"));
    }
    Ok(ApiKey {
        id: id.trim().to_owned(),
        secret,
    })
}

/// The server and the name of its context.
fn place(ctx: &Ctx, given: Option<&Given>) -> Result<(reqwest::Url, String)> {
    let config = ctx.folder().config()?;
    let named = ctx.wish.context.clone().or_else(|| ctx.env.context.clone());
    let known = named
        .as_ref()
        .or(config.current_context.as_ref())
        .and_then(|name| config.contexts.get(name));
    let asked = ctx.wish.server.clone().or_else(|| ctx.env.server.clone());
    let bootstrap = given.and_then(|g| g.http.clone());
    let address = asked
        .or(bootstrap)
        .or_else(|| known.map(|c| c.server.clone()));
    let server = parse_server(address.as_deref().unwrap_or("http://127.0.0.1:8080"))?;
    let same = |name: &&String| {
        config
            .contexts
            .get(*name)
            .is_some_and(|c| parse_server(&c.server).is_ok_and(|s| s == server))
    };
    let name = named.or_else(|| config.current_context.as_ref().filter(same).cloned());
    let host = server
        .host_str()
        .unwrap_or("default")
        .trim_matches(['[', ']'])
        .to_owned();
    Ok((server, name.unwrap_or(host)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_from_json_and_from_two_lines() {
        let json = parse("{\"api_key_id\": \"k\", \"api_secret\": \"s\", \"http\": \"127.0.0.1:1\", \"grpc\": \"x\"}").expect("JSON");
        assert_eq!(
            (json.api_key_id.as_str(), json.http.as_deref()),
            ("k", Some("127.0.0.1:1"))
        );
        let lines = parse("k\ns\n").expect("two lines");
        assert_eq!(lines.api_secret.expect("a secret").reveal(), "s");
    }

    #[test]
    fn anything_else_is_refused_without_being_shown() {
        for text in [
            "",
            "k",
            "a\nb\ncanary",
            "{\"api_key_id\": \"k\"}",
            "{canary",
        ] {
            let failure = parse(text).err().expect(text);
            assert_eq!(failure.exit, Exit::Usage);
            assert!(!format!("{failure:?}").contains("canary"));
        }
    }
}
