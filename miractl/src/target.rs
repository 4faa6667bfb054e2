//! Which server is meant, and who one is there.
//!
//! The server: `--server`, else `MIRACTL_SERVER`, else the context's (`--context`, else
//! `MIRACTL_CONTEXT`, else the current one). The credentials: `MIRACTL_TOKEN`, else
//! `MIRACTL_API_KEY_ID` with `MIRACTL_API_SECRET` or `MIRACTL_API_SECRET_FILE`, else the context's,
//! and those go to the context's own server only: `--server elsewhere` must not hand them out.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use reqwest::Url;

use crate::config::{Config, Folder, Secret};
use crate::env::Env;
use crate::exit::{Exit, Failure, Result};
use crate::human::nearest;

/// What the command line says about the server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    /// `--server`.
    pub(crate) server: Option<String>,
    /// `--context`.
    pub(crate) context: Option<String>,
    /// `--ca-cert`.
    pub(crate) ca_cert: Option<PathBuf>,
    /// `--insecure`.
    pub(crate) insecure: bool,
}

/// A server and the credentials for it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The server's address; a path in it is a prefix of every route.
    pub(crate) server: Url,
    /// The context it comes from, if it does.
    pub(crate) context: Option<String>,
    /// Authorities to trust instead of the system's.
    pub(crate) ca_cert: Option<PathBuf>,
    /// Whether certificates are not checked.
    pub(crate) insecure: bool,
    /// Who one is.
    pub(crate) credentials: Credentials,
}

/// What a request may be signed with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Credentials {
    /// A token that is used until it ends.
    pub(crate) token: Option<Secret>,
    /// When the token ends; `None` is not known.
    pub(crate) expires_at: Option<Timestamp>,
    /// The key that fetches the next token.
    pub(crate) key: Option<ApiKey>,
    /// The context whose token is renewed in `tokens.yaml`.
    pub(crate) keep_in: Option<String>,
    /// Where they come from, for `config view`.
    pub(crate) origin: &'static str,
}

/// An API key.
#[derive(Clone, Debug)]
pub(crate) struct ApiKey {
    /// Its id, which is no secret.
    pub(crate) id: String,
    /// Its secret.
    pub(crate) secret: Secret,
}

/// Finds the server and the credentials.
pub(crate) fn find(wish: &Wish, env: &Env, folder: &Folder) -> Result<Target> {
    let config = folder.config()?;
    let name = context_name(wish, env, &config)?;
    let context = name.as_ref().and_then(|name| config.contexts.get(name));
    let asked = wish.server.as_ref().or(env.server.as_ref());
    let Some(address) = asked.or(context.map(|c| &c.server)) else {
        return Err(Failure::usage("no server is known").hint(
            "start one with `mirastack dev`, or name one: `miractl login --server https://…`",
        ));
    };
    let server = parse_server(address)?;
    let own = context.is_some_and(|c| parse_server(&c.server).is_ok_and(|own| own == server));
    let context = if own { context } else { None };
    let name = if own { name } else { None };
    let credentials = match from_env(env)? {
        Some(credentials) => credentials,
        None => stored(
            context.and_then(|c| c.api_key_id.clone()),
            name.as_deref(),
            folder,
        )?,
    };
    Ok(Target {
        server,
        ca_cert: wish
            .ca_cert
            .clone()
            .or_else(|| context.and_then(|c| c.ca_cert.clone())),
        insecure: wish.insecure,
        context: name,
        credentials,
    })
}

/// The name of the context that is meant; one that does not exist is an error.
pub(crate) fn context_name(wish: &Wish, env: &Env, config: &Config) -> Result<Option<String>> {
    let asked = wish.context.as_ref().or(env.context.as_ref());
    if let Some(name) = asked
        && !config.contexts.contains_key(name)
    {
        // A server given beside it stands for itself; there is just nothing stored for it.
        if wish.server.is_some() || env.server.is_some() {
            return Ok(None);
        }
        let hint = match nearest(name, config.contexts.keys()) {
            Some(near) => {
                format!("did you mean `{near}`? `miractl config get-contexts` lists them")
            }
            None => {
                "`miractl config get-contexts` lists them; `miractl login` makes one".to_owned()
            }
        };
        return Err(Failure::usage(format!("there is no context `{name}`")).hint(hint));
    }
    Ok(asked.or(config.current_context.as_ref()).cloned())
}

