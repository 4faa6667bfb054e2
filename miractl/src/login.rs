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
pub(crate) struct Given {
    api_key_id: String,
    api_secret: Option<Secret>,
    /// Where the server of a bootstrap file listens.
    http: Option<String>,
}

/// Does what was asked.
pub(crate) async fn execute(ctx: &Ctx, cmd: &Cmd) -> Result<Exit> {
    let given = given(ctx, cmd.file.as_deref())?;
    let place = place(ctx, given.as_ref())?;
    let key = match given {
        Some(given) => key(given)?,
        None => prompt(ctx, &place.server)?,
    };
    let target = Target {
        server: place.server.clone(),
        context: None,
        ca_cert: place.ca_cert.clone(),
        insecure: ctx.wish.insecure,
        credentials: Credentials {
            key: Some(key.clone()),
            keep_in: Some(place.context.clone()),
            ..Credentials::default()
        },
    };
    ctx.warn_about(&target);
    let api = Api::new(target, ctx.folder(), ctx.voice())?;
    api.renew().await?;
    keep(ctx, &place, &key)?;
    greet(ctx, &api, &place).await
}

/// Remembers the server and the key; the token is kept already.
fn keep(ctx: &Ctx, place: &Place, key: &ApiKey) -> Result<()> {
    let folder = ctx.folder();
    folder.change_tokens(|tokens| {
        let stored = tokens.contexts.entry(place.context.clone()).or_default();
        stored.api_secret = Some(key.secret.clone());
    })?;
    let context = Context {
        server: place.address().to_owned(),
        api_key_id: Some(key.id.clone()),
        ca_cert: place.ca_cert.clone(),
    };
    folder.change_config(|config| {
        config.contexts.insert(place.context.clone(), context);
        config.current_context = Some(place.context.clone());
    })
}

async fn greet(ctx: &Ctx, api: &Api, place: &Place) -> Result<Exit> {
    let me = api.send(Call::get(v1(["whoami"]))).await?.json()?;
    ctx.out.thing(&me, &place.context, String::new)?;
    let roles = joined(&me["roles"]);
    let roles = if roles.is_empty() {
        roles
    } else {
        format!(" ({roles})")
    };
    let who = text(&me, "principal");
    let (address, context) = (place.address(), &place.context);
    ctx.out.say(&format!(
        "signed in to {address} as {who}{roles}; the current context is {context}"
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

/// The key in a file or from a pipe.
pub(crate) fn parse(text: &str) -> Result<Given> {
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

/// The key alone.
pub(crate) fn key(given: Given) -> Result<ApiKey> {
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

/// Where one signs in.
struct Place {
    server: reqwest::Url,
    /// The name that it is remembered by.
    context: String,
    ca_cert: Option<PathBuf>,
}

impl Place {
    /// The address as it is written down.
    fn address(&self) -> &str {
        self.server.as_str().trim_end_matches('/')
    }
}

fn place(ctx: &Ctx, given: Option<&Given>) -> Result<Place> {
    let mut config = ctx.folder().config()?;
    let named = ctx.wish.context.clone().or_else(|| ctx.env.context.clone());
    let current = config.current_context.take();
    let known = named
        .as_ref()
        .or(current.as_ref())
        .and_then(|name| config.contexts.remove(name));
    let asked = ctx.wish.server.clone().or_else(|| ctx.env.server.clone());
    let address = asked
        .or_else(|| given.and_then(|g| g.http.clone()))
        .or_else(|| known.as_ref().map(|c| c.server.clone()));
    let server = parse_server(address.as_deref().unwrap_or("http://127.0.0.1:8080"))?;
    // Signing in again keeps the name and the authorities; another server is another context.
    let again = known.filter(|c| parse_server(&c.server).is_ok_and(|s| s == server));
    let host = server
        .host_str()
        .unwrap_or("default")
        .trim_matches(['[', ']'])
        .to_owned();
    let context = named
        .or(current.filter(|_| again.is_some()))
        .unwrap_or(host);
    let given = ctx
        .wish
        .ca_cert
        .as_deref()
        .map(std::path::absolute)
        .transpose();
    let given = given.map_err(|e| Failure::usage(format!("--ca-cert: {e}")))?;
    let ca_cert = given.or_else(|| again.and_then(|c| c.ca_cert));
    Ok(Place {
        server,
        context,
        ca_cert,
    })
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
