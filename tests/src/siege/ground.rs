//! A server with the workflow of the honest work.

use super::honest::WORKFLOW;
use crate::api::Api;
use crate::mirastack::Mirastack;
use anyhow::Result;
use std::net::SocketAddr;

/// Where it listens, and who may call.
pub(super) struct Ground {
    pub(super) http: SocketAddr,
    pub(super) grpc: SocketAddr,
    pub(super) api: Api,
}

impl Ground {
    pub(super) async fn lay(server: &Mirastack) -> Result<Self> {
        let api = server.api().await?;
        let document = format!(
            "workflow: {WORKFLOW}\nsteps:\n  - id: a\n    uses: demo/read\n    with: {{ key: greeting }}\n"
        );
        let path = format!("/api/v1/workflows/{WORKFLOW}");
        api.put_yaml(&path, &document).await?.ok()?;
        Ok(Self {
            http: server.http(),
            grpc: server.grpc(),
            api,
        })
    }
}
