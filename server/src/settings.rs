//! The settings, in groups: each verb has those that it needs. Not documented as types are, for clap would take that for
//! the description of the verb.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use engine::duration::Duration;
use engine::pool::Pool;
use hyper::Uri;
use ipnet::IpNet;

// Where settings and data are.
#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// A file with settings, in YAML: those below with `_` for `-`, `tls` with `cert`, `key`, `client_ca` and
    /// `agent_ca`. The environment and the command line come before it.
    #[arg(long, value_name = "FILE", env = "MIRASTACK_CONFIG")]
    pub(crate) config: Option<PathBuf>,

    /// The folder of all data; made when it does not exist. Default: ~/.local/share/mirastack/dev
    #[arg(long, value_name = "DIR", env = "MIRASTACK_DATA")]
    pub(crate) data: Option<PathBuf>,
}

// Where people and other systems reach it.
#[derive(Debug, clap::Args)]
pub(crate) struct Web {
    /// Where the HTTP API listens; port 0 picks a free one.
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:8080",
        value_parser = address,
        env = "MIRASTACK_HTTP"
    )]
    pub(crate) http: SocketAddr,

    /// Where others reach the HTTP API, such as `https://mirastack.example`: what every address begins with that is shown.
    /// Default: where it listens.
    #[arg(
        long,
        value_name = "URL",
        value_parser = public_url,
        env = "MIRASTACK_PUBLIC_URL"
    )]
    pub(crate) public_url: Option<String>,
}

// Which agents there are, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct Agents {
    /// Where plugins call back; port 0 picks a free one.
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:50051",
        value_parser = address,
        env = "MIRASTACK_GRPC"
    )]
    pub(crate) grpc: SocketAddr,

    /// Where agents are: DIR/NAME/NAME, or DIR/NAME/plugin.yaml. Default: `plugins` beside this program, else the
    /// programs `mirastack-agent-NAME` beside it.
    #[arg(long, value_name = "DIR", env = "MIRASTACK_PLUGINS")]
    pub(crate) plugins: Option<PathBuf>,

    /// Networks in which agents may be that run by themselves and register, such as 10.1.0.0/16, besides this machine.
    /// They do not authenticate, and nothing on the way there is encrypted, unless both sides speak TLS.
    #[arg(
        long,
        value_name = "NETWORK,…",
        value_delimiter = ',',
        env = "MIRASTACK_AGENT_NETWORKS"
    )]
    pub(crate) agent_networks: Vec<IpNet>,

    /// Agents that run by themselves and whose MODIFY and ADMIN actions are offered all the same, and which get secret
    /// settings. Without this they only read.
    #[arg(
        long,
        value_name = "NAME,…",
        value_delimiter = ',',
        env = "MIRASTACK_TRUST_AGENTS"
    )]
    pub(crate) trust_agents: Vec<String>,
}

// What a worker takes on.
#[derive(Debug, clap::Args)]
pub(crate) struct Work {
    /// The pool of which it takes jobs. All workers of a pool have the same agents; an agent is in one pool, and its jobs
    /// go there.
    #[arg(
        long,
        value_name = "NAME",
        default_value = Pool::DEFAULT,
        value_parser = pool,
        env = "MIRASTACK_POOL"
    )]
    pub(crate) pool: Pool,

    /// Calls of agents at the same time.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value = "100",
        value_parser = clap::value_parser!(u16).range(1..=1_000),
        env = "MIRASTACK_SLOTS"
    )]
    pub(crate) slots: u16,
}

// Where a role that takes no requests shows its figures.
#[derive(Debug, clap::Args)]
pub(crate) struct Figures {
    /// Where a scheduler or a worker shows its figures to Prometheus, at /metrics, to everybody who asks. Default: nowhere
    #[arg(long, value_name = "ADDR", value_parser = address, env = "MIRASTACK_METRICS")]
    pub(crate) metrics: Option<SocketAddr>,
}

// Certificates.
#[derive(Debug, clap::Args)]
pub(crate) struct Tls {
    /// The certificate for both ports, with those up to its root, in PEM. With it they speak TLS; peers on this machine
    /// and agents in the networks above may still do without. The files are read again when they change.
    #[arg(long, value_name = "FILE", env = "MIRASTACK_TLS_CERT")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// The key of the certificate, in PEM.
    #[arg(long, value_name = "FILE", env = "MIRASTACK_TLS_KEY")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Who must have signed the certificates that clients show, in PEM. Without it they need none.
    #[arg(long, value_name = "FILE", env = "MIRASTACK_TLS_CLIENT_CA")]
    pub(crate) tls_client_ca: Option<PathBuf>,

    /// Who must have signed the certificates of agents that run by themselves and say that they serve at https://…, in
    /// PEM. The certificate above is shown to them.
    #[arg(long, value_name = "FILE", env = "MIRASTACK_TLS_AGENT_CA")]
    pub(crate) tls_agent_ca: Option<PathBuf>,
}

