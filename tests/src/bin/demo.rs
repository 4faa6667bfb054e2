//! The demo: a real alert becomes an approved silence, before your eyes.
//!
//! `--yes` approves at once, as does a demo without a terminal; `--write FILE` keeps what was shown, without colours.
//! `--cluster` has it on NATS, Kine and Valkey, with two processes of each role. `DEMO_HOLD=1`, or `CLUSTER_HOLD=1` for
//! a cluster, keeps everything up at the end. The exit code is 1 if a part does not do its work.

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use mirastack_tests::api::Api;
use mirastack_tests::cluster::Cluster;
use mirastack_tests::interrupt::interrupted;
use mirastack_tests::miractl::Miractl;
use mirastack_tests::mirastack::{Mirastack, Setup};
use mirastack_tests::person;
use mirastack_tests::story::{ALERT, INSTANCE, Product, Story};
use mirastack_tests::wait::until;
use serde_json::Value;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::io::AsyncReadExt as _;

/// What Alertmanager proves itself with. It lives as long as the demo does, on loopback.
const TOKEN: &str = "the-token-of-the-demo";

#[tokio::main]
async fn main() -> ExitCode {
    let Err(error) = tell().await else {
        return ExitCode::SUCCESS;
    };
    let _ = writeln!(std::io::stderr(), "\nThe demo has failed: {error:#}");
    // Everything that was started is gone; only the thread that waits for a key would be waited for in vain.
    std::process::exit(1)
}

async fn tell() -> Result<()> {
    let wishes = Wishes::read()?;
    let mut show = Show::new();
    let story = tokio::select! { biased;
        listened = interrupted() => return listened.and(Err(anyhow!("it was interrupted"))),
        story = play(&mut show, &wishes) => story?,
    };
    let hold = if wishes.cluster {
        "CLUSTER_HOLD"
    } else {
        "DEMO_HOLD"
    };
    if std::env::var_os(hold).is_some_and(|hold| hold == "1") {
        addresses(&mut show, &story)?;
        interrupted().await?;
    }
    let folder = story.product.end().await?;
    show.say(&match &folder {
        Some(folder) => format!("\nStopped. Its data is left in {}", folder.display()),
        None => "\nStopped, and nothing is left.".to_owned(),
    });
    match wishes.write {
        Some(file) => show.write(&file, folder.as_deref()),
        None => Ok(()),
    }
}

/// How it was called.
#[derive(Debug)]
struct Wishes {
    asks: bool,
    cluster: bool,
    write: Option<PathBuf>,
}

impl Wishes {
    fn read() -> Result<Self> {
        let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        let mut wishes = Self {
            asks: terminal,
            cluster: false,
            write: None,
        };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--yes" => wishes.asks = false,
                "--cluster" => wishes.cluster = true,
                "--write" => wishes.write = Some(args.next().context("--write FILE")?.into()),
                other => bail!("{other}: there are --yes, --cluster and --write FILE"),
            }
        }
        Ok(wishes)
    }
}

async fn play(show: &mut Show, wishes: &Wishes) -> Result<Story> {
    show.title("From a real alert to an approved silence");
    show.stage("Everything starts, on free ports of this machine");
    let product = match wishes.cluster {
        false => Product::One(Box::new(Mirastack::start(Setup::default()).await?)),
        true => Product::Many(Box::new(Cluster::start().await?)),
    };
    let mut story = Story::start(product, TOKEN).await?;
    let miractl = story.product.miractl().await?;
    let [metrics, alerts] = [story.prometheus.url(), story.alertmanager.url()];
    story.connect(&miractl, TOKEN, &metrics, &alerts).await?;
    story.watched().await?;
    show.fact("Prometheus", &format!("{metrics}, watches {INSTANCE}"));
    show.fact(
        "Alertmanager",
        &format!("{alerts}, calls the hook `alerts`"),
    );
    show.fact("Mirastack", &story.product.url()?);
    for line in processes(&story.product) {
        show.fact("", &line);
    }
    show.fact("workflow", "examples/silence-noisy-alert.mira.yaml");

    show.stage(&format!("{INSTANCE} goes down, and an alert fires"));
    story.target.go_down();
    story.fired().await?;
    show.fact("Prometheus", &format!("{ALERT} is firing"));
    let alert = story.alert("active").await?;
    let summary = alert["annotations"]["summary"].as_str();
    show.fact("Alertmanager", summary.unwrap_or_default());

    let api = story.product.api().await?;
    show.stage("The alert starts a run, which asks Prometheus and then stops for consent");
    let id = story.run(&api).await?;
    let approval = person::asked(&api, &id).await?;
    show.command(&miractl, &["run", "get", &id]).await?;

    consent(show, wishes, &miractl, &approval).await?;

    let run = person::ended(&api, &id).await?;
    ensure!(
        run["status"] == "succeeded",
        "the run ended otherwise: {run}"
    );
    silenced(show, &story, &run).await?;
    show.stage("What happened, from the run's journal");
    show.command(&miractl, &["run", "watch", &id]).await?;
    journal(show, &api, &id).await?;
    next(show, wishes);
    Ok(story)
}

