//! Agents that register over TLS, and that the engine calls over TLS.

use anyhow::{Context as _, Result, ensure};
use mirastack_tests::api::Api;
use mirastack_tests::mirastack::{Mirastack, Setup};
use mirastack_tests::process::{Process, Stream};
use mirastack_tests::program;
use mirastack_tests::wait::until;
use serde_json::json;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

use super::{Signer, put};

/// A server that has no agent called `demo` of its own and demands certificates, and who signs for both sides.
struct Ground {
    signer: Signer,
    folder: TempDir,
    server: Mirastack,
    api: Api,
}

impl Ground {
    /// `calls`: whether the server is told who signs for agents.
    async fn new(calls: bool) -> Result<Self> {
        let (signer, folder) = (Signer::new()?, tempfile::tempdir()?);
        put(folder.path(), signer.sign()?)?;
        let named = |name: &str| folder.path().join(name).display().to_string();
        fs::write(named("ca.pem"), &signer.pem)?;
        fs::create_dir(named("plugins"))?;
        let mut setup = Setup::default()
            .env("MIRASTACK_TLS_CERT", &named("cert.pem"))
            .env("MIRASTACK_TLS_KEY", &named("key.pem"))
            .env("MIRASTACK_TLS_CLIENT_CA", &named("ca.pem"))
            .arg("--plugins")
            .arg(&named("plugins"));
        if calls {
            setup = setup.env("MIRASTACK_TLS_AGENT_CA", &named("ca.pem"));
        }
        let server = Mirastack::start(setup).await?;
        let api = server.api().await?;
        Ok(Self {
            signer,
            folder,
            server,
            api,
        })
    }

    /// The agent `demo` with a certificate of `own`, which believes an engine that `trusted` has signed for.
    fn agent(&self, own: &Signer, trusted: &Signer) -> Result<(Process, TempDir)> {
        let folder = tempfile::tempdir()?;
        put(folder.path(), own.sign()?)?;
        fs::write(folder.path().join("ca.pem"), &trusted.pem)?;
        let agent = program::built("mirastack-agent-demo")?;
        let mut command = program::alone(&agent, folder.path());
        let named = |name: &str| folder.path().join(name);
        command
            .arg("--engine")
            .arg(format!("https://{}", self.server.grpc()))
            .env("MIRASTACK_PLUGIN_TLS_CERT", named("cert.pem"))
            .env("MIRASTACK_PLUGIN_TLS_KEY", named("key.pem"))
            .env("MIRASTACK_PLUGIN_TLS_CA", named("ca.pem"))
            .env("MIRASTACK_PLUGIN_TLS_CLIENT_CA", named("ca.pem"));
        Ok((Process::spawn("demo", command, folder.path())?, folder))
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// Waits until the agent has said this.
async fn says(agent: &Process, text: &str) -> Result<()> {
    until(text, async || {
        let log = agent.output(Stream::Stderr)?;
        ensure!(log.contains(text), "{log}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_agent_registers_over_tls_and_is_called_over_tls_and_both_show_who_they_are() {
    let ground = Ground::new(true).await.expect("it starts");
    let (agent, _kept) = ground
        .agent(&ground.signer, &ground.signer)
        .expect("it starts");
    says(&agent, "registered").await.expect("it is let in");
    let log = agent.output(Stream::Stderr).expect("ours");
    let address = log.split("address=https://").nth(1);
    let address = address.and_then(|rest| rest.split_whitespace().next());
    let address = address.expect("it serves TLS").to_owned();
    let path = "/api/v1/agents/demo/actions/echo";
    let called = ground
        .api
        .post(path, &json!({ "params": { "text": "here" } }))
        .await;
    let called = called.expect("it answers").ok().expect("it is taken");
    let run = called["id"].as_str().expect("a run");
    let ended = mirastack_tests::person::ended(&ground.api, run).await;
    let ended = ended.expect("it ends");
    assert_eq!(ended["status"], "succeeded", "{ended}");
    // Nobody without a certificate calls the agent.
    let stranger = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([
            reqwest::tls::Certificate::from_pem(ground.signer.pem.as_bytes()).expect("PEM"),
        ])
        .build()
        .expect("a client");
    let refused = stranger.get(format!("https://{address}/")).send().await;
    refused.expect_err("it shows no certificate");
}

#[tokio::test]
async fn neither_side_believes_a_certificate_that_somebody_else_has_signed() {
    let ground = Ground::new(true).await.expect("it starts");
    let other = Signer::new().expect("keys can be made");
    let (doubts, _kept) = ground.agent(&ground.signer, &other).expect("it starts");
    says(&doubts, "could not register")
        .await
        .expect("it says so");
    let log = doubts.output(Stream::Stderr).expect("ours");
    assert!(log.contains("certificate"), "{log}");
    let (stranger, _kept) = ground.agent(&other, &ground.signer).expect("it starts");
    says(&stranger, "could not register")
        .await
        .expect("it says so");
    let listed = ground.api.get("/api/v1/agents/demo").await;
    listed
        .expect("it answers")
        .with_status(404)
        .expect("nobody was let in");
}

#[tokio::test]
async fn an_engine_that_knows_nobody_who_signs_for_agents_calls_none_over_tls() {
    let ground = Ground::new(false).await.expect("it starts");
    let (agent, _kept) = ground
        .agent(&ground.signer, &ground.signer)
        .expect("it starts");
    let why = "nothing says who must have signed its certificate";
    says(&agent, why).await.context("the reason").expect("told");
    assert!(ground.folder().join("ca.pem").is_file());
}
