//! A real Prometheus.

use crate::process::Process;
use crate::target::Target;
use crate::{program, web};
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use tempfile::TempDir;

/// Of scrapes and of rules: a test waits for both.
const INTERVAL: &str = "250ms";

/// A running Prometheus with its data in a folder of its own.
#[derive(Debug)]
pub struct Prometheus {
    address: SocketAddr,
    process: Process,
    /// Last, so that a dropped process can still show its output.
    folder: TempDir,
}

/// An alerting rule that fires at once when its expression has a result.
#[derive(Clone, Debug)]
pub struct Rule {
    alert: String,
    expr: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

impl Rule {
    /// A rule of this name over a PromQL expression.
    #[must_use]
    pub fn new(alert: &str, expr: &str) -> Self {
        Self {
            alert: alert.to_owned(),
            expr: expr.to_owned(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
        }
    }

    /// With a label.
    #[must_use]
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.insert(name.to_owned(), value.to_owned());
        self
    }

    /// With an annotation.
    #[must_use]
    pub fn annotation(mut self, name: &str, value: &str) -> Self {
        self.annotations.insert(name.to_owned(), value.to_owned());
        self
    }

    fn document(&self) -> Value {
        json!({ "alert": self.alert, "expr": self.expr, "labels": self.labels, "annotations": self.annotations })
    }
}

/// What Prometheus watches and whom it tells.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// (instance, address) of each target, all of the job `target`.
    targets: Vec<(String, SocketAddr)>,
    rules: Vec<Rule>,
    alertmanagers: Vec<SocketAddr>,
}

impl Watch {
    /// Scrapes this target.
    #[must_use]
    pub fn target(mut self, target: &Target) -> Self {
        self.targets
            .push((target.instance().to_owned(), target.address()));
        self
    }

    /// Evaluates this rule.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Sends alerts there.
    #[must_use]
    pub fn alertmanager(mut self, address: SocketAddr) -> Self {
        self.alertmanagers.push(address);
        self
    }

    /// The configuration and the rules. JSON is YAML.
    fn documents(&self) -> (Value, Value) {
        let target = |(instance, address): &(String, SocketAddr)| json!({ "targets": [address.to_string()], "labels": { "instance": instance } });
        let targets: Vec<Value> = self.targets.iter().map(target).collect();
        let alertmanagers: Vec<String> = self
            .alertmanagers
            .iter()
            .map(SocketAddr::to_string)
            .collect();
        let rules: Vec<Value> = self.rules.iter().map(Rule::document).collect();
        let config = json!({
            "global": { "scrape_interval": INTERVAL, "scrape_timeout": INTERVAL, "evaluation_interval": INTERVAL },
            "rule_files": ["rules.yml"],
            "scrape_configs": [{ "job_name": "target", "static_configs": targets }],
            "alerting": { "alertmanagers": [{ "static_configs": [{ "targets": alertmanagers }] }] },
        });
        (
            config,
            json!({ "groups": [{ "name": "tests", "rules": rules }] }),
        )
    }
}

impl Prometheus {
    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// It is not on PATH or does not become ready; with the end of its log.
    pub async fn start(watch: &Watch) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        write(&folder, watch)?;
        let (address, process) =
            program::on_free_address(async |address| spawn(&folder, address).await).await?;
        Ok(Self {
            folder,
            address,
            process,
        })
    }

    /// Starts it again after its process has ended, with its data and at its address.
    ///
    /// # Errors
    /// As [`Prometheus::start`].
    pub async fn start_again(&mut self) -> Result<()> {
        self.process = spawn(&self.folder, self.address).await?;
        Ok(())
    }

    /// Watches something else from now on.
    ///
    /// # Errors
    /// It refuses the configuration.
    pub async fn reload(&self, watch: &Watch) -> Result<()> {
        write(&self.folder, watch)?;
        let answer = web::client()
            .post(format!("{}/-/reload", self.url()))
            .send()
            .await?;
        answer.error_for_status().context("reloading Prometheus")?;
        Ok(())
    }

    /// The result of an instant query: `data.result` of the answer.
    ///
    /// # Errors
    /// It does not answer, or with an error.
    pub async fn query(&self, query: &str) -> Result<Value> {
        let request = web::client().get(format!("{}/api/v1/query", self.url()));
        let answer = request
            .query(&[("query", query)])
            .send()
            .await?
            .error_for_status()?;
        let mut answer: Value = answer.json().await?;
        Ok(answer["data"]["result"].take())
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, as agents are told.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The process, to signal and to read.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

fn write(folder: &TempDir, watch: &Watch) -> Result<()> {
    let (config, rules) = watch.documents();
    fs::write(folder.path().join("rules.yml"), rules.to_string())?;
    fs::write(folder.path().join("prometheus.yml"), config.to_string())?;
    Ok(())
}

async fn spawn(folder: &TempDir, address: SocketAddr) -> Result<Process> {
    let mut command = Command::new(program::on_path(&["prometheus"])?);
    let path = folder.path();
    command
        .current_dir(path)
        .arg("--config.file=prometheus.yml")
        .arg("--storage.tsdb.path=data")
        .arg("--web.enable-lifecycle")
        .arg(format!("--web.listen-address={address}"));
    let mut process = Process::spawn("prometheus", command, path)?;
    process
        .answers(&format!("http://{address}/-/ready"))
        .await?;
    Ok(process)
}