/// Reads a server's address; a bare `host:port` is taken as `http` on loopback and `https` elsewhere.
pub(crate) fn parse_server(address: &str) -> Result<Url> {
    // Who asks stands before the last `@`, perhaps with a password.
    let shown = match address.rsplit_once('@') {
        Some((_, host)) => Cow::Owned(format!("…@{host}")),
        None => Cow::Borrowed(address),
    };
    let wrong = |why: &str| {
        Failure::usage(format!("`{shown}` is not a server's address: {why}")).hint(
            "write it as https://host[:port], or http://127.0.0.1:8080 for one on this machine",
        )
    };
    let full = if address.contains("://") {
        address.to_owned()
    } else {
        let guess = Url::parse(&format!("http://{address}")).map_err(|e| wrong(&e.to_string()))?;
        let scheme = if is_loopback(&guess) { "http" } else { "https" };
        format!("{scheme}://{address}")
    };
    let mut url = Url::parse(&full).map_err(|e| wrong(&e.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("only http and https are spoken"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            Failure::usage("credentials do not belong into the server's address")
                .hint("`miractl login` stores them, MIRACTL_TOKEN passes them"),
        );
    }
    url.set_query(None);
    url.set_fragment(None);
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

/// Whether the server is on this machine, where neither TLS nor a proxy is needed.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

/// The credentials that the environment gives, if it gives any.
pub(crate) fn from_env(env: &Env) -> Result<Option<Credentials>> {
    if let Some(token) = &env.token {
        return Ok(Some(Credentials {
            token: Some(Secret::new(token)),
            origin: "MIRACTL_TOKEN",
            ..Credentials::default()
        }));
    }
    let secret = match (&env.api_secret, &env.api_secret_file) {
        (Some(secret), _) => Some(Secret::new(secret)),
        (None, Some(file)) => Some(secret_file(file)?),
        (None, None) => None,
    };
    match (&env.api_key_id, secret) {
        (Some(id), Some(secret)) => Ok(Some(Credentials {
            key: Some(ApiKey {
                id: id.clone(),
                secret,
            }),
            origin: "MIRACTL_API_KEY_ID",
            ..Credentials::default()
        })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(half(
            "MIRACTL_API_KEY_ID",
            "MIRACTL_API_SECRET or MIRACTL_API_SECRET_FILE",
        )),
        (None, Some(_)) => Err(half("MIRACTL_API_SECRET", "MIRACTL_API_KEY_ID")),
    }
}

fn half(have: &str, lack: &str) -> Box<Failure> {
    Failure::new(
        Exit::NotAuthenticated,
        format!("{have} is set, {lack} is not"),
    )
    .hint("set both, or neither to use the context's own credentials")
}

fn secret_file(path: &Path) -> Result<Secret> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::new(
            Exit::NotAuthenticated,
            format!("MIRACTL_API_SECRET_FILE: {}: {error}", path.display()),
        )
    })?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
}

