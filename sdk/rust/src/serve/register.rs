//! Telling the engine where the plugin serves, and that it lives.

use std::{iter, time::Duration};

use proto::{
    address::Address,
    connection::Connection,
    metadata,
    v1::{self, engine_service_client::EngineServiceClient},
};
use tokio::time::{sleep, timeout};
use tonic::{Request, metadata::AsciiMetadataValue};
use tracing::{info, warn};

use super::{Instance, Surroundings, surroundings::Engine};

/// How long one registration may take; the engine calls back during it.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long saying good-bye may take.
const GOODBYE: Duration = Duration::from_secs(2);
/// Waits between failed registrations, in seconds; the last one repeats.
const WAITS_S: [u64; 5] = [2, 4, 8, 16, 30];
/// The first heartbeat follows the registration so soon: its answer says how often the engine wants to hear.
const FIRST_BEAT: Duration = Duration::from_secs(1);
/// Between heartbeats when the engine does not say.
const BEAT_EVERY: Duration = Duration::from_secs(10);
/// After a heartbeat that had no answer.
const BEAT_AGAIN: Duration = Duration::from_secs(2);

/// What an instance says about itself to the engine.
#[derive(Clone)]
pub(crate) struct Registration {
    engine: Engine,
    name: String,
    version: String,
    address: String,
    instance_id: String,
}

impl Registration {
    /// `None` without an engine to register with.
    pub(crate) fn new(
        instance: &Instance,
        surroundings: &Surroundings,
        address: &Address,
    ) -> Option<Self> {
        let manifest = &instance.calls.agent.manifest;
        Some(Self {
            engine: surroundings.engine.clone()?,
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            address: surroundings
                .advertise
                .clone()
                .unwrap_or_else(|| address.to_string()),
            instance_id: instance.id.to_string(),
        })
    }

    /// Registers, and again whenever the engine has lost sight of this instance. Ends only where the engine watches the
    /// process itself.
    pub(crate) async fn stay(&self) {
        loop {
            self.register().await;
            if !self.engine.beats {
                return;
            }
            self.beat().await;
        }
    }

    /// Says that this instance lives, until the engine wants it to register again.
    async fn beat(&self) {
        let mut wait = FIRST_BEAT;
        let mut silent = false;
        loop {
            sleep(wait).await;
            let answer = timeout(PATIENCE, self.try_beat()).await;
            match answer.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
                Ok(answer) if answer.re_register_required => return,
                Ok(answer) => {
                    silent = false;
                    let asked = u64::try_from(answer.heartbeat_interval_seconds).unwrap_or(0);
                    let asked = (asked > 0).then(|| Duration::from_secs(asked));
                    wait = self.engine.beat_every.or(asked).unwrap_or(BEAT_EVERY);
                }
                Err(problem) => {
                    if !silent {
                        warn!(engine = %self.engine.address, problem, "no heartbeat");
                    }
                    silent = true;
                    wait = BEAT_AGAIN;
                }
            }
        }
    }

    async fn try_beat(&self) -> Result<v1::HeartbeatResponse, String> {
        let request = self.request(v1::HeartbeatRequest {
            name: self.name.clone(),
            instance_id: self.instance_id.clone(),
        })?;
        let mut client = self.client().await?;
        let answer = client.heartbeat(request).await;
        answer
            .map(tonic::Response::into_inner)
            .map_err(|e| e.message().to_owned())
    }

    /// Registers, as often as it takes.
    async fn register(&self) {
        let waits = WAITS_S
            .into_iter()
            .chain(iter::repeat(WAITS_S[WAITS_S.len() - 1]));
        for wait_s in waits {
            match timeout(PATIENCE, self.try_register())
                .await
                .unwrap_or_else(|_| Err("no answer in time".to_owned()))
            {
                Ok(()) => return info!(engine = %self.engine.address, "registered"),
                Err(problem) => {
                    warn!(engine = %self.engine.address, problem, wait_s, "could not register")
                }
            }
            sleep(Duration::from_secs(wait_s)).await;
        }
    }

    async fn try_register(&self) -> Result<(), String> {
        let request = v1::RegisterPluginRequest {
            name: self.name.clone(),
            version: self.version.clone(),
            grpc_addr: self.address.clone(),
            plugin_type: v1::PluginType::Agent.into(),
            instance_id: self.instance_id.clone(),
            tenant_id: self.engine.tenant.clone(),
        };
        let request = self.request(request)?;
        let answer = self
            .client()
            .await?
            .register_plugin(request)
            .await
            .map_err(|e| e.message().to_owned())?
            .into_inner();
        if answer.success {
            Ok(())
        } else {
            Err(answer.error)
        }
    }

    /// Says that this instance ends. The engine learns it anyway, only later.
    pub(crate) async fn deregister(&self) {
        let goodbye = async {
            let request = v1::DeregisterPluginRequest {
                name: self.name.clone(),
                instance_id: self.instance_id.clone(),
            };
            let request = self.request(request)?;
            self.client()
                .await?
                .deregister_plugin(request)
                .await
                .map_err(|e| e.message().to_owned())
        };
        match timeout(GOODBYE, goodbye).await {
            Ok(Ok(_)) => {}
            Ok(Err(problem)) => warn!(problem, "could not deregister"),
            Err(_) => warn!("could not deregister: no answer in time"),
        }
    }

    async fn client(&self) -> Result<EngineServiceClient<Connection>, String> {
        let tls = self.engine.tls.as_ref();
        let connection = Connection::open_with(&self.engine.address, PATIENCE, tls)
            .await
            .map_err(|e| e.to_string())?;
        Ok(EngineServiceClient::with_origin(
            connection,
            Connection::origin(),
        ))
    }

    fn request<M>(&self, message: M) -> Result<Request<M>, String> {
        let mut request = Request::new(message);
        let headers = request.metadata_mut();
        headers.insert(metadata::PLUGIN_NAME, ascii(&self.name)?);
        if let Some(token) = &self.engine.token {
            let mut bearer = ascii(&format!("Bearer {token}"))?;
            bearer.set_sensitive(true);
            headers.insert(metadata::AUTHORIZATION, bearer);
        }
        Ok(request)
    }
}

fn ascii(text: &str) -> Result<AsciiMetadataValue, String> {
    AsciiMetadataValue::try_from(text)
        .map_err(|_| "the registration token or the name is no visible ASCII".to_owned())
}