async fn consent(
    show: &mut Show,
    wishes: &Wishes,
    miractl: &Miractl,
    approval: &Value,
) -> Result<()> {
    let field = |name: &str| approval[name].as_str().context("an approval has it");
    let (id, digest) = (field("id")?, field("digest")?);
    show.stage("A person looks at exactly what would be sent, and agrees");
    show.command(miractl, &["approval", "get", id]).await?;
    show.say("");
    if wishes.asks {
        show.ask("  Press Enter to approve it, Ctrl-C to stop the demo. ");
        enter().await?;
    }
    let args = ["approval", "approve", id, "--digest", digest];
    show.command(miractl, &args).await
}

/// Waits for the key.
async fn enter() -> Result<()> {
    let mut terminal = tokio::io::stdin();
    let read = terminal.read(&mut [0; 64]).await?;
    ensure!(read > 0, "nobody has agreed");
    Ok(())
}

async fn silenced(show: &mut Show, story: &Story, run: &Value) -> Result<()> {
    show.stage("The silence is in the real Alertmanager");
    let id = &run["outputs"]["silence"];
    let silence = until("the silence in Alertmanager", async || {
        let silences = story.alertmanager.silences().await?;
        let found = silences.iter().find(|silence| silence["id"] == *id);
        found.cloned().with_context(|| format!("there is no {id}"))
    })
    .await?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    show.fact("silence", &text(&silence["id"]));
    show.fact("until", &text(&silence["endsAt"]));
    show.fact("by", &text(&silence["createdBy"]));
    let alert = story.alert("suppressed").await?;
    show.fact(
        "alert",
        &format!("{ALERT} is {}", text(&alert["status"]["state"])),
    );
    Ok(())
}

async fn journal(show: &mut Show, api: &Api, id: &str) -> Result<()> {
    let journal = api.get(&format!("/api/v1/runs/{id}/journal")).await?.ok()?;
    let records = journal["items"]
        .as_array()
        .context("the journal has records")?;
    show.say("");
    show.fact(
        "journal",
        &format!(
            "{} records, each with the hash of the one before",
            records.len()
        ),
    );
    Ok(())
}

fn next(show: &mut Show, wishes: &Wishes) {
    show.stage("What to try next");
    show.say(match wishes.cluster {
        false => {
            "  DEMO_HOLD=1 make demo                  the same, and everything stays up for you"
        }
        true => {
            "  CLUSTER_HOLD=1 make cluster            the same, and everything stays up for you"
        }
    });
    show.say("  cargo build --release                  then: target/release/mirastack dev");
    show.say("  examples/, docs/workflows.md           workflows, to change and to run");
}

/// One line for each process of a cluster.
fn processes(product: &Product) -> Vec<String> {
    let Product::Many(cluster) = product else {
        return Vec::new();
    };
    let each = cluster.processes().into_iter();
    each.map(|(role, pid, at)| format!("{role:<10} {pid:<8} {at}"))
        .collect()
}

fn addresses(show: &mut Show, story: &Story) -> Result<()> {
    show.stage("Everything stays up until Ctrl-C");
    show.fact("Prometheus", &story.prometheus.url());
    show.fact("Alertmanager", &story.alertmanager.url());
    show.fact("Mirastack", &story.product.url()?);
    let key = story.product.bootstrap()?;
    let sign_in = format!("miractl login --context demo --file {}", key.display());
    show.fact("sign in", &sign_in);
    if let Product::Many(cluster) = &story.product {
        // For scripts: nothing before it, and one blank between two.
        for (role, pid, at) in cluster.processes() {
            show.say(&format!("{role} {pid} {at}"));
        }
    }
    Ok(())
}

/// What is shown, and kept without its colours.
#[derive(Debug)]
struct Show {
    colours: bool,
    stages: usize,
    shown: String,
}

impl Show {
    fn new() -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            colours: !plain && std::io::stdout().is_terminal(),
            stages: 0,
            shown: String::new(),
        }
    }

    fn painted(&mut self, style: &str, text: &str) {
        self.shown.push_str(text);
        self.shown.push('\n');
        let mut out = std::io::stdout().lock();
        // A terminal that is gone must not keep the servers from being ended.
        let _ = match self.colours {
            true => writeln!(out, "\x1b[{style}m{text}\x1b[0m"),
            false => writeln!(out, "{text}"),
        };
    }

    fn title(&mut self, text: &str) {
        self.painted("1", text);
    }

    fn stage(&mut self, text: &str) {
        self.stages += 1;
        let text = format!("\n{}. {text}\n", self.stages);
        self.painted("1;36", &text);
    }

    fn fact(&mut self, name: &str, text: &str) {
        self.say(&format!("  {name:<14}{text}"));
    }

    fn say(&mut self, text: &str) {
        self.painted("0", text);
    }

    fn ask(&self, text: &str) {
        print!("{text}");
        // A terminal that is gone is told by the read that follows.
        let _ = std::io::stdout().flush();
    }

    /// Runs a command and shows both, as they are typed and answered.
    async fn command(&mut self, miractl: &Miractl, args: &[&str]) -> Result<()> {
        self.painted("2", &format!("  $ miractl {}\n", args.join(" ")));
        let said = miractl.run(args).await?;
        for line in said.ok()?.lines().chain(said.stderr.lines()) {
            self.say(format!("  {line}").trim_end());
        }
        Ok(())
    }

    /// Keeps what was shown, in the words of a reader who has no such folder.
    fn write(&self, file: &Path, folder: Option<&Path>) -> Result<()> {
        let text = match folder {
            Some(folder) => self.shown.replace(&folder.display().to_string(), "FOLDER"),
            None => self.shown.clone(),
        };
        std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))
    }
}