fn stored(key_id: Option<String>, name: Option<&str>, folder: &Folder) -> Result<Credentials> {
    let Some(name) = name else {
        return Ok(Credentials {
            origin: "none",
            ..Credentials::default()
        });
    };
    let Some(stored) = folder.tokens()?.contexts.remove(name) else {
        return Ok(Credentials {
            origin: "none",
            ..Credentials::default()
        });
    };
    let key = match (key_id, stored.api_secret) {
        (Some(id), Some(secret)) => Some(ApiKey { id, secret }),
        (Some(_), None) | (None, Some(_) | None) => None,
    };
    Ok(Credentials {
        token: stored.token,
        expires_at: stored.expires_at,
        key,
        keep_in: Some(name.to_owned()),
        origin: "tokens.yaml",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Context, Stored};

    fn home() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let folder = Folder::at(dir.path());
        folder
            .change_config(|c| {
                c.current_context = Some("dev".to_owned());
                c.contexts.insert(
                    "dev".to_owned(),
                    Context {
                        server: "http://127.0.0.1:8080".to_owned(),
                        api_key_id: Some("k1".to_owned()),
                        ca_cert: None,
                    },
                );
            })
            .expect("config.yaml");
        folder
            .change_tokens(|t| {
                let stored = Stored {
                    api_secret: Some(Secret::new("s1")),
                    ..Stored::default()
                };
                t.contexts.insert("dev".to_owned(), stored);
            })
            .expect("tokens.yaml");
        (dir, folder)
    }

    #[test]
    fn the_current_context_is_the_default() {
        let (_dir, folder) = home();
        let target = find(&Wish::default(), &Env::default(), &folder).expect("a target");
        assert_eq!(target.server.as_str(), "http://127.0.0.1:8080/");
        assert_eq!(target.context.as_deref(), Some("dev"));
        assert_eq!(target.credentials.key.expect("a key").id, "k1");
    }

    #[test]
    fn stored_credentials_go_to_their_own_server_only() {
        let (_dir, folder) = home();
        let wish = Wish {
            server: Some("https://elsewhere.example".to_owned()),
            ..Wish::default()
        };
        let target = find(&wish, &Env::default(), &folder).expect("a target");
        assert!(target.credentials.key.is_none());
        assert!(target.credentials.token.is_none());
        let same = Wish {
            server: Some("http://127.0.0.1:8080/".to_owned()),
            ..Wish::default()
        };
        let target = find(&same, &Env::default(), &folder).expect("a target");
        assert!(target.credentials.key.is_some());
    }

    #[test]
    fn the_environment_beats_the_context_and_a_flag_beats_both() {
        let (_dir, folder) = home();
        let env = Env {
            server: Some("https://ci.example".to_owned()),
            token: Some("t".to_owned()),
            ..Env::default()
        };
        let target = find(&Wish::default(), &env, &folder).expect("a target");
        assert_eq!(target.server.host_str(), Some("ci.example"));
        assert_eq!(target.credentials.origin, "MIRACTL_TOKEN");
        let wish = Wish {
            server: Some("https://flag.example".to_owned()),
            ..Wish::default()
        };
        let target = find(&wish, &env, &folder).expect("a target");
        assert_eq!(target.server.host_str(), Some("flag.example"));
    }

    #[test]
    fn an_unknown_context_names_the_nearest() {
        let (_dir, folder) = home();
        let wish = Wish {
            context: Some("devv".to_owned()),
            ..Wish::default()
        };
        let failure = find(&wish, &Env::default(), &folder).expect_err("no such context");
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.hint.as_deref().is_some_and(|h| h.contains("`dev`")));
    }

    #[test]
    fn half_a_key_in_the_environment_is_refused() {
        let env = Env {
            api_key_id: Some("k".to_owned()),
            ..Env::default()
        };
        let failure = from_env(&env).expect_err("no secret");
        assert_eq!(failure.exit, Exit::NotAuthenticated);
    }

    #[test]
    fn addresses_are_completed_or_refused() {
        let parsed = |text: &str| parse_server(text).map(|u| u.to_string());
        assert_eq!(
            parsed("127.0.0.1:8080").expect("loopback"),
            "http://127.0.0.1:8080/"
        );
        assert_eq!(parsed("ci.example").expect("a host"), "https://ci.example/");
        assert_eq!(
            parsed("https://h/mira/").expect("a prefix"),
            "https://h/mira"
        );
        for wrong in ["ftp://h", "https://u:p@h", "http://"] {
            assert_eq!(parse_server(wrong).expect_err(wrong).exit, Exit::Usage);
        }
    }

    #[test]
    fn a_refusal_of_an_address_shows_no_password() {
        for wrong in [
            "https://u:canary@h:99999",
            "ftp://u:can@ry:canary@h",
            "u:canary@h:x",
        ] {
            let failure = parse_server(wrong).expect_err(wrong);
            assert!(!format!("{failure:?}").contains("canary"), "{failure:?}");
        }
        let failure = parse_server("ftp://h").expect_err("no such scheme");
        assert!(failure.message.contains("`ftp://h`"), "{failure:?}");
    }
}
