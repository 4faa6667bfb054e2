//! A real Alertmanager.

use crate::process::Process;
use crate::{program, web};
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use tempfile::TempDir;

/// A running Alertmanager with its data in a folder of its own.
#[derive(Debug)]
pub struct Alertmanager {
    address: SocketAddr,
    process: Process,
    /// Last, so that a dropped process can still show its output.
    folder: TempDir,
}

/// Whom it tells of every alert, one alert a group.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// The receiver's name.
    pub name: String,
    /// Where it listens.
    pub url: String,
    /// Sent as `Authorization: Bearer …`.
    pub bearer: Option<String>,
}

impl Webhook {
    fn document(&self) -> Value {
        let mut http = json!({});
        if let Some(bearer) = &self.bearer {
            http["authorization"] = json!({ "credentials": bearer });
        }
        let webhook = json!({ "url": self.url, "send_resolved": true, "http_config": http });
        json!({ "name": self.name, "webhook_configs": [webhook] })
    }
}

impl Alertmanager {
    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// It is not on PATH or does not become ready; with the end of its log.
    pub async fn start(webhooks: &[Webhook]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        write(&folder, webhooks)?;
        let (address, process) =
            program::on_free_address(async |address| spawn(&folder, address).await).await?;
        Ok(Self {
            folder,
            address,
            process,
        })
    }

    /// Starts it again after its process has ended, with its data and at its address. A silence that was younger than
    /// a quarter of an hour when the process was killed may be gone: it writes them only now and then.
    ///
    /// # Errors
    /// As [`Alertmanager::start`].
    pub async fn start_again(&mut self) -> Result<()> {
        self.process = spawn(&self.folder, self.address).await?;
        Ok(())
    }

    /// Tells others from now on.
    ///
    /// # Errors
    /// It refuses the configuration.
    pub async fn reload(&self, webhooks: &[Webhook]) -> Result<()> {
        write(&self.folder, webhooks)?;
        let answer = web::client()
            .post(format!("{}/-/reload", self.url()))
            .send()
            .await?;
        answer
            .error_for_status()
            .context("reloading Alertmanager")?;
        Ok(())
    }

    /// Every alert that it knows.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn alerts(&self) -> Result<Vec<Value>> {
        self.get("alerts").await
    }

    /// Every silence that it knows, expired ones too.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn silences(&self) -> Result<Vec<Value>> {
        self.get("silences").await
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

    async fn get(&self, what: &str) -> Result<Vec<Value>> {
        let answer = web::client()
            .get(format!("{}/api/v2/{what}", self.url()))
            .send()
            .await?;
        Ok(answer.error_for_status()?.json().await?)
    }
}

fn write(folder: &TempDir, webhooks: &[Webhook]) -> Result<()> {
    let first = webhooks
        .first()
        .context("an Alertmanager needs at least one receiver")?;
    let receivers: Vec<Value> = webhooks.iter().map(Webhook::document).collect();
    let route = |webhook: &Webhook| json!({ "receiver": webhook.name, "continue": true });
    let routes: Vec<Value> = webhooks.iter().map(route).collect();
    let config = json!({
        "route": {
            "receiver": first.name,
            "group_by": ["..."],
            "group_wait": "0s",
            "group_interval": "1s",
            "repeat_interval": "1h",
            "routes": routes,
        },
        "receivers": receivers,
    });
    fs::write(folder.path().join("alertmanager.yml"), config.to_string())?;
    Ok(())
}

async fn spawn(folder: &TempDir, address: SocketAddr) -> Result<Process> {
    let mut command = Command::new(program::on_path(&[
        "alertmanager",
        "prometheus-alertmanager",
    ])?);
    let path = folder.path();
    command
        .current_dir(path)
        .arg("--config.file=alertmanager.yml")
        .arg("--storage.path=data")
        .arg("--cluster.listen-address=")
        .arg(format!("--web.listen-address={address}"));
    let mut process = Process::spawn("alertmanager", command, path)?;
    process
        .answers(&format!("http://{address}/-/ready"))
        .await?;
    Ok(process)
}