// What is kept of ended runs.
#[derive(Debug, clap::Args)]
pub(crate) struct Retention {
    /// How long ended runs are kept, such as 30d or 12h.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "30d",
        env = "MIRASTACK_KEEP"
    )]
    pub(crate) keep: Duration,

    /// How many ended runs are kept, at most: the newest.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value = "1000000",
        env = "MIRASTACK_KEEP_RUNS"
    )]
    pub(crate) keep_runs: u64,
}

// What is told, and what is let pass.
#[derive(Debug, clap::Args)]
pub(crate) struct Telling {
    /// Start although settings are unsafe, such as plain HTTP for other machines; without this they stop the start.
    #[arg(
        long,
        value_name = "BOOL",
        default_value = "false",
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true,
        action = clap::ArgAction::Set,
        env = "MIRASTACK_ALLOW_UNSAFE"
    )]
    pub(crate) allow_unsafe: bool,

    /// What to log: a level (error, warn, info, debug, trace) or a filter such as `info,scheduler=debug`.
    #[arg(
        long,
        value_name = "FILTER",
        default_value = "info",
        env = "MIRASTACK_LOG"
    )]
    pub(crate) log: String,

    /// How to log: `text` or `json`.
    #[arg(long, value_name = "FORM", default_value = "text", value_parser = ["text", "json"], env = "MIRASTACK_LOG_FORMAT")]
    pub(crate) log_format: String,
}

// The servers that all roles share, and what is ours there.
#[derive(Debug, clap::Args)]
pub(crate) struct Servers {
    /// The name of the installation: what all that it keeps on these servers begins with.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "mirastack",
        value_parser = installation,
        env = "MIRASTACK_INSTALLATION"
    )]
    pub(crate) installation: String,

    /// Servers of NATS, with JetStream.
    #[arg(
        long,
        value_name = "URL,…",
        value_delimiter = ',',
        default_value = "nats://127.0.0.1:4222",
        env = "MIRASTACK_NATS"
    )]
    pub(crate) nats: Vec<String>,

    /// How many servers of NATS keep what must survive: 1 or 3.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value = "1",
        value_parser = replicas,
        env = "MIRASTACK_REPLICAS"
    )]
    pub(crate) replicas: usize,

    /// Kine or etcd.
    #[arg(
        long,
        value_name = "URL,…",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:2379",
        env = "MIRASTACK_REGISTRY"
    )]
    pub(crate) registry: Vec<String>,

    /// Valkey.
    #[arg(
        long,
        value_name = "URL",
        default_value = "redis://127.0.0.1:6379",
        env = "MIRASTACK_VALKEY"
    )]
    pub(crate) valkey: String,
}

/// A pool's name.
fn pool(name: &str) -> Result<Pool, String> {
    Pool::try_from(name.to_owned())
}

/// Where to listen.
fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(ip) => Err(format!(
            "the port is missing: write it as {}, or port 0 for any",
            SocketAddr::new(ip, 8080)
        )),
        Err(_) => Err("it must be IP:PORT, such as 127.0.0.1:8080".to_owned()),
    }
}

/// An address that others can be shown.
fn public_url(text: &str) -> Result<String, String> {
    let wrong = || "it must be http://HOST or https://HOST, with a port and a path perhaps";
    let url: Uri = text.parse().map_err(|_| wrong())?;
    let is_web = matches!(url.scheme_str(), Some("http" | "https"));
    if !is_web || url.host().is_none_or(str::is_empty) || url.query().is_some() {
        return Err(wrong().to_owned());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// Part of the names of streams and keys.
fn installation(text: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if (1..=32).contains(&text.len()) && text.chars().all(good) {
        return Ok(text.to_owned());
    }
    Err("it must be 1 to 32 of a-z and 0-9".to_owned())
}

fn replicas(text: &str) -> Result<usize, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        _ => Err("it must be 1 or 3".to_owned()),
    }
}

/// An address without the password in it.
pub(crate) fn without_password(text: &str) -> String {
    let hidden = || {
        let (scheme, rest) = text.split_once("://")?;
        let (user, host) = rest.rsplit_once('@')?;
        let (name, _) = user.split_once(':')?;
        Some(format!("{scheme}://{name}:(hidden)@{host}"))
    };
    hidden().unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_an_address_is_hidden() {
        for (text, shown) in [
            (
                "nats://me:canary@10.0.0.7:4222",
                "nats://me:(hidden)@10.0.0.7:4222",
            ),
            ("redis://:can:a@ry@host", "redis://:(hidden)@host"),
            ("https://mirastack.example/a", "https://mirastack.example/a"),
            ("127.0.0.1:8080", "127.0.0.1:8080"),
        ] {
            assert_eq!(without_password(text), shown);
        }
    }

    #[test]
    fn an_address_without_its_port_says_how_to_write_it() {
        for (text, wanted) in [
            ("0.0.0.0", "write it as 0.0.0.0:8080"),
            ("::1", "write it as [::1]:8080"),
            ("[::1]", "write it as [::1]:8080"),
            ("localhost:80", "it must be IP:PORT"),
            ("127.0.0.1:http", "it must be IP:PORT"),
        ] {
            let told = address(text).expect_err("no address");
            assert!(told.contains(wanted), "{text}: {told}");
        }
        assert_eq!(
            address("[::1]:0"),
            Ok("[::1]:0".parse().expect("an address"))
        );
    }
}
