//! Both ports with TLS, and certificates that change while the server runs.

mod agents;
mod renewal;

use anyhow::{Context as _, Result, bail};
use mirastack_tests::mirastack::{Mirastack, Setup};
use mirastack_tests::process::Stream;
use mirastack_tests::wait::until;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use reqwest::tls::{Certificate, Identity};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Somebody who signs certificates.
pub(crate) struct Signer {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Signer {
    pub(crate) fn new() -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key)?.pem();
        let issuer = Issuer::new(params, key);
        Ok(Self { pem, issuer })
    }

    /// A certificate for this machine, and its key.
    pub(crate) fn sign(&self) -> Result<(String, String)> {
        let key = KeyPair::generate()?;
        let params = CertificateParams::new(["127.0.0.1".to_owned()])?;
        Ok((
            params.signed_by(&key, &self.issuer)?.pem(),
            key.serialize_pem(),
        ))
    }
}

/// A server with TLS, and the files that it reads.
struct Ground {
    signer: Signer,
    folder: TempDir,
    server: Mirastack,
}

impl Ground {
    async fn new(client_ca: Option<&Signer>) -> Result<Self> {
        let (signer, folder) = (Signer::new()?, tempfile::tempdir()?);
        put(folder.path(), signer.sign()?)?;
        let named = |name: &str| folder.path().join(name).display().to_string();
        let mut setup = Setup::default()
            .env("MIRASTACK_TLS_CERT", &named("cert.pem"))
            .env("MIRASTACK_TLS_KEY", &named("key.pem"));
        if let Some(client_ca) = client_ca {
            fs::write(named("client-ca.pem"), &client_ca.pem)?;
            setup = setup.env("MIRASTACK_TLS_CLIENT_CA", &named("client-ca.pem"));
        }
        let server = Mirastack::start(setup).await?;
        Ok(Self {
            signer,
            folder,
            server,
        })
    }

    fn url(&self) -> String {
        format!("https://{}/livez", self.server.http())
    }

    /// Whether somebody who trusts `signer` and nobody else can talk to the server.
    async fn is_trusted_by(&self, signer: &Signer) -> Result<bool> {
        self.answers(signer, None).await
    }

    async fn answers(&self, signer: &Signer, identity: Option<(String, String)>) -> Result<bool> {
        let trusted = Certificate::from_pem(signer.pem.as_bytes())?;
        let mut client = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([trusted]);
        if let Some((cert, key)) = identity {
            client = client.identity(Identity::from_pem(format!("{cert}{key}").as_bytes())?);
        }
        match client.build()?.get(self.url()).send().await {
            Ok(answer) => Ok(answer.status().is_success()),
            Err(error) if error.is_connect() || error.is_request() => Ok(false),
            Err(error) => bail!("{error:#}"),
        }
    }

    fn ca(&self) -> Result<PathBuf> {
        let path = self.folder.path().join("ca.pem");
        fs::write(&path, &self.signer.pem)?;
        Ok(path)
    }
}

fn put(folder: &Path, (cert, key): (String, String)) -> Result<()> {
    fs::write(folder.join("cert.pem"), cert)?;
    fs::write(folder.join("key.pem"), key).context("the key")
}

#[tokio::test]
async fn miractl_trusts_the_authority_that_it_is_given_and_no_other() {
    let ground = Ground::new(None).await.expect("it starts");
    let ca = ground.ca().expect("writable");
    let key = ground
        .server
        .bootstrap_key()
        .expect("the first start made it");
    let miractl = ground.server.miractl().expect("it was built");
    let elsewhere = miractl
        .env(
            "MIRACTL_SERVER",
            &format!("https://{}", ground.server.http()),
        )
        .env("MIRACTL_API_KEY_ID", &key.api_key_id)
        .env("MIRACTL_API_SECRET", &key.api_secret);
    let args = ["--ca-cert", ca.to_str().expect("UTF-8"), "whoami"];
    let said = elsewhere.run(&args).await.expect("it runs");
    said.ok().expect("it is trusted");
    let said = elsewhere.run(&["whoami"]).await.expect("it runs");
    assert_eq!(said.code, 69, "{}{}", said.stdout, said.stderr);
    assert!(said.stderr.contains("certificate"), "{}", said.stderr);
    // Who started it is on this machine, and needs nothing.
    ground.server.api().await.expect("the first key works");
}

