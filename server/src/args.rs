//! The command line.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use engine::duration::Duration;
use hyper::Uri;
use ipnet::IpNet;

use crate::log::Form;

/// An open, governed job runner for platform engineering.
#[derive(Debug, Parser)]
#[command(name = "mirastack", version, about, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

impl Args {
    /// How to write on stderr: commands that end at once write for people.
    pub(crate) fn form(&self) -> Form {
        match &self.verb {
            Verb::Dev(dev) => Form::of(dev),
            Verb::Config(_)
            | Verb::Backup(_)
            | Verb::Restore(_)
            | Verb::Version
            | Verb::Later(_) => Form::Text,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run everything in this process, on an embedded store. Needs nothing installed.
    ///
    /// Prints one line `ready http=… grpc=…` on stdout when requests are answered; everything else goes to stderr.
    /// SIGTERM or Ctrl-C ends in good order, a second one at once.
    #[command(after_long_help = "\
Examples:
  mirastack dev
  mirastack dev --data /var/lib/mirastack --http 127.0.0.1:0 --grpc 127.0.0.1:0")]
    Dev(Dev),
    /// Print the effective configuration: each value, and where it comes from. Secrets are hidden.
    ///
    /// What is printed can be used as a file (`--config FILE`). The flags are those of `dev`.
    #[command(after_long_help = "\
Examples:
  mirastack config
  mirastack config --config /etc/mirastack.yaml --http 0.0.0.0:8080")]
    Config(Config),
    /// Write everything that is stored to a new file, while the server runs or not.
    ///
    /// The root key and bootstrap.json are not in it: keep them elsewhere.
    #[command(after_long_help = "\
Examples:
  mirastack backup /backups/mirastack-$(date +%F)
  mirastack backup --data /var/lib/mirastack monday.backup")]
    Backup(BackUp),
    /// Make a backup the data of an empty folder.
    ///
    /// Runs that were open are parked until somebody lets them go on (`miractl run resume`). A MODIFY or ADMIN step that
    /// may have been done after the backup is looked up, or put to a person as in doubt, before it is done.
    #[command(after_long_help = "\
Examples:
  mirastack restore --data /var/lib/mirastack-restored monday.backup")]
    Restore(Restore),
    /// Print the version.
    Version,
    #[command(external_subcommand)]
    Later(Vec<String>),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    #[command(flatten)]
    pub(crate) dev: Dev,

    /// What is printed.
    #[arg(skip)]
    pub(crate) shown: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Dev {
    /// A file with settings, in YAML: those below with `_` for `-`, `tls` with `cert`, `key`, `client_ca` and
    /// `agent_ca`. The environment and the command line come before it.
    #[arg(long, value_name = "FILE", env = "MIRASTACK_CONFIG")]
    pub(crate) config: Option<PathBuf>,

    /// The folder of all data; made when it does not exist. Default: ~/.local/share/mirastack/dev
    #[arg(long, value_name = "DIR", env = "MIRASTACK_DATA")]
    pub(crate) data: Option<PathBuf>,

    /// Where the HTTP API listens; port 0 picks a free one.
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:8080",
        value_parser = address,
        env = "MIRASTACK_HTTP"
    )]
    pub(crate) http: SocketAddr,

    /// Where plugins call back; port 0 picks a free one.
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:50051",
        value_parser = address,
        env = "MIRASTACK_GRPC"
    )]
    pub(crate) grpc: SocketAddr,

    /// Where others reach the HTTP API, such as `https://mirastack.example`: what every address begins with that is shown.
    /// Default: where it listens.
    #[arg(
        long,
        value_name = "URL",
        value_parser = public_url,
        env = "MIRASTACK_PUBLIC_URL"
    )]
    pub(crate) public_url: Option<String>,

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

#[derive(Debug, clap::Args)]
pub(crate) struct BackUp {
    /// The file to write; it must not exist.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// The folder of the data. Default: ~/.local/share/mirastack/dev
    #[arg(long, value_name = "DIR", env = "MIRASTACK_DATA")]
    pub(crate) data: Option<PathBuf>,

    /// A file with settings, as `mirastack dev` takes it: here it says where the data is.
    #[arg(long, value_name = "FILE", env = "MIRASTACK_CONFIG")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Restore {
    /// A file that `mirastack backup` has written.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// The folder to restore into: empty, but for root.key perhaps, or not there yet. Default:
    /// ~/.local/share/mirastack/dev
    #[arg(long, value_name = "DIR", env = "MIRASTACK_DATA")]
    pub(crate) data: Option<PathBuf>,

    /// A file with settings, as `mirastack dev` takes it: here it says where the data is.
    #[arg(long, value_name = "FILE", env = "MIRASTACK_CONFIG")]
    pub(crate) config: Option<PathBuf>,
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

/// Verbs of the contract that come later.
const LATER: &[&str] = &[
    "gateway",
    "scheduler",
    "worker",
    "check",
    "export",
    "import",
];

/// A mistake of whoever typed the command.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

pub(crate) fn later(words: &[String]) -> anyhow::Error {
    let word = words.first().map_or("", String::as_str);
    let message = if LATER.contains(&word) {
        format!(
            "{word}: not supported in this version; `mirastack dev` runs everything in one process"
        )
    } else {
        format!("{word}: there is no such command; `mirastack --help` shows those there are")
    };
    Usage(message).into()
}

/// 2 for a mistake of usage, 1 for everything else.
pub(crate) fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<Usage>() { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

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
