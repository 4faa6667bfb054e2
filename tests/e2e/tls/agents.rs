//! Agents that register over TLS, and that the engine calls over TLS.

use anyhow::{Context as _, Result, ensure};
use mirastack_tests::api::Api;
use mirastack_tests::mirastack::{Mirastack, Setup};
use mirastack_tests::process::{Process, Stream};
use mirastack_tests::program;
use mirastack_tests::wait::until;
use serde_json::{Value, json};
use std::sync::Arc;
use std::{fs, io};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{AlertDescription, ClientConfig, RootCertStore};

use super::{Signer, put};

/// A server that has no agent called `demo` of its own and demands certificates, and who signs for both sides.
pub(super) struct Ground {
    pub(super) signer: Signer,
    pub(super) folder: TempDir,
    server: Mirastack,
    api: Api,
}

impl Ground {
    /// `calls`: whether the server is told who signs for agents.
    pub(super) async fn new(calls: bool) -> Result<Self> {
        let (signer, folder) = (Signer::new()?, tempfile::tempdir()?);
        put(folder.path(), signer.sign()?)?;
        let named = |name: &str| folder.path().join(name).display().to_string();
        fs::write(named("clients.pem"), &signer.pem)?;
        fs::write(named("agents.pem"), &signer.pem)?;
        fs::create_dir(named("plugins"))?;
        let mut setup = Setup::default()
            .env("MIRASTACK_TLS_CERT", &named("cert.pem"))
            .env("MIRASTACK_TLS_KEY", &named("key.pem"))
            .env("MIRASTACK_TLS_CLIENT_CA", &named("clients.pem"))
            .arg("--plugins")
            .arg(&named("plugins"));
        if calls {
            setup = setup.env("MIRASTACK_TLS_AGENT_CA", &named("agents.pem"));
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
    pub(super) fn agent(&self, own: &Signer, trusted: &Signer) -> Result<(Process, TempDir)> {
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

    /// Has the agent say something, and answers how that run ended.
    pub(super) async fn ended(&self) -> Result<Value> {
        let path = "/api/v1/agents/demo/actions/echo";
        let params = json!({ "params": { "text": "here" } });
        let called = self.api.post(path, &params).await?.ok()?;
        let run = called["id"].as_str().context("a run")?;
        mirastack_tests::person::ended(&self.api, run).await
    }
}

/// Waits until the agent has said this.
pub(super) async fn says(agent: &Process, text: &str) -> Result<()> {
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
    let ended = ground.ended().await.expect("it ends");
    assert_eq!(ended["status"], "succeeded", "{ended}");
    // Nobody without a certificate calls the agent, and whoever shows one does.
    let own = ground.signer.sign().expect("signed");
    let heard = hears(&ground.signer, &address, Some(own)).await;
    assert_eq!(heard.expect("it is let in"), SETTINGS);
    let refused = hears(&ground.signer, &address, None).await;
    let refused = refused.expect_err("it shows no certificate");
    let why = refused
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    let why = why.and_then(|why| why.downcast_ref::<tokio_rustls::rustls::Error>());
    let required = AlertDescription::CertificateRequired;
    let required = tokio_rustls::rustls::Error::AlertReceived(required);
    assert_eq!(why, Some(&required), "{refused:#}");
}

/// The type of the first frame of HTTP/2 that anybody sends (RFC 9113, section 3.4).
pub(super) const SETTINGS: u8 = 4;

/// The type of the first frame that an agent or the engine sends to somebody who shows this certificate, or none. TLS 1.3 refuses
/// with the first answer, after the handshake.
pub(super) async fn hears(
    trusted: &Signer,
    address: &str,
    own: Option<(String, String)>,
) -> Result<u8> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.pem.as_bytes())?)?;
    let config = ClientConfig::builder().with_root_certificates(roots);
    let mut config = match own {
        None => config.with_no_client_auth(),
        Some((cert, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(cert.as_bytes())?];
            config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes())?)?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("127.0.0.1")?;
    let connector = TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(name, stream).await?;
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await?;
    let mut head = [0; 9];
    stream.read_exact(&mut head).await?;
    Ok(head[3])
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
    let listed = ground.api.get("/api/v1/agents/demo").await;
    let listed = listed.expect("it answers");
    listed.with_status(404).expect("nobody was let in");
}