#[tokio::test]
async fn a_new_certificate_is_used_without_a_restart_and_a_broken_one_is_not() {
    let mut ground = Ground::new(None).await.expect("it starts");
    let stdout = ground.server.process().output(Stream::Stdout);
    let stdout = stdout.expect("ours");
    assert!(stdout.starts_with("ready http=https://"), "{stdout}");
    let next = Signer::new().expect("keys can be made");
    assert!(
        ground
            .is_trusted_by(&ground.signer)
            .await
            .expect("it answers")
    );
    assert!(!ground.is_trusted_by(&next).await.expect("it answers"));

    // Only half of the new pair is there.
    let (cert, key) = next.sign().expect("signed");
    fs::write(ground.folder.path().join("cert.pem"), &cert).expect("writable");
    for _ in 0..3 {
        assert!(
            ground
                .is_trusted_by(&ground.signer)
                .await
                .expect("it answers")
        );
    }
    let log = ground
        .server
        .process()
        .output(Stream::Stderr)
        .expect("ours");
    let told: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("is not used"))
        .collect();
    assert_eq!(told.len(), 1, "it is said once: {log}");
    assert!(told[0].contains("do not fit together"), "{told:?}");

    fs::write(ground.folder.path().join("key.pem"), &key).expect("writable");
    assert!(ground.is_trusted_by(&next).await.expect("it answers"));
    assert!(
        !ground
            .is_trusted_by(&ground.signer)
            .await
            .expect("it answers")
    );

    fs::remove_file(ground.folder.path().join("cert.pem")).expect("it is there");
    assert!(
        ground
            .is_trusted_by(&next)
            .await
            .expect("what is gone is kept in mind")
    );
    put(ground.folder.path(), ground.signer.sign().expect("signed")).expect("writable");
    until("the first signer", async || {
        match ground.is_trusted_by(&ground.signer).await? {
            true => Ok(()),
            false => bail!("not yet"),
        }
    })
    .await
    .expect("it is read again");
}

#[tokio::test]
async fn who_must_show_a_certificate_is_refused_without_one() {
    let clients = Signer::new().expect("keys can be made");
    let ground = Ground::new(Some(&clients)).await.expect("it starts");
    let by = async |identity| {
        ground
            .answers(&ground.signer, identity)
            .await
            .expect("it answers")
    };
    assert!(!by(None).await);
    assert!(
        !by(Some(ground.signer.sign().expect("signed"))).await,
        "somebody else signed it"
    );
    assert!(by(Some(clients.sign().expect("signed"))).await);
}

#[tokio::test]
async fn agents_find_the_engine_and_the_engine_speaks_tls_to_them() {
    let ground = Ground::new(None).await.expect("it starts");
    // A co-located agent registers on loopback without it, so a run gets through.
    let api = ground.server.api().await.expect("the key is good");
    let run = mirastack_tests::person::starts(&api, "hello", &serde_json::json!({})).await;
    let run = run.expect("it is accepted");
    mirastack_tests::person::asked(&api, &run)
        .await
        .expect("its READ was done");

    let (mut trusted, mut offered) = (RootCertStore::empty(), Vec::new());
    let pem = ground.signer.pem.as_bytes();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        trusted.add(certificate.expect("PEM")).expect("a root");
    }
    offered.push(b"h2".to_vec());
    let mut config = ClientConfig::builder()
        .with_root_certificates(trusted)
        .with_no_client_auth();
    config.alpn_protocols = offered;
    let name = ServerName::try_from("127.0.0.1").expect("an address");
    let stream = TcpStream::connect(ground.server.grpc())
        .await
        .expect("it listens");
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await;
    let stream = stream.expect("the engine's port speaks TLS");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
}
