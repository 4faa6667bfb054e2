//! What the cases meet: a workflow, hooks with secrets, and who may call.

use super::honest::WORKFLOW;
use crate::api::Api;
use crate::mirastack::Mirastack;
use anyhow::{Context as _, Result};
use http::Method;
use serde_json::json;
use std::net::SocketAddr;

/// The secret of the hooks.
pub(super) const SECRET: &str = "4f1c6b0d9e2a7c385b16";

/// A server with something in it.
#[derive(Clone)]
pub(super) struct Ground {
    pub(super) http: SocketAddr,
    pub(super) grpc: SocketAddr,
    pub(super) api: Api,
    pub(super) token: String,
}

impl Ground {
    pub(super) async fn lay(server: &Mirastack) -> Result<Self> {
        let api = server.api().await?;
        let document = format!(
            "workflow: {WORKFLOW}\nsteps:\n  - id: a\n    uses: demo/read\n    with: {{ key: greeting }}\n"
        );
        let path = format!("/api/v1/workflows/{WORKFLOW}");
        api.put_yaml(&path, &document).await?.ok()?;
        let secret = api.request(Method::PUT, "/api/v1/secrets/siege");
        api.send(secret.json(&json!({ "value": SECRET })))
            .await?
            .ok()?;
        for hook in [
            "hook: signed\ntype: generic\nauth: { hmac: { header: x-proof, secrets: [\"${{ secrets.siege }}\"] } }\ndedupe: none\n",
            "hook: forge\ntype: github\nauth: { hmac: { secrets: [\"${{ secrets.siege }}\"] } }\n",
            "hook: alerts\ntype: alertmanager\nauth: { bearer: [\"${{ secrets.siege }}\"] }\n",
        ] {
            let name = hook.lines().next().and_then(|line| line.split(": ").nth(1));
            let path = format!("/api/v1/hooks/{}", name.context("a name")?);
            api.put_yaml(&path, hook).await?.ok()?;
        }
        let token = api.token().context("it has logged in")?.to_owned();
        Ok(Self {
            http: server.http(),
            grpc: server.grpc(),
            api,
            token,
        })
    }
}
